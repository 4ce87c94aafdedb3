"""Save and load encoders.

One safetensors file is enough: its metadata holds the sizes, the fingerprint and where the weights came from.
``encoder.json`` beside it says the same to people, and is read for weights saved before the metadata were.
"""

import copy
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn

from tomoseek.config import CONFIG_DIR
from tomoseek.errors import InputError
from tomoseek.files import atomic_write_bytes, atomic_write_json
from tomoseek.network.encoder import Encoder, EncoderConfig
from tomoseek.network.expected_input import NORMALISATION
from tomoseek.network.search_constants import SearchConstants
from tomoseek.network.sources import WEIGHTS as WEIGHTS  # those who save an encoder look for its file
from tomoseek.network.sources import find_weights, hub_obstacle
from tomoseek.provenance import code_version

DESCRIPTION = "encoder.json"
# One key alone: safetensors writes several in no fixed order, and equal encoders shall be equal files.
METADATA_KEY = "tomoseek"


def save_encoder(encoder: Encoder, folder: Path, provenance: dict[str, Any]) -> None:
    """Write ``encoder.safetensors`` and ``encoder.json`` into ``folder``.

    Both hold sizes, fingerprint and provenance. To ``provenance`` are added the package version and the git commit,
    where it does not name them itself.
    """
    description = _describe(encoder, provenance)
    _write(encoder, folder / WEIGHTS, description)
    atomic_write_json(folder / DESCRIPTION, description)


def export_encoder(encoder: Encoder, path: Path, provenance: dict[str, Any]) -> None:
    """Write one small file to ship or share: weights rounded to half precision, description in the metadata.

    Rounding makes another encoder with a fingerprint of its own, which every copy of the file shares, in whatever
    form it is saved again.

    Raises
    ------
    InputError
        If ``path`` does not end in ``.safetensors``, or a weight is too large for half precision.
    """
    if path.suffix != ".safetensors":
        raise InputError(f"path: expected the name of a .safetensors file, found '{path}'")
    rounded = copy.deepcopy(encoder).half().float()
    for key, value in rounded.state_dict().items():
        if not torch.isfinite(value).all():
            raise InputError(f"{key}: expected weights within half precision (65504), found larger; use save_encoder")
    description = _describe(rounded, provenance)
    _write(rounded.half(), path, description)


def push_encoder(folder: Path, repository: str, private: bool = True) -> str:
    """Upload what `save_encoder` wrote to a repository on Hugging Face, and return the address of the commit.

    The provenance goes along: the settings of the training, with their paths.

    Parameters
    ----------
    folder
        For instance the ``out_dir`` of pretrain.
    repository
        ``owner/name``; made when there is none. You have to be logged in (``hf auth login``).
    private
        Whether a repository that is made now is hidden from others.

    Raises
    ------
    InputError
        If the folder holds no sound encoder, or one saved before its file described itself, or the upload is refused.
    """
    from huggingface_hub import HfApi  # slow to import, and seldom needed

    pushed = fingerprint(load_encoder(folder))  # nobody else should be the one to find it damaged
    if _metadata(folder / WEIGHTS) is None:
        raise InputError(f"encoder: expected sizes in the metadata of '{folder / WEIGHTS}', found none; save it again")
    try:
        api = HfApi()
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository, folder_path=folder, allow_patterns=[WEIGHTS, DESCRIPTION],
            commit_message=f"Encoder {pushed}",
        )  # fmt: skip
    except Exception as error:  # those of its network library, which differs between versions
        raise InputError(
            f"repository: expected one that takes an upload, '{repository}', found {hub_obstacle(error)}"
        ) from error
    return str(commit.commit_url)


