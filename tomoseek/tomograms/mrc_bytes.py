"""Whether the bytes of an MRC volume (mode 0) have a sign: what its header says, else what its values look like."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoseek.messages import warn_once

IMOD_STAMP = 1146047817  # word 39 of the headers that IMOD writes; bit 0 of word 40 then says signed
_IMOD_WORDS = slice(40, 48)  # within `extra2`, which mrcfile begins at word 29
_SIGNED_BIT, _HALF_BYTES_BIT = 1, 16
_VERSIONS = (20140, 20141)  # MRC2014, where mode 0 is signed
_SECTIONS, _ROWS = 16, 256
# Wrong reading of one cloud of values tears it apart and doubles its spread or more.
_CLEAR, _CONTRADICTION = 1.1, 1.5


def imod_flags(header: Any) -> int | None:
    """Return the flags that IMOD left in an MRC header, None where it left none."""
    order = {"<": "<", ">": ">"}.get(header.mode.dtype.byteorder, "=")
    stamp, flags = np.frombuffer(header.extra2.tobytes()[_IMOD_WORDS], dtype=f"{order}i4")
    return int(flags) if int(stamp) == IMOD_STAMP else None


def holds_half_bytes(header: Any) -> bool:
    """Tell whether IMOD packed two values of four bits into each byte."""
    return bool((imod_flags(header) or 0) & _HALF_BYTES_BIT)


def signed_by_header(header: Any) -> bool | None:
    """Tell whether an MRC header says that its bytes are signed; None where it does not say."""
    flags = imod_flags(header)
    if flags is not None:
        return bool(flags & _SIGNED_BIT)
    return True if int(header.nversion) in _VERSIONS else None


def with_sign(volume: NDArray[np.int8], header: Any, path: Path) -> NDArray[np.generic]:
    """Return a volume of bytes with the sign they were written with, and say so where that had to be guessed.

    Parameters
    ----------
    volume
        ``(z, y, x)``, mapped; a few sections of it are read.
    header
        As mrcfile reads it.
    path
        The file, for warnings.
    """
    signed = signed_by_header(header)
    torn = _torn_by_sign(volume)
    looks_signed = torn < 1
    if signed is None:
        signed = torn <= 1
        if torn != 1:
            clear = max(torn, 1 / torn) >= _CLEAR
            warn_once(
                f"{path} holds bytes, and its header does not say whether they are signed: they are read as "
                f"{_word(signed)}, {'as their values suggest' if clear else 'though their values do not tell'}"
            )
    elif looks_signed != signed and max(torn, 1 / torn) > _CONTRADICTION:
        warn_once(
            f"{path} says that its bytes are {_word(signed)}, yet they look {_word(not signed)}: they are read as it "
            "says; look at a slice, and write the file anew as 16-bit integers if it is torn into black and white"
        )
    return volume if signed else volume.view(np.uint8)


def _torn_by_sign(volume: NDArray[np.int8]) -> float:
    """Spread of sampled values read as signed, over that as unsigned; 1 where both readings are one but for a shift.

    Values cut off at both ends of a reading's range, which no other reading explains, decide before the spread.
    """
    sections = np.unique(np.linspace(0, volume.shape[0] - 1, _SECTIONS).astype(int))
    step = max(1, volume.shape[1] // _ROWS)
    counts = np.zeros(256)
    for section in sections:
        rows = np.ascontiguousarray(volume[section, ::step]).view(np.uint8)
        counts += np.bincount(rows.ravel(), minlength=256)
    if not counts[:128].any() or not counts[128:].any():
        return 1.0
    cut_signed, cut_unsigned = (_is_cut(counts, *ends) for ends in (((128, 129), (127, 126)), ((0, 1), (255, 254))))
    if cut_signed != cut_unsigned:
        return 2.0 if cut_unsigned else 0.5
    values = np.arange(256)
    return _spread(values.astype(np.uint8).view(np.int8), counts) / _spread(values, counts)


def _is_cut(counts: NDArray[np.float64], *ends: tuple[int, int]) -> bool:
    """Tell whether each end of a range holds much more than the value next to it."""
    return all(counts[end] > 2 * counts[beside] for end, beside in ends)


def _spread(values: NDArray[Any], counts: NDArray[np.float64]) -> float:
    """Mean distance from the median."""
    order = np.argsort(values)
    cumulated = np.cumsum(counts[order])
    median = float(values[order][np.searchsorted(cumulated, cumulated[-1] / 2)])
    return float(np.average(np.abs(values - median), weights=counts))


def _word(signed: bool) -> str:
    return "signed" if signed else "unsigned"
