"""Which commit a saved file names."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tomoseek.provenance import git_commit


def test_commit_is_that_of_the_checkout_which_tracks_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("git") is None:
        pytest.skip("no git here")
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):  # set while a hook runs
        monkeypatch.delenv(name, raising=False)

    def git(*words: str) -> str:
        who = ["-c", "user.name=somebody", "-c", "user.email=", "-c", "commit.gpgsign=false"]
        words = ("git", "-C", str(tmp_path), *who, "-c", f"core.hooksPath={tmp_path}", *words)
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    package, installed = tmp_path / "package", tmp_path / "installed"
    for folder in (package, installed):
        folder.mkdir()
        (folder / "code.py").write_text("x = 1\n")
    assert git_commit(package) is None
    git("init", "--quiet")
    git("add", "package")
    git("commit", "--quiet", "-m", "first")
    assert git_commit(package) == git("rev-parse", "HEAD")
    assert git_commit(installed) is None
    (package / "code.py").write_text("x = 2\n")
    assert git_commit(package) == git("rev-parse", "HEAD") + "-dirty"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(package) is None
