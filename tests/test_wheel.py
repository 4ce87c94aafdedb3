"""The wheel that others install."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as the package index would build it, without network."""
    folder = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_holds_every_module_every_yaml_and_every_shipped_encoder(wheel: Path) -> None:
    expected = {
        str(path.relative_to(ROOT))
        for package in ("tomoseek", "pretrain", "finetune", "embed")
        for path in (ROOT / package).rglob("*.py")
    }
    expected |= {f"tomoseek/{path.relative_to(ROOT)}" for path in (ROOT / "configs").rglob("*.yaml")}
    expected |= {str(path.relative_to(ROOT)) for path in (ROOT / "tomoseek").rglob("*.html")}
    expected |= {str(path.relative_to(ROOT)) for path in (ROOT / "tomoseek").rglob("*.safetensors")}
    held = set(zipfile.ZipFile(wheel).namelist())
    assert expected <= held
    assert {name.split("/")[0] for name in held if ".dist-info" not in name} == {
        "tomoseek", "pretrain", "finetune", "embed",
    }  # fmt: skip


def test_commands_find_their_settings_when_run_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); sys.argv = ['tomoseek', 'simulate', "
        "'--help'];from tomoseek.__main__ import main; main(); from tomoseek.config import CONFIG_DIR; "
        "print(CONFIG_DIR)"
    )
    answer = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "num_runs" in answer.stdout
    assert answer.stdout.splitlines()[-1] == str(tmp_path / "site" / "tomoseek" / "configs")


def test_wheel_offers_the_tomoseek_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (entry,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "tomoseek = tomoseek.__main__:main" in archive.read(entry).decode()
