"""What holds for every run of an index: the encoder and the settings that built it."""

from dataclasses import dataclass
from typing import Any

from embed.dense import STRIDE
from embed.shard import Storage

FORMAT = 1


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
