"""``embed query``: a few example picks in, picks of their like in every indexed tomogram out."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from embed.conflicts import resolve_conflicts
from embed.examples import ExamplePoints, collect_examples
from embed.index import Found, Index
from embed.promise import choose_cutoff
from embed.search import Examples, merge_examples
from tomoseek.complexes import Complex
from tomoseek.config import DataConfig, PicksConfig
from tomoseek.errors import InputError
from tomoseek.files import atomic_write_json
from tomoseek.messages import warn
from tomoseek.picks.copick_picks import write_picks
from tomoseek.picks.tables import write_csv
from tomoseek.tomograms.project import check_name, ensure_object, object_radii, open_project

PROMISES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # precisions for which the record names thresholds


@dataclass(kw_only=True, slots=True)
class QueryConfig:
    """Settings of ``embed query`` (``configs/embed_query.yaml``)."""

    data: DataConfig
    index: str
    encoder: str | None
    points: list[Any] | None
    run: str | None
    examples: Any  # a source, a list of them, or one by object, see `embed.examples`
    negatives: Any
    name: str | None
    radius: Any  # Å, or Å by object
    recentre: float
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
        if not 0 <= self.recentre < float("inf"):
            raise InputError(f"recentre={self.recentre}: expected how far examples may be moved, in Å, 0 or more")
        if self.rival_weight < 0:
            raise InputError(f"rival_weight={self.rival_weight}: expected 0 or more")
        radii = list(self.radius.values()) if isinstance(self.radius, dict) else [self.radius]
        if self.radius is not None and not all(isinstance(r, int | float) and 0 < r < float("inf") for r in radii):
            raise InputError(
                f"radius={self.radius}: expected the particle radius in Å, more than 0, or {{object: radius, ...}}"
            )


def run(config: QueryConfig) -> None:
    """Search, localise, and write for each object copick picks, a CSV and what was done."""
    started = time.perf_counter()
    index = Index.open(config.index)
    if config.encoder is not None:
        from tomoseek.network.weights import fingerprint, load_encoder  # slow to import, and seldom needed here

        index.check_encoder(fingerprint(load_encoder(config.encoder, "cpu")), config.encoder)
    root = open_project(config.data.project)
    points = collect_examples(
        root, index.entries, points=config.points, examples=config.examples, run=config.run, name=config.name
    )
    for name in points:
        check_name(name, "name")
    given = config.radius if isinstance(config.radius, dict) else dict.fromkeys(points, config.radius)
    radii = object_radii(root, points, given if config.radius is not None else None)
    unwanted = collect_negatives(root, index, list(points), config.negatives)
    runs = runs_to_search(root, index, config.data.runs)
    examples = {name: _read(index, value, min(config.recentre, radii[name])) for name, value in points.items()}
    negatives = {name: _read(index, value, 0.0) for name, value in unwanted.items()}
    found = {
        name: index.search(
            value, radius_angstrom=radii[name], runs=runs, threshold=config.threshold, precision=config.precision,
            max_picks=config.max_picks, rival_weight=config.rival_weight, negatives=negatives.get(name),
            particle_margin=config.particle_margin, num_candidates=config.num_candidates,
        )
        for name, value in examples.items()
    }  # fmt: skip
    found, given_up = resolve_conflicts(index, found, examples, radii)
    for name, radius in radii.items():
        root = ensure_object(config.data.project, Complex(name=name, radius_angstrom=radius))
    owner, out_dir = config.picks.owner(), Path(config.out_dir)
    for name, each in found.items():
        for key, picks in each.picks.items():
            write_picks(root, key, name, picks, *owner)
        write_csv(out_dir / f"{name}.csv", [(key, name, picks) for key, picks in each.picks.items()])
        record = {
            "name": name,
            "radius_angstrom": radii[name],
            "examples_xyz": {key: value.tolist() for key, value in points[name].items()},
            "negatives_xyz": {key: value.tolist() for key, value in unwanted.get(name, {}).items()},
            **_record(config, index, each),
            "num_picks": {key: len(picks) for key, picks in each.picks.items()},
            "num_given_up": dict(given_up[name]),
            "seconds": round(time.perf_counter() - started, 3),
        }
        atomic_write_json(out_dir / f"{name}.json", record)
        num_examples = sum(len(value) for value in points[name].values())
        _report(config, name, each, num_examples, given_up[name].total(), time.perf_counter() - started)


def collect_negatives(root: Any, index: Index, names: list[str], negatives: Any) -> dict[str, ExamplePoints]:
    """Return for each object the points that are not it: all of them for a single one, else those under its name."""
    if negatives is None:
        return {}
    name = names[0] if len(names) == 1 else None
    found = collect_examples(
        root, index.entries, points=None, examples=negatives, run=None, name=name, word="negatives"
    )  # fmt: skip
    strays = sorted(set(found) - set(names))
    if strays:
        raise InputError(
            f"negatives={negatives}: expected points under the name of what they are not ({', '.join(names)}), found "
            f"{strays[0]}; rename or drop them"
        )
    return found


def _read(index: Index, points: ExamplePoints, reach_angstrom: float) -> Examples:
    return merge_examples(index.read_examples(value, key, reach_angstrom) for key, value in points.items())


def runs_to_search(root: Any, index: Index, chosen: list[str] | None) -> list[str]:
    """Return the chosen runs, or every indexed run that the project still has."""
    in_project = {item.name for item in root.runs}
    if chosen is None:
        for run_name in sorted(set(index.entries) - in_project):
            warn(f"run {run_name} is in the index but not in the project; it is not searched")
        chosen = sorted(set(index.entries) & in_project)
    if not chosen:
        raise InputError(
            f"index {index.folder}: expected at least one run of the project in it, found none; run embed build"
        )
    for run_name in chosen:
        if run_name not in index.entries:
            raise InputError(f"data.runs: run '{run_name}' is not in index {index.folder}; run embed build for it")
    return chosen


def _record(config: QueryConfig, index: Index, found: Found) -> dict[str, Any]:
    """Describe the search for one object well enough to repeat it, and what is expected of its picks."""
    return {
        "threshold": found.cutoff.threshold,
        "threshold_is_given": config.threshold is not None,
        "expected_precision": found.cutoff.precision,
        "expected_recall": found.cutoff.recall,
        "choices": [asdict(choose_cutoff(*found.ranked, precision)) for precision in PROMISES],
        "leave_one_out_scores": found.leave_one_out.tolist(),
        "particle_floor": None if config.particle_margin is None else found.particle_floor,
        "recentre_angstrom": config.recentre,
        "rival_weight": config.rival_weight,
        "num_rivals": len(found.prototype.rivals),
        "index": str(index.folder),
        "fingerprint": index.header.fingerprint,
        "picks": {"user_id": config.picks.user_id, "session_id": config.picks.session_id},
    }


def _report(config: QueryConfig, name: str, found: Found, num_examples: int, num_given_up: int, seconds: float) -> None:
    """Say in one line what was found of one object."""
    cutoff, total = found.cutoff, sum(len(picks) for picks in found.picks.values())
    if config.precision is not None and config.threshold is None and cutoff.precision < config.precision:
        warn(
            f"no threshold promises precision {config.precision:g}; the best promises {cutoff.precision:.2f}. "
            "Give more examples, or look at the picks"
        )
    print(
        f"{name}: {total} picks in {len(found.picks)} runs from {num_examples} examples, score >= "
        f"{cutoff.threshold:.3f}; expected precision {cutoff.precision:.2f}, recall {cutoff.recall:.2f}, "
        f"{(1 - cutoff.precision) * total / max(len(found.picks), 1):.1f} false picks per run; "
        f"{f'{num_given_up} places given up to other objects; ' if num_given_up else ''}copick user "
        f"{config.picks.user_id}, session {config.picks.session_id}, and {Path(config.out_dir) / name}.csv; "
        f"{seconds:.1f} s"
    )
