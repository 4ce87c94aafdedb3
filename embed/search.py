"""The search: rank every place of the indexed tomograms by likeness to the examples, and say what to expect.

Letters: n candidates, e embedding dimensions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from embed.by_density import ByDensity, by_density
from embed.doubts import UNCALIBRATED, doubts_of_runs
from embed.examples import Examples
from embed.misled import misled_about_dense_places, misled_by_particle_score, unlike_measured
from embed.promise import LOWEST_SCORE, Cutoff, choose_cutoff, expected_at, probabilities
from embed.prototype import RIVAL_WEIGHT, Prototype, fit, leave_one_out
from embed.score_map import PARTICLE_MARGIN, RENDERED_MARGIN, lowest_logit, similarity_map
from embed.threads import in_threads
from tomoseek.errors import InputError
from tomoseek.geometry import angstrom_to_cells, cell_to_voxel, clip_inside, indices_to_points
from tomoseek.picks.peaks import find_peaks
from tomoseek.picks.pick_set import PickSet
from tomoseek.picks.points import Picks

if TYPE_CHECKING:
    from embed.index import Frame, Index
    from embed.shard import Shard

MOST_CANDIDATES = 5000  # places per run
MOST_CELLS = 30_000  # cells per run that FAISS hands on to the localisation

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Found:
    """Answer to a search for one kind of particle.

    Attributes
    ----------
    candidates
        By run, every place that could be one, best first.
    probability
        By run, of each candidate how likely it is what the examples are; None where nothing is promised.
    num_picked
        By run, how many of the candidates, from the best on, are picks.
    cutoff
        The threshold of the picks and what is expected of them.
    prototype
        What cells were compared with.
    leave_one_out
        Each example scored by the others, by whatever ranks.
    least_logit
        Lowest particle logit that was searched.
    name, radius
        Of what is looked for; Å.
    frames
        Where the points of each run lie.
    doubts
        Why nothing is promised; none where something is.
    density
        What ranks instead of the prototype where the particle score misleads, see `embed.by_density`.
    """

    candidates: dict[str, Picks]
    probability: dict[str, Floats] | None
    num_picked: dict[str, int]
    cutoff: Cutoff
    prototype: Prototype
    leave_one_out: Floats
    least_logit: float
    name: str
    radius: float
    frames: "list[Frame]"
    doubts: tuple[str, ...] = ()
    density: ByDensity | None = None

    @property
    def ranked_by_density(self) -> bool:
        """Whether density ranks."""
        return self.density is not None

    @property
    def by_run(self) -> dict[str, Picks]:
        """The picks of each run, best first."""
        return {
            run: Picks(each.points_xyz[: self.num_picked[run]], each.scores[: self.num_picked[run]])
            for run, each in self.candidates.items()
        }

    @property
    def ranked(self) -> tuple[Floats, Floats]:
        """Scores ``(n,)`` of the candidates of all runs, and their probabilities, which must be known."""
        assert self.probability is not None
        scores = [each.scores for each in self.candidates.values()]
        return np.concatenate([*scores, np.zeros(0)]), np.concatenate([*self.probability.values(), np.zeros(0)])

    @property
    def picks(self) -> PickSet:
        """The picks, to be handed on as table, CSV, star file or layers of a viewer."""
        picks = {(run, self.name): each for run, each in self.by_run.items()}
        return PickSet(picks, {self.name: self.radius}, self.frames)

    def without(self, given_up: dict[str, NDArray[np.bool_]]) -> "Found":
        """Leave picks out of the answer, and out of what is expected of it.

        Parameters
        ----------
        given_up
            By run, for each pick whether it goes.
        """
        candidates, probability, num_picked = dict(self.candidates), dict(self.probability or {}), dict(self.num_picked)
        for run, goes in given_up.items():
            stays = np.ones(len(candidates[run]), dtype=bool)
            stays[: len(goes)] = ~goes
            candidates[run] = Picks(candidates[run].points_xyz[stays], candidates[run].scores[stays])
            num_picked[run] -= int(goes.sum())
            if self.probability is not None:
                probability[run] = probability[run][stays]
        known = probability if self.probability is not None else None
        left = replace(self, candidates=candidates, probability=known, num_picked=num_picked)
        return left if known is None else replace(left, cutoff=expected_at(self.cutoff.threshold, *left.ranked))


def search(
    index: "Index",
    examples: Examples,
    *,
    radius_angstrom: float,
    name: str = "particle",
    runs: Sequence[str] | None = None,
    threshold: float | None = None,
    precision: float | None = None,
    max_picks: int = 1000,
    rival_weight: float = RIVAL_WEIGHT,
    negatives: Examples | None = None,
    particle_margin: float | None = PARTICLE_MARGIN,
    num_candidates: int = MOST_CELLS,
    doubts: Sequence[str] = (),
    rendered: Examples | None = None,
) -> Found:
    """Rank every place of the chosen runs by likeness to the examples.

    Parameters
    ----------
    radius_angstrom
        Particle radius; picks keep at least this distance.
    name
        What to call the finds.
    runs
        Runs to search; all when absent.
    threshold
        Lowest score, on a scale where background is 0 and the mean example 1; absent, it follows from
        ``precision``.
    precision
        Wanted share of true picks; absent, the best expected balance of precision and recall. See
        `embed.promise.choose_cutoff`.
    max_picks
        Most picks per run.
    rival_weight, negatives
        See `embed.prototype.fit`.
    particle_margin
        Cells whose particle logit lies more than this below the lowest of the examples are left out;
        absent, no cell is. See `embed.score_map.lowest_logit`. Where the particle score misleads, see
        `embed.misled`, neither it nor rivals, which rest on it, are used: see
        `embed.by_density`.
    num_candidates
        Most cells per run that FAISS hands on to the localisation.
    doubts
        What speaks against the examples, see `embed.doubts`. Then nothing is promised, and neither is it where
        something speaks against a run that is searched; the threshold is chosen as if it were.
    rendered
        Those of the examples that are renderings of a structure, if any.

    Raises
    ------
    InputError
        If a precision is wanted of an encoder that was not calibrated, which ranks and promises nothing.
    """
    constants = index.header.constants
    if precision is not None and constants is None:
        raise InputError(
            f"precision={precision}: expected an index of a calibrated encoder, found {index.header.encoder}, which "
            "was not and promises nothing; run embed calibrate and embed build again, or give threshold=..."
        )
    names = sorted(index.entries) if runs is None else list(runs)
    surroundings = index.surroundings()
    against, said = list(doubts), None
    if particle_margin is not None:
        said = misled_by_particle_score(index, names, examples)
        if said is None and rendered is not None:
            said = misled_about_dense_places(index, names, rendered, radius_angstrom)
    misled = said is not None
    if said is not None:
        particle_margin, rival_weight = None, 0.0
        against.append(said)
    elif constants is not None and (unfamiliar := unlike_measured(index, names, examples)):
        against.append(unfamiliar)
    unwanted = None if negatives is None else negatives.vectors
    prototype = fit(examples.vectors, surroundings, rival_weight, unwanted)
    left_out = leave_one_out(examples.vectors, surroundings, rival_weight, unwanted)
    density = None
    if misled:
        density = by_density(index, examples, prototype, left_out, names, radius_angstrom)
        if rendered is not None:  # to the encoder the tomogram's own particles look little like renderings here
            density = replace(density, least_likeness=-np.inf)
        left_out = density.leave_one_out
    least_logit = lowest_logit(examples.particle_logit, particle_margin)
    if rendered is not None and particle_margin is not None:
        least_logit = float(examples.particle_logit.min()) - RENDERED_MARGIN
    lowest = LOWEST_SCORE if threshold is None else min(threshold, LOWEST_SCORE)
    most = max(max_picks, MOST_CANDIDATES)
    against = list(dict.fromkeys([*against, *doubts_of_runs(index, names)])) if constants else [UNCALIBRATED]
    candidates = rank(index, prototype, radius_angstrom, names, lowest, least_logit, most, num_candidates, density)
    scores = np.concatenate([each.scores for each in candidates.values()] or [np.zeros(0)])
    probability = None
    if constants is None:
        cutoff = Cutoff(lowest if threshold is None else threshold, None, None)
    else:
        likely = probabilities(scores, left_out, constants)
        lengths = [len(each) for each in candidates.values()]
        probability = dict(zip(candidates, np.split(likely, np.cumsum(lengths)[:-1]), strict=True)) if lengths else {}
        if threshold is None:
            cutoff = choose_cutoff(scores, likely, precision)
        else:
            cutoff = expected_at(threshold, scores, likely)
        if against:
            probability, cutoff = None, Cutoff(cutoff.threshold, None, None)
    num_picked = {
        run: int((each.scores[:max_picks] >= cutoff.threshold).sum()) for run, each in candidates.items()
    }  # best first
    frames = [index.frame(run) for run in names]
    return Found(
        candidates, probability, num_picked, cutoff, prototype, left_out, least_logit, name, radius_angstrom, frames,
        tuple(against), density,
    )  # fmt: skip


def rank(
    index: "Index", prototype: Prototype, radius_angstrom: float, runs: list[str], lowest: float,
    least_logit: float = -np.inf, max_picks: int = MOST_CANDIDATES, num_candidates: int = MOST_CELLS,
    density: ByDensity | None = None,
) -> dict[str, Picks]:  # fmt: skip
    """Return for each run the places that score at least ``lowest``, best first, by density if given; see `search`."""
    stride = index.header.stride

    def rank_run(run: str) -> Picks:
        entry, shard = index.entries[run], index.shard(run)
        score_map, shape_map = maps_of(shard, prototype, lowest, least_logit, num_candidates, density)
        radius_cells = angstrom_to_cells(radius_angstrom, entry.voxel_spacing, stride)
        cells, scores = find_peaks(
            score_map, radius_cells=radius_cells, threshold=lowest, max_peaks=max_picks, shape_map=shape_map
        )
        if density is not None:
            possible = density.may_be(shard, cells)
            cells, scores = cells[possible], scores[possible]
        points = indices_to_points(cell_to_voxel(cells, stride), entry.voxel_spacing)
        return Picks(clip_inside(points, *index.frame(run)[1:]), np.asarray(scores, dtype=np.float64))

    return dict(zip(runs, in_threads(rank_run, runs), strict=True))


def maps_of(
    shard: "Shard", prototype: Prototype, lowest: float, least_logit: float, num_candidates: int = MOST_CELLS,
    density: ByDensity | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # fmt: skip
    """Return two ``(z, y, x)`` maps of a run, scores and what shapes a peak: see `rank` and `similarity_map`."""
    if density is None:
        return similarity_map(shard, prototype, lowest, least_logit, num_candidates)
    score_map = density.score_map(shard, lowest)
    return score_map, score_map
