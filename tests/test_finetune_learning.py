"""Crops carry their labels, and the asked part of the encoder learns, at its own rate."""

import numpy as np
import pytest
import torch

from finetune.crops import CropSampler
from finetune.decoder import HEATMAP_STRIDE
from finetune.labels import LabelledRun
from finetune.settings import TrainConfig
from finetune.start import fresh_picker
from finetune.unfreeze import Unfreeze, parameter_groups
from tomoseek.command_line import compose_settings
from tomoseek.complexes import Complex
from tomoseek.tomograms.copick_tomograms import add_tomogram, find_tomograms
from tomoseek.tomograms.project import create_project

SIZE = (32, 40, 48)
RADII = {"ball": 60.0, "shell": 80.0}


def settings(*words: str) -> TrainConfig:
    return compose_settings("finetune_train", TrainConfig, ("crops.size=[32,32,32]", *words))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of faint noise with one bright voxel at every ball, the second without any shell."""
    folder = tmp_path_factory.mktemp("project")
    root = create_project(folder, [Complex(name=name, radius_angstrom=radius) for name, radius in RADII.items()])
    points = {"one": {"ball": [[16, 16, 16]], "shell": [[16, 16, 36]]}, "two": {"ball": [[12, 30, 14]], "shell": []}}
    for number, (name, by_class) in enumerate(points.items()):
        volume = 0.01 * np.random.default_rng(number).standard_normal(SIZE).astype(np.float32)
        for place in by_class["ball"]:
            volume[tuple(place)] = -100.0
        add_tomogram(root, name, "wbp", 10.0, volume)
    data = settings(f"data.project={folder / 'copick.json'}").data
    return [
        LabelledRun(tomogram, {k: np.reshape(v, (-1, 3))[:, ::-1] * 10.0 for k, v in points[tomogram.run].items()})
        for tomogram in find_tomograms(data)
    ]


def sampler(runs: list[LabelledRun], *words: str) -> CropSampler:
    config = settings("augment.noise=0", "augment.intensity_shift=0", "augment.intensity_scale=0", *words)
    return CropSampler(runs, RADII, config.crops, config.augment, 2, 0.3, config.mask_absent_classes, seed=0)


@pytest.mark.parametrize(
    ("words", "bright"), [((), 7), (("augment.max_rotation_degrees=20", "augment.max_scale=0.1"), 4)]
)
def test_every_ball_of_a_crop_lies_where_its_label_says(runs, words, bright):
    num_found = 0
    drawn = sampler(runs, *words)
    for step in range(12):
        batch = drawn.batch(step)
        for volume, target in zip(batch.volume[:, 0], batch.target[:, 0], strict=True):
            peaks = torch.nonzero(target > 0.6)
            for place in torch.nonzero(volume > bright):  # noise has a deviation of 1, or less once interpolated
                num_found += 1
                assert ((peaks * HEATMAP_STRIDE + 0.5 - place).abs().max(1).values <= HEATMAP_STRIDE).any()
    assert num_found > 6


@pytest.mark.parametrize("mask", [False, True])
def test_a_run_without_labels_of_a_class_says_nothing_about_it_only_if_asked(runs, mask):
    batch = sampler(runs[1:], f"mask_absent_classes={str(mask).lower()}").batch(0)
    assert batch.known.shape == batch.target.shape
    assert torch.all(batch.known[:, 0] == 1) and torch.all(batch.known[:, 1] == (0 if mask else 1))


@pytest.mark.parametrize(("unfreeze", "part"), [(Unfreeze.none, set()), (Unfreeze.top, {"transformer", "fuse"}),
                                                (Unfreeze.all, {"transformer", "fuse", "pyramid"})])  # fmt: skip
def test_only_the_asked_part_of_the_encoder_gets_a_gradient(unfreeze, part):
    picker = fresh_picker("random-tiny", unfreeze, 2, [32, 16], 0)
    picker(torch.randn(1, 1, 32, 32, 32)).sum().backward()
    moved = {name.split(".")[0] for name, p in picker.encoder.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved & {"transformer", "fuse", "pyramid"} == part
    assert all(p.grad is not None for p in picker.decoder.parameters())


@pytest.mark.parametrize("unfreeze", list(Unfreeze))
def test_the_encoder_learns_at_its_own_rate_and_nothing_frozen_is_handed_over(unfreeze):
    picker = fresh_picker("random-tiny", unfreeze, 2, [32, 16], 0)
    decoder, *encoder = parameter_groups(picker, 1e-3, 0.5)
    assert decoder["lr"] == 1e-3 and {id(p) for p in decoder["params"]} == {id(p) for p in picker.decoder.parameters()}
    assert [group["lr"] for group in encoder] == ([] if unfreeze is Unfreeze.none else [5e-4])
    handed = [p for group in (decoder, *encoder) for p in group["params"]]
    assert all(p.requires_grad for p in handed)
    assert len(handed) == sum(p.requires_grad for p in picker.parameters())
