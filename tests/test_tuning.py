"""A search over settings of finetune train: its trials, what ends them early, what happens when it is killed."""

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from test_finetune_runs import make_project

from finetune import train
from finetune.__main__ import main
from finetune.checkpoint import load_description
from finetune.search_space import read_ranges
from finetune.settings import TrainConfig
from finetune.sources import DESCRIPTION
from finetune.tune import TuneConfig
from tomoseek.command_line import compose_settings
from tomoseek.config import CONFIG_DIR

optuna = pytest.importorskip("optuna", minversion="4", reason="a search needs: pip install 'tomoseek[tune]'")
journal = pytest.importorskip("optuna.storages.journal")
pytestmark = pytest.mark.filterwarnings("ignore:only .* labels")

TINY = (
    "encoder=random-tiny", "decoder_channels=[16,8]", "crops.size=[32,32,32]", "num_steps=3", "batch_size=1",
    "validate_every=null", "device=cpu", "detect.tile=[32,72,72]",
)  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("project"), runs=("a", "b"), num_each=4)


@pytest.fixture
def tune(project, monkeypatch):
    """The command line, on tiny settings."""

    def run(out_dir: Path, *words: str, command: tuple[str, ...] = ("tune",)) -> None:
        place = (f"data.project={project}", "validation_runs=[b]", f"out_dir={out_dir}")
        monkeypatch.setattr(sys, "argv", ["finetune", *command, *place, *TINY, *words])
        main()

    return run


def table(out_dir: Path) -> pd.DataFrame:
    return pd.read_csv(out_dir / "trials.csv")


def test_a_search_lists_its_trials_best_first_and_each_lies_in_its_own_folder(tune, tmp_path, capsys):
    choices = "+search.crops={size: {choices: [[32,32,32], [32,32,40]]}}"
    tune(tmp_path, "num_trials=3", "search.positive_weight=null", "positive_weight=100", choices)
    trials = table(tmp_path)
    assert sorted(trials["trial"]) == [0, 1, 2] and set(trials["state"]) == {"complete"}
    assert list(trials["weighted_f4"]) == sorted(trials["weighted_f4"], reverse=True)
    assert "positive_weight" not in trials and trials["learning_rate"].nunique() == 3
    for trial in trials.to_dict("records"):
        provenance = load_description(tmp_path / str(trial["trial"])).provenance
        assert trial["weighted_f4"] == provenance["validation"]["weighted_f4"]
        assert trial["learning_rate"] == provenance["settings"]["learning_rate"]
        assert trial["augment.noise"] == provenance["settings"]["augment"]["noise"]
        assert json.loads(trial["crops.size"]) == provenance["settings"]["crops"]["size"]
        assert provenance["settings"]["positive_weight"] == 100
    said = capsys.readouterr().out
    assert f"checkpoint={tmp_path / str(trials['trial'][0])}" in said
    assert all(f"[{number + 1}/3] trial {number}: weighted F4" in said for number in range(3))


def test_the_best_settings_can_be_pasted_into_train(tune, tmp_path):
    tune(tmp_path, "num_trials=2", "+search.unfreeze={choices: [none, top]}")
    text = (tmp_path / "best.yaml").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("# python -m finetune train ")]
    words = shlex.split(line.removeprefix("# python -m finetune train "))
    config = compose_settings("finetune_train", TrainConfig, words)
    best = table(tmp_path).iloc[0]
    assert (config.learning_rate, config.augment.noise) == (best["learning_rate"], best["augment.noise"])
    assert config.unfreeze.value == json.loads(best["unfreeze"])
    assert OmegaConf.create(text).augment.noise == best["augment.noise"]


