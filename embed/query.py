"""``embed query``: a few example picks or a structure in, picks of their like in every indexed tomogram out."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embed.conflicts import resolve_conflicts, warn_of_lookalikes
from embed.doubts import doubts_of_examples, doubts_of_points
from embed.example_sources import ExamplePoints, collect_examples
from embed.examples import Examples, merge_examples, read_examples
from embed.index import Index
from embed.promise import choose_cutoff
from embed.search import Found, search
from embed.searched import Searched, open_searched
from tomoseek.complexes import Complex
from tomoseek.config import DataConfig, PicksConfig
from tomoseek.errors import InputError
from tomoseek.files import atomic_write_bytes, atomic_write_json
from tomoseek.messages import warn
from tomoseek.picks.copick_picks import write_picks
from tomoseek.tomograms.project import check_name, ensure_object, object_radii

if TYPE_CHECKING:  # with torch, seconds to import, and a search from clicks does without it
    from embed.structure.sources import Structure

PROMISES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # precisions for which the record names thresholds


@dataclass(kw_only=True, slots=True)
class QueryConfig:
    """Settings of ``embed query`` (``configs/embed_query.yaml``)."""

    data: DataConfig
    tomogram: Any  # a file, or a list of them
    index: str
    encoder: str | None
    points: list[Any] | None
    run: str | None
    examples: Any  # a source, a list of them, or one by object, see `embed.example_sources`
    structure: Any  # a file, the name of a complex, a list of them, or one by object, see `embed.structure.sources`
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
    picture: bool
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
    """Search, localise, and write for each object its picks as tables and as a picture, and what was done."""
    searched = open_searched(config.data, config.tomogram, config.index, config.encoder)
    started = time.perf_counter()  # tomograms that had to be embedded first say so themselves
    index, root = searched.index, searched.root
    at = config.run or (searched.runs[0] if config.tomogram is not None and len(searched.runs) == 1 else None)
    structures = _structures(config, searched)
    points: dict[str, ExamplePoints] = {name: {} for name in structures}
    if not structures or config.points is not None or config.examples is not None:
        points |= collect_examples(
            root, index.frames, points=config.points, examples=config.examples,
            run=at if config.points is not None or config.run else None, default_run=at, name=config.name,
        )  # fmt: skip
    for name in points:
        check_name(name, "name")
    radii = _radii(root, points, structures, config.radius)
    unwanted = collect_negatives(searched, list(points), config.negatives, at)
    doubts = {name: doubts_of_examples(index, value, searched.runs) for name, value in points.items()}
    read = {
        name: _read(index, value, min(config.recentre, radii[name]), doubts[name])
        for name, value in points.items()
        if value
    }
    rendered, strength = _rendered(searched, structures)
    examples = {name: merge_examples(each[name] for each in (read, rendered) if name in each) for name in points}
    negatives = {name: _read(index, value, 0.0) for name, value in unwanted.items()}
    alike = warn_of_lookalikes(examples)
    if structures and strength is None:
        for name in rendered:
            doubts[name].append(
                "it cannot be told how strongly the tomograms show a structure: none is like anything that is searched"
            )
    found = {
        name: search(
            index, value, radius_angstrom=radii[name], name=name, runs=searched.runs, threshold=config.threshold,
            precision=config.precision, max_picks=config.max_picks, rival_weight=config.rival_weight,
            negatives=negatives.get(name), particle_margin=config.particle_margin, num_candidates=config.num_candidates,
            doubts=doubts[name], rendered=rendered.get(name),
        )
        for name, value in examples.items()
    }  # fmt: skip
    warn_of_doubts(index, found, unwanted)
    found, given_up = resolve_conflicts(index, found, examples, radii)
    out_dir = Path(config.out_dir)
    if root is not None:
        owner = config.picks.owner()
        for name, radius in radii.items():
            root = ensure_object(config.data.project, Complex(name=name, radius_angstrom=radius))
        for name, each in found.items():
            for key, picks in each.by_run.items():
                write_picks(root, key, name, picks, *owner)
    for name, each in found.items():
        each.picks.to_csv(out_dir / f"{name}.csv")
        each.picks.to_star(out_dir / f"{name}.star")
        record = {
            "name": name,
            "radius_angstrom": radii[name],
            "examples_xyz": {key: value.tolist() for key, value in points[name].items()},
            "negatives_xyz": {key: value.tolist() for key, value in unwanted.get(name, {}).items()},
            **_record(config, index, each),
            "structure": structures[name].source if name in structures else None,
            "num_renderings": len(rendered[name].vectors) if name in rendered else 0,
            "strength": strength,
            "looks_like": alike[name],
            "num_picks": {key: len(picks) for key, picks in each.by_run.items()},
            "num_given_up": dict(given_up[name]),
            "seconds": round(time.perf_counter() - started, 3),
        }
        atomic_write_json(out_dir / f"{name}.json", record)
        num_clicks = sum(len(value) for value in points[name].values())
        sources = [f"{num_clicks} examples"] if num_clicks else []
        sources += [f"{len(rendered[name].vectors)} renderings of a structure"] if name in rendered else []
        _report(config, name, each, " and ".join(sources), given_up[name].total(), time.perf_counter() - started)
        if config.picture:
            _draw(searched, each, points[name], out_dir / f"{name}.png")
    searched.failures.finish(len(searched.runs))


def _structures(config: QueryConfig, searched: Searched) -> dict[str, "Structure"]:
    """Find the structures that are looked for; a single one is called what the query calls it."""
    if config.structure is None:
        return {}
    from embed.structure.sources import find_structures

    found = find_structures(config.structure, searched.index.entries[searched.runs[0]].voxel_spacing)
    return {config.name: next(iter(found.values()))} if config.name and len(found) == 1 else found


def _radii(
    root: Any, points: dict[str, ExamplePoints], structures: dict[str, "Structure"], given: Any
) -> dict[str, float]:
    """Return the radius of each object: the one given, the project's, or that of its structure."""
    wanted = given if isinstance(given, dict) else dict.fromkeys(points, given) if given is not None else {}
    known = {item.name for item in root.pickable_objects if item.radius} if root is not None else set()
    own = {name: each.radius_angstrom for name, each in structures.items() if name not in known}
    return object_radii(root, points, {**own, **wanted} or None)


