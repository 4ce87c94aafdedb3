"""Imports form a star: pretrain, finetune and embed know tomoseek alone; tomoseek knows none of them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STAGES = {"pretrain", "finetune", "embed"}
# Rooms of tomoseek, each built on those before it.
ROOMS = ["network", "tomograms", "picks", "exchange", "simulate", "evaluation", "demo", "doctor"]
ALLOWED = {"tomoseek": {"tomoseek"}, **{stage: {stage, "tomoseek"} for stage in STAGES}}


def imported_packages(path: Path) -> Iterator[tuple[int, str]]:
    """Line and top-level package of every import, at any depth, also by name through importlib."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).parts[0] if node.level else (node.module or "").split(".")[0]
            yield node.lineno, package
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from ((node.lineno, str(a.value).split(".")[0]) for a in node.args if isinstance(a, ast.Constant))


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_package_imports_only_what_the_star_allows(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    foreign = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files
        for line, name in imported_packages(path)
        if name in ALLOWED and name not in ALLOWED[package]
    ]
    assert foreign == []


def imported_rooms(path: Path) -> set[str]:
    """Rooms of tomoseek that a file imports, at any depth."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    return {parts[1] for parts in (name.split(".") for name in modules) if parts[0] == "tomoseek" and len(parts) > 1}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_of_tomoseek_imports_only_rooms_before_it(room: str) -> None:
    files = sorted((ROOT / "tomoseek" / room).rglob("*.py"))
    assert files
    later = set(ROOMS[ROOMS.index(room) + 1 :])
    assert {str(path.relative_to(ROOT)): found for path in files if (found := imported_rooms(path) & later)} == {}


def test_what_stands_at_the_door_imports_no_room() -> None:
    commands = {"__main__", "__init__"}
    door = [path for path in (ROOT / "tomoseek").glob("*.py") if path.stem not in commands]
    assert door
    assert {path.name: found for path in door if (found := imported_rooms(path) & set(ROOMS))} == {}


def test_a_foreign_import_would_be_noticed(tmp_path: Path) -> None:
    source = "import os\ndef late():\n    from finetune.train import run\n    import embed.index as index\n"
    source += "    importlib.import_module('pretrain.loop')\n"
    (tmp_path / "sample.py").write_text(source)
    assert [name for _, name in imported_packages(tmp_path / "sample.py")] == [
        "os",
        "finetune",
        "embed",
        "pretrain",
    ]


def test_no_module_reads_pickles() -> None:
    for package in ALLOWED:
        for path in (ROOT / package).rglob("*.py"):
            assert "pickle" not in {name for _, name in imported_packages(path)}, path
