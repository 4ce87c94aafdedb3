"""A picture of a run: a slab with the picks in it, and the tomogram from the side."""

import base64
import io
from collections.abc import Mapping

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tomoseek import plots
from tomoseek.doctor.examination import Examined
from tomoseek.doctor.scan import Scan
from tomoseek.geometry import FloatArray, angstrom_to_cells
from tomoseek.page import CSS_PIXELS_PER_INCH, Picture
from tomoseek.plots import Mark
from tomoseek.tomograms.slabs import SLAB_ANGSTROM

WIDTH, MOST_HEIGHT = 6.4, 9.0  # inches
DPI, JPEG_QUALITY = 120, 82
BAR_SHARE = 0.2  # of the width, about


def draw_run(seen: Examined, radii: Mapping[str, float]) -> Picture | None:
    """Draw a run that could be read; None of one that could not.

    Parameters
    ----------
    seen
        The run.
    radii
        Å, of the objects that have picks.
    """
    if seen.scan is None or seen.tomogram is None:
        return None
    scan, polarity = seen.scan, seen.tomogram.polarity.value
    nz, ny, nx = scan.small.shape
    cells = {name: np.concatenate([scan.cells(p.points_xyz) for p in seen.picks if p.object_name == name])
             for name in dict.fromkeys(p.object_name for p in seen.picks)}  # fmt: skip
    reach = {name: angstrom_to_cells(radii[name], scan.small_spacing) for name in cells}
    plane = _busiest_plane(cells, reach, nz)
    first, last = _slab(plane, scan, nz)
    scale = min(WIDTH / nx, MOST_HEIGHT / (ny + nz))
    figure = Figure(figsize=(scale * nx + 0.2, scale * (ny + nz) + 0.9), layout="constrained")
    above, side = figure.subplots(2, 1, height_ratios=[ny, nz])
    plots.show_slice(above, scan.small[first:last].mean(axis=0), scan.small_spacing)
    rows = _slab(ny // 2, scan, ny)
    plots.show_slice(side, scan.small[:, slice(*rows)].mean(axis=1), scan.small_spacing)
    height = scan.small_spacing * plane
    side.axhline(height, color=plots.ACCENT, lw=0.8, ls="--")
    shown, handles = 0, []
    for (name, places), color in zip(cells.items(), _colors(len(cells)), strict=True):
        near = places[np.abs(places[:, 0] - plane) <= 0.6 * reach[name]] * scan.small_spacing
        plots.draw_marks(above, [Mark(x, y, radii[name], color) for _, y, x in near])
        shown += len(near)
        handles.append(Line2D([], [], color=color, lw=2.5, label=name))
    if handles:
        above.legend(handles=handles[:8], loc="upper right", fontsize=7.5, framealpha=0.85)
    above.set_title(f"from above, z = {height / 10:.0f} nm", fontsize=9, color=plots.INK)
    side.set_title("from the side, y in the middle", fontsize=9, color=plots.INK)
    plots.add_scale_bar(side, _bar_nm(nx * scan.small_spacing / 10))
    total = sum(map(len, cells.values()))
    picks = f" {shown} of {total} picks lie in it, drawn with their radius." if total else " There are no picks."
    caption = (
        f"{seen.name}: a slab of {max(SLAB_ANGSTROM, scan.small_spacing) / 10:.0f} nm, and from the side, where a line "
        f"marks it. Protein is {polarity} in the file, as stated: so it should be dark here.{picks}"
    )
    return _jpeg(figure, caption)


def _busiest_plane(cells: Mapping[str, FloatArray], reach: Mapping[str, float], nz: int) -> int:
    """Index of the plane that cuts most picks near their middle; the middle one where there are none."""
    planes = np.arange(nz)
    crowd = np.zeros(nz)
    for name, places in cells.items():
        for z in places[:, 0]:
            crowd += np.clip(1 - np.abs(planes - z) / max(0.5 * reach[name], 1.0), 0, 1)
    return int(crowd.argmax()) if crowd.any() else nz // 2


def _slab(middle: int, scan: Scan, length: int) -> tuple[int, int]:
    """First and last index of a slab of about 50 Å."""
    half = round((angstrom_to_cells(SLAB_ANGSTROM, scan.small_spacing) - 1) / 2)
    return max(0, middle - max(0, half)), min(length, middle + max(0, half) + 1)


def _colors(number: int) -> list[str]:
    return [plots.CLASS_COLORS[k % len(plots.CLASS_COLORS)] for k in range(number)]


def _bar_nm(width_nm: float) -> float:
    """Length of the scale bar: 1, 2 or 5 times a power of ten, about a fifth of the picture."""
    power = 10.0 ** np.floor(np.log10(BAR_SHARE * width_nm))
    return float(max(power * step for step in (1, 2, 5) if power * step <= BAR_SHARE * width_nm))


def _jpeg(figure: Figure, caption: str) -> Picture:
    """Render a figure as a JPEG: slices are noise, which a PNG would keep to the last bit at five times the size."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="jpeg", dpi=DPI, facecolor="white", pil_kwargs={"quality": JPEG_QUALITY})
    address = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    return Picture(address, round(figure.get_figwidth() * CSS_PIXELS_PER_INCH), caption)
