"""Planes through tomograms as pictures, quickly: whole volumes are kept as bytes, as many as memory allows.

The first planes of a run are read from its file. Meanwhile the whole of it is read in the background, one layer of
chunks at a time; from then on planes along any axis come from memory. A volume larger than the memory given is always
read from its file.
"""

import io
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock, Thread

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tomoseek.config import Polarity
from tomoseek.errors import InputError
from tomoseek.messages import warn
from tomoseek.tomograms.tomogram import Tomogram

AXES = {"xy": 0, "xz": 1, "yz": 2}  # the axis that a plane lies across, of z y x
LAYERS = 32  # read at once
RANGE = (0.05, 99.95)  # percentiles of a few planes that become the darkest and the lightest byte
MARGIN = 0.5  # of that range, beyond either end
QUALITY = 88  # of JPEG
MOST_AVERAGED = 41  # planes
MOST_GLANCED = 256  # tomograms that are open, nothing of them in memory

Bytes = NDArray[np.uint8]


class Planes:
    """One tomogram as bytes, low values dark, protein dark.

    Parameters
    ----------
    tomogram
        As its file has it.
    most_bytes
        Held in memory; a larger volume never is.
    """

    def __init__(self, tomogram: Tomogram, most_bytes: float) -> None:
        self.tomogram = tomogram
        self.size = int(np.prod(tomogram.shape))
        middle = tomogram.shape[0] // 2
        first = max(0, middle - 1)
        sample = tomogram.read((slice(first, first + 3), slice(None), slice(None)))
        finite = sample[np.isfinite(sample)]
        low, high = np.percentile(finite, RANGE) if finite.size else (0.0, 1.0)
        room = MARGIN * max(float(high - low), 1e-12)
        self.low, self.high = float(low - room), float(high + room)
        self._volume: Bytes | None = None
        self._ready = 0  # layers that are there
        self._dropped = False
        if self.size <= most_bytes:
            self._volume = np.empty(tomogram.shape, dtype=np.uint8)
            Thread(target=self._fill, args=(self._volume,), daemon=True).start()

    @property
    def whole(self) -> bool:
        """Whether all of it is in memory."""
        return self._volume is not None and self._ready == self.tomogram.shape[0]

    def drop(self) -> None:
        """Stop reading the rest of it: nobody looks at it any more."""
        self._dropped = True

    def plane(self, axis: int, place: int, averaged: int = 1) -> Bytes:
        """Return the mean of some planes around one: ``(y, x)``, ``(z, x)`` or ``(z, y)``, by the axis across.

        Raises
        ------
        InputError
            If there is no such plane, or it cannot be read.
        """
        length = self.tomogram.shape[axis]
        if not 0 <= place < length:
            raise InputError(f"plane: expected 0 to {length - 1}, found {place}")
        half = (max(1, min(averaged, MOST_AVERAGED)) - 1) // 2
        span = slice(max(0, place - half), min(length, place + half + 1))
        region = [slice(0, n) for n in self.tomogram.shape]
        region[axis] = span
        there = self._ready >= (span.stop if axis == 0 else self.tomogram.shape[0])
        if self._volume is not None and there:
            values = self._volume[tuple(region)]
            return np.asarray(values.mean(axis).astype(np.uint8) if half else values.take(0, axis))
        return self._as_bytes(self.tomogram.read((region[0], region[1], region[2])).mean(axis))

    def box(self, centre_zyx: NDArray[np.floating], half_zyx: tuple[int, int, int]) -> Bytes:
        """Return a box around a place; what lies outside the volume is mid grey."""
        centre = np.rint(centre_zyx).astype(int)
        low, high = centre - half_zyx, centre + np.array(half_zyx) + 1
        box = np.full(high - low, 128, dtype=np.uint8)
        first, last = np.maximum(low, 0), np.minimum(high, self.tomogram.shape)
        if (first < last).all():
            z, y, x = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
            inside = tuple(slice(a - s, b - s) for a, b, s in zip(first, last, low, strict=True))
            if self._volume is not None and self._ready >= z.stop:
                box[inside] = self._volume[z, y, x]
            else:
                box[inside] = self._as_bytes(self.tomogram.read((z, y, x)))
        return box

    def _fill(self, volume: Bytes) -> None:
        """Read the whole of it, layer after layer."""
        try:
            for first in range(0, len(volume), LAYERS):
                if self._dropped:
                    return
                last = min(first + LAYERS, len(volume))
                volume[first:last] = self._as_bytes(self.tomogram.read((slice(first, last), slice(None), slice(None))))
                self._ready = last
        except InputError as error:  # each plane that cannot be read says so when it is asked for
            warn(f"{self.tomogram.run}: {error}")

    def _as_bytes(self, values: NDArray[np.float32]) -> Bytes:
        scaled = (values - self.low) * (255.0 / (self.high - self.low))
        if self.tomogram.polarity is Polarity.bright:
            scaled = 255.0 - scaled
        return np.asarray(np.nan_to_num(np.clip(scaled, 0, 255), nan=128.0).astype(np.uint8))


