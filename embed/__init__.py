"""Find a new complex in every tomogram from a few examples: embeddings, an index on disk, a search."""

import logging
from typing import TYPE_CHECKING

from tomoseek.offers import offer  # and tomoseek sets how OpenMP waits, before torch loads it

if TYPE_CHECKING:
    from embed.index import Index

# faiss announces which instruction sets it did not find.
logging.getLogger("faiss").setLevel(logging.WARNING)

__all__ = ["Index"]


# Imported when it is asked for: faiss and scipy take a second, a command's help needs neither.
__getattr__ = offer(__name__, {"Index": "index"})