def test_a_killed_search_goes_on_as_if_it_had_not_been_killed(tune, project, tmp_path, capsys):
    words = ("num_trials=3", "num_random=1", "num_steps=40", "validate_every=20")  # the last two are no random ones
    place = (f"data.project={project}", "validation_runs=[b]", f"out_dir={tmp_path / 'killed'}")
    log = tmp_path / "killed" / "1" / train.LOG
    command = [sys.executable, "-m", "finetune", "tune", *place, *TINY, *words, "log_every=1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (log.exists() and len(log.read_text().splitlines()) > 4):
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 143
    assert list(table(tmp_path / "killed")["trial"]) == [0]
    tune(tmp_path / "killed", *words)
    assert f"resuming {tmp_path / 'killed' / '1'} at step" in capsys.readouterr().out
    tune(tmp_path / "whole", *words)
    pd.testing.assert_frame_equal(table(tmp_path / "killed"), table(tmp_path / "whole"))


def test_more_trials_are_added_to_those_there_are(tune, tmp_path, monkeypatch):
    tune(tmp_path, "num_trials=1")
    trained = []
    run = train.run
    monkeypatch.setattr(train, "run", lambda config, **more: trained.append(config.out_dir) or run(config, **more))
    tune(tmp_path, "num_trials=2")
    assert trained == [str(tmp_path / "1")]
    assert sorted(table(tmp_path)["trial"]) == [0, 1]


def test_a_trial_below_the_median_of_the_others_ends_early(tune, tmp_path, capsys):
    words = ("num_random=1", "validate_every=1")
    tune(tmp_path, *words, "num_trials=1")
    storage = journal.JournalStorage(journal.JournalFileBackend(str(tmp_path / "study.jsonl")))
    study = optuna.load_study(study_name="tune", storage=storage)
    first = study.trials[0]
    assert sorted(first.intermediate_values) == [1, 2]
    unbeaten = {"value": 2.0, "intermediate_values": {1: 2.0, 2: 2.0}}  # more than any F4
    study.add_trial(optuna.create_trial(params=first.params, distributions=first.distributions, **unbeaten))
    capsys.readouterr()
    tune(tmp_path, *words, "num_trials=3")
    assert "[3/3] trial 2: stopped at step 1, where its weighted F4 was" in capsys.readouterr().out
    assert list(table(tmp_path)[["trial", "state"]].itertuples(index=False, name=None)) == [
        (1, "complete"), (0, "complete"), (2, "pruned"),
    ]  # fmt: skip
    assert not (tmp_path / "2" / DESCRIPTION).exists()


def test_a_search_with_other_ranges_is_not_mixed_into_an_earlier_one(tune, tmp_path, capsys):
    tune(tmp_path, "num_trials=1")
    with pytest.raises(SystemExit) as stopped:
        tune(tmp_path, "num_trials=1", "search.sigma_factor.high=0.6")
    assert stopped.value.code == 2
    assert "holds a search with other settings, encoder or labels (search)" in capsys.readouterr().err
    tune(tmp_path, "num_trials=1", "search.sigma_factor.high=0.6", "resume=false")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("classes=[cube]",), "'cube'"),
        (("data.runs=[a]", "validation_runs=[]"), "found none; label a second run"),
        (("+search.no_such_setting={low: 1, high: 2}",), "no_such_setting"),
        (("search.learning_rate={low: 2, high: 1}",), "search.learning_rate: expected low < high"),
        (("search.learning_rate=1e-3",), "search.learning_rate: expected {low"),
        (("+search.unfreeze={choices: [none, some]}",), "setting 'unfreeze'"),
        (("num_trials=0",), "num_trials, num_random: expected at least 1, found 0, 6"),
    ],
)
def test_bad_input_ends_a_search_with_code_2_and_one_line(tune, tmp_path, capsys, words, message):
    with pytest.raises(SystemExit) as stopped:
        tune(tmp_path, *words)
    assert stopped.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert not (tmp_path / "study.jsonl").exists()


def test_without_optuna_one_line_says_how_to_install_it(tune, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SystemExit) as stopped:
        tune(tmp_path)
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "error: finetune tune needs optuna: pip install 'tomoseek[tune]'\n"


def test_a_search_in_which_every_training_failed_is_no_success(tune, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        tune(
            tmp_path, "search.learning_rate=null", "learning_rate=1e30", "warmup_steps=1", "num_steps=9", "num_trials=2"
        )
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert "none of 2 trials came to its end" in said.err
    assert "trial 1: failed (loss is" in said.out
    assert list(table(tmp_path)["state"]) == ["fail", "fail"]
    assert not (tmp_path / "best.yaml").exists()


def test_a_plain_grid_needs_no_search_and_has_a_folder_for_each_value(tune, tmp_path):
    tune(tmp_path, "learning_rate=1e-3,2e-3", command=("train", "--multirun"))
    for number, rate in enumerate((1e-3, 2e-3)):
        assert load_description(tmp_path / str(number)).provenance["settings"]["learning_rate"] == rate


def test_ranges_hold_the_defaults_and_whole_settings_get_whole_numbers():
    config = compose_settings("finetune_tune", TuneConfig, ["+search.batch_size={low: 2, high: 8, log: true}"])
    ranges = {each.name: each for each in read_ranges(config.search, config)}
    assert len(ranges) == 6
    with initialize_config_dir(config_dir=str(CONFIG_DIR), version_base="1.3"):
        defaults = compose("finetune_train")
    for name, each in ranges.items():
        assert each.low < OmegaConf.select(defaults, name) < each.high, name
    trial = optuna.create_study().ask()
    assert isinstance(ranges["batch_size"].draw(trial), int) and 0.2 <= ranges["sigma_factor"].draw(trial) <= 0.5
