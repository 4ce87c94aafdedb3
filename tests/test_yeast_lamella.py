"""How the search in real cytoplasm is scored, worked by hand; and its control on the real lamella."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.search.yeast_lamella import HIT, RUN, blobs, recalls
from tomoseek import open_tomogram
from tomoseek.picks.tables import read_points_csv


def test_recall_leaves_out_the_examples_and_the_finds_on_them() -> None:
    truth = np.array([[1000.0 * k, 0, 0] for k in range(6)])
    examples = truth[:2]
    far = [[500.0 + 1000 * k, 500, 0] for k in range(8)]
    # On an example, wrong, right, wrong twice, right just within reach, wrong, right, wrong.
    found = np.array(
        [truth[0] + 10, far[0], truth[2], far[1], far[2], truth[3] + [0, HIT, 0], far[3], truth[4], far[4]]
    )
    # Four references are left: of the first 4 finds on no example one hits, of the first 8 three.
    assert recalls(found, truth, examples) == [0.25, 0.75, 0.75]


def test_a_blob_filter_finds_two_thirds_of_the_listed_ribosomes_among_twice_as_many_peaks(shared_data: Path) -> None:
    folder = shared_data / "real" / "yeast80S"
    truth = read_points_csv(folder / "ribosomes.csv")[RUN].points_xyz
    examples = truth[np.random.default_rng(0).choice(len(truth), 5, replace=False)]
    assert recalls(blobs(open_tomogram(folder / f"{RUN}.mrc")), truth, examples)[1] == pytest.approx(0.66, abs=0.04)
