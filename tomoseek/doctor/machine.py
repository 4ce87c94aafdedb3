"""What this machine has: libraries that work, a GPU, memory and disk."""

import importlib
import logging
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import torch

from tomoseek.doctor.findings import Finding, Level
from tomoseek.running import describe_precision, pick_device

MODULES = ("torch", "faiss", "copick", "zarr", "numpy")
MEMORY_GB = 8.0
DISK_GB = 10.0


def check_machine() -> Iterator[Finding]:
    """Report versions, device, memory and disk."""
    logging.getLogger("faiss").setLevel(logging.WARNING)  # tells which instruction sets it tries
    found = [f"python {platform.python_version()}"]
    for name in MODULES:
        try:
            found.append(f"{name} {importlib.import_module(name).__version__}")
        except (ImportError, AttributeError) as error:
            reason = str(error).splitlines()[0]
            text = f"expected a working {name}, found {reason}: install tomoseek again"
            yield Finding(Level.problem, "libraries", text)
    yield Finding(Level.fine, "libraries", ", ".join(found))
    device = pick_device("auto")
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        text = f"{properties.name} with {properties.total_memory / 1e9:.0f} GB, {num_cores} CPU cores"
    else:
        text = f"no GPU, {num_cores} CPU cores: everything runs, slower"
    numbers: dict[str, Any] = {"device": str(device), "cpu_cores": num_cores}
    yield Finding(Level.fine, "device", f"{text}; {describe_precision(device)}", numbers=numbers)
    memory = psutil.virtual_memory()
    text = f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB memory free"
    numbers = {"memory_free_gb": round(memory.available / 1e9, 1), "memory_gb": round(memory.total / 1e9, 1)}
    if memory.available < MEMORY_GB * 1e9:
        text += f": a full-size tomogram may need {MEMORY_GB:.0f} GB"
        yield Finding(Level.warning, "memory", text, numbers=numbers)
    else:
        yield Finding(Level.fine, "memory", text, numbers=numbers)
    free = shutil.disk_usage(".").free / 1e9
    text = f"{free:.0f} GB disk free in {Path.cwd()}"
    numbers = {"disk_free_gb": round(free, 1)}
    if free < DISK_GB:
        text += f": {DISK_GB:.0f} GB is little room for indexes and checkpoints"
        yield Finding(Level.warning, "disk", text, numbers=numbers)
    else:
        yield Finding(Level.fine, "disk", text, numbers=numbers)
