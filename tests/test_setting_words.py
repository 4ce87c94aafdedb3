"""Names on the command line are text, as typed, in every setting that takes one."""

import random
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from embed.query import QueryConfig
from finetune.evaluate import EvaluateConfig
from finetune.predict import PredictConfig
from finetune.settings import TrainConfig
from tomoseek.command_line import compose_settings
from tomoseek.errors import InputError
from tomoseek.setting_words import as_typed
from tomoseek.simulate.command import SimulateConfig

ODD = [
    "1_10", "20230630_1529", "1e3", "00255", "0x10", "0b1", "1.0", "+5", "-3", "1_000.5", ".5", "NaN", "inf",
    "true", "False", "no", "yes", "off", "None", "~", "TS 1 (bin4)", "a:b", "a=b", "O'Brien", '5" disk', "#3",
    "x@y", "back\\slash", "end\\", "Å", "a)", "$x", "(", "[1", "2}", "%", "*", "?", "choice", "range(1)",
    "2023-06-30", "12:30:01", "- a", "+x",
]  # fmt: skip


def queried(*words: str) -> QueryConfig:
    return compose_settings("embed_query", QueryConfig, words)


def understood(*words: str) -> dict[str, Any]:
    """What Hydra's own parser makes of words for ``embed query``, with the mappings that are kept from it."""
    plain, mappings = as_typed(QueryConfig, words)
    parsed = OverridesParser.create().parse_overrides(plain)
    return {**{each.key_or_group: each.value() for each in parsed}, **dict(mappings)}


@pytest.mark.parametrize("name", ODD)
def test_a_name_is_what_was_typed(name: str) -> None:
    words = f"run={name}", f"data.runs=[{name},{name} 2]", f"picks.session_id={name}", f"radius={{{name}: 60}}"
    config = understood(*words)
    assert (config["run"], config["picks.session_id"]) == (name, name)
    assert config["data.runs"] == [name, f"{name} 2"]
    assert config["radius"] == {name: 60} or ":" in name


def test_names_arrive_in_the_settings_as_typed() -> None:
    config = queried("run=1_10", f"data.runs=[{','.join(ODD)}]", "picks.session_id=1e3", "examples={1_10: 'a b.csv'}")
    assert (config.run, config.data.runs, config.picks.session_id) == ("1_10", ODD, "1e3")
    assert config.examples == {"1_10": "a b.csv"}
    trained = compose_settings("finetune_train", TrainConfig, ["validation_runs=[1_10,00255]"])
    assert trained.validation_runs == ["1_10", "00255"]


def test_several_names_stand_in_one_list_and_those_with_commas_in_quotes() -> None:
    words = """exclude_runs=[1_10, 00255 ,"Position_2,3",'a, b',TS (1,2),null]"""
    config = compose_settings("finetune_evaluate", EvaluateConfig, [words])
    assert config.exclude_runs == ["1_10", "00255", "Position_2,3", "a, b", "TS (1,2)", "null"]
    assert queried("data.runs=1_10").data.runs == ["1_10"]
    assert queried("data.runs=1_10,00255").data.runs == ["1_10", "00255"]
    assert queried("data.runs=[]").data.runs == []


def test_a_name_with_a_comma_needs_no_quotes_where_one_name_stands() -> None:
    assert queried("run=Position_2,3").run == "Position_2,3"
    assert queried("name=").name == ""


def test_quotes_around_a_name_may_be_there_or_not() -> None:
    for word in ("run=TS 1 (bin4)", 'run="TS 1 (bin4)"', "run='TS 1 (bin4)'"):
        assert queried(word).run == "TS 1 (bin4)"
    assert queried(r"run='O\'Brien'").run == "O'Brien"


def test_null_leaves_a_setting_open_and_in_quotes_is_a_name() -> None:
    assert queried("run=null", "data.runs=null", "examples=null") == queried()
    assert queried("run='null'").run == "null"
    with pytest.raises(InputError, match="setting 'out_dir'"):
        queried("out_dir=null")


def test_keys_of_a_mapping_are_names_and_its_numbers_are_numbers() -> None:
    words = "thresholds={1_10: 0.3, 1e3: 1, TS 1 (bin4): 5e-1, 'a: b': 0.25}"
    config = compose_settings("finetune_predict", PredictConfig, [words])
    assert config.thresholds == {"1_10": 0.3, "1e3": 1.0, "TS 1 (bin4)": 0.5, "a: b": 0.25}
    assert compose_settings("finetune_predict", PredictConfig, ["+thresholds.1_10=0.3"]).thresholds == {"1_10": 0.3}
    simulated = compose_settings(
        "simulate", SimulateConfig, ["counts_of={ribosome: 20}", "complexes=[ribosome,1e3]", "maps={1e3: 0255}"]
    )
    assert (simulated.counts_of, simulated.maps) == ({"ribosome": 20}, {"1e3": "0255"})
    with pytest.raises(InputError, match=r"thresholds"):
        compose_settings("finetune_predict", PredictConfig, ["thresholds={ribosome: many}"])


