"""Pasted particles carry their labels, the asked part of the encoder learns, and doubtful finds teach nothing."""

import numpy as np
import pytest
import torch

from finetune.calibration import Calibration
from finetune.crops import CropSampler
from finetune.decoder import HEATMAP_STRIDE
from finetune.detect import find_particles
from finetune.labels import LabelledRun
from finetune.paste import SOFT_EDGE, free_place, paste, reach
from finetune.self_training import find_unlabelled, from_plain, join, label_with_own_finds, to_plain
from finetune.settings import TrainConfig
from finetune.targets import heatmap_loss
from finetune.unfreeze import Unfreeze, fresh_picker, layers_above, parameter_groups
from tomoseek.command_line import compose_settings
from tomoseek.complexes import Complex
from tomoseek.errors import InputError
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
    return data, [
        LabelledRun(tomogram, {k: np.reshape(v, (-1, 3))[:, ::-1] * 10.0 for k, v in points[tomogram.run].items()})
        for tomogram in find_tomograms(data)
    ]


def sampler(runs: list[LabelledRun], *words: str) -> CropSampler:
    config = settings("augment.noise=0", "augment.intensity_shift=0", "augment.intensity_scale=0", *words)
    return CropSampler(runs, RADII, config.crops, config.augment, 2, 0.3, False, 0)


def test_every_pasted_ball_lies_where_its_label_says(runs):
    num_pasted = 0
    drawn = sampler(runs[1], "crops.paste=3")
    for step in range(12):
        batch = drawn.batch(step)
        for volume, target in zip(batch.volume[:, 0], batch.target[:, 0], strict=True):
            found = torch.nonzero(volume > 7)  # noise has a deviation of 1
            peaks = torch.nonzero(target > 0.6)
            num_pasted += len(found) > 1
            for place in found:
                assert ((peaks * HEATMAP_STRIDE + 0.5 - place).abs().max(1).values <= HEATMAP_STRIDE).any()
    assert num_pasted > 6


