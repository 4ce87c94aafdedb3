"""Examples of structures that nobody has clicked: renderings in the searched tomograms, kept beside the index."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from embed.adding import encoder_of
from embed.examples import Examples
from embed.index import Index
from embed.structure.rendering import Host, Renderings, render
from embed.structure.sources import Structure
from embed.structure.strength import TRIED, find_strength
from embed.surroundings import particle_places
from tomoseek.errors import InputError
from tomoseek.files import atomic_path
from tomoseek.network.encoder import Encoder
from tomoseek.running import progress
from tomoseek.tomograms.tomogram import Tomogram

FOLDER = ".structures"  # in the index folder
VERSION = 1  # of what is rendered
MOST_HOSTS = 4  # tomograms that lend pieces
MOST_PLACES = 20_000
TRIED_PIECES, NUM_PIECES = 12, 12
NEAR = 1.15  # factor between the strength of the tomogram and that of renderings, either way
USUAL = 1.35  # strength, where it cannot be told
FAINTEST = 0.25  # share of the renderings that look least like particles, which true ones never do


def structure_examples(
    index: Index, structures: Mapping[str, Structure], runs: Sequence[str], open_run: Callable[[str], Tomogram],
    seed: int = 0,
) -> tuple[dict[str, Examples], float | None]:  # fmt: skip
    """Render structures into tomograms that are searched.

    Parameters
    ----------
    index
        Knows the encoder and the tomograms.
    structures
        By name.
    runs
        That are searched; up to `MOST_HOSTS` of them lend their pieces.
    open_run
        Opens the tomogram of a run.
    seed
        Of places, turns and strengths.

    Returns
    -------
    tuple
        Examples by name, and the strength that renderings have in common, see `embed.structure.strength`: None where it
        cannot be told.

    Raises
    ------
    InputError
        If the encoder that built the index is not to be had any more, or the tomograms hold nothing like a particle.
    """
    studio = _Studio(index, runs, open_run, seed)
    tried = {
        name: studio.renderings(each, TRIED, TRIED_PIECES)
        for name, each in progress(structures.items(), "strength of structures")
    }
    radii = [structures[name].radius_angstrom for name in tried]
    strength = find_strength(zip(tried.values(), radii, strict=True), *_places(index, runs), studio.spacing)
    alike = USUAL if strength is None else strength
    around = (alike / NEAR, alike * NEAR)
    made = {
        name: studio.renderings(each, around, NUM_PIECES) for name, each in progress(structures.items(), "structures")
    }
    return {name: _as_examples(each) for name, each in made.items()}, strength


def _as_examples(renderings: Renderings) -> Examples:
    """Take the renderings as examples, without those that look least like particles."""
    seen = renderings.particle_logit >= np.quantile(renderings.particle_logit, FAINTEST)
    return Examples(renderings.vectors[seen], renderings.particle_logit[seen], renderings.shells[seen])


class _Studio:
    """Renders structures into a few of the searched tomograms, or reads what was rendered before."""

    def __init__(self, index: Index, runs: Sequence[str], open_run: Callable[[str], Tomogram], seed: int) -> None:
        spread = [runs[k] for k in np.linspace(0, len(runs) - 1, min(MOST_HOSTS, len(runs))).astype(int)]
        self.spacing = index.entries[spread[0]].voxel_spacing
        self.runs = [run for run in spread if np.isclose(index.entries[run].voxel_spacing, self.spacing)]
        self.index, self.open_run, self.seed = index, open_run, seed

    @cached_property
    def encoder(self) -> tuple[Encoder, torch.device]:
        """What built the index."""
        return encoder_of(self.index)

    @cached_property
    def hosts(self) -> list[Host]:
        """The tomograms that lend pieces."""
        known, resample = self.encoder[0].config.voxel_spacing, self.index.header.resample
        return [Host.of(self.open_run(run).resampled(resample, known), self.index.shard(run)) for run in self.runs]

    def renderings(self, structure: Structure, strengths: tuple[float, float], num_pieces: int) -> Renderings:
        """Render, or read what was rendered in the same way."""
        density = structure.density(self.spacing)
        path = self._path(density, strengths, num_pieces)
        if path.is_file() and (kept := _read(path)) is not None:
            return kept
        made = render(*self.encoder, self.hosts, density, strengths, num_pieces, self.index.header.tile, self.seed)
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **{each.name: getattr(made, each.name) for each in fields(Renderings)})
        return made

    def _path(self, density: Tensor, strengths: tuple[float, float], num_pieces: int) -> Path:
        """Name the file of renderings after all that they depend on."""
        what = hashlib.sha256(density.numpy().tobytes())
        entries = [(run, self.index.entries[run].contrast, self.index.entries[run].shape) for run in self.runs]
        header = self.index.header
        what.update(
            repr((VERSION, header.fingerprint, header.tile, entries, self.seed, strengths, num_pieces)).encode()
        )
        return self.index.folder / FOLDER / f"{what.hexdigest()[:24]}.npz"


def _read(path: Path) -> Renderings | None:
    """Read renderings; None where the file is damaged, and they are made again."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            return Renderings(**{each.name: kept[each.name] for each in fields(Renderings)})
    except (OSError, ValueError, KeyError):
        return None


def _places(index: Index, runs: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return vectors of particle-like places of a few runs, and the densities around them."""
    random, vectors, shells = np.random.default_rng(0), [], []
    for run in runs[:MOST_HOSTS]:
        shard = index.shard(run)
        rows = random.permutation(particle_places(shard))[: MOST_PLACES // MOST_HOSTS]
        vectors.append(shard.read_vectors(rows))
        shells.append(shard.read_shells(rows))
    places = np.concatenate(vectors)
    if not len(places):
        raise InputError(
            "structure: expected tomograms that hold something like a particle, by which to tell how strongly they "
            "show one, found none; give a few example points"
        )
    return places, np.concatenate(shells)
