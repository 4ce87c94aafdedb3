"""How strongly proteins stand out of a tomogram, measured from the tomogram itself.

All proteins have one density, so one number tells how strong any of them has to be rendered: what the largest compact
things in the tomogram reach, over what a ball of about their mass reaches in a noise-free
image.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from tomoseek.geometry import angstrom_to_cells, indices_to_points
from tomoseek.network.strides import COARSEST_STRIDE
from tomoseek.picks.peaks import find_peaks
from tomoseek.simulate.domains import domain, rasterise
from tomoseek.simulate.microscope import MicroscopeConfig
from tomoseek.simulate.scene import SceneConfig, build_specimen
from tomoseek.simulate.tomogram import image_specimen
from tomoseek.tomograms.tomogram import Tomogram

WIDTH_ANGSTROM = 65.0  # of the narrower Gaussian
WIDER = 1.6
BALL_KDA = 1600.0  # so that simulated tomograms, sparse or crowded, give their own contrast
APART_ANGSTROM = 100.0
PERCENTILE = 95.0  # of the maxima; the largest complexes of a cell are a few of a hundred
PIECES = 4
BOX_ANGSTROM = 640.0  # around the ball, along the axis of tilt
PIECE_ANGSTROM = (960.0, 1920.0, 1920.0)  # z y x

Floats = NDArray[np.float32]


def blobs(volume: Floats, voxel_spacing: float) -> Floats:
    """Return the difference of two Gaussians of ``(z, y, x)``, protein positive."""
    width = angstrom_to_cells(WIDTH_ANGSTROM, voxel_spacing)
    blurred: Floats = ndimage.gaussian_filter(volume, width) - ndimage.gaussian_filter(volume, WIDER * width)
    return blurred


def standing_out(tomogram: Tomogram, seed: int = 0) -> float:
    """Measure what the largest compact things of a tomogram reach, in its robust standard deviations.

    It is the 95th percentile of the maxima of a difference of Gaussians in some pieces.
    """
    random = np.random.default_rng(seed)
    spacing = tomogram.voxel_spacing
    wanted = [max(1, round(length / spacing / COARSEST_STRIDE)) * COARSEST_STRIDE for length in PIECE_ANGSTROM]
    size = [min(most, n) for most, n in zip(wanted, tomogram.shape, strict=True)]
    heights = []
    for _ in range(PIECES):
        piece = tomogram.crop(tomogram.draw_place(size, random), size)
        _, height = find_peaks(
            blobs(piece, spacing), radius_cells=angstrom_to_cells(APART_ANGSTROM, spacing), threshold=0.0
        )
        heights.append(height)
    return float(np.percentile(np.concatenate(heights), PERCENTILE))


def ball_response(
    shape: list[int], voxel_spacing: float, microscope: MicroscopeConfig, generator: torch.Generator
) -> float:
    """Return what a ball of `BALL_KDA` reaches in a noise-free simulated tomogram, in the simulator's unit.

    Parameters
    ----------
    shape
        Voxels z y x of the tomogram. Of its length along y, the axis of tilt, which changes nothing, a part will do.
    voxel_spacing
        Å.
    microscope
        How it is imaged.
    generator
        In the state in which another tomogram was imaged, it gives the same tilts, focus and filter.
    """
    box = [shape[0], min(shape[1], round(BOX_ANGSTROM / voxel_spacing)), shape[2]]
    scene = SceneConfig(shape=box, voxel_spacing=voxel_spacing, vesicles=[0, 0], gold_beads=[0, 0])
    ball = rasterise(domain(BALL_KDA, (0.0, 0.0, 0.0)), voxel_spacing)
    middle = indices_to_points([[(n - 1) / 2 for n in box]], voxel_spacing)
    nothing_else = torch.Generator().manual_seed(0)
    specimen = build_specimen({"ball": ball}, {}, scene, nothing_else, torch.device("cpu"), {"ball": middle})
    clean, _, _ = image_specimen(specimen, scene, microscope, generator, None)
    z, y, x = (n // 2 for n in box)
    return float(blobs(-clean.numpy(), voxel_spacing)[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2].max())
