"""``embed calibrate``: what may a search promise with this encoder? Measured where the truth is known.

Tomograms of invented assemblies (or of maps of one's own) are simulated, embedded and searched from a few examples.
What the candidates turn out to be says how sure the search may be of its picks; what true particles score, and how far
the particle score points to their centres, says the rest. The numbers are saved with the encoder, and every index that
it builds copies them.
"""

import json
import tempfile
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from embed.calibration_tomograms import Known, Specimens, simulate_known
from embed.examples import REACH_ANGSTROM, read_examples, recentre
from embed.index import Index
from embed.promise import LOWEST_SCORE, SUREST, mixture_probabilities
from embed.search import MOST_CANDIDATES, search
from tomoseek.errors import InputError
from tomoseek.evaluation.ranking import rank
from tomoseek.files import atomic_write_json
from tomoseek.geometry import angstrom_to_cells, cell_to_voxel, indices_to_points, points_to_indices, voxel_to_cell
from tomoseek.messages import warn
from tomoseek.network.search_constants import SearchConstants
from tomoseek.network.sources import find_weights
from tomoseek.network.weights import load_encoder, write_search_constants
from tomoseek.running import pick_device, progress

SHOTS = (1, 3, 5, 10)
CLICK_VOXELS = 2.0  # standard deviation of careless clicks along each axis
GAINS = (0.25, 0.5, 1.0, 2.0, 4.0)  # logits
FEWEST_TRUE = 30  # true candidates from which on a correction is fitted

Floats = NDArray[np.floating[Any]]


@dataclass(kw_only=True, slots=True)
class CalibrateConfig:
    """Settings of ``embed calibrate`` (``configs/embed_calibrate.yaml``)."""

    encoder: str
    specimens: Specimens
    num_draws: int
    save: bool
    out_dir: str
    device: str
    seed: int

    def __post_init__(self) -> None:
        if self.num_draws < 1:
            raise InputError(f"num_draws: expected at least 1, found {self.num_draws}")


@dataclass(frozen=True)
class Trial:
    """One search.

    Attributes
    ----------
    scores, is_true
        ``(n,)`` of its candidates, and whether each is true.
    left_out
        The examples scored by each other.
    doubted
        Whether something speaks against it; so it is of every search while an encoder has no constants.
    """

    scores: Floats
    is_true: NDArray[np.bool_]
    left_out: Floats
    doubted: bool = False


def run(config: CalibrateConfig) -> None:
    """Measure, say and save the constants."""
    device = pick_device(config.device)
    encoder = load_encoder(config.encoder, device)
    encoder.search_constants = None
    known = simulate_known(config.specimens, encoder.config.voxel_spacing, config.seed, device)
    trials, clicks = [], []
    with tempfile.TemporaryDirectory() as folder:
        for kind, tomograms in known.items():
            index = Index.create(Path(folder) / kind, encoder, device=str(device))
            for each in tomograms:
                index.add(each.tomogram)
            trials += search_all(index, tomograms, config, kind)
            clicks += [recentred(index, each, config.seed) for each in tomograms]
    constants = fit(trials, best_gain(clicks), describe(config.specimens, len(next(iter(known.values())))))
    out_dir = Path(config.out_dir)
    atomic_write_json(out_dir / "search_constants.json", asdict(constants) if constants else None)
    if constants is None:
        warn(
            f"{config.encoder}: its {len(trials)} searches by likeness found fewer than {FEWEST_TRUE} true particles; "
            "nothing can be promised with it, and nothing was saved"
        )
        return
    print(json.dumps(asdict(constants), indent=2))
    if config.save and not Path(config.encoder).exists():  # shipped, or another's that was downloaded
        print(f"{config.encoder} stays as it is; the numbers are in {out_dir / 'search_constants.json'}")
    elif config.save:
        path = find_weights(config.encoder)
        write_search_constants(path, constants)
        print(f"saved with {path}; run embed build again, and indices that it made know them too")


def search_all(index: Index, tomograms: list[Known], config: CalibrateConfig, kind: str) -> list[Trial]:
    """Search for every class, from every tomogram in the others, with few and more examples, in several draws.

    Those that were ranked by density are left out: they say nothing of the encoder, and promise nothing.
    """
    draws = list(product(tomograms[0].points_xyz, range(len(tomograms)), SHOTS, range(config.num_draws)))
    trials = [
        trial(index, tomograms, name, support, shots, np.random.default_rng([config.seed, draw, support]))
        for name, support, shots, draw in progress(draws, f"search {kind}", "search")
    ]
    return [each for each in trials if each is not None]


