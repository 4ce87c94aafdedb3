"""Structures to look for: files of maps and models, and the complexes that come along."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from embed.structure import LIBRARY
from tomoseek.complexes import COMPLEXES
from tomoseek.errors import InputError
from tomoseek.messages import listed
from tomoseek.simulate.builtin import BUILTIN, builtin_density
from tomoseek.simulate.domains import mass_kda
from tomoseek.simulate.maps import HOLLOW_RADIUS, MAP_SUFFIXES, MODEL_SUFFIXES, load_density

LIGHTEST_KDA = 150.0  # below, nothing is told from noise
ROUND_BALL = (5 / 3) ** 0.5  # radius of a ball over its radius of gyration


@dataclass(frozen=True)
class Structure:
    """What is looked for.

    Attributes
    ----------
    name
        What to call it.
    density
        Gives ``(n, n, n)`` at a voxel spacing in Å, n odd, centred; protein 1, ice 0.
    radius_angstrom
        That it is known by; of a file that of a ball with its radius of gyration.
    mass_kda
        By its density.
    source
        Where it is from, in words of the query.
    """

    name: str
    density: Callable[[float], Tensor]
    radius_angstrom: float
    mass_kda: float
    source: str


def find_structures(given: Any, voxel_spacing: float) -> dict[str, Structure]:
    """Read what a query names, and check that it can be seen.

    Parameters
    ----------
    given
        A file (MRC map, PDB or mmCIF model), the name of a complex that comes along, ``library`` for all of these, a
        list of them, or ``{name: file}``. Files are called after themselves.
    voxel_spacing
        Å, of the tomograms that are searched.

    Raises
    ------
    InputError
        If there is no such file or complex, it cannot be read, two have one name, or it is too small to be seen.
    """
    if isinstance(given, dict):
        named = [(str(name), str(source)) for name, source in given.items()]
    else:
        sources = [str(source) for source in (given if isinstance(given, list) else [given])]
        sources = [each for source in sources for each in (sorted(BUILTIN) if source == LIBRARY else [source])]
        named = [(name_of(source), source) for source in sources]
    found: dict[str, Structure] = {}
    for name, source in named:
        if name in found:
            raise InputError(f"structure: expected structures of different names, found two of '{name}'; give "
                             "structure={name: file, ...}")  # fmt: skip
        found[name] = _structure(name, source, voxel_spacing)
    if not found:
        raise InputError("structure: expected a file or the name of a complex, found none")
    return found


def name_of(source: str) -> str:
    """Call a file after itself, without folder and endings."""
    name = Path(source).name
    for ending in sorted((*MODEL_SUFFIXES, *MAP_SUFFIXES), key=len, reverse=True):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def _structure(name: str, source: str, voxel_spacing: float) -> Structure:
    density = _reader(name, source)
    known = density(voxel_spacing)
    mass = mass_kda(known, voxel_spacing)
    if mass < LIGHTEST_KDA:
        raise InputError(
            f"structure={source}: expected a complex of at least {LIGHTEST_KDA:g} kDa, which stands out of noise, "
            f"found {mass:.0f} kDa; give the whole assembly"
        )
    radius = ROUND_BALL * _gyration(known) * voxel_spacing
    if source in COMPLEXES:
        radius = COMPLEXES[source].radius_angstrom
    return Structure(name, density, radius, mass, source)


def _reader(name: str, source: str) -> Callable[[float], Tensor]:
    if source in BUILTIN:
        return lambda spacing: builtin_density(source, spacing)
    path = Path(source)
    if not path.is_file():
        raise InputError(
            f"structure={source}: expected a file ({listed([*MAP_SUFFIXES, *MODEL_SUFFIXES], most=9)}), "
            f"{LIBRARY}, or one of {listed(sorted(BUILTIN), most=9)}, found no such file"
        )
    return lambda spacing: load_density(path, spacing, hollow_radius=HOLLOW_RADIUS.get(name, 0.0))


def _gyration(density: Tensor) -> float:
    """Return the radius of gyration in voxels."""
    half = density.shape[0] // 2
    steps = torch.arange(-half, half + 1, dtype=torch.float32)
    squared = steps[:, None, None] ** 2 + steps[:, None] ** 2 + steps**2
    weight = density.clamp_min(0)
    return float(np.sqrt(float((weight * squared).sum() / weight.sum())))
