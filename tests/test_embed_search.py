"""A search of an index whose cells hold planted vectors: what is found, what is promised, who gets a place."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from test_embed_index import GRID, SPACING, index_of, shard_of, unit_field

from embed.conflicts import resolve_conflicts
from embed.density_profile import NUM_SHELLS, STEP
from embed.examples import Examples, read_examples
from embed.index import Index
from embed.promise import LOWEST_SCORE, choose_cutoff, expected_at
from embed.search import Found, search
from tomoseek.errors import InputError
from tomoseek.geometry import cell_to_voxel, indices_to_points
from tomoseek.network.search_constants import SearchConstants

KINDS = ("first", "second", "unlike", "other")  # directions that noise has no part in
RADIUS = 60.0
# Run, cell, and how much of each kind its vector has.
CELLS = {
    "first": ("a", (1, 1, 1), (1, 0, 0, 0)),
    "second": ("a", (1, 1, 8), (0, 1, 0, 0)),
    "both": ("a", (1, 7, 1), (1, 1, 0, 0)),
    "with unlike": ("a", (4, 4, 4), (1, 1, 1, 0)),
    "with other": ("a", (4, 7, 8), (1, 1, 0, 1)),
    "both again": ("b", (3, 2, 5), (1, 1, 0, 0)),
    "half": ("b", (3, 6, 2), (1, 1, 0, 2)),
    "unlike": ("b", (1, 7, 8), (0, 0, 1, 0)),
}


def example_of(vector: NDArray[np.float32], logit: float, shells: NDArray[np.float32] | None = None) -> Examples:
    """One example with a vector, a particle logit and, if given, densities around."""
    profile = np.zeros(NUM_SHELLS, np.float32) if shells is None else shells
    return Examples(vector[None], np.array([logit], np.float32), profile[None])


def points_of(*names: str) -> NDArray[np.float64]:
    """Where planted cells lie, ``(n, 3)`` x y z in Å."""
    return indices_to_points(cell_to_voxel([CELLS[name][1] for name in names], 4), SPACING)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, constants: SearchConstants) -> Index:
    """Two runs of noise with the planted cells, no place likelier than another to be a particle."""
    folder = tmp_path_factory.mktemp("planted")
    for seed, run in enumerate(("a", "b")):
        field = unit_field(seed)
        field[..., : len(KINDS)] = 0
        field /= np.linalg.norm(field, axis=-1, keepdims=True)
        for at, cell, shares in CELLS.values():
            if at == run:
                field[cell] = np.eye(len(KINDS), field.shape[-1]).T @ shares / np.linalg.norm(shares)
        index_of(shard_of(field, logits=np.full(GRID, -5, np.float32)), folder, run, constants)
    return Index.open(folder)


def look(index: Index, *names: str, negatives: dict[str, ArrayLike] | None = None, **options: Any) -> Found:
    """Search with planted cells of run a as examples."""
    return index.search({"a": points_of(*names)}, radius=RADIUS, negatives=negatives, **options)


def found_names(found: Found) -> list[str]:
    """Names of the planted cells that were picked, run by run and best first."""
    names = []
    for run, picks in found.by_run.items():
        for point in picks.points_xyz:
            here = [name for name, (at, _, _) in CELLS.items() if at == run]
            near = [name for name in here if np.linalg.norm(points_of(name)[0] - point) < 20]
            names += near or ["nothing planted"]
    return names


def test_what_has_something_of_every_example_is_the_likest(index: Index) -> None:
    found = look(index, "first", "second", threshold=0.75)
    assert found_names(found)[0] == "both" and set(found_names(found)[1:3]) == {"with other", "with unlike"}
    assert found_names(found)[-2:] == ["both again", "half"] and set(found_names(found)) == set(CELLS) - {"unlike"}
    np.testing.assert_allclose(found.by_run["a"].points_xyz[0], points_of("both")[0], atol=1)
    assert found.by_run["a"].scores[0] == pytest.approx(2**0.5, abs=0.05)
    assert found_names(look(index, "first", threshold=0.9)) == ["first"]


def test_what_is_like_a_negative_falls_behind(index: Index) -> None:
    negatives = {"b": points_of("unlike")}
    without, informed = (look(index, "first", "second", threshold=1.1, negatives=n) for n in (None, negatives))
    assert set(found_names(without)) - set(found_names(informed)) == {"with unlike"}
    assert "with other" in found_names(informed)


def test_each_run_gives_its_best_picks_and_only_those_asked_for(index: Index) -> None:
    found = look(index, "first", "second", threshold=0.75, max_picks=2)
    assert [len(picks) for picks in found.by_run.values()] == [2, 2] and len(found.candidates["a"]) > 2
    assert (np.diff(found.by_run["a"].scores) <= 0).all()
    assert list(look(index, "first", runs=["b"]).by_run) == ["b"]
    examples = read_examples(index, points_of("first", "second"), "a", 0)
    one = search(index, examples, radius_angstrom=RADIUS, threshold=0.75, num_candidates=1)
    assert found_names(one) == ["both", "both again"]
    spread = search(index, examples, radius_angstrom=230.0, threshold=0.75, name="thing")
    dropped = {"with unlike", "half"}  # 200 to 208 Å from better ones
    assert set(found_names(spread)) == set(found_names(look(index, "first", "second", threshold=0.75))) - dropped
    assert set(spread.picks) == {("a", "thing"), ("b", "thing")} and spread.picks.radii == {"thing": 230.0}


def test_cells_less_particle_like_than_the_examples_are_but_never_those_above_even_odds(tmp_path: Path) -> None:
    field = unit_field()
    logits = np.broadcast_to(np.arange(GRID[2], dtype=np.float32) - 9, GRID)
    index = index_of(shard_of(field, logits=logits), tmp_path)
    lowest_x = {}
    for logit, margin in ((8.0, 2.0), (0.0, 2.0), (0.0, None)):
        examples = example_of(field[2, 3, 4], logit)
        found = search(index, examples, radius_angstrom=1.0, threshold=-10.0, particle_margin=margin)
        lowest_x[logit, margin] = found.by_run["a"].points_xyz[:, 0].min() / (4 * SPACING)
    assert lowest_x[8.0, 2.0] >= 8.5  # logit 0
    assert 6.5 <= lowest_x[0.0, 2.0] < 8.5  # logit -2
    assert lowest_x[0.0, None] < 1.0


def test_where_the_particle_score_misleads_finds_are_ranked_by_density(
    tmp_path: Path, constants: SearchConstants
) -> None:
    field, shells = unit_field(), np.zeros((*GRID, NUM_SHELLS), np.int8)
    like, unlike, faint = (1, 2, 2), (4, 2, 7), (4, 7, 2)
    for cell, density in ((like, 20), (unlike, 30), (faint, 10)):
        shells[(*cell, slice(0, 2))] = density  # the innermost two shells
    beside = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    field[tuple((np.array(unlike) + beside).T)] = np.eye(32)[1]
    field[like] = field[faint] = np.eye(32)[0]
    logits = np.broadcast_to(np.arange(GRID[2], dtype=np.float32) - 5, GRID)
    index = index_of(shard_of(field, logits=logits, shells=shells), tmp_path, constants=constants)
    profile = np.float32(STEP) * shells[like]
    found = search(index, example_of(field[like], -4.0, profile), radius_angstrom=60.0, threshold=0.3)
    there = indices_to_points(cell_to_voxel([like, faint], 4), SPACING)  # the densest is quite unlike the example
    np.testing.assert_allclose(found.by_run["a"].points_xyz, there, atol=1)
    assert found.by_run["a"].scores == pytest.approx([1.0, 0.5], abs=0.02)
    assert found.probability is None and not len(found.prototype.rivals)
    assert any("90% of what is searched looks more like a particle" in doubt for doubt in found.doubts)
    assert not search(index, example_of(field[like], 4.5, profile), radius_angstrom=60.0, threshold=-10.0).doubts


@pytest.mark.parametrize("share", [0.01, 0.05])
def test_where_more_looks_like_a_particle_than_where_promises_were_measured_nothing_is_promised(
    tmp_path: Path, constants: SearchConstants, share: float
) -> None:
    field, logits = unit_field(), np.random.default_rng(1).uniform(-8, -1, GRID).astype(np.float32)
    logits.flat[: round(share * logits.size)] = 4.0
    index = index_of(shard_of(field, logits=logits), tmp_path, constants=constants)
    found = search(index, example_of(field[4, 6, 9], 3.0), radius_angstrom=60.0)
    crowded = share > 0.015
    assert any("run a: more places look as much like a particle" in doubt for doubt in found.doubts) == crowded
    assert (found.probability is None) == crowded and not found.ranked_by_density


@pytest.mark.parametrize(("logit_there", "by_density"), [(-3.0, True), (3.0, False)])
def test_a_structure_is_ranked_by_density_where_what_is_as_dense_looks_like_no_particle(
    tmp_path: Path, constants: SearchConstants, logit_there: float, by_density: bool
) -> None:
    places = [(z, y, x) for z in (1, 4) for y in (1, 4, 7) for x in (1, 4, 7)]
    field, shells, logits = unit_field(), np.zeros((*GRID, NUM_SHELLS), np.int8), np.full(GRID, -4, np.float32)
    for cell in places:
        shells[(*cell, slice(0, 2))] = 24
        logits[cell] = logit_there
    logits[0, 0, 9] = 5  # somewhere there is a particle
    index = index_of(shard_of(field, logits=logits, shells=shells), tmp_path, constants=constants)
    rendered = example_of(field[2, 2, 2], 4.0, np.float32(STEP) * shells[places[0]])
    options: dict[str, Any] = {"radius_angstrom": 90.0, "threshold": 0.5}
    found = search(index, rendered, rendered=rendered, **options)
    assert found.ranked_by_density == by_density
    said = "100% of the places as dense as the structure look like no particle"
    assert any(said in doubt for doubt in found.doubts) == by_density
    assert not search(index, rendered, **options).ranked_by_density  # an example that was clicked speaks for itself
    small = search(index, rendered, rendered=rendered, **{**options, "radius_angstrom": 60.0})
    assert not small.ranked_by_density  # clutter is as dense


def test_a_find_leans_to_a_neighbour_that_the_particle_floor_hides_and_stays_in_the_tomogram(tmp_path: Path) -> None:
    field, logits = unit_field(), np.full(GRID, -9, np.float32)
    particle = field[2, 3, 4].copy()
    for cell, share in {(2, 3, 5): 0.7, (4, 6, 9): 1.0}.items():
        field[cell] = share * particle + np.sqrt(1 - share**2) * np.eye(32)[0]
    logits[2, 3, 4] = logits[4, 6, 9] = 0
    index = index_of(shard_of(field, logits=logits), tmp_path)
    shape = [4 * GRID[0], 4 * GRID[1], 4 * GRID[2] - 3]
    index.entries["a"] = replace(index.entries["a"], shape=shape, stored_shape=shape)
    examples = example_of(particle, 0.0)
    points = search(index, examples, radius_angstrom=RADIUS, threshold=0.9).by_run["a"].points_xyz
    leaning, last = points[np.argsort(points[:, 0])]
    assert 6 < leaning[0] - (4 * 4 + 1.5) * SPACING < 20
    assert last[0] == (4 * GRID[2] - 4) * SPACING  # the centre of its cell lies beyond


def test_examples_are_scored_by_each_other_and_set_what_is_expected(index: Index) -> None:
    found = look(index, "first", "second", "both")
    assert found.leave_one_out[2] == pytest.approx(2**0.5, abs=0.05)
    assert found.leave_one_out[0] == found.leave_one_out[1] < 1
    assert found.probability is not None
    scores, probability = found.ranked
    assert scores.min() >= LOWEST_SCORE and len(scores) == sum(map(len, found.candidates.values()))
    for run, each in found.candidates.items():
        order = np.argsort(-each.scores, kind="stable")
        assert len(found.probability[run]) == len(each) and (np.diff(found.probability[run][order]) <= 0).all()
    assert found.cutoff == choose_cutoff(scores, probability, None)
    for precision in (0.2, 0.9):
        assert look(index, "first", "second", "both", precision=precision).cutoff == choose_cutoff(
            scores, probability, precision
        )
    for threshold in (0.9, 0.2):
        given = look(index, "first", "second", "both", threshold=threshold)
        assert given.cutoff == expected_at(threshold, *given.ranked)
        assert given.ranked[0].min() >= min(threshold, LOWEST_SCORE)
        assert sum(map(len, given.by_run.values())) == (given.ranked[0] >= threshold).sum()


def test_what_is_given_up_is_neither_picked_nor_expected(index: Index) -> None:
    found = look(index, "first", "second", threshold=0.75)
    left = found.without({"a": np.array([True, False, False, True, False])})
    assert found_names(left) == [name for n, name in enumerate(found_names(found)) if n not in (0, 3)]
    assert len(left.candidates["a"]) == len(found.candidates["a"]) - 2
    assert left.probability is not None and found.probability is not None
    np.testing.assert_array_equal(left.probability["a"], np.delete(found.probability["a"], [0, 3]))
    assert left.cutoff == expected_at(0.75, *left.ranked) != found.cutoff


def test_without_calibration_a_search_ranks_and_promises_nothing(tmp_path: Path) -> None:
    index = index_of(shard_of(unit_field()), tmp_path)
    points = {"a": indices_to_points(cell_to_voxel([[2, 3, 4]], 4), SPACING)}
    found = index.search(points, radius=RADIUS)
    assert (found.probability, found.cutoff.precision, found.cutoff.recall) == (None, None, None)
    assert found.cutoff.threshold == LOWEST_SCORE <= min(found.by_run["a"].scores)
    assert index.search(points, radius=RADIUS, threshold=0.9).cutoff.threshold == 0.9
    goes = np.arange(len(found.by_run["a"])) == 0
    left = found.without({"a": goes})
    assert left.probability is None and left.cutoff == found.cutoff
    np.testing.assert_array_equal(left.by_run["a"].scores, found.by_run["a"].scores[1:])
    with pytest.raises(InputError, match=r"precision=0\.5: expected an index of a calibrated encoder"):
        index.search(points, radius=RADIUS, precision=0.5)


def test_a_place_that_two_objects_claim_goes_to_the_one_whose_examples_are_nearer(index: Index) -> None:
    examples = {
        "one": read_examples(index, points_of("with other"), "a", 0),
        "two": read_examples(index, points_of("first", "second"), "a", 0),
    }
    radii = {"one": 60.0, "two": 80.0}
    found = {
        name: search(index, each, radius_angstrom=radii[name], threshold=0.8, name=name)
        for name, each in examples.items()
    }
    # Examples that differ stretch their scores: by these, the second object would have taken the place.
    assert found["two"].by_run["a"].scores[1] > found["one"].by_run["a"].scores[0]
    kept, given_up = resolve_conflicts(index, found, examples, radii)
    assert set(found_names(found["one"])) == {"with other", "half", "both", "both again"}
    assert set(found_names(found["two"])) == set(CELLS) - {"unlike"}
    assert found_names(kept["one"]) == ["with other", "half"]
    assert set(found_names(kept["two"])) == set(CELLS) - {"unlike", "with other", "half"}
    assert given_up == {"one": {"two": 2}, "two": {"one": 2}}
    assert kept["one"].cutoff != found["one"].cutoff
    apart = {name: search(index, each, radius_angstrom=1.0, threshold=0.99) for name, each in examples.items()}
    nothing = {name: read_examples(index, points_of("both"), "a", 0) for name in examples}
    assert resolve_conflicts(index, {"one": apart["one"]}, nothing, radii)[1] == {"one": {}}