class Shelf:
    """The tomograms that were looked at last, as many as memory allows.

    Parameters
    ----------
    open_run
        Opens the tomogram of a run, as its file has it.
    memory_gb
        For all of them together; the one in use is kept in any case, unless it alone is larger.
    """

    def __init__(self, open_run: Callable[[str], Tomogram], memory_gb: float) -> None:
        self._open_run, self._most = open_run, memory_gb * 1e9
        self._whole: OrderedDict[str, Planes] = OrderedDict()
        self._glanced: OrderedDict[str, Planes] = OrderedDict()
        self._locks: dict[str, Lock] = {}
        self._lock = Lock()

    def planes(self, run: str) -> Planes:
        """Return a tomogram to scroll through, which is then read as a whole."""
        with self._lock_of(run):
            if run not in self._whole:
                opened = Planes(self._open_run(run).stored, self._most)
                with self._lock:
                    self._whole[run] = opened
            with self._lock:
                self._whole.move_to_end(run)
                while len(self._whole) > 1 and sum(each.size for each in self._whole.values()) > self._most:
                    self._whole.popitem(last=False)[1].drop()
            return self._whole[run]

    def glance(self, run: str) -> Planes:
        """Return a tomogram of which a crop or a thumbnail is wanted: read only so far, however many runs there are."""
        with self._lock_of(run):
            if run in self._whole:
                return self._whole[run]
            if run not in self._glanced:
                self._glanced[run] = Planes(self._open_run(run).stored, 0)
            with self._lock:
                self._glanced.move_to_end(run)
                while len(self._glanced) > MOST_GLANCED:
                    self._glanced.popitem(last=False)
            return self._glanced[run]

    def _lock_of(self, run: str) -> Lock:
        """A run that is slow to open keeps nobody waiting who asks for another."""
        with self._lock:
            return self._locks.setdefault(run, Lock())


def as_jpeg(image: Bytes) -> bytes:
    """Encode a grey image ``(y, x)``, first row at the bottom."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image[::-1])).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def stretched(image: Bytes) -> Bytes:
    """Use the whole range of grey for what an image holds."""
    low, high = np.percentile(image, (1, 99))
    scaled = (image - low) * (255.0 / max(float(high - low), 1.0))
    return np.asarray(np.clip(scaled, 0, 255).astype(np.uint8))


def crop_strip(planes: Planes, point_xyz: NDArray[np.float64], radius: float, pixels: int = 96) -> bytes:
    """Draw a place in three planes side by side, xy, xz and yz, each a slab of a third of a radius, 3.6 radii wide."""
    spacing = planes.tomogram.voxel_spacing
    centre = np.asarray(point_xyz, dtype=np.float64)[::-1] / spacing
    half = max(4, round(1.8 * radius / spacing))
    thin = max(0, round(radius / spacing / 6))
    box = planes.box(centre, (half, half, half)).astype(np.float32)
    views = [box.take(range(half - thin, half + thin + 1), axis).mean(axis) for axis in (0, 1, 2)]
    tiles = []
    for view in views:
        image = Image.fromarray(np.ascontiguousarray(stretched(view.astype(np.uint8))[::-1]))
        tiles.append(np.asarray(image.resize((pixels, pixels), Image.Resampling.BICUBIC)))
    gap = np.full((pixels, 2), 255, dtype=np.uint8)
    strip = np.concatenate([tiles[0], gap, tiles[1], gap, tiles[2]], axis=1)
    buffer = io.BytesIO()
    Image.fromarray(strip).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
