"""A structure set into the tomograms that are searched, and what the encoder makes of it there.

Noise, ice, neighbours and missing information are the tomogram's own; places and turns are known.

Letters: n renderings, e embedding dimensions, s shells, p sites; z y x voxels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from embed.density_profile import STEP
from embed.shard import Shard
from embed.shells import shell_densities
from tomoseek.geometry import angstrom_to_cells, indices_to_points, voxel_to_cell
from tomoseek.network.encoder import Encoder
from tomoseek.network.strides import COARSEST_STRIDE, EMBEDDING_STRIDE
from tomoseek.running import autocast
from tomoseek.simulate.contrast import ball_response, standing_out
from tomoseek.simulate.microscope import MicroscopeConfig
from tomoseek.simulate.placing import bounding_radius
from tomoseek.simulate.processing_steps import filtered, lowpass_filter, radial_frequency
from tomoseek.simulate.scene import SceneConfig, build_specimen
from tomoseek.simulate.tomogram import image_specimen
from tomoseek.tomograms.tomogram import Tomogram

APART = 2.3  # bounding radii between neighbours
LEAST_APART = 400.0  # Å: the encoder normalises what it sees over a piece, and a crowd of renderings would fade
STRAY = 60.0  # Å off a regular grid, in search of a free place
TRIES = 24

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Host:
    """A tomogram, its shard, and how strong its largest compact things are."""

    tomogram: Tomogram
    shard: Shard
    standing_out: float

    @classmethod
    def of(cls, tomogram: Tomogram, shard: Shard) -> "Host":
        """Measure it."""
        return cls(tomogram, shard, standing_out(tomogram))


@dataclass(frozen=True)
class Renderings:
    """``(n, e)`` unit vectors, ``(n,)`` particle logits, ``(n, s)`` densities around, and ``(n,)`` strengths."""

    vectors: Floats
    particle_logit: Floats
    shells: Floats
    strength: Floats


@dataclass(frozen=True)
class Piece:
    """Normalised voxels ``(z, y, x)``, with 0 around them."""

    voxels: Floats

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels z y x."""
        z, y, x = self.voxels.shape
        return z, y, x

    def crop(self, start_zyx: Sequence[int], size_zyx: Sequence[int], /) -> Floats:
        """Return a crop, which may reach beyond."""
        crop = np.zeros(size_zyx, dtype=np.float32)
        low = [max(0, first) for first in start_zyx]
        high = [min(n, f + s) for n, f, s in zip(self.shape, start_zyx, size_zyx, strict=True)]
        inside = tuple(slice(a - f, b - f) for a, b, f in zip(low, high, start_zyx, strict=True))
        crop[inside] = self.voxels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        return crop


@torch.no_grad()
def render(
    encoder: Encoder, device: torch.device, hosts: Sequence[Host], density: Tensor, strengths: tuple[float, float],
    num_pieces: int, tile: int, seed: int,
) -> Renderings:  # fmt: skip
    """Set a density into pieces of tomograms, turned at random and of several strengths, and embed them.

    Parameters
    ----------
    hosts
        Take turns; all of one voxel spacing.
    density
        ``(n, n, n)`` at that spacing.
    strengths
        Of the first piece and of the last, others evenly between by logarithm; 1 = as strong as the tomogram's largest
        compact things.
    num_pieces
        How many.
    tile
        Voxels along the edge of a piece, as large as the tiles that the index was made of.
    seed
        Of places, turns and strengths.
    """
    parts = [
        _piece(encoder, device, hosts[k % len(hosts)], density, strength, tile, seed + k)
        for k, strength in enumerate(np.geomspace(*strengths, num_pieces).tolist())
    ]
    return Renderings(*(np.concatenate(values).astype(np.float32) for values in zip(*parts, strict=True)))


