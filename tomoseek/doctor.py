"""``python -m tomoseek doctor``: what this machine has, and whether a project is fit to be read."""

import importlib
import logging
import os
import platform
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch

from tomoseek.config import DataConfig
from tomoseek.errors import InputError
from tomoseek.picks.copick_picks import list_picks, read_picks
from tomoseek.picks.points import check_inside
from tomoseek.running import describe_precision, pick_device
from tomoseek.tomograms.copick_tomograms import find_tomograms
from tomoseek.tomograms.polarity import estimate_polarity
from tomoseek.tomograms.project import open_project
from tomoseek.tomograms.project_config import local_path
from tomoseek.tomograms.tomogram import Tomogram

MODULES = ("torch", "faiss", "copick", "zarr", "numpy")
MEMORY_GB = 8.0
DISK_GB = 10.0


@dataclass(kw_only=True, slots=True)
class DoctorConfig:
    """Settings of ``configs/doctor.yaml``."""

    data: DataConfig


class Level(Enum):
    """How a finding is marked in the report."""

    fine = "ok     "
    warning = "warning"
    problem = "PROBLEM"


class Finding(NamedTuple):
    """One line of the report."""

    level: Level
    text: str


def run(config: DoctorConfig) -> None:
    """Print the report, line by line as it is found; leave with exit code 2 when there is a problem."""
    num_problems = 0
    for title, findings in (("Machine", check_machine()), ("Project", check_project(config.data))):
        print(f"{title}")
        for finding in findings:
            num_problems += finding.level is Level.problem
            print(f"  {finding.level.value}  {finding.text}", flush=True)
    if num_problems:
        print(f"{num_problems} problem{'s' if num_problems > 1 else ''} to solve first")
        sys.exit(2)
    print("No problem found")


def check_machine() -> Iterator[Finding]:
    """Report versions, device, memory and disk."""
    logging.getLogger("faiss").setLevel(logging.WARNING)  # tells which instruction sets it tries
    found = [f"python {platform.python_version()}"]
    for name in MODULES:
        try:
            found.append(f"{name} {importlib.import_module(name).__version__}")
        except (ImportError, AttributeError) as error:
            reason = str(error).splitlines()[0]
            yield Finding(Level.problem, f"expected a working {name}, found {reason}: install tomoseek again")
    yield Finding(Level.fine, ", ".join(found))
    device = pick_device("auto")
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        text = f"{properties.name} with {properties.total_memory / 1e9:.0f} GB, {num_cores} CPU cores"
    else:
        text = f"no GPU, {num_cores} CPU cores: everything runs, slower"
    yield Finding(Level.fine, f"{text}; {describe_precision(device)}")
    memory = psutil.virtual_memory()
    text = f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB memory free"
    if memory.available < MEMORY_GB * 1e9:
        yield Finding(Level.warning, f"{text}: a full-size tomogram may need {MEMORY_GB:.0f} GB")
    else:
        yield Finding(Level.fine, text)
    free = shutil.disk_usage(".").free / 1e9
    text = f"{free:.0f} GB disk free in {Path.cwd()}"
    if free < DISK_GB:
        yield Finding(Level.warning, f"{text}: {DISK_GB:.0f} GB is little room for indexes and checkpoints")
    else:
        yield Finding(Level.fine, text)


def check_project(data: DataConfig) -> Iterator[Finding]:
    """Report the runs, tomograms, contrast and picks of a project as the other commands would read them."""
    if data.project is None:
        yield Finding(Level.fine, "none given: add data.project=copick.json to check your data")
        return
    try:
        root = open_project(data.project)
    except InputError as error:
        yield Finding(Level.problem, str(error))
        return
    present = sorted(entry.name for entry in root.runs)
    names = present if data.runs is None else list(data.runs)
    objects = ", ".join(
        f"{known.name} ({known.radius:g} Å)" if known.radius else f"{known.name} (no radius)"
        for known in root.pickable_objects
        if known.is_particle
    )
    yield Finding(Level.fine, f"{len(present)} runs; classes: {objects or 'none'}")
    if not names:
        yield Finding(Level.problem, f"expected runs in {data.project}, found none: check its static_root")
    overlay = local_path(getattr(root.config, "overlay_root", None) or "")
    if overlay is not None and overlay.is_dir() and not os.access(overlay, os.W_OK):
        yield Finding(Level.warning, f"{overlay} is not writable: picks cannot be stored there")
    totals: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for name in names:
        yield from _check_run(root, replace(data, runs=[name]), totals)
    for (object_name, user, session), counts in sorted(totals.items()):
        text = f"picks of {object_name} by {user}, session {session}: {sum(counts)} in {len(counts)} runs"
        yield Finding(Level.fine, text)
    if not totals:
        yield Finding(Level.fine, "no picks yet")


def _check_run(root: Any, data: DataConfig, totals: dict[tuple[str, str, str], list[int]]) -> Iterator[Finding]:
    """Report one run; add its picks to ``totals``."""
    try:
        tomogram = find_tomograms(data)[0]
    except InputError as error:
        yield Finding(Level.problem, str(error))
        return
    entry = root.get_run(tomogram.run)
    types = "; ".join(
        f"{', '.join(sorted(found.tomo_type for found in spacing.tomograms))} at {spacing.voxel_size:g} Å"
        for spacing in entry.voxel_spacings
    )
    shape = " x ".join(str(length) for length in tomogram.shape)
    yield Finding(Level.fine, f"{tomogram.run}: {shape} voxels (z y x) at {tomogram.voxel_spacing:g} Å; has {types}")
    yield from _check_contrast(tomogram)
    for object_name, user, session in list_picks(root, tomogram.run):
        what = f"{object_name} picks by {user}, session {session}, in {tomogram.run}"
        try:
            picks = read_picks(root, tomogram.run, object_name, user, session)
            check_inside(picks.points_xyz, tomogram.shape, tomogram.voxel_spacing, what)
        except InputError as error:
            yield Finding(Level.problem, str(error))
            continue
        totals[object_name, user, session].append(len(picks))


def _check_contrast(tomogram: Tomogram) -> Iterator[Finding]:
    """Report background, spread and whether the polarity looks as configured."""
    try:
        contrast = tomogram.contrast
        guess = estimate_polarity(tomogram, tomogram.voxel_spacing)
    except InputError as error:
        yield Finding(Level.problem, str(error))
        return
    text = f"{tomogram.run}: background {contrast.centre:.4g}, spread {contrast.scale:.4g}, "
    stated = tomogram.polarity
    if guess is None:
        yield Finding(Level.fine, f"{text}protein stated {stated.value} (cannot be told from the values)")
    elif guess is stated:
        yield Finding(Level.fine, f"{text}protein {stated.value} as stated")
    else:
        yield Finding(
            Level.warning,
            f"{text}protein looks {guess.value}, stated {stated.value}: look at a slice, and set "
            f"data.polarity={guess.value} if so",
        )
