"""What the user is told along the way: one way to warn, one way to list names."""

import sys
import warnings
from collections.abc import Iterable
from typing import Any

_told: set[str] = set()  # in this process


class Notice(UserWarning):
    """Something that does not stop the work and that its user should know."""


def warn(message: str) -> None:
    """Warn the user: a Python warning for those who call a function, one line on standard error for those who type."""
    warnings.warn(message, Notice, stacklevel=3)


def warn_once(message: str) -> None:
    """Warn the user of what one command would come upon several times, such as a project that it opens again."""
    if message not in _told:
        _told.add(message)
        warnings.warn(message, Notice, stacklevel=3)


def show_notices_plainly() -> None:
    """Print every `Notice` from now on as one line, ``warning: ...``, and other warnings as Python does."""
    warnings.simplefilter("always", Notice)
    as_python_does = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, Notice):
            print(f"warning: {message}", file=sys.stderr, flush=True)
        else:
            as_python_does(message, category, *place, **more)

    warnings.showwarning = show


def listed(names: Iterable[object], most: int = 10) -> str:
    """Return names in the order given, the first ``most`` of them and how many more there are; ``none`` of none."""
    found = [str(name) for name in names]
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return (", ".join(found[:most]) or "none") + more
