"""Score picks against a reference by the rule of the CZII challenge."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.candidates import load_candidates
from finetune.checkpoint import Description, load_description
from finetune.labels import LabelledRun, PicksConfig, class_radii, label_digests, read_labels
from tomoseek.complexes import class_weight
from tomoseek.config import DataConfig
from tomoseek.errors import InputError
from tomoseek.files import atomic_write_json
from tomoseek.picks import Picks, list_picks, read_picks
from tomoseek.score import average_precision, class_scores, precision_recall, weighted_f4
from tomoseek.tomograms import find_tomograms, open_project

BETA = 4.0


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
    out_dir: str


def run(config: EvaluateConfig) -> None:
    """Compare picks with the reference, print a table, write ``evaluation.json``."""
    if config.picks.user_id is None or config.picks.session_id is None:
        raise InputError("picks: expected the user_id and session_id of the picks to score, found null; give both")
    description = load_description(Path(config.checkpoint)) if config.checkpoint is not None else None
    root = open_project(config.data.project)
    wanted = config.classes if config.classes is not None else list(description.radii) if description else None
    radii = class_radii(root, wanted)
    runs = labelled_runs(config, root, radii)
    runs, seen = separate_seen(config, description, runs)
    reference = {run.name: run.points_xyz for run in runs}
    picks = {run.name: predicted(config, root, run.name, list(radii)) for run in runs}
    if wanted is None:
        radii = {n: r for n, r in radii.items() if any(len(points[n]) for points in reference.values())}
    for name in config.weights or {}:
        if name not in radii:
            raise InputError(f"weights: '{name}' is not scored; scored classes: {', '.join(radii)}")
    weights = {name: (config.weights or {}).get(name, class_weight(name)) for name in radii}

    scores = class_scores(
        {run: {name: points[name] for name in radii} for run, points in reference.items()},
        {run: {name: found[name].points_xyz for name in radii} for run, found in picks.items()},
        radii,
    )
    candidates, whole = candidates_of(config, picks)
    classes: dict[str, dict[str, Any]] = {}
    curves: dict[str, dict[str, list[float | None]]] = {}
    for name, radius in radii.items():
        truth = {run: points[name] for run, points in reference.items()}
        scored = {run: found[name] for run, found in candidates.items()}
        classes[name] = {
            **{key: number(value) for key, value in scores[name].items()},
            "average_precision": number(average_precision(truth, scored, radius)),
            "weight": weights[name],
            "radius_angstrom": radius,
        }
        columns = zip(("precision", "recall", "threshold"), precision_recall(truth, scored, radius), strict=True)
        curves[name] = {key: [number(round(float(value), 5)) for value in values] for key, values in columns}
    total = weighted_f4(scores, weights)
    evaluation = {
        "weighted_f4": number(total),
        "classes": classes,
        "runs": list(reference),
        "settings": {
            "beta": BETA,
            "project": config.data.project,
            "checkpoint": config.checkpoint,
            "thresholds": description.thresholds if description else None,
            "picks": {"user_id": config.picks.user_id, "session_id": config.picks.session_id},
            "reference": {"user_id": config.reference.user_id, "session_id": config.reference.session_id},
            "runs_seen_in_training": seen,
            "curves_from": "candidates" if whole else "picks above threshold",
        },
        "curves": curves,
    }
    path = Path(config.out_dir) / "evaluation.json"
    atomic_write_json(path, evaluation)
    print(table(total, classes, list(reference)))
    if seen:
        print(f"NOT A TEST: the checkpoint saw {', '.join(seen)} (training or thresholds); this reads too well")
    if not whole:
        print("average precision covers picks above threshold only: no candidates.json of these; set candidates")
    print(f"wrote {path}")


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
    config: EvaluateConfig, description: Description | None, runs: list[LabelledRun]
) -> tuple[list[LabelledRun], list[str]]:
    """Drop or refuse the runs a checkpoint has seen; return the runs to score and the seen among them.

    A run is recognised by project and name, and by its labels, so that a renamed copy does not slip through.

    Raises
    ------
    InputError
        If ``data.runs`` names such a run, or no other is left, unless ``allow_training_runs``.
    """
    project = str(Path(config.data.project or "").resolve())
    known = description.seen_runs if description else []
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


def candidates_of(
    config: EvaluateConfig, picks: dict[str, dict[str, Picks]]
) -> tuple[dict[str, dict[str, Picks]], bool]:
    """Return predict's candidates if they belong to these picks, else the picks; and whether it did."""
    assert config.picks.user_id is not None and config.picks.session_id is not None
    if config.candidates is None:
        return picks, False
    found = load_candidates(Path(config.candidates), config.data.project, config.picks.user_id, config.picks.session_id)
    if found is None or any(run not in found or not set(picks[run]) <= set(found[run]) for run in picks):
        return picks, False
    return {run: found[run] for run in picks}, True


def number(value: float) -> float | None:
    """Return a number as JSON can hold it: null where nothing can be said."""
    return None if math.isnan(value) else value


def table(total: float, classes: dict[str, dict[str, Any]], runs: list[str]) -> str:
    """Return the scores as lines to print."""
    head = f"{'class':<22}{'weight':>7}{'F4':>7}{'prec.':>7}{'recall':>7}{'AP':>7}{'TP':>6}{'FP':>6}{'FN':>6}"
    lines = []
    for name, row in classes.items():
        shares = [
            "-" if row[key] is None else f"{row[key]:.3f}" for key in ("f4", "precision", "recall", "average_precision")
        ]
        counts = [str(row[key]) for key in ("tp", "fp", "fn")]
        lines.append(
            f"{name:<22}{row['weight']:>7g}" + "".join(f"{v:>7}" for v in shares) + "".join(f"{v:>6}" for v in counts)
        )
    return "\n".join([head, *lines, f"weighted F4 {total:.3f} on {len(runs)} runs: {', '.join(runs)}"])
