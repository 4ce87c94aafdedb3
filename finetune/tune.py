"""Search for settings of ``finetune train`` that reach a better F4 on the held-out runs."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from finetune import train
from finetune.search_space import Range, read_ranges, to_word, with_values
from finetune.settings import TrainConfig, comparable, find_labels
from finetune.start import starting_picker
from tomoseek.errors import InputError
from tomoseek.files import atomic_write_text

if TYPE_CHECKING:
    import pandas as pd
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

STUDY, TABLE, BEST = "study.jsonl", "trials.csv", "best.yaml"


@dataclass(kw_only=True, slots=True)
class TuneConfig(TrainConfig):
    """Settings of ``finetune tune``; ``configs/finetune_tune.yaml`` explains each."""

    num_trials: int
    num_random: int
    search: dict[str, Any]

    def __post_init__(self) -> None:
        TrainConfig.__post_init__(self)
        if self.num_trials < 1 or self.num_random < 1:
            raise InputError(f"num_trials, num_random: expected at least 1, found {self.num_trials}, {self.num_random}")


def run(config: TuneConfig) -> None:
    """Train once per trial, each in its own folder; write the table of trials and the best settings.

    Raises
    ------
    InputError
        If optuna is missing, settings or labels are bad, no run is held out, ``out_dir`` holds another search, or no
        trial came to its end.
    """
    try:
        import optuna
    except ImportError as error:
        raise InputError("finetune tune needs optuna: pip install 'tomoseek[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ranges, out_dir = read_ranges(config.search, config), Path(config.out_dir)
    labels = find_labels(config)
    if not labels.held_out:
        raise InputError(
            "validation_runs: a search compares trainings on held-out runs, found none; label a second run"
        )
    picker, _ = starting_picker(config, list(labels.radii))
    study = open_study(config, comparable(config, picker, labels))
    for number in range(config.num_trials):
        frozen = study.trials[number] if number < len(study.trials) else None
        if frozen and frozen.state.is_finished():
            continue
        # Seeded by its number, a trial proposes the same after a kill; what was proposed already is kept.
        study.sampler = optuna.samplers.TPESampler(n_startup_trials=config.num_random, seed=1000 * config.seed + number)
        trial = optuna.trial.Trial(study, frozen._trial_id) if frozen else study.ask()
        carry_out(trial, config, ranges)
        atomic_write_text(out_dir / TABLE, rank(study, ranges).to_csv(index=False))
        print(f"[{number + 1}/{config.num_trials}] {tell(study.trials[number], study)}", flush=True)
    conclude(study, config, ranges)


def open_study(config: TuneConfig, settings: dict[str, Any]) -> "Study":
    """Open the search in ``out_dir``, or begin one.

    Raises
    ------
    InputError
        If there is one with other settings, encoder or labels.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    path = Path(config.out_dir) / STUDY
    path.parent.mkdir(parents=True, exist_ok=True)
    if not config.resume:
        path.unlink(missing_ok=True)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=config.num_random)
    storage = JournalStorage(JournalFileBackend(str(path)))
    study = optuna.create_study(
        storage=storage, study_name="tune", direction="maximize", pruner=pruner, load_if_exists=True
    )
    settings = {key: value for key, value in settings.items() if key != "num_trials"}
    saved = study.user_attrs.get("settings")
    if saved is None:
        study.set_user_attr("settings", settings)
    elif saved != settings:
        changed = sorted(key for key in settings.keys() | saved.keys() if settings.get(key) != saved.get(key))
        raise InputError(
            f"out_dir: '{config.out_dir}' holds a search with other settings, encoder or labels "
            f"({', '.join(changed)}); give another out_dir, or resume=false to start over"
        )
    return study


def carry_out(trial: "Trial", config: TuneConfig, ranges: list[Range]) -> None:
    """Train with what the trial proposes and record how it ends: complete, pruned half way, or failed."""
    import optuna
    from optuna.trial import TrialState

    values = {each.name: each.draw(trial) for each in ranges}
    known = set(trial.study.trials[trial.number].intermediate_values)

    def judge(step: int, weighted_f4: float) -> None:
        if step not in known:  # a resumed training may come by the same step again
            trial.report(weighted_f4, step)
        if trial.should_prune():
            raise optuna.TrialPruned

    print(f"\ntrial {trial.number}: {' '.join(words(values))}", flush=True)
    settings = with_values(config, values, Path(config.out_dir) / str(trial.number))
    try:
        trial.study.tell(trial, train.run(settings, on_validation=judge))
    except optuna.TrialPruned:
        trial.study.tell(trial, state=TrialState.PRUNED)
    except FloatingPointError as error:
        trial.set_user_attr("error", str(error))
        trial.study.tell(trial, state=TrialState.FAIL)


def tell(trial: "FrozenTrial", study: "Study") -> str:
    """Say how a trial ended, and which is the best so far."""
    from optuna.trial import TrialState

    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    best = f"; best: trial {study.best_trial.number}, {study.best_value:.3f}" if complete else ""
    if trial.state is TrialState.COMPLETE:
        return f"trial {trial.number}: weighted F4 {trial.value:.3f}{best}"
    if trial.state is TrialState.PRUNED:
        step, value = max(trial.intermediate_values.items())
        return f"trial {trial.number}: stopped at step {step}, where its weighted F4 was {value:.3f}{best}"
    return f"trial {trial.number}: failed ({trial.user_attrs.get('error', 'no reason known')}){best}"


def rank(study: "Study", ranges: list[Range]) -> "pd.DataFrame":
    """Return one row per trial that has ended: complete ones best first, then pruned ones, then failed ones."""
    import pandas as pd

    ended = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
    order = ["COMPLETE", "PRUNED", "FAIL"]
    ended.sort(key=lambda trial: (order.index(trial.state.name), -(trial.value if trial.value is not None else 0.0)))
    rows = [
        {"trial": trial.number, "state": trial.state.name.lower(), "weighted_f4": trial.value}
        | {each.name: trial.params.get(each.name) for each in ranges}
        for trial in ended
    ]
    return pd.DataFrame(rows)


def conclude(study: "Study", config: TuneConfig, ranges: list[Range]) -> None:
    """Print the table, and write the best settings.

    Raises
    ------
    InputError
        If no trial came to its end.
    """
    from optuna.trial import TrialState

    out_dir, table = Path(config.out_dir), rank(study, ranges)
    print(f"\n{table.to_string(index=False, float_format='%.4g', na_rep='')}")
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        raise InputError(f"search: none of {len(table)} trials came to its end; narrow the ranges, in another out_dir")
    best = study.best_trial
    values = {each.name: each.draw(best) for each in ranges}  # type: ignore[arg-type]
    settings = OmegaConf.create({})
    for name, value in values.items():
        OmegaConf.update(settings, name, value)
    paste = f"python -m finetune train {shlex.join(words(values))}"
    head = f"# Trial {best.number}: weighted F4 {best.value:.4f} on the held-out runs. Beside your other words:\n"
    atomic_write_text(out_dir / BEST, f"{head}# {paste}\n{OmegaConf.to_yaml(settings)}")
    print(f"wrote {out_dir}/{TABLE} and {BEST}; the best trial is checkpoint={out_dir / str(best.number)}")
    print(f"settings: {shlex.join(words(values))}")
    print("its value was chosen from all of them and reads high: predict and evaluate on runs no trial has seen")


def words(values: dict[str, Any]) -> list[str]:
    """Write settings as a command line takes them."""
    return [f"{name}={to_word(value)}" for name, value in values.items()]
