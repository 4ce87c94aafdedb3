"""Save and load encoders: safetensors for the weights, JSON for the sizes and where they came from."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from tomoseek.config import CONFIG_DIR
from tomoseek.encoder import Encoder, EncoderConfig
from tomoseek.errors import InputError
from tomoseek.training import atomic_write_json

WEIGHTS, DESCRIPTION = "encoder.safetensors", "encoder.json"


def save_encoder(encoder: Encoder, folder: Path, provenance: dict[str, Any]) -> None:
    """Write ``encoder.safetensors`` and ``encoder.json`` (sizes, fingerprint, ``provenance``) into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{WEIGHTS}.{os.getpid()}"
    save_file({key: value.cpu().contiguous() for key, value in encoder.state_dict().items()}, temporary)
    os.replace(temporary, folder / WEIGHTS)
    description = {
        "model": dataclasses.asdict(encoder.config),
        "fingerprint": fingerprint(encoder),
        "provenance": provenance,
    }
    atomic_write_json(folder / DESCRIPTION, description)


def model_config(name: str) -> EncoderConfig:
    """Read ``configs/model/<name>.yaml``.

    Raises
    ------
    InputError
        If there is no such model.
    """
    path = CONFIG_DIR / "model" / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml")))
        raise InputError(f"model: expected one of {known}; found '{name}'")
    sizes = OmegaConf.to_object(OmegaConf.load(path))
    assert isinstance(sizes, dict)
    return EncoderConfig(**{str(key): value for key, value in sizes.items()})


def random_encoder(model: str, seed: int = 0) -> Encoder:
    """Build an untrained encoder, the control that every learned feature has to beat."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Encoder(model_config(model))


def load_encoder(source: str, device: torch.device | str = "cpu") -> Encoder:
    """Load an encoder for inference.

    Parameters
    ----------
    source
        A folder that `save_encoder` wrote, or ``random-tiny`` / ``random-small`` / ``random-base`` (``random``
        is ``random-small``): untrained weights, seed 0.

    Raises
    ------
    InputError
        If nothing is found there, or the files are damaged or do not fit together.
    """
    if source == "random" or source.startswith("random-"):
        encoder = random_encoder(source.removeprefix("random").removeprefix("-") or "small")
        return encoder.eval().to(device)
    folder = Path(source)
    for name in (WEIGHTS, DESCRIPTION):
        if not (folder / name).is_file():
            raise InputError(
                f"encoder: expected {name} in folder '{source}', found none; run pretrain, or give its out_dir"
            )
    try:
        sizes = json.loads((folder / DESCRIPTION).read_text())["model"]
        encoder = Encoder(EncoderConfig(**sizes))
        encoder.load_state_dict(load_file(folder / WEIGHTS))
    except (json.JSONDecodeError, KeyError, TypeError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"encoder: '{source}' is damaged or of another version ({reason}); train or copy it again"
        ) from error
    return encoder.eval().to(device)


def fingerprint(module: nn.Module) -> str:
    """Return 16 hexadecimal digits of the SHA-256 over all weights and their names."""
    digest = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
