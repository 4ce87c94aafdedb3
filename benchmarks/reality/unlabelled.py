"""Real volumes without references: what the particle score and `embed explore` say of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.reality.embedded import logit_map
from embed import Index
from embed.places import PlacesConfig, places_of
from tomoseek import Tomogram, open_tomogram
from tomoseek.config import Polarity
from tomoseek.messages import listed


@dataclass(frozen=True)
class Volume:
    """A file, what it shows, and which part of it is looked at (z, y, x; all of it would take minutes)."""

    run: str
    file: str
    shows: str
    voxel_spacing: float
    polarity: Polarity = Polarity.dark
    part: tuple[slice, slice, slice] = (slice(None), slice(None), slice(None))

    def open(self, folder: Path) -> Tomogram:
        """Read it."""
        stored = open_tomogram(folder / self.file, self.voxel_spacing, self.polarity)
        return Tomogram.from_array(stored.read(self.part), self.voxel_spacing, self.run, self.polarity)


VOLUMES = (
    Volume(
        "lysosome", "lysosome/slab.mrc", "purified lysosome", 12.0, part=(slice(24, 72), slice(128, 448), slice(384))
    ),
    Volume(
        "exosomes", "exosomes/slab.mrc", "exosomes with gold beads", 16.56,
        part=(slice(8, 56), slice(180, 468), slice(340)),
    ),
    Volume("microtubule-13", "13pf_MT.tif", "microtubule, 13 protofilaments", 10.52, Polarity.bright),
    Volume("microtubule-14", "14pf_MT.tif", "microtubule, 14 protofilaments", 10.52, Polarity.bright),
)  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """A volume beside what an encoder sees in it: logits ``(z, y, x)``, and places ``(n, 3)``, x y z in Å."""

    volume: Volume
    tomogram: Tomogram
    logits: NDArray[np.float32]
    cell_angstrom: float
    places_xyz: NDArray[np.float64]

    @property
    def figures(self) -> dict[str, Any]:
        """Say it in numbers."""
        inside = self.logits[np.isfinite(self.logits)]
        return {
            "cells above even odds": float((inside > 0).mean()),
            "median logit": float(np.median(inside)),
            "particle-like places": len(self.places_xyz),
        }


def look(index: Index, folder: Path) -> list[Seen]:
    """Embed the volumes that are there, and find their particle-like places as ``embed explore`` does."""
    settings = PlacesConfig.default()
    there = [volume for volume in VOLUMES if (folder / volume.file).is_file()]
    if len(there) < len(VOLUMES):
        print(f"in {folder} are not: {listed(volume.file for volume in VOLUMES if volume not in there)}")
    seen = []
    for volume in there:
        tomogram = volume.open(folder)
        index.add(tomogram)
        places = places_of(index, volume.run, settings.max_places, settings).points_xyz
        cell = index.entries[volume.run].voxel_spacing * index.header.stride
        seen.append(Seen(volume, tomogram, logit_map(index.shard(volume.run)), cell, places))
    return seen