def test_a_particle_is_pasted_whole_and_fades_out_beyond_its_radius():
    volume = np.zeros((40, 40, 40), np.float32)
    radius = 5.0
    edge = 2 * reach(radius) + 1
    centre = np.array([edge // 2 + 0.3, edge // 2, edge // 2])
    place = paste(volume, np.ones((edge,) * 3, np.float32), np.array([20, 10, 30]), centre, radius)
    np.testing.assert_allclose(place, [20.3, 10, 30])
    distance = np.linalg.norm(np.stack(np.meshgrid(*[np.arange(40)] * 3, indexing="ij"), -1) - place, axis=-1)
    assert np.all(volume[distance <= radius] == 1)
    assert np.all(volume[distance >= radius + SOFT_EDGE] == 0)


def test_a_particle_at_the_border_is_cut_off_not_moved():
    volume = np.zeros((16, 16, 16), np.float32)
    cube = np.zeros((13, 13, 13), np.float32)
    cube[6, 6, 6] = 1
    place = paste(volume, cube, np.array([1, 15, 8]), np.array([6.0, 6, 6]), 2.0)
    assert tuple(np.unravel_index(volume.argmax(), volume.shape)) == (1, 15, 8) == tuple(place)


def test_no_place_is_found_where_particles_fill_the_crop():
    crowd = np.stack(np.meshgrid(*[np.arange(0, 32, 8)] * 3, indexing="ij"), -1).reshape(-1, 3).astype(float)
    assert free_place((32, 32, 32), 6.0, [crowd], [6.0], np.random.default_rng(0)) is None
    place = free_place((32, 32, 32), 6.0, [crowd[:1]], [6.0], np.random.default_rng(0))
    assert place is not None and np.linalg.norm(place) > 12


def test_nothing_is_learned_at_an_unsure_place(runs):
    (first, _) = runs[1]
    doubtful = LabelledRun(first.tomogram, {"ball": first.points_xyz["ball"], "shell": np.zeros((0, 3))},
                           {"shell": first.points_xyz["shell"]})  # fmt: skip
    batch = sampler([doubtful], "crops.centred=0").batch(0)
    logits = torch.zeros_like(batch.target, requires_grad=True)
    heatmap_loss(logits, batch.target, batch.known, 256.0, 16.0, 0.0).backward()
    hidden = batch.known == 0
    assert hidden[:, 1].any() and not hidden[:, 0].any()
    assert torch.all((logits.grad == 0) == hidden)


def test_a_focused_loss_turns_from_what_is_nearly_right(runs):
    batch = sampler(runs[1], "crops.centred=1").batch(0)
    right = torch.logit(batch.target, eps=1e-4)
    nearly, wrong = right + 0.1, right + 4.0
    ratio = [
        heatmap_loss(wrong, batch.target, batch.known, 256.0, 16.0, focus)
        / heatmap_loss(nearly, batch.target, batch.known, 256.0, 16.0, focus)
        for focus in (0.0, 1.0)
    ]
    assert ratio[1] > 5 * ratio[0]


@pytest.mark.parametrize(("unfreeze", "part"), [(Unfreeze.none, set()), (Unfreeze.top, {"transformer", "fuse"}),
                                                (Unfreeze.all, {"transformer", "fuse", "pyramid"})])  # fmt: skip
def test_only_the_asked_part_of_the_encoder_gets_a_gradient(unfreeze, part):
    picker = fresh_picker("random-tiny", unfreeze, 2, [32, 16], 0)
    picker(torch.randn(1, 1, 32, 32, 32)).sum().backward()
    moved = {name.split(".")[0] for name, p in picker.encoder.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved & {"transformer", "fuse", "pyramid"} == part
    assert all(p.grad is not None for p in picker.decoder.parameters())


def test_deeper_layers_learn_slower():
    picker = fresh_picker("random-tiny", Unfreeze.all, 2, [32, 16], 0)
    depth = picker.encoder.config.depth
    groups = parameter_groups(picker, 1e-3, 0.5, 0.8)
    assert groups[0]["scale"] == 1.0
    assert [group["scale"] for group in groups[1:]] == pytest.approx([0.5 * 0.8**k for k in range(depth + 5)])
    assert sum(len(group["params"]) for group in groups) == sum(p.requires_grad for p in picker.parameters())
    order = ["fuse.weight", f"transformer.blocks.{depth - 1}.norm1.weight", "transformer.blocks.0.norm1.weight",
             "tokens.weight", "pyramid.down.2.conv.weight", "pyramid.down.0.conv.weight"]  # fmt: skip
    assert [layers_above(name, depth) for name in order] == [0, 1, depth, depth + 1, depth + 2, depth + 4]


def test_own_finds_are_labels_unsure_or_nothing_by_their_probability_and_survive_json(runs):
    data, (first, _) = runs
    picker = fresh_picker("random-tiny", Unfreeze.none, 2, [32, 16], 0).eval()
    torch.nn.init.normal_(picker.decoder.head.weight, std=1.0)  # so that heatmaps have peaks
    calibration = {"ball": Calibration(slope=1.0, offset=3.0), "shell": Calibration(slope=0.5, offset=1.0)}
    detect = settings().detect
    cpu, tomograms = torch.device("cpu"), find_unlabelled(data, ["one"], [])
    found = find_particles(tomograms[0], picker, RADII, detect, cpu, progress=False)
    reject, accept = np.quantile(
        np.concatenate([fit(found[name].scores) for name, fit in calibration.items()]), [0.4, 0.6]
    )
    believed = settings(f"self_training.accept={accept}", f"self_training.reject={reject}").self_training
    (own,) = label_with_own_finds(picker, tomograms, RADII, calibration, believed, detect, cpu)
    for name in RADII:
        points, probability = found[name].points_xyz, calibration[name](found[name].scores)
        sure, unsure = probability >= accept, (probability >= reject) & (probability < accept)
        np.testing.assert_array_equal(own.points_xyz[name], points[sure])
        np.testing.assert_array_equal(own.unsure_xyz[name], points[unsure])
    assert any(map(len, own.points_xyz.values())) and any(map(len, own.unsure_xyz.values()))
    (back,) = from_plain(to_plain([own]), tomograms)
    for name in RADII:
        np.testing.assert_array_equal(back.points_xyz[name], own.points_xyz[name])
        np.testing.assert_array_equal(back.unsure_xyz[name], own.unsure_xyz[name])
    with pytest.raises(InputError, match=r"self_training\.runs: expected runs beside the labelled ones, found one"):
        find_unlabelled(data, ["one"], [first])


def test_a_batch_of_one_has_no_room_for_unlabelled_runs():
    with pytest.raises(InputError, match="batch_size of at least 2, found 1"):
        settings("self_training.runs=[one]", "batch_size=1")


def test_joined_batches_hold_both_samplers(runs):
    one, two = sampler(runs[1][:1]), sampler(runs[1][1:])
    batch = next(join(one, two, 5))
    torch.testing.assert_close(batch.volume, torch.cat([one.batch(5).volume, two.batch(5).volume]))
