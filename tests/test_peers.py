"""The benchmark of peers gives them the same task as ours, and parts its runs cleanly."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("monai", reason="the peers need MONAI: pip install --no-deps monai")

from benchmarks.picker.peers import peer
from benchmarks.picker.peers.figures import label_efficiency
from benchmarks.picker.peers.methods import parse_method
from benchmarks.picker.peers.networks import NETWORKS, AveragedLogits, build
from benchmarks.picker.peers.projects import CLASSES, PROJECTS, SCORED_ON
from benchmarks.picker.peers.scores import score
from benchmarks.picker.peers.tables import markdown
from finetune.settings import TrainConfig
from tomoseek.command_line import compose_settings
from tomoseek.demo.plan import bracket
from tomoseek.simulate.command import SimulateConfig
from tomoseek.simulate.command import run as simulate


@pytest.mark.parametrize(
    ("name", "million"), [("octopi", 1.11), ("unet", 5.06), ("segresnet", 18.9), ("segresnet16", 4.8)]
)
def test_a_peer_gives_rare_particles_at_stride_two_and_is_as_large_as_said(name: str, million: float) -> None:
    network = build(name, 5, seed=0).eval()
    with torch.inference_mode():
        logits = network(torch.randn(1, 1, 32, 64, 64))
    assert logits.shape == (1, 5, 16, 32, 32)
    assert logits.sigmoid().median() < 0.05
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(million, rel=0.01)


def test_weights_follow_from_the_seed() -> None:
    first, again, other = (nn.utils.parameters_to_vector(build("octopi", 5, s).parameters()) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", NETWORKS)
def test_no_convolution_over_eight_voxels_runs_in_bfloat16_whose_gradients_there_are_unsafe(name: str) -> None:
    network, ran = build(name, 5, seed=0), []
    for layer in network.modules():
        if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d):
            layer.register_forward_hook(lambda _layer, _inputs, out: ran.append((out[0, 0].numel(), out.dtype)))
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        network(torch.randn(1, 1, 64, 64, 64))
    assert {dtype for num_voxels, dtype in ran if num_voxels <= 8} <= {torch.float32}
    assert torch.bfloat16 in {dtype for _, dtype in ran}


def test_a_cell_of_a_u_net_covers_the_two_voxels_that_a_target_cell_covers() -> None:
    volume = torch.zeros(1, 1, 8, 8, 8)
    volume[0, 0, 2, 5, 6] = 8.0
    logits = AveragedLogits(nn.Identity(), 1)(volume)
    above = (logits - logits.min()).detach()
    assert np.argwhere(above.numpy() > 0.5).tolist() == [[0, 0, 1, 2, 3]]
    assert above.max() == pytest.approx(1.0, abs=1e-5)


def test_a_variant_hands_its_words_to_the_training_and_keeps_lists_whole() -> None:
    method = parse_method("large=ours:crops.size=[96,96,96],thresholds={a: 1,b: 2},unfreeze=none")
    assert (method.name, method.network) == ("large", "ours")
    assert method.words == ("crops.size=[96,96,96]", "thresholds={a: 1,b: 2}", "unfreeze=none")
    assert parse_method("unet:learning_rate=1e-3").name == "unet:learning_rate=1e-3"
    assert parse_method("scratch:unfreeze=all").words[0] == "encoder=random-small"


def test_the_words_of_a_variant_reach_the_settings_of_training(tmp_path: Path) -> None:
    method, project = parse_method("unet:learning_rate=1e-3,crops.size=[32,32,32]"), PROJECTS["development"]
    command = method.command(project.config(tmp_path), project, 1, 0, 100, tmp_path / method.slug)
    config = compose_settings("finetune_train", TrainConfig, command[2:])
    assert command[:2] == ["benchmarks.picker.peers.peer", "unet"]
    assert (config.learning_rate, config.crops.size, config.warmup_steps) == (1e-3, [32, 32, 32], 10)
    assert config.data.runs == ["development_000", "development_002"]
    assert config.validation_runs == ["development_002"]


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(SystemExit, match="found 'nnunet'"):
        parse_method("nnunet:learning_rate=1")


@pytest.mark.parametrize("project", SCORED_ON)
def test_no_run_serves_two_purposes(project: str) -> None:
    parts = [PROJECTS[project].runs(part) for part in PROJECTS[project].parts]
    runs = [run for part in parts for run in part]
    assert len(set(runs)) == len(runs) == sum(PROJECTS[project].parts.values())


def test_seeds_learn_from_different_tomograms_as_far_as_there_are_any() -> None:
    main = PROJECTS["main"]
    first, second, third = (main.training_runs(2, seed) for seed in range(3))
    assert set(first + second + third) == set(main.runs("training"))
    assert sorted(main.training_runs(6, 1)) == main.runs("training")
    with pytest.raises(SystemExit, match="expected 1 to 6"):
        main.training_runs(7, 0)


def test_the_table_averages_over_seeds_and_keeps_methods_apart() -> None:
    def record(method: str, seed: int, f4: float) -> dict[str, object]:
        classes = {name: {"f4": f4, "average_precision": f4 / 2} for name in CLASSES}
        scores = {"test": {"weighted_f4": f4, "classes": classes}}
        common = {"labels": 1, "processor_seconds": 60, "settings": {"num_steps": 100}}
        return {"method": method, "seed": seed, "scores": scores, **common}

    table = markdown([record("ours", 1, 0.8), record("ours", 0, 0.6), record("unet", 0, 0.5)], "development")
    ours, unet = table.splitlines()[2:4]
    assert "**0.700** (0.600, 0.800) | 0.35" in ours
    assert "**0.500** | 0.25" in unet


def test_curves_are_means_over_seeds_of_methods_measured_at_several_numbers_of_labels() -> None:
    values = {("ours", 1): [0.5, 0.75], ("ours", 6): [1.0], ("unet", 1): [0.25], ("unet", 6): [0.5], ("vit", 1): [0.1]}
    records = [
        {"method": method, "labels": labels, "scores": {"test": {"weighted_f4": value}}}
        for (method, labels), each in values.items() for value in each
    ]  # fmt: skip
    (axes,) = label_efficiency(records, "development").axes
    curves = {line.get_label(): line.get_xydata().tolist() for line in axes.lines if line.get_linestyle() == "-"}
    assert curves == {"ours": [[1, 0.625], [6, 1.0]], "unet": [[1, 0.25], [6, 0.5]]}


@pytest.mark.filterwarnings("ignore:only .* labels")
def test_a_saved_peer_scores_as_it_did_in_training(tmp_path: Path) -> None:
    words = ["num_runs=2", "size=[64,128,128]", f"complexes={bracket(list(CLASSES))}", "counts=3", "halves=false"]
    simulate(compose_settings("simulate", SimulateConfig, [f"out_dir={tmp_path / 'project'}", "device=cpu", *words]))
    project, trained = tmp_path / "project" / "copick.json", tmp_path / "trained"
    words = [f"data.project={project}", f"classes={bracket(list(CLASSES))}", f"out_dir={trained}", "device=cpu"]
    words += ["num_steps=12", "warmup_steps=2", "crops.size=[32,32,32]", "validation_runs=[sim_001]"]
    peer.train("octopi", compose_settings("finetune_train", TrainConfig, words))
    _, description = peer.load(trained)
    scores = score(trained, project, ["sim_001"], ())
    assert max(description["validation"].values()) > 0
    assert {name: found["f4"] for name, found in scores["classes"].items()} == pytest.approx(description["validation"])
