"""One reconstruction, read lazily, a region at a time, and normalised."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tomoseek.config import Polarity
from tomoseek.errors import InputError
from tomoseek.geometry import indices_to_points, is_familiar
from tomoseek.messages import warn
from tomoseek.tomograms.blank import FloatVolume, Region, blank_voxels, find_blank_value
from tomoseek.tomograms.normalise import Contrast, measure_contrast
from tomoseek.tomograms.part import Part, find_lamella
from tomoseek.tomograms.resample import Resampled, wanted_spacing

LAYERS = 16  # of cells, looked at together
MOST_DRAWS = 1000  # of a place that counts
LONGEST = 100_000  # voxels; a header that says more is damaged


class Tomogram:
    """One reconstruction of one run; nothing is read before a region is asked for.

    Parameters
    ----------
    run, tomogram_type
        Name of the run and kind of reconstruction.
    voxel_spacing
        Å per voxel.
    array
        ``(z, y, x)``; anything with ``shape`` that returns an array for a tuple of slices.
    polarity
        How protein looks in the stored values.
    source
        Where the voxels come from, for errors.
    part
        What of it counts: only there are contrast measured and particles looked for. ``auto``: the slab of a lamella,
        where there is one; None: all of it.

    Attributes
    ----------
    stored
        The tomogram as its file has it: itself, or what it was resampled from.
    """

    def __init__(
        self,
        *,
        run: str,
        tomogram_type: str,
        voxel_spacing: float,
        array: Any,
        polarity: Polarity,
        source: str,
        part: Part | Literal["auto"] | None = "auto",
    ) -> None:
        if len(array.shape) != 3 or min(array.shape) < 1:
            raise InputError(f"expected a volume of 3 axes (z y x) in {source}, found shape {tuple(array.shape)}")
        if max(array.shape) > LONGEST:
            raise InputError(f"expected at most {LONGEST:,} voxels along an axis in {source}, found {array.shape}")
        self.run = run
        self.tomogram_type = tomogram_type
        self.voxel_spacing = float(voxel_spacing)
        self.polarity = polarity
        self.source = source
        self.stored = self
        self._array = array
        self._part = part
        self._told_of_nan = False

    @classmethod
    def from_array(
        cls, volume: Any, voxel_spacing: float, run: str = "tomogram", polarity: Polarity | str = Polarity.dark
    ) -> "Tomogram":
        """Take a volume that is in memory, or mapped.

        Parameters
        ----------
        volume
            ``(z, y, x)``.
        voxel_spacing
            Å per voxel.
        run
            What to call it.
        polarity
            How protein looks in the values: dark, as usual, or bright.

        Examples
        --------
        >>> Tomogram.from_array(np.zeros((8, 16, 24)), voxel_spacing=10).shape
        (8, 16, 24)
        """
        if not voxel_spacing > 0:
            raise InputError(f"voxel_spacing: expected Å per voxel above 0, found {voxel_spacing}")
        return cls(
            run=run, tomogram_type="array", voxel_spacing=voxel_spacing, array=volume, polarity=Polarity(polarity),
            source="an array in memory",
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"{self.run}/{self.tomogram_type} at {self.voxel_spacing:g} Å ({self.source})"

    def unfamiliar_spacing(self, known: float, who: str) -> str | None:
        """Say that particles look larger or smaller here than where a network learned; None where they do not.

        Parameters
        ----------
        known
            Å per voxel that it learned at.
        who
            What to call it.
        """
        if is_familiar(self.voxel_spacing, known):
            return None
        return (
            f"run {self.run}: expected about {known:g} Å per voxel, at which {who} learned, found "
            f"{self.voxel_spacing:g} Å: to it particles look {known / self.voxel_spacing:.2f} x their size"
        )

    def resampled(self, resample: str | float | None, known: float) -> "Tomogram":
        """Return the tomogram at the voxel spacing of a network, computed as it is read; itself, if it has that.

        Parameters
        ----------
        resample
            As ``data.resample``: ``auto`` for the spacing that the network knows, unless its own is within a tenth of
            that; Å per voxel; or None, as it is.
        known
            Å per voxel that the network learned at.
        """
        spacing = wanted_spacing(self.voxel_spacing, resample, known)
        if spacing is None:
            return self
        other = Tomogram(
            run=self.run, tomogram_type=self.tomogram_type, voxel_spacing=spacing, array=Resampled(self, spacing),
            polarity=self.polarity, source=f"{self.source}, resampled from {self.voxel_spacing:g} Å",
        )  # fmt: skip
        other.stored = self.stored
        return other

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along z, y, x."""
        z, y, x = self._array.shape
        return int(z), int(y), int(x)

    @property
    def array(self) -> Any:
        """What holds the stored values ``(z, y, x)``: returns those of a tuple of slices, mapped where they can be."""
        return self._array

    @cached_property
    def contrast(self) -> Contrast:
        """Background, spread and sign, measured on first use.

        Raises
        ------
        InputError
            When the volume is constant, or all of it is blank.
        """
        return measure_contrast(self, self.polarity)

    @cached_property
    def blank_value(self) -> float | None:
        """What blank parts are filled with; None where there are none."""
        return None if isinstance(self._array, Resampled) else find_blank_value(self)

    def blank(self, region: Region) -> NDArray[np.bool_]:
        """Tell which voxels ``(z, y, x)`` of a region were never measured: padding, NaN."""
        if isinstance(self._array, Resampled):
            return self._array.blank(region)
        return blank_voxels(self.read(region), self.blank_value)

    @cached_property
    def part(self) -> Part | None:
        """What of it counts; None for all of it."""
        if self.stored is not self:
            return self.stored.part
        return find_lamella(self, self.voxel_spacing) if self._part == "auto" else self._part

    def holds(self, voxel_zyx: NDArray[np.int64]) -> bool:
        """Tell whether a voxel, or the one nearest to it in the volume, lies in the part that counts."""
        inside = np.clip(voxel_zyx, 0, np.array(self.shape) - 1)
        return self.part is None or bool(self.part.holds(indices_to_points(inside, self.voxel_spacing))[0])

    def counts(self, region: Region, step: int = 1) -> NDArray[np.bool_]:
        """Tell which voxels ``(z, y, x)`` of a region, every ``step``-th of an axis, count: in its part, not blank."""
        every = tuple(slice(*part.indices(n)[:2], step) for part, n in zip(region, self.shape, strict=True))
        counting = np.ones([len(range(part.start, part.stop, step)) for part in every], dtype=bool)
        if self.part is not None:
            places = np.moveaxis(np.mgrid[every], 0, -1).reshape(-1, 3)  # (n, 3) z y x
            counting &= self.part.holds(indices_to_points(places, self.voxel_spacing)).reshape(counting.shape)
        if self.stored.blank_value is not None and counting.any():
            counting &= ~self.blank(region)[::step, ::step, ::step]
        return counting

    def counting_cells(self, stride: int) -> NDArray[np.bool_] | None:
        """Tell of which cells ``(z, y, x)`` of ``stride`` voxels the middle counts; None where all do."""
        if self.part is None and self.stored.blank_value is None:
            return None
        _, y, x = (slice(min(stride // 2, n - 1), n) for n in self.shape)
        height, thickness = self.shape[0], LAYERS * stride
        layers = [
            self.counts((slice(min(first + stride // 2, height - 1), first + thickness), y, x), stride)
            for first in range(0, height, thickness)
        ]
        cells = np.concatenate(layers)
        if not cells.any():
            raise InputError(f"expected something to search in {self}, found nothing that counts: choose data.mask")
        missing = [-(-n // stride) - have for n, have in zip(self.shape, cells.shape, strict=True)]
        return np.pad(cells, [(0, more) for more in missing], mode="edge")

    def draw_place(self, size_zyx: Iterable[int], random: np.random.Generator) -> tuple[int, int, int]:
        """Draw the first voxel z y x of a crop whose middle lies in the part that counts, where that can be.

        The crop lies in the volume along axes where it fits, and holds all of it along others.
        """
        size = np.array(list(size_zyx))
        room = np.array(self.shape) - size
        for _ in range(MOST_DRAWS):
            start = random.integers(np.minimum(0, room), np.maximum(0, room) + 1)
            if self.holds(start + size // 2):
                break
        z, y, x = start.tolist()
        return z, y, x

    def measured(self, region: Region) -> NDArray[np.float32]:
        """Read the values ``(n,)`` of a region that count."""
        if self.part is not None and not (inside := self.counts(region)).any():
            return np.zeros(0, dtype=np.float32)
        values = self.read(region)
        blank = self.blank(region) if self.stored is not self else blank_voxels(values, self.blank_value)
        return values[~blank & inside] if self.part is not None else values[~blank]

    def filled(self, region: Region) -> FloatVolume:
        """Read stored values ``(z, y, x)``, the background's in place of blank ones; warns once of NaN."""
        values = self.read(region)
        if isinstance(self._array, Resampled):
            return values
        # One sum sees every NaN and infinity, at a tenth of the cost of testing each voxel.
        if self.blank_value is None and np.isfinite(values.sum(dtype=np.float64)):
            return values
        blank = blank_voxels(values, self.blank_value)
        num_bad = int((~np.isfinite(values)).sum())
        if num_bad and not self._told_of_nan:
            self._told_of_nan = True
            where = f"{num_bad} voxels from z y x {tuple(part.start for part in region)} on"
            warn(f"{self}: {where} are NaN or infinite, and perhaps others; taken for background")
        values[blank] = self.contrast.centre
        return values

    def read(self, region: Region | None = None) -> FloatVolume:
        """Read stored values as float32.

        Parameters
        ----------
        region
            Slices z, y, x within the volume; None reads all of it.

        Raises
        ------
        InputError
            When the file cannot be decoded.
        """
        try:
            values = self._array[region or (slice(None),) * 3]
        except (InputError, MemoryError):
            raise
        except Exception as error:  # those of the format's library, of which each has its own
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"expected readable voxels in {self}, found {reason}: damaged or out of reach") from error
        return np.array(values, dtype=np.float32)  # (z, y, x)

    def crop(self, start_zyx: Iterable[int], size_zyx: Iterable[int]) -> FloatVolume:
        """Read a normalised crop: protein positive, background 0, and 0 outside the volume and where it is blank.

        Parameters
        ----------
        start_zyx
            First voxel; may be negative.
        size_zyx
            Voxels along each axis; may reach beyond the volume.
        """
        start, size = [int(first) for first in start_zyx], [int(length) for length in size_zyx]
        crop = np.zeros(size, dtype=np.float32)  # (z, y, x)
        low = [max(0, first) for first in start]
        high = [min(n, first + length) for n, first, length in zip(self.shape, start, size, strict=True)]
        if any(first >= last for first, last in zip(low, high, strict=True)):
            return crop
        z, y, x = (slice(first, last) for first, last in zip(low, high, strict=True))
        inside = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))
        crop[inside] = self.contrast.apply(self.filled((z, y, x)))
        return crop
