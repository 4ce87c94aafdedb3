"""What each part of a search from a few examples is worth: plain cosine with one thing added, on the same features.

    python -m benchmarks.search.ingredients --maps ../shared/data/maps --development
    python -m benchmarks.search.ingredients --maps ../shared/data/maps

The tomograms and draws of `benchmarks.search.examples`, exact centres as examples. Every row ranks all particle-like
cells of two tomograms by its own score and localises alike. Prints Markdown: average precision, mean over classes,
draws and which tomogram gives the examples.

Letters: k examples, n vectors, e embedding dimensions.
"""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks.known_tomograms import STANDARD, KnownTomograms, build_index, draw_examples, make_tomograms
from embed.examples import Examples, read_examples
from embed.index import Index
from embed.promise import LOWEST_SCORE, probabilities
from embed.prototype import RIVAL_WEIGHT, TOO_ALIKE, Prototype, fit, leave_one_out, mean_direction
from embed.score_map import PARTICLE_MARGIN, lowest_logit
from embed.search import rank
from embed.surroundings import Surroundings, Vectors, particle_places
from tomoseek.evaluation.ranking import score_ranking
from tomoseek.picks.peaks import suppress
from tomoseek.picks.points import Picks
from tomoseek.running import pick_device, progress

SHOTS = (1, 5, 10)
SHRINKAGE = 0.1  # of a covariance, towards a multiple of the identity
SURE, MOST_ADDED = 0.9, 50  # finds that a second round takes for examples: at least so likely, at most so many


@dataclass(frozen=True)
class Task:
    """One search: examples of a class, what else the project holds, where to look.

    Attributes
    ----------
    places
        ``(n, e)`` vectors of particle-like places of all runs, the searched class among them.
    """

    index: Index
    examples: Examples
    surroundings: Surroundings
    places: Vectors
    runs: list[str]
    radius_angstrom: float

    def rank(self, prototype: Prototype) -> dict[str, Picks]:
        """Localise what a prototype finds."""
        least = lowest_logit(self.examples.particle_logit, PARTICLE_MARGIN)
        return rank(self.index, prototype, self.radius_angstrom, self.runs, LOWEST_SCORE, least)

    def along(self, direction: Vectors, others: Vectors) -> Prototype:
        """Score by a direction alone: 0 for the mean of what it tells the examples from, 1 for the mean example."""
        low, high = (float((vectors @ direction).mean()) for vectors in (others, self.examples.vectors))
        assert high > low  # else the scale would turn the ranking round
        scale = 1 / (high - low)
        return Prototype(direction.astype(np.float32), self.places[:0], 0.0, scale, -scale * low)


def plain(task: Task) -> dict[str, Picks]:
    """Rank by the cosine with the mean example."""
    return task.rank(fit(task.examples.vectors, task.surroundings, 0.0))


def rivals(task: Task) -> dict[str, Picks]:
    """Rank less a share of the cosine with the nearest rival, as the query does."""
    return task.rank(fit(task.examples.vectors, task.surroundings))


def whitened(task: Task, others: Vectors) -> dict[str, Picks]:
    """Rank by the linear discriminant of the examples against other vectors."""
    covariance = np.cov(others.T)
    covariance += SHRINKAGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    direction = np.linalg.solve(covariance, task.examples.vectors.mean(0) - others.mean(0))
    return task.rank(task.along(direction, others))


def nearest_example(task: Task) -> dict[str, Picks]:
    """Rank by the cosine with the nearest example: a prototype for each."""
    found = [task.rank(fit(vector[None], task.surroundings, 0.0)) for vector in task.examples.vectors]
    picks = {}
    for run in task.runs:
        points = np.concatenate([each[run].points_xyz for each in found])
        scores = np.concatenate([each[run].scores for each in found])
        best = suppress(points, scores, task.radius_angstrom)
        picks[run] = Picks(points[best], scores[best])
    return picks


