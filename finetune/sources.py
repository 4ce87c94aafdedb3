"""From the word ``checkpoint=...`` to the folder that holds a trained picker."""

from pathlib import Path

from tomoseek.errors import InputError

WEIGHTS, DESCRIPTION = "finetune.safetensors", "finetune.json"
SHIPPED = "shipped"
SHIPPED_DIR = Path(__file__).resolve().parent / SHIPPED
OWN = Path("runs/finetune")  # where finetune train writes unless told otherwise


def find_checkpoint(source: str | Path | None) -> Path:
    """Return the folder of the picker that ``source`` names.

    Parameters
    ----------
    source
        An existing folder; ``shipped``, the picker that comes with the package; or None, which is ``runs/finetune``
        where a picker lies there, and else the shipped one.

    Raises
    ------
    InputError
        If the folder holds no picker.
    """
    if source is None:
        return OWN if (OWN / DESCRIPTION).is_file() else SHIPPED_DIR
    folder = Path(source)
    if str(source) == SHIPPED and not folder.is_dir():
        return SHIPPED_DIR
    if not (folder / DESCRIPTION).is_file():
        raise InputError(
            f"checkpoint: expected {DESCRIPTION} in folder '{folder}', found none; run finetune train, give another "
            f"folder, or {SHIPPED} for the picker of the six challenge complexes that comes along"
        )
    return folder
