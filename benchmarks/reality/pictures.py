"""Pictures to look at: what a search found in the lamella, and what an encoder sees where nobody knows the truth."""

import io
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from benchmarks.reality.lamella import HIT, MULTIPLES, RADIUS, Lamella, Points, elsewhere, hits
from benchmarks.reality.unlabelled import Seen
from tomoseek import plots
from tomoseek.files import atomic_write_bytes
from tomoseek.geometry import angstrom_to_cells, points_to_indices
from tomoseek.plots import Mark
from tomoseek.tomograms.tomogram import Tomogram

COLUMNS, NUM_SHOWN = 8, 24
RIGHT, WRONG, LISTED = plots.ACCENT, plots.FALSE_ALARM, plots.MISS
EYE_ANGSTROM = 20.0  # sigma of the low-pass
SLAB_ANGSTROM = 90.0
PLACE_RADIUS = 40.0  # Å
LOGITS = LinearSegmentedColormap.from_list("logit", [plots.INK, "white", plots.FALSE_ALARM])
SCALE = TwoSlopeNorm(0.0, vmin=-15.0, vmax=5.0)
MOST_BYTES = 350_000
RESOLUTIONS = (130, 110, 90, 75, 60)  # dots per inch


def draw_lamella(lamella: Lamella, found_xyz: Points, examples_xyz: Points, name: str, path: Path) -> None:
    """Draw a slice with references and finds, the best finds, and the last of those that are scored.

    Parameters
    ----------
    found_xyz
        ``(n, 3)``, best first.
    examples_xyz
        ``(k, 3)``; finds on them are left out.
    name
        Of the encoder.
    path
        Of the PNG.
    """
    left = elsewhere(lamella.truth_xyz, examples_xyz, reach=1.0)
    found = elsewhere(found_xyz, examples_xyz)[: MULTIPLES[-1] * len(left)]
    right = hits(found, left)
    figure = Figure(figsize=(13, 10.2), layout="constrained")
    slab, finds = figure.subfigures(2, 1, squeeze=False, height_ratios=[6.4, 3.6])[:, 0]
    draw_slab(slab.subplots(), lamella, found, right, examples_xyz)
    last = max(NUM_SHOWN, len(found) - NUM_SHOWN)
    galleries = finds.subfigures(1, 2, squeeze=False, wspace=0.03)[0]
    for gallery, first, title in zip(galleries, (0, last), ("best", f"last of {len(found)}"), strict=True):
        shown = right[first : first + NUM_SHOWN]
        gallery.suptitle(
            f"The {title} finds: {shown.sum()} of these {len(shown)} lie on a listed ribosome", fontsize=10,
            color=plots.INK,
        )  # fmt: skip
        for number, axes in enumerate(gallery.subplots(NUM_SHOWN // COLUMNS, COLUMNS).flat, start=first):
            axes.set(xticks=[], yticks=[])
            axes.set_visible(number < len(found))
            if number < len(found):
                draw_find(axes, lamella.tomogram, found[number], bool(right[number]), number + 1)
    figure.suptitle(f"{name}: ribosomes of a yeast lamella from {len(examples_xyz)} examples", fontsize=12,
                    color=plots.INK)  # fmt: skip
    write_small(figure, path)


def draw_find(axes: Axes, tomogram: Tomogram, point_xyz: Points, is_right: bool, rank: int) -> None:
    """Draw the slab through a find, 3.6 radii wide, framed by right and wrong."""
    voxel = np.rint(points_to_indices(point_xyz, tomogram.voxel_spacing)[0]).astype(np.int64)
    width = 2 * round(angstrom_to_cells(1.8 * RADIUS, tomogram.voxel_spacing)) + 1
    image = for_the_eye(tomogram, voxel, (width, width))
    low, high = np.percentile(image, (1, 99))
    axes.imshow(image, cmap="gray_r", vmin=low, vmax=high, origin="lower", interpolation="bicubic")
    axes.set_xlabel(str(rank), fontsize=7, labelpad=1.5, color=plots.INK)
    axes.spines[:].set(edgecolor=RIGHT if is_right else WRONG, linewidth=2.5)


def draw_slab(axes: Axes, lamella: Lamella, found: Points, right: NDArray[np.bool_], examples_xyz: Points) -> None:
    """Draw the slab of the tomogram that holds most references, with those, the examples and the finds in it."""
    tomogram, spacing = lamella.tomogram, lamella.tomogram.voxel_spacing
    heights = np.arange(tomogram.shape[0]) * spacing
    crowd = (np.abs(heights[:, None] - lamella.truth_xyz[:, 2]) <= RADIUS / 2).sum(1)
    plane = int(crowd.argmax())
    _, ny, nx = tomogram.shape
    image = for_the_eye(tomogram, np.array([plane, ny // 2, nx // 2]), (ny, nx))
    plots.show_slice(axes, image, spacing)

    def near(points_xyz: Points) -> NDArray[np.bool_]:
        return np.asarray(np.abs(points_xyz[:, 2] - heights[plane]) <= RADIUS / 2)

    shown = near(found)
    kinds = (
        (found[shown & right], RADIUS, RIGHT, "-", f"find within {HIT / 10:.0f} nm of a listed ribosome"),
        (found[shown & ~right], RADIUS, WRONG, "-", "find on none; it may be one that the list lacks"),
        (lamella.truth_xyz[near(lamella.truth_xyz)], RADIUS / 2, LISTED, "-", "listed ribosome"),
        (examples_xyz[near(examples_xyz)], 1.3 * RADIUS, "white", "--", "example"),
    )
    for points, radius, color, style, _ in kinds:
        plots.draw_marks(axes, [Mark(x, y, radius, color, style) for x, y, _ in points])
    plots.add_scale_bar(axes, 100.0)
    rings = [
        Line2D([], [], color=color if color != "white" else plots.QUIET, lw=2.5, ls=style, label=label)
        for *_, color, style, label in kinds
    ]
    axes.legend(handles=rings, loc="upper right", bbox_to_anchor=(1, -0.005), frameon=False, fontsize=9, ncols=2)
    axes.set_title(
        f"Slice at z = {heights[plane] / 10:.0f} nm, and what lies within {RADIUS / 20:.1f} nm of it", fontsize=10,
        color=plots.INK,
    )  # fmt: skip


def draw_unlabelled(seen: list[Seen], name: str, path: Path) -> None:
    """Draw the middle of each volume with its particle-like places, and under it the particle logit there."""
    widths = [each.tomogram.shape[2] * each.tomogram.voxel_spacing for each in seen]
    figure = Figure(figsize=(15, 9), layout="constrained")
    figure.suptitle(
        f"{name}: above, particle-like places as embed explore takes them; below, the particle logit of the same slice",
        fontsize=11, color=plots.INK,
    )  # fmt: skip
    columns = figure.subplots(2, len(seen), width_ratios=[max(width, 0.45 * max(widths)) for width in widths]).T
    for (above, below), each in zip(columns, seen, strict=True):
        tomogram, spacing = each.tomogram, each.tomogram.voxel_spacing
        nz, ny, nx = tomogram.shape
        plots.show_slice(above, for_the_eye(tomogram, np.array([nz // 2, ny // 2, nx // 2]), (ny, nx)), spacing)
        height = nz // 2 * spacing
        shown = each.places_xyz[np.abs(each.places_xyz[:, 2] - height) <= PLACE_RADIUS]
        plots.draw_marks(above, [Mark(x, y, PLACE_RADIUS, plots.FALSE_ALARM) for x, y, _ in shown])
        plots.add_scale_bar(above, 100.0 if max(widths) / spacing > 200 and nx > 200 else 20.0)
        above.set_title(
            f"{each.volume.shows}\n{len(shown)} places here, {len(each.places_xyz)} in all", fontsize=10,
            color=plots.INK,
        )  # fmt: skip
        layer = each.logits[min(round(height / each.cell_angstrom), each.logits.shape[0] - 1)]
        far = [cells * each.cell_angstrom for cells in layer.shape]
        mapped = below.imshow(layer, cmap=LOGITS, norm=SCALE, origin="lower", extent=(0, far[1], 0, far[0]))
        below.set(xlim=above.get_xlim(), ylim=above.get_ylim(), xticks=[], yticks=[])
        below.set_title(f"{each.figures['cells above even odds']:.1%} of the cells above 0", fontsize=10,
                        color=plots.INK)  # fmt: skip
    figure.colorbar(mapped, ax=columns[-1, 1], label="particle logit: orange where the encoder sees a particle")
    write_small(figure, path)


def for_the_eye(tomogram: Tomogram, centre_zyx: NDArray[np.int64], size_yx: tuple[int, int]) -> NDArray[np.float32]:
    """Mean over about 90 Å along z, low-passed: ``(y, x)``, protein positive."""
    thickness = 2 * round((angstrom_to_cells(SLAB_ANGSTROM, tomogram.voxel_spacing) - 1) / 2) + 1
    size = np.array([thickness, *size_yx])
    image = tomogram.crop(centre_zyx - size // 2, size).mean(axis=0)
    return np.asarray(ndimage.gaussian_filter(image, angstrom_to_cells(EYE_ANGSTROM, tomogram.voxel_spacing)))


def write_small(figure: Figure, path: Path) -> None:
    """Write a PNG as fine as its size allows."""
    for dpi in RESOLUTIONS:
        buffer = io.BytesIO()
        Image.open(io.BytesIO(plots.to_png(figure, dpi))).convert("RGB").quantize(256, kmeans=1).save(buffer, "PNG")
        figure.set_layout_engine("none")  # laid out once is enough, and takes seconds
        if buffer.tell() <= MOST_BYTES:
            break
    atomic_write_bytes(path, buffer.getvalue())
