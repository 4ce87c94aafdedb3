"""Which files are volumes of which runs: globs, half-tomograms by pattern, names without their endings."""

import glob
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tomoseek.errors import InputError
from tomoseek.messages import listed
from tomoseek.tomograms.opening import is_volume

COMMON = "common"
# What reconstruction programs hang on the name of a tilt series: TS_1_rec.mrc, TS_1_10.00Apx.mrc, TS_1.mrc.rec
_COMMON = re.compile(
    r"(\.(mrc|rec|st|ali|map|tomostar)|[_-](\d+(\.\d+)?Apx|rec|full|full_rec|ali|aligned|wbp|sirt|vol|bin\d+|b\d+|filt))$",
    re.IGNORECASE,
)
_ENDS = (".gz", ".bz2", ".xz", ".mrc", ".rec", ".map", ".st", ".tif", ".tiff", ".zarr", ".ome")
_HALVES = re.compile(r"\{([^{},]+),([^{},]+)\}")


class Source(NamedTuple):
    """A file that becomes a tomogram of a run, of a type."""

    path: Path
    run: str
    tomogram_type: str


def find_files(given: object, word: str) -> list[Path]:
    """Return the files that a glob, a path or a list of these names, sorted within each.

    Raises
    ------
    InputError
        When one names no file.
    """
    patterns = given if isinstance(given, list) else [given]
    found: list[Path] = []
    for pattern in patterns:
        if not isinstance(pattern, str) or not pattern:
            raise InputError(f"{word}: expected files, such as 'folder/*.mrc', or a list of them, found {given}")
        path = Path(pattern).expanduser()
        files = [path] if path.exists() else [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
        if not files:
            raise InputError(f"{word}: expected files at {pattern}, found none: check the path")
        found += files
    return list(dict.fromkeys(found))


def find_volumes(volumes: object, halves: str | None, tomogram_type: str, strip: Sequence[str]) -> list[Source]:
    """Return the files to import, each with its run and type.

    Parameters
    ----------
    volumes
        A glob, a path, a folder of volumes or a list of these; None is no whole tomogram.
    halves
        A glob with the two words that tell half-tomograms apart, as in ``*_{even,odd}.mrc``; they become types such as
        ``wbp-even``. What stands for the star is the run. None is none.
    tomogram_type
        Of whole tomograms.
    strip
        Endings of names that are no part of the run, and `COMMON` for those that programs hang on.

    Raises
    ------
    InputError
        When nothing is found, the halves' pattern has no two words, or two files would be one tomogram.
    """
    sources = _halves(halves, tomogram_type, strip) if halves is not None else []
    taken = {source.path.resolve() for source in sources}
    if volumes is not None:
        inside = [_in_folder(path) for path in find_files(volumes, "volumes")]
        whole = [path for paths in inside for path in paths if path.resolve() not in taken]
        sources = [Source(path, run_name(_stem(path.name), strip), tomogram_type) for path in whole] + sources
    counts = Counter((source.run, source.tomogram_type) for source in sources)
    twice = [key for key, count in counts.items() if count > 1]
    if twice:
        run, kind = twice[0]
        files = listed(source.path for source in sources if (source.run, source.tomogram_type) == twice[0])
        raise InputError(
            f"expected one file for each run, found several for {kind} of run '{run}': {files}; narrow volumes, or "
            "strip less"
        )
    return sources


def _in_folder(path: Path) -> list[Path]:
    """The volumes in a folder; the path itself where it is no folder, or an OME-Zarr."""
    if not path.is_dir() or is_volume(path):
        return [path]
    found = sorted(each for each in path.iterdir() if not each.name.startswith(".") and is_volume(each))
    if not found:
        raise InputError(f"volumes: expected volumes in the folder {path}, found none: check the path")
    return found


def run_name(stem: str, strip: Sequence[str]) -> str:
    """Take the endings off a name, as often as one of them is there."""
    while True:
        shorter = _COMMON.sub("", stem) if COMMON in strip else stem
        for ending in strip:
            if ending != COMMON and ending:
                shorter = shorter.removesuffix(ending)
        if shorter in ("", stem):
            return stem
        stem = shorter


def _stem(name: str) -> str:
    """A file's name without the endings that say its format."""
    while ending := next((end for end in _ENDS if name.lower().endswith(end) and len(name) > len(end)), ""):
        name = name[: -len(ending)]
        if ending not in (".gz", ".bz2", ".xz", ".zarr"):
            break
    return name


def _halves(pattern: str, tomogram_type: str, strip: Sequence[str]) -> list[Source]:
    """Find the half-tomograms of both kinds, which must be of the same runs."""
    words = list(_HALVES.finditer(pattern))
    if len(words) != 1 or "*" not in pattern:
        raise InputError(
            f"halves: expected a pattern with a star and the two words that tell halves apart, such as "
            f"'tomograms/*_{{even,odd}}.mrc', found '{pattern}'"
        )
    sources: list[Source] = []
    runs = []
    for word in words[0].groups():
        one = pattern.replace(words[0][0], word)
        where = re.compile(re.escape(str(Path(one).expanduser())).replace(r"\*", "([^/]*)").replace(r"\?", "([^/])"))
        in_name = sum(map(Path(one).name.count, "*?")) or 1
        found = []
        for path in find_files(one, "halves"):
            match = where.fullmatch(str(path))
            stem = "".join(match.groups()[-in_name:]) if match else _stem(path.name)
            found.append(Source(path, run_name(_stem(stem), strip), f"{tomogram_type}-{word.strip('_-. ').lower()}"))
        runs.append({source.run for source in found})
        sources += found
    if lonely := sorted(runs[0] ^ runs[1]):
        raise InputError(f"halves: expected both halves of each run, found one alone of {listed(lonely)}: check them")
    return sources
