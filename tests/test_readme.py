"""Every command that the README, the docs and the configs' headers show is one that runs."""

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import embed.__main__
import finetune.__main__
import tomoseek.__main__
from pretrain.config import PretrainConfig
from tomoseek.command_line import Command, dispatch, merge_mappings, to_dataclass
from tomoseek.config import CONFIG_DIR
from tomoseek.errors import InputError
from tomoseek.setting_words import as_typed

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS: dict[str, dict[str, Command]] = {
    "finetune": finetune.__main__.COMMANDS,
    "embed": embed.__main__.COMMANDS,
    "tomoseek": tomoseek.__main__.COMMANDS,
}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "benchmarks").rglob("*.md"))]
STARTS = ("python -m ", "accelerate launch ", "tomoseek ", "make ")


def commands_of_page(path: Path) -> list[str]:
    """Command lines of the fenced bash blocks of a page, comments cut, continued lines joined."""
    blocks = re.findall(r"^```(?:bash|sh)\n(.*?)^```", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.join(shlex.split(line, comments=True))).startswith(STARTS)]


def commands_of_config(path: Path) -> list[str]:
    """Command lines in the comment at the head of a YAML; a remark in brackets may follow one."""
    head = re.findall(r"^#   (.*)$", path.read_text(), flags=re.MULTILINE)
    return [re.sub(r"\s{2,}\(.*\)$", "", line) for line in head if line.startswith(STARTS)]


def check_command(line: str) -> None:
    """Compose what a command line says; a setting that does not exist fails, as on a real command line."""
    words = shlex.split(line)
    if words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
        assert all(word in targets or "=" in word for word in words[1:]), line
        return
    if words[0] == "tomoseek":
        program, rest = "tomoseek", words[1:]
    else:
        program, rest = words[words.index("-m") + 1], words[words.index("-m") + 2 :]
    if program.startswith("benchmarks."):
        place = ROOT / program.replace(".", "/")
        script = (place / "__main__.py" if place.is_dir() else place.with_suffix(".py")).read_text()
        assert [word for word in rest if word.startswith("--") and f'"{word}"' not in script] == [], line
        return
    if program == "pretrain":
        name, schema = "pretrain", PretrainConfig
    else:
        command = PROGRAMS[program][rest.pop(0)]
        name, schema = command.config_name, command.load()[0]
    if rest == ["--help"]:
        return
    plain, mappings = as_typed(schema, rest)
    with initialize_config_dir(config_dir=str(CONFIG_DIR), version_base="1.3"):
        config = compose(config_name=name, overrides=plain)
    merge_mappings(config, mappings)
    missing = [key for key in config if OmegaConf.is_missing(config, key)]
    assert missing == [], f"{line}: give {missing}"
    try:
        to_dataclass(schema, config)
    except InputError as error:
        raise AssertionError(f"{line}: {error}") from error


PAGE_COMMANDS = [(path.name, line) for path in PAGES for line in commands_of_page(path)]
CONFIG_COMMANDS = [(path.name, line) for path in sorted(CONFIG_DIR.glob("*.yaml")) for line in commands_of_config(path)]


@pytest.mark.parametrize(("source", "line"), [*PAGE_COMMANDS, *CONFIG_COMMANDS])
def test_documented_command_is_understood(source: str, line: str) -> None:
    check_command(line)


def test_a_wrong_setting_would_be_noticed() -> None:
    for line in (
        "python -m embed query no_such_setting=1",
        "make pizza",
        "python -m finetune train num_steps=many",
    ):
        with pytest.raises(Exception, match=r"no_such_setting|pizza|num_steps"):
            check_command(line)


def test_readme_names_every_command() -> None:
    readme = PAGES[0].read_text()
    expected = [f"python -m {program} {name}" for program, commands in PROGRAMS.items() for name in commands]
    stages = [f"accelerate launch -m pretrain stage={stage}" for stage in ("masked", "metric")]
    assert [words for words in [*expected, *stages, "make demo", "make test"] if words not in readme] == []


def test_every_config_header_shows_a_command() -> None:
    shown = {name for name, _ in CONFIG_COMMANDS}
    assert {path.name for path in CONFIG_DIR.glob("*.yaml")} - shown == {"base.yaml"}


EXAMPLES = [page for page in PAGES if "```python" in page.read_text()]


def test_the_readme_has_an_example_in_python() -> None:
    assert PAGES[0] in EXAMPLES


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_examples_compile_and_import_what_exists(page: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for block in blocks:
        compile(block, page.name, "exec")
        imports = re.findall(r"^(?:from \S+ import (?:\([^)]*\)|[^(\n]*)|import .*)$", block, flags=re.MULTILINE)
        exec("\n".join(imports), {})


@pytest.mark.parametrize(
    "words",
    [["pretrain"], *([program, name] for program in PROGRAMS for name in PROGRAMS[program])],
    ids=" ".join,
)
def test_help_shows_the_settings(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [*words, "--help"])
    if words == ["pretrain"]:
        runpy.run_module("pretrain", run_name="__main__")
    else:
        dispatch(words[0], PROGRAMS[words[0]])
    shown = capsys.readouterr().out
    assert "key=value" in shown
    assert shown.count("#") > 5
