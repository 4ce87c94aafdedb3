"""Find a new complex in every tomogram from a few examples: embeddings, an index on disk, a query."""

import logging

# faiss announces which instruction sets it did not find.
logging.getLogger("faiss").setLevel(logging.WARNING)

from embed.index import Index  # noqa: E402

__all__ = ["Index"]
