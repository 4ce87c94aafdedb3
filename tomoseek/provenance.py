"""Which code made a file: version of the package and commit of the checkout."""

import platform
import shutil
import subprocess
from pathlib import Path

from tomoseek import __version__


def code_version() -> dict[str, str | None]:
    """Version of the package and, when it runs from a git checkout, the commit; for what is saved."""
    return {"tomoseek_version": __version__, "git_commit": git_commit(Path(__file__).resolve().parent)}


def git_commit(folder: Path) -> str | None:
    """Commit of the checkout that tracks ``folder``, with ``-dirty`` when files differ from it; None without one.

    A folder that merely lies inside a checkout, as an installed package in somebody's project does, has none.
    """
    git = shutil.which("git")
    if git is None:
        return None
    words = [git, "--no-optional-locks", "-C", str(folder)]
    tracked = subprocess.run([*words, "ls-files", "--error-unmatch", "."], capture_output=True, check=False)
    if tracked.returncode != 0:
        return None
    describe = [*words, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    answer = subprocess.run(describe, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


def processor_name() -> str:
    """Model of the processor, as the system calls it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
