"""The index on disk: a folder with ``index.json`` and one folder per run.

Letters: k examples, e embedding dimensions.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from embed.doubts import doubts_of_examples, doubts_of_points
from embed.entry import ENTRY_FILE, ShardEntry, entry_or_none, read_entry
from embed.examples import REACH_ANGSTROM, merge_examples, read_examples
from embed.header import IndexHeader, read_header
from embed.search import Found, search
from embed.shard import Shard, Storage
from embed.surroundings import Surroundings, measure_surroundings
from tomoseek.config import check_resample
from tomoseek.errors import InputError
from tomoseek.files import atomic_write_json
from tomoseek.messages import listed, warn

if TYPE_CHECKING:  # seconds to import, and a search does without them
    import torch

    from tomoseek.network.encoder import Encoder
    from tomoseek.tomograms.tomogram import Tomogram

INDEX_FILE = "index.json"
MOST_OPEN = 256  # shards; each holds a few open files, and nothing of them in memory
RUNS_FOR_SURROUNDINGS = 8


class Frame(NamedTuple):
    """Where points of a run lie: its shape z y x in voxels, and Å per voxel, as its file has them."""

    run: str
    shape: tuple[int, int, int]
    voxel_spacing: float


class Index:
    """A folder of embedded tomograms; embed once, search many times.

    Examples
    --------
    >>> import numpy as np
    >>> from tomoseek import Tomogram
    >>> noise = np.random.default_rng(0).normal(size=(32, 64, 64))
    >>> index = Index.create("index", encoder="random-tiny", device="cpu")
    >>> index.add(Tomogram.from_array(noise, voxel_spacing=10, run="tomo"), progress=False)
    True
    >>> finds = index.search({"tomo": [[320, 320, 160]]}, radius=75, max_picks=3)  # x y z and radius in Å
    >>> finds.picks.to_dataframe().columns.to_list()
    ['run', 'object', 'x', 'y', 'z', 'score']
    """

    def __init__(self, folder: Path, header: IndexHeader, entries: dict[str, ShardEntry]) -> None:
        self.folder = folder
        self.header = header
        self.entries = entries
        self._encoder: Encoder | None = None
        self._device: torch.device | None = None
        self._open: OrderedDict[str, Shard] = OrderedDict()
        self._opening = Lock()
        self._surroundings: Surroundings | None = None

    @classmethod
    def open(cls, folder: str | Path, repairing: bool = False) -> "Index":
        """Open an index that is there.

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
        header = read_header(path)
        read = entry_or_none if repairing else read_entry
        entries = {run: read(folder / run) for run in indexed_runs(folder)}
        return cls(folder, header, {run: entry for run, entry in entries.items() if entry is not None})

    @classmethod
    def create(
        cls,
        folder: str | Path,
        encoder: "str | Path | Encoder" = "shipped",
        *,
        storage: Storage | str = Storage.int8,
        keep_fraction: float = 1.0,
        tile: int = 96,
        overlap: int = 16,
        resample: str | float | None = "auto",
        device: str = "auto",
    ) -> "Index":
        """Start an index, or open the one that was made in this folder in the same way.

        Runs that are damaged count as not there.

        Parameters
        ----------
        folder
            On a local disk.
        encoder
            What embeds: loaded, or its name, folder, file or hub id.
        storage
            How each number is kept: int8 or float16.
        keep_fraction
            Share of each tomogram's cells to keep, the most particle-like first.
        tile, overlap
            Voxels along the edge of a tile, and shared by neighbours.
        resample
            Voxel spacing that tomograms are brought to as they are added: ``auto`` for the one that the encoder knows,
            Å, or None, as they are.
        device
            ``auto``, ``cpu`` or ``cuda``.

        Raises
        ------
        InputError
            If the index there was built by another encoder or with other settings.
        """
        from embed.adding import start_index

        kept = check_resample(resample)
        return start_index(cls, Path(folder), encoder, Storage(storage), keep_fraction, tile, overlap, kept, device)

    def use(self, encoder: "Encoder", device: "torch.device") -> None:
        """Embed what is added with this encoder, which must be the one that the index was made by."""
        self._encoder, self._device = encoder, device

    def add(self, tomogram: "Tomogram", progress: bool = True, batch_size: int = 1) -> bool:
        """Embed a tomogram, unless it is in the index and has not changed; tell whether that was necessary.

        The run appears in the index when it is whole. A run that another process is embedding at this moment is left
        to it.

        Parameters
        ----------
        progress
            Whether to show tiles done and time left.
        batch_size
            Tiles at once; more keeps a GPU busy.
        """
        from embed.adding import add_tomogram, encoder_of

        if self._encoder is None or self._device is None:
            self.use(*encoder_of(self))
        assert self._encoder is not None and self._device is not None
        return add_tomogram(self, self._encoder, tomogram, self._device, batch_size, progress)

    def search(
        self,
        points: Mapping[str, ArrayLike],
        *,
        radius: float,
        name: str = "particle",
        negatives: Mapping[str, ArrayLike] | None = None,
        runs: Sequence[str] | None = None,
        precision: float | None = None,
        threshold: float | None = None,
        max_picks: int = 1000,
        recentre: float = REACH_ANGSTROM,
    ) -> Found:
        """Find particles like a few examples; `embed.search.search` has the same with more settings.

        Parameters
        ----------
        points
            By run, ``(k, 3)`` x y z in Å from the corner of the tomogram.
        radius
            Of the particle, Å.
        name
            What to call the finds.
        negatives
            Likewise: what it is not, though it looks like it.
        runs
            Where to search; all when absent.
        precision
            Wanted share of true picks; absent, the best expected balance of precision and recall.
        threshold
            Instead: the lowest score, on a scale where background is 0 and the mean example 1.
        max_picks
            Most picks per run.
        recentre
            Å; examples may be moved so far onto the particle they mean.

        Raises
        ------
        InputError
            If a run is unknown, a point lies outside its tomogram, or a promise is wanted that nobody can give.

        Warns
        -----
        Where examples lie on nothing, or nothing can be promised of finds in a run.
        """
        reach = min(recentre, radius)
        examples = merge_examples(read_examples(self, value, run, reach) for run, value in points.items())
        unwanted = None
        if negatives:
            unwanted = merge_examples(read_examples(self, value, run, 0.0) for run, value in negatives.items())
        found = search(
            self, examples, radius_angstrom=radius, name=name, negatives=unwanted, runs=runs, precision=precision,
            threshold=threshold, max_picks=max_picks, doubts=doubts_of_examples(self, points),
        )  # fmt: skip
        for doubt in found.doubts:
            warn(f"{doubt}; nothing is promised")
        for doubt in doubts_of_points(self, negatives or {}, "negatives"):
            warn(doubt)
        return found

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
            known = listed(sorted(self.entries), most=8)
            raise InputError(f"run '{run}' is not in index {self.folder}; it holds {known}")
        with self._opening:
            if run not in self._open:
                self._open[run] = Shard.load(self.folder / run, self.entries[run])
                if len(self._open) > MOST_OPEN:
                    self._open.popitem(last=False)
            self._open.move_to_end(run)
            return self._open[run]

    def frame(self, run: str) -> Frame:
        """Say where the points of a run lie."""
        entry = self.entries[run]
        z, y, x = entry.stored_shape
        return Frame(run, (z, y, x), entry.stored_spacing)

    @property
    def frames(self) -> dict[str, Frame]:
        """By run, where its points lie."""
        return {run: self.frame(run) for run in self.entries}

    def surroundings(self, seed: int = 0) -> Surroundings:
        """Look at a few runs, drawn at random, for what the project holds besides any examples."""
        if self._surroundings is None:
            chosen = np.random.default_rng(seed).permutation(sorted(self.entries))[:RUNS_FOR_SURROUNDINGS]
            self._surroundings = measure_surroundings([self.shard(str(run)) for run in chosen], seed)
        return self._surroundings


def indexed_runs(folder: Path) -> list[str]:
    """Return the runs that an index folder holds; what a build is still writing has a dot before its name."""
    return sorted(path.parent.name for path in folder.glob(f"[!.]*/{ENTRY_FILE}"))
