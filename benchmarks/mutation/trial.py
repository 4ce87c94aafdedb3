"""Tests of a module, run on a copy of the tree that holds one fault.

Each run is a fork of a process that has imported every slow library and nothing of the project.
"""

import gc
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path

from benchmarks.mutation.mutants import Mutant

COPIED = ("tomoseek", "pretrain", "finetune", "embed", "configs", "tests", "pyproject.toml")
SLOW_TO_IMPORT = [
    "pytest", "numpy", "scipy.ndimage", "scipy.spatial", "scipy.special", "scipy.spatial.transform", "pandas", "torch",
    "faiss", "copick", "sklearn.metrics", "starfile", "mrcfile", "zarr", "timm", "accelerate", "hydra", "safetensors",
]  # fmt: skip
TIMES_CLEAN, SECONDS_MORE = 3.0, 5.0  # the more because a machine has other things to do
KILLED, SURVIVED, TIMEOUT = "killed", "survived", "timeout"

_context = multiprocessing.get_context("forkserver")


def import_before_forks(modules: list[str]) -> None:
    """Say what the process that is forked for every run imports once, before the first run."""
    _context.set_forkserver_preload(modules)


def copy_tree(root: Path, folder: Path) -> Path:
    """Copy what tests need of a checkout into a new folder."""
    for name in COPIED:
        if (root / name).is_dir():
            shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (root / name).exists():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, folder / name)
    return folder


def clean_seconds(tree: Path, tests: tuple[str, ...]) -> float:
    """Run the tests of a module without a fault.

    Raises
    ------
    RuntimeError
        When they fail.
    """
    first = _context.Process(target=os.getpid)  # waits until the slow libraries are there
    first.start()
    first.join()
    start = time.perf_counter()
    process = _start(tree, tests)
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{' '.join(tests)}: expected tests that pass, found\n{_log(tree).read_text()[-2000:]}")
    return time.perf_counter() - start


def outcomes(
    mutants: Iterable[Mutant], module: str, tests: tuple[str, ...], trees: list[Path], limit: float
) -> Iterator[tuple[Mutant, str]]:
    """Run the tests on each mutant, as many at a time as there are trees, and say what became of it.

    Parameters
    ----------
    module
        File of the tree that holds the fault while the tests run, and is itself again afterwards.
    tests
        Arguments of pytest.
    trees
        Copies by `copy_tree`.
    limit
        Seconds.
    """
    clean = (trees[0] / module).read_text()
    waiting, free = iter(mutants), list(trees)
    running: dict[int, tuple[multiprocessing.process.BaseProcess, Mutant, Path, float]] = {}
    while True:
        while free and (mutant := next(waiting, None)) is not None:
            tree = free.pop()
            (tree / module).write_text(mutant.source)
            process = _start(tree, tests)
            running[process.sentinel] = process, mutant, tree, time.perf_counter() + limit
        if not running:
            return
        soonest = min(deadline for *_, deadline in running.values())
        wait(list(running), timeout=max(0.0, soonest - time.perf_counter()))
        for sentinel, (process, mutant, tree, deadline) in list(running.items()):
            late = process.is_alive() and time.perf_counter() >= deadline
            if process.is_alive() and not late:
                continue
            with suppress(ProcessLookupError):  # with whatever it started
                os.killpg(process.pid or 0, signal.SIGKILL)
            process.join()
            del running[sentinel]
            (tree / module).write_text(clean)
            free.append(tree)
            yield mutant, TIMEOUT if late else KILLED if process.exitcode else SURVIVED


def _start(tree: Path, tests: tuple[str, ...]) -> "multiprocessing.context.ForkServerProcess":
    process = _context.Process(target=_run_pytest, args=(tree, tests))
    process.start()
    return process


def _log(tree: Path) -> Path:
    return tree.parent / f"{tree.name}.log"


def _run_pytest(tree: Path, tests: tuple[str, ...]) -> None:
    """Run in a process group of its own, with the tree before all else on the path of imports."""
    import pytest

    gc.freeze()  # nobody needs what was imported to be looked through for garbage
    os.setsid()
    log = os.open(_log(tree), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    # A compiled file is told from its source by size and second, which two mutants may share.
    sys.dont_write_bytecode = True
    os.environ |= {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    options = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", f"--basetemp={tree.parent / tree.name}.tmp"]
    sys.exit(int(pytest.main([*options, *tests])))
