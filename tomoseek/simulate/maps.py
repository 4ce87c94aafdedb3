"""Densities from files: maps (MRC) and atomic models (PDB, mmCIF)."""

import math
from pathlib import Path

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from tomoseek.errors import InputError
from tomoseek.geometry import points_to_indices
from tomoseek.simulate.domains import CUBIC_ANGSTROM_PER_KDA, centred, mass_kda
from tomoseek.tomograms.volume_files import map_mrc

MAP_SUFFIXES = (".mrc", ".map", ".ccp4")
MODEL_SUFFIXES = (".cif", ".pdb", ".ent", ".cif.gz", ".pdb.gz")
# Entries of the same complexes under which maps are found in a folder.
ENTRIES = {
    "apo-ferritin": ("4v1w", "6pxm"),
    "beta-amylase": ("1fa2",),
    "beta-galactosidase": ("6x1q", "1f4a"),
    "ribosome": ("6ek0", "6qzp"),
    "thyroglobulin": ("6scj", "7n4y"),
    "virus-like-particle": ("6n4v", "8tux"),
    "proteasome": ("1pma",),
}
# What lies inside a capsid is cargo, in some maps a stray piece of it, and no part of the class.
HOLLOW_RADIUS = {"virus-like-particle": 105.0}
# Mean density of the solid part of maps whose mass is known, at 10 Å: edges and crevices are blurred into it.
SOLID_DENSITY = 0.65
# Share of the brightest density below which a map is solvent.
SOLVENT_LEVEL = 0.15


def find_map(folder: Path, name: str) -> Path | None:
    """Return the file of a complex in a folder: named after the complex or one of its PDB entries."""
    for stem in (name, *ENTRIES.get(name, ())):
        for suffix in MAP_SUFFIXES + MODEL_SUFFIXES:
            path = folder / f"{stem}{suffix}"
            if path.is_file():
                return path
    return None


def load_density(
    path: str | Path, voxel_spacing: float, mass: float | None = None, hollow_radius: float = 0.0
) -> Tensor:
    """Read the density of a complex.

    Parameters
    ----------
    path
        MRC map, or PDB / mmCIF model; of a model the first biological assembly is built.
    voxel_spacing
        Å wanted.
    mass
        kDa to which the density is scaled; without it the solid part of a map gets the usual mean, a model
        the mass of its atoms.
    hollow_radius
        Å around the centre that are emptied.

    Returns
    -------
    Tensor
        ``(n, n, n)`` float32, z y x, n odd, the centre of mass at the central voxel; protein 1, ice 0.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InputError
        If it is neither a map nor a model that can be read.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"expected a map or model at {path}, found no such file")
    if path.name.lower().endswith(MODEL_SUFFIXES):
        density = _model_density(path, voxel_spacing)
    elif path.suffix.lower() in MAP_SUFFIXES:
        density = _map_density(path, voxel_spacing)
    else:
        known = ", ".join(MAP_SUFFIXES + MODEL_SUFFIXES)
        raise InputError(f"expected a map or model ({known}), found {path}")
    if hollow_radius > 0:
        density = _hollowed(density, hollow_radius / voxel_spacing)
    if mass is not None:
        return density * (mass / mass_kda(density, voxel_spacing))
    return density


def _map_density(path: Path, voxel_spacing: float) -> Tensor:
    array, stored = map_mrc(path)
    if not stored:
        raise InputError(f"expected a voxel size in the header of {path}, found 0; set it with an MRC tool")
    values = np.asarray(array, dtype=np.float32)  # (z, y, x)
    if not np.isfinite(values).all():
        raise InputError(f"expected finite density in {path}, found NaN or infinity")
    border = np.ones(values.shape, dtype=bool)
    border[1:-1, 1:-1, 1:-1] = False
    values = values - np.median(values[border])
    values = _largest_piece(values, SOLVENT_LEVEL * float(np.quantile(values, 0.999)))
    step = voxel_spacing / stored
    if step > 1:
        values = ndimage.gaussian_filter(values, 0.45 * math.sqrt(step**2 - 1))
    density = centred(torch.from_numpy(values), step)
    return density * (SOLID_DENSITY / density[density > 0.5 * density.max()].mean())


def _largest_piece(values: NDArray[np.float32], level: float) -> NDArray[np.float32]:
    """Keep the largest connected piece above a level, with a voxel around it; all else becomes solvent."""
    if not (values > level).any() or level <= 0:
        raise InputError("expected a map with density above its border, found none: is it inverted?")
    labels, _ = ndimage.label(values > level)
    largest = int(np.bincount(labels.ravel())[1:].argmax()) + 1
    kept = ndimage.binary_dilation(labels == largest)
    return np.where(kept, values, 0).astype(np.float32)


def _model_density(path: Path, voxel_spacing: float) -> Tensor:
    """Spread the mass of every atom over about two voxels."""
    try:
        structure = gemmi.read_structure(str(path))
    except (RuntimeError, ValueError) as error:
        raise InputError(f"expected a PDB or mmCIF model in {path}, found {error}") from error
    structure.setup_entities()
    structure.remove_waters()
    structure.remove_hydrogens()
    if structure.assemblies:
        structure.transform_to_assembly(structure.assemblies[0].name, gemmi.HowToNameCopiedChain.Dup)
    atoms = [site.atom for site in structure[0].all()] if len(structure) else []
    if not atoms:
        raise InputError(f"expected atoms in {path}, found none")
    points = np.array([atom.pos.tolist() for atom in atoms])  # (n, 3) x y z
    # Hydrogens, absent from most models, are some 7 % of a protein's mass.
    weight = np.array([atom.element.weight * atom.occ for atom in atoms]) * 1.07
    index = points_to_indices(points, voxel_spacing)  # (n, 3) z y x
    index = index - index.min(0) + 4
    size = int(index.max()) + 6
    volume = np.zeros((size, size, size), dtype=np.float32)
    floor = np.floor(index).astype(np.int64)
    share = index - floor
    for corner in np.ndindex(2, 2, 2):
        part = np.prod(np.where(corner, share, 1 - share), axis=1) * weight
        np.add.at(volume, tuple((floor + corner).T), part)
    # A Gaussian of 0.45 voxels is a resolution of two voxels.
    volume = ndimage.gaussian_filter(volume, 0.45)
    density = centred(torch.from_numpy(volume))
    return density * (CUBIC_ANGSTROM_PER_KDA / 1000 / voxel_spacing**3)


def _hollowed(density: Tensor, radius_voxels: float) -> Tensor:
    # Cargo off the centre pulls the centre of mass, so the cut and the centring settle together.
    for _ in range(4):
        half = density.shape[0] // 2
        steps = torch.arange(-half, half + 1)
        away = (steps[:, None, None] ** 2 + steps[:, None] ** 2 + steps**2).float().sqrt()
        density = centred(torch.where(away < radius_voxels, 0.0, density))
    return density
