"""One object at work: what it is known by, what was found, what was judged, and what is expected of the finds."""

from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embed.browse.heat import Heat
from embed.browse.journal import Journal, Point, State
from embed.doubts import doubts_of_examples
from embed.examples import Examples, merge_examples, onto_particles, read_examples
from embed.finds import Finds, Judged
from embed.judged import LOOK_AHEAD, JudgedPromise, num_needed
from embed.promise import LOWEST_SCORE, choose_cutoff
from embed.search import search
from embed.searched import Searched
from tomoseek.errors import InputError
from tomoseek.geometry import clip_inside
from tomoseek.picks.points import Picks
from tomoseek.tomograms.project import check_name

MOST_JUDGED = 40  # latest of each verdict that join the examples or the negatives
RECENTRE = 50.0  # Å that an example moves at most, as in a query
BINS = 40  # of the histogram

Floats = NDArray[np.floating[Any]]


class Desk:
    """One object and its search.

    Parameters
    ----------
    searched
        Index and tomograms.
    name
        Of the object.
    folder
        Where what is done is kept.
    radius
        Å, until another is said.
    """

    def __init__(self, searched: Searched, name: str, folder: Path, radius: float | None) -> None:
        check_name(name, "object")
        self.searched, self.name = searched, name
        self.journal = Journal(folder / f"{name}.jsonl")
        self.lock = RLock()
        self.finds: Finds | None = None
        self.heat: Heat | None = None
        self.num_searches = 0
        self.threshold: float | None = None
        self.trained = False  # whether the finds are those of a trained picker
        if radius is not None and not self.journal.version:
            self.journal.add({"do": "radius", "radius": radius})

    def snap(self, run: str, xyz: tuple[float, float, float]) -> tuple[float, float, float]:
        """Return where an example would move to: onto the particle that a click means."""
        index = self.searched.index
        moved = onto_particles(index, np.array([xyz]), run, min(RECENTRE, self.journal.state.radius))
        x, y, z = clip_inside(moved, *index.frame(run)[1:])[0].tolist()
        return x, y, z

    def search(self) -> Finds:
        """Search for what the journal says, judged finds included.

        Raises
        ------
        InputError
            If nothing is known of the object, or a point lies where none can.
        """
        with self.lock:
            state, index = self.journal.state, self.searched.index
            latest = sorted(state.judged.values(), key=lambda each: -each.point.number)
            accepted = [each.point for each in latest if each.verdict == "right"][:MOST_JUDGED]
            rejected = [each.point for each in latest if each.verdict == "wrong"][:MOST_JUDGED]
            clicked = _by_run(state.examples.values())
            parts = [self._read(clicked, min(RECENTRE, state.radius)), self._read(_by_run(accepted), 0.0)]
            rendered = self._rendered(state.structure)
            examples = [part for part in (*parts, rendered) if part is not None]
            if not examples:
                raise InputError(f"{self.name}: expected an example or a structure, found neither; click on a particle")
            found = search(
                index, merge_examples(examples), radius_angstrom=state.radius, name=self.name,
                runs=self.searched.runs, negatives=self._read(_by_run([*state.negatives.values(), *rejected]), 0.0),
                doubts=doubts_of_examples(index, clicked, self.searched.runs), rendered=rendered,
            )  # fmt: skip
            self.finds, self.heat = Finds.of(found), Heat(index, found)
            self.threshold, self.num_searches, self.trained = None, self.num_searches + 1, False
            return self.finds

    def show(self, finds: Finds) -> None:
        """Take the finds of a trained picker in place of those of a search."""
        with self.lock:
            self.finds, self.threshold, self.trained = finds, None, True

    def act(self, act: dict[str, Any]) -> None:
        """Write down what a person did; with a judgement of a find, the log odds that it has now."""
        with self.lock:
            if act.get("do") == "judge" and self.finds is not None:
                number = self.finds.nearest(str(act.get("run")), act.get("xyz", ()))
                act = {**act, "odds": None if number is None else float(self.finds.odds[number])}
            self.journal.add(act)

    def take_examples(self, points: list[dict[str, Any]], radius: float) -> None:
        """Make examples of points, ``run`` and ``xyz``, and set the radius, Å; one undo takes all of it back."""
        with self.lock:
            state = self.journal.state
            known = {(each.run, *each.xyz) for each in state.examples.values()}
            acts = [{"do": "example", **point} for point in points if (point["run"], *point["xyz"]) not in known]
            if radius != state.radius:
                acts.append({"do": "radius", "radius": radius})
            if acts:
                self.journal.add_together(acts)

    def accept(self) -> None:
        """Judge every find from the threshold on right that nobody has judged."""
        with self.lock:
            promise, finds = self.promise(), self.finds
            assert finds is not None
            chosen = np.flatnonzero((finds.scores >= self.chosen_threshold(promise)) & np.isnan(promise.right))
            self.journal.add_together(
                [
                    {
                        "do": "judge", "run": str(finds.run[k]), "xyz": finds.xyz[k].round(2).tolist(),
                        "verdict": "right", "odds": float(finds.odds[k]),
                    }
                    for k in chosen
                ]
            )  # fmt: skip

    def promise(self) -> JudgedPromise:
        """Say what is known of the finds by now.

        Raises
        ------
        InputError
            If nothing was searched yet.
        """
        if self.finds is None:
            raise InputError(f"{self.name}: expected a search, found none yet; search first")
        return self.finds.promise(_verdicts(self.journal.state))

    def chosen_threshold(self, promise: JudgedPromise) -> float:
        """Return the threshold that was set, or the one of the best expected balance of precision and recall."""
        assert self.finds is not None
        if self.threshold is not None:
            return self.threshold
        return choose_cutoff(self.finds.scores, promise.probability, None).threshold

    def outlook(self, promise: JudgedPromise) -> dict[str, Any]:
        """Describe the finds for a histogram with a threshold: numbers, curves, what is expected, what to judge."""
        finds = self.finds
        assert finds is not None
        threshold = self.chosen_threshold(promise)
        picked = finds.scores >= threshold
        expected = promise.expected(picked)
        telling, widths = promise.most_telling(picked, LOOK_AHEAD)
        lowest, highest = finds.scores.min(initial=LOWEST_SCORE), finds.scores.max(initial=1.0)
        edges = np.linspace(lowest, highest, BINS + 1)
        likely, right = promise.probability, promise.right
        total = max(float(likely.sum()), 1e-9)
        above = [finds.scores >= edge for edge in edges]
        return {
            "threshold": threshold,
            "num_picks": int(picked.sum()),
            "num_finds": len(finds.scores),
            "num_judged": int((~np.isnan(right)).sum()),
            "precision": expected.precision,
            "precision_interval": expected.precision_interval,
            "recall": expected.recall,
            "recall_interval": expected.recall_interval,
            "judgements_for_5_percent": num_needed(widths),
            "most_telling": telling.tolist(),
            "edges": edges.tolist(),
            "counts": np.histogram(finds.scores, edges)[0].tolist(),
            "counts_right": np.histogram(finds.scores[right == 1], edges)[0].tolist(),
            "counts_wrong": np.histogram(finds.scores[right == 0], edges)[0].tolist(),
            "precision_at": [float(likely[each].mean()) if each.any() else None for each in above],
            "recall_at": [float(likely[each].sum()) / total for each in above],
            "doubts": list(finds.doubts),
            "ranked_by_density": finds.ranked_by_density,
        }

    def picks(self) -> dict[str, Picks]:
        """Return what would be saved, by run: finds from the threshold on, with those judged right, without wrong ones.

        Scores are probabilities.
        """
        promise, finds = self.promise(), self.finds
        assert finds is not None
        chosen = (finds.scores >= self.chosen_threshold(promise)) & (promise.right != 0) | (promise.right == 1)
        return {
            run: Picks(finds.xyz[chosen & (finds.run == run)], promise.probability[chosen & (finds.run == run)])
            for run in self.searched.runs
        }

    def _read(self, points: dict[str, Floats], reach: float) -> Examples | None:
        if not points:
            return None
        return merge_examples(read_examples(self.searched.index, value, run, reach) for run, value in points.items())

    def _rendered(self, structure: str | None) -> Examples | None:
        if structure is None:
            return None
        from embed.structure.examples import structure_examples  # with torch, which clicks do without
        from embed.structure.sources import find_structures

        index, runs = self.searched.index, self.searched.runs
        found = find_structures(structure, index.entries[runs[0]].voxel_spacing)
        if len(found) > 1:
            raise InputError(f"structure: expected a single one, found {', '.join(found)}")
        return next(iter(structure_examples(index, found, runs, self.searched.tomogram)[0].values()))


def _by_run(points: Any) -> dict[str, Floats]:
    """Put points of a run together, ``(k, 3)``."""
    gathered: dict[str, list[tuple[float, float, float]]] = {}
    for point in points:
        assert isinstance(point, Point)
        gathered.setdefault(point.run, []).append(point.xyz)
    return {run: np.array(value) for run, value in gathered.items()}


def _verdicts(state: State) -> list[Judged]:
    """Return what was judged right or wrong."""
    said = [each for each in state.judged.values() if each.verdict != "unsure"]
    return [Judged(each.point.run, each.point.xyz, each.verdict == "right", each.odds) for each in said]
