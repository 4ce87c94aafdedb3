"""The cost of embedding box by box is multiplied by the right number of boxes."""

import numpy as np
import pytest

from benchmarks.speed.tomotwin import BOX, count_boxes


@pytest.mark.parametrize("shape_zyx", [(64, 40, 47), (37, 38, 39), (36, 64, 64)])
@pytest.mark.parametrize("stride", [1, 2, 4])
def test_boxes_are_all_that_fit(shape_zyx: tuple[int, int, int], stride: int) -> None:
    starts = [[start for start in range(0, length, stride) if start + BOX <= length] for length in shape_zyx]
    assert count_boxes(shape_zyx, stride) == np.prod([len(axis) for axis in starts])
