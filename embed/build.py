"""``embed build``: tomograms into an index, one run after the other, each kept as soon as it is whole.

Any number of builders share the work, on one machine or many: each claims a run before it embeds it.
"""

from dataclasses import dataclass

from embed.adding import drop_runs
from embed.dense import check_tile
from embed.index import Index, indexed_runs
from embed.shard import Storage
from tomoseek.config import DataConfig
from tomoseek.errors import InputError
from tomoseek.failures import Failures
from tomoseek.messages import listed, warn
from tomoseek.running import pick_device
from tomoseek.tomograms.copick_tomograms import find_tomograms


@dataclass(kw_only=True, slots=True)
class BuildConfig:
    """Settings of ``embed build`` (``configs/embed_build.yaml``)."""

    data: DataConfig
    encoder: str
    index: str
    storage: Storage
    keep_fraction: float
    tile: int
    overlap: int
    batch_size: int
    device: str

    def __post_init__(self) -> None:
        check_tile(self.tile, self.overlap)
        if not 0 < self.keep_fraction <= 1:
            raise InputError(f"keep_fraction={self.keep_fraction}: expected more than 0 and at most 1")


def run(config: BuildConfig) -> None:
    """Embed every tomogram that the index does not hold yet; of several processes, each its share.

    Raises
    ------
    IncompleteError
        When some tomograms could not be read; all others are in the index then.
    """
    from accelerate import PartialState
    from accelerate.utils import gather_object

    processes = PartialState(cpu=pick_device(config.device).type == "cpu")
    device = str(processes.device) if processes.num_processes > 1 else config.device
    failures = Failures()
    tomograms = find_tomograms(config.data, failures)
    if not tomograms:
        failures.finish(0)
    index = Index.create(
        config.index, config.encoder, storage=config.storage, keep_fraction=config.keep_fraction, tile=config.tile,
        overlap=config.overlap, resample=config.data.resample, device=device,
    )  # fmt: skip
    for tomogram in tomograms[processes.process_index :: processes.num_processes]:
        with failures.of(tomogram.run):
            index.add(tomogram, batch_size=config.batch_size)
    for reasons in gather_object([failures.reasons]):
        failures.reasons.update(reasons)
    if processes.is_main_process:
        names = {tomogram.run for tomogram in tomograms}
        if config.data.runs is None:
            drop_runs(index.folder, set(indexed_runs(index.folder)) - names - set(failures.reasons))
        report(Index.open(index.folder), names - set(failures.reasons))
    processes.destroy_process_group()
    if processes.is_main_process:
        failures.finish(len({tomogram.run for tomogram in tomograms} - set(failures.reasons)))


def report(index: Index, names: set[str]) -> None:
    """Say what the index holds and what it still lacks."""
    entries = index.entries.values()
    num_vectors, num_bytes = sum(entry.num_vectors for entry in entries), sum(entry.num_bytes for entry in entries)
    print(
        f"index {index.folder}: {len(entries)} runs, {num_vectors:,} vectors of {index.header.dimension}, "
        f"{num_bytes / 1e6:.1f} MB ({num_bytes / 1e6 / max(len(entries), 1):.1f} MB per tomogram)"
    )
    if missing := sorted(names - set(index.entries)):
        warn(f"another builder still has {listed(missing)}; the index lacks them until it is done")
