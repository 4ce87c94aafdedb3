"""From example vectors to a search direction, its score scale and a provisional threshold.

Letters: k examples, e embedding dimensions.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.floating[Any]]


class Discriminant(Enum):
    """What the examples are told apart from: nothing, the mean of the background, or its whole covariance."""

    cosine = "cosine"
    centred = "centred"
    whitened = "whitened"


@dataclass(frozen=True)
class Background:
    """Mean ``(e,)`` and covariance ``(e, e)`` of vectors drawn at random from the index."""

    mean: Vectors
    covariance: Vectors

    @classmethod
    def of(cls, vectors: Vectors) -> "Background":
        """Measure ``(n, e)`` vectors."""
        return cls(vectors.mean(0), np.atleast_2d(np.cov(vectors.astype(np.float64), rowvar=False)))


@dataclass(frozen=True)
class Prototype:
    """A linear score ``scale * <vector, direction> + offset``: 0 for mean background, 1 for the example."""

    direction: Vectors
    scale: float
    offset: float

    def score(self, vectors: Vectors) -> Vectors:
        """Score ``(n, e)`` vectors."""
        return self.from_product(vectors @ self.direction)

    def from_product(self, product: Vectors) -> Vectors:
        """Turn inner products with ``direction``, as FAISS returns them, into scores."""
        return self.scale * product + self.offset


def fit(examples: Vectors, background: Background, discriminant: Discriminant, shrinkage: float = 0.1) -> Prototype:
    """Fit a prototype to ``(k, e)`` unit vectors.

    The score stays linear in the stored vector, so an inner-product index answers it exactly. With *whitened*
    the direction is Fisher's linear discriminant between the mean example and the background.

    Parameters
    ----------
    shrinkage
        How far the background covariance is drawn towards a multiple of the identity.
    """
    mean = examples.mean(0)
    mean = mean / np.linalg.norm(mean)
    difference = mean - background.mean
    if discriminant is Discriminant.cosine:
        direction = mean
    elif discriminant is Discriminant.centred:
        direction = difference
    else:
        dimension = len(mean)
        covariance = background.covariance
        ridge = np.trace(covariance) / dimension + 1e-12
        shrunk = (1 - shrinkage) * covariance + shrinkage * ridge * np.eye(dimension)
        direction = np.linalg.solve(shrunk, difference)
    direction = (direction / max(float(np.linalg.norm(direction)), 1e-12)).astype(np.float32)
    reach = float(difference @ direction)
    scale = 1.0 / reach if reach > 1e-6 else 1.0
    return Prototype(direction, scale, -scale * float(background.mean @ direction))


def leave_one_out(examples: Vectors, background: Background, discriminant: Discriminant) -> Vectors:
    """Score each of ``(k, e)`` examples by a prototype of the others; empty for fewer than two."""
    if len(examples) < 2:
        return np.zeros(0, dtype=np.float32)
    scores = [
        fit(np.delete(examples, i, axis=0), background, discriminant).score(examples[i : i + 1])[0]
        for i in range(len(examples))
    ]
    return np.array(scores, dtype=np.float32)


def provisional_threshold(left_out: Vectors, single: float = 0.9, margin: float = 0.95) -> float:
    """Return ``margin`` times the median leave-one-out score, or ``single`` where there is only one example.

    Provisional: it follows from the examples alone and has not been calibrated to a precision.
    """
    return float(max(0.0, margin * float(np.quantile(left_out, 0.5)))) if len(left_out) else single
