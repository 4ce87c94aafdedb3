"""How long it takes to embed one volume box by box with TomoTwin's network, and tile by tile as `embed build` does.

    python -m benchmarks.speed.tomotwin --threads 1

Needs TomoTwin's network, which imports torch alone: ``pip install --no-deps tomotwin-cryoet``. Its weights are random
and so is the volume; neither changes the cost. tomoseek embeds whole volumes, contrast, tiles and blending included,
but writes no index. Of TomoTwin some batches of boxes are timed and multiplied up, at its default stride and as densely
as our cells. In its favour: the network alone, without cutting and normalising boxes; boxes only where they fit in;
bfloat16 as well, though on a CPU it computes in float32; memory laid out as its convolutions like best. Its masks,
which leave out empty regions, are not used. All take turns, on the CPU. The ratio is that of the processor's seconds,
which other programs on the machine disturb least.

References
----------
Rice et al. 2023, Nature Methods, doi 10.1038/s41592-023-01878-z; https://github.com/MPI-Dortmund/tomotwin-cryoet, the
network's settings from ``resources/configs/config_siamese.json``, stride and batch from ``tomotwin_embed.py tomogram``.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.speed.machine import count_work, describe, step_seconds
from embed.build import BuildConfig
from embed.dense import embed_blocks, grid_shape
from tomoseek.command_line import compose_settings
from tomoseek.config import Polarity
from tomoseek.network.encoder import Encoder
from tomoseek.network.strides import EMBEDDING_STRIDE
from tomoseek.network.weights import load_encoder
from tomoseek.tomograms.tomogram import Tomogram

BOX, TOMOTWIN_STRIDE, WARMUP = 37, 2, 1
SETTINGS = {
    "output_channels": 32, "dropout": 0.2, "repeat_layers": 0, "gem_pooling_p": 0,
    "norm_name": "GroupNorm", "norm_kwargs": {"num_groups": 64, "num_channels": 1024},
}  # fmt: skip
CPU = torch.device("cpu")


def count_boxes(shape_zyx: Sequence[int], stride: int) -> int:
    """Count the boxes that fit into a volume, one at every ``stride``-th voxel along each axis."""
    return math.prod(max(0, (length - BOX) // stride + 1) for length in shape_zyx)


def tomotwin_network() -> nn.Module:
    """Build TomoTwin's network with its published settings.

    It has 77,563,360 parameters and takes 30.334 GFLOP a box, which is also what comes out by hand for ten convolutions
    of 3³ (two each of 64, 128, 256, 512 and 1024 channels) onto 38, 36, after pooling 16, 14, 12, 10, 8, 6, 4 and 2
    voxels along an axis, and linear layers from 8192 to 2048, 2048 and 32.
    """
    try:
        manager = import_module("tomotwin.modules.networks.networkmanager").NetworkManager
    except ImportError as error:
        raise SystemExit("the comparison needs TomoTwin: pip install --no-deps tomotwin-cryoet") from error
    network: nn.Module = manager.create_network({"identifier": "SiameseNet", "network_config": SETTINGS}).get_model()
    return network.eval().to(memory_format=torch.channels_last_3d)  # up to a tenth faster than the usual layout


@torch.inference_mode()
def embed_boxes(network: nn.Module, boxes: Tensor, bfloat16: bool) -> None:
    """Embed a batch of boxes, ``(b, 1, z, y, x)``."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        network(boxes)


def embed_volume(encoder: Encoder, array: NDArray[np.float32], config: BuildConfig) -> None:
    """Embed a whole volume with the settings of ``embed build``."""
    tomogram = Tomogram(
        run="noise", tomogram_type="noise", voxel_spacing=10.0, array=array, polarity=Polarity.dark, source="memory"
    )
    blocks = embed_blocks(
        encoder, tomogram, tile=config.tile, overlap=config.overlap, batch_size=config.batch_size, device=CPU,
        progress=False,
    )  # fmt: skip
    assert sum(len(cells) for cells, _, _ in blocks) == math.prod(grid_shape(tomogram.shape))


def clocked(function: Callable[[], object], taken: list[float]) -> None:
    """Call a function and note the processor's seconds."""
    start = time.process_time()
    function()
    taken.append(time.process_time() - start)


def main() -> None:
    """Time by turns, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--size", type=int, nargs=3, default=[64, 256, 256], help="voxels of the volume, z y x")
    parser.add_argument("--encoder", default="shipped")
    parser.add_argument("--batch-size", type=int, default=64, help="boxes at once; 64 is TomoTwin's default")
    parser.add_argument("--repeats", type=int, default=5, help="timed, after one more; the median counts")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    generator = torch.Generator().manual_seed(0)
    boxes = torch.randn(arguments.batch_size, 1, BOX, BOX, BOX, generator=generator)
    array = torch.randn(arguments.size, generator=generator).numpy()
    config = compose_settings("embed_build", BuildConfig)
    encoder, network = load_encoder(arguments.encoder, CPU), tomotwin_network()
    calls: dict[str, Callable[[], object]] = {
        "tomoseek": partial(embed_volume, encoder, array, config),
        "TomoTwin, float32": partial(embed_boxes, network, boxes, False),
        "TomoTwin, bfloat16": partial(embed_boxes, network, boxes, True),
    }
    print(describe(CPU), flush=True)
    processor: dict[str, list[float]] = {name: [] for name in calls}
    steps: list[Callable[[], object]] = [partial(clocked, call, processor[name]) for name, call in calls.items()]
    wall = dict(zip(calls, step_seconds(steps, WARMUP, arguments.repeats, CPU), strict=True))
    gflop = {name: count_work(call).flops / 1e9 for name, call in calls.items()}

    print(f"\nTomoTwin: extrapolated from {arguments.repeats * len(boxes)} boxes in each precision.\n")
    print(f"| | vectors | seconds | processor's seconds | GFLOP | ratio of processor's seconds |\n{'|---' * 6}|")
    ours = statistics.median(processor["tomoseek"][WARMUP:])
    for name, stride in [
        ("tomoseek", EMBEDDING_STRIDE),
        *product(list(calls)[1:], (TOMOTWIN_STRIDE, EMBEDDING_STRIDE)),
    ]:
        num_vectors = count_boxes(arguments.size, stride) if name != "tomoseek" else math.prod(grid_shape(array.shape))
        num_calls = num_vectors / len(boxes) if name != "tomoseek" else 1
        seconds = num_calls * statistics.median(processor[name][WARMUP:])
        row = [f"{number:,.1f}" for number in (num_calls * wall[name], seconds)]
        row += [f"{number:,.0f}" for number in (num_calls * gflop[name], seconds / ours)]
        print(f"| {name}, stride {stride} | {num_vectors:,} | {' | '.join(row)} |")


if __name__ == "__main__":
    main()
