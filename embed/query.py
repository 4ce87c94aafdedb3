"""``embed query``: a few example picks in, picks of their like in every indexed tomogram out."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from embed.cutoff import choose_cutoff
from embed.examples import ExamplePoints, collect_examples
from embed.index import Found, Index
from embed.search import merge_examples
from tomoseek.complexes import Complex
from tomoseek.config import DataConfig
from tomoseek.errors import InputError
from tomoseek.files import atomic_write_json
from tomoseek.picks import write_csv, write_picks
from tomoseek.project import check_name, ensure_object, open_project

PROMISES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # precisions for which the record names thresholds


@dataclass(kw_only=True, slots=True)
class PicksConfig:
    """Under which copick user and session picks are written or read."""

    user_id: str
    session_id: str


@dataclass(kw_only=True, slots=True)
class QueryConfig:
    """Settings of ``embed query`` (``configs/embed_query.yaml``)."""

    data: DataConfig
    index: str
    encoder: str | None
    points: list[Any] | None
    run: str | None
    examples: str | None
    negatives: str | None
    name: str | None
    radius: float | None
    threshold: float | None
    precision: float | None
    max_picks: int
    rival_weight: float
    particle_margin: float | None
    num_candidates: int
    picks: PicksConfig
    out_dir: str

    def __post_init__(self) -> None:
        if self.max_picks < 1 or self.num_candidates < 1:
            raise InputError(
                f"max_picks={self.max_picks}, num_candidates={self.num_candidates}: expected at least 1 each"
            )
        if self.precision is not None and self.threshold is not None:
            raise InputError(
                f"threshold={self.threshold}, precision={self.precision}: expected one of them, found both"
            )
        if self.precision is not None and not 0 < self.precision < 1:
            raise InputError(f"precision={self.precision}: expected a share of true picks between 0 and 1")
        if self.rival_weight < 0:
            raise InputError(f"rival_weight={self.rival_weight}: expected 0 or more")
        if self.radius is not None and not 0 < self.radius < float("inf"):
            raise InputError(f"radius={self.radius}: expected the particle radius in Å, more than 0")


def run(config: QueryConfig) -> None:
    """Search, localise, and write copick picks, a CSV and what was done."""
    started = time.perf_counter()
    if config.name is None:
        raise InputError("name: expected a name for what is looked for, found none; give name=<object name>")
    check_name(config.name, "name")
    index = Index.open(config.index)
    if config.encoder is not None:
        from tomoseek.weights import fingerprint, load_encoder  # slow to import, and seldom needed here

        index.check_encoder(fingerprint(load_encoder(config.encoder, "cpu")), config.encoder)
    root = open_project(config.data.project)
    radius = _radius(root, config.name, config.radius)
    points = collect_examples(root, points=config.points, examples=config.examples, run=config.run)
    unwanted: ExamplePoints = {}
    if config.negatives is not None:
        unwanted = collect_examples(root, points=None, examples=config.negatives, run=None, word="negatives")
    runs = runs_to_search(root, index, config.data.runs)
    examples = merge_examples(index.read_examples(value, key) for key, value in points.items())
    negatives = merge_examples(index.read_examples(value, key) for key, value in unwanted.items()) if unwanted else None
    found = index.search(
        examples, radius_angstrom=radius, runs=runs, threshold=config.threshold, precision=config.precision,
        max_picks=config.max_picks, rival_weight=config.rival_weight, negatives=negatives,
        particle_margin=config.particle_margin, num_candidates=config.num_candidates,
    )  # fmt: skip
    root = ensure_object(config.data.project, Complex(name=config.name, radius_angstrom=radius))
    for key, picks in found.picks.items():
        write_picks(root, key, config.name, picks, config.picks.user_id, config.picks.session_id)
    out_dir = Path(config.out_dir)
    write_csv(out_dir / f"{config.name}.csv", [(key, config.name, picks) for key, picks in found.picks.items()])
    seconds = time.perf_counter() - started
    atomic_write_json(out_dir / f"{config.name}.json", _record(config, index, radius, points, unwanted, found, seconds))
    total = sum(len(picks) for picks in found.picks.values())
    num_examples = sum(len(value) for value in points.values())
    cutoff = found.cutoff
    if config.precision is not None and config.threshold is None and cutoff.precision < config.precision:
        print(
            f"warning: no threshold promises precision {config.precision:g}; the best promises {cutoff.precision:.2f}. "
            "Give more examples, or look at the picks"
        )
    print(
        f"{config.name}: {total} picks in {len(found.picks)} runs from {num_examples} examples, score >= "
        f"{cutoff.threshold:.3f}; expected precision {cutoff.precision:.2f}, recall {cutoff.recall:.2f}, "
        f"{(1 - cutoff.precision) * total / max(len(found.picks), 1):.1f} false picks per run; copick user "
        f"{config.picks.user_id}, session {config.picks.session_id}, and {out_dir / config.name}.csv; {seconds:.1f} s"
    )


def _radius(root: Any, name: str, radius: float | None) -> float:
    """Take the radius given, else that of the project's object of this name."""
    if radius is not None:
        return radius
    for known in root.pickable_objects:
        if known.name == name and known.radius:
            return float(known.radius)
    raise InputError(f"radius: expected the radius of '{name}' in Å, which the project does not know; give radius=...")


def runs_to_search(root: Any, index: Index, chosen: list[str] | None) -> list[str]:
    """Return the chosen runs, or every indexed run that the project still has."""
    in_project = {item.name for item in root.runs}
    if chosen is None:
        for run_name in sorted(set(index.entries) - in_project):
            print(f"warning: run {run_name} is in the index but not in the project; it is not searched")
        chosen = sorted(set(index.entries) & in_project)
    if not chosen:
        raise InputError(
            f"index {index.folder}: expected at least one run of the project in it, found none; run embed build"
        )
    for run_name in chosen:
        if run_name not in index.entries:
            raise InputError(f"data.runs: run '{run_name}' is not in index {index.folder}; run embed build for it")
    return chosen


def _record(
    config: QueryConfig,
    index: Index,
    radius: float,
    points: ExamplePoints,
    unwanted: ExamplePoints,
    found: Found,
    seconds: float,
) -> dict[str, Any]:
    """Describe a query well enough to repeat it."""
    return {
        "name": config.name,
        "radius_angstrom": radius,
        "examples_xyz": {key: value.tolist() for key, value in points.items()},
        "negatives_xyz": {key: value.tolist() for key, value in unwanted.items()},
        "threshold": found.cutoff.threshold,
        "threshold_is_given": config.threshold is not None,
        "expected_precision": found.cutoff.precision,
        "expected_recall": found.cutoff.recall,
        "choices": [asdict(choose_cutoff(*found.ranked, precision)) for precision in PROMISES],
        "leave_one_out_scores": found.leave_one_out.tolist(),
        "particle_floor": None if config.particle_margin is None else found.particle_floor,
        "rival_weight": config.rival_weight,
        "num_rivals": len(found.prototype.rivals),
        "num_picks": {key: len(picks) for key, picks in found.picks.items()},
        "index": str(index.folder),
        "fingerprint": index.header.fingerprint,
        "picks": {"user_id": config.picks.user_id, "session_id": config.picks.session_id},
        "seconds": round(seconds, 3),
    }
