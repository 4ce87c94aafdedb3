"""The map of particle-like places behind the page: what is there before anything is known.

Letters: n places.
"""

from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embed.places import (
    MOST_ON_MAP,
    Places,
    PlacesConfig,
    group_numbers,
    group_places,
    lay_out,
    most_typical,
    on_map,
    places_of_runs,
)
from embed.searched import Searched
from tomoseek.errors import InputError

MOST_EXAMPLES = 20  # of what was caught; more make a search slower and hardly better


class Explorer:
    """Places of all runs and their map, worked out when they are first asked for, and kept.

    Parameters
    ----------
    searched
        What is looked at.
    config
        What counts as a place and as a group, as ``embed explore`` has it; of all runs no more places than a map shows.
    """

    def __init__(self, searched: Searched, config: PlacesConfig) -> None:
        self.searched = searched
        self.config = replace(config, max_places=min(config.max_places, MOST_ON_MAP))
        self._lock = Lock()  # who asks while the map is drawn waits for it
        self._places: Places | None = None
        self._map_xy: NDArray[np.float64] | None = None

    @property
    def settings(self) -> dict[str, float]:
        """What the page says and offers before a map is drawn: places of a group, Å around a place, examples."""
        return {
            "min_members": self.config.min_members,
            "radius": self.config.separation,
            "most_examples": MOST_EXAMPLES,
        }

    def explore(self, min_members: int | None = None) -> dict[str, Any]:
        """Return every place, where it lies on the map and in which group (None = in none), and the groups.

        Parameters
        ----------
        min_members
            Of a group; None = as configured.

        Raises
        ------
        InputError
            If there are too few places, or no groups among them.
        """
        least = self.config.min_members if min_members is None else min_members
        if not 2 <= least <= MOST_ON_MAP:
            raise InputError(f"smallest group: expected 2 to {MOST_ON_MAP} places, found {least}")
        with self._lock:
            places = self._known_places()
            clusters = group_places(places, least, "ask for smaller groups")
            if self._map_xy is None:
                self._map_xy = within_one(lay_out(places.vectors, self.config.seed))
            map_xy = self._map_xy
        label = group_numbers(clusters, len(places.run))
        return {
            "places": [
                {
                    "run": str(places.run[k]),
                    "xyz": places.points_xyz[k].round(2).tolist(),
                    "map": map_xy[k].round(4).tolist(),
                    "group": int(label[k]) if label[k] >= 0 else None,
                }
                for k in range(len(label))
            ],
            "groups": [each.members.tolist() for each in clusters],  # the most typical first
        }

    def typical(self, numbers: Any) -> list[dict[str, Any]]:
        """Return run and x y z of the places caught that are most like their mean, at most `MOST_EXAMPLES`.

        Parameters
        ----------
        numbers
            Of places, as `explore` orders them.

        Raises
        ------
        InputError
            If there are none, or no such places.
        """
        with self._lock:
            places = self._known_places()
        known = range(len(places.run))
        if not isinstance(numbers, list) or not numbers or any(type(k) is not int or k not in known for k in numbers):
            raise InputError(f"places: expected numbers from 0 to {len(known) - 1}, found {str(numbers)[:80]}")
        typical = most_typical(places.vectors, np.unique(np.array(numbers, dtype=np.int64)))[0][:MOST_EXAMPLES]
        return [{"run": str(places.run[k]), "xyz": places.points_xyz[k].round(2).tolist()} for k in typical]

    def _known_places(self) -> Places:
        if self._places is None:
            found = places_of_runs(self.searched.index, self.searched.runs, self.config)
            chosen = on_map(len(found.run), self.config.seed)
            self._places = Places(found.run[chosen], found.points_xyz[chosen], found.vectors[chosen])
        return self._places


def within_one(map_xy: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Stretch ``(n, 2)`` positions along both axes so that they fill 0 to 1."""
    low, high = map_xy.min(0).astype(np.float64), map_xy.max(0).astype(np.float64)
    return np.asarray((map_xy - low) / np.maximum(high - low, 1e-12))
