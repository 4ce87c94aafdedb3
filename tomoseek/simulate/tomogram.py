"""One tomogram from end to end: specimen, tilt series, two noise halves, back-projection."""

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tomoseek.geometry import points_to_indices
from tomoseek.simulate.imaging import form_images
from tomoseek.simulate.microscope import (
    MicroscopeConfig,
    count_electrons,
    draw_tilts,
    electrons_per_pixel,
    exposure_order,
    with_phase_plate,
)
from tomoseek.simulate.processing import ProcessingConfig, do_steps, draw_steps
from tomoseek.simulate.projection import (
    TiltGeometry,
    back_project,
    detector_positions,
    project,
    ramp_filter,
    tilt_geometry,
)
from tomoseek.simulate.ranges import draw, draw_count, draw_if_open, takes_part
from tomoseek.simulate.scene import SceneConfig, Specimen, build_specimen

# The matrices of a full-size tilt series take some 200 MB, and runs of a project share them.
_geometry = functools.lru_cache(maxsize=1)(tilt_geometry)


@dataclass(slots=True)
class SimulatedTomogram:
    """A reconstruction with its truth.

    Attributes
    ----------
    full, even, odd
        ``(z, y, x)`` float32, protein dark, ice near 0. The halves hold independent halves of the dose of
        every tilt, so they share wedge and contrast transfer, and differ in noise; full is their mean, before
        all three are processed.
    points
        For each complex ``(n, 3)`` x y z in Å.
    rotations
        For each complex ``(n, 3, 3)``, from the density's axes to the tomogram's, x y z.
    crowd_xyz, clutter_xyz, slab
        See `tomoseek.simulate.scene.Specimen`.
    metadata
        Seed, what was drawn, and the measured signal to noise; JSON-serialisable.
    """

    full: Tensor
    even: Tensor
    odd: Tensor
    points: dict[str, NDArray[np.float64]]
    rotations: dict[str, NDArray[np.float64]]
    crowd_xyz: NDArray[np.float64]
    clutter_xyz: NDArray[np.float64]
    slab: tuple[int, int]
    metadata: dict[str, Any]


@torch.no_grad()
def simulate_tomogram(
    densities: dict[str, Tensor],
    counts: dict[str, int],
    scene: SceneConfig,
    microscope: MicroscopeConfig,
    seed: int,
    device: torch.device | str = "cpu",
    fixed_points: dict[str, NDArray[np.float64]] | None = None,
    processing: ProcessingConfig | None = None,
) -> SimulatedTomogram:
    """Simulate one tomogram.

    Parameters
    ----------
    densities
        For each complex ``(n, n, n)`` at the scene's voxel spacing, n odd, protein 1 and ice 0.
    counts
        How many of each to place; fewer are placed when no more fit.
    scene
        Size, ice, distractors.
    microscope
        Tilts, optics, dose.
    seed
        The same seed on the same kind of device gives the same tomogram.
    device
        Where to compute.
    fixed_points
        ``(n, 3)`` Å x y z of particles whose places are given; they come on top of ``counts``.
    processing
        What is done to the reconstruction; None: nothing.
    """
    device = torch.device(device)
    generator = torch.Generator().manual_seed(seed)
    specimen = build_specimen(densities, counts, scene, generator, device, fixed_points)
    noise = torch.Generator(device).manual_seed(seed)
    even, odd, measured = image_specimen(specimen, scene, microscope, generator, noise)
    full = (even + odd) / 2
    steps = draw_steps(processing or ProcessingConfig(), generator)
    if steps:  # some are not linear: what is done to the mean is not the mean of what is done to the halves
        volumes = (full, even, odd)
        microscope = dataclasses.replace(microscope, amplitude_contrast=measured["amplitude_contrast"])
        full, even, odd = do_steps(volumes, steps, scene.voxel_spacing, measured["defocus_um"], microscope)
    metadata = {
        "seed": seed,
        "voxel_spacing": scene.voxel_spacing,
        "shape_zyx": list(scene.shape),
        "thickness_angstrom": specimen.thickness_angstrom,
        "num_particles": {name: len(points) for name, points in specimen.points_xyz.items()},
        "distractors": specimen.distractors,
        "processing": steps,
        **measured,
    }
    return SimulatedTomogram(
        full, even, odd, specimen.points_xyz, specimen.rotations, specimen.crowd_xyz, specimen.clutter_xyz,
        specimen.slab, metadata,
    )  # fmt: skip


