"""CSV tables of picks."""

import codecs
import csv
import re
import warnings
from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from tomoseek.errors import InputError
from tomoseek.files import atomic_write_text
from tomoseek.picks.points import PickRow, Picks

if TYPE_CHECKING:  # slow to import, and seldom needed
    import pandas as pd

RUN_COLUMNS = ("run", "experiment", "run_name", "rlnTomoName")
OBJECT_COLUMNS = ("object", "particle_type", "object_name")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_DECIMAL_COMMA = r"^([-+]?\d*),(\d+([eE][-+]?\d+)?)$"


def read_points_csv(
    path: str | Path, object_name: str | None = None, default_run: str | None = None
) -> dict[str, Picks]:
    """Read points from a CSV with columns ``run`` (or ``experiment``), ``x``, ``y``, ``z`` in Å and perhaps
    ``score``.

    Commas, semicolons or tabs part the columns; with the latter two a comma may be the decimal mark. Names of columns
    may be in capitals, and an empty score is as good as none.

    Parameters
    ----------
    path
        The file, as `write_csv` writes it or as a challenge submission.
    object_name
        Keep only this class, when the file has a column ``object`` or ``particle_type``.
    default_run
        The run of all points when the file has no run column.

    Returns
    -------
    Picks by run.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    InputError
        When a column is missing, a coordinate is not a number, or no row is left.
    """
    table = _read_table(Path(path), default_run)
    if object_name is not None and "object" in table:
        present = sorted(table["object"].unique())
        table = table[table["object"] == object_name]
        if table.empty:
            raise InputError(
                f"expected points of '{object_name}' in {path}, found {', '.join(present)}: check the name"
            )
    return _picks_by_run(table, path)


def read_objects_csv(path: str | Path, default_run: str | None = None) -> dict[str | None, dict[str, Picks]]:
    """Read the points of every class in a CSV, as `read_points_csv` does those of one.

    Returns
    -------
    Picks by class and run. A file without a column ``object`` or ``particle_type`` holds one class, None.

    Raises
    ------
    FileNotFoundError, InputError
        As `read_points_csv`; also when a row leaves its class open.
    """
    table = _read_table(Path(path), default_run)
    if "object" not in table or table.empty:
        return {None: _picks_by_run(table, path)}
    nameless = np.flatnonzero(table["object"] == "")
    if len(nameless):
        raise InputError(f"expected an object for each point in {path}, found none for point {nameless[0] + 1}: add it")
    return {str(name): _picks_by_run(rows, path) for name, rows in table.groupby("object", sort=False)}


def _read_table(path: Path, default_run: str | None) -> "pd.DataFrame":
    """Read a CSV of points as columns run, x, y, z and perhaps object and score, whatever the file calls them.

    All as text, for a run may be called 00255, 1e3 or NA; rows without any content are passed over.
    """
    import pandas as pd

    if not path.is_file():
        raise FileNotFoundError(f"expected a CSV of points at {path}, found no such file: check the path")
    try:
        text = _decoded(path)
        separator = _separator(text)
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):  # of rows that are too long
            table = pd.read_csv(
                StringIO(text), sep=separator, comment="#", skipinitialspace=True, dtype=str, na_filter=False,
                index_col=False,
            )  # fmt: skip
    except UnicodeDecodeError as error:
        raise InputError(f"expected a CSV in UTF-8 at {path}, found {error}: save it as CSV UTF-8") from error
    except (ValueError, pd.errors.ParserWarning) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"expected a CSV with a header in {path}, found {reason}: write columns run,x,y,z") from error
    columns = [str(column).strip() for column in table.columns]
    table.columns = pd.Index(columns)
    table = table[(table.map(str.strip) != "").any(axis=1)].fillna("")
    by_name = {column.lower(): column for column in reversed(columns)}
    missing = [axis for axis in "xyz" if axis not in by_name]
    run_column = next((by_name[name.lower()] for name in RUN_COLUMNS if name.lower() in by_name), None)
    if run_column is None and default_run is None:
        missing.insert(0, "run")
    if missing:
        raise InputError(
            f"expected columns run, x, y, z (Å) in {path}, found {', '.join(columns)}: add {', '.join(missing)}"
        )
    object_column = next((by_name[name.lower()] for name in OBJECT_COLUMNS if name.lower() in by_name), None)
    wanted = ["x", "y", "z", *(["score"] if "score" in by_name else [])]
    read = pd.DataFrame({name: table[by_name[name]].str.strip() for name in wanted})
    if separator != ",":
        read = read.replace(_DECIMAL_COMMA, r"\1.\2", regex=True)
    read["run"] = table[run_column] if run_column else default_run
    if object_column:
        read["object"] = table[object_column]
    return read.reset_index(drop=True)


