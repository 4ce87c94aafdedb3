"""``finetune evaluate``: score any picks of a project against a reference by the rule of the CZII challenge."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from finetune.candidates import Candidates, load_candidates
from finetune.labels import OWN_USER, Points, label_digests, read_labels
from tomoseek.complexes import class_weight
from tomoseek.config import DataConfig, PicksConfig
from tomoseek.errors import InputError
from tomoseek.evaluation.confusion import confuse
from tomoseek.evaluation.ranking import rank
from tomoseek.evaluation.record import record_scores
from tomoseek.evaluation.score import BETA
from tomoseek.evaluation.tables import confusion_table, score_table
from tomoseek.failures import Failures
from tomoseek.files import atomic_write_json
from tomoseek.messages import listed
from tomoseek.picks.copick_picks import list_picks, read_picks
from tomoseek.picks.points import Picks
from tomoseek.tomograms.copick_tomograms import find_tomograms
from tomoseek.tomograms.project import object_radii, open_project


@dataclass(kw_only=True, slots=True)
class EvaluateConfig:
    """Settings of ``finetune evaluate``; ``configs/finetune_evaluate.yaml`` explains each."""

    data: DataConfig
    exclude_runs: list[str]
    checkpoint: str | None
    allow_training_runs: bool
    classes: list[str] | None
    weights: dict[str, float] | None
    picks: PicksConfig
    reference: PicksConfig
    candidates: str | None
    bootstrap: int
    figures: bool
    out_dir: str

    def __post_init__(self) -> None:
        if self.bootstrap < 0:
            raise InputError(f"bootstrap: expected a number of draws, 0 for none, found {self.bootstrap}")
        truth, finder = self.reference, self.picks
        if truth.user_id == finder.user_id is not None and truth.session_id in (None, finder.session_id):
            raise InputError(
                f"reference: expected other picks than those to score, found {truth.user_id}'s for both; give "
                "the user_id of those you trust, or null for anyone but the finder"
            )


def run(config: EvaluateConfig) -> None:
    """Compare picks with the reference, print a table, write ``evaluation.json`` and figures."""
    finder = config.picks.owner()
    root = open_project(config.data.project)
    names = runs_to_score(root, config.data.runs, config.exclude_runs)
    candidates = description = None
    if config.candidates is not None:
        candidates = load_candidates(Path(config.candidates), config.data.project, *finder)
    if config.checkpoint is not None:
        from finetune.checkpoint import load_description  # torch takes seconds to import, and other picks need none

        description = load_description(config.checkpoint)
    wanted = config.classes if config.classes is not None else list(description.radii) if description else None
    radii = object_radii(root, picked_classes(root, names, finder) if wanted is None else wanted)
    known = [source for source in (candidates, description) if source is not None]
    reference, seen = separate_seen(
        config, [entry for source in known for entry in source.seen_runs], read_reference(config, root, names, radii)
    )
    picks = {run: read_finds(root, run, list(radii), finder) for run in reference}
    if wanted is None:
        radii = {name: radius for name, radius in radii.items() if any(len(each[name]) for each in reference.values())}
        reference = {run: {name: points[name] for name in radii} for run, points in reference.items()}
    for name in config.weights or {}:
        if name not in radii:
            raise InputError(f"weights: '{name}' is not scored; scored classes: {', '.join(radii)}")
    weights = {name: (config.weights or {}).get(name, class_weight(name)) for name in radii}
    failures = Failures()
    tomograms = find_tomograms(replace(config.data, runs=list(reference)), failures) if config.figures else []

    if candidates is not None and not covers(candidates, reference, radii):
        candidates = None
    ranked, source = candidates.by_run if candidates else picks, candidates or description
    thresholds = source.thresholds if source else None
    rankings = {
        name: rank(
            {run: points[name] for run, points in reference.items()},
            {run: ranked[run][name] for run in reference},
            radius,
        )
        for name, radius in radii.items()
    }
    confusion = confuse(reference, picks, radii)
    evaluation = {
        **record_scores(reference, picks, rankings, radii, weights, thresholds or {}, config.bootstrap),
        "runs": list(reference),
        "settings": {
            "beta": BETA,
            "project": config.data.project,
            "checkpoint": config.checkpoint,
            "thresholds": thresholds,
            "picks": {"user_id": config.picks.user_id, "session_id": config.picks.session_id},
            "reference": {"user_id": config.reference.user_id, "session_id": config.reference.session_id},
            "excluded_runs": config.exclude_runs,
            "runs_seen_in_training": seen if known else None,
            "curves_from": "candidates" if candidates else "picks above threshold",
        },
        "confusion": confusion.record(),
    }
    out_dir = Path(config.out_dir)
    atomic_write_json(out_dir / "evaluation.json", evaluation)
    print(score_table(evaluation))
    if seen:
        print(f"NOT A TEST: the checkpoint saw {', '.join(seen)} (training or thresholds); this reads too well")
    if not known:
        print(
            "not known which runs these picks were learned from: no candidates.json of these and no checkpoint; leave "
            "runs of training or examples out with exclude_runs"
        )
    if candidates is None:
        print(
            "average precision and best F1 cover the picks in the project only; whole rankings come from the "
            "candidates.json of finetune predict (candidates), or from embed query with threshold=0"
        )
    if evaluation["bootstrap"]["caveat"]:
        print(evaluation["bootstrap"]["caveat"])
    if confusion.any:
        print(f"\n{confusion_table(confusion)}\n")
    print(f"wrote {out_dir / 'evaluation.json'}")
    if config.figures:
        from tomoseek.evaluation.figures import write_figures  # matplotlib is slow to import
        from tomoseek.evaluation.slices import ScoredRun

        shown = []
        for tomogram in tomograms:
            with failures.of(tomogram.run):
                _ = tomogram.contrast  # cannot be measured of a bad one
                shown.append(ScoredRun(tomogram, reference[tomogram.run], picks[tomogram.run]))
        drawn = write_figures(out_dir / "figures", evaluation, rankings, confusion, shown)
        print(f"drew {', '.join(path.name for path in drawn)} in {out_dir / 'figures'}")
    failures.finish(len(reference))


def runs_to_score(root: Any, chosen: list[str] | None, excluded: list[str]) -> list[str]:
    """Return the chosen runs, or all, without the excluded ones.

    Raises
    ------
    InputError
        If the project has no such run, or none is left.
    """
    known = sorted(item.name for item in root.runs)
    names = known if chosen is None else list(dict.fromkeys(chosen))
    for setting, given in (("data.runs", names), ("exclude_runs", excluded)):
        if strays := sorted(set(given) - set(known)):
            raise InputError(f"{setting}: expected runs among {listed(known)}, found {listed(strays)}")
    left = [name for name in names if name not in excluded]
    if not left:
        raise InputError("expected at least one run to score, found none; check data.runs and exclude_runs")
    return left


def picked_classes(root: Any, names: list[str], finder: tuple[str, str]) -> list[str]:
    """Return the classes that the finder searched in these runs: those with picks files, which may be empty."""
    found = [(name, owner) for run in names for name, *owner in list_picks(root, run)]
    classes = list(dict.fromkeys(name for name, owner in found if tuple(owner) == finder))
    if not classes:
        raise InputError(
            f"picks: expected picks of {'/'.join(finder)} in runs {listed(names)}, found none; run finetune predict or "
            "embed query, or check picks.user_id and picks.session_id"
        )
    return classes


def read_reference(
    config: EvaluateConfig, root: Any, names: list[str], radii: dict[str, float]
) -> dict[str, dict[str, Points]]:
    """Return run to class to reference points in Å, for runs with a reference; one without particles may be empty.

    Raises
    ------
    InputError
        If a run that was asked for has no reference, or no run has a reference pick.
    """
    assert config.picks.user_id is not None
    trusted, finders = config.reference, (OWN_USER, config.picks.user_id)
    found = {}
    for run in names:
        if is_annotated(root, run, radii, trusted, finders):
            found[run] = read_labels(root, run, list(radii), trusted, radii, finders)
        elif config.data.runs is not None:
            raise InputError(
                f"run {run}: expected reference picks of {listed(radii)}, found none; check reference.user_id and "
                "reference.session_id, or leave it out of data.runs"
            )
        else:
            print(f"left out, no reference picks: {run}")
    if not any(len(points) for by_class in found.values() for points in by_class.values()):
        raise InputError(
            f"expected reference picks of {listed(radii)} in runs {listed(names)}, found none; check "
            "reference.user_id, reference.session_id, classes and exclude_runs"
        )
    return found


def is_annotated(
    root: Any, run: str, names: Collection[str], trusted: PicksConfig, finders: Collection[str]
) -> bool:  # fmt: skip
    """Whether the run has a picks file, be it empty, of one of these classes by someone who is trusted."""
    return any(
        name in names
        and (user not in finders if trusted.user_id is None else user == trusted.user_id)
        and trusted.session_id in (None, session)
        for name, user, session in list_picks(root, run)
    )


def separate_seen(
    config: EvaluateConfig, seen_runs: list[dict[str, Any]], reference: dict[str, dict[str, Points]]
) -> tuple[dict[str, dict[str, Points]], list[str]]:
    """Drop or refuse the runs that the finder has learned from; return the runs to score and the seen among them.

    A run is recognised by project and name, and by its labels, so that a renamed copy does not slip through.

    Raises
    ------
    InputError
        If ``data.runs`` names such a run, or no other is left, unless ``allow_training_runs``.
    """
    project = str(Path(config.data.project or "").resolve())
    by_name = {(entry["project"], entry["run"]) for entry in seen_runs}
    by_labels = {label for entry in seen_runs for label in entry["labels"].items()}
    seen = [
        run for run, points in reference.items()
        if (project, run) in by_name or by_labels & label_digests(points).items()
    ]  # fmt: skip
    if not seen or config.allow_training_runs:
        return reference, seen
    fresh = {run: points for run, points in reference.items() if run not in seen}
    if config.data.runs is None and fresh:
        print(f"left out, seen in training or threshold fitting: {', '.join(seen)}")
        return fresh, []
    raise InputError(
        f"expected runs the checkpoint has not seen, found {', '.join(seen)} (training or thresholds); "
        "score other runs with data.runs=[...], or set allow_training_runs=true"
    )


def read_finds(root: Any, run: str, names: list[str], finder: tuple[str, str]) -> dict[str, Picks]:
    """Read one run's picks to score.

    Raises
    ------
    InputError
        If the run has no picks file of any of these classes: it was not searched.
    """
    if not any(name in names and owner == list(finder) for name, *owner in list_picks(root, run)):
        raise InputError(
            f"run {run}: expected picks of {'/'.join(finder)}, found none; run finetune predict or embed query for it, "
            "or leave it out with exclude_runs"
        )
    return {name: read_picks(root, run, name, *finder) for name in names}


def covers(candidates: Candidates, runs: Collection[str], names: Collection[str]) -> bool:
    """Whether there are candidates of every run and class that is scored."""
    return all(set(names) <= set(candidates.by_run.get(run, {})) for run in runs)
