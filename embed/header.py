"""What holds for every run of an index: the encoder and the settings that built it."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from embed.shard import Storage
from tomoseek.network.strides import EMBEDDING_STRIDE

if TYPE_CHECKING:
    from tomoseek.network.encoder import Encoder

FORMAT = 2


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


def new_header(
    encoder: "Encoder",
    source: str,
    *,
    storage: Storage = Storage.int8,
    keep_fraction: float = 1.0,
    tile: int = 96,
    overlap: int = 16,
) -> IndexHeader:
    """Describe an index about to be built.

    Parameters
    ----------
    encoder
        What embeds.
    source
        Where it came from: the words that load it again.
    """
    from tomoseek.network.weights import fingerprint  # slow to import, and `embed query` imports this file

    return IndexHeader(
        format=FORMAT,
        fingerprint=fingerprint(encoder),
        encoder=source,
        encoder_config=asdict(encoder.config),
        stride=EMBEDDING_STRIDE,
        dimension=int(encoder.config.embedding_dim),
        storage=storage.value,
        keep_fraction=keep_fraction,
        tile=tile,
        overlap=overlap,
    )