def trial(
    index: Index, tomograms: list[Known], name: str, support: int, shots: int, random: np.random.Generator
) -> Trial | None:
    """Search for one class from examples drawn in one of the tomograms, in the others, and tell the true candidates."""
    source = tomograms[support]
    chosen = random.permutation(len(source.points_xyz[name]))[:shots]
    examples = read_examples(index, source.points_xyz[name][chosen], source.tomogram.run, 0.0)
    truth = {each.tomogram.run: each.points_xyz[name] for each in tomograms if each is not source}
    found = search(
        index, examples, radius_angstrom=source.radii[name], runs=list(truth), threshold=LOWEST_SCORE,
        max_picks=MOST_CANDIDATES,
    )  # fmt: skip
    if found.ranked_by_density:
        return None
    ranked = rank(truth, found.by_run, source.radii[name])
    return Trial(ranked.scores, ranked.right, found.leave_one_out.astype(np.float64), bool(found.doubts))


def fit(trials: list[Trial], recentre_gain: float | None, measured_on: str) -> SearchConstants | None:
    """Fit the constants; None where too few true particles were found to fit them to.

    References
    ----------
    Platt, Probabilistic outputs for support vector machines, 1999: the correction of log odds.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import, and no other command needs it

    single = [each.scores[each.is_true] for each in trials if not len(each.left_out) and each.is_true.any()]
    true = np.concatenate([np.zeros(0, dtype=bool), *(each.is_true for each in trials)])
    if true.sum() < FEWEST_TRUE or true.all() or not single:
        return None
    means = [float(np.median(scores)) for scores in single]
    within = [float(np.diff(np.percentile(scores, [16, 84]))[0]) / 2 for scores in single]
    given = SearchConstants(
        slope=1.0, offset=0.0, mean_of_one=round(float(np.mean(means)), 3),
        spread_of_mean=round(max(float(np.std(means)), 0.01), 3), spread=round(max(float(np.mean(within)), 0.01), 4),
        recentre_gain=recentre_gain, measured_on=measured_on,
    )  # fmt: skip
    mixture = np.concatenate([mixture_probabilities(each.scores, each.left_out, given) for each in trials])
    odds = logit(np.clip(mixture, SUREST, 1 - SUREST))[:, None]
    fitted = LogisticRegression(C=np.inf).fit(odds, true)
    slope, offset = round(float(fitted.coef_[0, 0]), 3), round(float(fitted.intercept_[0]), 3)
    return SearchConstants(**{**asdict(given), "slope": slope, "offset": offset})


def recentred(index: Index, known: Known, seed: int) -> dict[float | None, float]:
    """Return how far from the true centres examples lie on average, exact ones and clicks, by the gain that moves them.

    Å; None: none is moved.
    """
    run, spacing, stride = known.tomogram.run, known.tomogram.voxel_spacing, index.header.stride
    points = np.concatenate(list(known.points_xyz.values()))
    noise = np.random.default_rng(seed).normal(0, CLICK_VOXELS * spacing, points.shape)
    highest = indices_to_points([np.array(known.tomogram.shape) - 1], spacing)
    given = np.concatenate([points, np.clip(points + noise, 0, highest)])
    cells = voxel_to_cell(points_to_indices(given, spacing), stride)
    truth = np.concatenate([points, points])
    distances: dict[float | None, float] = {None: float(np.linalg.norm(given - truth, axis=1).mean())}
    for gain in GAINS:
        moved = recentre(cells, index.shard(run), angstrom_to_cells(REACH_ANGSTROM, spacing, stride), gain)
        places = indices_to_points(cell_to_voxel(moved, stride), spacing)
        distances[gain] = float(np.linalg.norm(places - truth, axis=1).mean())
    return distances


def best_gain(distances: list[dict[float | None, float]]) -> float | None:
    """Return the gain that brings examples nearest to the true centres; None where moving them takes them away."""
    means = {gain: float(np.mean([each[gain] for each in distances])) for gain in (None, *GAINS)}
    return min(means, key=lambda gain: means[gain])


def describe(specimens: Specimens, num_tomograms: int) -> str:
    """Say in words what was measured on."""
    what = f"{len(specimens.maps)} maps" if specimens.maps else f"{specimens.num_classes} invented assemblies"
    return f"{num_tomograms} simulated tomograms each of {', '.join(specimens.snr)} ice with {what}"