def _piece(
    encoder: Encoder, device: torch.device, host: Host, density: Tensor, strength: float, tile: int, seed: int
) -> tuple[Floats, Floats, Floats, Floats]:  # fmt: skip
    """Return vectors, logits, densities around and strengths of the renderings in one piece."""
    random = np.random.default_rng(seed)
    tomogram, spacing = host.tomogram, host.tomogram.voxel_spacing
    size = [max(1, min(tile, n) // COARSEST_STRIDE) * COARSEST_STRIDE for n in tomogram.shape]
    start = tomogram.draw_place(size, random)
    sites = free_sites(host.shard, start, size, bounding_radius(density, spacing), spacing, random)
    piece = Piece(tomogram.crop(start, size) + images(host, strength * density, sites, size, seed))
    with autocast(device):
        embedding = torch.cat(encoder.embed(torch.from_numpy(piece.voxels).to(device)[None, None]), 1)[0]
    cells = voxel_to_cell(sites, EMBEDDING_STRIDE).T  # z y x, p
    read = np.stack([_at(channel, cells) for channel in embedding.float().cpu().numpy()], -1)  # p e+1
    shells = np.stack([_at(shell, cells) for shell in np.moveaxis(shell_densities(piece, device), -1, 0)], -1)
    vectors, logits = read[:, :-1], read[:, -1]
    return (
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        logits,
        shells * np.float32(STEP),
        np.full(len(sites), strength),
    )


def free_sites(
    shard: Shard, start: Sequence[int], size: Sequence[int], radius_angstrom: float, spacing: float,
    random: np.random.Generator,
) -> NDArray[np.float64]:  # fmt: skip
    """Choose places ``(p, 3)`` in a piece, in its voxels, as far from particle-like ones as chance allows.

    Parameters
    ----------
    shard
        Knows what looks like a particle.
    start, size
        Of the piece, voxels.
    radius_angstrom
        That bounds the structure.
    spacing
        Å per voxel.
    """
    apart = angstrom_to_cells(max(APART * radius_angstrom, LEAST_APART), spacing)
    counts = [max(1, int((n - apart) // apart) + 1) for n in size]
    axes = [(n - 1) / 2 + (np.arange(count) - (count - 1) / 2) * apart for n, count in zip(size, counts, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    stray = angstrom_to_cells(STRAY, spacing)
    tried = grid[:, None] + random.uniform(-stray, stray, (len(grid), TRIES, 3))  # p t 3
    steps = angstrom_to_cells(radius_angstrom, spacing) * np.array([-0.7, 0.0, 0.7])
    around = np.stack(np.meshgrid(*[steps] * 3, indexing="ij"), -1).reshape(-1, 3)
    cells = voxel_to_cell(tried[:, :, None] + around + np.array(start), EMBEDDING_STRIDE)
    rows = shard.rows(np.rint(cells).astype(np.int64))  # p t 27
    logits = shard.particle_logit(np.maximum(rows, 0).ravel()).reshape(rows.shape)
    taken = np.where(rows >= 0, logits, -np.inf).max(-1)
    best: NDArray[np.float64] = tried[np.arange(len(grid)), taken.argmin(1)]
    return best


def images(host: Host, density: Tensor, sites: NDArray[np.float64], size: Sequence[int], seed: int) -> Floats:
    """Render particles as the microscope shows them, without noise: ``(z, y, x)``."""
    spacing, generator = host.tomogram.voxel_spacing, torch.Generator().manual_seed(seed)
    scene = SceneConfig(
        shape=list(size), voxel_spacing=spacing, thickness_angstrom=[size[0] * spacing] * 2, vesicles=[0, 0],
        gold_beads=[0, 0],
    )  # fmt: skip
    specimen = build_specimen(
        {"it": density}, {}, scene, generator, torch.device("cpu"), {"it": indices_to_points(sites, spacing)}
    )
    microscope, optics = MicroscopeConfig(), generator.get_state()
    clean, _, _ = image_specimen(specimen, scene, microscope, generator, None)
    ball = ball_response(list(size), spacing, microscope, generator.set_state(optics))
    stored = host.tomogram.stored.voxel_spacing
    if stored > spacing:  # finer detail than the file holds would give a rendering away
        clean = filtered(clean, lowpass_filter(radial_frequency(clean, spacing), 2 * stored))
    added: Floats = (-clean * (host.standing_out / ball)).numpy()
    return added


def _at(volume: NDArray[Any], cells: NDArray[np.float64]) -> Floats:
    """Read ``(z, y, x)`` at ``(3, p)`` fractional cells, trilinear."""
    read: Floats = ndimage.map_coordinates(volume.astype(np.float32), cells, order=1, mode="nearest")
    return read
