"""Which picker a word names, and training that goes on from one."""

import json
import shutil

import numpy as np
import pytest
import torch
from test_finetune_runs import RUNS, make_project, train_settings

from finetune import train
from finetune.checkpoint import export_checkpoint, load_checkpoint, load_description, save_checkpoint
from finetune.sources import DESCRIPTION, SHIPPED_DIR, find_checkpoint
from finetune.start import trained_picker
from finetune.unfreeze import Unfreeze
from tomoseek.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:only . labels", "ignore:run .. has no labels")

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("project"), RUNS, 3)


@pytest.fixture(scope="module")
def trained(project, tmp_path_factory):
    out_dir = tmp_path_factory.mktemp("trained")
    train.run(train_settings(project, out_dir, "data.runs=[a1,a2]", "validation_runs=[a2]", "num_steps=60"))
    return out_dir


def test_without_a_word_ones_own_picker_counts_and_else_the_shipped_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint(None) == SHIPPED_DIR
    (tmp_path / "runs" / "finetune").mkdir(parents=True)
    assert find_checkpoint(None) == SHIPPED_DIR  # predict writes there too; that is no picker
    (tmp_path / "runs" / "finetune" / DESCRIPTION).write_text("{}")
    assert (tmp_path / find_checkpoint(None)).samefile(tmp_path / "runs" / "finetune")
    assert find_checkpoint("shipped") == SHIPPED_DIR


def test_a_folder_without_a_picker_is_refused_with_what_there_is(tmp_path):
    with pytest.raises(InputError, match=r"expected finetune.json in folder .*none.*or shipped for the picker"):
        find_checkpoint(tmp_path)


def test_a_class_known_by_name_keeps_its_heatmap_and_a_new_one_starts_fresh(trained):
    old, description = load_checkpoint(trained, CPU)
    assert list(description.radii) == ["ball", "shell"]
    new, before = trained_picker(str(trained), Unfreeze.all, ["rod", "shell", "ball"], 5)
    assert before.radii == description.radii
    volume = torch.randn(1, 1, 32, 32, 32)
    with torch.no_grad():
        expected, found = old(volume), new.eval()(volume)
    torch.testing.assert_close(found[:, [2, 1]], expected)
    assert found[:, 0].std() > 0 and not torch.allclose(found[:, 0], expected[:, 0])
    again, _ = trained_picker(str(trained), Unfreeze.all, ["rod", "shell", "ball"], 5)
    other, _ = trained_picker(str(trained), Unfreeze.all, ["rod", "shell", "ball"], 6)
    assert torch.equal(new.decoder.head.weight, again.decoder.head.weight)
    assert not torch.equal(new.decoder.head.weight[0], other.decoder.head.weight[0])


def test_going_on_from_a_picker_begins_where_it_ended_and_remembers_what_it_saw(project, trained, tmp_path):
    words = ("data.runs=[b1,b2]", "validation_runs=[b2]", f"checkpoint={trained}", "num_steps=20", "encoder=none-such")
    train.run(train_settings(project, tmp_path / "on", *words))  # encoder and its name play no part

    def losses(folder):
        lines = map(json.loads, (folder / "train_log.jsonl").read_text().splitlines())
        return [line["loss"] for line in lines if "loss" in line]

    assert losses(tmp_path / "on")[0] < 0.5 * losses(trained)[0]
    description = load_description(tmp_path / "on")
    assert [run["run"] for run in description.training_runs] == ["a1", "b1"]
    assert [run["run"] for run in description.threshold_runs] == ["b2"]
    assert description.decoder_channels == [32, 16]


def test_a_training_is_not_resumed_from_another_picker(project, trained, tmp_path):
    words = ("data.runs=[b1,b2]", "num_steps=2", "checkpoint=" + str(tmp_path / "start"))
    shutil.copytree(trained, tmp_path / "start")
    train.run(train_settings(project, tmp_path / "on", *words))
    picker, description = load_checkpoint(tmp_path / "start", CPU)
    with torch.no_grad():
        picker.decoder.head.bias += 1
    save_checkpoint(tmp_path / "start", picker, description)
    with pytest.raises(InputError, match="holds a training with other settings, encoder or labels"):
        train.run(train_settings(project, tmp_path / "on", *words))


def test_an_exported_picker_is_half_as_large_names_no_path_and_reads_as_before(trained, tmp_path):
    picker, description = load_checkpoint(trained, CPU)
    volume = torch.randn(1, 1, 32, 32, 32)
    with torch.no_grad():
        expected = picker(volume)
    export_checkpoint(trained, tmp_path, {"who": "a test"})
    again, told = load_checkpoint(tmp_path, CPU)
    assert told.provenance["who"] == "a test" and told.thresholds == description.thresholds
    assert str(trained.parent) not in (tmp_path / "finetune.json").read_text()
    assert (tmp_path / "finetune.safetensors").stat().st_size < 0.6 * (trained / "finetune.safetensors").stat().st_size
    assert all(weight.dtype == torch.float32 for weight in again.state_dict().values())
    with torch.no_grad():
        assert np.abs((again(volume) - expected).numpy()).max() < 0.05