def _rendered(searched: Searched, structures: dict[str, "Structure"]) -> tuple[dict[str, Examples], float | None]:
    """Render structures into what is searched; return examples and their strength."""
    if not structures:
        return {}, None
    from embed.structure.examples import structure_examples

    return structure_examples(searched.index, structures, searched.runs, searched.tomogram)


def collect_negatives(
    searched: Searched, names: list[str], negatives: Any, default_run: str | None
) -> dict[str, ExamplePoints]:
    """Return for each object the points that are not it: all of them for a single one, else those under its name."""
    if negatives is None:
        return {}
    name = names[0] if len(names) == 1 else None
    found = collect_examples(
        searched.root, searched.index.frames, points=None, examples=negatives, run=None, default_run=default_run,
        name=name, word="negatives",
    )  # fmt: skip
    strays = sorted(set(found) - set(names))
    if strays:
        raise InputError(
            f"negatives={negatives}: expected points under the name of what they are not ({', '.join(names)}), found "
            f"{strays[0]}; rename or drop them"
        )
    return found


def warn_of_doubts(index: Index, found: dict[str, Found], unwanted: dict[str, ExamplePoints]) -> None:
    """Say once each why nothing is promised, and which negatives lie on nothing."""
    for doubt in dict.fromkeys(doubt for each in found.values() for doubt in each.doubts):
        warn(f"{doubt}; finds are ranked and nothing is promised")
    for name, points in unwanted.items():
        for doubt in doubts_of_points(index, points, f"negatives of {name}"):
            warn(doubt)


def _read(index: Index, points: ExamplePoints, reach_angstrom: float, doubts: Sequence[str] = ()) -> Examples:
    """Read the examples of one object; where they cannot be, say what speaks against them too."""
    try:
        return merge_examples(read_examples(index, value, key, reach_angstrom) for key, value in points.items())
    except InputError as error:
        raise InputError("; ".join([str(error), *doubts])) from error


def _record(config: QueryConfig, index: Index, found: Found) -> dict[str, Any]:
    """Describe the search for one object well enough to repeat it, and what is expected of its picks."""
    promised = found.probability is not None
    return {
        "threshold": found.cutoff.threshold,
        "threshold_is_given": config.threshold is not None,
        "expected_precision": found.cutoff.precision,
        "expected_recall": found.cutoff.recall,
        "nothing_promised_because": list(found.doubts),
        "ranked_by": "density" if found.ranked_by_density else "likeness",
        "choices": [asdict(choose_cutoff(*found.ranked, precision)) for precision in PROMISES] if promised else [],
        "leave_one_out_scores": found.leave_one_out.tolist(),
        "least_particle_logit": None if config.particle_margin is None else found.least_logit,
        "recentre_angstrom": config.recentre,
        "rival_weight": config.rival_weight,
        "num_rivals": len(found.prototype.rivals),
        "index": str(index.folder),
        "fingerprint": index.header.fingerprint,
        "picks": {"user_id": config.picks.user_id, "session_id": config.picks.session_id},
    }


def _report(config: QueryConfig, name: str, found: Found, sources: str, num_given_up: int, seconds: float) -> None:
    """Say in one line what was found of one object."""
    cutoff, picks = found.cutoff, found.picks
    expected = "nothing is promised"
    if cutoff.precision is not None:
        if config.precision is not None and config.threshold is None and cutoff.precision < config.precision:
            warn(
                f"no threshold promises precision {config.precision:g}; the best promises {cutoff.precision:.2f}. "
                "Give more examples, or look at the picks"
            )
        wrong = (1 - cutoff.precision) * picks.num_picks / max(len(picks), 1)
        expected = (
            f"expected precision {cutoff.precision:.2f}, recall {cutoff.recall:.2f}, {wrong:.1f} false picks per run"
        )
    owner = (
        f"copick user {config.picks.user_id}, session {config.picks.session_id}, and " if config.data.project else ""
    )
    print(
        f"{name}: {picks.num_picks} picks in {len(picks)} runs from {sources}, score >= "
        f"{cutoff.threshold:.3f}; {expected}; "
        f"{f'{num_given_up} places given up to other objects; ' if num_given_up else ''}{owner}"
        f"{Path(config.out_dir) / name}.csv; {seconds:.1f} s"
    )


def _draw(searched: Searched, found: Found, points: ExamplePoints, path: Path) -> None:
    """Draw the examples, the finds and a slice through the tomogram that holds most of them."""
    from embed.picture import search_figure
    from tomoseek.plots import to_png

    try:
        picture = to_png(search_figure(found, points, searched.tomogram))
    except (InputError, FileNotFoundError) as error:  # the finds are there, and what was embedded may be gone
        warn(f"{path} was not drawn: {error}")
        return
    atomic_write_bytes(path, picture)
    print(f"drew {path}")
