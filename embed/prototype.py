"""From example vectors to a score of likeness.

Letters: k examples, n vectors, r rivals, e embedding dimensions.
"""

from dataclasses import dataclass

import numpy as np

from embed.surroundings import Surroundings, Vectors

RIVAL_WEIGHT = 0.3
NEGATIVE_WEIGHT = 0.3
TOO_ALIKE = 0.9


@dataclass(frozen=True)
class Prototype:
    """Likeness to the mean example, less a share of likeness to the nearest rival, on a scale of its own.

    Attributes
    ----------
    direction
        ``(e,)``: unit vector of the mean example, less a share of that of the mean negative.
    rivals
        ``(r, e)`` unit vectors of what else the project holds; r may be 0.
    rival_weight
        The share.
    scale, offset
        Make the score 0 for the mean background and 1 for the mean example; the scale is above 0.
    """

    direction: Vectors
    rivals: Vectors
    rival_weight: float
    scale: float
    offset: float

    def likeness(self, vectors: Vectors) -> Vectors:
        """Compare ``(n, e)`` vectors, in units of the cosine."""
        own: Vectors = vectors @ self.direction
        if not len(self.rivals):
            return own
        nearest: Vectors = (vectors @ self.rivals.T).max(1)
        return own - self.rival_weight * nearest

    def score(self, vectors: Vectors) -> Vectors:
        """Score ``(n, e)`` vectors."""
        return self.scale * self.likeness(vectors) + self.offset

    def at_least(self, score: float) -> tuple[Vectors, float]:
        """Return a direction ``(e,)`` and the lowest product with it of any vector that scores so much.

        The nearest rival is no farther than the mean one, whose likeness is linear: an inner product, which FAISS
        ranks by, bounds the score from above.
        """
        direction = self.direction
        if len(self.rivals):
            direction = direction - self.rival_weight * self.rivals.mean(0)
        return np.asarray(direction, dtype=np.float32), (score - self.offset) / self.scale


def fit(
    examples: Vectors,
    surroundings: Surroundings,
    rival_weight: float = RIVAL_WEIGHT,
    negatives: Vectors | None = None,
    too_alike: float = TOO_ALIKE,
) -> Prototype:
    """Fit a prototype to ``(k, e)`` unit vectors.

    Parameters
    ----------
    negatives
        ``(m, e)`` unit vectors of what is not looked for, though it looks like it.
    rival_weight
        How much likeness to a rival costs; 0 leaves the plain cosine with the mean example.
    too_alike
        Rivals nearer to the mean example than this share of an ordinary example are left out: they may be the very
        particles that are looked for.
    """
    direction = mean_direction(examples)
    ordinary = float(np.median(examples @ direction))
    apart = surroundings.rivals @ direction < too_alike * ordinary
    if negatives is not None and len(negatives):
        direction = direction - NEGATIVE_WEIGHT * mean_direction(negatives)
    raw = Prototype(direction, surroundings.rivals[apart if rival_weight else []], rival_weight, 1.0, 0.0)
    low, high = (float(raw.likeness(vectors).mean()) for vectors in (surroundings.background, examples))
    scale = 1.0 / (high - low) if high - low > 1e-6 else 1.0
    return Prototype(direction, raw.rivals, rival_weight, scale, -scale * low)


def mean_direction(vectors: Vectors) -> Vectors:
    """Return the unit vector ``(e,)`` of the mean of ``(n, e)``."""
    mean = vectors.mean(0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), dtype=np.float32)


def leave_one_out(
    examples: Vectors,
    surroundings: Surroundings,
    rival_weight: float = RIVAL_WEIGHT,
    negatives: Vectors | None = None,
) -> Vectors:
    """Score each of ``(k, e)`` examples by a prototype of the others; empty for fewer than two."""
    if len(examples) < 2:
        return np.zeros(0, dtype=np.float32)
    scores = [
        fit(np.delete(examples, i, axis=0), surroundings, rival_weight, negatives).score(examples[i : i + 1])[0]
        for i in range(len(examples))
    ]
    return np.array(scores, dtype=np.float32)
