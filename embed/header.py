"""What holds for every run of an index: the encoder and the settings that built it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embed.shard import Storage
from tomoseek.errors import InputError
from tomoseek.network.search_constants import SearchConstants
from tomoseek.network.strides import EMBEDDING_STRIDE

if TYPE_CHECKING:
    from tomoseek.network.encoder import Encoder

FORMAT = 5


@dataclass(kw_only=True)
class IndexHeader:
    """What ``index.json`` records.

    Attributes
    ----------
    fingerprint, encoder, encoder_config
        Of the encoder: its weights, the words that load it, its sizes.
    stride
        Voxels along the edge of a cell.
    dimension
        Numbers in a vector.
    storage, keep_fraction, tile, overlap
        How the tomograms were embedded.
    resample
        What voxel spacing they were brought to before: ``auto`` for that of the encoder, Å, or None, as they were.
    constants
        What a search may promise with this encoder; None where nobody measured it.
    """

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
    resample: str | float | None
    constants: SearchConstants | None = None


def new_header(
    encoder: "Encoder",
    source: str,
    *,
    storage: Storage = Storage.int8,
    keep_fraction: float = 1.0,
    tile: int = 96,
    overlap: int = 16,
    resample: str | float | None = "auto",
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
        resample=resample,
        constants=encoder.search_constants,
    )


def read_header(path: Path) -> IndexHeader:
    """Read ``index.json``.

    Raises
    ------
    InputError
        If it is damaged, or another version wrote it.
    """
    try:
        stored = json.loads(path.read_text())
        found = stored.get("format", 1)
        if found != FORMAT:
            raise InputError(f"index {path}: expected format {FORMAT}, found {found}; build it in another folder")
        constants = stored.pop("constants")
        return IndexHeader(**stored, constants=None if constants is None else SearchConstants(**constants))
    except (json.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
        raise InputError(f"index file {path} is damaged ({error}); build the index in another folder") from error
