"""A trained picker on disk: one folder with all weights and everything predict has to know."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from finetune.calibration import Calibration
from finetune.decoder import Decoder, Picker
from finetune.labels import Labels
from finetune.settings import TrainConfig
from finetune.sources import DESCRIPTION, WEIGHTS, find_checkpoint
from finetune.state import TrainingState
from finetune.validate import Validation
from tomoseek.errors import InputError
from tomoseek.files import atomic_path, atomic_write_json
from tomoseek.network.encoder import Encoder, EncoderConfig


@dataclass(kw_only=True, slots=True)
class Description:
    """Everything but the weights (``finetune.json``).

    Attributes
    ----------
    radii
        Class name to radius in Å; its order is the order of the heatmaps.
    thresholds
        Class name to the least score of a pick, a probability: the one of the best F4.
    balanced
        The same of the best F1; empty in what earlier versions wrote.
    threshold_runs
        Runs on which calibration and thresholds were chosen, see ``LabelledRun.seen``.
    training_runs
        Runs whose labels trained the weights.
    voxel_spacing
        Å, of the tomograms it was trained on.
    model
        Sizes of the encoder.
    decoder_channels
        Width of the decoder at stride 4 and stride 2.
    provenance
        Settings, encoder, validation scores: to be read, not needed to predict.
    calibration
        Class name to how its heatmap values become probabilities.
    """

    radii: dict[str, float]
    thresholds: dict[str, float]
    threshold_runs: list[dict[str, Any]]
    training_runs: list[dict[str, Any]]
    voxel_spacing: float
    model: dict[str, Any]
    decoder_channels: list[int]
    provenance: dict[str, Any]
    calibration: dict[str, Calibration]
    balanced: dict[str, float] = field(default_factory=dict)

    @property
    def seen_runs(self) -> list[dict[str, Any]]:
        """Runs that must not be scored: used for weights or thresholds."""
        return [*self.training_runs, *(run for run in self.threshold_runs if run not in self.training_runs)]


def describe(
    config: TrainConfig, labels: Labels, result: Validation, state: TrainingState, picker: Picker,
    before: Description | None = None,
) -> Description:  # fmt: skip
    """Describe what a training has reached.

    Parameters
    ----------
    config, labels
        What it was asked for, and learned from.
    result
        Of the validation at its end.
    state, picker
        Where it ended, and the network that is saved.
    before
        Of the picker it went on from, if any: what that one has seen, this one has seen too.
    """
    project = str(Path(config.data.project or "").resolve())
    return Description(
        radii=labels.radii,
        thresholds=result.thresholds,
        threshold_runs=[run.seen(project) for run in labels.judging],
        training_runs=[*(before.training_runs if before else []), *(run.seen(project) for run in labels.training)],
        voxel_spacing=labels.training[0].tomogram.voxel_spacing,
        model=dataclasses.asdict(picker.encoder.config),
        decoder_channels=picker.decoder.channels,
        provenance={
            "num_steps": state.step,
            "thresholds_held_out": bool(labels.held_out),
            "validation": {"weighted_f4": result.weighted_f4, "classes": result.f4},
            "resampled_from": {
                run.name: run.tomogram.stored.voxel_spacing
                for run in labels.training + labels.held_out
                if run.tomogram.stored is not run.tomogram
            },
            "settings": state.settings,
        },
        calibration=result.calibration,
        balanced=result.balanced,
    )


def build_picker(model: EncoderConfig, num_classes: int, decoder_channels: list[int]) -> Picker:
    """Build an untrained picker of the given sizes."""
    return Picker(Encoder(model), Decoder(model, num_classes, decoder_channels))


def save_checkpoint(folder: Path, picker: Picker, description: Description) -> None:
    """Write ``finetune.safetensors`` and ``finetune.json``; each appears only once it is whole."""
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file({key: value.detach().cpu().contiguous() for key, value in picker.state_dict().items()}, temporary)
    atomic_write_json(folder / DESCRIPTION, dataclasses.asdict(description))


def export_checkpoint(source: str | Path, folder: Path, told: dict[str, Any] | None = None) -> None:
    """Write a picker to ship or share: weights in half precision, and no paths of this machine.

    Parameters
    ----------
    source
        See `find_checkpoint`.
    folder
        Gets the two files.
    told
        More of its provenance.
    """
    picker, description = load_checkpoint(source, torch.device("cpu"))
    content = _without_paths(dataclasses.asdict(description))
    content["provenance"] |= told or {}
    with atomic_path(folder / WEIGHTS) as temporary:
        weights = {key: value.half().contiguous() for key, value in picker.state_dict().items()}
        save_file(weights, temporary)
        temporary.chmod(0o644)  # safetensors lets nobody but the owner read it
    atomic_write_json(folder / DESCRIPTION, content)


def _without_paths(value: Any) -> Any:
    """Keep of every absolute path its last part."""
    if isinstance(value, dict):
        return {key: _without_paths(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_paths(each) for each in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def load_description(source: str | Path) -> Description:
    """Read ``finetune.json`` of the picker that ``source`` names (`find_checkpoint`).

    Raises
    ------
    InputError
        If it is missing or damaged.
    """
    path = find_checkpoint(source) / DESCRIPTION
    try:
        content = json.loads(path.read_text())
        calibration = {name: Calibration(**values) for name, values in content.pop("calibration").items()}
        return Description(**content, calibration=calibration)
    except (json.JSONDecodeError, TypeError, AttributeError, KeyError) as error:
        raise InputError(f"checkpoint: '{path}' is damaged or of another version ({error}); train again") from error


def load_checkpoint(source: str | Path, device: torch.device) -> tuple[Picker, Description]:
    """Read the picker that ``source`` names (`find_checkpoint`), in eval mode and float32, and its description.

    Raises
    ------
    InputError
        If a file is missing or damaged, or the two do not fit together.
    """
    folder = find_checkpoint(source)
    description = load_description(folder)
    if not (folder / WEIGHTS).is_file():
        raise InputError(f"checkpoint: expected {WEIGHTS} in folder '{folder}', found none; copy the whole folder")
    try:
        picker = build_picker(EncoderConfig(**description.model), len(description.radii), description.decoder_channels)
        picker.load_state_dict(load_file(folder / WEIGHTS))
    except (TypeError, ValueError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"checkpoint: '{folder}' is damaged or of another version ({reason}); train again") from error
    return picker.eval().to(device), description
