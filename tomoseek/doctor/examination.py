"""All that is looked at in one run."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tomoseek.doctor.density import Density
from tomoseek.doctor.findings import Finding, Level
from tomoseek.doctor.picks import PickFile, check_places, check_sitting, read_files
from tomoseek.doctor.scan import Scan, scan_volume
from tomoseek.doctor.subjects import Subjects, noted
from tomoseek.doctor.volumes import check_axes, check_part, check_polarity, check_spacing, check_values
from tomoseek.errors import InputError
from tomoseek.tomograms.tomogram import Tomogram


@dataclass(slots=True)
class Examined:
    """A run, and all that was seen of it.

    Parameters
    ----------
    name
        Of the run.
    findings
        All about it.
    tomogram, scan
        None when it could not be opened, or read.
    picks
        All that could be read, by object, user and session.
    """

    name: str
    findings: list[Finding] = field(default_factory=list)
    tomogram: Tomogram | None = None
    scan: Scan | None = None
    picks: list[PickFile] = field(default_factory=list)


def examine(subjects: Subjects, name: str) -> Examined:
    """Look at a run: its tomogram, read whole and block by block, and its picks."""
    seen = Examined(name)
    try:
        with noted("header", name) as notes:
            seen.tomogram = subjects.open(name)
        for finding in _look(seen, seen.tomogram, notes):
            seen.findings.append(finding)
    except (InputError, FileNotFoundError) as error:
        seen.findings.append(Finding(Level.problem, "tomogram", str(error), name))
    if subjects.root is not None and seen.tomogram is not None:
        with noted("files of picks", name) as notes:
            found = list(_look_at_picks(seen, seen.tomogram, subjects))
        seen.findings += [*notes, *found]
    return seen


def _look(seen: Examined, tomogram: Tomogram, notes: list[Finding]) -> Iterator[Finding]:
    """Check the tomogram; what goes wrong on the way is raised after what was found before."""
    shape = " x ".join(str(length) for length in tomogram.shape)
    text = f"{shape} voxels (z y x) at {tomogram.voxel_spacing:g} Å"
    numbers = {"shape_zyx": tomogram.shape, "voxel_spacing": tomogram.voxel_spacing, "source": tomogram.source}
    yield Finding(Level.fine, "shape", text, tomogram.run, numbers)
    doubts = notes or list(check_spacing(tomogram))
    yield from doubts
    yield from check_part(tomogram)
    contrast = tomogram.contrast
    seen.scan = scan_volume(tomogram, contrast)
    yield from check_values(tomogram, seen.scan)
    if not doubts:  # protein is told by its size
        yield from check_polarity(tomogram)
    yield from check_axes(tomogram, seen.scan)


def _look_at_picks(seen: Examined, tomogram: Tomogram, subjects: Subjects) -> Iterator[Finding]:
    """Check the picks of the run."""
    for found in read_files(subjects.root, tomogram):
        if isinstance(found, Finding):
            yield found
            continue
        seen.picks.append(found)
    density = Density(seen.scan) if seen.scan is not None and seen.picks else None
    for picks in seen.picks:
        radius = subjects.radius(picks.object_name)
        yield from check_places(picks, tomogram, radius)
        if density is not None:
            yield from check_sitting(picks, tomogram, density, radius)
