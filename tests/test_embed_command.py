"""``python -m embed build | query`` on a project of planted blobs."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar

import numpy as np
import pytest
from scipy import ndimage

from embed import Index, build, query
from embed.__main__ import main
from embed.example_sources import ExamplePoints, collect_examples
from embed.examples import read_examples
from tomoseek.command_line import compose_settings
from tomoseek.complexes import Complex
from tomoseek.errors import InputError
from tomoseek.evaluation.ranking import score_ranking
from tomoseek.geometry import indices_to_points
from tomoseek.picks.copick_picks import read_picks, write_picks
from tomoseek.picks.points import Picks
from tomoseek.picks.star_write import write_star
from tomoseek.picks.tables import read_points_csv, write_csv
from tomoseek.tomograms.copick_tomograms import add_tomogram
from tomoseek.tomograms.project import create_project, open_project

Schema = TypeVar("Schema")
ROOT = Path(__file__).resolve().parent.parent
RUNS = ("a", "b")
SHAPE = (40, 96, 96)
SPACING = 10.0
CENTRES = {
    "a": [(20, 20, 20), (18, 50, 25), (22, 75, 70), (20, 25, 72), (17, 76, 30)],
    "b": [(19, 30, 60), (21, 70, 70), (18, 60, 22), (22, 22, 25)],
}


def embed(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run ``python -m embed`` and check its exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "embed", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of noise with identical bright shells (dark in the file), which even random features find."""
    folder = tmp_path_factory.mktemp("embed") / "project"
    root = create_project(folder, [Complex(name="shell", radius_angstrom=80.0)])
    noise = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"), -1)
    for run in RUNS:
        volume = ndimage.gaussian_filter(noise.standard_normal(SHAPE), 1.0)
        volume /= volume.std()
        for centre in CENTRES[run]:
            volume -= 20 * np.exp(-((np.linalg.norm(grid - centre, axis=-1) - 4) ** 2) / 4)
        add_tomogram(root, run, "wbp", SPACING, volume.astype(np.float32))
        write_picks(root, run, "shell", Picks(indices_to_points(CENTRES[run], SPACING)), "simulator", "0")
    return folder


@pytest.fixture(scope="module")
def index(project: Path) -> Path:
    """Its index."""
    folder = project.parent / "index"
    words = [f"data.project={project}", "encoder=random-small", f"index={folder}", "device=cpu"]
    build.run(compose_settings("embed_build", build.BuildConfig, words))
    return folder


def test_commands_build_an_index_and_find_the_rest_in_the_other_run(project: Path, tmp_path: Path) -> None:
    index = f"index={tmp_path / 'index'}"
    embed("build", f"data.project={project}", "encoder=random-small", index, "device=cpu")
    points = indices_to_points(CENTRES["a"][:3], SPACING).tolist()
    words = [f"data.project={project}", "name=found-shell", f"out_dir={tmp_path}", index]
    said = embed("query", *words, f"points={points}".replace(" ", ""), "run=a", "radius=80", "threshold=0").stderr
    root = open_project(project)
    assert root.get_object("found-shell").radius == 80.0
    assert root.get_object("shell") is not None
    picks = read_picks(root, "b", "found-shell", "tomoseek", "search")
    best = picks.points_xyz[: len(CENTRES["b"])]
    distance = np.linalg.norm(best[:, None] - indices_to_points(CENTRES["b"], SPACING), axis=-1)
    assert (distance.min(0) <= 40.0).sum() >= 3
    assert (np.diff(picks.scores) <= 1e-6).all()
    table = read_points_csv(tmp_path / "found-shell.csv")
    np.testing.assert_allclose(table["b"].points_xyz, picks.points_xyz, atol=1e-3)
    record = json.loads((tmp_path / "found-shell.json").read_text())
    assert record["examples_xyz"]["a"] == points and record["threshold_is_given"]
    assert record["expected_precision"] is None and record["choices"] == []
    assert "not calibrated" in said and (tmp_path / "found-shell.png").read_bytes()[:4] == b"\x89PNG"


def test_negatives_join_the_query_and_are_recorded(project: Path, index: Path, tmp_path: Path) -> None:
    table = tmp_path / "not_it.csv"
    table.write_text("run,x,y,z\nb,500,500,200\n")
    words = [f"data.project={project}", "name=shell", f"out_dir={tmp_path}", f"index={index}", "threshold=0.2"]
    words += ["examples=shell:simulator/0", "run=a", "particle_margin=null"]
    found = {}
    for case, more in {"without": [], "with": [f"negatives={table}"]}.items():
        query.run(compose_settings("embed_query", query.QueryConfig, [*words, *more]))
        record = json.loads((tmp_path / "shell.json").read_text())
        found[case] = record["leave_one_out_scores"]
        assert record["negatives_xyz"] == ({"b": [[500.0, 500.0, 200.0]]} if more else {})
    assert found["with"] != found["without"]


