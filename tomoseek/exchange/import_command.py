"""``python -m tomoseek import``: volumes and coordinates become a copick project, or extend one."""

import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from tqdm import tqdm

from tomoseek.complexes import Complex
from tomoseek.config import DataConfig, PicksConfig, Polarity
from tomoseek.errors import InputError
from tomoseek.exchange.coordinate_files import Units, read_coordinates
from tomoseek.exchange.volume_names import Source, find_files, find_volumes
from tomoseek.messages import warn
from tomoseek.picks.copick_picks import write_picks
from tomoseek.picks.points import Picks, check_inside
from tomoseek.tomograms.copick_tomograms import add_tomogram, find_tomograms
from tomoseek.tomograms.opening import open_tomogram
from tomoseek.tomograms.project import check_name, create_project, ensure_object, object_radii
from tomoseek.tomograms.tomogram import Tomogram

LOCK = ".import.lock"
MOST_OUTSIDE = 0.1  # share of the picks of a file and run that may lie outside the volume and be left out

ByRunAndObject = dict[tuple[str, str], Picks]


@dataclass(kw_only=True, slots=True)
class ImportConfig:
    """Settings of ``configs/import.yaml``."""

    volumes: Any  # a glob, a path, or a list of these
    halves: str | None
    out_dir: str
    tomogram_type: str
    strip: list[str]
    voxel_spacing: float | None
    picks: Any  # as volumes
    units: Units
    pixel_size: float | None
    run: str | None
    name: str | None
    radius: Any  # Å, or Å by object
    owner: PicksConfig

    def __post_init__(self) -> None:
        for word in ("voxel_spacing", "pixel_size"):
            size = getattr(self, word)
            if size is not None and not 0 < size < float("inf"):
                raise InputError(f"{word}={size}: expected Å per voxel, more than 0")


def run(config: ImportConfig) -> None:
    """Import what is named; what fails is listed at the end, and then the exit code is 1."""
    if config.volumes is None and config.halves is None and config.picks is None:
        raise InputError("expected volumes=..., halves=... or picks=... to import, found none of them; see --help")
    check_name(config.tomogram_type, "tomogram type")
    user_id, session_id = config.owner.owner("owner")
    sources = find_volumes(config.volumes, config.halves, config.tomogram_type, config.strip)
    files = [] if config.picks is None else find_files(config.picks, "picks")
    root = create_project(config.out_dir, [])
    try:
        with FileLock(Path(config.out_dir) / LOCK, timeout=0):
            failures = import_volumes(root, sources, config.voxel_spacing)
            if files:
                picks, not_read = collect_picks(config, root, files)
                failures += not_read
                store_picks(config, picks, user_id, session_id)
    except Timeout as error:
        raise InputError(f"expected one import at a time, found another at work in {config.out_dir}: wait") from error
    if failures:
        print(f"{len(failures)} of {len(sources) + len(files)} files were not imported:", file=sys.stderr)
        for path, reason in failures:
            print(f"  {path}: {reason}", file=sys.stderr)
        sys.exit(1)


def import_volumes(root: Any, sources: list[Source], voxel_spacing: float | None) -> list[tuple[Path, str]]:
    """Add each volume to the project unless it is there, and return those that failed with the reason.

    A float32, float16 or integer MRC is mapped and written chunk by chunk; what it takes is an eighth of it as float32.
    """
    failures = []
    for source in tqdm(sources, desc="import", unit="file", disable=None):
        started = time.perf_counter()
        try:
            told = _import_volume(root, source, voxel_spacing)
        except (InputError, OSError, MemoryError) as error:
            failures.append((source.path, str(error) or type(error).__name__))
            continue
        seconds = time.perf_counter() - started
        tqdm.write(f"{source.run}/{source.tomogram_type}: {told} ({seconds:.1f} s)", file=sys.stdout)
    return failures


def _import_volume(root: Any, source: Source, voxel_spacing: float | None) -> str:
    """Add one volume, and say what was done."""
    tomogram = open_tomogram(source.path, voxel_spacing, run=source.run)
    size = " x ".join(map(str, tomogram.shape))
    told = f"{size} voxels z y x at {tomogram.voxel_spacing:g} Å"
    present = _stored(root, source)
    if present:
        if present.shape != tomogram.shape or f"{present.voxel_spacing:.3f}" != f"{tomogram.voxel_spacing:.3f}":
            raise InputError(
                f"expected no other {source.tomogram_type} of run {source.run} in the project, found one of "
                f"{' x '.join(map(str, present.shape))} voxels at {present.voxel_spacing:g} Å, and in the file {told}: "
                "give another tomogram_type or out_dir"
            )
        return f"kept, {told}"
    if abs(tomogram.voxel_spacing - 1) < 1e-3:
        warn(f"{source.path} says 1 Å per voxel, as programs write that do not know; give voxel_spacing=... if so")
    folder = Path(root.root_static) / "ExperimentRuns" / source.run / f"VoxelSpacing{tomogram.voxel_spacing:.3f}"
    for left in folder.glob(f".{source.tomogram_type}-*"):  # of an import that was killed
        shutil.rmtree(left, ignore_errors=True)
    volume = tomogram.array[(slice(None),) * 3]  # of an MRC still mapped
    add_tomogram(root, source.run, source.tomogram_type, tomogram.voxel_spacing, volume)
    return told


