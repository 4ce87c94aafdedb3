"""The examples in docstrings run, and opening a file waits for no library that it does not need."""

import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("tomoseek", "pretrain", "finetune", "embed")
WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if ">>> " in path.read_text()
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_in_docstrings_are_true(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = doctest.testmod(importlib.import_module(name), verbose=False)
    assert outcome.attempted
    assert outcome.failed == 0


def test_opening_an_mrc_imports_neither_hydra_nor_torch_nor_copick(tmp_path: Path) -> None:
    with mrcfile.new(tmp_path / "tomo.mrc") as file:
        file.set_data(np.random.default_rng(0).normal(size=(16, 32, 32)).astype(np.float32))
        file.voxel_size = 10.0
    code = (
        "import sys, tomoseek\n"
        "tomogram = tomoseek.open_tomogram('tomo.mrc')\n"
        "assert tomogram.crop((0, 0, 0), (8, 8, 8)).std() > 0.5\n"
        "print([name for name in ('hydra', 'omegaconf', 'torch', 'copick', 'zarr', 'pandas') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "words", [["embed", "query", "--help"], ["finetune", "train", "--help"], ["pretrain", "--help"]]
)
def test_help_of_a_command_waits_for_no_library_of_its_work(words: list[str]) -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = {words!r}\n"
        "runpy.run_module(sys.argv[0], run_name='__main__')\n"
        "print([name for name in ('hydra', 'torch', 'faiss', 'scipy', 'copick', 'pandas') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "these are the defaults" in run.stdout
    assert run.stdout.splitlines()[-1] == "[]"
