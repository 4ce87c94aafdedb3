"""The index on disk: search against brute force, rebuilding, damage."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from embed.checksums import BLOCK_BYTES, CheckedRows, checksums_of, rows_per_block
from embed.density_profile import NUM_SHELLS
from embed.examples import read_examples, recentre
from embed.gather import gather
from embed.header import FORMAT, IndexHeader
from embed.index import Index
from embed.prototype import fit
from embed.score_map import similarity_map
from embed.shard import FILES, Shard, Storage
from embed.surroundings import Surroundings, Vectors
from tomoseek.errors import InputError
from tomoseek.network.search_constants import SearchConstants
from tomoseek.network.strides import EMBEDDING_STRIDE

GRID = (6, 9, 10)
SPACING = 10.0


def unit_field(seed: int = 0, dimension: int = 32) -> NDArray[np.float32]:
    """Random unit vectors on a grid, ``(z, y, x, e)``."""
    field = np.random.default_rng(seed).standard_normal((*GRID, dimension)).astype(np.float32)
    return field / np.linalg.norm(field, axis=-1, keepdims=True)


def shard_of(
    field: NDArray[np.float32],
    storage: Storage = Storage.int8,
    keep_fraction: float = 1.0,
    logits: NDArray[np.float32] | None = None,
    shells: NDArray[np.int8] | None = None,
) -> Shard:
    """Store a field, in two blocks; the particle logit is x - 5 unless given, and density random."""
    cells = np.stack(np.meshgrid(*[np.arange(n) for n in GRID], indexing="ij"), -1).reshape(-1, 3)
    values = field.reshape(len(cells), -1)
    logits = cells[:, 2].astype(np.float32) - 5 if logits is None else logits.ravel()
    blocks = [(cells[:200], values[:200], logits[:200]), (cells[200:], values[200:], logits[200:])]
    if shells is None:
        shells = np.random.default_rng(9).integers(-127, 128, (*GRID, NUM_SHELLS), dtype=np.int8)
    return gather(blocks, field.shape[-1], storage, GRID, keep_fraction, shells)


def index_of(shard: Shard, folder: Path, run: str = "a", constants: SearchConstants | None = None) -> Index:
    """Add a shard to the index in a folder, and open it."""
    header = IndexHeader(
        format=FORMAT, fingerprint="0" * 16, encoder="planted", encoder_config={}, stride=EMBEDDING_STRIDE,
        dimension=shard.vectors.d, storage="int8", keep_fraction=1.0, tile=96, overlap=16,
        resample="auto", constants=constants,
    )  # fmt: skip
    shape = [4 * n for n in GRID]
    shard.save(
        folder / run, tomogram_type="wbp", voxel_spacing=SPACING, shape=shape, stored_spacing=SPACING,
        stored_shape=shape, part="all of it", contrast=[0.0, 1.0, -1.0], seconds=0.0,
    )  # fmt: skip
    Index(folder, header, {}).write_header()
    return Index.open(folder)


def surroundings(vectors: Vectors, num_rivals: int = 4) -> Surroundings:
    """All of ``(n, e)`` as background, and the last few as rivals."""
    return Surroundings(vectors, vectors[len(vectors) - num_rivals :])


@pytest.mark.parametrize(("storage", "tolerance"), [(Storage.int8, 0.015), (Storage.float16, 1e-3)])
@pytest.mark.parametrize("rival_weight", [0.0, 0.3])
def test_scores_from_the_index_equal_brute_force(storage: Storage, tolerance: float, rival_weight: float) -> None:
    field = unit_field()
    shard = shard_of(field, storage)
    prototype = fit(field[2, 3, 4:7], surroundings(field.reshape(-1, 32)), rival_weight)
    expected = prototype.score(field.reshape(-1, 32)).reshape(GRID)
    found, likeness = similarity_map(shard, prototype, -1e6, -np.inf, 10**6)
    np.testing.assert_array_equal(found, likeness)
    np.testing.assert_allclose(found, expected, atol=tolerance * prototype.scale)


def test_candidates_and_their_neighbours_carry_true_scores_and_the_rest_none() -> None:
    field = unit_field()
    prototype = fit(field[2, 3, 4][None], surroundings(field.reshape(-1, 32)))
    expected = prototype.score(field.reshape(-1, 32)).reshape(GRID)
    found, _ = similarity_map(shard_of(field), prototype, 0.0, -np.inf, 1)
    around = (slice(1, 4), slice(2, 5), slice(3, 6))
    np.testing.assert_allclose(found[around], expected[around], atol=0.01 * prototype.scale)
    assert (found == -1).sum() == found.size - 27
    for nothing in similarity_map(shard_of(field), prototype, 99.0, -np.inf, 10**6):
        assert (nothing == -1).all()


def test_hidden_neighbours_are_no_candidates_but_keep_their_true_likeness() -> None:
    field = unit_field()
    prototype = fit(field[2, 3, 4][None], surroundings(field.reshape(-1, 32)))
    expected = prototype.score(field.reshape(-1, 32)).reshape(GRID)
    logits = np.full(GRID, -9.0, np.float32)
    logits[2, 3, 4] = 1.0
    found, likeness = similarity_map(shard_of(field, logits=logits), prototype, -0.5, 0.0, 1)
    around = (slice(1, 4), slice(2, 5), slice(3, 6))
    assert (found >= -0.5).sum() == 1 and found[2, 3, 4] >= -0.5 and found[0, 0, 0] == -1.5
    np.testing.assert_allclose(likeness[around], expected[around], atol=0.01 * prototype.scale)


@pytest.mark.parametrize("few", [1, 8, 10_000])
def test_rows_above_a_product_are_all_found_nearest_first(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr("embed.shard.FEW", few)
    shard, direction = shard_of(unit_field()), unit_field(1)[0, 0, 0]
    products = shard.read_vectors(np.arange(len(shard))) @ direction
    likely = shard.particle_logit(np.arange(len(shard))) >= -2
    for lowest in (-np.inf, 0.1, 2.0):
        expected = np.flatnonzero(likely & (products >= lowest))
        expected = expected[np.argsort(-products[expected])]
        np.testing.assert_array_equal(shard.nearest(direction, len(shard), -2, lowest), expected)
        np.testing.assert_array_equal(shard.nearest(direction, 7, -2, lowest), expected[:7])


def test_interpolation_at_cell_centres_returns_the_vectors_and_between_them_their_mean() -> None:
    field = unit_field()
    shard = shard_of(field, Storage.float16)
    vectors, logits = shard.interpolate(np.array([[2.0, 3.0, 4.0], [2.0, 3.0, 4.5]]))
    between = field[2, 3, 4] + field[2, 3, 5]
    np.testing.assert_allclose(vectors[0], field[2, 3, 4], atol=1e-3)
    np.testing.assert_allclose(vectors[1], between / np.linalg.norm(between), atol=1e-3)
    np.testing.assert_allclose(logits, [-1.0, -0.5], atol=1e-3)


def test_keep_fraction_keeps_the_most_particle_like_cells_and_their_vectors() -> None:
    field = unit_field()
    shard = shard_of(field, Storage.float16, keep_fraction=0.3)
    rows = np.arange(len(shard))
    assert len(shard) == round(0.3 * np.prod(GRID))
    assert shard.cells_zyx(rows)[:, 2].min() == 7  # those beside x = 8 and 9 before the rest
    np.testing.assert_allclose(shard.read_vectors(rows), field[tuple(shard.cells_zyx(rows).T)], atol=1e-3)
    assert shard.rows(np.array([[0, 0, 0], [-1, 0, 0], [0, 0, 9]])).tolist()[:2] == [-1, -1]


def test_rows_lie_by_the_most_particle_like_cell_around_and_only_particle_like_ones_are_searched() -> None:
    field = unit_field()
    logits = np.random.default_rng(3).normal(size=GRID).astype(np.float16).astype(np.float32)
    shard = shard_of(field, logits=logits)
    rows = np.arange(len(shard))
    where = tuple(shard.cells_zyx(rows).T)
    around = ndimage.maximum_filter(logits, 3, mode="nearest")[where]
    assert (np.diff(around) <= 0).all()
    np.testing.assert_array_equal(shard.particle_logit(rows), logits[where])
    np.testing.assert_array_equal(shard.rows(np.stack(where, -1)), rows)
    assert shard.num_around(-np.inf) == len(shard) and shard.num_around(99.0) == 0
    assert shard.num_around(1.5) == (around >= 1.5).sum()
    likely = shard.rows_above(1.5)
    np.testing.assert_array_equal(likely, np.flatnonzero(logits[where] >= 1.5))
    direction = field[2, 3, 4]
    cosine = shard.read_vectors(likely) @ direction
    np.testing.assert_array_equal(shard.nearest(direction, 5, 1.5), likely[np.argsort(-cosine, kind="stable")[:5]])
    assert len(shard.nearest(direction, 10**6, 1.5)) == len(likely)


@pytest.mark.parametrize("name", FILES)
def test_truncated_missing_or_altered_file_is_named_when_it_matters(tmp_path: Path, name: str) -> None:
    index_of(shard_of(unit_field()), tmp_path)
    path = tmp_path / "a" / name
    whole = path.read_bytes()
    altered = bytearray(whole)
    altered[-1] ^= 1
    for content in (whole[: len(whole) // 2], bytes(altered), None):
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        with pytest.raises(InputError, match=name):
            index = Index.open(tmp_path)
            index.search({"a": [[100.0, 100.0, 100.0]]}, radius=50.0, threshold=-10.0)


def test_checksums_are_tested_where_values_are_read(tmp_path: Path) -> None:
    values = np.arange(3 * BLOCK_BYTES // 8)
    checksums = checksums_of(values)
    assert len(checksums) == 3
    step = rows_per_block(values)
    damaged = values.copy()
    damaged[step + 5] = 7
    rows = CheckedRows(damaged, checksums, tmp_path / "values.npy")
    np.testing.assert_array_equal(rows.take(np.array([2 * step, 3])), [2 * step, 3])
    np.testing.assert_array_equal(rows.head(step), values[:step])
    for read in (lambda: rows.head(step + 1), lambda: rows.take(np.array([step]))):
        with pytest.raises(InputError, match=r"values.npy.*damaged"):
            read()


def test_damaged_or_missing_index_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="embed build"):
        Index.open(tmp_path)
    index_of(shard_of(unit_field()), tmp_path)
    (tmp_path / "a" / "entry.json").write_text('{"shape": [1')
    with pytest.raises(InputError, match=r"a/entry.json is missing or damaged"):
        Index.open(tmp_path)
    for content, message in (('{"format": 3', "damaged"), ('{"header": {"format": 1}}', "expected format 5, found 1")):
        (tmp_path / "index.json").write_text(content)
        with pytest.raises(InputError, match=message):
            Index.open(tmp_path)


def test_bad_example_points_are_refused_and_one_example_is_enough(tmp_path: Path) -> None:
    index = index_of(shard_of(unit_field()), tmp_path)
    for points, message in (
        ([], "at least one"),
        ([[1.0, 2.0]], "x,y,z"),
        ([[np.nan, 1.0, 1.0]], "not finite"),
        ([[10.0, 10.0, 1e5]], "outside"),
        ([[-60.0, 10.0, 10.0]], "outside"),
    ):
        with pytest.raises(InputError, match=message):
            index.search({"a": points}, radius=50.0)
    with pytest.raises(InputError, match="'b' is not in index"):
        index.search({"b": [[1.0, 1.0, 1.0]]}, radius=50.0)
    assert len(index.search({"a": [[100.0, 100.0, 100.0]]}, radius=50.0).by_run["a"]) >= 1


def test_an_example_where_no_cell_was_kept_is_named(tmp_path: Path) -> None:
    index = index_of(shard_of(unit_field(), keep_fraction=0.3), tmp_path)  # the cells of highest x
    points = [[375.0, 100.0, 100.0], [55.55, 100.0, 100.0], [20.0, 100.0, 100.0]]
    with pytest.raises(
        InputError, match=r"run a: example \[55\.\d, 100\.0, 100\.0\] lies where the index kept no cell"
    ):
        read_examples(index, points, "a")
    assert len(read_examples(index, points[:1], "a").vectors) == 1


def test_clicks_move_onto_their_particle_and_stay_where_none_is_likely() -> None:
    logits = np.full(GRID, -8.0, np.float32)
    logits[3, 4, 5], logits[3, 4, 8] = 6.0, 9.0
    field = unit_field()
    shard = shard_of(field, Storage.float16, logits=logits)
    clicks = np.array([[3.0, 4.0, 5.0], [3.4, 4.4, 4.6], [3.0, 4.0, 6.6], [0.0, 0.0, 0.0]])
    moved = recentre(clicks, shard, 1.25, 1.0)
    np.testing.assert_allclose(moved[:2], [[3, 4, 5]] * 2, atol=0.15)
    np.testing.assert_allclose(moved[2, 2], 7.85, atol=0.01)  # as near to the better one as it may go
    np.testing.assert_array_equal(moved[3], clicks[3])
    np.testing.assert_array_equal(recentre(clicks, shard, 0.0, 1.0), clicks)
    # A place on a grid of a fifth of the reach is met, one beyond the ball or the volume is not gone to.
    aside = np.array([[3, 4, 5]]) - 1.25 * np.array([[0.4, -0.6, 0.2], [0.62, 0.62, 0.62]])
    moved = recentre(aside, shard, 1.25, 1.0)
    np.testing.assert_allclose(moved[0], [3, 4, 5], atol=1e-9)
    assert 0 < np.linalg.norm(moved[1] - aside[1]) <= 1.2513
    logits[:], logits[0, 4, 5] = -8, 6
    at_border = recentre(np.array([[0.1, 4, 5]]), shard_of(field, logits=logits), 1.25, 0.0)
    np.testing.assert_allclose(at_border, [[0, 4, 5]], atol=1e-9)
    untrained = shard_of(field, logits=np.random.default_rng(0).normal(0, 0.1, GRID).astype(np.float32))
    np.testing.assert_array_equal(recentre(clicks, untrained, 1.25, 1.0), clicks)
