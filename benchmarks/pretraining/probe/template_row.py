"""The control that knows the answer: template matching with the true map of every class and the true defocus."""

import time
from typing import Any

import torch
from torch import Tensor

from benchmarks.controls.template_matching import match_template
from benchmarks.known_tomograms import KnownTomograms
from benchmarks.pretraining.probe.measures import peaks_of, ranking
from tomoseek.simulate import SimulatedTomogram

TILT_RANGE = 60.0


def likeness_to(density: Tensor, simulated: SimulatedTomogram, spacing: float, device: torch.device) -> Tensor:
    """Match a density with a simulated tomogram, whose optics are known; deconvolved ones show no transfer."""
    deconvolved = "deconvolution_strength" in simulated.metadata["processing"]
    return match_template(
        -simulated.full, density, spacing, tilt_range_degree=TILT_RANGE,
        defocus_um=None if deconvolved else simulated.metadata["defocus_um"], device=device,
    )  # fmt: skip


def template_row(known: KnownTomograms, device: torch.device) -> dict[str, Any]:
    """Search every tomogram for every class; there are no examples, so the number of shots means nothing."""
    start = time.perf_counter()
    scores, spacing = {}, known.regime.voxel_spacing
    for key, density in known.densities.items():
        found = {}
        for index, simulated in enumerate(known.simulated):
            likeness = likeness_to(density, simulated, spacing, device)
            found[index] = peaks_of(likeness.numpy(), known.radii[key], spacing, stride=1)
        scores[key] = ranking(known, found, key)
    seconds = (time.perf_counter() - start) / len(known.simulated) / len(scores)
    return {"shots": {"5": scores}, "seconds_per_tomogram_and_class": seconds}
