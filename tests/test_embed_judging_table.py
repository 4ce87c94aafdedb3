"""Judgements in a table that a person fills in."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from embed.judging_table import COLUMNS, describe, judge_by_table
from embed.promise import Cutoff
from embed.prototype import Prototype
from embed.search import Found
from tomoseek.errors import InputError
from tomoseek.picks.points import Picks

NUM = 100


def answer(name: str = "it") -> Found:
    """A search with a hundred candidates in two runs, the upper half of which is promised."""
    scores = np.linspace(1.0, 0.3, NUM)
    points = np.stack([np.arange(NUM) * 300.0, np.zeros(NUM), np.zeros(NUM)], 1)
    likely = 1 / (1 + np.exp(-np.linspace(4, -4, NUM)))
    halves = {"a": slice(0, None, 2), "b": slice(1, None, 2)}
    prototype = Prototype(np.zeros(4), np.zeros((0, 4)), rival_weight=0.3, scale=1.0, offset=0.0)
    return Found(
        {run: Picks(points[half], scores[half]) for run, half in halves.items()},
        {run: likely[half] for run, half in halves.items()}, {"a": 25, "b": 25}, Cutoff(0.65, 0.85, 0.9), prototype,
        np.zeros(0), 0.0, name, 60.0, [],
    )  # fmt: skip


def test_a_table_is_made_filled_in_and_read_and_what_was_said_stays(tmp_path: Path) -> None:
    path = tmp_path / "judged.csv"
    before = judge_by_table(path, {"it": answer()})["it"]
    assert before.num_judged == 0 and before.num_needed is not None and before.num_needed > 10
    table = pd.read_csv(path, keep_default_na=False)
    assert list(table) == COLUMNS and len(table) == 20 and (table["right"] == "").all()
    table["right"] = ["yes" if score > 0.9 else "0" for score in table["score"]]  # fewer than promised
    table["remark"] = "mine"
    table.to_csv(path, index=False)
    after = judge_by_table(path, {"it": answer()})["it"]
    assert after.num_judged == 20
    assert np.diff(after.expected.precision_interval)[0] < np.diff(before.expected.precision_interval)[0]
    assert after.expected.precision < before.expected.precision - 0.1
    assert describe(after).startswith("20 judged: precision 0.")
    again = pd.read_csv(path, keep_default_na=False)
    assert (again["right"] != "").sum() == 20 and len(again) == 40
    assert not again.duplicated(["run", "x"]).any()
    assert (again["remark"] == "mine").sum() == 20


def test_judgements_of_other_objects_and_places_where_nothing_was_found_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "judged.csv"
    path.write_text("run,object,x,y,z,right\na,other,0,0,0,1\na,it,150,900,0,1\nnowhere,it,0,0,0,1\na,it,10,0,0,1\n")
    assert judge_by_table(path, {"it": answer()})["it"].num_judged == 1


@pytest.mark.parametrize(("text", "said"), [
    ("run,x,y,z,right\n", "found no object"), ("run,object,x,y,z,right\na,it,0,0,0,maybe\n", "'maybe' in row 2"),
    ("run,object,x,y,z,right\na,it,here,0,0,1\n", "expected x, y, z in Å"), ("", "expected a table"),
])  # fmt: skip
def test_a_table_that_cannot_be_read_is_refused_and_left_alone(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "judged.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        judge_by_table(path, {"it": answer()})
    assert path.read_text() == text
