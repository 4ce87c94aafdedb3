"""Whoever embeds, trains or picks at another spacing works in Å all the same, and what was done is on record."""

import json
from pathlib import Path

import numpy as np
import pytest

from embed import Index
from finetune.labels import LabelledRun, Labels
from tomoseek import Tomogram
from tomoseek.geometry import indices_to_points
from tomoseek.picks.star_read import read_star


def noise(
    spacing: float, seed: int = 0, run: str = "coarse", particle_xyz: tuple[float, float, float] | None = None
) -> Tomogram:
    """Noise, and a dark particle in it if a place in Å is given."""
    shape = tuple(int(length / spacing) for length in (480.0, 900.0, 901.0))
    volume = np.random.default_rng(seed).normal(size=shape)
    if particle_xyz is not None:
        away = np.linalg.norm(indices_to_points(np.moveaxis(np.indices(shape), 0, -1), spacing) - particle_xyz, axis=-1)
        volume -= 8 * np.exp(-((away.reshape(shape) / 40) ** 2))
    return Tomogram.from_array(volume, spacing, run=run)


@pytest.mark.parametrize("spacing", [6.1, 13.48, 24.0])
def test_an_index_of_other_voxels_is_searched_in_angstrom(spacing: float, tmp_path: Path) -> None:
    example = (450.0, 380.0, 240.0)
    tomogram = noise(spacing, particle_xyz=example)
    index = Index.create(tmp_path / "index", encoder="random-tiny", device="cpu")
    index.add(tomogram, progress=False)
    entry = json.loads((tmp_path / "index/coarse/entry.json").read_text())
    assert (entry["voxel_spacing"], entry["stored_spacing"]) == (10.0, spacing)
    assert entry["stored_shape"] == list(tomogram.shape) != entry["shape"]

    found = index.search({"coarse": [example]}, radius=60, max_picks=5).picks
    assert np.linalg.norm(found["coarse", "particle"].points_xyz - example, axis=1).min() < 15  # cells are 40 Å wide
    found.to_star(tmp_path / "finds.star")  # relative to the centre of the volume as it is stored
    again = read_star(tmp_path / "finds.star", {"coarse": tomogram})
    assert np.allclose(again["coarse"].points_xyz, found["coarse", "particle"].points_xyz, atol=1e-2)


def test_an_index_may_keep_voxels_as_they_are_and_says_so(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder="random-tiny", resample=None, device="cpu")
    with pytest.warns(UserWarning, match="particles look 0.74 x their size"):
        index.add(noise(13.48), progress=False)
    assert index.entries["coarse"].voxel_spacing == 13.48
    assert json.loads((tmp_path / "index/index.json").read_text())["resample"] is None
    with pytest.raises(ValueError, match=r"built with resample=None, found resample=auto"):
        Index.create(tmp_path / "index", encoder="random-tiny", device="cpu")


def test_a_tomogram_of_another_spacing_than_before_is_embedded_again(tmp_path: Path) -> None:
    index = Index.create(tmp_path / "index", encoder="random-tiny", device="cpu")
    assert index.add(noise(13.48), progress=False)
    assert not index.add(noise(13.48), progress=False)
    assert index.add(noise(13.9), progress=False)


def test_labels_keep_their_place_when_their_tomogram_is_resampled() -> None:
    points = {"ribosome": np.array([[300.0, 200.0, 100.0]])}
    labels = Labels([LabelledRun(noise(7.84), points)], [LabelledRun(noise(10.2), points)], {"ribosome": 150.0})
    other = labels.resampled("auto", 10.0)
    assert [run.tomogram.voxel_spacing for run in (*other.training, *other.held_out)] == [10.0, 10.2]
    assert other.training[0].points_xyz is points
    assert other.training[0].tomogram.stored is labels.training[0].tomogram
