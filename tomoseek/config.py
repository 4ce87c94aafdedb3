"""Settings that several commands share, and where their YAML lies; nothing here needs Hydra."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

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
