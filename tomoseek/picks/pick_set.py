"""Picks of several objects in several tomograms, and the forms in which they are handed on."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tomoseek.geometry import angstrom_to_cells, points_to_indices
from tomoseek.picks.points import PickRow, Picks

if TYPE_CHECKING:  # slow to import, and seldom needed
    import pandas as pd

    from tomoseek.tomograms.tomogram import Tomogram


class PickSet(Mapping[tuple[str, str], Picks]):
    """What was found: picks by run and object, best first.

    Parameters
    ----------
    picks
        By run and object.
    radii
        Å, by object.
    tomograms
        Those the picks lie in, which star files and viewers need; anything with ``run``, ``shape`` (z y x) and
        ``voxel_spacing`` (Å).

    Examples
    --------
    >>> from tomoseek import Tomogram
    >>> tomogram = Tomogram.from_array(np.random.default_rng(0).normal(size=(40, 64, 64)), voxel_spacing=10, run="TS_1")
    >>> found = PickSet({("TS_1", "ribosome"): Picks([[300.0, 200.0, 100.0]], [0.9])}, {"ribosome": 150.0}, [tomogram])
    >>> len(found["TS_1", "ribosome"]), found.num_picks
    (1, 1)
    >>> found.to_dataframe().iloc[0].to_dict()
    {'run': 'TS_1', 'object': 'ribosome', 'x': 300.0, 'y': 200.0, 'z': 100.0, 'score': 0.9}
    >>> [(points_zyx.tolist(), kind) for points_zyx, _, kind in found.to_napari("TS_1")]
    [([[10.0, 20.0, 30.0]], 'points')]
    """

    def __init__(
        self,
        picks: Mapping[tuple[str, str], Picks],
        radii: Mapping[str, float],
        tomograms: "Iterable[Tomogram | Any]" = (),
    ) -> None:
        self._picks = dict(picks)
        self.radii = dict(radii)
        self.tomograms = {tomogram.run: tomogram for tomogram in tomograms}

    def __getitem__(self, run_and_object: tuple[str, str]) -> Picks:
        return self._picks[run_and_object]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._picks)

    def __len__(self) -> int:
        return len(self._picks)

    def __repr__(self) -> str:
        counts = {name: sum(len(picks) for _, _, picks in self.rows(name)) for name in self.radii}
        told = ", ".join(f"{count} {name}" for name, count in counts.items())
        return f"PickSet({told} in {len({run for run, _ in self})} tomograms)"

    @property
    def num_picks(self) -> int:
        """Number of picks of all objects in all runs."""
        return sum(map(len, self.values()))

    def rows(self, name: str | None = None) -> list[PickRow]:
        """Return (run, object, picks) of one object, or of all."""
        return [(run, each, picks) for (run, each), picks in self.items() if name in (None, each)]

    def to_dataframe(self) -> "pd.DataFrame":
        """Return a table with columns run, object, x, y, z (Å, from the corner) and score."""
        from tomoseek.picks.tables import to_dataframe

        return to_dataframe(self.rows())

    def to_csv(self, path: str | Path) -> None:
        """Write that table as CSV."""
        from tomoseek.picks.tables import write_csv

        write_csv(path, self.rows())

    def to_star(
        self,
        path: str | Path,
        name: str | None = None,
        tilt_series_pixel_size: float | None = None,
        relion: int | None = None,
    ) -> None:
        """Write the picks of one object as a star file for RELION 5, 4, or 3, which Warp and M read.

        Parameters
        ----------
        path
            The file.
        name
            The object, where there are several.
        tilt_series_pixel_size
            Å per pixel of the unbinned tilt series, for RELION 4. For RELION 3: Å per pixel of the coordinates, None
            counts voxels.
        relion
            3, 4 or 5; None is 4 where a pixel size is given, else 5.

        Raises
        ------
        ValueError
            If there are several objects and none is named.
        """
        from tomoseek.picks.star_write import write_star

        write_star(path, self.rows(name), self.tomograms.values(), tilt_series_pixel_size, relion)

    def to_napari(self, run: str) -> list[tuple[Any, dict[str, Any], str]]:
        """Return the picks of a run as layers for napari: ``viewer.add_layer(napari.layers.Layer.create(*layer))``.

        Returns
        -------
        For each object its points ``(n, 3)`` z y x in voxels, with their scores and sizes, as napari's layer tuples.
        """
        layers: list[tuple[Any, dict[str, Any], str]] = []
        spacing = self.tomograms[run].voxel_spacing
        for name in self.radii:
            if (run, name) in self._picks:
                picks = self[run, name]
                more = {"name": name, "size": angstrom_to_cells(2 * self.radii[name], spacing), "scale": [spacing] * 3}
                layers.append(
                    (
                        points_to_indices(picks.points_xyz, spacing),  # (n, 3) z y x
                        {**more, "features": {"score": np.asarray(picks.scores)}, "out_of_slice_display": True},
                        "points",
                    )
                )
        return layers
