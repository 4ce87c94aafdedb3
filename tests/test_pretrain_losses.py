"""Masking leaks nothing; the losses agree with their definitions."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from pretrain.config import MaskedConfig, PretrainConfig
from pretrain.masked import MaskedAutoencoder, choose, cut, draw_pieces, fourier_difference, low_pass
from pretrain.metric import BACKGROUND, PADDING, UNNAMED, MetricLearner, sample_features, supervised_contrastive
from tomoseek.command_line import compose_settings
from tomoseek.network.weights import random_encoder

MASKED = MaskedConfig(
    mask_ratio=0.75, piece=16, rebuilt_share=1.0, target_sigma=1.0, visible_weight=0.25, fourier_weight=0.01,
    decoder_width=24, decoder_depth=1, decoder_heads=2,
)  # fmt: skip


def autoencoder() -> MaskedAutoencoder:
    torch.manual_seed(0)
    return MaskedAutoencoder(random_encoder("tiny"), 32, MASKED)


def test_pieces_lie_where_they_should() -> None:
    volume = torch.randn(2, 32, 32, 32)
    pieces = cut(volume, 8)
    assert torch.equal(pieces[0, 1], volume[0, :8, :8, 8:16])
    assert torch.equal(pieces[1, 16 + 8 + 2], volume[1, 8:16, 16:24, 16:24])
    assert torch.equal(choose(pieces, torch.tensor([[3], [5]]))[1, 0], pieces[1, 5])


def test_pieces_drawn_are_visible_or_hidden_and_never_both() -> None:
    visible, hidden = draw_pieces(5, 64, 0.75, 0.33, torch.Generator().manual_seed(0))
    assert visible.shape == (5, 16) and hidden.shape == (5, 16)
    for one, other in zip(visible.tolist(), hidden.tolist(), strict=True):
        assert len({*one, *other}) == 32
        assert sorted(one) == one and sorted(other) == other
    assert [part.shape[1] for part in draw_pieces(1, 8, 0.99, 0.01, torch.Generator())] == [1, 1]


def test_hidden_voxels_change_nothing_and_visible_ones_do() -> None:
    model = autoencoder().eval()
    visible, hidden = torch.tensor([[0, 5]]), torch.tensor([[1, 2, 3, 4, 6, 7]])
    volume = torch.randn(1, 32, 32, 32)
    is_visible = torch.zeros_like(volume)
    is_visible[0, :16, :16, :16] = is_visible[0, 16:, :16, 16:] = 1  # pieces 0 and 5
    before = model.reconstruct(volume, visible, hidden)
    other_hidden = torch.where(is_visible.bool(), volume, torch.randn_like(volume))
    other_visible = torch.where(is_visible.bool(), torch.randn_like(volume), volume)
    for found, expected in zip(model.reconstruct(other_hidden, visible, hidden), before, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
    for found, expected in zip(model.reconstruct(other_visible, visible, hidden), before, strict=True):
        assert (found - expected).abs().max() > 1e-4


def test_a_piece_is_rebuilt_alike_wherever_it_stands_among_those_asked_for() -> None:
    model = autoencoder().eval()
    torch.nn.init.normal_(model.mask_token)
    volume, visible = torch.randn(1, 32, 32, 32), torch.tensor([[0, 5]])
    one, _ = model.reconstruct(volume, visible, torch.tensor([[2, 6]]))
    other, _ = model.reconstruct(volume, visible, torch.tensor([[6, 2]]))
    torch.testing.assert_close(one, other.flip(1), rtol=1e-4, atol=1e-5)
    assert (one[:, 0] - one[:, 1]).abs().max() > 1e-4


def test_loss_reaches_every_layer_that_dense_features_pass_through() -> None:
    model = autoencoder()
    volume = torch.randn(2, 32, 32, 32)
    visible, hidden = draw_pieces(2, 8, 0.75, 0.5, torch.Generator().manual_seed(0))
    model({"input": volume, "target": volume, "visible": visible, "hidden": hidden})["loss"].backward()
    heads = ("encoder.embedding", "encoder.particle")
    kernels = [(n, p) for n, p in model.named_parameters() if p.ndim > 1 and p.numel() and not n.startswith(heads)]
    assert len(kernels) > 20
    assert [n for n, p in kernels if p.grad is None or not p.grad.any()] == []


def test_low_pass_agrees_with_scipy() -> None:
    volume = np.random.default_rng(0).normal(size=(16, 16, 16)).astype(np.float32)
    expected = ndimage.gaussian_filter(volume, 1.0, mode="mirror", truncate=3.0)
    np.testing.assert_allclose(low_pass(torch.from_numpy(volume)[None], 1.0)[0].numpy(), expected, atol=1e-5)


def test_fourier_difference_ignores_a_shift_and_sees_a_blur() -> None:
    volume = torch.randn(1, 16, 16, 16)
    assert float(fourier_difference(volume, volume.roll(3, 2))) == pytest.approx(0, abs=1e-5)
    assert float(fourier_difference(volume, low_pass(volume, 1.0))) > 0.1


def test_features_are_interpolated_where_the_voxel_is() -> None:
    """On a map that holds its own cell centres in voxels, sampling returns the position asked for."""
    axes = torch.meshgrid(*[torch.arange(n) * 4 + 1.5 for n in (6, 7, 8)], indexing="ij")
    points = torch.tensor([[[5.0, 9.25, 20.5], [1.5, 1.5, 1.5]]])
    sampled = sample_features(torch.stack(axes)[None], points)
    torch.testing.assert_close(sampled, points)


def test_contrastive_loss_agrees_with_its_formula() -> None:
    torch.manual_seed(0)
    embedding = torch.nn.functional.normalize(torch.randn(7, 5), dim=1)
    label = [0, 0, 0, 1, 1, 2, -1]
    per_anchor = []
    for i, own in enumerate(label):
        positives = [j for j, other in enumerate(label) if other == own and j != i and own >= 0]
        if positives:
            weight = {j: float(torch.exp(embedding[i] @ embedding[j] / 0.1)) for j in range(7) if j != i}
            per_anchor.append(-np.mean([np.log(weight[j] / sum(weight.values())) for j in positives]))
    loss = supervised_contrastive(embedding, torch.tensor(label), 0.1)
    assert float(loss) == pytest.approx(np.mean(per_anchor), rel=1e-4)


def test_contrastive_loss_without_any_pair_is_zero() -> None:
    embedding = torch.nn.functional.normalize(torch.randn(3, 5, requires_grad=True), dim=1)
    loss = supervised_contrastive(embedding, torch.tensor([0, 1, -1]), 0.1)
    loss.backward()
    assert loss.item() == 0


def test_a_particle_of_no_class_counts_for_the_score_and_for_no_class() -> None:
    torch.manual_seed(0)
    config = compose_settings("pretrain", PretrainConfig, ["stage=metric"]).metric
    learner = MetricLearner(random_encoder("tiny"), config).eval()
    batch = {"input": torch.randn(2, 32, 32, 32), "points": torch.rand(2, 6, 3) * 24 + 4}
    labels = torch.tensor([[0, 1, 0, UNNAMED, BACKGROUND, PADDING], [1, 1, 0, UNNAMED, BACKGROUND, PADDING]])
    both = learner({**batch, "label": labels})
    neither = learner({**batch, "label": torch.where(labels == UNNAMED, BACKGROUND, labels)})
    torch.testing.assert_close(both["contrastive"], neither["contrastive"])
    assert (both["particle"] - neither["particle"]).abs().item() > 1e-4


def test_rebuilding_beside_adds_its_loss_and_trains_one_encoder() -> None:
    torch.manual_seed(0)
    config = compose_settings("pretrain", PretrainConfig, ["stage=metric", "metric.masked_weight=0.5"]).metric
    encoder = random_encoder("tiny")
    learner = MetricLearner(encoder, config, MaskedAutoencoder(encoder, 32, MASKED))
    visible, hidden = draw_pieces(2, 8, 0.75, 1.0, torch.Generator().manual_seed(0))
    batch = {
        "input": torch.randn(2, 32, 32, 32), "target": torch.randn(2, 32, 32, 32), "visible": visible,
        "hidden": hidden, "points": torch.rand(2, 6, 3) * 24 + 4, "label": torch.tensor([[0, 1, 0, 1, -1, -1]] * 2),
    }  # fmt: skip
    losses = learner(batch)
    alone = MetricLearner(encoder, config)(batch)
    rebuilt = MASKED.visible_weight * losses["visible"] + losses["masked"] + 0.01 * losses["fourier"]
    torch.testing.assert_close(losses["loss"], alone["loss"] + 0.5 * rebuilt)
    shared = {id(parameter) for parameter in encoder.parameters()}
    assert len(list(learner.parameters())) == len({id(p) for p in learner.parameters()})
    assert shared < {id(parameter) for parameter in learner.parameters()}
