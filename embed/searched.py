"""What a search looks at: an index, and the project or the files that its tomograms come from."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from embed.index import Index
from tomoseek.config import DataConfig
from tomoseek.errors import InputError
from tomoseek.failures import Failures
from tomoseek.messages import warn
from tomoseek.tomograms.opening import open_tomogram
from tomoseek.tomograms.tomogram import Tomogram


@dataclass(frozen=True)
class Searched:
    """Where to search.

    Attributes
    ----------
    index
        Holds every run.
    runs
        To be searched.
    root
        The copick project; None for files.
    tomogram
        Opens the tomogram of a run, for pictures.
    failures
        Files that could not be read.
    """

    index: Index
    runs: list[str]
    root: Any
    tomogram: Callable[[str], Tomogram]
    failures: Failures = field(default_factory=Failures)


def open_searched(data: DataConfig, files: Any, index_folder: str, encoder: str | None) -> Searched:
    """Open the index and what it was made of; tomograms given as files are embedded first, if they are not yet.

    Parameters
    ----------
    data
        The project, unless there are files; of files their voxel spacing (None: as they say) and polarity.
    files
        Path of a tomogram, a list of them, or None.
    index_folder
        Where the index is, or with files, where it will be.
    encoder
        To embed with, or to check the index against.

    Raises
    ------
    InputError
        If neither a project nor files are given, or both, or the index was built by another encoder.
    """
    if (data.project is None) == (files is None):
        given = "neither" if files is None else "both"
        raise InputError(f"expected either data.project=copick.json or tomogram=tomo.mrc, found {given}")
    return _files(data, files, index_folder, encoder) if files is not None else _project(data, index_folder, encoder)


def _files(data: DataConfig, files: Any, index_folder: str, encoder: str | None) -> Searched:
    paths = [files] if isinstance(files, str) else files
    if not isinstance(paths, list) or not paths or not all(isinstance(path, str) for path in paths):
        raise InputError(f"tomogram: expected a file or a list of files, found {files}")
    if data.mask not in (None, "auto"):
        raise InputError(
            f"data.mask: expected auto or null with tomogram=, found {data.mask}: masks belong to a project"
        )
    tomograms: dict[str, Tomogram] = {}
    failures, opened = Failures(), []
    for path in paths:
        with failures.of(path) if len(paths) > 1 else nullcontext():
            opened.append(open_tomogram(path, data.voxel_spacing, data.polarity))
    for tomogram in opened:
        if data.mask is None:
            tomogram.part = None
        if tomogram.run in tomograms:
            raise InputError(f"tomogram: expected files of different names, found two of '{tomogram.run}'; rename one")
        tomograms[tomogram.run] = tomogram
    index = Index.create(index_folder, encoder or "shipped", resample=data.resample)
    for run, tomogram in tomograms.items():
        with failures.of(run) if len(paths) > 1 else nullcontext():
            index.add(tomogram)
    runs = [run for run in tomograms if run not in failures.reasons]
    if not runs:
        failures.finish(0)
    return Searched(index, runs, None, tomograms.__getitem__, failures)


def _project(data: DataConfig, index_folder: str, encoder: str | None) -> Searched:
    from tomoseek.tomograms.copick_tomograms import find_tomograms  # these two import copick, which takes a second
    from tomoseek.tomograms.project import open_project

    index = Index.open(Path(index_folder))
    if encoder is not None:
        from tomoseek.network.weights import fingerprint, load_encoder  # slow to import, and seldom needed here

        index.check_encoder(fingerprint(load_encoder(encoder, "cpu")), encoder)
    root = open_project(data.project)
    runs = runs_to_search(root, index, data.runs)

    def tomogram(run: str) -> Tomogram:
        entry = index.entries[run]
        chosen = replace(data, runs=[run], tomogram_type=entry.tomogram_type, voxel_spacing=entry.stored_spacing)
        return find_tomograms(chosen)[0]

    return Searched(index, runs, root, tomogram)


def runs_to_search(root: Any, index: Index, chosen: list[str] | None) -> list[str]:
    """Return the chosen runs, or every indexed run that the project still has."""
    in_project = {item.name for item in root.runs}
    if chosen is None:
        for run_name in sorted(set(index.entries) - in_project):
            warn(f"run {run_name} is in the index but not in the project; it is not searched")
        chosen = sorted(set(index.entries) & in_project)
    if not chosen:
        raise InputError(
            f"index {index.folder}: expected at least one run of the project in it, found none; run embed build"
        )
    for run_name in chosen:
        if run_name not in index.entries:
            raise InputError(f"data.runs: run '{run_name}' is not in index {index.folder}; run embed build for it")
    return chosen
