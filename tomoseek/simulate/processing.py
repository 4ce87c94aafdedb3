"""What people do with tomograms before they look for particles: binned, deconvolved, denoised, filtered, stored."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tomoseek.errors import InputError
from tomoseek.simulate.microscope import MicroscopeConfig
from tomoseek.simulate.processing_steps import (
    bin_and_resample,
    diffuse,
    filtered,
    lowpass_filter,
    quantise,
    radial_frequency,
    sloped,
    wiener_filter,
)
from tomoseek.simulate.ranges import draw, draw_count, takes_part


@dataclass(kw_only=True, slots=True)
class ProcessingConfig:
    """What is done to the reconstruction; as it stands, nothing. Pairs ``[low, high]`` are drawn evenly, once per run.

    Steps are done in this order. A share is the probability that a run goes through the step.

    Attributes
    ----------
    binned_share, binned_from
        Stored with voxels so many times as large as the tomogram's, and brought back to its own grid.
    averaged_share
        Of the runs that are binned, those whose large voxels are averages; the others are resampled without aliasing.
    deconvolution_share
        Of contrast transfer, by a Wiener filter with the true defocus.
    deconvolution_strength
        The filter expects a signal to noise of ``10^(3 strength)`` at low frequency.
    deconvolution_falloff
        It expects that ratio to fall as ``exp(-200 falloff k)``, k in 1/Å.
    denoised_share
        By nonlinear diffusion.
    denoised_iterations
        Of it, whole numbers.
    denoised_edge
        Gradient from which on it takes a step for an edge, in robust standard deviations per voxel.
    lowpass_share
        By a filter with a Gaussian edge.
    lowpass_angstrom
        Where it halves amplitudes.
    contrast_slope
        Contrast at the last plane less that at the first, halved, as a share of the mean; and the same of the
        background, in robust standard deviations. Two draws from one pair, which may be negative; ``[0, 0]``: none.
    quantised_share
        Stored in 8 bits.
    quantised_range
        Robust standard deviations on each side of the median that the 256 levels cover.
    """

    binned_share: float = 0.0
    binned_from: list[float] = field(default_factory=lambda: [1.2, 3.2])
    averaged_share: float = 0.5
    deconvolution_share: float = 0.0
    deconvolution_strength: list[float] = field(default_factory=lambda: [0.6, 1.2])
    deconvolution_falloff: list[float] = field(default_factory=lambda: [0.6, 1.2])
    denoised_share: float = 0.0
    denoised_iterations: list[int] = field(default_factory=lambda: [3, 8])
    denoised_edge: list[float] = field(default_factory=lambda: [0.4, 0.9])
    lowpass_share: float = 0.0
    lowpass_angstrom: list[float] = field(default_factory=lambda: [20.0, 70.0])
    contrast_slope: list[float] = field(default_factory=lambda: [0.0, 0.0])
    quantised_share: float = 0.0
    quantised_range: list[float] = field(default_factory=lambda: [3.0, 6.0])

    def __post_init__(self) -> None:
        positive = ("deconvolution_strength", "deconvolution_falloff", "denoised_edge")
        for name in (*positive, "lowpass_angstrom", "quantised_range"):
            pair = getattr(self, name)
            if len(pair) != 2 or not 0 < pair[0] <= pair[1]:
                raise InputError(f"processing.{name}: expected [low, high] with 0 < low <= high, found {list(pair)}")
        for name in ("binned_from", "denoised_iterations"):
            pair = getattr(self, name)
            if len(pair) != 2 or not 1 <= pair[0] <= pair[1]:
                raise InputError(f"processing.{name}: expected [low, high] with 1 <= low <= high, found {list(pair)}")
        slope = self.contrast_slope
        if len(slope) != 2 or not -1 < slope[0] <= slope[1] < 1:
            raise InputError(
                f"processing.contrast_slope: expected [low, high] with -1 < low <= high < 1, found {list(slope)}"
            )
        for name in ("binned", "averaged", "deconvolution", "denoised", "lowpass", "quantised"):
            share = getattr(self, f"{name}_share")
            if not 0 <= share <= 1:
                raise InputError(f"processing.{name}_share: expected a share from 0 to 1, found {share}")


def draw_steps(config: ProcessingConfig, generator: torch.Generator) -> dict[str, Any]:
    """Draw which steps a run goes through, and their numbers; JSON-serialisable, empty when there are none."""

    steps: dict[str, Any] = {}
    if takes_part(config.binned_share, generator):
        steps["binned_from"] = draw(config.binned_from, generator)
        steps["averaged"] = takes_part(config.averaged_share, generator)
    if takes_part(config.deconvolution_share, generator):
        steps["deconvolution_strength"] = draw(config.deconvolution_strength, generator)
        steps["deconvolution_falloff"] = draw(config.deconvolution_falloff, generator)
    if takes_part(config.denoised_share, generator):
        steps["denoised_iterations"] = draw_count(config.denoised_iterations, generator)
        steps["denoised_edge"] = draw(config.denoised_edge, generator)
    if takes_part(config.lowpass_share, generator):
        steps["lowpass_angstrom"] = draw(config.lowpass_angstrom, generator)
    if any(config.contrast_slope):
        steps["contrast_slope"] = draw(config.contrast_slope, generator)
        steps["background_slope"] = draw(config.contrast_slope, generator)
    if takes_part(config.quantised_share, generator):
        steps["quantised_range"] = draw(config.quantised_range, generator)
    return steps


def do_steps(
    volumes: Sequence[Tensor],
    steps: dict[str, Any],
    voxel_spacing: float,
    defocus_um: float,
    microscope: MicroscopeConfig,
) -> list[Tensor]:
    """Do to every volume the steps that `draw_steps` drew.

    Parameters
    ----------
    volumes
        ``(z, y, x)`` of one shape; they are not changed.
    steps
        What was drawn.
    voxel_spacing
        Å.
    defocus_um
        Underfocus that they were recorded with.
    microscope
        Optics.
    """
    done = list(volumes)
    if "binned_from" in steps:
        done = [bin_and_resample(volume, steps["binned_from"], steps["averaged"]) for volume in done]
    if "deconvolution_strength" in steps:
        strength, falloff = steps["deconvolution_strength"], steps["deconvolution_falloff"]
        frequency = radial_frequency(done[0], voxel_spacing)
        gain = wiener_filter(frequency, voxel_spacing, defocus_um, strength, falloff, microscope)
        done = [filtered(volume, gain) for volume in done]
    if "denoised_iterations" in steps:
        done = [diffuse(volume, steps["denoised_iterations"], steps["denoised_edge"]) for volume in done]
    if "lowpass_angstrom" in steps:
        gain = lowpass_filter(radial_frequency(done[0], voxel_spacing), steps["lowpass_angstrom"])
        done = [filtered(volume, gain) for volume in done]
    if "contrast_slope" in steps:
        done = [sloped(volume, steps["contrast_slope"], steps["background_slope"]) for volume in done]
    if "quantised_range" in steps:
        done = [quantise(volume, steps["quantised_range"]) for volume in done]
    return done
