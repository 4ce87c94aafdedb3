"""Masked autoencoding: the encoder sees a quarter of a crop, a narrow decoder rebuilds some of the rest.

Shapes: b crops, n pieces of a crop (v visible, h hidden and rebuilt), p piece edge in voxels, k tokens along a piece
edge, d decoder width, z y x voxels.
"""

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from pretrain.config import MaskedConfig
from tomoseek.network.encoder import Encoder
from tomoseek.network.transformer import Transformer, token_grid

TOKEN = 8


def cut(volume: Tensor, edge: int) -> Tensor:
    """Cut ``(b, z, y, x)`` crops into ``(b, n, edge, edge, edge)`` cubes."""
    return rearrange(volume, "b (z i) (y j) (x k) -> b (z y x) i j k", i=edge, j=edge, k=edge)


def choose(pieces: Tensor, index: Tensor) -> Tensor:
    """Take the pieces ``(b, m)`` of each crop out of ``(b, n, ...)``: ``(b, m, ...)``."""
    return torch.stack([sample[chosen] for sample, chosen in zip(pieces, index, strict=True)])


def draw_pieces(
    batch: int, num_pieces: int, mask_ratio: float, rebuilt_share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw the pieces that stay visible and those, of the hidden ones, that are to be rebuilt.

    Returns
    -------
    tuple
        Indices ``(b, v)`` and ``(b, h)``, rising; at least one of each.
    """
    num_visible = min(max(1, round(num_pieces * (1 - mask_ratio))), num_pieces - 1)
    num_rebuilt = max(1, round((num_pieces - num_visible) * rebuilt_share))
    order = torch.rand(batch, num_pieces, generator=generator).argsort(dim=1)
    visible, hidden = order[:, :num_visible], order[:, num_visible : num_visible + num_rebuilt]
    return visible.sort(dim=1).values, hidden.sort(dim=1).values


class MaskedAutoencoder(nn.Module):
    """Encoder, mask token and decoder.

    Hidden pieces are dropped before the first convolution: the visible ones are convolved apart from each
    other, so nothing of a hidden piece reaches the encoder and nothing is spent on it. Of the hidden pieces a share is
    rebuilt, by a decoder that sees the transformer's tokens and a mask token for every token of those pieces: the rest
    is never computed. The visible ones are denoised from the fused stride-4 map, which trains the layers that dense
    features pass through.

    References
    ----------
    He et al., Masked autoencoders are scalable vision learners, 2021, section 3; Fu et al., Rethinking patch
    dependence for masked autoencoders, 2024, section 3.4 (rebuilding a share of what is hidden).
    """

    def __init__(self, encoder: Encoder, crop: int, config: MaskedConfig) -> None:
        super().__init__()
        self.config = config
        self.crop = crop
        self.encoder = encoder
        width = config.decoder_width
        self.project = nn.Linear(encoder.config.width, width)
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.decoder = Transformer(width, config.decoder_depth, config.decoder_heads, num_registers=0)
        self.rebuild = nn.Linear(width, TOKEN**3)
        self.denoise = nn.Conv3d(encoder.config.fused_channels, 4**3, 1)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        Parameters
        ----------
        batch
            ``input`` and ``target`` ``(b, z, y, x)`` normalised crops of one place; ``visible`` ``(b, v)`` and
            ``hidden`` ``(b, h)``, see `draw_pieces`.
        """
        visible, hidden = batch["visible"], batch["hidden"]
        rebuilt, denoised = self.reconstruct(batch["input"], visible, hidden)
        target = cut(low_pass(batch["target"], self.config.target_sigma), self.config.piece)  # b n p p p
        losses = {
            "masked": (rebuilt - choose(target, hidden)).square().mean(),
            "visible": (denoised - choose(target, visible)).square().mean(),
        }
        loss = losses["masked"] + self.config.visible_weight * losses["visible"]
        if self.config.fourier_weight:
            losses["fourier"] = fourier_difference(rebuilt, choose(target, hidden))
            loss = loss + self.config.fourier_weight * losses["fourier"]
        return {"loss": loss, **losses}

    def reconstruct(self, volume: Tensor, visible: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Rebuild hidden pieces from visible ones, and denoise those.

        Returns
        -------
        tuple
            Pieces in float32, hidden ones ``(b, h, p, p, p)`` and visible ones ``(b, v, p, p, p)``.
        """
        piece, grid = self.config.piece, self.crop // self.config.piece
        k = piece // TOKEN
        positions = rearrange(token_grid((grid,) * 3, volume.device) * k, "n c -> n 1 c")
        positions = positions + token_grid((k,) * 3, volume.device)  # n k^3 3
        seen_at, hidden_at = (rearrange(positions[index], "b m t c -> b (m t) c") for index in (visible, hidden))
        features = self.encoder.forward_visible(choose(cut(volume, piece), visible), seen_at)

        seen = rearrange(features.stride8, "(b v) d z y x -> b (v z y x) d", b=len(volume))
        seen = self.project(seen)  # b v*k^3 d
        asked = repeat(self.mask_token, "d -> b m d", b=len(volume), m=hidden_at.shape[1]).to(seen.dtype)
        tokens = self.decoder(torch.cat([seen, asked], 1), torch.cat([seen_at, hidden_at], 1))
        cubes = self.rebuild(tokens[:, seen.shape[1] :]).float()  # b h*k^3 TOKEN^3
        sizes = {"z": k, "y": k, "x": k, "i": TOKEN, "j": TOKEN}
        rebuilt = rearrange(cubes, "b (h z y x) (i j l) -> b h (z i) (y j) (x l)", **sizes)

        clean = self.denoise(features.stride4).float()  # b*v 64 p/4 p/4 p/4
        denoised = rearrange(clean, "(b v) (i j k) z y x -> b v (z i) (y j) (x k)", b=len(volume), i=4, j=4)
        return rebuilt, denoised


def low_pass(volume: Tensor, sigma: float) -> Tensor:
    """Gaussian low-pass of ``(b, z, y, x)`` crops, ``sigma`` in voxels, reflecting at the faces.

    One small matrix per axis: on a CPU ten times faster than convolutions with a single channel.
    """
    if sigma == 0:
        return volume
    with torch.autocast(volume.device.type, enabled=False):
        z, y, x = (gaussian_matrix(size, sigma).to(volume.device) for size in volume.shape[1:])
        smooth = volume.float() @ x.T
        smooth = y @ smooth
        return torch.einsum("ij,bjyx->biyx", z, smooth)


def gaussian_matrix(size: int, sigma: float) -> Tensor:
    """Return the ``(size, size)`` matrix that convolves a line with a Gaussian cut off at three sigma."""
    radius = max(1, round(3 * sigma))
    offsets = torch.arange(-radius, radius + 1)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    source = (torch.arange(size)[:, None] + offsets).abs()
    source = (size - 1) - ((size - 1) - source).abs()  # beyond a face: back inside
    weights = (kernel / kernel.sum()).expand(size, -1)
    return torch.zeros(size, size).scatter_add(1, source, weights)


def fourier_difference(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of the Fourier magnitudes of ``(..., z, y, x)`` volumes, in units of one voxel."""
    size = a.shape[-3:].numel() ** 0.5
    magnitudes = [torch.fft.rfftn(volume.float(), dim=(-3, -2, -1)).abs() / size for volume in (a, b)]
    difference: Tensor = (magnitudes[0] - magnitudes[1]).abs().mean()
    return difference
