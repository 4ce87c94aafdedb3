"""The encoder: a convolutional pyramid, a transformer at stride 8, both fused at stride 4.

Shapes: b samples, n pieces of one sample (1 when whole), t tokens, c channels, d transformer width,
e embedding width, z y x voxels or cells.
"""

from dataclasses import dataclass, field

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from tomoseek.network.pyramid import ConvPyramid, LinearPatches, SampleGroupNorm
from tomoseek.network.search_constants import SearchConstants
from tomoseek.network.transformer import Transformer, token_grid

LARGEST, MOST = 4096, 64  # width and depth of a damaged or hostile description are not built


@dataclass(kw_only=True, slots=True)
class EncoderConfig:
    """Sizes of an encoder (``configs/model``); the defaults are the *small* model."""

    tokenizer: str = "pyramid"
    conv_channels: list[int] = field(default_factory=lambda: [16, 48, 96])
    conv_depths: list[int] = field(default_factory=lambda: [1, 1, 1])
    width: int = 192
    depth: int = 6
    num_heads: int = 2
    num_registers: int = 4
    fused_channels: int = 96
    embedding_dim: int = 96
    voxel_spacing: float = 10.0

    def __post_init__(self) -> None:
        if self.tokenizer not in ("pyramid", "patches"):
            raise ValueError(f"model.tokenizer: expected pyramid or patches, found '{self.tokenizer}'")
        if len(self.conv_channels) != 3 or len(self.conv_depths) != 3:
            raise ValueError("model: expected three conv_channels and three conv_depths (stride 2, 4, 8)")
        sizes = [*self.conv_channels, self.width, self.num_heads, self.fused_channels, self.embedding_dim]
        counts = [*self.conv_depths, self.depth, self.num_registers]
        if not all(1 <= size <= LARGEST for size in sizes) or not all(0 <= count <= MOST for count in counts):
            raise ValueError(f"model: expected widths of 1 to {LARGEST} and depths of 0 to {MOST}")
        if self.depth and self.width % (6 * self.num_heads):
            raise ValueError(
                f"model: width must be a multiple of 6 x num_heads = {6 * self.num_heads}, found {self.width}"
            )
        if any(c % 8 for c in [*self.conv_channels, self.fused_channels]):
            raise ValueError("model: conv_channels and fused_channels must be multiples of 8 (group norm)")


@dataclass(slots=True)
class Features:
    """Dense features: ``(b, c, z/2, ...)``, ``(b, fused_channels, z/4, ...)``, ``(b, width, z/8, ...)``."""

    stride2: Tensor
    stride4: Tensor
    stride8: Tensor


class Encoder(nn.Module):
    """Features, embedding and particle score of a normalised volume (protein positive).

    Sizes along z, y and x must be multiples of 8.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.search_constants: SearchConstants | None = None  # measured once it is trained, and kept with its weights
        _, c4, c8 = config.conv_channels
        fused = config.fused_channels
        self.pyramid: nn.Module = (
            ConvPyramid(config.conv_channels, config.conv_depths)
            if config.tokenizer == "pyramid"
            else LinearPatches(config.conv_channels)
        )
        self.tokens = nn.Linear(c8, config.width)
        self.transformer = Transformer(config.width, config.depth, config.num_heads, config.num_registers)
        self.lift8 = nn.Conv3d(config.width, fused, 1)
        self.lift4 = nn.Conv3d(c4, fused, 1)
        self.fuse = nn.Conv3d(fused, fused, 3, padding=1, bias=False)
        self.fuse_norm = SampleGroupNorm(fused)
        self.embedding = nn.Conv3d(fused, config.embedding_dim, 1)
        self.particle = nn.Conv3d(fused, 1, 1)
        self.apply(_initialise)

    def forward(self, volume: Tensor) -> Features:
        """Map ``(b, 1, z, y, x)`` to feature maps at stride 2, 4 and 8."""
        num_samples = len(volume)
        volume = volume.contiguous(memory_format=torch.channels_last_3d)
        map2, map4, map8 = self.pyramid(volume, num_samples)
        positions = token_grid((map8.shape[2], map8.shape[3], map8.shape[4]), map8.device)
        map8 = self.attend(map8, positions, num_samples)
        return Features(map2, self.fuse_maps(map4, map8, num_samples), map8)

    def forward_visible(self, pieces: Tensor, positions: Tensor) -> Features:
        """Encode the visible pieces of partly hidden volumes; what is hidden is never computed.

        Parameters
        ----------
        pieces
            ``(b, n, p, p, p)``: n visible cubes of p voxels (a multiple of 8) of each volume.
        positions
            ``(b, n * (p/8)**3, 3)``: z y x coordinates of the tokens in the whole volume, in tokens.

        Returns
        -------
        Features
            Maps of the pieces, ``(b*n, c, p/s, p/s, p/s)``.
        """
        num_samples = len(pieces)
        pieces = rearrange(pieces, "b n z y x -> (b n) 1 z y x").contiguous(memory_format=torch.channels_last_3d)
        map2, map4, map8 = self.pyramid(pieces, num_samples)
        map8 = self.attend(map8, positions, num_samples)
        return Features(map2, self.fuse_maps(map4, map8, num_samples), map8)

    def attend(self, map8: Tensor, positions: Tensor, num_samples: int) -> Tensor:
        """Pass stride-8 maps ``(b*n, c, z, y, x)`` through the transformer: ``(b*n, d, z, y, x)``."""
        size = {"b": num_samples, "z": map8.shape[2], "y": map8.shape[3], "x": map8.shape[4]}
        tokens = self.tokens(rearrange(map8, "(b n) c z y x -> b (n z y x) c", b=num_samples))  # b t d
        tokens = self.transformer(tokens, positions)
        out: Tensor = rearrange(tokens, "b (n z y x) d -> (b n) d z y x", **size)
        return out

    def fuse_maps(self, map4: Tensor, map8: Tensor, num_samples: int) -> Tensor:
        """Bring ``(b*n, d, z/8, ...)`` up to stride 4 and merge it with ``(b*n, c, z/4, ...)``."""
        coarse = functional.interpolate(self.lift8(map8), scale_factor=2, mode="nearest")
        merged = functional.gelu(coarse + self.lift4(map4))
        return functional.gelu(self.fuse_norm(self.fuse(merged), num_samples))

    def embed(self, volume: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(b, 1, z, y, x)`` to unit vectors ``(b, e, z/4, ...)`` and particle logits ``(b, 1, z/4, ...)``."""
        return self.heads(self(volume).stride4)

    def heads(self, fused: Tensor) -> tuple[Tensor, Tensor]:
        """Embedding and particle logit of fused features of any spatial size, in float32."""
        with torch.autocast(fused.device.type, enabled=False):
            fused = fused.float()
            return functional.normalize(self.embedding(fused), dim=1), self.particle(fused)


def _initialise(module: nn.Module) -> None:
    """He initialisation for convolutions, the usual truncated normal for linear layers."""
    if isinstance(module, nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
