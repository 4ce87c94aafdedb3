"""The index on disk: a folder with ``index.json`` and one shard per run, and the search over it.

Letters: k examples, n cells, e embedding dimensions.
"""

import json
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embed.dense import STRIDE
from embed.prototype import Background, Discriminant, Prototype, fit, leave_one_out, provisional_threshold
from embed.search import Examples, checked_points, particle_floor, similarity_map
from embed.shard import Shard, ShardEntry, Storage
from tomoseek.errors import InputError
from tomoseek.geometry import cell_to_voxel, indices_to_points, points_to_indices, voxel_to_cell
from tomoseek.peaks import find_peaks
from tomoseek.picks import Picks, check_inside
from tomoseek.training import atomic_write_json

FORMAT = 1
INDEX_FILE = "index.json"
MEMORY_FOR_SHARDS = 2_000_000_000


@dataclass(kw_only=True)
class IndexHeader:
    """What holds for every run of an index."""

    format: int
    fingerprint: str
    encoder: str
    encoder_config: dict[str, Any]
    stride: int
    dimension: int
    storage: str
    keep_fraction: float
    tile: int
    overlap: int


@dataclass(frozen=True)
class Found:
    """Answer to a query: picks per run, best first, and what they were found with."""

    picks: dict[str, Picks]
    threshold: float
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
        self._loaded: OrderedDict[str, Shard] = OrderedDict()

    @classmethod
    def open(cls, folder: str | Path) -> "Index":
        """Open an index that ``embed build`` made.

        Raises
        ------
        InputError
            If there is none, it is damaged, or a newer program made it.
        """
        path = Path(folder) / INDEX_FILE
        if not path.is_file():
            raise InputError(f"index: expected {INDEX_FILE} in folder '{folder}', found none; run embed build first")
        try:
            stored = json.loads(path.read_text())
            found = stored["header"]["format"]
            if found != FORMAT:
                raise InputError(f"index {path}: expected format {FORMAT}, found {found}; build the index again")
            header = IndexHeader(**stored["header"])
            entries = {run: ShardEntry(**entry) for run, entry in stored["runs"].items()}
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"index file {path} is damaged ({error}); build the index again") from error
        return cls(Path(folder), header, entries)

    def write(self) -> None:
        """Write ``index.json``; call it after the shards that it names."""
        runs = {run: entry.to_json() for run, entry in self.entries.items()}
        atomic_write_json(self.folder / INDEX_FILE, {"header": asdict(self.header), "runs": runs})

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
        """Load a run's shard, keeping recently used ones in memory."""
        if run not in self.entries:
            raise InputError(f"run '{run}' is not in index {self.folder}; it holds {_listed(self.entries)}")
        if run not in self._loaded:
            self._loaded[run] = Shard.load(self.folder, run, self.entries[run])
            while len(self._loaded) > 1 and self._bytes_loaded() > MEMORY_FOR_SHARDS:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(run)
        return self._loaded[run]

    def _bytes_loaded(self) -> int:
        return sum(shard.num_bytes for shard in self._loaded.values())

    def read_examples(self, points_xyz: ArrayLike, run: str) -> Examples:
        """Read the embedding at points of a run, trilinear between cells.

        Parameters
        ----------
        points_xyz
            ``(k, 3)`` Å.

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
        vectors, logits = shard.interpolate(cells)
        lost = np.flatnonzero(~np.isfinite(vectors).all(1))
        if len(lost):
            raise InputError(
                f"run {run}: example {points[lost[0]].round(1).tolist()} lies where the index kept no cell "
                f"(keep_fraction={self.header.keep_fraction}); build the index with keep_fraction=1"
            )
        return Examples(vectors, logits)

    def background(self, num_vectors: int = 20_000, num_runs: int = 8, seed: int = 0) -> Background:
        """Measure vectors drawn at random from a few runs: nearly all of a tomogram is background."""
        generator = np.random.default_rng(seed)
        names = sorted(self.entries)
        chosen = generator.permutation(names)[:num_runs]
        drawn = []
        for run in chosen:
            shard = self.shard(str(run))
            rows = generator.integers(0, len(shard.cells_zyx), num_vectors // len(chosen))
            drawn.append(shard.read_vectors(np.unique(rows)))
        return Background.of(np.concatenate(drawn))

    def query(
        self,
        points_xyz: ArrayLike,
        *,
        run: str,
        radius_angstrom: float,
        runs: list[str] | None = None,
        threshold: float | None = None,
        max_picks: int = 1000,
    ) -> dict[str, Picks]:
        """Find particles like the ones at ``points_xyz`` (Å) of one run; see `search`."""
        examples = self.read_examples(points_xyz, run)
        return self.search(
            examples, radius_angstrom=radius_angstrom, runs=runs, threshold=threshold, max_picks=max_picks
        ).picks

    def search(
        self,
        examples: Examples,
        *,
        radius_angstrom: float,
        runs: list[str] | None = None,
        threshold: float | None = None,
        max_picks: int = 1000,
        discriminant: Discriminant = Discriminant.cosine,
        particle_margin: float | None = 2.0,
        num_candidates: int = 100_000,
    ) -> Found:
        """Rank every place of the chosen runs by likeness to the examples.

        Parameters
        ----------
        radius_angstrom
            Particle radius; picks keep at least this distance.
        runs
            Runs to search; all when absent.
        threshold
            Lowest score, on a scale where background is 0 and the mean example 1; absent, a provisional one
            from the leave-one-out scores of the examples.
        max_picks
            Most picks per run.
        discriminant
            What the examples are told apart from.
        particle_margin
            Cells whose particle logit lies more than this below the lowest of the examples are left out;
            absent, no cell is. See `particle_floor`.
        num_candidates
            Cells per run that FAISS hands on to the localisation.
        """
        background = self.background()
        prototype = fit(examples.vectors, background, discriminant)
        left_out = leave_one_out(examples.vectors, background, discriminant)
        if threshold is None:
            threshold = provisional_threshold(left_out)
        floor = particle_floor(examples.particle_logit, particle_margin)
        names = sorted(self.entries) if runs is None else runs
        picks = {
            run: self._search_run(run, prototype, radius_angstrom, threshold, max_picks, floor, num_candidates)
            for run in names
        }
        return Found(picks, threshold, left_out, floor)

    def _search_run(
        self,
        run: str,
        prototype: Prototype,
        radius_angstrom: float,
        threshold: float,
        max_picks: int,
        floor: float,
        num_candidates: int,
    ) -> Picks:
        entry = self.entries[run]
        score_map, likeness = similarity_map(self.shard(run), prototype, threshold, floor, num_candidates)
        radius_cells = radius_angstrom / entry.voxel_spacing / self.header.stride
        cells, scores = find_peaks(
            score_map, radius_cells=radius_cells, threshold=threshold, max_peaks=max_picks, shape_map=likeness
        )
        indices = np.clip(cell_to_voxel(cells, self.header.stride), 0, np.array(entry.shape) - 1)
        return Picks(indices_to_points(indices, entry.voxel_spacing), np.asarray(scores, dtype=np.float64))


def new_header(
    *,
    fingerprint: str,
    encoder: str,
    encoder_config: dict[str, Any],
    storage: Storage,
    keep_fraction: float,
    tile: int,
    overlap: int,
) -> IndexHeader:
    """Describe an index about to be built."""
    return IndexHeader(
        format=FORMAT,
        fingerprint=fingerprint,
        encoder=encoder,
        encoder_config=encoder_config,
        stride=STRIDE,
        dimension=int(encoder_config["embedding_dim"]),
        storage=storage.value,
        keep_fraction=keep_fraction,
        tile=tile,
        overlap=overlap,
    )


def _listed(names: Iterable[str], most: int = 8) -> str:
    found = sorted(names)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more or "no run"
