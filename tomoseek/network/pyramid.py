"""Convolutional tokenizer: feature maps at stride 2, 4 and 8 of a volume.

Shapes: b samples, n separate pieces of one sample, c channels, z y x voxels or cells.
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional


class SampleGroupNorm(nn.Module):
    """Group norm over all pieces of a sample, so that a sample cut into pieces is scaled as a whole.

    References
    ----------
    Wu and He, Group Normalization, 2018.
    """

    def __init__(self, num_channels: int, num_groups: int = 8) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(num_groups, num_channels)

    def forward(self, x: Tensor, num_samples: int) -> Tensor:
        """Normalise ``(b*n, c, z, y, x)`` maps of ``num_samples`` = b samples."""
        pieces = x.shape[0] // num_samples
        if pieces == 1:
            return self.norm(x)  # type: ignore[no-any-return]
        x = rearrange(x, "(b n) c z y x -> b c (n z) y x", b=num_samples)
        normed: Tensor = rearrange(self.norm(x), "b c (n z) y x -> (b n) c z y x", n=pieces)
        return normed


def convolve(conv: nn.Conv3d, x: Tensor) -> Tensor:
    """Apply a convolution, in float32 where the CPU's bfloat16 kernel is wrong.

    oneDNN returns uninitialised memory as the bfloat16 weight gradient of maps two cells wide (torch 2.15).
    """
    if x.shape[-1] < 4 and x.device.type == "cpu":
        with torch.autocast("cpu", enabled=False):
            return conv(x.float())  # type: ignore[no-any-return]
    return conv(x)  # type: ignore[no-any-return]


class ResidualConv(nn.Module):
    """Two 3x3x3 convolutions with a skip connection."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(num_channels, num_channels, 3, padding=1, bias=False)
        self.norm1 = SampleGroupNorm(num_channels)
        self.conv2 = nn.Conv3d(num_channels, num_channels, 3, padding=1, bias=False)
        self.norm2 = SampleGroupNorm(num_channels)

    def forward(self, x: Tensor, num_samples: int) -> Tensor:
        """Map ``(b*n, c, z, y, x)`` to the same shape."""
        hidden = functional.gelu(self.norm1(convolve(self.conv1, x), num_samples))
        return functional.gelu(x + self.norm2(convolve(self.conv2, hidden), num_samples))


class Downsample(nn.Module):
    """Halve the resolution with a 4x4x4 kernel.

    An even kernel with padding 1 is centred on the two voxels that a cell covers; a 3x3x3 kernel would move
    every feature by half a voxel per level.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, 4, stride=2, padding=1, bias=False)
        self.norm = SampleGroupNorm(out_channels)

    def forward(self, x: Tensor, num_samples: int) -> Tensor:
        """Map ``(b*n, c, z, y, x)`` to ``(b*n, d, z/2, y/2, x/2)``."""
        return functional.gelu(self.norm(self.conv(x), num_samples))


class ConvPyramid(nn.Module):
    """Feature maps at stride 2, 4 and 8.

    Parameters
    ----------
    channels
        Channels of the three levels.
    depths
        Residual blocks at each level.
    """

    def __init__(self, channels: list[int], depths: list[int]) -> None:
        super().__init__()
        inputs = [1, *channels[:-1]]
        self.down = nn.ModuleList(Downsample(i, o) for i, o in zip(inputs, channels, strict=True))
        self.blocks = nn.ModuleList(
            nn.ModuleList(ResidualConv(c) for _ in range(depth)) for c, depth in zip(channels, depths, strict=True)
        )

    def forward(self, volume: Tensor, num_samples: int) -> list[Tensor]:
        """Map ``(b*n, 1, z, y, x)`` to three maps ``(b*n, c, z/s, y/s, x/s)``, s = 2, 4, 8.

        Pieces are convolved apart from one another (each is zero-padded), so nothing leaks from one to the
        next: the masked autoencoder passes only the visible pieces.
        """
        maps, x = [], volume
        for down, blocks in zip(self.down, self.blocks, strict=True):
            x = down(x, num_samples)
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x, num_samples)
            maps.append(x)
        return maps


class LinearPatches(nn.Module):
    """Maps at stride 2, 4 and 8 as linear projections of cubes of 2, 4 and 8 voxels, as plain ViTs have them.

    The control that shows what the convolutions of `ConvPyramid` are worth; same maps, no context.
    """

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.patches = nn.ModuleList(
            nn.Conv3d(1, count, edge, stride=edge) for count, edge in zip(channels, (2, 4, 8), strict=True)
        )

    def forward(self, volume: Tensor, num_samples: int) -> list[Tensor]:
        """Map ``(b*n, 1, z, y, x)`` to three maps ``(b*n, c, z/s, y/s, x/s)``, s = 2, 4, 8."""
        return [patch(volume) for patch in self.patches]
