"""A sweep over settings of finetune train: its trials, their table, what happens when it is killed or fails."""

import sys
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from test_finetune_runs import make_project

from finetune import train
from finetune.__main__ import main
from finetune.checkpoint import load_description
from tomoseek.config import CONFIG_DIR
from tomoseek.tuning import swept_settings

pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="a sweep needs: pip install 'tomoseek[tune]'")
pytestmark = pytest.mark.filterwarnings("ignore:only .* labels", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("project"), runs=("a", "b"), num_each=4)


@pytest.fixture
def sweep(project, monkeypatch):
    """The command line, on tiny settings."""
    import optuna

    optuna.logging.disable_default_handler()  # it holds on to the standard error of the first test
    tiny = (
        "encoder=random-tiny", "decoder_channels=[16,8]", "crops.size=[32,32,32]", "num_steps=3", "batch_size=1",
        "save_every=2", "device=cpu",
    )  # fmt: skip

    def run(out_dir: Path, *words: str, tuning: str = "tuning=picker") -> None:
        place = (f"data.project={project}", "validation_runs=[b]", f"out_dir={out_dir}")
        monkeypatch.setattr(sys, "argv", ["finetune", "train", tuning, *place, *tiny, *words])
        main()

    return run


def table(out_dir: Path) -> pd.DataFrame:
    return pd.read_csv(out_dir / "trials.csv")


def test_a_sweep_lists_its_trials_best_first_and_each_lies_in_its_own_folder(sweep, tmp_path, capsys):
    sweep(tmp_path / "new" / "sweep", "hydra.sweeper.n_trials=3", "positive_weight=100")
    trials = table(tmp_path / "new" / "sweep")
    assert sorted(trials["trial"]) == [0, 1, 2]
    assert list(trials["value"]) == sorted(trials["value"], reverse=True)
    assert "positive_weight" not in trials and trials["learning_rate"].nunique() == 3
    for trial in trials.to_dict("records"):
        provenance = load_description(tmp_path / "new" / "sweep" / str(trial["trial"])).provenance
        assert trial["value"] == provenance["validation"]["weighted_f4"]
        assert trial["learning_rate"] == provenance["settings"]["learning_rate"]
        assert trial["augment.noise"] == provenance["settings"]["augment"]["noise"]
        assert provenance["settings"]["positive_weight"] == 100
    best = OmegaConf.load(tmp_path / "new" / "sweep" / "optimization_results.yaml")
    assert best.best_value == trials["value"][0]
    assert best.best_params["learning_rate"] == trials["learning_rate"][0]
    assert f"checkpoint={tmp_path / 'new' / 'sweep' / str(trials['trial'][0])}" in capsys.readouterr().out


def test_a_killed_sweep_goes_on_as_if_it_had_not_been_killed(sweep, tmp_path, monkeypatch, capsys):
    words = ("hydra.sweeper.n_trials=3", "hydra.sweeper.sampler.n_startup_trials=1")  # the last two are no random ones
    sweep(tmp_path / "whole", *words)
    save, calls = train.save, []

    def die_in_the_second_trial(*args, **kwargs):
        save(*args, **kwargs)
        calls.append(args)
        if len(calls) == 4:  # a trial saves three times: half way, trained, finished
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(train, "save", die_in_the_second_trial)
        sweep(tmp_path / "killed", *words)
    assert list(table(tmp_path / "killed")["trial"]) == [0]
    capsys.readouterr()
    sweep(tmp_path / "killed", *words)
    said = capsys.readouterr().out
    assert f"{tmp_path / 'killed' / '0'} is already complete" in said
    assert f"resuming {tmp_path / 'killed' / '1'} at step 2" in said
    pd.testing.assert_frame_equal(table(tmp_path / "killed"), table(tmp_path / "whole"))


def test_a_sweep_with_other_ranges_is_not_mixed_into_an_earlier_one(sweep, tmp_path, capsys):
    sweep(tmp_path, "hydra.sweeper.n_trials=1")
    with pytest.raises(SystemExit) as stopped:
        sweep(tmp_path, "hydra.sweeper.n_trials=1", "sigma_factor=interval(0.6,0.7)")
    assert stopped.value.code == 2
    assert "holds a training with other settings" in capsys.readouterr().err


def test_bad_input_ends_a_sweep_with_code_2_and_one_line(sweep, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        sweep(tmp_path, "classes=[cube]")
    assert stopped.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "'cube'" in line
    assert not (tmp_path / "optimization_results.yaml").exists()


def test_a_training_that_fails_ends_the_sweep_and_its_trial_has_no_value(sweep, tmp_path):
    with pytest.raises(FloatingPointError, match="loss is"):
        sweep(tmp_path, "learning_rate=1e30", "warmup_steps=1", "num_steps=9")
    assert table(tmp_path)["value"].isna().all()
    assert not (tmp_path / "optimization_results.yaml").exists()


def test_a_sweep_in_which_every_training_failed_is_no_success(sweep, tmp_path):
    words = ("learning_rate=1e30", "warmup_steps=1", "num_steps=9", "hydra.sweeper.max_failure_rate=1")
    with pytest.raises(ValueError, match="Record does not exist"):
        sweep(tmp_path, *words, "hydra.sweeper.n_trials=2")
    assert len(table(tmp_path)) == 2


def test_a_plain_grid_needs_no_sweeper_and_has_a_folder_for_each_value(sweep, tmp_path):
    sweep(tmp_path, "learning_rate=1e-3,2e-3", tuning="--multirun")
    for trial, rate in enumerate((1e-3, 2e-3)):
        assert load_description(tmp_path / str(trial)).provenance["settings"]["learning_rate"] == rate


def test_ranges_hold_the_defaults() -> None:
    with initialize_config_dir(config_dir=str(CONFIG_DIR), version_base="1.3"):
        config = compose("finetune_train", ["tuning=picker"], return_hydra_config=True)
    words = [f"{key}={value}" for key, value in config.hydra.sweeper.params.items()]
    assert len(words) == 5
    for word in OverridesParser.create().parse_overrides(words):
        default = OmegaConf.select(config, word.get_key_element())
        assert word.value().start < default < word.value().end, word.get_key_element()


def test_the_last_word_says_whether_a_setting_is_swept() -> None:
    words = ["a=interval(0.0, 1.0)", "b=choice(1,2)", "c=3", "a=0.3", "c=1,2"]
    assert swept_settings(words) == ["b", "c"]
