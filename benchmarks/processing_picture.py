"""One simulated slice as it comes and after each step of processing.

    python -m benchmarks.processing_picture --out docs/pictures/simulated_processing.png

Ribosomes, proteasomes and others beside a vesicle and a gold bead, at a signal to noise of 0.08. Each panel has one
step alone, on the mean of both halves; grey values span the middle 99 % of the slice.
"""

import argparse
import io
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

from tomoseek.files import atomic_path
from tomoseek.simulate import MicroscopeConfig, SceneConfig, builtin_density, simulate_tomogram
from tomoseek.simulate.processing import do_steps

matplotlib.use("Agg")
from matplotlib import pyplot

COMPLEXES = ("ribosome", "proteasome", "apo-ferritin", "thyroglobulin", "beta-galactosidase")
STEPS: dict[str, dict[str, Any]] = {
    "as reconstructed": {},
    "binned from 30 Å": {"binned_from": 3.0, "averaged": False},
    "deconvolved": {"deconvolution_strength": 1.0, "deconvolution_falloff": 1.0},
    "denoised": {"denoised_iterations": 8, "denoised_edge": 0.6},
    "low-passed to 50 Å": {"lowpass_angstrom": 50.0},
    "8-bit": {"quantised_range": 3.0},
}


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/simulated_processing.png"))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    scene = SceneConfig(shape=[64, 256, 256], vesicles=[1, 1], gold_beads=[1, 1])
    microscope = MicroscopeConfig(snr=[0.08, 0.08])
    densities = {name: builtin_density(name, scene.voxel_spacing) for name in COMPLEXES}
    tomogram = simulate_tomogram(densities, dict.fromkeys(COMPLEXES, 12), scene, microscope, options.seed)
    defocus = tomogram.metadata["defocus_um"]

    figure, axes = pyplot.subplots(2, 3, figsize=(7.2, 5.2), layout="constrained")
    for axis, (title, steps) in zip(axes.flat, STEPS.items(), strict=True):
        (volume,) = do_steps([tomogram.full], steps, scene.voxel_spacing, defocus, microscope)
        image = volume[scene.shape[0] // 2].numpy()
        low, high = np.percentile(image, [0.5, 99.5])
        axis.imshow(image, cmap="gray", vmin=low, vmax=high)
        axis.set_title(title, fontsize=9)
        axis.axis("off")
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=110)
    with Image.open(drawn) as picture, atomic_path(options.out) as partial:
        # Noise does not compress: 16 grey values keep the file small.
        picture.convert("L").point(lambda grey: grey // 16 * 17).save(partial, "png", optimize=True)


if __name__ == "__main__":
    main()
