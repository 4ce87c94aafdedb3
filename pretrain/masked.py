"""Masked autoencoding: the encoder sees a quarter of a crop, a narrow decoder rebuilds the rest.

Shapes: b crops, n pieces of a crop (v visible), p piece edge in voxels, k tokens along a piece edge,
t tokens of a crop, d decoder width, z y x voxels.
"""

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from pretrain.config import MaskedConfig
from tomoseek.encoder import Encoder
from tomoseek.transformer import Transformer, token_grid

TOKEN = 8


def cut(volume: Tensor, edge: int) -> Tensor:
    """Cut ``(b, z, y, x)`` crops into ``(b, n, edge, edge, edge)`` cubes."""
    return rearrange(volume, "b (z i) (y j) (x k) -> b (z y x) i j k", i=edge, j=edge, k=edge)


def join(cubes: Tensor, grid: int) -> Tensor:
    """Put ``(b, grid**3, edge, edge, edge)`` cubes back into ``(b, z, y, x)`` crops; inverse of `cut`."""
    return rearrange(cubes, "b (z y x) i j k -> b (z i) (y j) (x k)", z=grid, y=grid)


def choose_visible(batch: int, num_pieces: int, mask_ratio: float, generator: torch.Generator) -> Tensor:
    """Draw the ``(b, v)`` indices of the pieces that stay visible, at least one of each crop."""
    num_visible = max(1, round(num_pieces * (1 - mask_ratio)))
    order = torch.rand(batch, num_pieces, generator=generator).argsort(dim=1)
    return order[:, :num_visible].sort(dim=1).values


class MaskedAutoencoder(nn.Module):
    """Encoder, mask tokens and decoder.

    Hidden pieces are dropped before the first convolution: the visible ones are convolved apart from each
    other, so nothing of a hidden piece reaches the encoder and nothing is spent on it. The hidden pieces are
    rebuilt from the transformer's tokens by the decoder; the visible ones are denoised from the fused
    stride-4 map, which trains the layers that dense features pass through.

    References
    ----------
    He et al., Masked autoencoders are scalable vision learners, 2021, section 3.
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
            ``input`` and ``target`` ``(b, z, y, x)`` normalised crops of one place; ``visible`` ``(b, v)``.
        """
        rebuilt, hidden = self.reconstruct(batch["input"], batch["visible"])
        target = low_pass(batch["target"], self.config.target_sigma)
        squared = (rebuilt - target).square()
        share = hidden.mean()
        masked = (squared * hidden).mean() / share
        visible = (squared * (1 - hidden)).mean() / (1 - share)
        loss = masked + self.config.visible_weight * visible
        losses = {"masked": masked, "visible": visible}
        if self.config.fourier_weight:
            losses["fourier"] = fourier_difference(rebuilt, target)
            loss = loss + self.config.fourier_weight * losses["fourier"]
        return {"loss": loss, **losses}

    def reconstruct(self, volume: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Rebuild crops from their visible pieces.

        Returns
        -------
        tuple
            ``(b, z, y, x)`` prediction in float32, and a map of the same shape that is 1 where pieces were hidden.
        """
        piece, grid = self.config.piece, self.crop // self.config.piece
        pieces = cut(volume, piece)  # b n p p p
        shown = torch.stack([sample[index] for sample, index in zip(pieces, visible, strict=True)])  # b v p p p
        k, tokens_across = piece // TOKEN, self.crop // TOKEN
        positions = rearrange(token_grid((grid,) * 3, volume.device) * k, "n c -> n 1 c")
        positions = positions + token_grid((k,) * 3, volume.device)  # n k^3 3
        seen_at = rearrange(positions[visible], "b v k c -> b (v k) c")
        features = self.encoder.forward_visible(shown, seen_at)

        tokens = rearrange(features.stride8, "(b v) d z y x -> b (v z y x) d", b=len(volume))
        tokens = self.project(tokens)  # b v*k^3 d
        full = repeat(self.mask_token, "d -> b t d", b=len(volume), t=tokens_across**3).to(tokens.dtype)
        scale = torch.tensor([tokens_across**2, tokens_across, 1], device=volume.device)
        place = (seen_at.long() * scale).sum(-1, keepdim=True).expand(-1, -1, tokens.shape[-1])
        full = full.scatter(1, place, tokens)  # b t d
        full = self.decoder(full, token_grid((tokens_across,) * 3, volume.device))
        cubes = rearrange(self.rebuild(full).float(), "b t (i j k) -> b t i j k", i=TOKEN, j=TOKEN)
        hidden_part = cut(join(cubes, tokens_across), piece)  # b n p p p

        clean = self.denoise(features.stride4).float()  # b*v 64 p/4 p/4 p/4
        clean = rearrange(clean, "(b v) (i j k) z y x -> b v (z i) (y j) (x k)", b=len(volume), i=4, j=4)
        index = visible[:, :, None, None, None].expand_as(clean)
        rebuilt = hidden_part.scatter(1, index, clean)
        hidden = torch.ones_like(hidden_part).scatter(1, index, 0.0)
        return join(rebuilt, grid), join(hidden, grid)


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
    """Mean absolute difference of the Fourier magnitudes of ``(b, z, y, x)`` crops, in units of one voxel."""
    size = a[0].numel() ** 0.5
    magnitudes = [torch.fft.rfftn(volume.float(), dim=(1, 2, 3)).abs() / size for volume in (a, b)]
    difference: Tensor = (magnitudes[0] - magnitudes[1]).abs().mean()
    return difference
