"""``embed query``: a few example picks or a structure in, picks of their like in every indexed tomogram out."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embed.answer import Sources, write_answer, write_overview
from embed.conflicts import resolve_conflicts, warn_of_lookalikes
from embed.doubts import doubts_of_examples, doubts_of_points
from embed.example_sources import ExamplePoints, collect_examples
from embed.examples import Examples, merge_examples, read_examples
from embed.index import Index
from embed.judging_table import judge_by_table
from embed.overview import MAYBE, NOT_SEEN, summarise
from embed.query_settings import QueryConfig
from embed.search import Found, search
from embed.searched import Searched, open_searched
from embed.structure import LIBRARY
from tomoseek.complexes import Complex
from tomoseek.errors import InputError
from tomoseek.messages import warn
from tomoseek.picks.copick_picks import write_picks
from tomoseek.tomograms.project import check_name, ensure_object, object_radii

if TYPE_CHECKING:  # with torch, seconds to import, and a search from clicks does without it
    from embed.structure.sources import Structure


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
    summaries = summarise(found, alike)
    # Who asks for the whole library wants to know what is there; of all else nothing is written but the overview.
    unseen = {one.name for one in summaries if one.verdict in (MAYBE, NOT_SEEN) and config.structure == LIBRARY}
    answers = {name: each for name, each in found.items() if name not in unseen}
    judged = judge_by_table(Path(config.judged), answers) if config.judged else {}
    if root is not None:
        owner = config.picks.owner()
        for name in answers:
            root = ensure_object(config.data.project, Complex(name=name, radius_angstrom=radii[name]))
        for name, each in answers.items():
            for key, picks in each.by_run.items():
                write_picks(root, key, name, picks, *owner)
    seconds = time.perf_counter() - started
    for name, each in answers.items():
        sources = Sources(points[name], unwanted.get(name, {}), structures.get(name), rendered.get(name))
        write_answer(config, searched, each, sources, given_up[name], alike[name], strength, judged.get(name), seconds)
    if len(structures) > 1:
        write_overview(config, searched, found, structures, summaries)
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
