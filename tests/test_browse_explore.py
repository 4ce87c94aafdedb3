"""What is there before anything is known: the map of places in a browser, what is caught of it, and the search."""

import dataclasses
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import SECONDS, WANTED, Person, serving
from numpy.typing import NDArray
from PIL import Image

from embed.browse.desk import Desk
from embed.browse.exploring import MOST_EXAMPLES, Explorer, within_one
from embed.browse.journal import Journal
from embed.explore import ExploreConfig
from embed.index import Index
from embed.places import PlacesConfig, places_of_runs
from embed.searched import Searched
from tomoseek import Tomogram
from tomoseek.command_line import compose_settings
from tomoseek.errors import InputError
from tomoseek.picks.copick_picks import read_picks
from tomoseek.tomograms.project import open_project

KINDS = (WANTED, "virus-like-particle")
NEAR = 40.0  # Å
SHOWN = "() => [...document.querySelectorAll('#caught img')].every((image) => image.naturalWidth > 0)"


def searched(folder: Path) -> Searched:
    """The project's index, without its tomograms, which nothing here looks at."""
    index = Index.open(folder / "index")

    def tomogram(run: str) -> Tomogram:
        raise AssertionError(f"no tomogram is read, but {run} was")

    return Searched(index, sorted(index.entries), None, tomogram)


def kind_at(project: Path, run: str, xyz: NDArray[np.float64]) -> str:
    """Which complex the simulator has put at a place."""
    root = open_project(project)
    apart = {kind: read_picks(root, run, kind, "simulator").points_xyz - xyz for kind in KINDS}
    near = {kind: float(np.linalg.norm(each, axis=1).min()) for kind, each in apart.items()}
    best = min(near, key=lambda kind: near[kind])
    return best if near[best] < NEAR else "nothing"


def dots(person: Person, group: int) -> NDArray[np.float64]:
    """Where a person sees the colour of a group on the map, ``(n, 2)`` in pixels of the page."""
    swatch = person.page.locator("#groups .swatch").nth(group)
    color = [int(value) for value in re.findall(r"\d+", swatch.evaluate("e => getComputedStyle(e).backgroundColor"))]
    seen = np.array(Image.open(io.BytesIO(person.page.locator("#map").screenshot())).convert("RGB")).astype(int)
    box = person.page.locator("#map").bounding_box()
    rows, columns = np.nonzero((abs(seen - color[:3]) < 12).all(-1))
    return np.stack([columns + box["x"], rows + box["y"]], axis=1)


def settle(person: Person) -> None:
    """Wait until the page has all that it asked for."""
    person.page.wait_for_function("() => !document.body.dataset.busy")


def drag_around(person: Person, spots: NDArray[np.float64]) -> None:
    """Draw a line around spots of the map."""
    (left, top), (right, bottom) = spots.min(0) - 6, spots.max(0) + 6
    person.page.mouse.move(left, top)
    person.page.mouse.down()
    for corner in ((right, top), (right, bottom), (left, bottom), (left, top)):
        person.page.mouse.move(*corner, steps=4)
    person.page.mouse.up()
    settle(person)


def test_from_the_map_to_a_search_for_what_was_caught_on_it(project: Path, browser: Any, tmp_path: Path) -> None:
    words = (f"data.project={project}", f"index={project / 'index'}", "picks.user_id=eva", f"out_dir={tmp_path}")
    with serving(*words) as (address, _):
        person = Person(browser, address)
        page = person.page
        page.wait_for_selector("body[data-ready]")
        page.focus("role=tab[name='Find']")
        page.keyboard.press("ArrowRight")
        assert page.is_visible("text=What is in here?") and not page.is_visible("#object")
        page.click("text=Draw the map")
        page.wait_for_selector("#groups button", timeout=1000 * SECONDS)
        assert page.locator("#groups button").count() == len(KINDS) and page.is_disabled("text=Search for these")
        assert not page.is_visible("#map-doubt")  # nearly every place is in a group

        first, second = dots(person, 0), dots(person, 1)
        page.focus("#groups button:has-text('Group 2')")
        page.keyboard.press("Enter")
        by_key = page.inner_text("#caught-title")
        drag_around(person, first)
        other = kind_at(project, *person.chosen())
        assert page.locator("#groups [aria-pressed=true]").inner_text().startswith("Group 1")
        drag_around(person, second)
        assert page.inner_text("#caught-title") == by_key == "12 places caught"
        page.wait_for_function(SHOWN)
        assert page.locator("#caught .card").count() >= 3 and not page.is_visible("button:text-is('Right')")
        caught = []
        for _ in range(12):
            caught.append((person.chosen()[0], *person.place()))
            person.press("ArrowRight")
        kind = kind_at(project, caught[0][0], np.array(caught[0][1:]))
        assert len(set(caught)) == 12 and kind != other and {kind, other} == set(KINDS)
        page.mouse.click(*first[0])
        settle(person)
        assert kind_at(project, *person.chosen()) == other

        page.fill("#catch-name", "ring")
        page.click("text=Search for these")
        page.wait_for_selector("#result:not([hidden]) #expect b", timeout=1000 * SECONDS)
        assert page.is_visible("#find") and page.inner_text("#object-title") == "ring"
        assert page.locator("#points li:has-text('example')").count() == 12
        kept = int(re.search(r"(\d+) finds kept", page.inner_text("#expect"))[1])
        found = []
        for _ in range(kept):
            found.append(kind_at(project, *person.chosen()))
            person.press("ArrowRight")
        assert found.count(kind) >= 10 and found.count(kind) >= 0.8 * kept

        person.press("u")
        assert page.inner_text("#points") == "Go to a particle, press E."
        assert not Journal(tmp_path / "ring.jsonl").state.examples
        assert not person.wrong


