"""One bad tomogram does not stop the others: what is wrong with each is kept, and told at the end."""

from collections.abc import Iterator
from contextlib import contextmanager

from tomoseek.errors import IncompleteError, InputError
from tomoseek.messages import listed, warn


class Failures:
    """Runs that could not be done, and why.

    Examples
    --------
    >>> failures = Failures()
    >>> for run, size in {"TS_1": 3, "TS_2": 0}.items():
    ...     with failures.of(run):
    ...         if not size:
    ...             raise InputError("expected voxels, found none")
    >>> failures.reasons
    {'TS_2': 'expected voxels, found none'}
    """

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    @contextmanager
    def of(self, run: str) -> Iterator[None]:
        """Keep bad input of a run instead of stopping at it, and warn of it at once."""
        try:
            yield
        except (InputError, FileNotFoundError, PermissionError) as error:
            self.reasons[run] = str(error)
            warn(f"run {run} is left out: {error}")

    def finish(self, num_done: int) -> None:
        """Tell of all runs that were left out, if there are any; to be called when everything else is done.

        Parameters
        ----------
        num_done
            How many runs were done.

        Raises
        ------
        IncompleteError
            If some runs were left out.
        InputError
            If none was done.
        """
        if not self.reasons:
            return
        each = [f"{run}: {reason}" for run, reason in self.reasons.items()]
        count = f"{len(self.reasons)} tomogram{'s' if len(self.reasons) > 1 else ''} could not be read"
        if not num_done:
            raise InputError(f"{count}, and there is no other: {'; '.join(each)}")
        raise IncompleteError("\n  ".join([f"{count}, all else is done:", *each]))

    def warn_of_rest(self, num_left: int) -> None:
        """Say in one line that work goes on without the runs that were left out.

        Raises
        ------
        InputError
            If no run is left.
        """
        if self.reasons and not num_left:
            self.finish(0)
        if self.reasons:
            warn(f"goes on without {len(self.reasons)} bad tomograms: {listed(self.reasons)}")
