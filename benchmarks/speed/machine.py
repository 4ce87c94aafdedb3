"""Two floors under any computation: its arithmetic over the machine's rate, its bytes over the machine's bandwidth."""

import math
import os
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from tomoseek.provenance import processor_name

MATMUL_SIZES = {"cpu": (512, 1024, 1536, 2048, 3072), "cuda": (2048, 4096, 8192)}
COPY_BYTES = {"cpu": 2**28, "cuda": 2**30}  # beyond every cache


class Machine(NamedTuple):
    """Measured rates: operations per second of matrix products, bytes per second read plus written by a copy."""

    bf16: float
    fp32: float
    bandwidth: float


class Work(NamedTuple):
    """What a computation asks for: floating-point operations, and bytes in and out of all its operators."""

    flops: float
    traffic: float


def describe(device: torch.device) -> str:
    """Name processor, cores, threads and versions."""
    parts = [
        f"{processor_name()}, {os.cpu_count()} cores",
        f"{torch.backends.cpu.get_cpu_capability()}",
        f"torch {torch.__version__}, {torch.get_num_threads()} threads",
    ]
    return ", ".join(parts + ([torch.cuda.get_device_name(device)] if device.type == "cuda" else []))


def wait(device: torch.device) -> None:
    """Return once a GPU has done all it was asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def step_seconds(functions: list[Callable[[], object]], warmup: int, steps: int, device: torch.device) -> list[float]:
    """Time functions by turns, so that whatever else slows the machine slows all; the median of each."""
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(warmup + steps):
        for taken, function in zip(seconds, functions, strict=True):
            wait(device)
            start = time.perf_counter()
            function()
            wait(device)
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken[warmup:]) for taken in seconds]


def product_rate(
    dtype: torch.dtype, device: torch.device, sizes: tuple[int, ...] | None = None, repeats: int = 7
) -> float:
    """Measure square matrix products of several sizes; operations per second of the best."""
    best = 0.0
    for size in sizes or MATMUL_SIZES[device.type]:
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        out = torch.empty_like(a)

        def multiply(a: Tensor = a, b: Tensor = b, out: Tensor = out) -> Tensor:
            return torch.mm(a, b, out=out)

        best = max(best, 2 * size**3 / step_seconds([multiply], 2, repeats, device)[0])
    return best


def measure_machine(device: torch.device, repeats: int = 7) -> Machine:
    """Measure matrix products in both formats, and a copy that fits no cache."""
    bf16, fp32 = (product_rate(dtype, device, repeats=repeats) for dtype in (torch.bfloat16, torch.float32))
    source = torch.rand(COPY_BYTES[device.type] // 4, device=device)
    copy = torch.empty_like(source)
    seconds = step_seconds([lambda: copy.copy_(source)], 2, repeats, device)[0]
    return Machine(bf16, fp32, 2 * source.nbytes / seconds)


class TrafficCounter(TorchDispatchMode):
    """Add up the bytes that operators read and write, as if each found its inputs in memory and left its outputs there.

    Views move nothing and are not counted. What one kernel does inside is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        read = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        written = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        stores = {tensor.untyped_storage()._cdata for tensor in read}
        shares = any(tensor.untyped_storage()._cdata in stores for tensor in written)
        if "empty" not in str(func) and (func._schema.is_mutable or not shares):
            self.total += sum(stored_bytes(tensor) for tensor in [*read, *written])
        return out


def stored_bytes(tensor: Tensor) -> int:
    """Bytes in memory behind a tensor; along an expanded axis all elements are one."""
    sizes = (size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)
    return math.prod(sizes) * tensor.element_size()


def count_work(function: Callable[[], object]) -> Work:
    """Run a function once and count.

    Operations are those of matrix products, convolutions and attention, two per multiply-add, backward as well;
    products with the zeros of a convolution's padding count, elementwise arithmetic and Fourier transforms do not.
    """
    with FlopCounterMode(display=False) as operations, TrafficCounter() as traffic:
        function()
    return Work(operations.get_total_flops(), traffic.total)
