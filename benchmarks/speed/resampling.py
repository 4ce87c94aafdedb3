"""What bringing a large tomogram to the encoder's voxel spacing costs, beside embedding it.

    python -m benchmarks.speed.resampling

A volume of 512 x 1024 x 1024 bytes at 7.84 Å, in chunks of 64 voxels on disk, is read in the tiles that ``embed build``
reads, once as it is and once brought to 10 Å; the encoder is timed on a few of them. Prints Markdown.
"""

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import zarr

from tomoseek import Tomogram
from tomoseek.network.weights import load_encoder
from tomoseek.provenance import processor_name
from tomoseek.running import Stopwatch, autocast, pick_device, progress
from tomoseek.tomograms.opening import open_zarr
from tomoseek.tomograms.tiling import plan_axis

SHAPE, SPACING, CHUNK = (512, 1024, 1024), 7.84, 64
TILE, OVERLAP, STRIDE = 96, 16, 4


def write_volume(path: Path, shape: tuple[int, int, int]) -> None:
    """Write noise of bytes, a slab of chunks at a time."""
    array = zarr.open(str(path), mode="w", shape=shape, chunks=(CHUNK,) * 3, dtype="i1", dimension_separator="/")
    random = np.random.default_rng(0)
    for start in range(0, shape[0], CHUNK):
        size = (min(CHUNK, shape[0] - start), *shape[1:])
        array[start : start + CHUNK] = random.integers(-60, 60, size, dtype=np.int8)


def read_tiles(tomogram: Tomogram, most: int | None) -> tuple[int, float, float]:
    """Crop tiles as ``embed build`` does; number of all of them, seconds for each, and peak memory in GB."""
    starts = list(itertools.product(*(plan_axis(n, TILE, OVERLAP, STRIDE).starts for n in tomogram.shape)))
    assert tomogram.contrast.scale > 0
    chosen = starts if most is None else starts[:: max(1, len(starts) // most)]
    with Stopwatch() as watch:
        for start in progress(chosen, f"tiles at {tomogram.voxel_spacing:g} Å", "tile"):
            tomogram.crop(start, (TILE,) * 3)
    return len(starts), watch.seconds / len(chosen), watch.peak_memory_gb


def main() -> None:
    """Write, read, time, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=SHAPE, help="voxels z y x")
    parser.add_argument("--most", type=int, help="tiles to read; all by default")
    arguments = parser.parse_args()
    device = pick_device("auto")
    encoder = load_encoder("shipped", device)
    tile = torch.randn(1, 1, TILE, TILE, TILE, device=device)
    with torch.inference_mode(), autocast(device):
        encoder.embed(tile)
        started = time.perf_counter()
        for _ in range(3):
            encoder.embed(tile)
        embedding = (time.perf_counter() - started) / 3
    print(
        f"{processor_name()}, {torch.get_num_threads()} threads; a tile of {TILE} voxels embedded: {embedding:.2f} s\n"
    )
    print(
        "| voxels | tiles | read, s a tile | embedded, s a tile | whole volume, min | peak memory, GB |",
        "|---" * 6 + "|",
        sep="\n",
    )
    with tempfile.TemporaryDirectory() as folder:
        write_volume(Path(folder) / "large.zarr", tuple(arguments.shape))
        stored = open_zarr(Path(folder) / "large.zarr", SPACING)
        for tomogram in (stored, stored.resampled("auto", encoder.config.voxel_spacing)):
            count, seconds, memory = read_tiles(tomogram, arguments.most)
            whole = count * (seconds + embedding) / 60
            size = " x ".join(map(str, tomogram.shape))
            cells = [f"{size} at {tomogram.voxel_spacing:g} Å", f"{count}", f"{seconds:.3f}", f"{embedding:.2f}"]
            print(f"| {' | '.join([*cells, f'{whole:.1f}', f'{memory:.2f}'])} |", flush=True)


if __name__ == "__main__":
    main()
