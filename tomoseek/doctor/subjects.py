"""What is to be examined: the runs of a project, or files, and the project as a whole."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tomoseek.config import DataConfig
from tomoseek.doctor.findings import Finding, Level
from tomoseek.doctor.projects import check_objects, check_overlay
from tomoseek.errors import InputError
from tomoseek.messages import Notice
from tomoseek.tomograms.copick_tomograms import tomograms_of
from tomoseek.tomograms.opening import open_tomogram
from tomoseek.tomograms.project import open_project
from tomoseek.tomograms.remote import reaching, remote_place
from tomoseek.tomograms.tomogram import Tomogram


class Subjects:
    """What is to be examined: the runs of a project, or files.

    Parameters
    ----------
    data
        Which runs of which project.
    tomogram
        Instead of a project a file, or a list of them.
    """

    def __init__(self, data: DataConfig, tomogram: Any = None) -> None:
        self.data = data
        self.root: Any = None
        self.files: dict[str, str] = {}
        self.names: list[str] = []
        self._given = tomogram

    def findings(self) -> Iterator[Finding]:
        """Look for the runs, and report the project as a whole.

        Raises
        ------
        InputError
            When ``tomogram`` is neither a file nor a list of files.
        """
        if self._given is not None:
            paths = [self._given] if isinstance(self._given, str) else self._given
            if not isinstance(paths, list) or not paths or not all(isinstance(path, str) for path in paths):
                raise InputError(f"tomogram: expected a file or a list of files, found {paths}")
            self.files = dict(zip(unique_names(paths), paths, strict=True))
            self.names = list(self.files)
            yield Finding(Level.fine, "files", f"{len(paths)} file{'s' if len(paths) > 1 else ''}")
            return
        if self.data.project is None:
            text = "none given: add data.project=copick.json, or tomogram=file.mrc, to check your data"
            yield Finding(Level.fine, "project", text)
            return
        try:
            with noted("project") as notes:
                self.root = open_project(self.data.project)
            yield from notes
            with reaching(remote_place(self.root)):
                present = sorted(entry.name for entry in self.root.runs)
            self.names = present if self.data.runs is None else list(dict.fromkeys(self.data.runs))
            yield Finding(Level.fine, "project", f"{len(present)} runs in {self.data.project}")
            if not self.names:
                text = f"expected runs in {self.data.project}, found none: check its static_root"
                yield Finding(Level.problem, "project", text)
            yield from check_objects(self.data.project)
            yield from check_overlay(self.root)
        except InputError as error:
            yield Finding(Level.problem, "project", str(error))

    def open(self, name: str) -> Tomogram:
        """Open a tomogram, as the other commands would."""
        if name in self.files:
            return open_tomogram(self.files[name], self.data.voxel_spacing, self.data.polarity, name)
        return tomograms_of(self.root, replace(self.data, runs=[name]))[0]

    def radius(self, object_name: str) -> float | None:
        """Radius of an object of the project, Å."""
        known = {item.name: item.radius for item in self.root.pickable_objects}
        return float(known[object_name]) if known.get(object_name) else None


@contextmanager
def noted(check: str, run: str | None = None) -> Iterator[list[Finding]]:
    """Collect what the code within warns of as findings about a run, each text once."""
    found: list[Finding] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", Notice)
        yield found
    texts = dict.fromkeys(str(item.message) for item in caught if issubclass(item.category, Notice))
    found += [Finding(Level.warning, check, text, run) for text in texts]


def unique_names(paths: list[str]) -> list[str]:
    """Name files by their stems; those of one stem by their paths."""
    stems = [Path(path).stem for path in paths]
    return [stem if stems.count(stem) == 1 else path for stem, path in zip(stems, paths, strict=True)]
