"""What speaks against a promise: tomograms unlike those that it was measured on, examples that lie on nothing."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from embed.entry import ShardEntry
from embed.header import IndexHeader
from embed.misled import tells_particles
from tomoseek.config import Polarity
from tomoseek.geometry import indices_to_points, is_familiar, lacks_detail, points_to_indices, voxel_to_cell
from tomoseek.messages import listed
from tomoseek.picks.readings import Score, judge_points
from tomoseek.tomograms.polarity import contradiction

if TYPE_CHECKING:
    from embed.index import Index

UNCALIBRATED = "the encoder was not calibrated: run embed calibrate for it, then embed build again"
REACH_ANGSTROM = 25.0  # around a point, within which a particle may be
CORNER = 0.2  # of each side of a volume: where points in voxels lie, if taken for Å
FEWEST_IN_CORNER = 2


def unpromising(entry: ShardEntry, header: IndexHeader) -> str | None:
    """Say why nothing can be promised of finds in a run; None where nothing speaks against it."""
    stated = Polarity.dark if entry.contrast[2] < 0 else Polarity.bright
    if entry.polarity_seen not in (None, stated.value):
        return contradiction(Polarity(entry.polarity_seen), stated)
    known = header.encoder_config.get("voxel_spacing")
    if known is None:
        return None
    if not is_familiar(entry.voxel_spacing, known):
        return f"embedded at {entry.voxel_spacing:g} Å per voxel, and the encoder learned at {known:g} Å"
    if lacks_detail(entry.stored_spacing, known):
        return f"{entry.stored_spacing:g} Å per voxel lack the detail that the encoder learned from at {known:g} Å"
    return None


def doubts_of_runs(index: "Index", runs: Iterable[str]) -> list[str]:
    """Say of which runs no finds can be promised, each reason once."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for run in runs:
        if run in index.entries and (reason := unpromising(index.entries[run], index.header)):
            by_reason[reason].append(run)
    return [f"{'run' if len(names) == 1 else 'runs'} {listed(names)}: {reason}" for reason, names in by_reason.items()]


def doubts_of_points(index: "Index", points: Mapping[str, ArrayLike], what: str) -> list[str]:
    """Say which points do not look like particles, and what they look like instead.

    With an encoder that was not calibrated nobody can say it, except of points in one small corner.

    Parameters
    ----------
    points
        By run, ``(k, 3)`` x y z in Å, inside the tomogram.
    what
        What to call them: ``examples``.
    """
    doubts = []
    for run, value in points.items():
        if run not in index.entries:
            continue  # who reads them says so
        called, frame = f"{what} of run {run}", index.frame(run)
        given = np.asarray(value, dtype=np.float64).reshape(-1, 3)
        verdict = None
        if index.header.constants is not None and tells_particles(index.shard(run)):
            verdict = judge_points(given, particle_score(index, run), frame.shape, frame.voxel_spacing)
            if said := verdict.sentence(called):
                doubts.append(said)
        in_corner = in_one_corner(given, frame.shape, frame.voxel_spacing)
        if in_corner and (verdict is None or verdict.better is None):
            doubts.append(f"all {len(given)} {called} lie in one corner of it, as voxels would: give x y z in Å")
    return doubts


def doubts_of_examples(index: "Index", points: Mapping[str, ArrayLike], searched: Iterable[str] | None) -> list[str]:
    """Say what speaks against examples: where they lie, and the runs that they lie in, unless those are searched too.

    Parameters
    ----------
    points
        By run, ``(k, 3)`` x y z in Å.
    searched
        The runs that are searched, of which `embed.search.search` says it; None: all.
    """
    others = set() if searched is None else set(points) - set(searched)
    return [*doubts_of_runs(index, sorted(others)), *doubts_of_points(index, points, "examples")]


def particle_score(index: "Index", run: str) -> Score:
    """Return what scores ``(m, 3)`` points of a run, Å: the highest particle logit on them and 25 Å around."""
    shard, entry, stride = index.shard(run), index.entries[run], index.header.stride
    around = REACH_ANGSTROM * np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)])

    def score(points_xyz: NDArray[np.float64]) -> NDArray[np.float32]:
        places = (points_xyz[:, None] + around).reshape(-1, 3)
        logits = shard.interpolate_logit(voxel_to_cell(points_to_indices(places, entry.voxel_spacing), stride))
        return np.asarray(np.nan_to_num(logits, nan=-np.inf).reshape(-1, len(around)).max(axis=1))

    return score


def in_one_corner(points_xyz: NDArray[np.float64], shape_zyx: tuple[int, ...], voxel_spacing: float) -> bool:
    """Tell whether all of several points lie in the corner of a volume that voxels lie in, if taken for Å."""
    far = indices_to_points([shape_zyx], voxel_spacing)[0]
    return len(points_xyz) >= FEWEST_IN_CORNER and bool((points_xyz <= CORNER * far).all())
