"""A trained picker in Python: load it once, pick in any number of tomograms."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import nn

from finetune.calibration import calibrate
from finetune.checkpoint import Description
from finetune.detect import DetectConfig, find_particles, keep_above, one_per_site
from finetune.ensemble import load_ensemble
from finetune.sources import SHIPPED
from tomoseek.config import CONFIG_DIR, check_resample
from tomoseek.errors import InputError
from tomoseek.geometry import lacks_detail
from tomoseek.messages import warn
from tomoseek.picks.pick_set import PickSet
from tomoseek.running import pick_device
from tomoseek.tomograms.polarity import looks_inverted
from tomoseek.tomograms.tomogram import Tomogram


def load_picker(checkpoint: str | Path | Iterable[str | Path] = SHIPPED, device: str = "auto") -> "TrainedPicker":
    """Load the picker that comes with the package, or what ``finetune train`` wrote::

        picker = load_picker("shipped")  # or "runs/finetune"
        found = picker.pick(open_tomogram("TS_1.mrc"))
        found.to_csv("TS_1.csv")

    Parameters
    ----------
    checkpoint
        ``shipped``, the picker of the six challenge complexes; a folder that ``finetune train`` wrote; or several of
        them, which are averaged and told on the scale of the first.
    device
        ``auto`` (the GPU when there is one), ``cpu`` or ``cuda``.

    Raises
    ------
    InputError
        If a file is missing or damaged, or the classes, radii or voxel spacings of several checkpoints differ.
    """
    sources = [checkpoint] if isinstance(checkpoint, str | Path) else list(checkpoint)
    if not sources:
        raise InputError("checkpoint: expected at least one folder that finetune train wrote, found none; name one")
    where = pick_device(device)
    network, description = load_ensemble(sources, where)
    return TrainedPicker(network, description, where)


BALANCE = "balance"  # in place of thresholds


class TrainedPicker:
    """Finds the classes it learned in whole tomograms; `load_picker` makes one.

    Parameters
    ----------
    network
        In eval mode, on ``device``.
    description
        What belongs to it.
    device
        Where it runs.

    Attributes
    ----------
    radii
        Class name to radius, Å.
    thresholds
        Class name to the least score of a pick, a probability: that of the best F4, which forgives false picks.
    balanced
        The same of the best F1, the balance of precision and recall.
    voxel_spacing
        Å, of the tomograms it learned from.
    seen_runs
        Runs that chose its weights or thresholds, on which it reads too well.
    """

    def __init__(self, network: nn.Module, description: Description, device: torch.device) -> None:
        self._network, self._calibration, self._device = network, description.calibration, device
        self.radii = dict(description.radii)
        self.thresholds = dict(description.thresholds)
        self.balanced = dict(description.balanced)
        self.voxel_spacing = description.voxel_spacing
        self.seen_runs = description.seen_runs

    def __repr__(self) -> str:
        return f"TrainedPicker({', '.join(self.radii)} at {self.voxel_spacing:g} Å)"

    @property
    def classes(self) -> list[str]:
        """Names of what it finds."""
        return list(self.radii)

    def pick(
        self, tomogram: Tomogram, thresholds: Mapping[str, float] | str | None = None, one_per_site: bool = False,
        resample: str | float | None = "auto", **detect: Any,
    ) -> PickSet:  # fmt: skip
        """Search a tomogram; as ``finetune predict`` does, but nothing is written.

        Parameters
        ----------
        tomogram
            Volume to search.
        thresholds
            Least score of a pick by class, those not named as in the checkpoint; or ``balance``, for fewer false picks.
        one_per_site
            Of picks of different classes in one place, keep only the most probable.
        resample
            Voxel spacing it is brought to first: ``auto`` for the one the picker learned at, Å, or None, as it is.
        detect
            How to search, by the names under ``detect`` in ``configs/finetune_predict.yaml``, as ``flips=True``;
            what is not named is as it stands there.

        Returns
        -------
        Picks of every class, best first, points x y z in Å; scores are probabilities.

        Raises
        ------
        InputError
            If the voxel spacing is another in the end, or a threshold is of no class or below what candidates reach.
        """
        config = detect_config(detect)
        tomogram = tomogram.resampled(check_resample(resample), self.voxel_spacing)
        least = self.choose_thresholds(thresholds, config.min_score)
        return self.select(self.candidates(tomogram, config), least, one_per_site)

    def candidates(self, tomogram: Tomogram, config: DetectConfig) -> PickSet:
        """Search a tomogram for all that reaches ``config.min_score`` of the heatmap; scores are probabilities.

        Raises
        ------
        InputError
            If the voxel spacing is another than the one the picker learned at.
        """
        self.check_spacing(tomogram)
        if contradiction := looks_inverted(tomogram):
            warn(contradiction)
        if lacks_detail(tomogram.stored.voxel_spacing, self.voxel_spacing):
            warn(
                f"run {tomogram.run}: {tomogram.stored.voxel_spacing:g} Å per voxel lack the detail that the picker "
                f"learned from at {self.voxel_spacing:g} Å: scores are no probabilities here"
            )
        heatmap_peaks = find_particles(tomogram, self._network, self.radii, config, self._device)
        found = calibrate(heatmap_peaks, self._calibration)
        return PickSet({(tomogram.run, name): found[name] for name in self.radii}, self.radii, [tomogram.stored])

    def select(self, candidates: PickSet, thresholds: Mapping[str, float], unrivalled: bool = False) -> PickSet:
        """Keep the candidates of one tomogram that reach their class's threshold, and of rivals the most probable."""
        picks = keep_above({name: each for (_, name), each in candidates.items()}, thresholds)
        if unrivalled:
            picks = one_per_site(picks, self.radii)
        kept = {(run, name): picks[name] for run, name in candidates}
        return PickSet(kept, self.radii, candidates.tomograms.values())

    def check_spacing(self, tomogram: Tomogram) -> None:
        """Refuse a tomogram in which particles look larger or smaller than the picker knows them.

        Raises
        ------
        InputError
            If its voxel spacing is another.
        """
        if mismatch := tomogram.unfamiliar_spacing(self.voxel_spacing, "the picker"):
            raise InputError(f"{mismatch}: leave data.resample at auto, or train at its spacing")

    def choose_thresholds(self, override: Mapping[str, float] | str | None, min_score: float) -> dict[str, float]:
        """Return each class's threshold: the checkpoint's for F4, or with ``balance`` for F1, unless overridden.

        Raises
        ------
        InputError
            If an override names a class the checkpoint does not know, or lies below what ``min_score``, a value of
            the heatmap, is as a score: candidates between the two are not there.
        """
        thresholds = dict(self.thresholds)
        if override == BALANCE and self.balanced:
            return dict(self.balanced)
        if override is not None and not isinstance(override, Mapping):
            offered = f"{BALANCE}, or " if self.balanced else ""
            raise InputError(f"thresholds: expected {offered}a mapping {{class: least score}}, found '{override}'")
        for name, value in (override or {}).items():
            if name not in thresholds:
                raise InputError(f"thresholds: '{name}' is no class of the checkpoint; known: {', '.join(thresholds)}")
            least = float(self._calibration[name](min_score))
            if not least <= value <= 1:
                raise InputError(
                    f"thresholds.{name}: expected between {least:.2g}, the score at detect.min_score = {min_score}, "
                    f"and 1, found {value}"
                )
            thresholds[name] = float(value)
        return thresholds


def detect_config(changes: Mapping[str, Any]) -> DetectConfig:
    """Return how ``finetune predict`` searches, with some settings changed.

    Raises
    ------
    InputError
        If there is no such setting.
    """
    stored = OmegaConf.to_container(OmegaConf.load(CONFIG_DIR / "finetune_predict.yaml").detect)
    assert isinstance(stored, dict)
    settings = {str(key): value for key, value in stored.items()}
    unknown = changes.keys() - settings.keys()
    if unknown:
        raise InputError(f"expected settings of the search ({', '.join(settings)}), found {', '.join(sorted(unknown))}")
    return DetectConfig(**{**settings, **changes})
