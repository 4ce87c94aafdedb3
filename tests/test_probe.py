"""The benchmark of representations gives full marks to perfect features and none to noise."""

from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.known_tomograms import REGIMES, SEEN, UNSEEN, KnownTomograms
from benchmarks.pretraining.ablations import steps_within
from benchmarks.pretraining.probe.measures import DenseFeatures, linear_probe, search_from_examples
from benchmarks.pretraining.probe.rows import encoder_features
from benchmarks.pretraining.probe.supervised import supervised
from tomoseek.complexes import COMPLEXES
from tomoseek.config import Polarity
from tomoseek.geometry import points_to_indices, voxel_to_cell
from tomoseek.network.weights import load_encoder
from tomoseek.simulate import MicroscopeConfig, SceneConfig, builtin_density, simulate_tomogram
from tomoseek.tomograms.tomogram import Tomogram

SHAPE = (64, 160, 160)
RADIUS = 80.0


@pytest.fixture(scope="module")
def known() -> KnownTomograms:
    """Three empty tomograms with two classes of particles on a jittered lattice."""
    tomograms, points = [], []
    for index in range(3):
        random = np.random.default_rng(index)
        lattice = np.stack(np.meshgrid(*[np.arange(150.0, 1500.0, 260.0)] * 2, indexing="ij"), -1).reshape(-1, 2)
        places = np.concatenate([lattice, np.full((len(lattice), 1), 320.0)], 1) + random.uniform(-20, 20, (36, 3))
        order = random.permutation(len(places))
        points.append({"first": places[order[:18]], "second": places[order[18:]]})
        array = np.zeros(SHAPE, np.float32)
        tomograms.append(
            Tomogram(
                run=str(index),
                tomogram_type="wbp",
                voxel_spacing=10.0,
                array=array,
                polarity=Polarity.dark,
                source="memory",
            )
        )
    return KnownTomograms(REGIMES["bright"], tomograms, [], points, {"first": RADIUS, "second": RADIUS}, {})


def features(known: KnownTomograms, **kinds: Any) -> list[DenseFeatures]:
    """One channel per class that falls off with distance from its particles, and one for background."""
    result = []
    for points in known.points:
        cells = np.stack(np.meshgrid(*[np.arange(n // 4) for n in SHAPE], indexing="ij"), -1)
        near = [
            np.exp(-(np.square(cells[None] - voxel_to_cell(points_to_indices(xyz, 10.0), 4)[:, None, None, None]))
                   .sum(-1) / 2).max(0)
            for xyz in points.values()
        ]  # fmt: skip
        vectors = np.stack([*near, np.full(near[0].shape, 0.05)], -1).astype(np.float32)
        if kinds.get("noise"):
            vectors = np.random.default_rng(0).normal(size=(*near[0].shape, 8)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
        result.append(DenseFeatures(10.0, vectors))
    return result


def test_perfect_features_find_every_particle_within_a_voxel(known: KnownTomograms) -> None:
    for score in search_from_examples(known, features(known), 5).values():
        assert score["average_precision"] == pytest.approx(1.0)
        assert score["error_voxels"] < 1.5


def test_noise_finds_nothing(known: KnownTomograms) -> None:
    assert (
        max(
            score["average_precision"] for score in search_from_examples(known, features(known, noise=True), 5).values()
        )
        < 0.1
    )


def test_linear_probes_tell_perfect_features_from_noise(known: KnownTomograms) -> None:
    perfect, noise = linear_probe(known, features(known)), linear_probe(known, features(known, noise=True))
    assert perfect["particle_f1"] > 0.99
    assert perfect["class_f1"] > 0.99
    assert noise["class_f1"] < 0.8


@pytest.fixture(scope="module")
def simulated() -> KnownTomograms:
    """Two small bright tomograms of three built-in complexes, as the simulator makes them."""
    radii = {name: COMPLEXES[name].radius_angstrom for name in ("apo-ferritin", "ribosome", "proteasome")}
    densities = {name: builtin_density(name, 10.0) for name in radii}
    scene, microscope = SceneConfig(shape=[64, 128, 128]), MicroscopeConfig(snr=[0.4, 0.4])
    tomograms = [simulate_tomogram(densities, dict.fromkeys(radii, 6), scene, microscope, seed) for seed in (70, 71)]
    opened = [
        Tomogram(
            run=str(k), tomogram_type="wbp", voxel_spacing=10.0, array=tomogram.full.numpy(), polarity=Polarity.dark,
            source="memory",
        )
        for k, tomogram in enumerate(tomograms)
    ]  # fmt: skip
    return KnownTomograms(
        REGIMES["bright"], opened, tomograms, [tomogram.points for tomogram in tomograms], radii, densities
    )


def test_the_shipped_encoder_finds_complexes_it_never_saw_and_random_weights_do_not(simulated: KnownTomograms) -> None:
    found = {}
    for source in ("shipped", "random-small"):
        dense = encoder_features(load_encoder(source), simulated, torch.device("cpu"))
        found[source] = np.mean(
            [score["average_precision"] for score in search_from_examples(simulated, dense, 3).values()]
        )
    assert found["shipped"] > 0.8
    assert found["random-small"] < 0.3


def test_the_supervised_control_trains_on_the_labels_it_is_given(simulated: KnownTomograms) -> None:
    scores = supervised(simulated, 3, torch.device("cpu"), num_steps=2)
    assert list(scores) == list(simulated.radii)
    assert all(0 <= score["average_precision"] <= 1 for score in scores.values())


def test_what_pretraining_may_see_is_not_what_is_searched() -> None:
    assert not set(SEEN) & set(UNSEEN)


def test_steps_of_an_arm_pay_for_its_scenes_too() -> None:
    cost = {"step": 3.0, "pair": 12.0}
    steps = steps_within(600.0, cost, pool=8, refresh_every=12)
    assert 8 * 12.0 + steps * (3.0 + 1.0) <= 600.0 < 8 * 12.0 + (steps + 1) * 4.0
