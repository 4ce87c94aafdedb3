"""Masking leaks nothing; the losses agree with their definitions."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from pretrain.config import MaskedConfig
from pretrain.masked import MaskedAutoencoder, choose_visible, cut, fourier_difference, join, low_pass
from pretrain.metric import sample_features, supervised_contrastive
from tomoseek.weights import random_encoder

MASKED = MaskedConfig(
    mask_ratio=0.75, piece=16, target_sigma=1.0, visible_weight=0.25, fourier_weight=0.01,
    decoder_width=24, decoder_depth=1, decoder_heads=2,
)  # fmt: skip


def autoencoder() -> MaskedAutoencoder:
    torch.manual_seed(0)
    return MaskedAutoencoder(random_encoder("tiny"), 32, MASKED)


def test_cutting_and_joining_returns_the_volume() -> None:
    volume = torch.randn(2, 32, 32, 32)
    assert torch.equal(join(cut(volume, 8), 4), volume)
    assert torch.equal(cut(volume, 8)[0, 1], volume[0, :8, :8, 8:16])


def test_hidden_voxels_change_nothing_and_visible_ones_do() -> None:
    model = autoencoder().eval()
    visible = torch.tensor([[0, 5]])
    volume = torch.randn(1, 32, 32, 32)
    before, hidden = model.reconstruct(volume, visible)
    with_other_hidden, _ = model.reconstruct(torch.where(hidden.bool(), torch.randn_like(volume), volume), visible)
    torch.testing.assert_close(with_other_hidden, before, rtol=0, atol=0)
    with_other_visible, _ = model.reconstruct(torch.where(hidden.bool(), volume, torch.randn_like(volume)), visible)
    assert (with_other_visible - before)[hidden.bool()].abs().max() > 1e-4
    assert hidden.mean() == 0.75
    assert hidden[0, :16, :16, :16].sum() == 0


def test_loss_reaches_every_layer_that_dense_features_pass_through() -> None:
    model = autoencoder()
    volume = torch.randn(2, 32, 32, 32)
    visible = choose_visible(2, 8, 0.75, torch.Generator().manual_seed(0))
    model({"input": volume, "target": volume, "visible": visible})["loss"].backward()
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