def test_what_may_be_a_name_or_a_number_is_read_by_its_looks() -> None:
    config = queried(
        "points=[[1, 2.5,3e1],[1_0,2,3]]", "radius={1_10: 60, actin: 7.5}", "negatives=[a b.csv, ribosome:curator/0]"
    )
    assert config.points == [[1, 2.5, 30.0], ["1_0", 2, 3]]
    assert config.radius == {"1_10": 60, "actin": 7.5}
    assert config.negatives == ["a b.csv", "ribosome:curator/0"]
    assert queried("radius=75").radius == 75
    assert queried("examples=ribosome:1_0/00255").examples == "ribosome:1_0/00255"
    assert queried("examples={1_10: [a.csv, b.star]}").examples == {"1_10": ["a.csv", "b.star"]}


def test_any_list_of_names_comes_back_as_it_was_written() -> None:
    generator = random.Random(0)
    marks = "ab01_.,:;'\"\\()[]{}#=+-~ @$%&*?!|/Åé"
    for _ in range(500):
        names = ["".join(generator.choices(marks, k=generator.randint(1, 8))) for _ in range(generator.randint(1, 4))]
        written = ["'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'" for name in names]
        mapping = ", ".join(f"{each}: 5" for each in written)
        config = understood(f"data.runs=[{', '.join(written)}]", f"run={written[0]}", f"radius={{{mapping}}}")
        assert config == {"data.runs": names, "run": names[0], "radius": dict.fromkeys(names, 5)}


def test_plain_names_come_back_without_any_quotes() -> None:
    generator = random.Random(1)
    for _ in range(500):
        name = "".join(generator.choices("0123456789_eE.x+-abTRUEnul #()\\@", k=generator.randint(1, 7))).strip()
        if name not in ("", "null"):
            config = understood(f"run={name}", f"data.runs=[{name},b]", f"examples={{{name}: x y.csv}}")
            assert config == {"run": name, "data.runs": [name, "b"], "examples": {name: "x y.csv"}}


def test_settings_that_are_no_names_are_left_to_hydra() -> None:
    words = ["num_steps=1_0", "+augment.flip=false", "~seed", "--multirun", "no_such=1_10", "crops.size=[32,32,32]"]
    assert as_typed(TrainConfig, words) == (words, [])


def test_a_grid_still_is_one() -> None:
    asked = {
        "learning_rate=1e-3,2e-3": "learning_rate=1e-3,2e-3",
        "encoder=1_10,b c": "encoder='1_10','b c'",
        "classes=[a],[1_0,c]": "classes=['a'],['1_0','c']",
        "data.runs=choice([a],[b])": "data.runs=choice([a],[b])",
    }
    assert as_typed(TrainConfig, asked, grid=True) == (list(asked.values()), [])


def command(words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    typed = [sys.executable, "-m", *shlex.split(words)]
    return subprocess.run(typed, cwd=folder, capture_output=True, text=True, env=None)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import numpy as np

    from tomoseek.tomograms.copick_tomograms import add_tomogram
    from tomoseek.tomograms.project import create_project

    folder = tmp_path_factory.mktemp("odd")
    root: Any = create_project(folder / "project", [])
    volume = np.random.default_rng(0).normal(size=(16, 16, 16)).astype(np.float32)
    for name in ("1_10", "TS 1 (bin4)"):
        add_tomogram(root, name, "wbp", 10.0, volume)
    return folder


@pytest.mark.parametrize("words", ["'data.runs=[1_10]'", "'data.runs=[TS 1 (bin4), 1_10]'", "'data.runs=TS 1 (bin4)'"])
def test_a_command_finds_runs_by_their_names(project: Path, words: str) -> None:
    answer = command(f"tomoseek doctor data.project=project {words}", project)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "1_10" in answer.stdout or "bin4" in answer.stdout


def test_a_command_names_the_run_that_was_typed(project: Path) -> None:
    answer = command("tomoseek doctor data.project=project 'data.runs=[1_1e3]'", project)
    assert answer.returncode == 2
    assert "found 1_1e3 in data.runs" in answer.stdout + answer.stderr


def test_a_grid_over_names_runs_each(project: Path) -> None:
    words = "tomoseek simulate --multirun out_dir=grid prefix=1_0,b num_runs=1 size=[16,32,32] complexes=[ribosome]"
    answer = command(f"{words} counts=0 halves=false device=cpu", project)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    found = sorted(path.name for path in (project / "grid").glob("*/static/ExperimentRuns/*"))
    assert found == ["1_0000", "b000"]
