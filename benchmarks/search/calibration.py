"""How sure may a search be of its picks? Fits the numbers of `embed.promise` on tomograms of development.

    python -m benchmarks.search.calibration --maps ../shared/data/maps

The mixture of scores says how likely each candidate is what the examples are; look-alikes make it too sure. Slope and
offset of its log odds (Platt scaling) are fitted to what the candidates are, on the tomograms of development alone.
Beside them, by the mixture and after the correction that `embed query` applies: how many candidates of a given
probability are true, and how far promised precisions lie from kept ones, on the tomograms of development and on the
untouched ones of `benchmarks.search.examples`. What true particles score by a single example is printed too. Prints
Markdown.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from benchmarks.pretraining.probe.tomograms import STANDARD, Bed, make_bed
from benchmarks.search.examples import WANTED, build_index, draw_examples
from embed.index import MOST_CANDIDATES, Index
from embed.promise import (
    LOWEST_SCORE,
    MEAN_OF_ONE,
    OFFSET,
    SLOPE,
    SPREAD,
    SPREAD_OF_MEAN,
    SUREST,
    choose_cutoff,
    mixture_probabilities,
    probabilities,
)
from tomoseek.evaluation.ranking import rank
from tomoseek.running import pick_device, progress

SHOTS = (1, 3, 5, 10)
BANDS = (0.05, 0.4, 0.8, 0.9, 0.97, 1.0)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """One search: candidates by falling score, whether each is true, and the examples scored by each other."""

    scores: Floats
    is_true: NDArray[np.bool_]
    left_out: Floats


def trial(index: Index, bed: Bed, key: str, support: int, shots: int, seed: int) -> Trial:
    """Search for one class as `benchmarks.search.examples` does and tell the true candidates."""
    runs = [tomogram.run for tomogram in bed.tomograms]
    examples = index.read_examples(draw_examples(bed.points[support][key], support, shots, seed), runs[support])
    truth = {run: bed.points[k][key] for k, run in enumerate(runs) if k != support}
    found = index.search(
        examples, radius_angstrom=bed.radii[key], runs=list(truth), threshold=LOWEST_SCORE, max_picks=MOST_CANDIDATES
    )
    ranking = rank(truth, found.picks, bed.radii[key])
    return Trial(ranking.scores, ranking.right, found.leave_one_out.astype(np.float64))


def trials(
    maps: Path | None, regime: str, development: bool, encoder: str, seeds: int, device: torch.device
) -> list[Trial]:
    """Search the tomograms of one kind for every class, from every tomogram and several draws."""
    bed = make_bed(regime, maps, development)
    with tempfile.TemporaryDirectory() as folder:
        index = build_index(Path(folder) / "index", encoder, bed, device)
        draws = [
            (key, support, shots, seed)
            for key in bed.radii for support in range(len(bed.tomograms)) for shots in SHOTS for seed in range(seeds)
        ]  # fmt: skip
        return [trial(index, bed, *draw) for draw in progress(draws, f"search {regime}", "search")]


def shares(found: list[Trial], probability: Callable[[Floats, Floats], Floats]) -> list[str]:
    """Share of true candidates in each band of probability."""
    given = np.concatenate([probability(one.scores, one.left_out) for one in found])
    true = np.concatenate([one.is_true for one in found])
    band = np.digitize(given, BANDS)
    return [f"{true[band == k].mean():.2f}" if (band == k).any() else "–" for k in range(1, len(BANDS))]


def promises(found: list[Trial], probability: Callable[[Floats, Floats], Floats]) -> list[str]:
    """Promised less kept precision, absolute and signed, where it was promised."""
    errors = []
    for one in found:
        given = probability(one.scores, one.left_out)
        for wanted in WANTED:
            cutoff = choose_cutoff(one.scores, given, wanted)
            if cutoff.precision >= wanted:
                errors.append(cutoff.precision - one.is_true[one.scores >= cutoff.threshold].mean())
    asked = len(WANTED) * len(found)
    return [f"{np.abs(errors).mean():.2f}", f"{np.mean(errors):+.2f}", f"{len(errors) / asked:.0%}"]


def scores_of_one(found: list[Trial]) -> tuple[float, float, float]:
    """What true particles score by one example: mean over searches of the median, its spread, spread within one."""
    single = [one.scores[one.is_true] for one in found if not len(one.left_out) and one.is_true.any()]
    means = [float(np.median(scores)) for scores in single]
    within = [float(np.diff(np.percentile(scores, [16, 84]))[0]) / 2 for scores in single]
    return float(np.mean(means)), float(np.std(means)), float(np.mean(within))


def main() -> None:
    """Fit, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=Path, help="folder of density maps named after their PDB entries")
    parser.add_argument("--encoder", default="shipped")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    given = (arguments.encoder, arguments.seeds, pick_device(arguments.device))
    found = {
        (kind, regime): trials(arguments.maps, regime, kind == "development", *given)
        for kind in ("development", "untouched")
        for regime in STANDARD
    }
    known = [one for (kind, _), each in found.items() if kind == "development" for one in each]
    mixture = np.concatenate([mixture_probabilities(one.scores, one.left_out) for one in known])
    odds = logit(np.clip(mixture, SUREST, 1 - SUREST))[:, None]
    fit = LogisticRegression(C=np.inf).fit(odds, np.concatenate([one.is_true for one in known]))
    print(f"fitted slope {fit.coef_[0, 0]:.2f}, offset {fit.intercept_[0]:.2f}; in use: {SLOPE}, {OFFSET}")
    mean, spread_of_mean, spread = scores_of_one(known)
    print(f"true by one example: {mean:.2f} ± {spread_of_mean:.2f}, within a search ± {spread:.3f}", end="; ")
    print(f"in use: {MEAN_OF_ONE} ± {SPREAD_OF_MEAN}, ± {SPREAD}\n")
    bands = [f"true of {low:g} to {high:g}" for low, high in pairwise(BANDS)]
    header = ["tomograms", "probability", *bands, "promise less kept, absolute", "signed", "promises given"]
    print(f"| {' | '.join(header)} |", "|---" * len(header) + "|", sep="\n")
    for (kind, regime), each in found.items():
        for name, probability in {"mixture": mixture_probabilities, "corrected": probabilities}.items():
            row = [f"{kind}, {regime}", name, *shares(each, probability), *promises(each, probability)]
            print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
