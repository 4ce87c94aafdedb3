"""Which of several objects are there, the surest first."""

import numpy as np
import pytest

from embed.overview import MAYBE, NOT_SEEN, THERE, UNTOLD, as_table, summarise
from embed.picture import overview_figure
from embed.promise import Cutoff
from embed.prototype import Prototype
from embed.search import Found
from tomoseek import Tomogram
from tomoseek.picks.points import Picks
from tomoseek.plots import to_png

SPACING = 10.0


def found(name: str, probability: list[float] | None, precision: float | None, best: float = 0.9) -> Found:
    """An answer with three candidates, two of them picks."""
    points = np.array([[100.0, 100.0, 100.0], [300.0, 100.0, 100.0], [300.0, 300.0, 100.0]])
    candidates = {"a": Picks(points, best * np.array([1.0, 0.7, 0.5]))}
    likely = None if probability is None else {"a": np.array(probability)}
    prototype = Prototype(np.zeros(4), np.zeros((0, 4)), rival_weight=0.3, scale=1.0, offset=0.0)
    return Found(
        candidates, likely, {"a": 2}, Cutoff(0.5, precision, None), prototype, np.zeros(0), 0.0, name, 60.0, []
    )


@pytest.fixture
def answers() -> dict[str, Found]:
    return {
        "absent": found("absent", [0.1, 0.0, 0.0], 0.05, best=0.5),
        "few": found("few", [0.9, 0.1, 0.0], 0.5),
        "untold": found("untold", None, None),
        "many": found("many", [1.0, 0.9, 0.8], 0.95),
    }


def test_what_is_there_comes_first_and_what_is_not_last(answers: dict[str, Found]) -> None:
    alike = {"many": {"few": 0.9, "absent": 0.2}}
    summaries = summarise(answers, alike)
    assert [one.name for one in summaries] == ["many", "untold", "few", "absent"]
    assert [one.verdict for one in summaries] == [THERE, UNTOLD, MAYBE, NOT_SEEN]
    table = as_table(summaries)
    assert table.loc[0, ["expected_number", "picks", "looks_like"]].tolist() == [2.7, 2, "few"]
    assert table.set_index("object").loc["untold", ["expected_number", "expected_precision"]].isna().all()


def test_the_picture_has_a_row_for_each_object(answers: dict[str, Found]) -> None:
    volume = np.random.default_rng(0).normal(size=(24, 48, 48)).astype(np.float32)
    tomogram = Tomogram.from_array(volume, voxel_spacing=SPACING, run="a")
    looks = {name: np.ones((9, 9), np.float32) for name in answers}
    figure = overview_figure(summarise(answers, {}), answers, looks, lambda _: tomogram)
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert len(said) == len(answers) and said[0].startswith(f"many\n{THERE}\nabout 3 expected")
    assert sum(len(axes.images) for axes in figure.axes) == len(answers) * (1 + 3)
    assert to_png(figure)[:4] == b"\x89PNG"
