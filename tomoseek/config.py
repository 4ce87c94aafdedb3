"""Settings that several commands share, and where their YAML lies; nothing here needs Hydra."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from tomoseek.errors import InputError

_PACKAGED = Path(__file__).resolve().parent / "configs"
CONFIG_DIR = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).resolve().parent.parent / "configs"


class Polarity(Enum):
    """How protein looks in the files; the networks always see protein as positive values."""

    dark = "dark"
    bright = "bright"


@dataclass(kw_only=True, slots=True)
class DataConfig:
    """Which tomograms of which copick project a command reads (``configs/data``)."""

    project: str | None
    runs: list[str] | None
    tomogram_type: str
    voxel_spacing: float | None
    polarity: Polarity
    resample: Any = "auto"  # or None or Å per voxel
    mask: str | None = "auto"

    def __post_init__(self) -> None:
        self.resample = check_resample(self.resample)


def check_resample(resample: Any) -> str | float | None:
    """Return ``data.resample`` if it is ``auto``, None or Å per voxel.

    Raises
    ------
    InputError
        If it is anything else.
    """
    if resample is None:
        return None
    if resample == "auto":
        return "auto"
    if isinstance(resample, int | float) and not isinstance(resample, bool) and 0 < resample < float("inf"):
        return float(resample)
    raise InputError(
        f"data.resample: expected auto (the spacing that the network knows), null (as they are) or Å per voxel, found "
        f"{resample}"
    )


@dataclass(kw_only=True, slots=True)
class PicksConfig:
    """Whose picks: copick user and session; None is anyone, where picks are read."""

    user_id: str | None
    session_id: str | None

    def owner(self, word: str = "picks") -> tuple[str, str]:
        """Return user and session where both have to be named.

        Parameters
        ----------
        word
            What to call the setting in messages.

        Raises
        ------
        InputError
            If one is not.
        """
        if self.user_id is None or self.session_id is None:
            raise InputError(
                f"{word}: expected a user_id and a session_id, found {self.user_id} and {self.session_id}; give both"
            )
        return self.user_id, self.session_id
