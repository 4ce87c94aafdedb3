"""Do the probabilities and thresholds of a search keep their word?

    python -m benchmarks.search.promise --maps ../shared/data/maps

Searches tomograms of known particles as `embed calibrate` does: those of development, and the untouched ones of
`benchmarks.search.examples`. *Silent*: searches that promise nothing, since something speaks against them; the rest is
of the others. By the mixture of scores alone and with the correction that travels with the encoder: how many candidates
of a given probability are true, and how far promised precisions lie from kept ones; the last column what the silent
ones would have promised too much. Prints Markdown.
"""

import argparse
import tempfile
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.known_tomograms import STANDARD, build_index, make_tomograms
from benchmarks.search.examples import WANTED
from embed.calibrate import SHOTS, Trial, trial
from embed.calibration_tomograms import Known
from embed.promise import choose_cutoff, mixture_probabilities, probabilities
from tomoseek.errors import InputError
from tomoseek.network.search_constants import SearchConstants
from tomoseek.network.weights import load_encoder
from tomoseek.running import pick_device, progress

BANDS = (0.05, 0.4, 0.8, 0.9, 0.97, 1.0)
Floats = NDArray[np.floating[Any]]
Probability = Callable[[Floats, Floats, SearchConstants], Floats]


def trials(
    maps: Path | None, regime: str, development: bool, encoder: str, seeds: int, device: torch.device
) -> list[Trial | None]:
    """Search the tomograms of one kind for every class, from every tomogram and several draws; None: by density."""
    known = make_tomograms(regime, maps, development)
    sources = [
        Known(tomogram, points, known.radii) for tomogram, points in zip(known.tomograms, known.points, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        index = build_index(Path(folder) / "index", encoder, known, device)
        draws = list(product(known.radii, range(len(sources)), SHOTS, range(seeds)))
        return [
            trial(index, sources, name, support, shots, np.random.default_rng([seed, support]))
            for name, support, shots, seed in progress(draws, f"search {regime}", "search")
        ]


def shares(found: list[Trial], probability: Probability, constants: SearchConstants) -> list[str]:
    """Share of true candidates in each band of probability."""
    given = np.concatenate([np.zeros(0), *(probability(one.scores, one.left_out, constants) for one in found)])
    true = np.concatenate([np.zeros(0, bool), *(one.is_true for one in found)])
    band = np.digitize(given, BANDS)
    return [f"{true[band == k].mean():.2f}" if (band == k).any() else "–" for k in range(1, len(BANDS))]


def promises(found: list[Trial], probability: Probability, constants: SearchConstants) -> list[str]:
    """Promised less kept precision, absolute and signed, where it was promised."""
    errors = []
    for one in found:
        given = probability(one.scores, one.left_out, constants)
        for wanted in WANTED:
            cutoff = choose_cutoff(one.scores, given, wanted)
            if cutoff.precision is not None and cutoff.precision >= wanted:
                errors.append(cutoff.precision - one.is_true[one.scores >= cutoff.threshold].mean())
    if not errors:
        return ["–"] * 3
    asked = len(WANTED) * len(found)
    return [f"{np.abs(errors).mean():.2f}", f"{np.mean(errors):+.2f}", f"{len(errors) / asked:.0%}"]


def main() -> None:
    """Search, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=Path, help="folder of density maps named after their PDB entries")
    parser.add_argument("--encoder", default="shipped")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    constants = load_encoder(arguments.encoder).search_constants
    if constants is None:
        raise InputError(f"encoder: expected a calibrated one, found {arguments.encoder}; run embed calibrate")
    bands = [f"true of {low:g} to {high:g}" for low, high in pairwise(BANDS)]
    header = ["tomograms", "silent", "probability", *bands, "promise less kept, absolute", "signed", "promises given"]
    header.append("too much, if the silent ones spoke")
    print(f"| {' | '.join(header)} |", "|---" * len(header) + "|", sep="\n")
    for kind, regime in product(("development", "untouched"), STANDARD):
        given = (arguments.encoder, arguments.seeds, pick_device(arguments.device))
        each = trials(arguments.maps, regime, kind == "development", *given)
        speaking = [one for one in each if one is not None and not one.doubted]
        doubted = [one for one in each if one is not None and one.doubted]
        silent = f"{1 - len(speaking) / len(each):.0%}"
        for name, probability in {"mixture": mixture_probabilities, "corrected": probabilities}.items():
            row = [*shares(speaking, probability, constants), *promises(speaking, probability, constants)]
            row.append(promises(doubted, probability, constants)[1])
            print(f"| {' | '.join([f'{kind}, {regime}', silent, name, *row])} |", flush=True)


if __name__ == "__main__":
    main()
