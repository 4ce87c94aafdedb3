"""Which runs carry labels, of which classes, and which of them are held out."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tomoseek.config import DataConfig, PicksConfig
from tomoseek.errors import InputError
from tomoseek.failures import Failures
from tomoseek.messages import warn
from tomoseek.picks.copick_picks import read_picks
from tomoseek.picks.peaks import suppress
from tomoseek.picks.points import check_inside
from tomoseek.tomograms.copick_tomograms import find_tomograms
from tomoseek.tomograms.part import Segmentation
from tomoseek.tomograms.polarity import check_usable
from tomoseek.tomograms.project import object_radii, open_project
from tomoseek.tomograms.tomogram import Tomogram

Points = npt.NDArray[np.float64]

OWN_USER = "tomoseek"
FEW = 10
SAME_PARTICLE = 0.25


@dataclass(slots=True)
class LabelledRun:
    """A tomogram and its labels: per class ``(n, 3)`` points, x y z in Å."""

    tomogram: Tomogram
    points_xyz: dict[str, Points]

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.tomogram.run

    def seen(self, project: str) -> dict[str, Any]:
        """Return what a checkpoint remembers of this run, so that evaluate can recognise it."""
        return {"run": self.name, "project": project, "labels": label_digests(self.points_xyz)}


@dataclass(slots=True)
class Labels:
    """What a training learns from, and what it is judged by.

    Attributes
    ----------
    training
        Runs that train the weights.
    held_out
        Runs that do not.
    radii
        Class name to radius in Å; its order is the order of the heatmaps.
    """

    training: list[LabelledRun]
    held_out: list[LabelledRun]
    radii: dict[str, float]

    @property
    def judging(self) -> list[LabelledRun]:
        """Runs on which thresholds are chosen: those held out, or for want of them those of the training."""
        return self.held_out or self.training

    def resampled(self, resample: str | float | None, known: float) -> "Labels":
        """Return the same with tomograms at the voxel spacing of a network, see `Tomogram.resampled`."""
        training, held_out = (
            [LabelledRun(run.tomogram.resampled(resample, known), run.points_xyz) for run in runs]
            for runs in (self.training, self.held_out)
        )
        return Labels(training, held_out, self.radii)


def label_digests(points_xyz: dict[str, Points]) -> dict[str, str]:
    """Hash each class's labels (to 0.1 Å): they give a run away under another name or in another folder."""
    rows = {
        name: sorted(tuple(int(value) for value in row) for row in np.rint(points * 10))
        for name, points in points_xyz.items()
        if len(points)
    }
    return {name: hashlib.sha256(repr(row).encode()).hexdigest()[:16] for name, row in rows.items()}


def read_labels(
    root: Any,
    run_name: str,
    classes: list[str],
    picks: PicksConfig,
    radii: dict[str, float],
    finders: Sequence[str] = (OWN_USER,),
) -> dict[str, Points]:
    """Read one run's labels; a particle that two people picked counts once.

    Parameters
    ----------
    root
        Open copick project.
    run_name
        Run to read.
    classes
        Object names.
    picks
        Whose picks.
    radii
        Radius of each class, Å: two picks of a class nearer than a quarter of it are one particle.
    finders
        Users whose picks are no labels, unless ``picks`` names one of them.
    """
    excluded = finders if picks.user_id is None else ()
    labels: dict[str, Points] = {}
    for name in classes:
        points = read_picks(root, run_name, name, picks.user_id, picks.session_id, excluded).points_xyz
        kept = suppress(points, np.ones(len(points)), SAME_PARTICLE * radii[name])
        labels[name] = points[np.sort(kept)]
    return labels


def find_labelled_runs(
    data: DataConfig, wanted: list[str] | None, picks: PicksConfig
) -> tuple[list[LabelledRun], dict[str, float]]:
    """Return the runs that carry labels and the radius of every class with at least one label.

    Raises
    ------
    InputError
        If no run that can be read carries a label, a wanted class has none, or a label lies outside its tomogram.
    """
    if data.project is None:
        raise InputError("data.project: expected a copick config, found nothing; give data.project=path/to/copick.json")
    root = open_project(data.project)
    radii = object_radii(root, wanted)
    runs = []
    failures = Failures()
    for tomogram in find_tomograms(data, failures):
        labels = read_labels(root, tomogram.run, list(radii), picks, radii)
        for name, points in labels.items():
            check_inside(points, tomogram.shape, tomogram.voxel_spacing, f"{name} in run {tomogram.run}")
            if isinstance(tomogram.part, Segmentation):
                labels[name] = points[tomogram.part.holds(points)]
        if any(map(len, labels.values())):
            with failures.of(tomogram.run):
                check_usable(tomogram)
                runs.append(LabelledRun(tomogram, labels))
        else:
            warn(f"run {tomogram.run} has no labels and is left out")
    failures.warn_of_rest(len(runs))
    if not runs:
        whose = f"user_id={picks.user_id}, session_id={picks.session_id}"
        raise InputError(
            f"picks: expected labels ({whose}; null: any but {OWN_USER}) of {', '.join(radii) or 'a class'}, "
            f"found none in {data.project}; pick some particles, or change picks.user_id / picks.session_id"
        )
    counts = {name: sum(len(run.points_xyz[name]) for run in runs) for name in radii}
    empty = [name for name, count in counts.items() if not count]
    if wanted is not None and empty:
        labelled = ", ".join(name for name, count in counts.items() if count)
        raise InputError(f"classes: no labels of {', '.join(empty)}; classes with labels: {labelled}")
    for name, count in counts.items():
        if 0 < count < FEW:
            warn(f"only {count} labels of {name}: expect it to be found unreliably")
    for run in runs:
        run.points_xyz = {name: points for name, points in run.points_xyz.items() if counts[name]}
    return runs, {name: radius for name, radius in radii.items() if counts[name]}


def split_runs(
    runs: list[LabelledRun], validation_runs: list[str] | None
) -> tuple[list[LabelledRun], list[LabelledRun]]:
    """Split into training and validation runs; with ``None`` the last quarter (at least one) is held out.

    Raises
    ------
    InputError
        If a validation run is not among the labelled runs, or no run is left to train on.
    """
    names = [run.name for run in runs]
    if validation_runs is None:
        num_held_out = max(1, len(runs) // 4) if len(runs) > 1 else 0
        validation_runs = names[len(runs) - num_held_out :]
    for name in validation_runs:
        if name not in names:
            raise InputError(f"validation_runs: '{name}' is no labelled run; labelled: {', '.join(names)}")
    training = [run for run in runs if run.name not in validation_runs]
    if not training:
        raise InputError("validation_runs: every labelled run is held out, none is left to train on; name fewer")
    return training, [run for run in runs if run.name in validation_runs]
