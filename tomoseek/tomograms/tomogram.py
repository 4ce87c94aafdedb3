"""One reconstruction, read lazily, a region at a time, and normalised."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoseek.config import Polarity
from tomoseek.errors import InputError
from tomoseek.geometry import is_familiar
from tomoseek.messages import warn
from tomoseek.tomograms.blank import FloatVolume, Region, blank_voxels, find_blank_value
from tomoseek.tomograms.normalise import Contrast, measure_contrast
from tomoseek.tomograms.resample import Resampled, wanted_spacing


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
    ) -> None:
        if len(array.shape) != 3 or min(array.shape) < 1:
            raise InputError(f"expected a volume of 3 axes (z y x) in {source}, found shape {tuple(array.shape)}")
        self.run = run
        self.tomogram_type = tomogram_type
        self.voxel_spacing = float(voxel_spacing)
        self.polarity = polarity
        self.source = source
        self.stored = self
        self._array = array
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

    def measured(self, region: Region) -> NDArray[np.float32]:
        """Read the values ``(n,)`` of a region that are not blank."""
        values = self.read(region)
        if isinstance(self._array, Resampled):
            return values[~self._array.blank(region)]
        return values[~blank_voxels(values, self.blank_value)]

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
            corner = tuple(part.start for part in region)
            warn(
                f"{self}: {num_bad} voxels from z y x {corner} on are NaN or infinite, and perhaps others; taken for "
                "background"
            )
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
            values = self._array[region if region is not None else (slice(None),) * 3]
        except (RuntimeError, OSError) as error:
            raise InputError(f"expected readable voxels in {self}, found {error}: the file is damaged") from error
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
