"""A search promises nothing where its examples lie on nothing, or in tomograms unlike those it was measured on."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from embed import Index
from embed.density_profile import NUM_SHELLS
from embed.doubts import doubts_of_points, doubts_of_runs, unpromising
from embed.gather import gather
from embed.header import FORMAT, IndexHeader
from embed.query import warn_of_doubts
from embed.shard import Storage
from tomoseek.geometry import cell_to_voxel, indices_to_points, points_to_indices
from tomoseek.messages import Notice
from tomoseek.network.encoder import Encoder
from tomoseek.network.search_constants import SearchConstants
from tomoseek.tomograms.tomogram import Tomogram

GRID, SPACING, STRIDE = (16, 32, 40), 10.0, 4
SHAPE = [STRIDE * n for n in GRID]
RUNS = ("a", "b")


def particles(run: str) -> NDArray[np.int64]:
    """Cells of forty particles of a run."""
    generator = np.random.default_rng(RUNS.index(run))
    flat = generator.choice(np.prod([n - 4 for n in GRID]), 40, replace=False)
    return np.stack(np.unravel_index(flat, [n - 4 for n in GRID]), 1) + 2


def points_of(run: str, number: int = 8) -> NDArray[np.float64]:
    return indices_to_points(cell_to_voxel(particles(run)[:number], STRIDE), SPACING)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, constants: SearchConstants) -> Path:
    """An index of two runs: at particles one vector and high logits, noise elsewhere."""
    folder = tmp_path_factory.mktemp("doubts")
    header = IndexHeader(
        format=FORMAT, fingerprint="0" * 16, encoder="planted", encoder_config={"voxel_spacing": SPACING},
        stride=STRIDE, dimension=32, storage="int8", keep_fraction=1.0, tile=96, overlap=16, constants=constants,
            resample="auto",
    )  # fmt: skip
    cells = np.stack(np.meshgrid(*[np.arange(n) for n in GRID], indexing="ij"), -1).reshape(-1, 3)
    for run in RUNS:
        generator = np.random.default_rng(100 + RUNS.index(run))
        at = np.zeros(GRID)
        at[tuple(particles(run).T)] = 1
        near = ndimage.gaussian_filter(at, 0.7)
        near /= near.max()
        field = generator.standard_normal((*GRID, 32)) * 0.3
        field[..., 0] += 3 * near
        field /= np.linalg.norm(field, axis=-1, keepdims=True)
        logits = -10 + 18 * near + generator.normal(size=GRID)
        blocks = [(cells, field.reshape(-1, 32).astype(np.float32), logits.ravel().astype(np.float32))]
        gather(blocks, 32, Storage.int8, GRID, 1.0, np.zeros((*GRID, NUM_SHELLS), np.int8)).save(
            folder / run, tomogram_type="wbp", voxel_spacing=SPACING, shape=SHAPE, stored_spacing=SPACING,
            stored_shape=SHAPE, part="all of it", contrast=[0.0, 1.0, -1.0], seconds=0.0, polarity_seen="dark",
        )  # fmt: skip
    Index(folder, header, {}).write_header()
    return folder


def test_true_examples_are_promised_something_and_nobody_is_warned(
    folder: Path, recwarn: pytest.WarningsRecorder
) -> None:
    found = Index.open(folder).search({"a": points_of("a", 4)}, radius=60.0, negatives={"b": points_of("b", 1)})
    assert found.doubts == () and found.probability is not None and found.cutoff.precision is not None
    assert [str(each.message) for each in recwarn if each.category is Notice] == []


@pytest.mark.parametrize(
    ("reading", "given"),
    [
        ("voxels x y z", lambda points: points / SPACING),
        ("z y x in Å", lambda points: points_to_indices(points, 1.0)),
        ("pixels of the unbinned tilt series, x y z at 1.67 Å", lambda points: points / SPACING * 6),
    ],
)
def test_examples_in_voxels_or_in_another_order_are_named_and_promised_nothing(folder: Path, reading, given) -> None:
    meant = points_of("a", 40)
    meant = meant[(given(meant) < 630).all(1) & (meant < 630).all(1)][:8]  # inside the volume either way
    index = Index.open(folder)
    with pytest.warns(Notice, match=f"examples of run a; read as {reading} they would be at .*nothing is promised"):
        found = index.search({"a": given(meant)}, radius=60.0)
    assert (found.probability, found.cutoff.precision, found.cutoff.recall) == (None, None, None)
    assert found.cutoff.threshold > 0.3  # chosen as if something were
    assert index.search({"a": given(meant)}, radius=60.0, precision=0.9).cutoff.precision is None


def test_negatives_that_lie_on_nothing_are_named_and_cost_no_promise(folder: Path) -> None:
    with pytest.warns(Notice, match="negatives of run b; read as voxels x y z they would be at 8"):
        found = Index.open(folder).search(
            {"a": points_of("a", 4)}, radius=60.0, negatives={"b": points_of("b") / SPACING}
        )
    assert found.cutoff.precision is not None


def test_an_inverted_or_coarse_run_takes_the_promise_unless_it_is_left_out(folder: Path) -> None:
    index = Index.open(folder)
    index.entries["b"] = replace(index.entries["b"], polarity_seen="bright")
    with pytest.warns(Notice, match="run b: protein looks bright, stated dark: .*nothing is promised"):
        assert index.search({"a": points_of("a", 4)}, radius=60.0).cutoff.precision is None
    assert index.search({"a": points_of("a", 4)}, radius=60.0, runs=["a"]).cutoff.precision is not None
    with pytest.warns(Notice, match="run b: protein looks bright"):  # its examples say as little
        assert index.search({"b": points_of("b", 4)}, radius=60.0, runs=["a"]).cutoff.precision is None


def test_each_reason_is_told_once_with_all_its_runs(folder: Path) -> None:
    index = Index.open(folder)
    entry, header = index.entries["a"], index.header
    assert unpromising(entry, header) is None
    assert unpromising(replace(entry, polarity_seen=None), header) is None
    assert unpromising(replace(entry, polarity_seen="bright", contrast=[0.0, 1.0, 1.0]), header) is None
    for spacing, is_fine in {5.0: True, 13.48: True, 15.7: True, 20.0: False, 31.36: False}.items():
        assert (unpromising(replace(entry, stored_spacing=spacing), header) is None) == is_fine
    assert "embedded at 13.5" in str(unpromising(replace(entry, voxel_spacing=13.5), header))
    index.entries = {run: replace(entry, stored_spacing=31.36) for run in "abc"}
    assert doubts_of_runs(index, "abc") == [
        "runs a, b, c: 31.36 Å per voxel lack the detail that the encoder learned from at 10 Å"
    ]


def test_without_calibration_only_the_corner_tells_of_voxels(folder: Path) -> None:
    index = Index.open(folder)
    index.header = replace(index.header, constants=None)
    given = points_of("a", 8)
    assert doubts_of_points(index, {"a": given}, "examples") == []
    assert doubts_of_points(index, {"a": given[:1] / SPACING}, "examples") == []
    assert doubts_of_points(index, {"a": given / SPACING}, "examples") == [
        "all 8 examples of run a lie in one corner of it, as voxels would: give x y z in Å"
    ]


def test_a_query_says_each_reason_once_and_names_negatives_that_lie_on_nothing(folder: Path) -> None:
    index = Index.open(folder)
    good = index.search({"a": points_of("a", 4)}, radius=60.0)
    doubtful = {"one": replace(good, doubts=("x", "y")), "two": replace(good, doubts=("y",))}
    with pytest.warns(Notice) as warned:
        warn_of_doubts(index, doubtful, {"one": {"b": points_of("b") / SPACING}})
    said = [str(each.message) for each in warned]
    assert said[:2] == [f"{why}; finds are ranked and nothing is promised" for why in "xy"]
    assert len(said) == 3 and "negatives of one of run b; read as voxels x y z" in said[2]


def test_a_tomogram_that_looks_inverted_is_named_when_it_is_embedded_and_when_it_is_reused(
    tmp_path: Path, tiny_encoder: Encoder
) -> None:
    generator = np.random.default_rng(1)
    density = np.zeros((48, 96, 96))
    density[tuple(generator.integers(4, 44, (3, 60)))] = 1
    volume = generator.normal(size=density.shape) + 150 * ndimage.gaussian_filter(density, 2)
    index = Index.create(tmp_path / "index", tiny_encoder, device="cpu")
    for is_new in (True, False):
        with pytest.warns(Notice, match=r"run x: protein looks bright, stated dark: .* set data\.polarity=bright"):
            assert index.add(Tomogram.from_array(volume, SPACING, run="x"), progress=False) is is_new
    assert index.entries["x"].polarity_seen == "bright"
    assert json.loads((tmp_path / "index" / "x" / "entry.json").read_text())["polarity_seen"] == "bright"