def test_copick_picks_work_as_examples_and_most_of_the_other_run_is_found_first(
    project: Path, index: Path, tmp_path: Path
) -> None:
    words = [f"data.project={project}", "name=shell", f"out_dir={tmp_path}"]
    search = [*words, f"index={index}", "examples=shell:simulator/0", "run=a", "threshold=0"]
    query.run(compose_settings("embed_query", query.QueryConfig, search))
    found = read_picks(open_project(project), "b", "shell", "tomoseek", "search")
    scores = score_ranking({"b": indices_to_points(CENTRES["b"], SPACING)}, {"b": found}, 80.0)
    assert scores["num_references"] == 4 and scores["average_precision"] > 0.5


@pytest.fixture(scope="module")
def two_objects(project: Path) -> Path:
    """A table that gives identical shells two names, so that both searches find every place."""
    table = project.parent / "two_objects.csv"
    points = indices_to_points(CENTRES["a"], SPACING)
    write_csv(table, [("a", "one", Picks(points[:3])), ("a", "two", Picks(points[3:]))])
    return table


def test_several_objects_are_searched_at_once_and_each_place_goes_to_one(
    project: Path, index: Path, two_objects: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"data.project={project}", f"index={index}", f"out_dir={tmp_path}", "threshold=0.6", "picture=false"]
    alone: dict[str, dict[str, Picks]] = {}
    for name, rows in (("one", slice(3)), ("two", slice(3, None))):
        points = str(indices_to_points(CENTRES["a"][rows], SPACING).tolist()).replace(" ", "")
        single = [*words, f"points={points}", "run=a", f"name={name}", "radius=80"]
        query.run(compose_settings("embed_query", query.QueryConfig, single))
        alone[name] = read_points_csv(tmp_path / f"{name}.csv")
        assert json.loads((tmp_path / f"{name}.json").read_text())["num_given_up"] == {}
    capsys.readouterr()
    query.run(compose_settings("embed_query", query.QueryConfig, [*words, f"examples={two_objects}", "radius=80"]))
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said] == ["one", "two"]
    root, num_given_up = open_project(project), 0
    vectors = Index.open(index)
    means = {
        name: read_examples(vectors, indices_to_points(CENTRES["a"][rows], SPACING), "a").vectors.mean(0)
        for name, rows in (("one", slice(3)), ("two", slice(3, None)))
    }
    for run in RUNS:
        both = {name: read_picks(root, run, name, "tomoseek", "search").points_xyz for name in alone}
        between = np.linalg.norm(both["one"][:, None] - both["two"], axis=-1)
        assert between.size == 0 or between.min() >= 80
        for name, other in (("one", "two"), ("two", "one")):
            before = alone[name][run].points_xyz
            gone = before[(np.linalg.norm(before[:, None] - both[name], axis=-1) > 1).all(1)]
            num_given_up += len(gone)
            for point in gone:  # there the other object was found, more like its own examples
                near = both[other][np.linalg.norm(both[other] - point, axis=1) < 80]
                unlike = np.linalg.norm(read_examples(vectors, near, run, 0).vectors - means[other], axis=1)
                lost = np.linalg.norm(read_examples(vectors, [point], run, 0).vectors[0] - means[name])
                assert unlike.min() < lost
    records = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in alone}
    assert num_given_up >= 4
    assert num_given_up == sum(sum(record["num_given_up"].values()) for record in records.values())
    assert all(set(record["num_given_up"]) <= {"one", "two"} - {name} for name, record in records.items())
    assert records["one"]["examples_xyz"]["a"] == indices_to_points(CENTRES["a"][:3], SPACING).tolist()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("examples={table} name=x radius=80", "of one object, found left, right; keep those of one, or give no name"),
        ("examples={{mine:{table}}} radius=80", "of one object, found left, right"),
        ("examples={table}", "radius of 'left' in Å, which is no particle"),
        ("examples={table} radius={{left:80}}", "radius of 'right' in Å, which is no particle"),
        ("examples={table} radius={{left:80,three:60}}", "radii of left, right, found one of 'three'"),
        ("examples={table} radius={{left:80,right:-1}}", "more than 0"),
        ("examples=[{table},shell:simulator/0] radius=60", "project's radius of 'shell', 80 Å, found 60 Å"),
        ("examples={table} radius=80 run=b", "at least one pick of 'left' in run b, found none"),
        ("examples={table} radius=80 negatives=shell:simulator/0", "what they are not .left, right., found shell"),
        ("examples=[] radius=80", "a list of these"),
    ],
)
def test_a_bad_query_for_several_objects_says_what_to_do(
    project: Path, index: Path, two_objects: Path, tmp_path: Path, words: str, message: str
) -> None:
    table = tmp_path / "new.csv"
    table.write_text(two_objects.read_text().replace("one", "left").replace("two", "right"))
    given = [f"data.project={project}", f"index={index}", *words.format(table=table).split()]
    before = (project / "copick.json").read_text()
    with pytest.raises(InputError, match=message):
        query.run(compose_settings("embed_query", query.QueryConfig, given))
    assert (project / "copick.json").read_text() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["points=[[100,100,1e6]]", "run=a", "name=x", "radius=50"], "outside"),
        (["points=[[100,100,nan]]", "run=a", "name=x", "radius=50"], "not finite"),
        (["points=[[100,100,100]]", "run=nowhere", "name=x", "radius=50"], "'nowhere' is not in index"),
        (["points=[[100,100,100]]", "name=x", "radius=50"], "give run="),
        (["points=[[100,100,100]]", "run=a", "name=x"], "radius"),
        (["points=[[100,100,100]]", "run=a", "radius=50"], "name"),
        (["points=[[100,100,100]]", "run=a", "name=shell", "precision=1.5"], "precision=1.5"),
        (["points=[[100,100,100]]", "run=a", "name=shell", "precision=0.5", "threshold=0"], "found both"),
        (["examples=shell:nobody/0", "name=shell"], "found none"),
        (["points=[[100,100,100]]", "run=a", "name=shell", "negatives=shell:nobody/0"], "negatives=shell:nobody/0"),
        (["points=[[100,100,100]]", "run=a", "name=shell", "encoder=random-tiny"], "encoder that built it"),
        (["points=[[100,100,100]]", "run=a", "name=shell", "data.runs=[c]"], "'c' is not in index"),
        (["points=[[100,100,100]]", "run=a", "name=shell", "data.runs=[]"], "run embed build"),
    ],
)
def test_bad_query_is_refused_and_the_project_stays(project: Path, index: Path, words: list[str], message: str) -> None:
    before = (project / "copick.json").read_text()
    with pytest.raises(InputError, match=message):
        words = [f"data.project={project}", f"index={index}", *words]
        query.run(compose_settings("embed_query", query.QueryConfig, words))
    assert (project / "copick.json").read_text() == before