def image_specimen(
    specimen: Specimen,
    scene: SceneConfig,
    microscope: MicroscopeConfig,
    generator: torch.Generator,
    noise: torch.Generator | None,
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Record a tilt series of a specimen and reconstruct both halves of its dose.

    Parameters
    ----------
    specimen, scene, microscope
        What is imaged, and how.
    generator
        For what is drawn once per run, on the CPU.
    noise
        For the electrons, on the specimen's device; None records without noise, both halves alike.

    Returns
    -------
    tuple
        Even and odd ``(z, y, x)``, and what was drawn and measured.
    """
    device = specimen.density.device
    microscope = with_phase_plate(microscope, generator)
    tilts = draw_tilts(microscope, generator)
    num_z, _, num_x = specimen.density.shape
    geometry = _geometry(tilts, (num_z, num_x), device)
    defocus = draw(microscope.defocus_um, generator)
    dose = draw(microscope.total_dose, generator)
    jitter = microscope.defocus_jitter_um * torch.randn(len(tilts), generator=generator)
    # Half an exposure has passed, on average, while a tilt is recorded.
    dose_before = (exposure_order(tilts) + 0.5) * dose / len(tilts)

    series = project(specimen.density, geometry)  # (t, y, d)
    stray = draw_if_open(microscope.misalignment_angstrom, generator)
    shifts = stray * torch.randn(len(tilts), 2, generator=generator) if stray else None
    series = form_images(series, tilts, scene.voxel_spacing, defocus + jitter, dose_before, shifts, microscope)

    electrons = electrons_per_pixel(tilts, dose, scene.voxel_spacing, specimen.thickness_angstrom, microscope)
    # The relative variance of a Poisson count is one over its mean.
    snr = signal_variance(series, geometry, specimen, scene) * electrons
    if microscope.snr is not None:
        scale = draw(microscope.snr, generator) / max(float(snr.mean()), 1e-12)
        electrons, snr = electrons * scale, snr * scale

    iterations = (
        draw_count(microscope.sirt_iterations, generator) if takes_part(microscope.sirt_share, generator) else None
    )
    halves = []
    for _ in range(2 if noise is not None else 1):
        recorded = series if noise is None else count_electrons(series, electrons / 2, noise)
        filtered = ramp_filter(recorded, tilts, microscope.ramp_cutoff, microscope.ramp_falloff, iterations)
        del recorded
        halves.append(back_project(filtered, geometry))
        del filtered
    measured = {
        "tilts_degree": list(tilts),
        "defocus_um": defocus,
        "misalignment_angstrom": stray,
        "amplitude_contrast": microscope.amplitude_contrast,
        "sirt_iterations": iterations,
        "total_dose": dose,
        "electrons_per_pixel": [round(value, 3) for value in electrons.tolist()],
        "snr": float(snr.mean()),
        "snr_by_tilt": [round(value, 5) for value in snr.tolist()],
    }
    return halves[0], halves[-1], measured


def signal_variance(series: Tensor, geometry: TiltGeometry, specimen: Specimen, scene: SceneConfig) -> Tensor:
    """Return ``(t,)``: variance of noise-free images where they show specimen, gold beads left out.

    A tilted slab fills the middle of the detector through its whole depth; the thinning flanks are left out,
    but never more than three quarters of the width.
    """
    num_z, num_x = geometry.shape_zx
    num_y, num_detector = series.shape[1:]
    y = torch.arange(num_y, device=series.device)[:, None]
    detector = torch.arange(num_detector, device=series.device)
    gold_zyx = torch.as_tensor(points_to_indices(specimen.gold_xyz, scene.voxel_spacing))
    gold_detector = detector_positions(gold_zyx, geometry)  # (t, n)
    clear = scene.gold_diameter_angstrom / scene.voxel_spacing
    variance = torch.zeros(len(series))
    for index, tilt in enumerate(geometry.tilts_degree):
        angle = math.radians(abs(tilt))
        width = max(num_x * math.cos(angle) - num_z * math.sin(angle), num_x / 4)
        shown = ((detector - (num_detector - 1) / 2).abs() <= width / 2).expand(num_y, -1)
        for bead_y, bead_detector in zip(gold_zyx[:, 1].tolist(), gold_detector[index].tolist(), strict=True):
            shown = shown & (torch.hypot(y - bead_y, detector - bead_detector) > clear)
        variance[index] = series[index][shown].var()
    return variance
