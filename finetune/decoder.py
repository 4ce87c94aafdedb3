"""A light decoder from the encoder's maps to class heatmaps at stride 2.

Letters: b crops, c classes, w channels, z y x voxels or cells, p the stride of the heatmap.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from tomoseek.network.encoder import Encoder, EncoderConfig, Features

HEATMAP_STRIDE = 2  # voxels along the edge of a cell
SKIP_CHANNELS = 16
RARE = 0.01


class ConvNormAct(nn.Sequential):
    """Convolution, group norm, SiLU; keeps the size."""

    def __init__(self, num_in: int, num_out: int, kernel_size: int) -> None:
        super().__init__(
            nn.Conv3d(num_in, num_out, kernel_size, padding=kernel_size // 2, bias=False),
            nn.GroupNorm(min(8, num_out), num_out),
            nn.SiLU(),
        )


class Decoder(nn.Module):
    """Merge stride 8, stride 4 and stride 2 maps and the voxels themselves into class heatmaps.

    Upsampling interpolates, then convolves: transposed convolutions leave a checkerboard that shifts peaks. Maps are
    merged cell by cell, at a fraction of the cost of a 3x3x3 kernel; what lies around a cell comes in after that.
    The voxels enter as 2 x 2 x 2 blocks folded into channels, a full-resolution skip at stride-2 cost.

    Parameters
    ----------
    encoder
        Shape of the encoder whose maps come in.
    num_classes
        Heatmaps that go out.
    channels
        Width at stride 4 and at stride 2.
    """

    def __init__(self, encoder: EncoderConfig, num_classes: int, channels: list[int]) -> None:
        super().__init__()
        self.channels = list(channels)
        coarse, fine = channels
        self.from_stride8 = ConvNormAct(encoder.width, coarse, 1)
        self.from_stride4 = ConvNormAct(encoder.fused_channels, coarse, 1)
        self.merge_stride4 = ConvNormAct(2 * coarse, coarse, 1)
        self.refine_stride4 = ConvNormAct(coarse, coarse, 3)
        self.narrow = ConvNormAct(coarse, fine, 1)
        self.from_stride2 = ConvNormAct(encoder.conv_channels[0], SKIP_CHANNELS, 1)
        self.from_voxels = ConvNormAct(HEATMAP_STRIDE**3, SKIP_CHANNELS, 3)
        self.merge_stride2 = ConvNormAct(fine + 2 * SKIP_CHANNELS, fine, 1)
        self.refine_stride2 = ConvNormAct(fine, fine, 3)
        self.head = nn.Conv3d(fine, num_classes, 1)
        # Particles are rare: starting there spares the first steps the work of pushing every cell down.
        nn.init.constant_(self.head.bias, float(torch.logit(torch.tensor(RARE))))  # type: ignore[arg-type]

    def forward(self, volume: Tensor, features: Features) -> Tensor:
        """Return logits ``(b, c, z/2, y/2, x/2)`` for ``volume`` ``(b, 1, z, y, x)`` and its features."""
        deep = _upsample(self.from_stride8(features.stride8))  # (b, w, z/4, y/4, x/4)
        x = self.merge_stride4(torch.cat([deep, self.from_stride4(features.stride4)], dim=1))
        x = x + self.refine_stride4(x)
        x = _upsample(self.narrow(x))  # (b, w, z/2, y/2, x/2)
        edge = HEATMAP_STRIDE
        folded = rearrange(volume, "b 1 (z p) (y q) (x r) -> b (p q r) z y x", p=edge, q=edge, r=edge)
        x = self.merge_stride2(torch.cat([x, self.from_stride2(features.stride2), self.from_voxels(folded)], dim=1))
        x = x + self.refine_stride2(x)
        logits: Tensor = self.head(x)
        return logits


class Picker(nn.Module):
    """Encoder and decoder together.

    Parameters
    ----------
    encoder, decoder
        The two halves.
    frozen
        Whether the encoder stays as it is; no gradient is computed for it then.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder, frozen: bool = True) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.frozen = frozen
        self.to(memory_format=torch.channels_last_3d)

    def forward(self, volume: Tensor) -> Tensor:
        """Return logits ``(b, c, z/2, y/2, x/2)`` for normalised crops ``(b, 1, z, y, x)``."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.encoder(volume)
        logits: Tensor = self.decoder(volume, features)
        return logits


def _upsample(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="trilinear", align_corners=False)