def _decoded(path: Path) -> str:
    """Text of a table as editors and spreadsheets save it: UTF-8 or, with its mark, UTF-16."""
    raw = path.read_bytes()
    text = raw.decode("utf-16" if raw[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _separator(text: str) -> str:
    """What parts the columns of a table: the mark that stands between x, y and z in its first line."""
    lines = (line for line in text.splitlines() if line.strip(" ,;\t") and not line.lstrip().startswith("#"))
    header = next(lines, "").lower().replace('"', "")
    for separator in ("\t", ";"):
        if {"x", "y", "z"} <= {name.strip() for name in header.split(separator)}:
            return separator
    return ","


def _picks_by_run(table: "pd.DataFrame", path: str | Path) -> dict[str, Picks]:
    """Split the rows of one class by run, refusing what is no number; an empty score is 1, as an absent one."""
    if table.empty:
        raise InputError(f"expected at least one point in {path}, found none: add rows")
    wanted = [column for column in ("x", "y", "z", "score") if column in table]
    if "score" in table:
        table = table.assign(score=table["score"].where(table["score"] != "", "1"))
    bad = ~table[wanted].map(lambda value: bool(_NUMBER.fullmatch(value))).to_numpy()  # (n, columns)
    if bad.any():
        row = int(np.flatnonzero(bad.any(axis=1))[0])
        found = ", ".join(str(value) for value in table.iloc[row][wanted])
        raise InputError(f"expected numbers in {path}, found '{found}' in point {row + 1}: repair the row")
    runs = table["run"].to_numpy()
    if (runs == "").any():
        raise InputError(
            f"expected a run for each point in {path}, found none for point {int(np.flatnonzero(runs == '')[0]) + 1}: "
            "add it"
        )
    numbers = table[wanted].to_numpy(dtype=str).astype(np.float64)  # (n, columns)
    points, scores = numbers[:, :3], numbers[:, 3] if "score" in table else np.ones(len(table))
    return {str(run): Picks(points[runs == run], scores[runs == run]) for run in dict.fromkeys(runs)}


def to_dataframe(rows: Iterable[PickRow]) -> "pd.DataFrame":
    """Return picks as a table with columns run, object, x, y, z (Å) and score."""
    import pandas as pd

    parts = [
        pd.DataFrame(
            {"run": run, "object": name, **dict(zip("xyz", picks.points_xyz.T, strict=True)), "score": picks.scores}
        )
        for run, name, picks in rows
        if len(picks)
    ]
    columns = ["run", "object", "x", "y", "z", "score"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def write_csv(path: str | Path, rows: Iterable[PickRow]) -> None:
    """Write picks as CSV with columns run, object, x, y, z (Å) and score; names are quoted where they need it.

    Parameters
    ----------
    path
        The file.
    rows
        (run, object name, picks) in the order to write.
    """
    table = to_dataframe(rows)
    for column, digits in {"x": "{:.3f}", "y": "{:.3f}", "z": "{:.3f}", "score": "{:.6g}"}.items():
        table[column] = table[column].map(digits.format)
    # pandas by itself leaves unquoted what it reads as a comment or drops in front of a name.
    odd = any("#" in name or name[:1].isspace() for name in {*table["run"], *table["object"]})
    quoting: Literal[0, 1] = csv.QUOTE_ALL if odd else csv.QUOTE_MINIMAL
    atomic_write_text(Path(path), table.to_csv(index=False, lineterminator="\n", quoting=quoting))
