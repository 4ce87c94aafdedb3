"""What the performance benchmark counts agrees with what is counted by hand."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.speed.machine import count_work
from pretrain.masked import choose, cut, draw_pieces
from tomoseek.network.encoder import Encoder, EncoderConfig
from tomoseek.running import autocast

CPU = torch.device("cpu")


@pytest.mark.parametrize(("needs_input_gradient", "products"), [(False, 2), (True, 3)])
def test_convolution_is_counted_forward_and_backward(needs_input_gradient: bool, products: int) -> None:
    conv = nn.Conv3d(8, 16, 4, stride=2, padding=1, bias=False)
    volume = torch.randn(2, 8, 12, 12, 12, requires_grad=needs_input_gradient)

    def step() -> None:
        with autocast(CPU):
            out = conv(volume)
        out.sum().backward()

    multiplications = 2 * 6**3 * 4**3 * 8 * 16  # samples, cells, kernel, channels in and out
    assert count_work(step).flops == 2 * multiplications * products


def test_fused_attention_counts_as_written_out() -> None:
    query, key, value = (torch.randn(2, 3, 40, 12) for _ in range(3))

    @torch.no_grad()
    def fused() -> Tensor:
        return functional.scaled_dot_product_attention(query, key, value)

    def written_out() -> Tensor:
        return (query @ key.transpose(-2, -1)).softmax(-1) @ value

    assert count_work(fused).flops == count_work(written_out).flops == 2 * (2 * 3) * 2 * 40 * 40 * 12


def test_hidden_pieces_cost_the_pyramid_nothing() -> None:
    encoder = Encoder(EncoderConfig(conv_channels=[8, 8, 8], width=24, depth=0, num_heads=2, fused_channels=8))
    crops = torch.randn(2, 64, 64, 64)
    visible, _ = draw_pieces(2, 64, 0.75, 1.0, torch.Generator().manual_seed(0))
    pieces = choose(cut(crops, 16), visible)
    whole = count_work(lambda: encoder.pyramid(crops[:, None], 2)).flops
    assert count_work(lambda: encoder.pyramid(pieces.flatten(0, 1)[:, None], 2)).flops == whole / 4


def test_traffic_is_what_goes_in_and_out_of_operators() -> None:
    a = torch.randn(10, 100)
    assert count_work(lambda: a + 1).traffic == 2 * a.nbytes
    assert count_work(lambda: a.add_(1)).traffic == 2 * a.nbytes
    assert count_work(lambda: a.view(100, 10).transpose(0, 1)).traffic == 0
    assert count_work(lambda: a * a[:1].expand(10, -1)).traffic == 2 * a.nbytes + a[:1].nbytes
