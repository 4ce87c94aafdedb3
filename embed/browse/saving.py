"""Judged finds out of the page: copick picks under a user's own name, and tables."""

import hashlib
from pathlib import Path
from typing import Any

from embed.searched import Searched
from tomoseek.complexes import Complex
from tomoseek.config import PicksConfig
from tomoseek.errors import InputError
from tomoseek.picks.copick_picks import read_picks, write_picks
from tomoseek.picks.pick_set import PickSet
from tomoseek.picks.points import Picks
from tomoseek.tomograms.project import ensure_object

PROGRAM = "tomoseek"  # the user of what was picked without a person


class ChangedElsewhere(InputError):
    """Somebody else has changed the picks that are about to be replaced."""


class Saver:
    """Saves one person's picks, and notices when somebody else changed them in between.

    Parameters
    ----------
    searched
        What is looked at.
    project
        Of copick; None for files.
    owner
        User and session under which picks are written.
    folder
        Gets the tables.
    """

    def __init__(self, searched: Searched, project: str | None, owner: PicksConfig, folder: Path) -> None:
        self.searched, self.project, self.folder = searched, project, folder
        self.user, self.session = owner.owner()
        if self.user == PROGRAM:
            raise InputError(f"picks.user_id: expected a person's name, found {PROGRAM}, which picks by itself")
        self._seen: dict[tuple[str, str], str] = {}

    def save(self, name: str, radius: float, picks: dict[str, Picks], over_changes: bool = False) -> dict[str, Any]:
        """Write picks by run, and return where they are and how many.

        Runs without picks that had some lose them.

        Raises
        ------
        ChangedElsewhere
            If somebody else has changed the picks of this user and session since this page read or wrote them, and
            ``over_changes`` is False.
        """
        if self.project is not None:
            root = ensure_object(self.project, Complex(name=name, radius_angstrom=radius))
            changed = [run for run in picks if self._changed(root, run, name)]
            if changed and not over_changes:
                raise ChangedElsewhere(
                    f"the picks of {name} by {self.user}/{self.session} in {', '.join(changed[:3])} are others than "
                    "this page knows: save again to replace them, or start with another picks.session_id"
                )
            for run, each in picks.items():
                if len(each) or self.digest(root, run, name):
                    write_picks(root, run, name, each, self.user, self.session)
                self._seen[run, name] = self.digest(root, run, name)
        together = PickSet(
            {(run, name): each for run, each in picks.items()}, {name: radius},
            [self.searched.index.frame(run) for run in picks],
        )  # fmt: skip
        together.to_csv(self.folder / f"{name}.csv")
        together.to_star(self.folder / f"{name}.star")
        return {
            "picks": sum(map(len, picks.values())),
            "files": [str(self.folder / f"{name}.csv"), str(self.folder / f"{name}.star")],
            "user": self.user if self.project else None,
            "session": self.session if self.project else None,
        }

    def _changed(self, root: Any, run: str, name: str) -> bool:
        return self.digest(root, run, name) != self._seen.get((run, name), "")

    def digest(self, root: Any, run: str, name: str) -> str:
        """Describe what is stored; empty where nothing is."""
        known = {each.name for each in root.pickable_objects}
        picks = read_picks(root, run, name, self.user, self.session) if name in known else None
        if picks is None or not len(picks):
            return ""
        return hashlib.sha256(picks.points_xyz.tobytes() + picks.scores.tobytes()).hexdigest()
