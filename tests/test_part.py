"""Particles are looked for where there are any: in a lamella's slab, in a segmentation, never in blank parts."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from embed import Index
from finetune.crops import Volumes
from tomoseek import Tomogram, open_tomogram
from tomoseek.complexes import COMPLEXES
from tomoseek.config import DataConfig, Polarity
from tomoseek.errors import InputError
from tomoseek.picks.tables import read_points_csv
from tomoseek.tomograms.copick_tomograms import add_tomogram, find_tomograms
from tomoseek.tomograms.part import Lamella, Segmentation, find_lamella
from tomoseek.tomograms.project import create_project

SPACING = 20.0


def lamella(tilt: float = 0.0, seed: int = 0, low: int = 25, high: int = 60) -> np.ndarray:
    """Crowded content between two planes that rise by ``tilt`` voxels a voxel of y, in noise that is everywhere."""
    rng = np.random.default_rng(seed)
    shape = (90, 128, 160)
    content = ndimage.gaussian_filter(rng.normal(size=shape), 2.0)
    z, y, _ = np.indices(shape)
    inside = (z - tilt * (y - 64) >= low) & (z - tilt * (y - 64) <= high)
    return (rng.normal(size=shape) + 2 * content / content.std() * inside).astype(np.float32)


@pytest.mark.parametrize("tilt", [0.0, 0.15, -0.1])
def test_the_slab_of_a_lamella_is_found_however_it_lies(tilt: float) -> None:
    found = Tomogram.from_array(lamella(tilt), SPACING).part
    assert isinstance(found, Lamella)
    for y in (10, 64, 118):
        for low, high, inside in ((25, 60, True), (13, 72, False)):
            z = np.array([low, high]) + tilt * (y - 64)
            points = np.column_stack([[800.0, 800.0], np.full(2, y * SPACING), z * SPACING])
            assert found.holds(points).tolist() == [inside, inside]


def test_a_slab_with_one_face_in_the_volume_is_cut_there_only() -> None:
    found = Tomogram.from_array(lamella(low=-100), SPACING).part
    assert found is not None
    assert found.holds(np.array([[800.0, 800, 0], [800, 800, 1200], [800, 800, 1700]])).tolist() == [True, True, False]


@pytest.mark.parametrize("kind", ["noise", "everywhere", "one particle"])
def test_a_volume_without_a_slab_is_searched_everywhere(kind: str) -> None:
    volume = np.random.default_rng(0).normal(size=(90, 128, 160))
    if kind == "everywhere":
        volume = lamella(low=-100, high=200)
    if kind == "one particle":
        volume[40:52, 60:72, 60:72] -= 5
    assert find_lamella(Tomogram.from_array(volume, SPACING), SPACING) is None


def test_all_listed_ribosomes_of_a_real_lamella_lie_in_its_slab(shared_data: Path) -> None:
    folder = shared_data / "real" / "yeast80S"
    found = open_tomogram(folder / "lamella_a.mrc").part
    assert isinstance(found, Lamella)
    assert 150 < found.lower[0] < found.upper[0] < 2400  # Å, of 2509
    assert found.holds(read_points_csv(folder / "ribosomes.csv")["lamella_a"].points_xyz).all()


@pytest.mark.parametrize(("name", "spacing"), [("lysosome/slab.mrc", 12.0), ("exosomes/slab.mrc", None)])
def test_a_real_slab_that_is_full_has_no_faces(name: str, spacing: float | None, shared_data: Path) -> None:
    assert open_tomogram(shared_data / "real" / name, spacing).part is None


def test_an_index_holds_no_cell_outside_the_slab_nor_in_padding(tmp_path: Path) -> None:
    volume = lamella()
    volume[:, :, :31] = 7.0
    index = Index.create(tmp_path / "index", encoder="random-tiny", device="cpu")
    index.add(Tomogram.from_array(volume, SPACING, run="a"), progress=False)
    cells = index.shard("a").cells_zyx(np.arange(len(index.shard("a"))))
    middles = 40 * cells + 20  # Å, cells of four voxels of 10 Å
    assert middles[:, 2].min() >= 30 * SPACING
    assert middles[:, 0].min() > 25 * SPACING - 200
    assert middles[:, 0].max() < 60 * SPACING + 200
    assert "slab of a lamella" in index.entries["a"].part
    with pytest.raises(InputError, match=r"kept no cell.*data\.mask"):
        index.search({"a": [[900.0, 900.0, 100.0]]}, radius=100)


@pytest.fixture
def masked_project(tmp_path: Path) -> DataConfig:
    root = create_project(tmp_path, [COMPLEXES["ribosome"]])
    volume = np.random.default_rng(0).normal(size=(32, 64, 64)).astype(np.float32)
    volume[:, 32:] *= 5
    add_tomogram(root, "a", "wbp", 10.0, volume)
    for user, low in (("alice", 0), ("bob", 32)):
        written = root.get_run("a").new_segmentation(20.0, "cell", "1", is_multilabel=True, user_id=user)
        mask = np.zeros((16, 32, 32), np.uint8)
        mask[:, low // 2 : low // 2 + 16] = 3
        written.from_numpy(mask)
    return DataConfig(
        project=str(tmp_path), runs=None, tomogram_type="wbp", voxel_spacing=None, polarity=Polarity.dark,
        mask="cell:alice",
    )  # fmt: skip


def test_only_a_segmentation_counts_where_one_is_given(masked_project: DataConfig, tmp_path: Path) -> None:
    (tomogram,) = find_tomograms(masked_project)
    assert isinstance(tomogram.part, Segmentation)
    assert tomogram.contrast.scale == pytest.approx(1.0, abs=0.05)
    index = Index.create(tmp_path / "index", encoder="random-tiny", device="cpu")
    index.add(tomogram, progress=False)
    assert index.shard("a").cells_zyx(np.arange(len(index.shard("a"))))[:, 1].max() == 7
    known = Volumes([tomogram], 1.0).known(0, np.array([0, 16, 0]), (8, 32, 8))
    assert known is not None
    assert np.array_equal(known[0, :, 0], (np.arange(16, 48) < 30.5).astype(float))
    random = np.random.default_rng(0)
    assert max(tomogram.draw_place((16, 16, 16), random)[1] for _ in range(50)) <= 24


def test_a_segmentation_that_is_not_there_or_not_one_is_refused(masked_project: DataConfig) -> None:
    for mask, message in (("cell", "found cell:alice/1, cell:bob/1: say which"), ("ice", "found cell:alice/1, cell:")):
        masked_project.mask = mask
        with pytest.raises(InputError, match=message):
            find_tomograms(masked_project)


def test_padding_changes_nothing_of_what_is_embedded(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).normal(size=(40, 64, 64)).astype(np.float32)
    index = Index.create(tmp_path / "index", encoder="random-tiny", storage="float16", device="cpu")
    index.add(Tomogram.from_array(volume, 10.0, run="plain"), progress=False)
    index.add(Tomogram.from_array(np.pad(volume, ((16, 0), (32, 64), (8, 40))), 10.0, run="padded"), progress=False)
    plain, padded = index.shard("plain"), index.shard("padded")
    assert len(plain) == len(padded) == 10 * 16 * 16
    cells = np.argwhere(np.ones((10, 16, 16), dtype=bool))
    there = padded.rows(np.add(cells, [4, 8, 2]))
    assert (there >= 0).all()
    likeness = (plain.read_vectors(plain.rows(cells)) * padded.read_vectors(there)).sum(1)
    assert likeness.min() > 0.99  # but for rounding, and the contrast's sample
