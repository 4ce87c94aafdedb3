"""Judgements in a table: made with the finds that are most useful to judge, filled in by a person, read again.

Columns ``run,object,x,y,z,score,right``: right is 1 or 0 (yes and no are understood), empty where nobody has judged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from embed.finds import Finds, Judged
from embed.judged import LOOK_AHEAD, Expected, num_needed
from embed.search import Found
from tomoseek.errors import InputError
from tomoseek.files import atomic_write_text

COLUMNS = ["run", "object", "x", "y", "z", "score", "right"]
NUM_OFFERED = 20
YES, NO = {"1", "1.0", "true", "yes", "y", "right"}, {"0", "0.0", "false", "no", "n", "wrong"}


@dataclass(frozen=True)
class Outcome:
    """What judgements say of one object: how many there are, what is expected of its picks, and how many more tell it.

    Attributes
    ----------
    num_judged
        Of its finds.
    expected
        Of its picks.
    num_needed
        Further ones until the precision is known to within 5 % either way; None where more than 60.
    """

    num_judged: int
    expected: Expected
    num_needed: int | None


def judge_by_table(path: Path, found: Mapping[str, Found]) -> dict[str, Outcome]:
    """Read a table of judgements, and put the finds that are most useful to judge next into it, to be filled in.

    A table that is not there is made. What a person has filled in stays.

    Raises
    ------
    InputError
        If a column is missing, or something else than 1, 0 or nothing stands in ``right``.
    """
    table = read_table(path)
    outcomes, rows = {}, [table[table["right"] != ""]]
    for name, each in found.items():
        finds = Finds.of(each)
        promise = finds.promise(judged_places(table, name))
        picked = finds.scores >= each.cutoff.threshold
        chosen, widths = promise.most_telling(picked, LOOK_AHEAD)
        outcomes[name] = Outcome(int((~np.isnan(promise.right)).sum()), promise.expected(picked), num_needed(widths))
        rows.append(_offered(name, finds, chosen[:NUM_OFFERED]))
    columns = [*COLUMNS, *(name for name in table if name not in COLUMNS)]  # a person's own remarks stay
    atomic_write_text(path, pd.concat(rows).reindex(columns=columns, fill_value="").fillna("").to_csv(index=False))
    return outcomes


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of judgements as text; an empty one where there is no file.

    Raises
    ------
    InputError
        If it is no such table.
    """
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS, dtype=str)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (ValueError, OSError) as error:
        raise InputError(f"judged: expected a table {','.join(COLUMNS)} in {path}, found {error}") from error
    missing = [name for name in COLUMNS if name not in table and name != "score"]
    if missing:
        raise InputError(f"judged: expected columns {','.join(COLUMNS)} in {path}, found no {', '.join(missing)}")
    table["score"] = table.get("score", "")
    table["right"] = table["right"].str.strip().str.lower()
    bad = table[~table["right"].isin(["", *YES, *NO])]
    if len(bad):
        raise InputError(
            f"judged: expected 1, 0 or nothing in column right of {path}, found '{bad['right'].iloc[0]}' in row "
            f"{bad.index[0] + 2}"
        )
    return table


def judged_places(table: pd.DataFrame, name: str) -> list[Judged]:
    """Return what a person has said of places of one object."""
    said = table[(table["object"] == name) & (table["right"] != "")]
    try:
        xyz = said[["x", "y", "z"]].astype(float).to_numpy()
    except ValueError as error:
        raise InputError(f"judged: expected x, y, z in Å, found {error}") from error
    return [
        Judged(str(run), (float(x), float(y), float(z)), str(right) in YES)
        for run, (x, y, z), right in zip(said["run"], xyz, said["right"], strict=True)
    ]


def describe(outcome: Outcome) -> str:
    """Say in a line what is known by now."""
    low, high = outcome.expected.precision_interval
    more = outcome.num_needed
    hint = "more than 60 further judgements" if more is None else f"{more} more judgements"
    known = "known to within 0.05" if more == 0 else f"{hint} of the finds offered promise +-0.05"
    return (
        f"{outcome.num_judged} judged: precision {outcome.expected.precision:.2f} ({low:.2f} to {high:.2f}), recall "
        f"{outcome.expected.recall:.2f}; {known}"
    )


def _offered(name: str, finds: Finds, chosen: np.ndarray) -> pd.DataFrame:
    xyz = finds.xyz[chosen].round(1)
    return pd.DataFrame(
        {
            "run": finds.run[chosen], "object": name, "x": xyz[:, 0], "y": xyz[:, 1], "z": xyz[:, 2],
            "score": finds.scores[chosen].round(4), "right": "",
        }
    )  # fmt: skip
