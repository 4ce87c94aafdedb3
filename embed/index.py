"""The index on disk: a folder with ``index.json`` and one folder per run, and the search over them.

Letters: k examples, n cells, e embedding dimensions.
"""

import json
from collections import OrderedDict
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embed.entry import ENTRY_FILE, ShardEntry, entry_or_none, read_entry
from embed.header import FORMAT, IndexHeader
from embed.promise import LOWEST_SCORE, Cutoff, choose_cutoff, expected_at, probabilities
from embed.prototype import RIVAL_WEIGHT, Prototype, fit, leave_one_out
from embed.recentre import REACH_ANGSTROM, recentre
from embed.search import PARTICLE_MARGIN, Examples, checked_points, particle_floor, similarity_map
from embed.shard import Shard
from embed.surroundings import Surroundings, measure_surroundings
from embed.threads import in_threads
from tomoseek.errors import InputError
from tomoseek.files import atomic_write_json
from tomoseek.geometry import angstrom_to_cells, cell_to_voxel, indices_to_points, points_to_indices, voxel_to_cell
from tomoseek.messages import listed
from tomoseek.picks.peaks import find_peaks
from tomoseek.picks.points import Picks, check_inside

INDEX_FILE = "index.json"
MOST_OPEN = 256  # shards; each holds a few open files, and nothing of them in memory
RUNS_FOR_SURROUNDINGS = 8
MOST_CANDIDATES = 5000
NUM_CANDIDATES = 30_000


@dataclass(frozen=True)
class Found:
    """Answer to a query: picks per run, best first, and what they were found with.

    Attributes
    ----------
    picks
        Per run.
    cutoff
        The threshold of the picks and what is expected of them.
    ranked
        Scores of all candidates, and for each the probability that it is what the examples are.
    prototype
        What cells were compared with.
    leave_one_out
        Each example scored by the others.
    particle_floor
        Lowest particle logit that was searched.
    """

    picks: dict[str, Picks]
    cutoff: Cutoff
    ranked: tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]
    prototype: Prototype
    leave_one_out: NDArray[np.floating[Any]]
    particle_floor: float


