"""What a package offers is imported when it is asked for: torch, timm and copick take seconds."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def offer(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return what a package's ``__getattr__`` does.

    Parameters
    ----------
    package
        Its name.
    homes
        By name of what it offers, the module inside it.
    """

    def look_up(name: str) -> Any:
        if name in homes:
            return getattr(import_module(f"{package}.{homes[name]}"), name)
        raise AttributeError(f"module '{package}' has no attribute '{name}'")

    return look_up
