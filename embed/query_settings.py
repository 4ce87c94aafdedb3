"""Settings of ``embed query``."""

from dataclasses import dataclass
from typing import Any

from tomoseek.config import DataConfig, PicksConfig
from tomoseek.errors import InputError


@dataclass(kw_only=True, slots=True)
class QueryConfig:
    """Settings of ``embed query`` (``configs/embed_query.yaml``)."""

    data: DataConfig
    tomogram: Any  # a file, or a list of them
    index: str
    encoder: str | None
    points: list[Any] | None
    run: str | None
    examples: Any  # a source, a list of them, or one by object, see `embed.example_sources`
    structure: Any  # a file, the name of a complex, a list of them, or one by object, see `embed.structure.sources`
    negatives: Any
    judged: str | None
    name: str | None
    radius: Any  # Å, or Å by object
    recentre: float
    threshold: float | None
    precision: float | None
    max_picks: int
    rival_weight: float
    particle_margin: float | None
    num_candidates: int
    picture: bool
    picks: PicksConfig
    out_dir: str

    def __post_init__(self) -> None:
        if self.max_picks < 1 or self.num_candidates < 1:
            raise InputError(
                f"max_picks={self.max_picks}, num_candidates={self.num_candidates}: expected at least 1 each"
            )
        if self.precision is not None and self.threshold is not None:
            raise InputError(
                f"threshold={self.threshold}, precision={self.precision}: expected one of them, found both"
            )
        if self.precision is not None and not 0 < self.precision < 1:
            raise InputError(f"precision={self.precision}: expected a share of true picks between 0 and 1")
        if not 0 <= self.recentre < float("inf"):
            raise InputError(f"recentre={self.recentre}: expected how far examples may be moved, in Å, 0 or more")
        if self.rival_weight < 0:
            raise InputError(f"rival_weight={self.rival_weight}: expected 0 or more")
        radii = list(self.radius.values()) if isinstance(self.radius, dict) else [self.radius]
        if self.radius is not None and not all(isinstance(r, int | float) and 0 < r < float("inf") for r in radii):
            raise InputError(
                f"radius={self.radius}: expected the particle radius in Å, more than 0, or {{object: radius, ...}}"
            )
