"""The encoder: geometry of its cells, positions, masked pieces."""

import pytest
import torch

from tomoseek.network.encoder import Encoder, EncoderConfig
from tomoseek.network.pyramid import ResidualConv
from tomoseek.network.transformer import rotary_table, token_grid
from tomoseek.network.weights import load_encoder, random_encoder


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return random_encoder("tiny").eval()


def test_maps_have_the_strides_they_are_named_after(encoder: Encoder) -> None:
    features = encoder(torch.randn(2, 1, 32, 48, 64))
    assert features.stride2.shape[2:] == (16, 24, 32)
    assert features.stride4.shape[1:] == (encoder.config.fused_channels, 8, 12, 16)
    assert features.stride8.shape[1:] == (encoder.config.width, 4, 6, 8)


def test_embedding_is_of_unit_length(encoder: Encoder) -> None:
    embedding, logit = encoder.embed(torch.randn(1, 1, 32, 32, 32))
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(1, 8, 8, 8))
    assert logit.shape == (1, 1, 8, 8, 8)


@pytest.mark.parametrize("axis", [2, 3, 4])
def test_pyramid_cells_are_centred_on_the_voxels_they_cover(encoder: Encoder, axis: int) -> None:
    """A flipped volume gives flipped maps when every kernel is made symmetric: no level drifts to one side."""
    pyramid = random_encoder("tiny").pyramid
    for parameter in pyramid.parameters():
        if parameter.ndim == 5:
            parameter.data = (parameter + parameter.flip(axis)) / 2
    volume = torch.randn(1, 1, 32, 32, 32)
    for direct, flipped in zip(pyramid(volume, 1), pyramid(volume.flip(axis), 1), strict=True):
        torch.testing.assert_close(flipped.flip(axis), direct, atol=1e-4, rtol=1e-4)


def test_attention_sees_differences_of_positions_only() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(1, 48), torch.randn(1, 48)

    def score(at: list[float], other: list[float]) -> float:
        table = rotary_table(torch.tensor([at, other]), 48)
        sine, cosine = table.chunk(2, -1)
        turned = []
        for k, x in enumerate((query, key)):
            first, second = x.chunk(2, -1)
            turned.append(x * cosine[k] + torch.cat([-second, first], -1) * sine[k])
        return float((turned[0] * turned[1]).sum())

    assert score([1, 2, 3], [4, 4, 4]) == pytest.approx(score([11, 2, 0], [14, 4, 1]), abs=1e-4)
    assert score([1, 2, 3], [4, 4, 4]) != pytest.approx(score([1, 2, 3], [4, 4, 5]), abs=1e-4)


def test_pieces_that_make_up_a_whole_volume_equal_the_volume_when_there_is_one_piece(encoder: Encoder) -> None:
    volume = torch.randn(2, 16, 16, 16)
    positions = token_grid((2, 2, 2), volume.device).expand(2, -1, -1)
    pieces = encoder.forward_visible(volume[:, None], positions)
    whole = encoder(volume[:, None])
    torch.testing.assert_close(pieces.stride4, whole.stride4)
    torch.testing.assert_close(pieces.stride8, whole.stride8)


@pytest.mark.parametrize("edge", [2, 4, 8])
def test_bfloat16_weight_gradients_agree_with_float32(edge: int) -> None:
    torch.manual_seed(0)
    block = ResidualConv(16)
    x = torch.randn(8, 16, edge, edge, edge)
    gradients = []
    for bfloat16 in (False, True):
        block.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            block(x, 8).float().square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in block.parameters() if parameter.grad is not None])
    for exact, rounded in zip(*gradients, strict=True):
        assert (exact - rounded).norm() < 0.05 * exact.norm()


def test_written_out_attention_gives_what_the_fused_kernel_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, volume = load_encoder("shipped"), torch.randn(1, 1, 32, 48, 48, generator=torch.Generator().manual_seed(0))

    def embed(most_written_out: int, exact: bool = False) -> torch.Tensor:
        monkeypatch.setattr("tomoseek.network.transformer.MOST_WRITTEN_OUT", most_written_out)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=not exact):
            return encoder.embed(volume)[0].float()

    torch.testing.assert_close(embed(5000, exact=True), embed(0, exact=True), atol=1e-5, rtol=1e-4)
    truth, written_out, fused = embed(0, exact=True), embed(5000), embed(0)
    assert not torch.equal(written_out, fused)
    worst = {name: (1 - (vectors * truth).sum(1)).max() for name, vectors in (("out", written_out), ("fused", fused))}
    assert worst["out"] < 1e-3 and worst["out"] < 2 * worst["fused"]


@pytest.mark.parametrize(
    "sizes", [{"num_heads": 0}, {"width": 10**9}, {"depth": 10**6}, {"conv_channels": [16, 48, -96]}]
)
def test_sizes_that_cannot_be_built_are_refused_before_anything_is(sizes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected widths of 1 to 4096 and depths of 0 to 64"):
        EncoderConfig(**sizes)  # type: ignore[arg-type]
