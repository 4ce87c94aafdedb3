"""The picker that comes along finds the complexes it names, without a label, and says what it is."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from finetune import load_picker, predict
from finetune.checkpoint import load_description
from finetune.sources import SHIPPED_DIR
from tomoseek import Tomogram
from tomoseek.command_line import compose_settings
from tomoseek.complexes import CHALLENGE, COMPLEXES
from tomoseek.picks.copick_picks import read_picks
from tomoseek.simulate import MicroscopeConfig, SceneConfig, SimulatedTomogram, builtin_density, simulate_tomogram
from tomoseek.tomograms.copick_tomograms import add_tomogram
from tomoseek.tomograms.project import create_project, open_project

SPACING = 10.0
EASY = ("apo-ferritin", "ribosome", "virus-like-particle")


@pytest.fixture(scope="module")
def simulated() -> SimulatedTomogram:
    """A bright tomogram that it has not seen."""
    densities = {name: builtin_density(name, SPACING) for name in EASY}
    scene = SceneConfig(shape=[64, 160, 160], voxel_spacing=SPACING, vesicles=[0, 0], gold_beads=[1, 1])
    return simulate_tomogram(densities, dict.fromkeys(EASY, 5), scene, MicroscopeConfig(snr=[0.2, 0.2]), seed=77)


def test_it_is_small_names_the_challenge_and_no_path() -> None:
    assert sum(path.stat().st_size for path in SHIPPED_DIR.iterdir()) < 16e6
    description = load_description("shipped")
    assert list(description.radii) == sorted(CHALLENGE, key=list(description.radii).index)
    assert description.radii == {name: COMPLEXES[name].radius_angstrom for name in description.radii}
    assert set(description.thresholds) == set(description.balanced) == set(CHALLENGE)
    assert all(description.balanced[name] >= description.thresholds[name] for name in CHALLENGE)
    assert '"/' not in (SHIPPED_DIR / "finetune.json").read_text()


def test_it_finds_its_complexes_without_a_label(simulated: SimulatedTomogram) -> None:
    tomogram = Tomogram.from_array(simulated.full.numpy(), SPACING, run="new")
    picker = load_picker("shipped", device="cpu")
    found = picker.pick(tomogram, "balance")
    for name in EASY:
        near = cKDTree(found["new", name].points_xyz).query(simulated.points[name])[0]
        assert (near <= picker.radii[name] / 2).mean() >= 0.8, name
        assert len(found["new", name]) <= 2 * len(simulated.points[name]), name


def test_predict_takes_it_where_there_is_no_other_and_says_so(
    simulated: SimulatedTomogram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    root = create_project(tmp_path / "project", [COMPLEXES["ribosome"]])
    add_tomogram(root, "new", "wbp", SPACING, simulated.full.numpy().astype(np.float32))
    words = [f"data.project={tmp_path / 'project'}", "device=cpu"]
    predict.run(compose_settings("finetune_predict", predict.PredictConfig, words))
    said = capsys.readouterr().out
    assert "learned six complexes from simulated tomograms alone" in said
    assert "added class apo-ferritin" in said
    picks = read_picks(open_project(tmp_path / "project"), "new", "ribosome", "tomoseek", "finetune")
    assert len(picks) >= 5 and (tmp_path / "runs" / "finetune" / "picks.csv").is_file()
