"""The bench of real tomograms, worked by hand and on small volumes; and one control on the real lamella."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from benchmarks.reality import controls, embedded, pictures
from benchmarks.reality.__main__ import main
from benchmarks.reality.lamella import HIT, RADIUS, RUN, Lamella, elsewhere, open_lamella, recalls
from benchmarks.reality.record import Record
from benchmarks.reality.tables import markdown
from benchmarks.reality.unlabelled import VOLUMES, Seen, look
from embed import Index
from tomoseek import Tomogram
from tomoseek.messages import Notice
from tomoseek.network.encoder import Encoder

SPACING = 30.0


@pytest.fixture(scope="module")
def lamella() -> Lamella:
    """Twelve dark balls with the radius of a ribosome in noise, far from each other, ten of them listed."""
    random = np.random.default_rng(1)
    centres = np.stack(np.meshgrid([12], [12, 36, 60], [12, 36, 60, 84], indexing="ij"), -1).reshape(-1, 3)
    ball = np.zeros((24, 72, 96), dtype=np.float32)
    ball[tuple(centres.T)] = 1
    near = ndimage.distance_transform_edt(1 - ball) * SPACING <= RADIUS
    volume = random.normal(size=ball.shape) - 2.0 * near
    tomogram = Tomogram.from_array(volume.astype(np.float32), SPACING, run=RUN)
    return Lamella(tomogram, SPACING * centres[:10, ::-1].astype(np.float64))


def test_recall_leaves_out_the_examples_and_the_finds_on_them() -> None:
    truth = np.array([[1000.0 * k, 0, 0] for k in range(6)])
    examples = truth[:2]
    far = [[500.0 + 1000 * k, 500, 0] for k in range(8)]
    # On an example, wrong, right, wrong twice, right just within reach, wrong, right, wrong.
    found = np.array(
        [truth[0] + 10, far[0], truth[2], far[1], far[2], truth[3] + [0, HIT, 0], far[3], truth[4], far[4]]
    )
    # Four references are left: of the first 4 finds on no example one hits, of the first 8 three.
    assert recalls(found, truth, examples) == [0.25, 0.75, 0.75]


def test_random_places_are_the_same_for_a_seed_and_clear_of_what_is_named(lamella: Lamella) -> None:
    places = lamella.places(200, seed=3, clear_of=lamella.truth_xyz)
    assert len(elsewhere(places, lamella.truth_xyz)) == len(places) == 200
    np.testing.assert_array_equal(places, lamella.places(200, seed=3, clear_of=lamella.truth_xyz))
    assert not np.array_equal(places, lamella.places(200, seed=4, clear_of=lamella.truth_xyz))


def test_every_control_finds_plain_balls_that_are_listed(lamella: Lamella) -> None:
    examples = lamella.draw(2, seed=0)
    ball = controls.ball(RADIUS, SPACING)
    for found in (
        controls.blobs(lamella, (2.0, 3.2)),
        controls.template_matches(lamella, ball, 1, whiten=False),
        controls.alike_voxels(lamella, examples),
    ):
        # Two of the twelve balls are not listed, and may come first: all are among the first 2N.
        assert recalls(found, lamella.truth_xyz, examples)[1] == 1.0


def test_a_ball_has_the_volume_of_a_ball() -> None:
    density = controls.ball(RADIUS, SPACING)
    assert float(density.sum()) * SPACING**3 == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.02)
    assert torch.equal(density, density.permute(2, 1, 0))


def test_the_cosine_of_patches_is_that_of_their_voxels() -> None:
    volume = np.random.default_rng(0).normal(size=(9, 10, 11)).astype(np.float32)
    cosine = controls.cosine_of_patches(volume, np.array([[4.0, 5, 5], [3.2, 4.1, 6.4]]), reach=2)
    cubes = [volume[2:7, 3:8, 3:8], volume[1:6, 2:7, 4:9]]
    mean = sum(cube / np.linalg.norm(cube) for cube in cubes)
    here = volume[4:9, 3:8, 5:10]
    expected = (here * mean).sum() / np.linalg.norm(here) / np.linalg.norm(mean)
    assert cosine[6, 5, 7] == pytest.approx(expected, abs=1e-5)
    assert cosine.shape == volume.shape


def test_the_area_under_the_curve_is_the_chance_that_a_reference_beats_another_place() -> None:
    some, others = np.array([1.0, 3.0, 5.0], np.float32), np.array([0.0, 2.0, 4.0, 3.0], np.float32)
    wins = np.mean([[1.0 if a > b else 0.5 if a == b else 0.0 for b in others] for a in some])
    area, spread = embedded.area_under_curve(some, others)
    assert area == pytest.approx(wins)
    assert 0.05 < spread < 0.4


def test_a_probe_of_separable_vectors_ranks_them_and_puts_even_odds_between(lamella: Lamella) -> None:
    random = np.random.default_rng(0)
    positives = (random.normal(size=(60, 8)) + 3 * np.eye(8)[0]).astype(np.float32)
    negatives = random.normal(size=(400, 8)).astype(np.float32)
    direction, offset = embedded.probe(positives, negatives)
    assert np.mean(positives @ direction + offset > 0) > 0.9
    assert np.mean(negatives @ direction + offset < 0) > 0.9


def test_one_index_answers_for_search_features_and_particle_score(
    lamella: Lamella, tiny_encoder: Encoder, tmp_path: Path
) -> None:
    index = Index.create(tmp_path / "index", tiny_encoder, tile=32, overlap=8, resample=None, device="cpu")
    with pytest.warns(Notice, match="0.33 x their size"):
        index.add(lamella.tomogram, progress=False)
    truth = lamella.truth_xyz
    logits = embedded.particle_logits(lamella, index)
    assert 0 <= logits["area"] <= 1 and logits["spread"] > 0
    vectors = embedded.vectors_at(index, truth)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    # A map of products with one vector is highest where that vector was read.
    cell = np.array([[3, 9, 6]])
    point = embedded.points_of(index, cell)
    product = embedded.dense_maps(index.shard(RUN), embedded.vectors_at(index, point))[0]
    assert np.unravel_index(product.argmax(), product.shape) == tuple(cell[0])
    halves = embedded.probes_of_half(lamella, index, num_splits=2)
    assert {name: np.shape(figures) for name, figures in halves.items()} == {"cosine": (2, 3), "probe": (2, 3)}


def test_a_picture_is_small_and_holds_where_there_is_little_to_show(lamella: Lamella, tmp_path: Path) -> None:
    found = np.concatenate([lamella.truth_xyz[:3], lamella.places(4, seed=0, clear_of=lamella.truth_xyz)])
    path = tmp_path / "lamella.png"
    pictures.draw_lamella(lamella, found, lamella.draw(2, seed=0), "an encoder", path)
    with Image.open(path) as picture:
        assert picture.format == "PNG" and min(picture.size) > 400
    assert 10_000 < path.stat().st_size <= pictures.MOST_BYTES


def test_volumes_without_references_are_drawn_with_what_the_encoder_sees_in_them(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    tomogram = Tomogram.from_array(random.normal(size=(16, 64, 48)), 10.0, run="exosomes")
    logits = np.full((4, 16, 12), -3.0, dtype=np.float32)
    logits[2, 4, 4], logits[0] = 3.0, -np.inf  # one cell of 576, a layer that is not embedded
    seen = Seen(VOLUMES[1], tomogram, logits, 40.0, np.array([[160.0, 160, 80]]))
    assert seen.figures == {"cells above even odds": 1 / 576, "median logit": -3.0, "particle-like places": 1}
    pictures.draw_unlabelled([seen, seen], "an encoder", tmp_path / "unlabelled.png")
    assert 10_000 < (tmp_path / "unlabelled.png").stat().st_size <= pictures.MOST_BYTES


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    record = Record(tmp_path / "abc", {"encoder": "x"})
    assert record.measure("logits", lambda: {"area": 0.5}) == {"area": 0.5}
    again = Record(tmp_path / "abc", {"encoder": "x"})
    assert again.measure("logits", lambda: 1 / 0) == {"area": 0.5}
    assert "threads" in str(again) and "bfloat16 unit" in str(again)


def test_volumes_that_nobody_can_download_may_be_missing(
    tiny_encoder: Encoder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = Index.create(tmp_path / "index", tiny_encoder, device="cpu")
    assert look(index, tmp_path) == []
    assert "lysosome/slab.mrc" in capsys.readouterr().out
    record = Record(tmp_path, {})
    record.measure("unlabelled", lambda: {"exosomes": {"cells above even odds": 0.25, "particle-like places": 7}})
    assert "| an encoder |  | 25.0%, 7 places |  |  |" in markdown({"an encoder": record}, [10.0])


def test_data_that_are_not_there_are_asked_for_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["reality", "--data", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "expected a folder with real/yeast80S" in capsys.readouterr().err.splitlines()[-1]


def test_the_table_shows_mean_and_spread_at_the_spacings_asked_for(tmp_path: Path) -> None:
    record = Record(tmp_path, {})
    record.measure("recall; search; 5 @ 10", lambda: [[0.2, 0.4, 0.6], [0.4, 0.4, 0.8]])
    record.measure("recall; search; 5 @ 15.68", lambda: [[0.0, 0.0, 0.0]])
    table = markdown({"shipped": record}, [10.0])
    assert "| shipped, 10 Å: search | 5 | 0.30 ± 0.10 | 0.40 ± 0.00 | 0.70 ± 0.10 |" in table
    assert "15.68" not in table


def test_a_blob_filter_finds_two_thirds_of_the_listed_ribosomes_among_twice_as_many_peaks(shared_data: Path) -> None:
    lamella = open_lamella(shared_data / "real" / "yeast80S")
    found = controls.blobs(lamella, (2.0, 3.2))
    assert recalls(found, lamella.truth_xyz, lamella.draw(5, seed=0))[1] == pytest.approx(0.66, abs=0.04)
