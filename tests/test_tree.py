"""The layout of the tree, which is part of what a newcomer reads."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"pretrain", "finetune", "embed", "configs", "tomoseek", "tests", "docs", "benchmarks"}
FILES = {"pyproject.toml", "README.md", "Makefile", "LICENSE", "constraints.txt", "mkdocs.yml"}
NAMES_THAT_SAY_NOTHING = {"utils", "util", "common", "base", "manager", "helpers", "misc", "lib"}
MAX_LINES = 300
SHIPPED = (Path("tomoseek/network/shipped"), Path("finetune/shipped"))  # weights that come along


def tracked_files() -> list[Path]:
    """Files of the project, relative to its root: those git knows or would take."""
    words = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [Path(name) for name in listed if (ROOT / name).is_file()]


def test_top_level_holds_the_documented_folders_and_files_and_no_other() -> None:
    top = {path.parts[0] for path in tracked_files() if not path.parts[0].startswith(".")}
    assert top == FOLDERS | FILES


def test_no_python_file_has_outgrown_its_room() -> None:
    lengths = {path: len((ROOT / path).read_text().splitlines()) for path in tracked_files() if path.suffix == ".py"}
    assert {path: length for path, length in lengths.items() if length > MAX_LINES} == {}


def test_every_name_tells_what_is_inside() -> None:
    names = {part for path in tracked_files() if path.suffix == ".py" for part in (*path.parts[:-1], path.stem)}
    assert names & NAMES_THAT_SAY_NOTHING == set()


def test_tests_lie_flat_and_say_which_room_they_test() -> None:
    found = [path for path in tracked_files() if path.parts[0] == "tests" and path.suffix == ".py"]
    assert all(len(path.parts) == 2 for path in found)
    shared = {"conftest.py", "browsing.py"}  # fixtures, and a person at the page
    assert all(path.name in shared or path.name.startswith("test_") for path in found)


def test_no_large_file_is_tracked() -> None:
    limits = {path: 16e6 if path.parent in SHIPPED else 5e6 for path in tracked_files()}
    assert [path for path, limit in limits.items() if (ROOT / path).stat().st_size > limit] == []
