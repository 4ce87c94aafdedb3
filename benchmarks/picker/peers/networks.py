"""Networks of others, from MONAI, made to give class heatmaps at stride 2 as our decoder does.

MONAI serves benchmarks only and is in no list of dependencies: ``pip install --no-deps monai``.

Letters: b crops, c classes, z y x voxels.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from finetune.decoder import HEATMAP_STRIDE, RARE

try:
    from monai.networks.nets import SegResNet, UNet
except ImportError as error:
    raise SystemExit("the peers need MONAI: pip install --no-deps monai, or leave them out") from error

HEAD_CHANNELS = 48


class AveragedLogits(nn.Module):
    """A network with logits at full resolution, averaged over the voxels of each cell."""

    def __init__(self, network: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.network = network
        self.bias = nn.Parameter(rare(num_classes)[None, :, None, None, None])

    def forward(self, volume: Tensor) -> Tensor:
        """Return logits ``(b, c, z/2, y/2, x/2)`` for normalised crops ``(b, 1, z, y, x)``."""
        logits = self.network(volume)  # (b, c, z, y, x)
        return functional.avg_pool3d(logits, HEATMAP_STRIDE) + self.bias


class Float32(nn.Module):
    """A part of a network that autocast leaves alone."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Apply the part in float32."""
        with torch.autocast(x.device.type, enabled=False):
            return self.module(x.float())


class PointDetector(nn.Module):
    """A SegResNet decoded down to stride 2 only, and a head of two convolutions there.

    References
    ----------
    The detectors of the winning solution of the CZII challenge are built like this: 32 filters, blocks 1 2 2 4
    on the way down, a head of 48 channels at stride 2.
    """

    def __init__(self, backbone: SegResNet, num_filters: int, num_classes: int) -> None:
        super().__init__()
        backbone.up_samples, backbone.up_layers = backbone.up_samples[:-1], backbone.up_layers[:-1]
        backbone.conv_final = nn.Identity()
        self.backbone = backbone
        layers: list[nn.Module] = []
        for num_in in (2 * num_filters, HEAD_CHANNELS):
            conv = nn.Conv3d(num_in, HEAD_CHANNELS, 3, padding=1)
            layers += [conv, nn.SiLU(), nn.InstanceNorm3d(HEAD_CHANNELS)]
        self.head = nn.Sequential(*layers, nn.Conv3d(HEAD_CHANNELS, num_classes, 1))
        with torch.no_grad():
            self.head[-1].bias.copy_(rare(num_classes))

    def forward(self, volume: Tensor) -> Tensor:
        """Return logits ``(b, c, z/2, y/2, x/2)`` for normalised crops ``(b, 1, z, y, x)``."""
        x, skips = self.backbone.encode(volume)  # (b, w, z/8, y/8, x/8)
        levels = zip(self.backbone.up_samples, self.backbone.up_layers, skips[-2::-1], strict=False)
        for up, layer, skip in levels:
            x = layer(up(x) + skip)
        return self.head(x)


def rare(num_classes: int) -> Tensor:
    """Start where particles are as rare as our decoder takes them to be."""
    return torch.full((num_classes,), RARE).logit()


def unet(
    channels: list[int], strides: list[int], num_res_units: int, float32_bottom: bool = False
) -> Callable[[int], nn.Module]:
    """Return the builder of a MONAI U-Net, its innermost level in float32 if asked.

    On CPUs torch 2.15 now and then gives the bfloat16 weight gradient of a convolution over 2 x 2 x 2 voxels, where
    six levels end in crops of 64³, values of 1e15 and more. Clipping then undoes the whole step.
    """

    def builder(num_classes: int) -> nn.Module:
        network = UNet(3, 1, num_classes, channels, strides, num_res_units=num_res_units)
        if float32_bottom:
            skip = network.model[1]
            for _ in range(len(strides) - 2):
                skip = skip.submodule[1]
            # From here on: the last way down, the bottom, the first way up.
            skip.submodule = Float32(skip.submodule)
        return AveragedLogits(network, num_classes)

    return builder


def segresnet(num_filters: int) -> Callable[[int], nn.Module]:
    """Return the builder of a point detector on a MONAI SegResNet."""
    return lambda num_classes: PointDetector(SegResNet(3, num_filters, 1, 1), num_filters, num_classes)


NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    # octopi's default, which the baseline notebook of the challenge shares: 1.1 M parameters.
    "octopi": unet([48, 64, 80, 80], [2, 2, 1], 1),
    # Its widths carried on to six levels: 5.1 M parameters.
    "unet": unet([48, 64, 80, 80, 128, 128], [2, 2, 2, 2, 2], 2, float32_bottom=True),
    # 18.9 M parameters as the winners have it, and a quarter of that.
    "segresnet": segresnet(32),
    "segresnet16": segresnet(16),
}
# Measured on one thread, steps of four crops of 64³: 8.2 s against 8.8 s for segresnet; the others are as fast or
# faster the other way round (unet 1.78 s against 1.83 s, segresnet16 2.7 s against 3.1 s).
CHANNELS_LAST = {"segresnet"}


def build(name: str, num_classes: int, seed: int) -> nn.Module:
    """Build a network, its weights drawn from the seed, in the memory format that is fastest."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = NETWORKS[name](num_classes)
    return network.to(memory_format=torch.channels_last_3d if name in CHANNELS_LAST else torch.contiguous_format)
