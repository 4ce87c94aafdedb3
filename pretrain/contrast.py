"""How strongly proteins stand out of a tomogram, measured from the tomogram itself.

All proteins have one density, so one number tells how strong any of them has to be rendered: what the largest compact
things in the tomogram reach, over what a ball of about their mass reaches in a noise-free
image.
"""

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from tomoseek.geometry import angstrom_to_cells, points_to_indices
from tomoseek.network.strides import COARSEST_STRIDE
from tomoseek.picks.peaks import find_peaks
from tomoseek.simulate import MicroscopeConfig, SceneConfig
from tomoseek.simulate.domains import domain, rasterise
from tomoseek.simulate.scene import build_specimen
from tomoseek.simulate.tomogram import image_specimen
from tomoseek.tomograms.tomogram import Tomogram

WIDTH_ANGSTROM = 65.0  # of the narrower Gaussian
WIDER = 1.6
BALL_KDA = 1600.0  # so that simulated tomograms, sparse or crowded, give their own contrast
APART_ANGSTROM = 100.0
PERCENTILE = 95.0  # of the maxima; the largest complexes of a cell are a few of a hundred
PIECES = 4
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


@functools.lru_cache(maxsize=64)
def ball_response(
    defocus_um: float, tilt_range_degree: float, voxel_spacing: float, amplitude_contrast: float
) -> float:
    """Return what a ball of `BALL_KDA` reaches in a noise-free simulated tomogram, in the simulator's unit."""
    microscope = MicroscopeConfig(
        defocus_um=[defocus_um] * 2, tilt_range_degree=[tilt_range_degree] * 2, amplitude_contrast=amplitude_contrast,
        dose_damping=False,
    )  # fmt: skip
    box = [max(2, round(640 / voxel_spacing / 8)) * 8] * 3
    scene = SceneConfig(
        shape=box, voxel_spacing=voxel_spacing, thickness_angstrom=[1e4, 1e4], vesicles=[0, 0], gold_beads=[0, 0]
    )
    ball = rasterise(domain(BALL_KDA, (0.0, 0.0, 0.0)), voxel_spacing)
    middle = np.full((1, 3), (box[0] - 1) / 2 * voxel_spacing)
    generator, device = torch.Generator().manual_seed(0), torch.device("cpu")
    specimen = build_specimen({"ball": ball}, {}, scene, generator, device, fixed_points={"ball": middle})
    clean, _, _ = image_specimen(specimen, scene, microscope, generator, None)
    place = tuple(np.rint(points_to_indices(middle, voxel_spacing)[0]).astype(int))
    return float(blobs(-clean.numpy(), voxel_spacing)[place])