def second_round(task: Task, rival_weight: float) -> dict[str, Picks]:
    """Search again with the likeliest finds as further examples."""
    examples, surroundings = task.examples.vectors, task.surroundings
    first = task.rank(fit(examples, surroundings, rival_weight))
    scores = np.concatenate([picks.scores for picks in first.values()])
    constants = task.index.header.constants
    assert constants is not None  # the shipped encoder is calibrated
    likely = probabilities(scores, leave_one_out(examples, surroundings, rival_weight), constants)
    enough = np.sort(scores[likely >= SURE])[::-1][:MOST_ADDED]
    if not len(enough):
        return first
    added = [
        read_examples(task.index, picks.points_xyz[picks.scores >= enough[-1]], run, 0).vectors
        for run, picks in first.items() if (picks.scores >= enough[-1]).any()
    ]  # fmt: skip
    return task.rank(fit(np.concatenate([examples, *added]), surroundings, rival_weight))


def logistic(task: Task) -> dict[str, Picks]:
    """Rank by a logistic regression of the examples against background and particle-like places unlike them."""
    examples = task.examples.vectors
    mean = mean_direction(examples)
    unlike = task.places[task.places @ mean < TOO_ALIKE * np.median(examples @ mean)]
    others = np.concatenate([task.surroundings.background[::4], unlike])
    head = LogisticRegression(class_weight="balanced", max_iter=500)
    head.fit(np.concatenate([examples, others]), np.arange(len(examples) + len(others)) < len(examples))
    return task.rank(task.along(head.coef_[0], others))


PARTS: dict[str, Callable[[Task], dict[str, Picks]]] = {
    "plain cosine": plain,
    "rivals (as query does it)": rivals,
    "whitened by background": lambda task: whitened(task, task.surroundings.background),
    "whitened by particle-like places": lambda task: whitened(task, task.places),
    "nearest example": nearest_example,
    "second round": lambda task: second_round(task, 0.0),
    "rivals, second round": lambda task: second_round(task, RIVAL_WEIGHT),
    "logistic regression": logistic,
}


def measure(index: Index, known: KnownTomograms, seeds: int, regime: str) -> dict[tuple[str, int], float]:
    """Mean average precision by part and number of examples."""
    runs = [tomogram.run for tomogram in known.tomograms]
    places = np.concatenate([index.shard(run).read_vectors(particle_places(index.shard(run))) for run in runs])
    precision = defaultdict(list)
    draws = [(key, support, seed) for key in known.radii for support in range(len(runs)) for seed in range(seeds)]
    for key, support, seed in progress(draws, f"search {regime}", "draw"):
        others = {run: known.points[k][key] for k, run in enumerate(runs) if k != support}
        for shots in SHOTS:
            chosen = draw_examples(known.points[support][key], support, shots, seed)
            examples = read_examples(index, chosen, runs[support], 0)
            task = Task(index, examples, index.surroundings(), places, list(others), known.radii[key])
            for name, part in PARTS.items():
                scores = score_ranking(others, part(task), known.radii[key])
                precision[name, shots].append(scores["average_precision"])
    return {key: float(np.mean(values)) for key, values in precision.items()}


def main() -> None:
    """Measure every part, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=Path, help="folder of density maps named after their PDB entries")
    parser.add_argument("--encoder", default="shipped")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--development", action="store_true", help="other complexes and tomograms, to develop on")
    parser.add_argument("--regimes", nargs="+", default=STANDARD)
    arguments = parser.parse_args()
    found = {}
    for regime in arguments.regimes:
        known = make_tomograms(regime, arguments.maps, arguments.development)
        with tempfile.TemporaryDirectory() as folder:
            index = build_index(Path(folder) / "index", arguments.encoder, known, pick_device("cpu"))
            found[regime] = measure(index, known, arguments.seeds, regime)
    columns = [(regime, shots) for regime in arguments.regimes for shots in SHOTS]
    print("| score | " + " | ".join(f"{regime}, {shots}" for regime, shots in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name in PARTS:
        print(f"| {name} | " + " | ".join(f"{found[regime][name, shots]:.3f}" for regime, shots in columns) + " |")


if __name__ == "__main__":
    main()