class Index:
    """A folder of embedded tomograms; embed once, query many times.

    >>> index = Index.open("index")                                                   # doctest: +SKIP
    >>> picks = index.query([[1250.0, 830.0, 410.0]], run="TS_1", radius_angstrom=75) # doctest: +SKIP
    """

    def __init__(self, folder: Path, header: IndexHeader, entries: dict[str, ShardEntry]) -> None:
        self.folder = folder
        self.header = header
        self.entries = entries
        self._open: OrderedDict[str, Shard] = OrderedDict()
        self._opening = Lock()
        self._surroundings: Surroundings | None = None

    @classmethod
    def open(cls, folder: str | Path, repairing: bool = False) -> "Index":
        """Open an index that ``embed build`` made.

        Parameters
        ----------
        repairing
            Leave out runs that cannot be read, instead of raising.

        Raises
        ------
        InputError
            If there is none, it is damaged, or a newer program made it.
        """
        folder = Path(folder)
        path = folder / INDEX_FILE
        if not path.is_file():
            raise InputError(f"index: expected {INDEX_FILE} in folder '{folder}', found none; run embed build first")
        try:
            stored = json.loads(path.read_text())
            found = stored.get("format", 1)
            if found != FORMAT:
                raise InputError(f"index {path}: expected format {FORMAT}, found {found}; build it in another folder")
            header = IndexHeader(**stored)
        except (json.JSONDecodeError, AttributeError, TypeError) as error:
            raise InputError(f"index file {path} is damaged ({error}); build the index in another folder") from error
        read = entry_or_none if repairing else read_entry
        entries = {run: read(folder / run) for run in indexed_runs(folder)}
        return cls(folder, header, {run: entry for run, entry in entries.items() if entry is not None})

    def write_header(self) -> None:
        """Write ``index.json``."""
        atomic_write_json(self.folder / INDEX_FILE, asdict(self.header))

    def check_encoder(self, found: str, source: str) -> None:
        """Check that an encoder is the one that built the index.

        Parameters
        ----------
        found
            Fingerprint of the encoder.
        source
            What to call it.

        Raises
        ------
        InputError
            If it is another.
        """
        if self.header.fingerprint != found:
            raise InputError(
                f"index {self.folder}: expected the encoder that built it ({self.header.encoder}, "
                f"fingerprint {self.header.fingerprint}), found {source} ({found}); give that one, or another "
                "index folder"
            )

    def shard(self, run: str) -> Shard:
        """Open a run's shard, keeping recently used ones open."""
        if run not in self.entries:
            raise InputError(f"run '{run}' is not in index {self.folder}; it holds {listed(sorted(self.entries))}")
        with self._opening:
            if run not in self._open:
                self._open[run] = Shard.load(self.folder / run, self.entries[run])
                if len(self._open) > MOST_OPEN:
                    self._open.popitem(last=False)
            self._open.move_to_end(run)
            return self._open[run]

    def read_examples(self, points_xyz: ArrayLike, run: str, reach_angstrom: float = REACH_ANGSTROM) -> Examples:
        """Read the embedding at points of a run, trilinear between cells, after moving them onto their particles.

        Parameters
        ----------
        points_xyz
            ``(k, 3)`` Å.
        reach_angstrom
            How far a point may be moved, see `embed.recentre`; 0 takes it as it is.

        Raises
        ------
        InputError
            If the run is unknown, a point is not finite or outside its tomogram, or no cell near it was
            kept.
        """
        shard = self.shard(run)
        entry = self.entries[run]
        points = checked_points(points_xyz, run)
        z, y, x = entry.shape
        check_inside(points, (z, y, x), entry.voxel_spacing, f"example points of run {run}")
        cells = voxel_to_cell(points_to_indices(points, entry.voxel_spacing), self.header.stride)
        cells = recentre(cells, shard, angstrom_to_cells(reach_angstrom, entry.voxel_spacing, self.header.stride))
        vectors, logits = shard.interpolate(cells)
        lost = np.flatnonzero(~np.isfinite(vectors).all(1))
        if len(lost):
            raise InputError(
                f"run {run}: example {points[lost[0]].round(1).tolist()} lies where the index kept no cell "
                f"(keep_fraction={self.header.keep_fraction}); build the index with keep_fraction=1"
            )
        return Examples(vectors, logits)

    def surroundings(self, seed: int = 0) -> Surroundings:
        """Look at a few runs, drawn at random, for what the project holds besides any examples."""
        if self._surroundings is None:
            chosen = np.random.default_rng(seed).permutation(sorted(self.entries))[:RUNS_FOR_SURROUNDINGS]
            self._surroundings = measure_surroundings([self.shard(str(run)) for run in chosen], seed)
        return self._surroundings

    def query(
        self,
        points_xyz: ArrayLike,
        *,
        run: str,
        radius_angstrom: float,
        runs: list[str] | None = None,
        threshold: float | None = None,
        precision: float | None = None,
        max_picks: int = 1000,
    ) -> dict[str, Picks]:
        """Find particles like the ones at ``points_xyz`` (Å) of one run; see `search`."""
        examples = self.read_examples(points_xyz, run, min(REACH_ANGSTROM, radius_angstrom))
        found = self.search(
            examples, radius_angstrom=radius_angstrom, runs=runs, threshold=threshold, precision=precision,
            max_picks=max_picks,
        )  # fmt: skip
        return found.picks

    def search(
        self,
        examples: Examples,
        *,
        radius_angstrom: float,
        runs: list[str] | None = None,
        threshold: float | None = None,
        precision: float | None = None,
        max_picks: int = 1000,
        rival_weight: float = RIVAL_WEIGHT,
        negatives: Examples | None = None,
        particle_margin: float | None = PARTICLE_MARGIN,
        num_candidates: int = NUM_CANDIDATES,
    ) -> Found:
        """Rank every place of the chosen runs by likeness to the examples.

        Parameters
        ----------
        radius_angstrom
            Particle radius; picks keep at least this distance.
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
            absent, no cell is. See `particle_floor`.
        num_candidates
            Most cells per run that FAISS hands on to the localisation.
        """
        surroundings = self.surroundings()
        unwanted = None if negatives is None else negatives.vectors
        prototype = fit(examples.vectors, surroundings, rival_weight, unwanted)
        left_out = leave_one_out(examples.vectors, surroundings, rival_weight, unwanted)
        floor = particle_floor(examples.particle_logit, particle_margin)
        lowest = LOWEST_SCORE if threshold is None else min(threshold, LOWEST_SCORE)
        names = sorted(self.entries) if runs is None else runs
        most = max(max_picks, MOST_CANDIDATES)
        candidates = self.rank(prototype, radius_angstrom, names, lowest, floor, most, num_candidates)
        scores = np.concatenate([found.scores for found in candidates.values()] or [np.zeros(0)])
        probability = probabilities(scores, left_out)
        if threshold is None:
            cutoff = choose_cutoff(scores, probability, precision)
        else:
            cutoff = expected_at(threshold, scores, probability)
        picks = {}
        for run, found in candidates.items():
            kept = found.scores[:max_picks] >= cutoff.threshold  # best first
            picks[run] = Picks(found.points_xyz[:max_picks][kept], found.scores[:max_picks][kept])
        return Found(picks, cutoff, (scores, probability), prototype, left_out, floor)

    def rank(
        self, prototype: Prototype, radius_angstrom: float, runs: list[str], lowest: float, floor: float = -np.inf,
        max_picks: int = MOST_CANDIDATES, num_candidates: int = NUM_CANDIDATES,
    ) -> dict[str, Picks]:  # fmt: skip
        """Return for each run the places that score at least ``lowest``, best first; the rest as for `search`."""

        def rank_run(run: str) -> Picks:
            entry = self.entries[run]
            score_map, likeness = similarity_map(self.shard(run), prototype, lowest, floor, num_candidates)
            radius_cells = angstrom_to_cells(radius_angstrom, entry.voxel_spacing, self.header.stride)
            cells, scores = find_peaks(
                score_map, radius_cells=radius_cells, threshold=lowest, max_peaks=max_picks, shape_map=likeness
            )
            indices = np.clip(cell_to_voxel(cells, self.header.stride), 0, np.array(entry.shape) - 1)
            return Picks(indices_to_points(indices, entry.voxel_spacing), np.asarray(scores, dtype=np.float64))

        return dict(zip(runs, in_threads(rank_run, runs), strict=True))


def indexed_runs(folder: Path) -> list[str]:
    """Return the runs that an index folder holds; what a build is still writing has a dot before its name."""
    return sorted(path.parent.name for path in folder.glob(f"[!.]*/{ENTRY_FILE}"))
