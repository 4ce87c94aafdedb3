"""``embed query``: a few example picks in, picks of their like in every indexed tomogram out."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embed.examples import ExamplePoints, collect_examples
from embed.index import Found, Index
from embed.prototype import Discriminant
from embed.search import merge_examples
from tomoseek.complexes import Complex
from tomoseek.config import DataConfig
from tomoseek.errors import InputError
from tomoseek.picks import write_csv, write_picks
from tomoseek.project import check_name, ensure_object, open_project
from tomoseek.training import atomic_write_json


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
    name: str | None
    radius: float | None
    threshold: float | None
    max_picks: int
    discriminant: Discriminant
    particle_margin: float | None
    num_candidates: int
    picks: PicksConfig
    out_dir: str

    def __post_init__(self) -> None:
        if self.max_picks < 1 or self.num_candidates < 1:
            raise InputError(
                f"max_picks={self.max_picks}, num_candidates={self.num_candidates}: expected at least 1 each"
            )
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
    points = collect_examples(root, points=config.points, examples=config.examples, run=config.run, name=config.name)
    runs = _runs_to_search(root, index, config.data.runs)
    examples = merge_examples(index.read_examples(value, key) for key, value in points.items())
    found = index.search(
        examples, radius_angstrom=radius, runs=runs, threshold=config.threshold, max_picks=config.max_picks,
        discriminant=config.discriminant, particle_margin=config.particle_margin,
        num_candidates=config.num_candidates,
    )  # fmt: skip
    root = ensure_object(config.data.project, Complex(name=config.name, radius_angstrom=radius))
    for key, picks in found.picks.items():
        write_picks(root, key, config.name, picks, config.picks.user_id, config.picks.session_id)
    out_dir = Path(config.out_dir)
    write_csv(out_dir / f"{config.name}.csv", [(key, config.name, picks) for key, picks in found.picks.items()])
    seconds = time.perf_counter() - started
    atomic_write_json(out_dir / f"{config.name}.json", _record(config, index, radius, points, found, seconds))
    total = sum(len(picks) for picks in found.picks.values())
    num_examples = sum(len(value) for value in points.values())
    origin = "given" if config.threshold is not None else "provisional, from the examples alone"
    print(
        f"{config.name}: {total} picks in {len(found.picks)} runs from {num_examples} examples, score >= "
        f"{found.threshold:.3f} ({origin}); copick user {config.picks.user_id}, "
        f"session {config.picks.session_id}, and {out_dir / config.name}.csv; {seconds:.1f} s"
    )


def _radius(root: Any, name: str, radius: float | None) -> float:
    """Take the radius given, else that of the project's object of this name."""
    if radius is not None:
        return radius
    for known in root.pickable_objects:
        if known.name == name and known.radius:
            return float(known.radius)
    raise InputError(f"radius: expected the radius of '{name}' in Å, which the project does not know; give radius=...")


def _runs_to_search(root: Any, index: Index, chosen: list[str] | None) -> list[str]:
    """Return the chosen runs, or every indexed run that the project still has."""
    in_project = {item.name for item in root.runs}
    if chosen is None:
        for run_name in sorted(set(index.entries) - in_project):
            print(f"warning: run {run_name} is in the index but not in the project; it is not searched")
        return sorted(set(index.entries) & in_project)
    for run_name in chosen:
        if run_name not in index.entries:
            raise InputError(f"data.runs: run '{run_name}' is not in index {index.folder}; run embed build for it")
    return chosen


def _record(
    config: QueryConfig, index: Index, radius: float, points: ExamplePoints, found: Found, seconds: float
) -> dict[str, Any]:
    """Describe a query well enough to repeat it."""
    return {
        "name": config.name,
        "radius_angstrom": radius,
        "examples_xyz": {key: value.tolist() for key, value in points.items()},
        "threshold": found.threshold,
        "threshold_is_provisional": config.threshold is None,
        "leave_one_out_scores": found.leave_one_out.tolist(),
        "particle_floor": None if config.particle_margin is None else found.particle_floor,
        "discriminant": config.discriminant.value,
        "num_picks": {key: len(picks) for key, picks in found.picks.items()},
        "index": str(index.folder),
        "fingerprint": index.header.fingerprint,
        "picks": {"user_id": config.picks.user_id, "session_id": config.picks.session_id},
        "seconds": round(seconds, 3),
    }
