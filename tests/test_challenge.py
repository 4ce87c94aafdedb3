"""The challenge's own layout: unpacked, made a project, scored without labels and leaving one run out."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks.challenge_project import kaggle_project
from benchmarks.picker.challenge import stages
from tomoseek.complexes import CHALLENGE, COMPLEXES
from tomoseek.demo.stages import Ledger, run_stage
from tomoseek.errors import InputError
from tomoseek.picks.copick_picks import list_picks, read_picks
from tomoseek.tomograms.copick_tomograms import add_tomogram
from tomoseek.tomograms.project import create_project, open_project

RUNS = ("TS_1", "TS_2", "TS_3")
SPACING = 10.0


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """A folder as the challenge's zip unpacks: static tomograms, and picks named after objects alone."""
    made, folder = tmp_path / "made", tmp_path / "train"
    root = create_project(made, [COMPLEXES[name] for name in CHALLENGE])
    random = np.random.default_rng(0)
    for run in RUNS:
        add_tomogram(root, run, "wbp", SPACING, random.normal(size=(32, 64, 64)).astype(np.float32))
        for name in CHALLENGE:
            places = [{"location": dict(zip("xyz", point, strict=True))} for point in random.uniform(100, 300, (3, 3))]
            identity = np.eye(4).tolist()
            picks = {
                "pickable_object_name": name, "user_id": "curation", "session_id": "0", "run_name": run,
                "voxel_spacing": None, "unit": "angstrom",
                "points": [{**place, "transformation_": identity, "instance_id": 0} for place in places],
            }  # fmt: skip
            path = folder / "overlay" / "ExperimentRuns" / run / "Picks" / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(picks))
    shutil.move(made / "static", folder / "static")
    return folder


def test_the_unpacked_zip_becomes_a_project_with_its_picks_and_stays_as_it_is(unpacked: Path, tmp_path: Path) -> None:
    before = sorted(path for path in unpacked.rglob("*"))
    config = kaggle_project(unpacked, tmp_path / "challenge")
    root = open_project(config)
    assert sorted(run.name for run in root.runs) == list(RUNS)
    assert list_picks(root, "TS_2") == [(name, "curation", "0") for name in sorted(CHALLENGE)]
    assert len(read_picks(root, "TS_2", "ribosome", "curation", "0")) == 3
    assert sorted(path for path in unpacked.rglob("*")) == before
    shutil.rmtree(unpacked / "overlay")
    with pytest.raises(InputError, match="expected picks in"):
        kaggle_project(unpacked, tmp_path / "again")
    with pytest.raises(InputError, match="expected the challenge's tomograms in"):
        kaggle_project(tmp_path / "nothing", tmp_path / "again")


@pytest.mark.slow
def test_all_runs_are_scored_without_labels_and_leaving_one_out(unpacked: Path, tmp_path: Path) -> None:
    config, out = kaggle_project(unpacked, tmp_path / "challenge"), tmp_path / "scores"
    short = ["num_steps=1", "warmup_steps=1", "crops.size=[32,32,32]", "batch_size=1", "device=cpu"]
    for leave_one_out, session in ((False, "zero"), (True, "loo")):
        (out / session).mkdir(parents=True)
        ledger = Ledger(out / session, {})
        for stage in stages(config, out, list(RUNS), leave_one_out, [], short):
            run_stage(ledger, stage, session)
        evaluation = json.loads((out / session / "evaluation.json").read_text())
        assert evaluation["runs"] == list(RUNS) and set(evaluation["classes"]) == set(CHALLENGE)
        assert evaluation["settings"]["picks"]["session_id"] == session
    learned = json.loads((out / "loo" / "TS_2" / "finetune.json").read_text())
    own = [run["run"] for run in [*learned["training_runs"], *learned["threshold_runs"]] if run["run"] in RUNS]
    assert sorted(own) == ["TS_1", "TS_3"]