def _stored(root: Any, source: Source) -> Tomogram | None:
    """The tomogram of that run and type that the project has, of whatever spacing."""
    known = root.get_run(source.run)
    spacings = [
        float(spacing.voxel_size)
        for spacing in (known.voxel_spacings if known is not None else ())
        if any(entry.tomo_type == source.tomogram_type for entry in spacing.tomograms)
    ]
    return _tomograms(root, source.tomogram_type, [source.run], spacings[0])[0] if spacings else None


def _tomograms(root: Any, kind: str, runs: list[str], voxel_spacing: float | None) -> list[Tomogram]:
    project = str(Path(root.root_static).parent)
    data = DataConfig(
        project=project, runs=runs, tomogram_type=kind, voxel_spacing=voxel_spacing, polarity=Polarity.dark
    )
    return find_tomograms(data)


def collect_picks(config: ImportConfig, root: Any, files: list[Path]) -> tuple[ByRunAndObject, list[tuple[Path, str]]]:
    """Read all files of coordinates.

    Returns
    -------
    Picks by run and object, those of several files together; and the files that could not be read, with the reason.
    """
    root.refresh()
    found: ByRunAndObject = {}
    failures = []
    runs = [
        each.name
        for each in root.runs
        if any(
            entry.tomo_type == config.tomogram_type for spacing in each.voxel_spacings for entry in spacing.tomograms
        )
    ]
    if not runs:
        raise InputError(
            f"expected tomograms of type '{config.tomogram_type}' in {config.out_dir} for the picks to lie in, found "
            "none: import the volumes too, or give tomogram_type=..."
        )
    tomograms = {each.run: each for each in _tomograms(root, config.tomogram_type, runs, config.voxel_spacing)}
    for path in files:
        try:
            read = read_coordinates(path, tomograms, config.run, config.units, config.pixel_size)
            parts = [
                ((at, _name(config.name or name, path)), _inside(picks, tomograms[at], path))
                for name, by_run in read.items()
                for at, picks in by_run.items()
            ]
        except (InputError, OSError) as error:
            failures.append((path, str(error)))
            continue
        for key, picks in parts:
            found[key] = found[key] + picks if key in found else picks
    return found, failures


def store_picks(config: ImportConfig, picks: ByRunAndObject, user_id: str, session_id: str) -> None:
    """Write picks into the project, whose objects are extended by those it lacks."""
    names = list(dict.fromkeys(name for _, name in picks))
    root = create_project(config.out_dir, [])
    if config.radius is None:
        given = None
    else:
        given = config.radius if isinstance(config.radius, dict) else dict.fromkeys(names, float(config.radius))
    for name, radius in object_radii(root, names, given).items():
        root = ensure_object(config.out_dir, Complex(name=name, radius_angstrom=radius))
    for (at, name), each in picks.items():
        write_picks(root, at, name, each, user_id, session_id)
        print(f"{at}: {len(each)} picks of {name}, copick user {user_id}, session {session_id}")


def _name(name: str | None, path: Path) -> str:
    """The object's name, which copick must accept."""
    if name is None:
        raise InputError(f"expected the name of the object in {path}, which names none: give name=<object name>")
    check_name(name, "name")
    return name


def _inside(picks: Picks, tomogram: Tomogram, path: Path) -> Picks:
    """Leave out the few picks outside the volume; many of them mean that the units are others."""
    where = f"picks of run {tomogram.run} in {path}"
    keep = np.ones(len(picks), dtype=bool)
    for number, point in enumerate(picks.points_xyz):
        try:
            check_inside(point[None], tomogram.shape, tomogram.voxel_spacing, where)
        except InputError:
            keep[number] = False
    if keep.all():
        return picks
    if (~keep).mean() > MOST_OUTSIDE:
        check_inside(picks.points_xyz, tomogram.shape, tomogram.voxel_spacing, where)
    warn(f"{int((~keep).sum())} of {len(keep)} {where} lie outside the volume and are left out")
    return Picks(picks.points_xyz[keep], picks.scores[keep])
