"""Planted faults: a test that looks kills them, one that does not lets them live, and the tree stays as it was."""

import ast
from pathlib import Path

import pytest

from benchmarks.mutation import trial
from benchmarks.mutation.__main__ import report
from benchmarks.mutation.mutants import Mutant, sample

SOURCE = '''"""Two functions."""


def seen(low: int, high: int = 3) -> int:
    """One more than the difference."""
    return high - low + 1


def unseen(flag: bool) -> bool:
    return not flag
'''
TESTS = """from tomoseek.tiny import seen, unseen


def test_both() -> None:
    assert seen(1) == 3
    unseen(True)
"""


@pytest.fixture(scope="module", autouse=True)
def pytest_is_imported_once() -> None:
    trial.import_before_forks(["pytest"])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of a checkout of one module and its tests."""
    for name, text in {"tomoseek/__init__.py": "", "tomoseek/tiny.py": SOURCE, "tests/test_tiny.py": TESTS}.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return trial.copy_tree(tmp_path / "root", tmp_path / "copy")


def test_what_a_test_looks_at_is_killed_and_the_rest_lives(tree: Path) -> None:
    endless = Mutant(1, "seen", "by hand", "", "", "while True:\n    pass\n")
    operators = [mutant for mutant in sample(SOURCE, 99, "0") if mutant.kind in ("operator", "sign or not dropped")]
    found = list(trial.outcomes([*operators, endless], "tomoseek/tiny.py", ("tests/test_tiny.py",), [tree], 3.0))
    assert {mutant.after: outcome for mutant, outcome in found} == {
        "return high + low + 1": trial.KILLED,
        "return high - low - 1": trial.KILLED,
        "return flag": trial.SURVIVED,
        "": trial.TIMEOUT,
    }
    assert (tree / "tomoseek/tiny.py").read_text() == SOURCE
    assert trial.clean_seconds(tree, ("tests/test_tiny.py",)) > 0
    lines = report({"tomoseek/tiny.py": found}).splitlines()
    assert lines[2] == "| tomoseek/tiny.py | 4 | 2 | 1 | 1 | 0 | 75% |"
    assert lines[-1] == "- tomoseek/tiny.py, line 10, sign or not dropped: `return not flag` → `return flag`"


def test_tests_that_fail_without_a_fault_are_refused(tree: Path) -> None:
    (tree / "tests/test_tiny.py").write_text(TESTS.replace("== 3", "== 4"))
    with pytest.raises(RuntimeError, match=r"(?s)test_tiny.py: expected tests that pass, found.*1 failed"):
        trial.clean_seconds(tree, ("tests/test_tiny.py",))


def test_faults_are_drawn_alike_by_seed_and_each_changes_one_statement() -> None:
    source = Path(trial.__file__).read_text()
    drawn = sample(source, 40, "1")
    assert drawn == sample(source, 40, "1") != sample(source, 40, "2")
    clean = ast.unparse(ast.parse(source))
    assert all(mutant.before in " ⏎ ".join(map(str.strip, clean.splitlines())) for mutant in drawn)
    assert all(mutant.source != clean and ast.parse(mutant.source) for mutant in drawn)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", {"x = a <= b", "x = a > b"}),
        ("x = a and not b", {"x = a or not b", "x = a and b"}),
        ("f(a, b, key=c)", {"f(a, key=c)", "f(a, b)", "a", "pass"}),
        ("float(a)", {"pass"}),
        ("import np\nx = np.max(a)", {"x = np.min(a)", "x = a"}),
        ("x = a.mean(1)", {"x = a", "x = a.mean(2)", "x = a.mean(0)"}),
        ("x = -y * 2.0", {"x = y * 2.0", "x = -y / 2.0", "x = -y * 2.2"}),
        ("x: tuple[int, 3] = True", {"x: tuple[int, 3] = False"}),
        ("def f():\n    'Say.'\n    return 'a'", {"return None"}),
        ("if a:\n    raise b\nelse:\n    c = a", {"pass"}),
        ("if TYPE_CHECKING:\n    a = 1 < 2", set()),
        ("x = 1\nx = x[0]", {"x = 2", "x = 0", "x = x[1]", "x = x[-1]", "pass"}),
    ],
)
def test_small_changes_are_these(source: str, expected: set[str]) -> None:
    assert {mutant.after for mutant in sample(source, 99, "0")} == expected
