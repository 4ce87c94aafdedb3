"""Zarr of format 3 (OME-Zarr 0.5), shown to zarr 2 as format 2: metadata are translated, chunks found and handed on."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zarr.storage import Store

from tomoseek.errors import InputError
from tomoseek.messages import listed

METADATA = "zarr.json"
_ARRAY, _GROUP, _ATTRIBUTES = ".zarray", ".zgroup", ".zattrs"
_TYPES = {"bool", "float16", "float32", "float64"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
_SHUFFLES = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}
_EMPTY = 2**64 - 1  # offset of an inner chunk that was never written
_CHECKSUM_BYTES = 4  # CRC-32C, which is taken off and not compared: Python has none
_MOST_INDICES = 256


class Version3Store(Store):  # type: ignore[misc] # zarr 2 has no types
    """A folder of zarr format 3, read as one of format 2.

    Arrays may be sharded: an inner chunk is read by itself, from where the index of its shard says.

    Parameters
    ----------
    fs
        File system, as fsspec has it.
    root
        The folder on it.

    Raises
    ------
    InputError
        On reading, when an array has a type, a grid or a codec that format 2 does not know.
    """

    def __init__(self, fs: Any, root: str) -> None:
        self.fs, self.root = fs, root.rstrip("/")
        self._metadata: dict[str, dict[str, Any] | None] = {}
        self._layouts: dict[str, _Layout] = {}
        self._indices: dict[str, NDArray[np.uint64] | None] = {}

    def __getitem__(self, key: str) -> bytes:
        folder, _, last = key.rpartition("/")
        if last not in (_ARRAY, _GROUP, _ATTRIBUTES):
            return self._chunk(folder, last)
        metadata = self._node(folder)
        if metadata is None or ((last == _ARRAY) != (metadata["node_type"] == "array") and last != _ATTRIBUTES):
            raise KeyError(key)
        if last == _ATTRIBUTES:
            attributes = dict(metadata.get("attributes") or {})
            attributes |= attributes.get("ome") or {}
            if names := metadata.get("dimension_names"):
                attributes["_ARRAY_DIMENSIONS"] = names
            return json.dumps(attributes).encode()
        return json.dumps(self._layout(folder).metadata if last == _ARRAY else {"zarr_format": 2}).encode()

    def __contains__(self, key: object) -> bool:
        try:
            self[str(key)]
        except KeyError:
            return False
        return True

    def listdir(self, path: str = "") -> list[str]:
        """List what lies in a folder of the store."""
        return sorted(each.rstrip("/").rsplit("/", 1)[-1] for each in self.fs.ls(self._path(path), detail=False))

    def __iter__(self) -> Iterator[str]:
        raise NotImplementedError("a store of zarr format 3 is not walked through")

    def __len__(self) -> int:
        raise NotImplementedError("a store of zarr format 3 is not counted")

    def __setitem__(self, key: str, value: Any) -> None:
        raise NotImplementedError("zarr format 3 is only read")

    def __delitem__(self, key: str) -> None:
        raise NotImplementedError("zarr format 3 is only read")

    def _path(self, *parts: str) -> str:
        return "/".join((self.root, *(part for part in parts if part)))

    def _node(self, folder: str) -> dict[str, Any] | None:
        """Read what format 3 says of a group or an array, None where there is none."""
        if folder not in self._metadata:
            try:
                found = json.loads(self.fs.cat_file(self._path(folder, METADATA)))
            except FileNotFoundError:
                found = None
            self._metadata[folder] = found if isinstance(found, dict) and "node_type" in found else None
        return self._metadata[folder]

    def _layout(self, folder: str) -> "_Layout":
        if folder not in self._layouts:
            metadata = self._node(folder)
            if metadata is None or metadata["node_type"] != "array":
                raise KeyError(folder)
            self._layouts[folder] = _Layout(metadata, self._path(folder))
        return self._layouts[folder]

    def _chunk(self, folder: str, name: str) -> bytes:
        """Read a chunk, by its name in format 2: ``3.0.1``."""
        layout = self._layout(folder)
        place = tuple(int(number) for number in name.split("."))
        path = self._path(folder, layout.file_of(place))
        try:
            if layout.per_shard is None:
                return layout.without_checksum(bytes(self.fs.cat_file(path)))
            index = self._index(path, layout)
            if index is None:
                raise KeyError(name)
            inner = tuple(at % num for at, num in zip(place, layout.per_shard, strict=True))
            offset, length = (int(number) for number in index[inner])
            if offset == _EMPTY:
                raise KeyError(name)
            return layout.without_checksum(bytes(self.fs.cat_file(path, start=offset, end=offset + length)))
        except FileNotFoundError as error:
            raise KeyError(name) from error

    def _index(self, path: str, layout: "_Layout") -> NDArray[np.uint64] | None:
        """Read where the inner chunks of a shard lie: ``(*per_shard, 2)`` offsets and lengths, None of no shard."""
        if path not in self._indices:
            assert layout.per_shard is not None
            size = math.prod(layout.per_shard) * 16
            whole = size + layout.index_checksum
            try:
                span = {"start": 0, "end": whole} if layout.index_first else {"start": -whole}
                found = self.fs.cat_file(path, **span)
            except FileNotFoundError:
                found = None
            if len(self._indices) >= _MOST_INDICES:
                self._indices.clear()
            self._indices[path] = (
                None if found is None else np.frombuffer(found[:size], dtype="<u8").reshape(*layout.per_shard, 2)
            )
        return self._indices[path]


class _Layout:
    """How the chunks of one array are named, packed and, where there are shards, put together."""

    def __init__(self, metadata: Mapping[str, Any], source: str) -> None:
        self._source = source
        if metadata["chunk_grid"]["name"] != "regular" or metadata.get("storage_transformers"):
            raise self._unknown("chunks of one size, stored as they are", metadata["chunk_grid"]["name"])
        if metadata["data_type"] not in _TYPES:
            raise self._unknown("a type of plain numbers", metadata["data_type"])
        chunks = list(metadata["chunk_grid"]["configuration"]["chunk_shape"])
        codecs = list(metadata["codecs"])
        self.per_shard: tuple[int, ...] | None = None
        if codecs and codecs[0]["name"] == "sharding_indexed":
            if codecs[1:]:
                raise self._unknown("shards that are stored as they are", codecs[1]["name"])
            inner = codecs[0]["configuration"]
            self.per_shard = tuple(a // b for a, b in zip(chunks, inner["chunk_shape"], strict=True))
            chunks, codecs = list(inner["chunk_shape"]), list(inner["codecs"])
            names = [codec["name"] for codec in inner["index_codecs"]]
            if names[:1] != ["bytes"] or names[1:] not in ([], ["crc32c"]):
                raise self._unknown("an index of plain bytes", listed(names))
            self.index_checksum = _CHECKSUM_BYTES * len(names[1:])
            self.index_first = inner.get("index_location", "end") == "start"
        encoding = metadata["chunk_key_encoding"]
        self._is_default = encoding["name"] == "default"
        self._separator = encoding.get("configuration", {}).get("separator", "/" if self._is_default else ".")
        if self._separator not in ("/", "."):
            raise self._unknown("names of chunks with / or .", str(self._separator))
        order, endian, packers = "C", "<", []
        self._has_checksum = bool(codecs) and codecs[-1]["name"] == "crc32c"
        for codec in codecs[: len(codecs) - self._has_checksum]:
            settings = codec.get("configuration") or {}
            if codec["name"] == "transpose":
                order = self._order(list(settings["order"]))
            elif codec["name"] == "bytes":
                endian = ">" if settings.get("endian") == "big" else "<"
            else:
                packers.append(self._packer(codec["name"], settings))
        self.metadata = {
            "zarr_format": 2,
            "shape": metadata["shape"],
            "chunks": chunks,
            "dtype": np.dtype(metadata["data_type"]).newbyteorder(endian).str,
            "fill_value": metadata["fill_value"],
            "order": order,
            "filters": packers[:-1] or None,
            "compressor": packers[-1] if packers else None,
            "dimension_separator": ".",
        }

    def file_of(self, place: tuple[int, ...]) -> str:
        """Return the name of the file that holds a chunk."""
        if self.per_shard is not None:
            place = tuple(at // num for at, num in zip(place, self.per_shard, strict=True))
        parts = [str(number) for number in place]
        name: str = self._separator.join(["c", *parts] if self._is_default else parts)
        return name

    def without_checksum(self, chunk: bytes) -> bytes:
        """Take the checksum, if there is one, from the end of a chunk."""
        return chunk[:-_CHECKSUM_BYTES] if self._has_checksum else chunk

    def _order(self, order: list[int]) -> str:
        if order == sorted(order):
            return "C"
        if order == sorted(order, reverse=True):
            return "F"
        raise self._unknown("chunks in the order of C or Fortran", f"transpose {order}")

    def _packer(self, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Translate a codec from bytes to bytes."""
        if name in ("gzip", "zstd"):
            return {"id": name, **settings}
        if name == "blosc":
            shuffle = _SHUFFLES[settings.get("shuffle", "noshuffle")]
            return {"id": name, "cname": settings["cname"], "clevel": settings["clevel"], "shuffle": shuffle}
        if name in ("numcodecs.zlib", "numcodecs.bz2", "numcodecs.lzma", "numcodecs.lz4"):
            return {"id": name.removeprefix("numcodecs."), **settings}
        raise self._unknown("a codec among blosc, gzip and zstd", name)

    def _unknown(self, expected: str, found: str) -> InputError:
        return InputError(
            f"expected {expected} in {self._source} (zarr format 3), found {found}: write the tomogram anew as "
            "OME-Zarr 0.4, or as MRC"
        )
