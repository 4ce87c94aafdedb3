"""A tomogram in a file is embedded and searched by one command, without any project."""

from pathlib import Path
from types import SimpleNamespace

import mrcfile
import numpy as np
import pytest
from scipy import ndimage

from embed import query
from tomoseek.command_line import compose_settings
from tomoseek.errors import InputError
from tomoseek.geometry import indices_to_points
from tomoseek.picks.points import Picks
from tomoseek.picks.star_read import read_star
from tomoseek.picks.tables import read_points_csv, write_csv

SHAPE, SPACING = (40, 96, 96), 10.0
CENTRES = [(20, 20, 20), (18, 50, 25), (22, 75, 70), (20, 25, 72), (17, 76, 30)]


@pytest.fixture(scope="module")
def tomogram_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bright shells in noise (dark in the file), which even random features find."""
    path = tmp_path_factory.mktemp("file") / "tomo.mrc"
    noise = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"), -1)
    volume = ndimage.gaussian_filter(noise.standard_normal(SHAPE), 1.0)
    volume /= volume.std()
    for centre in CENTRES:
        volume -= 20 * np.exp(-((np.linalg.norm(grid - centre, axis=-1) - 4) ** 2) / 4)
    with mrcfile.new(path) as file:
        file.set_data(volume.astype(np.float32))
        file.voxel_size = SPACING
    return path


def test_a_file_is_searched_without_a_project_and_drawn(tomogram_file: Path, tmp_path: Path) -> None:
    points = indices_to_points(CENTRES, SPACING)
    clicks = tmp_path / "clicks.csv"
    write_csv(clicks, [("tomo", "shell", Picks(points[:3]))])
    words = [f"tomogram={tomogram_file}", f"index={tmp_path / 'index'}", f"out_dir={tmp_path}", "encoder=random-small"]
    words += ["radius=80", "threshold=0.5"]
    given = f"points={points[:3].tolist()}".replace(" ", "")
    finds = {}
    for case, more in {"points": [given, "name=shell"], "table": [f"examples={clicks}"]}.items():
        query.run(compose_settings("embed_query", query.QueryConfig, [*words, *more]))
        finds[case] = read_points_csv(tmp_path / "shell.csv")["tomo"].points_xyz
    np.testing.assert_array_equal(finds["points"], finds["table"])
    best = finds["points"][: len(points)]
    assert (np.linalg.norm(points[:, None] - best, axis=-1).min(1) <= 40).sum() >= 4
    assert (tmp_path / "shell.png").stat().st_size > 20_000
    frame = SimpleNamespace(run="tomo", shape=SHAPE, voxel_spacing=SPACING)
    star = read_star(tmp_path / "shell.star", {"tomo": frame})["tomo"].points_xyz
    np.testing.assert_allclose(star, finds["points"], atol=2e-3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["points=[[1,2,3]]", "name=x", "radius=50"], "found neither"),
        (["points=[[1,2,3]]", "name=x", "radius=50", "tomogram={file}", "data.project={file}"], "found both"),
        (["points=[[1,2,3]]", "name=x", "radius=50", "tomogram=[{file},{file}]"], "two of 'tomo'"),
        (["examples=shell:simulator/0", "radius=50", "tomogram={file}"], "there is none"),
        (["points=[[1,2,3]]", "name=x", "tomogram={file}"], "radius"),
        (["points=[[1,2,3]]", "name=x", "radius=50", "tomogram=readme.txt"], "expected a tomogram as"),
        (
            ["points=[[1,2,3]]", "name=x", "radius=50", "tomogram={file}", "precision=0.8"],
            "promises nothing",
        ),
    ],
)
def test_a_bad_search_of_a_file_says_what_to_do(
    tomogram_file: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    given = [f"index={tmp_path / 'index'}", f"out_dir={tmp_path}", "encoder=random-tiny"]
    given += [word.format(file=tomogram_file) for word in words]
    with pytest.raises(InputError, match=message):
        query.run(compose_settings("embed_query", query.QueryConfig, given))
