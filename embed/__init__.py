"""Find a new complex in every tomogram from a few examples: embeddings, an index on disk, a search."""

import logging
from typing import TYPE_CHECKING, Any

import tomoseek  # noqa: F401 - it sets how OpenMP waits, before torch loads it

if TYPE_CHECKING:
    from embed.index import Index

# faiss announces which instruction sets it did not find.
logging.getLogger("faiss").setLevel(logging.WARNING)

__all__ = ["Index"]


def __getattr__(name: str) -> Any:
    """Import the index when it is asked for: faiss and scipy take a second, a command's help needs neither."""
    if name == "Index":
        from embed.index import Index

        return Index
    raise AttributeError(f"module 'embed' has no attribute '{name}'")
