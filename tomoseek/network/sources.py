"""From the word ``encoder=...`` to the file that holds the weights: on disk, in the package or on Hugging Face."""

import re
from pathlib import Path
from typing import NamedTuple

from tomoseek.errors import InputError

WEIGHTS = "encoder.safetensors"
SHIPPED_DIR = Path(__file__).resolve().parent / "shipped"
DEFAULT_SHIPPED = "tomoseek-small"
HUB_ID = re.compile(r"([a-z0-9][\w.-]*/[a-z0-9][\w.-]*)(?:@([\w./-]+))?", re.ASCII | re.IGNORECASE)


class HubId(NamedTuple):
    """A repository on Hugging Face, ``owner/name``, and a branch, tag or commit of it (None: its main branch)."""

    repository: str
    revision: str | None


def find_weights(source: str) -> Path:
    """Return the file with the weights that ``source`` names.

    The first that fits counts: an existing folder or file; the name of a shipped encoder, or ``shipped``; a
    repository on Hugging Face. Where a folder ``owner`` exists, ``owner/name`` is a mistyped path and not a
    repository, which can then be written ``owner/name@main``.

    Raises
    ------
    InputError
        If there is none.
    """
    path = Path(source)
    if path.is_dir():
        if not (path / WEIGHTS).is_file():
            raise InputError(
                f"encoder: expected {WEIGHTS} in folder '{source}', found none; run pretrain, or give its out_dir"
            )
        return path / WEIGHTS
    if path.exists():
        if path.suffix != ".safetensors":
            raise InputError(f"encoder: expected a folder or a .safetensors file, found '{source}'; give one of these")
        return path
    names = shipped_names()
    name = DEFAULT_SHIPPED if source == "shipped" else source
    if name in names:
        return SHIPPED_DIR / f"{name}.safetensors"
    known = ", ".join(names) or "none in this version"
    if source == "shipped":
        raise InputError(
            f"encoder: expected {DEFAULT_SHIPPED} among the shipped encoders, found {known}; "
            "give the out_dir of pretrain, or random-small for untrained weights"
        )
    hub_id = parse_hub_id(source)
    if hub_id is None:
        raise InputError(
            "encoder: expected a folder, a .safetensors file, a shipped name, owner/name on Hugging Face or "
            f"random-small, found '{source}'; give one of these (shipped: {known})"
        )
    if hub_id.revision is None and path.parent.is_dir():
        raise InputError(
            f"encoder: expected '{path.name}' in folder '{path.parent}', found none; run pretrain, or write "
            f"{source}@main for the repository of that name on Hugging Face"
        )
    return download_weights(hub_id)


def shipped_names() -> list[str]:
    """Names of the encoders that come with the package."""
    return sorted(path.stem for path in SHIPPED_DIR.glob("*.safetensors"))


def parse_hub_id(source: str) -> HubId | None:
    """Read ``owner/name`` or ``owner/name@revision``; None when ``source`` does not look like one."""
    found = HUB_ID.fullmatch(source)
    return None if found is None or source.endswith(".safetensors") else HubId(found[1], found[2])


def download_weights(hub_id: HubId) -> Path:
    """Fetch ``encoder.safetensors`` of a repository into the cache of Hugging Face, which also serves it offline.

    Raises
    ------
    InputError
        If there is no such repository, revision or file, or it is neither within reach nor in the cache.
    """
    from huggingface_hub import hf_hub_download  # slow to import, and seldom needed

    try:
        return Path(hf_hub_download(hub_id.repository, WEIGHTS, revision=hub_id.revision))
    except Exception as error:  # those of its network library, which differs between versions
        where = f"'{hub_id.repository}'" + (f" at '{hub_id.revision}'" if hub_id.revision else "")
        raise InputError(
            f"encoder: expected {WEIGHTS} in Hugging Face repository {where} (no such path is here), "
            f"found {hub_obstacle(error)}"
        ) from error


def hub_obstacle(error: Exception) -> str:
    """Say in half a line why Hugging Face did not answer, and what to do."""
    if getattr(getattr(error, "response", None), "status_code", None) in {401, 403, 404}:
        return "none that you may use; check name and revision, or log in with: hf auth login"
    if isinstance(error, FileNotFoundError):
        return "neither a connection nor a copy in the cache; fetch it once with a network, or give a folder"
    reason = " ".join(str(error).split())[:160].rstrip(".")
    return f"{type(error).__name__} ({reason}); check the name, or try again later"