def test_what_the_page_calls_a_place_is_what_embed_explore_does() -> None:
    command = compose_settings("embed_explore", ExploreConfig)
    assert dataclasses.asdict(PlacesConfig.default()).items() <= dataclasses.asdict(command).items()


def test_the_examples_are_those_of_the_caught_that_are_most_like_their_mean(project: Path) -> None:
    explorer = Explorer(searched(project), PlacesConfig.default())
    answer = explorer.explore()
    numbers = answer["groups"][0] + answer["groups"][1][:-1]
    vectors = places_of_runs(explorer.searched.index, explorer.searched.runs, explorer.config).vectors
    mean = vectors[numbers].mean(0)
    wanted = sorted(numbers, key=lambda k: -float(vectors[k] @ mean))[:MOST_EXAMPLES]
    assert len(numbers) > MOST_EXAMPLES
    assert explorer.typical(numbers * 2) == [
        {name: answer["places"][k][name] for name in ("run", "xyz")} for k in wanted
    ]  # twice the same is once
    for refused in ([], [len(answer["places"])], [-1], ["0"], None):
        with pytest.raises(InputError, match=r"places: expected numbers from 0 to 23"):
            explorer.typical(refused)


def test_one_undo_takes_what_was_caught_back_with_its_radius(project: Path, tmp_path: Path) -> None:
    desk = Desk(searched(project), "ring", tmp_path, radius=60.0)
    desk.act({"do": "example", "run": "sim_000", "xyz": [100.0, 100.0, 100.0]})
    points = [{"run": "sim_001", "xyz": [200.0 * k, 300.0, 100.0]} for k in range(5)]
    desk.take_examples(points, 90.0)
    desk.take_examples(points, 90.0)  # they are examples already
    assert len(desk.journal.state.examples) == 6 and desk.journal.state.radius == 90.0
    desk.act({"do": "undo"})
    assert len(desk.journal.state.examples) == 1 and desk.journal.state.radius == 60.0


def test_where_nothing_looks_like_a_particle_the_page_says_what_to_do(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(32, 64, 64))
    index = Index.create(tmp_path / "index", encoder="random-tiny", device="cpu")
    index.add(Tomogram.from_array(noise, voxel_spacing=10, run="noise"), progress=False)
    explorer = Explorer(searched(tmp_path), PlacesConfig.default())
    with pytest.raises(InputError, match=r"groups of at least 8 .* found none among .* trained \(encoder=shipped\)"):
        explorer.explore()


def test_groups_larger_than_there_are_places_are_refused_and_smaller_ones_drawn(project: Path) -> None:
    explorer = Explorer(searched(project), PlacesConfig.default())
    with pytest.raises(InputError, match=r"at least 100 .* none among 24 places; ask for smaller groups"):
        explorer.explore(100)
    with pytest.raises(InputError, match="smallest group: expected 2 to"):
        explorer.explore(1)
    coarse, fine = explorer.explore(8), explorer.explore(3)
    assert len(fine["groups"]) > len(coarse["groups"]) == 2
    assert [place["map"] for place in fine["places"]] == [place["map"] for place in coarse["places"]]
    for number, group in enumerate(fine["groups"]):
        assert {place["group"] for place in (fine["places"][k] for k in group)} == {number}


def test_a_map_fills_its_frame_and_a_single_place_has_one() -> None:
    spread = within_one(np.array([[-3.0, 10.0], [1.0, 20.0], [5.0, 15.0]]))
    assert spread.tolist() == [[0.0, 0.0], [0.5, 1.0], [1.0, 0.5]]
    assert within_one(np.array([[7.0, 7.0]])).tolist() == [[0.0, 0.0]]