def load_encoder(source: str | Path, device: torch.device | str = "cpu") -> Encoder:
    """Load an encoder for inference, in float32.

    Parameters
    ----------
    source
        The first of these that fits:

        - an existing folder that `save_encoder` wrote, or an existing ``.safetensors`` file;
        - ``random-tiny`` / ``random-small`` / ``random-base`` (``random`` is ``random-small``): untrained weights,
          seed 0;
        - ``shipped``, or the name of an encoder that comes with the package (`shipped_names`);
        - ``owner/name`` or ``owner/name@revision``: a repository on Hugging Face (`find_weights`).

    Raises
    ------
    InputError
        If nothing is found there, or the files are damaged or do not fit together.
    """
    source = str(source)
    if not Path(source).exists() and (source == "random" or source.startswith("random-")):
        encoder = random_encoder(source.removeprefix("random").removeprefix("-") or "small")
        return encoder.eval().to(device)
    path = find_weights(source)
    try:
        description = read_description(path)
        encoder = Encoder(EncoderConfig(**description["model"]))
        encoder.load_state_dict(load_file(path))
        if constants := description.get("search_constants"):
            encoder.search_constants = SearchConstants(**constants)
        expected, found = description["fingerprint"], fingerprint(encoder)
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"encoder: '{source}' is damaged or of another version ({reason}); train or copy it again"
        ) from error
    if found != expected:
        raise InputError(
            f"encoder: '{source}' is damaged: expected weights of fingerprint {expected}, found {found}; "
            "train or copy it again"
        )
    return encoder.eval().to(device)


def read_description(path: Path) -> dict[str, Any]:
    """Read what a file of weights says of itself: ``model`` (sizes), ``fingerprint`` and ``provenance``.

    Raises
    ------
    InputError
        If it says nothing, and no ``encoder.json`` beside it does.
    """
    text = _metadata(path)
    beside = path.with_name(DESCRIPTION)
    if text is None and path.name == WEIGHTS and beside.is_file():
        text = beside.read_text()
    if text is None:
        raise InputError(
            f"encoder: expected a file that tomoseek saved, with its sizes in the metadata, found '{path}' without; "
            f"give another, or put its {DESCRIPTION} beside its {WEIGHTS}"
        )
    description: dict[str, Any] = json.loads(text)
    return description


def write_search_constants(path: Path, constants: SearchConstants) -> None:
    """Write into a file of weights what searches with it may promise; the weights stay as they are.

    Parameters
    ----------
    path
        A file that `save_encoder` or `export_encoder` wrote.

    Raises
    ------
    InputError
        If the file does not describe itself.
    """
    description = read_description(path) | {"search_constants": dataclasses.asdict(constants)}
    atomic_write_bytes(path, save(load_file(path), metadata={METADATA_KEY: json.dumps(description)}))
    if (beside := path.with_name(DESCRIPTION)).is_file():
        atomic_write_json(beside, description)


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


def fingerprint(module: nn.Module) -> str:
    """Return 16 hexadecimal digits of the SHA-256 over all weights and their names."""
    digest = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _describe(encoder: Encoder, provenance: dict[str, Any]) -> dict[str, Any]:
    constants = encoder.search_constants
    return {
        "model": dataclasses.asdict(encoder.config),
        "fingerprint": fingerprint(encoder),
        "input": {"voxel_spacing": encoder.config.voxel_spacing, **NORMALISATION},
        "search_constants": None if constants is None else dataclasses.asdict(constants),
        "provenance": {**code_version(), **provenance},
    }


def _metadata(path: Path) -> str | None:
    """Read the description that a file carries, if any."""
    with safe_open(path, framework="pt") as file:
        return (file.metadata() or {}).get(METADATA_KEY)


def _write(encoder: Encoder, path: Path, description: dict[str, Any]) -> None:
    """Write the weights as they are, under their name only once they are whole."""
    tensors = {key: value.cpu().contiguous() for key, value in encoder.state_dict().items()}
    # Not save_file, which lets nobody but the owner read the file.
    atomic_write_bytes(path, save(tensors, metadata={METADATA_KEY: json.dumps(description)}))