def test_bad_query_on_the_command_line_is_one_line_and_exit_2(
    project: Path, index: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"data.project={project}", f"index={index}", "points=[[1,2,3]]", "run=nowhere", "name=x", "radius=50"]
    monkeypatch.setattr(sys, "argv", ["embed", "query", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("error: run 'nowhere'")


def test_examples_come_from_points_tables_or_copick_and_duplicates_count_once(
    project: Path, index: Path, tmp_path: Path
) -> None:
    root, entries = open_project(project), Index.open(index).entries

    def collect(examples: object, points: object = None, run: str | None = None) -> ExamplePoints:
        settings = {"points": points, "examples": examples, "run": run, "name": "x"}
        return collect_examples(root, entries, **settings)["x"]  # type: ignore[arg-type]

    expected = indices_to_points(CENTRES["a"], SPACING)
    table = tmp_path / "clicks.csv"
    table.write_text("run,x,y,z\n" + "".join(f"a,{x},{y},{z}\n" for x, y, z in [*expected, expected[0]]))
    star = tmp_path / "particles.star"
    volumes = [SimpleNamespace(run=run, shape=SHAPE, voxel_spacing=SPACING) for run in RUNS]
    write_star(star, [("a", "shell", Picks(expected))], volumes)
    given = collect(None, points=expected.tolist(), run="a")
    with pytest.warns(match="1 duplicate"):
        read = collect(str(table))
    halves = [tmp_path / "first.csv", tmp_path / "last.csv"]
    for path, part in zip(halves, (expected[:2], expected[2:]), strict=True):
        write_csv(path, [("a", "shell", Picks(part))])
    picked = collect("shell:simulator/0", run="a")
    for found in (given, read, picked, collect(str(star)), collect([str(path) for path in halves])):
        assert list(found) == ["a"]
        np.testing.assert_allclose(found["a"], expected, atol=1e-3)
    assert sorted(collect("shell:simulator/0")) == ["a", "b"]
    for points, examples in ((None, None), ([], None), (None, "shell:nobody/0"), ([[1, 2, 3]], "x:y/0")):
        with pytest.raises(InputError, match="expected"):
            collect(examples, points=points, run="a")


def test_objects_are_called_what_their_source_or_the_command_line_says(
    project: Path, two_objects: Path, tmp_path: Path
) -> None:
    nameless = tmp_path / "clicks.csv"
    nameless.write_text("run,x,y,z\nb,100,200,300\n")

    def names(examples: object) -> list[str]:
        return list(
            collect_examples(open_project(project), {}, points=None, examples=examples, run=None, name=None)
        )  # fmt: skip

    assert names("shell:simulator/0") == ["shell"]
    assert names([str(two_objects), "shell:simulator/0"]) == ["one", "two", "shell"]
    assert names({"mine": str(nameless), "yours": "shell:simulator/0"}) == ["mine", "yours"]
    with pytest.raises(InputError, match=r"name: expected a name .* give name="):
        names(str(nameless))
