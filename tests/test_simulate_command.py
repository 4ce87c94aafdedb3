"""``python -m tomoseek simulate`` end to end, small."""

import dataclasses
import json
from pathlib import Path

import copick
import mrcfile
import numpy as np
import pytest
import zarr
from hydra import compose, initialize_config_dir

from tomoseek.command_line import compose_settings
from tomoseek.config import CONFIG_DIR
from tomoseek.errors import InputError
from tomoseek.simulate import MicroscopeConfig
from tomoseek.simulate.command import SimulateConfig, read_twin, run
from tomoseek.simulate.scene import IceConfig

SMALL = [
    "num_runs=2",
    "size=[32,48,64]",
    "complexes=[apo-ferritin,beta-amylase]",
    "counts=3",
    "ice.vesicles=[0,0]",
    "device=cpu",
]


def configured(*words: str) -> SimulateConfig:
    return compose_settings("simulate", SimulateConfig, words)


def test_the_yaml_names_every_setting_and_agrees_with_the_defaults_in_python() -> None:
    config = configured()
    assert config.microscope == MicroscopeConfig()
    assert config.ice == IceConfig()
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        composed = compose("simulate")
    assert set(composed) == {field.name for field in dataclasses.fields(SimulateConfig)}
    assert set(composed.ice) == {field.name for field in dataclasses.fields(IceConfig)}
    assert set(composed.microscope) == {field.name for field in dataclasses.fields(MicroscopeConfig)}


def test_the_dim_preset_has_a_fraction_of_the_dose() -> None:
    dim, bright = configured("microscope=dim").microscope, configured().microscope
    assert dim.total_dose[1] < bright.total_dose[0] / 2
    assert dataclasses.replace(dim, total_dose=bright.total_dose) == bright


def test_a_project_opens_in_plain_copick_with_its_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"out_dir={tmp_path}/project", *SMALL]
    run(configured(*words))
    root = copick.from_file(str(tmp_path / "project" / "copick.json"))
    assert [entry.name for entry in root.pickable_objects] == ["apo-ferritin", "beta-amylase"]
    assert sorted(entry.name for entry in root.runs) == ["sim_000", "sim_001"]
    for entry in root.runs:
        spacing = entry.get_voxel_spacing(10.0)
        assert sorted(tomogram.tomo_type for tomogram in spacing.tomograms) == ["wbp", "wbp-even", "wbp-odd"]
        levels = {
            tomogram.tomo_type: np.asarray(zarr.open(tomogram.zarr(), "r")["0"]) for tomogram in spacing.tomograms
        }
        assert levels["wbp"].shape == (32, 48, 64)
        assert np.allclose(levels["wbp"], (levels["wbp-even"] + levels["wbp-odd"]) / 2, atol=1e-6)
        picks = entry.get_picks(object_name="apo-ferritin", user_id="simulator", session_id="0")
        assert len(picks) == 1
        assert len(picks[0].points) == 3
        record = json.loads((tmp_path / "project" / "simulation" / f"{entry.name}.json").read_text())
        assert record["num_particles"] == {"apo-ferritin": 3, "beta-amylase": 3}
        assert np.array(record["rotations"]["beta-amylase"]).shape == (3, 3, 3)
        assert record["snr"] > 0

    store = tmp_path / "project" / "static" / "ExperimentRuns" / "sim_001" / "VoxelSpacing10.000" / "wbp.zarr"
    written = store.stat().st_mtime_ns
    (tmp_path / "project" / "simulation" / "sim_000.json").unlink()  # as if it had been interrupted
    capsys.readouterr()
    run(configured(*words))
    assert "reusing 1 of 2 runs" in capsys.readouterr().out
    assert store.stat().st_mtime_ns == written
    assert (tmp_path / "project" / "simulation" / "sim_000.json").exists()

    with pytest.raises(InputError, match="counts"):
        run(configured(*words, "counts=2"))


def test_a_twin_holds_the_real_points(tmp_path: Path) -> None:
    picks = tmp_path / "TS_1"
    picks.mkdir()
    points = {
        "apo-ferritin": [[150.0, 200.0, 160.0], [320.0, 310.0, 150.0]],
        "proteasome": [[320.0, 120.0, 155.0]],
    }
    for name, found in points.items():
        content = {
            "pickable_object_name": name,
            "points": [{"location": dict(zip("xyz", point, strict=True))} for point in found],
        }
        (picks / f"{name}.json").write_text(json.dumps(content))
    out_dir = tmp_path / "twin"
    words = ["twin_size=[32,48,48]", "num_runs=1", "prefix=TS_1_", "halves=false", "device=cpu"]
    run(configured(f"out_dir={out_dir}", f"twin={picks}", *words))
    root = copick.from_file(str(out_dir / "copick.json"))
    entry = root.get_run("TS_1_000")
    assert [tomogram.tomo_type for tomogram in entry.get_voxel_spacing(10.012).tomograms] == ["wbp"]
    for name, expected in points.items():
        found = entry.get_picks(object_name=name, user_id="simulator")[0].points
        places = [[p.location.x, p.location.y, p.location.z] for p in found]
        assert np.array(places) == pytest.approx(np.array(expected), abs=1e-2)


def test_the_real_run_has_140_points_inside_its_tomogram(shared_data: Path) -> None:
    points = read_twin(shared_data / "picks" / "TS_5_4")
    assert sum(map(len, points.values())) == 140
    everything = np.concatenate(list(points.values()))
    assert (everything >= 0).all()
    assert (everything <= (np.array([630, 630, 184]) - 1) * 10.012).all()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["complexes=[nucleosome]"], "nucleosome"),
        (["counts_of={ribosom: 3}"], "ribosom"),
        (["size=[64,256]"], "size"),
        (["num_runs=0"], "num_runs"),
        (["ice.vesicles=[3,1]"], "vesicles"),
        (["microscope.snr=[0.5]"], "snr"),
    ],
)
def test_bad_settings_say_what_is_wrong(tmp_path: Path, words: list[str], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        run(configured(f"out_dir={tmp_path}/project", "device=cpu", *words))
    assert not (tmp_path / "project" / "copick.json").exists()


def test_a_twin_without_picks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="copick picks"):
        run(configured(f"out_dir={tmp_path}/project", f"twin={tmp_path}"))


def test_a_map_given_by_name_is_simulated_as_often_as_asked(tmp_path: Path) -> None:
    values = np.zeros((16, 16, 16), dtype=np.float32)
    values[4:12, 4:12, 4:12] = 1
    with mrcfile.new(tmp_path / "cube.mrc") as file:
        file.set_data(values)
        file.voxel_size = 10.0
    words = [f"out_dir={tmp_path}/project", "complexes=[proteasome,cube]", f"maps={{cube: {tmp_path}/cube.mrc}}"]
    words += ["counts_of={cube: 1}", "num_runs=1", "size=[32,64,64]", "ice.vesicles=[0,0]", "device=cpu"]
    run(configured(*words, "counts=2"))
    record = json.loads((tmp_path / "project" / "simulation" / "sim_000.json").read_text())
    assert record["num_particles"] == {"proteasome": 2, "cube": 1}
    assert record["settings"]["densities"]["proteasome"] == "built-in"
    root = copick.from_file(str(tmp_path / "project" / "copick.json"))
    assert root.get_object("cube").radius > 40
