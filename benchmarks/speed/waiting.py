"""How OpenMP threads should wait for each other: a tile embedded and a training step, on a quiet and a busy machine.

``python -m benchmarks.speed.waiting`` times each way of waiting by turns: alone, and beside processes that keep one
core each busy.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

WAYS: dict[str, dict[str, str]] = {
    "default": {},
    **{f"GOMP_SPINCOUNT={count}": {"GOMP_SPINCOUNT": f"{count}"} for count in (1000, 10_000, 100_000)},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
}
OF_OPENMP = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
BUSY = "while True: pass"


def measure(repeats: int) -> None:
    """Print the median seconds of a tile of 96 voxels a side embedded, and of a training step of two crops of 64."""
    import torch  # before tomoseek, which then leaves OpenMP's settings alone

    from tomoseek.network.weights import load_encoder
    from tomoseek.running import autocast

    device = torch.device("cpu")
    encoder = load_encoder("shipped", device)
    tile, crops = torch.randn(1, 1, 96, 96, 96), torch.randn(2, 1, 64, 64, 64)

    def embed() -> None:
        with torch.inference_mode(), autocast(device):
            encoder.embed(tile)

    def train() -> None:
        with autocast(device):
            vectors, logits = encoder.embed(crops)
        (vectors.mean() + logits.mean()).backward()

    medians = []
    for function in (embed, train):
        function()
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - start)
        medians.append(statistics.median(seconds))
    print(*medians)


def main() -> None:
    """Measure each way in processes of its own, for OpenMP reads its settings once, and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--rounds", type=int, default=2, help="how often each way has its turn")
    arguments.add_argument("--busy", type=int, nargs="*", default=[0, 1, 2], help="busy processes beside it")
    arguments.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.measure:
        return measure(options.repeats)
    print("| busy processes | way of waiting | tile embedded, s | training step, s |\n|---|---|---|---|")
    for num_busy in options.busy:
        others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(num_busy)]
        try:
            times: dict[str, list[list[float]]] = {name: [] for name in WAYS}
            for _ in range(options.rounds):
                for name, settings in WAYS.items():
                    plain = {key: value for key, value in os.environ.items() if key not in OF_OPENMP}
                    command = [sys.executable, "-m", "benchmarks.speed.waiting", "--measure"]
                    done = subprocess.run(
                        [*command, "--repeats", str(options.repeats)], env={**plain, **settings}, check=True,
                        capture_output=True, text=True,
                    )  # fmt: skip
                    times[name].append([float(word) for word in done.stdout.split()])
        finally:
            for other in others:
                other.kill()
        for name, rounds in times.items():
            embed, train = (min(column) for column in zip(*rounds, strict=True))
            print(f"| {num_busy} | {name} | {embed:.2f} | {train:.2f} |", flush=True)


if __name__ == "__main__":
    main()
