"""Particles set into unlabeled tomograms, and an encoder adapted to them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pretrain.adaptation import is_worse
from pretrain.assemblies import thick_enough
from pretrain.config import PretrainConfig
from pretrain.implant import Host, implant
from pretrain.loop import keep_better
from tomoseek.command_line import Command, compose_settings, launch
from tomoseek.complexes import COMPLEXES
from tomoseek.config import Polarity
from tomoseek.errors import InputError
from tomoseek.geometry import points_to_indices
from tomoseek.messages import Notice
from tomoseek.network.weights import fingerprint, load_encoder
from tomoseek.simulate import MicroscopeConfig, SceneConfig, builtin_density, random_assembly, simulate_tomogram
from tomoseek.simulate.contrast import ball_response, blobs, standing_out
from tomoseek.tomograms.copick_tomograms import add_tomogram
from tomoseek.tomograms.project import create_project
from tomoseek.tomograms.tomogram import Tomogram


def noise(seed: int, shape: tuple[int, int, int] = (48, 72, 72), spacing: float = 10.0) -> Tomogram:
    array = np.random.default_rng(seed).normal(3.0, 2.0, shape).astype(np.float32)
    return Tomogram(
        run=f"noise{seed}", tomogram_type="wbp", voxel_spacing=spacing, array=array, polarity=Polarity.dark,
        source="memory",
    )  # fmt: skip


def host_of(source: tuple[Tomogram, ...], strength: float) -> Host:
    """A host of known strength: what is measured once is not measured again."""
    host = Host(source)
    host.__dict__["standing_out"] = strength
    return host


def implanted(source: tuple[Tomogram, ...], standing_out: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    density = {"ribosome": builtin_density("ribosome", source[0].voxel_spacing)}
    halves, points = implant(
        host_of(source, standing_out), density, {"ribosome": 3}, [48, 72, 72], MicroscopeConfig(), 1.0, 0,
        torch.device("cpu"),
    )  # fmt: skip
    return halves, points_to_indices(points["ribosome"], source[0].voxel_spacing)


def test_what_is_added_is_brightest_where_the_points_say() -> None:
    halves, points = implanted((noise(0), noise(1)))
    assert len(points) >= 2
    around = [halves.mean(0)[tuple(slice(round(c) - 3, round(c) + 4) for c in point)].mean() for point in points]
    assert min(around) > 5 * abs(halves.mean())
    assert min(around) > 1.5


def test_both_halves_get_the_same_particles_and_keep_their_own_noise() -> None:
    source = (noise(0), noise(1))
    halves, _ = implanted(source)
    own = [tomogram.crop((0, 0, 0), tomogram.shape) for tomogram in source]
    np.testing.assert_allclose(halves[0] - own[0], halves[1] - own[1], atol=1e-4)


def test_particles_are_as_strong_as_what_stands_out_of_the_tomogram() -> None:
    density = random_assembly(3, 10.0, (1600.0, 1601.0), ("C1",))
    source = (noise(0, (64, 96, 96)),)
    halves, points = implant(
        host_of(source, 0.7),
        {"one": density},
        {"one": 6},
        [64, 96, 96],
        MicroscopeConfig(),
        1.0,
        0,
        torch.device("cpu"),
    )
    added = blobs(halves[0] - source[0].crop((0, 0, 0), (64, 96, 96)), 10.0)
    places = points_to_indices(points["one"], 10.0)
    near = [added[tuple(slice(round(c) - 3, round(c) + 4) for c in place)].max() for place in places]
    assert 0.4 < np.median(near) < 0.9  # a ball of that mass, which it is not, would reach 0.7


@pytest.mark.parametrize(("snr", "crowding"), [(0.3, 0.0), (0.05, 0.0), (0.5, 0.2)])
def test_the_contrast_of_a_tomogram_is_found_from_what_stands_out_of_it(snr: float, crowding: float) -> None:
    densities = {str(k): random_assembly(k, 10.0) for k in range(12)}
    scene = SceneConfig(shape=[96, 160, 160], vesicles=[0, 1], crowding=[crowding] * 2)
    simulated = simulate_tomogram(densities, dict.fromkeys(densities, 8), scene, MicroscopeConfig(snr=[snr] * 2), 1)
    tomogram = Tomogram.from_array(simulated.full.numpy(), 10.0, run="known")
    optics = MicroscopeConfig(defocus_um=[simulated.metadata["defocus_um"]] * 2)
    ball = ball_response([96, 160, 160], 10.0, optics, torch.Generator().manual_seed(0))
    assert 0.5 < standing_out(tomogram) / ball * tomogram.contrast.scale < 2.0


def test_an_encoder_is_worse_only_by_more_than_noise() -> None:
    random = torch.Generator().manual_seed(0)
    before = 3 + torch.randn(8, generator=random)
    assert is_worse(before, before + 0.1 + 0.01 * torch.randn(8, generator=random))
    assert not is_worse(before, before - 0.1)
    assert not is_worse(before, before + 0.1 * torch.tensor([1.0, -1.0] * 4))


def test_a_tomogram_smaller_than_the_scene_gives_a_smaller_scene() -> None:
    halves, _ = implanted((noise(0, (40, 66, 70)),))
    assert halves.shape == (2, 40, 64, 64)


def adapt(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    tiny = [
        "stage=adapt", "encoder=random-tiny", "device=cpu", "crop=32", "batch_size=2", "num_steps=2",
        "metric.scene=[32,64,64]", "metric.classes_per_scene=3", "metric.particles_per_class=4", "metric.pool=1",
        "metric.implant_share=1",
    ]  # fmt: skip
    monkeypatch.setattr("sys.argv", ["pretrain", *tiny, *words])
    launch(Command("pretrain", "pretrain.loop", ""))


def test_an_adapted_encoder_takes_the_voxel_spacing_of_the_tomograms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = create_project(tmp_path / "project", [COMPLEXES["ribosome"]])
    add_tomogram(root, "one", "wbp", 7.84, noise(0).read())
    as_it_is = "data.resample=null"
    adapt(monkeypatch, f"data.project={tmp_path / 'project/copick.json'}", f"out_dir={tmp_path / 'out'}", as_it_is)
    assert load_encoder(str(tmp_path / "out")).config.voxel_spacing == pytest.approx(7.84)
    assert np.isfinite(json.loads((tmp_path / "out/log.jsonl").read_text().splitlines()[0])["loss"])


def test_tomograms_are_brought_to_the_voxel_spacing_of_the_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = create_project(tmp_path / "project", [COMPLEXES["ribosome"]])
    add_tomogram(root, "one", "wbp", 7.84, noise(0).read())
    add_tomogram(root, "two", "wbp", 13.5, noise(1).read())
    adapt(monkeypatch, f"data.project={tmp_path / 'project/copick.json'}", f"out_dir={tmp_path / 'out'}")
    assert load_encoder(str(tmp_path / "out")).config.voxel_spacing == 10.0


def test_tomograms_of_two_spacings_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = create_project(tmp_path / "project", [COMPLEXES["ribosome"]])
    add_tomogram(root, "one", "wbp", 7.84, noise(0).read())
    add_tomogram(root, "two", "wbp", 13.5, noise(1).read())
    with pytest.raises(SystemExit) as exit_info:
        project, out_dir = f"data.project={tmp_path / 'project/copick.json'}", f"out_dir={tmp_path / 'out'}"
        adapt(monkeypatch, project, out_dir, "data.resample=null")
    assert exit_info.value.code == 2
    assert "expected tomograms of one voxel spacing, found 7.84 to 13.5" in capsys.readouterr().err


def test_tomograms_thinner_than_a_crop_are_left_out_and_refused_where_no_other_is() -> None:
    thick, thin = (noise(0),), (noise(1, (24, 72, 72)),)
    with pytest.warns(Notice, match=r"runs noise1 \(24\) are left out: thinner than crop=48 voxels"):
        assert thick_enough([thick, thin], 48) == [thick]
    with pytest.raises(InputError, match=r"expected a tomogram of at least so many voxels.*found noise1 \(24\)"):
        thick_enough([thin], 48)


def test_a_ball_is_imaged_as_the_particles_are() -> None:
    wide = MicroscopeConfig(sirt_share=1.0, sirt_iterations=[5, 5], phase_plate_share=0.5, missing_tilts=[0, 0.5])
    responses = [
        ball_response([64, y, 96], 10.0, wide, torch.Generator().manual_seed(seed)) for y, seed in ((64, 0), (200, 0))
    ]
    assert responses[0] == pytest.approx(responses[1], rel=1e-3)  # what lies along the axis of tilt changes nothing
    plain = ball_response([64, 64, 96], 10.0, MicroscopeConfig(), torch.Generator().manual_seed(0))
    weaker = ball_response(
        [64, 64, 96], 10.0, MicroscopeConfig(sirt_share=1.0, sirt_iterations=[5, 5]), torch.Generator().manual_seed(0)
    )
    assert weaker < 0.8 * plain


def test_an_encoder_that_adapting_has_spoilt_is_not_kept() -> None:
    words = [
        "stage=adapt", "encoder=shipped", "data.project=none.json", "crop=48", "batch_size=8",
        "metric.scene=[64,128,128]", "metric.classes_per_scene=6", "metric.particles_per_class=6",
    ]  # fmt: skip
    config = compose_settings("pretrain", PretrainConfig, words)
    hosts, device = [host_of((noise(0, (64, 128, 128)),), 2.0)], torch.device("cpu")
    provenance: dict[str, object] = {}
    shipped, spoilt = load_encoder("shipped"), load_encoder("random-small")
    with pytest.warns(Notice, match="adapting did harm, and the encoder stays as it was"):
        kept = keep_better(spoilt, config, hosts, device, provenance)
    assert fingerprint(kept) == fingerprint(shipped) and provenance["adapted"] is False
    assert fingerprint(keep_better(shipped, config, hosts, device, provenance)) == fingerprint(shipped)
    assert provenance["adapted"] is True
