"""``embed evaluate``: average precision of found picks against a reference, over runs without an example."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tomoseek.config import DataConfig, PicksConfig
from tomoseek.errors import InputError
from tomoseek.evaluation.score import average_precision, count_hits, precision_recall
from tomoseek.files import atomic_write_json
from tomoseek.picks.copick_picks import read_picks
from tomoseek.picks.points import Picks
from tomoseek.tomograms.project import object_radii, open_project


@dataclass(kw_only=True, slots=True)
class ReferenceConfig:
    """Whose picks are the truth: copick user and session; ``None`` is anyone but the finder."""

    user_id: str | None
    session_id: str | None


@dataclass(kw_only=True, slots=True)
class EvaluateConfig:
    """Settings of ``embed evaluate`` (``configs/embed_evaluate.yaml``)."""

    data: DataConfig
    name: str | None
    reference: ReferenceConfig
    picks: PicksConfig
    exclude_runs: list[str]
    out_dir: str


def run(config: EvaluateConfig) -> None:
    """Score the picks of one class and write ``few_shot.json``."""
    if config.name is None:
        raise InputError("name: expected the object to score, found none; give name=<object name>")
    root = open_project(config.data.project)
    radii = object_radii(root)
    if config.name not in radii:
        raise InputError(f"name: expected one of {', '.join(radii)} (the project's objects), found '{config.name}'")
    finder = config.picks.owner()
    names = _runs_to_score(root, config.data.runs, config.exclude_runs)
    reference, found = {}, {}
    for key in names:
        truth = config.reference
        reference[key] = read_picks(
            root, key, config.name, truth.user_id, truth.session_id, exclude_users=[finder[0]]
        ).points_xyz
        found[key] = read_picks(root, key, config.name, *finder)
    if not any(len(points) for points in reference.values()):
        raise InputError(
            f"expected reference picks of '{config.name}' in runs {', '.join(names)}, found none; check "
            "reference.user_id, reference.session_id and exclude_runs"
        )
    scores = evaluate_query(reference, found, radii[config.name])
    record = {"class": config.name, "radius_angstrom": radii[config.name], "runs": names, **scores}
    out = Path(config.out_dir) / "few_shot.json"
    atomic_write_json(out, record)
    print(
        f"{config.name}: average precision {scores['average_precision']:.3f} over {len(names)} runs "
        f"({scores['num_references']} reference, {scores['num_picks']} found); as picked: precision "
        f"{scores['precision']:.3f}, recall {scores['recall']:.3f}; {out}"
    )


def evaluate_query(reference: dict[str, Any], found: dict[str, Picks], radius_angstrom: float) -> dict[str, Any]:
    """Score picks of one class.

    Parameters
    ----------
    reference
        Run to ``(n, 3)`` true centres, x y z in Å; leave out the runs of the examples.
    found
        Run to picks with scores.
    radius_angstrom
        A pick counts within half of it.

    Returns
    -------
    ``average_precision``, the best F1 along the ranking, and precision and recall of all picks together.
    """
    precision, recall = precision_recall(reference, found, radius_angstrom)[:2]
    sums = precision + recall
    best_f1 = max((2 * p * r / s for p, r, s in zip(precision, recall, sums, strict=True) if s > 0), default=0.0)
    counts = [count_hits(reference[key], found[key].points_xyz, radius_angstrom) for key in reference]
    tp, fp, fn = (sum(getattr(count, name) for count in counts) for name in ("tp", "fp", "fn"))
    return {
        "average_precision": float(average_precision(reference, found, radius_angstrom)),
        "best_f1": float(best_f1),
        "precision": tp / (tp + fp) if tp + fp else 0.0,
        "recall": tp / (tp + fn) if tp + fn else 0.0,
        "num_references": sum(len(points) for points in reference.values()),
        "num_picks": sum(len(picks) for picks in found.values()),
    }


def _runs_to_score(root: Any, chosen: list[str] | None, excluded: list[str]) -> list[str]:
    known = sorted(item.name for item in root.runs)
    names = known if chosen is None else chosen
    for name in [*names, *excluded]:
        if name not in known:
            raise InputError(f"expected runs among {', '.join(known)}, found '{name}' in data.runs or exclude_runs")
    left = [name for name in names if name not in excluded]
    if not left:
        raise InputError("exclude_runs: expected to leave at least one run to score, found none left")
    return left
