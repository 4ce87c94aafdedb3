"""Simulated particles set into unlabeled tomograms, which lend them their noise, ice and contaminants."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tomoseek.network.strides import COARSEST_STRIDE
from tomoseek.simulate import MicroscopeConfig, SceneConfig
from tomoseek.simulate.contrast import ball_response, standing_out
from tomoseek.simulate.scene import build_specimen
from tomoseek.simulate.tomogram import image_specimen
from tomoseek.tomograms.tomogram import Tomogram


@dataclass(frozen=True)
class Host:
    """An unlabeled tomogram that particles are set into: two halves of it, or the tomogram alone."""

    halves: tuple[Tomogram, ...]

    @cached_property
    def standing_out(self) -> float:
        """How strong its largest compact things are, see `tomoseek.simulate.contrast`; measured when asked for."""
        return standing_out(self.halves[0])


def implant(
    host: Host,
    densities: dict[str, Tensor],
    counts: dict[str, int],
    shape: list[int],
    microscope: MicroscopeConfig,
    contrast: float,
    seed: int,
    device: torch.device,
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float64]]]:
    """Cut a piece of a tomogram at random and add noise-free particles to it.

    Parameters
    ----------
    host
        The tomogram.
    densities, counts
        For each complex ``(n, n, n)`` at the tomogram's voxel spacing, and how many of it.
    shape
        Voxels z y x wanted; less where the tomogram is smaller.
    microscope
        How the particles are imaged.
    contrast
        How strong they are: 1 is as strong as the tomogram's own proteins.
    seed
        Of place, particles and optics.

    Returns
    -------
    tuple
        Halves ``(2, z, y, x)``, protein positive, and for each complex ``(n, 3)`` x y z in Å.
    """
    generator = torch.Generator().manual_seed(seed)
    source = host.halves
    size = [min(most, n // COARSEST_STRIDE * COARSEST_STRIDE) for most, n in zip(shape, source[0].shape, strict=True)]
    random = np.random.default_rng(seed)
    start = source[0].draw_place(size, random)
    pieces = [source[k].crop(start, size) for k in (0, -1)]
    scene = SceneConfig(
        shape=size, voxel_spacing=source[0].voxel_spacing, thickness_angstrom=[size[0] * source[0].voxel_spacing] * 2,
        vesicles=[0, 0], gold_beads=[0, 0],
    )  # fmt: skip
    specimen = build_specimen(densities, counts, scene, generator, device)
    optics = generator.get_state()
    clean, _, _ = image_specimen(specimen, scene, microscope, generator, None)
    ball = ball_response(size, scene.voxel_spacing, microscope, generator.set_state(optics))
    added = (-clean * (contrast * host.standing_out / ball)).cpu().numpy()  # z y x
    return np.stack([piece + added for piece in pieces]), specimen.points_xyz
