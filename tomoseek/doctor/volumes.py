"""Checks of one tomogram: is it whole, which way round is it, and which values does it hold?"""

from collections.abc import Iterator

import numpy as np

from tomoseek.doctor.findings import Finding, Level
from tomoseek.doctor.scan import FAR_OUT, Scan
from tomoseek.doctor.wedge import find_wedge
from tomoseek.geometry import lacks_detail
from tomoseek.network.encoder import EncoderConfig
from tomoseek.tomograms.polarity import estimate_polarity
from tomoseek.tomograms.tomogram import Tomogram

LEAST_SPACING, MOST_SPACING = 1.5, 60.0  # Å
KNOWN_SPACING = EncoderConfig().voxel_spacing  # Å
LEAST_SIDE, MOST_SIDE = 200.0, 50_000.0  # Å along x and y; less is a crop or a wrong spacing
MOST_BLANK, MOST_CLIPPED = 0.5, 0.01  # shares of all voxels


def check_spacing(tomogram: Tomogram) -> Iterator[Finding]:
    """Report a voxel size and sides that no tomogram has; of what files say of them, `open_tomogram` warns itself."""
    spacing, widest = tomogram.voxel_spacing, max(tomogram.shape[1:]) * tomogram.voxel_spacing
    numbers = {"voxel_spacing": spacing}
    if not LEAST_SPACING <= spacing <= MOST_SPACING:
        yield Finding(
            Level.warning, "spacing", f"{spacing:g} Å per voxel is {'finer' if spacing < MOST_SPACING else 'coarser'} "
            f"than tomograms are ({LEAST_SPACING:g} to {MOST_SPACING:g} Å): nanometres, or the pixel before binning?",
            tomogram.run, numbers,
        )  # fmt: skip
    elif not LEAST_SIDE <= widest <= MOST_SIDE:
        yield Finding(
            Level.warning, "spacing", f"its wider side would be {widest / 10:.0f} nm: check the voxel size of "
            f"{spacing:g} Å", tomogram.run, numbers,
        )  # fmt: skip
    elif lacks_detail(spacing, KNOWN_SPACING):
        yield Finding(
            Level.warning, "spacing", f"voxels of {spacing:g} Å lack detail that the encoder learned from at "
            f"{KNOWN_SPACING:g} Å: they are resampled and searched, and nothing is promised of finds; finer ones are "
            "better, if you have them", tomogram.run, numbers,
        )  # fmt: skip


def check_part(tomogram: Tomogram) -> Iterator[Finding]:
    """Report where particles are looked for, if not everywhere."""
    if tomogram.part is not None:
        text = f"only the {tomogram.part} counts: there is searched, picked and trained (data.mask)"
        yield Finding(Level.fine, "part", text, tomogram.run)


def check_axes(tomogram: Tomogram, scan: Scan | None) -> Iterator[Finding]:
    """Report which way the missing wedge lies, and a z axis that is not the thin one."""
    run, (nz, ny, nx) = tomogram.run, tomogram.shape
    wedge = None if scan is None else find_wedge(scan.small)
    numbers = {} if wedge is None else dict(zip(("power_z", "power_y", "power_x"), wedge.power_zyx, strict=True))
    if wedge is not None and wedge.axis in ("y", "x"):
        thin = f", and {wedge.axis} is the thinnest axis" if "zyx"[int(np.argmin(tomogram.shape))] == wedge.axis else ""
        yield Finding(
            Level.warning, "axes", f"the missing wedge lies along {wedge.axis}{thin}: the beam should be along z; swap "
            f"z and {wedge.axis} (IMOD: trimvol -rx, or clip rotx) and write the tomogram again", run, numbers,
        )  # fmt: skip
    elif nz > max(ny, nx):
        yield Finding(
            Level.warning, "axes", f"z is the longest axis ({nz} voxels, y {ny}, x {nx}), though a tomogram is thin "
            "along the beam: are the axes swapped?", run, numbers,
        )  # fmt: skip
    elif wedge is not None and wedge.axis is None:
        text = "no missing wedge is seen: filled in by a program (such as IsoNet), turned, or no tilt series"
        yield Finding(Level.fine, "axes", text, run, numbers)
    elif wedge is not None:
        yield Finding(Level.fine, "axes", "the missing wedge lies along z, as it should", run, numbers)


def check_values(tomogram: Tomogram, scan: Scan) -> Iterator[Finding]:
    """Report damaged, blank, outlying and clipped voxels."""
    run, total = tomogram.run, scan.num_voxels
    if scan.num_bad:
        assert scan.first_bad is not None
        yield Finding(
            Level.warning, "NaN", f"NaN or infinite voxels: {scan.num_bad:,}, the first at z y x "
            f"{' '.join(map(str, scan.first_bad))}: commands take them for background; other programs may stop", run,
            {"num_bad": scan.num_bad, "first_bad_zyx": scan.first_bad},
        )  # fmt: skip
    share = scan.num_blank / total
    numbers = {"blank_share": round(share, 4)}
    if share > MOST_BLANK:
        text = f"{share:.0%} of the voxels are blank (one value): crop it, or check that the reconstruction finished"
        yield Finding(Level.warning, "blank", text, run, numbers)
    elif share > 0:
        yield Finding(Level.fine, "blank", f"{share:.1%} of the voxels are blank (padding of one value)", run, numbers)
    if scan.num_lonely:
        yield Finding(
            Level.warning, "hot voxels", f"{scan.num_lonely:,} single voxels lie over {FAR_OUT:g} spreads from the "
            f"background (values {scan.lowest:.4g} to {scan.highest:.4g}): X-rays or dead pixels; commands cut them "
            "off, other programs may not", run, {"num_hot": scan.num_lonely},
        )  # fmt: skip
    if scan.num_clumped:
        text = f"{scan.num_clumped / total:.2%} of the voxels belong to something far denser than protein (gold, ice)"
        yield Finding(Level.fine, "dense", text, run, {"num_dense": scan.num_clumped})
    ends = (("least", scan.lowest, scan.num_lowest), ("greatest", scan.highest, scan.num_highest))
    for word, value, number in ends:
        if number > MOST_CLIPPED * total and scan.lowest < scan.highest:
            yield Finding(
                Level.warning, "clipped", f"{number / total:.1%} of the voxels have the {word} value, {value:.4g}: "
                "what lay beyond was cut off; convert from the original with a wider range", run,
                {"clipped_share": round(number / total, 4)},
            )  # fmt: skip


def check_polarity(tomogram: Tomogram) -> Iterator[Finding]:
    """Report background, spread and whether the polarity looks as stated."""
    contrast, run, stated = tomogram.contrast, tomogram.run, tomogram.polarity
    guess = estimate_polarity(tomogram, tomogram.voxel_spacing)
    numbers = {
        "background": contrast.centre, "spread": contrast.scale, "stated": stated.value,
        "looks": guess.value if guess else None,
    }  # fmt: skip
    values = f" (background {contrast.centre:.4g}, spread {contrast.scale:.4g})"
    if guess is None:
        text = f"whether protein is dark or bright cannot be told from the values; stated {stated.value}{values}"
        yield Finding(Level.fine, "polarity", text, run, numbers)
    elif guess is stated:
        yield Finding(Level.fine, "polarity", f"protein {stated.value} as stated{values}", run, numbers)
    else:
        text = f"protein looks {guess.value}, stated {stated.value}: look at a slice; if so, "
        yield Finding(Level.warning, "polarity", f"{text}set data.polarity={guess.value}{values}", run, numbers)
