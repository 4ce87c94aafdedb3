"""Score picks against a reference by the rule of the CZII challenge."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from finetune.candidates import Candidates, load_candidates
from finetune.checkpoint import Description, load_description
from finetune.labels import LabelledRun, Points, label_digests, read_labels
from tomoseek.complexes import class_weight
from tomoseek.config import DataConfig, PicksConfig
from tomoseek.errors import InputError
from tomoseek.evaluation.confusion import confuse
from tomoseek.evaluation.intervals import LEVEL, Interval, bootstrap, caveat
from tomoseek.evaluation.reliability import calibration_error, reliability
from tomoseek.evaluation.score import (
    BETA,
    average_precision,
    class_scores,
    hit_distances,
    precision_recall,
    ranked_hits,
    run_counts,
    weighted_f4,
)
from tomoseek.evaluation.tables import confusion_table, score_table
from tomoseek.files import atomic_write_json
from tomoseek.picks.copick_picks import list_picks, read_picks
from tomoseek.picks.points import Picks
from tomoseek.tomograms.copick_tomograms import find_tomograms
from tomoseek.tomograms.project import object_radii, open_project


@dataclass(kw_only=True, slots=True)
class EvaluateConfig:
    """Settings of ``finetune evaluate``; ``configs/finetune_evaluate.yaml`` explains each."""

    data: DataConfig
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


def run(config: EvaluateConfig) -> None:
    """Compare picks with the reference, print a table, write ``evaluation.json`` and figures."""
    if config.picks.user_id is None or config.picks.session_id is None:
        raise InputError("picks: expected the user_id and session_id of the picks to score, found null; give both")
    description = load_description(Path(config.checkpoint)) if config.checkpoint is not None else None
    root = open_project(config.data.project)
    wanted = config.classes if config.classes is not None else list(description.radii) if description else None
    radii = object_radii(root, wanted)
    runs = labelled_runs(config, root, radii)
    candidates = candidates_of(config)
    runs, seen = separate_seen(config, description, candidates, runs)
    picks = {run.name: predicted(config, root, run.name, list(radii)) for run in runs}
    if wanted is None:
        radii = {n: r for n, r in radii.items() if any(len(run.points_xyz[n]) for run in runs)}
    reference = {run.name: {name: run.points_xyz[name] for name in radii} for run in runs}
    for name in config.weights or {}:
        if name not in radii:
            raise InputError(f"weights: '{name}' is not scored; scored classes: {', '.join(radii)}")
    weights = {name: (config.weights or {}).get(name, class_weight(name)) for name in radii}

    if candidates is not None and not covers(candidates, picks):
        candidates = None
    ranked = {run: candidates.by_run[run] for run in picks} if candidates else picks
    used = candidates or description
    thresholds = used.thresholds if used else None
    rankings = {name: ranked_hits(*of_class(name, reference, ranked), radius) for name, radius in radii.items()}
    bins = {name: reliability(*ranking) for name, ranking in rankings.items()}
    confusion = confuse(reference, picks, radii)
    evaluation = {
        **measure(reference, picks, ranked, radii, weights, config.bootstrap),
        "runs": list(reference),
        "settings": {
            "beta": BETA,
            "project": config.data.project,
            "checkpoint": config.checkpoint,
            "thresholds": thresholds,
            "picks": {"user_id": config.picks.user_id, "session_id": config.picks.session_id},
            "reference": {"user_id": config.reference.user_id, "session_id": config.reference.session_id},
            "runs_seen_in_training": seen,
            "curves_from": "candidates" if candidates else "picks above threshold",
        },
        "bootstrap": {"draws": config.bootstrap, "level": LEVEL, "caveat": caveat(len(runs), config.bootstrap)},
        "confusion": confusion.record(),
        "reliability": {name: table.record() if table else None for name, table in bins.items()},
        "curves": {name: curve(*of_class(name, reference, ranked), radius) for name, radius in radii.items()},
    }
    for name, row in evaluation["classes"].items():
        scores, right = rankings[name]
        picked = scores >= (thresholds or {}).get(name, -np.inf)
        row["expected_calibration_error"] = calibration_error(bins[name])
        row["expected_calibration_error_of_picks"] = calibration_error(reliability(scores[picked], right[picked]))
    out_dir = Path(config.out_dir)
    atomic_write_json(out_dir / "evaluation.json", evaluation)
    print(score_table(evaluation))
    if seen:
        print(f"NOT A TEST: the checkpoint saw {', '.join(seen)} (training or thresholds); this reads too well")
    if candidates is None:
        print("average precision covers picks above threshold only: no candidates.json of these; set candidates")
    if evaluation["bootstrap"]["caveat"]:
        print(evaluation["bootstrap"]["caveat"])
    if confusion.any:
        print(f"\n{confusion_table(confusion)}\n")
    print(f"wrote {out_dir / 'evaluation.json'}")
    if config.figures:
        from tomoseek.evaluation.figures import write_figures  # matplotlib is slow to import
        from tomoseek.evaluation.slices import ScoredRun

        shown = [
            ScoredRun(run.tomogram, {name: run.points_xyz[name] for name in radii}, picks[run.name]) for run in runs
        ]
        drawn = write_figures(out_dir / "figures", evaluation, rankings, bins, confusion, shown)
        print(f"drew {', '.join(path.name for path in drawn)} in {out_dir / 'figures'}")


def measure(
    reference: dict[str, dict[str, Points]],
    picks: dict[str, dict[str, Picks]],
    ranked: dict[str, dict[str, Picks]],
    radii: dict[str, float],
    weights: dict[str, float],
    num_draws: int,
) -> dict[str, Any]:
    """Return ``weighted_f4`` and ``classes`` of ``evaluation.json``, with their intervals.

    Parameters
    ----------
    reference
        Run to class to ``(n, 3)`` points in Å.
    picks, ranked
        Run to class to the picks that are scored, and to those that average precision ranks.
    radii, weights
        By class, radii in Å.
    num_draws
        Of runs, for the intervals.
    """
    found = {run: {name: by_class[name].points_xyz for name in radii} for run, by_class in picks.items()}
    scores = class_scores(reference, found, radii)
    intervals = bootstrap(run_counts(reference, found, radii), weights, num_draws)
    classes: dict[str, dict[str, Any]] = {}
    for name, radius in radii.items():
        distances = np.concatenate([hit_distances(reference[run][name], found[run][name], radius) for run in reference])
        bounds = {"f4": intervals.f4, "precision": intervals.precision, "recall": intervals.recall} if intervals else {}
        classes[name] = {
            **{key: number(value) for key, value in scores[name].items()},
            "average_precision": number(average_precision(*of_class(name, reference, ranked), radius)),
            "median_localisation_error_angstrom": float(np.median(distances)) if len(distances) else None,
            "mean_localisation_error_angstrom": float(np.mean(distances)) if len(distances) else None,
            **{f"{key}_interval": pair(bounds[key][name]) if bounds else None for key in ("f4", "precision", "recall")},
            "weight": weights[name],
            "radius_angstrom": radius,
        }
    return {
        "weighted_f4": number(weighted_f4(scores, weights)),
        "weighted_f4_interval": pair(intervals.weighted_f4) if intervals else None,
        "classes": classes,
    }


def of_class(
    name: str, reference: dict[str, dict[str, Points]], picks: dict[str, dict[str, Picks]]
) -> tuple[dict[str, Points], dict[str, Picks]]:
    """Return run to points, and run to picks, of one class."""
    return {run: points[name] for run, points in reference.items()}, {run: p[name] for run, p in picks.items()}


def curve(truth: dict[str, Points], scored: dict[str, Picks], radius: float) -> dict[str, list[float | None]]:
    """Return the precision-recall curve of one class as JSON holds it."""
    columns = zip(("precision", "recall", "threshold"), precision_recall(truth, scored, radius), strict=True)
    return {key: [number(round(float(value), 5)) for value in values] for key, values in columns}


def labelled_runs(config: EvaluateConfig, root: Any, radii: dict[str, float]) -> list[LabelledRun]:
    """Return the asked-for runs with their reference picks; without a list, those that have any.

    Raises
    ------
    InputError
        If a run that was asked for, or every run, has no reference picks.
    """
    runs = []
    for tomogram in find_tomograms(config.data):
        points = read_labels(root, tomogram.run, list(radii), config.reference, radii)
        if any(map(len, points.values())):
            runs.append(LabelledRun(tomogram, points))
        elif config.data.runs is not None:
            raise InputError(
                f"run {tomogram.run}: expected reference picks, found none; check reference.user_id and "
                "reference.session_id, or leave it out of data.runs"
            )
    if not runs:
        raise InputError(
            "expected runs with reference picks, found none; check reference.user_id, reference.session_id"
        )
    return runs


def separate_seen(
    config: EvaluateConfig, description: Description | None, candidates: Candidates | None, runs: list[LabelledRun]
) -> tuple[list[LabelledRun], list[str]]:
    """Drop or refuse the runs a checkpoint has seen; return the runs to score and the seen among them.

    Those of an ensemble's other members stand in ``candidates``. A run is recognised by project and name, and by its
    labels, so that a renamed copy does not slip through.

    Raises
    ------
    InputError
        If ``data.runs`` names such a run, or no other is left, unless ``allow_training_runs``.
    """
    project = str(Path(config.data.project or "").resolve())
    known = [*description.seen_runs, *(candidates.seen_runs if candidates else [])] if description else []
    by_name = {(entry["project"], entry["run"]) for entry in known}
    by_labels = {label for entry in known for label in entry["labels"].items()}
    seen = [
        run.name for run in runs
        if (project, run.name) in by_name or by_labels & label_digests(run.points_xyz).items()
    ]  # fmt: skip
    if not seen or config.allow_training_runs:
        return runs, seen
    fresh = [run for run in runs if run.name not in seen]
    if config.data.runs is None and fresh:
        print(f"left out, seen in training or threshold fitting: {', '.join(seen)}")
        return fresh, []
    raise InputError(
        f"expected runs the checkpoint has not seen, found {', '.join(seen)} (training or thresholds); "
        "score other runs with data.runs=[...], or set allow_training_runs=true"
    )


def predicted(config: EvaluateConfig, root: Any, run_name: str, names: list[str]) -> dict[str, Picks]:
    """Read one run's picks to score.

    Raises
    ------
    InputError
        If the run has no picks file of any of these classes: it was not searched.
    """
    user_id, session_id = config.picks.user_id, config.picks.session_id
    there = {name for name, user, session in list_picks(root, run_name) if (user, session) == (user_id, session_id)}
    if not there & set(names):
        raise InputError(f"run {run_name}: expected picks of {user_id}/{session_id}, found none; run predict first")
    return {name: read_picks(root, run_name, name, user_id, session_id) for name in names}


def candidates_of(config: EvaluateConfig) -> Candidates | None:
    """Read the candidates that predict wrote together with the picks to score."""
    assert config.picks.user_id is not None and config.picks.session_id is not None
    if config.candidates is None:
        return None
    folder = Path(config.candidates)
    return load_candidates(folder, config.data.project, config.picks.user_id, config.picks.session_id)


def covers(candidates: Candidates, picks: dict[str, dict[str, Picks]]) -> bool:
    """Whether there are candidates of every run and class that is scored."""
    return all(set(by_class) <= set(candidates.by_run.get(run, {})) for run, by_class in picks.items())


def number(value: float) -> float | None:
    """Return a number as JSON can hold it: null where nothing can be said."""
    return None if math.isnan(value) else value


def pair(interval: Interval) -> list[float] | None:
    """Return an interval as JSON can hold it."""
    return None if math.isnan(interval[0]) else list(interval)
