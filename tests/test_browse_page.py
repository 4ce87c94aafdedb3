"""The page in a browser, from empty to saved picks, by clicks and keys on what a person sees."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
from numpy.typing import NDArray

from embed import build
from tomoseek.command_line import compose_settings
from tomoseek.picks.copick_picks import read_picks, write_picks
from tomoseek.picks.points import Picks
from tomoseek.simulate.command import SimulateConfig
from tomoseek.simulate.command import run as simulate
from tomoseek.tomograms.project import open_project

playwright = pytest.importorskip("playwright.sync_api", reason="the page needs playwright: pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="the page needs a browser: apt-get install chromium")

SPACING, SHAPE = 10.0, (48, 160, 160)  # Å; voxels z y x
WANTED = "apo-ferritin"
SECONDS = 30.0


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bright tomograms of two complexes, in an index."""
    folder = tmp_path_factory.mktemp("project")
    words = [
        f"out_dir={folder}", "num_runs=2", f"size={list(SHAPE)}", f"complexes=[{WANTED},virus-like-particle]",
        "counts=6", "microscope.snr=[0.4,0.4]", "ice.gold_beads=[0,0]", "ice.vesicles=[0,0]", "halves=false", "seed=4",
    ]  # fmt: skip
    simulate(compose_settings("simulate", SimulateConfig, words))
    words = [f"data.project={folder}", f"index={folder / 'index'}", "device=cpu"]
    build.run(compose_settings("embed_build", build.BuildConfig, words))
    return folder


@contextmanager
def serving(*words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start the server; give the address that it prints, and the process."""
    command = [sys.executable, "-m", "embed", "browse", "port=0", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if found := re.search(r"http://\S+", line):
                yield found[0], process
                break
        else:
            raise AssertionError("the server printed no address")
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class Person:
    """Looks at a page, clicks and types."""

    def __init__(self, browser: Any, address: str) -> None:
        self.page = browser.new_page(viewport={"width": 1280, "height": 800})
        self.wrong: list[str] = []
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", lambda said: self.wrong.append(said.text) if said.type == "error" else None)
        self.page.goto(address)

    def start(self, name: str = WANTED, radius: int = 60) -> None:
        """Name what is looked for."""
        self.page.wait_for_selector("body[data-ready]")
        self.page.fill("#object", name)
        self.page.fill("#radius", str(radius))
        self.page.click("text=Start")
        self.page.wait_for_selector(f"#object-title:text-is('{name}')")

    def go(self, run: str, xyz: NDArray[np.float64]) -> None:
        """Choose a tomogram, scroll to a height, and click on a place in the large plane."""
        self.page.click(f".run[title='{run}']")
        self.page.wait_for_function("name => document.querySelector('#where').textContent.startsWith(name)", arg=run)
        box = self.page.locator("#xy").bounding_box()
        fit = min(box["width"] / SHAPE[2], box["height"] / SHAPE[1])
        x = box["x"] + box["width"] / 2 + (xyz[0] / SPACING - SHAPE[2] / 2) * fit
        y = box["y"] + box["height"] / 2 - (xyz[1] / SPACING - SHAPE[1] / 2) * fit
        self.page.mouse.move(x, y)
        steps = round(xyz[2] / SPACING) - round(self.place()[2] / SPACING)
        for _ in range(abs(steps)):
            self.page.mouse.wheel(0, 100 if steps > 0 else -100)
        self.page.mouse.click(x, y)

    def place(self) -> NDArray[np.float64]:
        """Read where the planes are, x y z in Å."""
        told = self.page.locator("#where div").first.text_content()
        return np.array([float(value) for value in re.findall(r"[xyz] (-?\d+)", told.rsplit(":", 1)[1])])

    def press(self, key: str) -> None:
        """Press a key and wait for what comes of it."""
        self.page.keyboard.press(key)
        self.page.wait_for_function("() => !document.body.dataset.busy")

    def search(self) -> None:
        """Search, and wait for the finds."""
        self.page.click("#search")
        self.page.wait_for_selector("#result:not([hidden]) #expect b", timeout=1000 * SECONDS)
        self.page.wait_for_selector("#search:text-is('Search')")

    def chosen(self) -> tuple[str, NDArray[np.float64]]:
        """Read which find is looked at: its run, and where it is."""
        run = self.page.locator("#where div").first.text_content().rsplit(":", 1)[0]
        return run, self.place()


def truth(project: Path, run: str) -> NDArray[np.float64]:
    """Return true centres."""
    return read_picks(open_project(project), run, WANTED, "simulator").points_xyz


def test_from_an_empty_page_to_saved_picks_and_back(project: Path, browser: Any, tmp_path: Path) -> None:
    words = (f"data.project={project}", f"index={project / 'index'}", "picks.user_id=ada", f"out_dir={tmp_path}")
    known = {run: truth(project, run) for run in ("sim_000", "sim_001")}
    with serving(*words) as (address, server):
        person = Person(browser, address)
        assert "Click on one to five particles" in person.page.inner_text("#welcome")
        person.start()
        for point in known["sim_000"][:2]:
            person.go("sim_000", point + 12)
            person.press("e")
            assert np.linalg.norm(person.place() - point) < 25  # it has moved onto the particle
        person.press("e")
        person.press("u")
        assert person.page.locator("#points li").count() == 2
        person.search()
        for _ in range(8):
            run, xyz = person.chosen()
            right = np.linalg.norm(known[run] - xyz, axis=1).min() < 30
            person.press("a" if right else "r")
        judged = int(re.search(r"(\d+) judged", person.page.inner_text("#expect"))[1])
        assert judged == 8
        server.send_signal(signal.SIGKILL)
        assert not person.wrong

    with serving(*words) as (address, _):
        person = Person(browser, address)
        person.start()
        assert person.page.locator("#points li").count() == 2
        person.search()  # with what was judged
        assert "8 judged" in person.page.inner_text("#expect")
        person.page.click("#save")
        person.page.wait_for_selector("#saved:has-text('picks saved as ada/browse')")
        saved = {run: read_picks(open_project(project), run, WANTED, "ada", "browse").points_xyz for run in known}
        hits = [np.linalg.norm(points[:, None] - saved[run], axis=2).min(1) < 30 for run, points in known.items()]
        assert np.concatenate(hits).mean() >= 0.9
        assert sum(map(len, saved.values())) <= 1.3 * sum(map(len, known.values()))
        assert (tmp_path / f"{WANTED}.star").is_file() and (tmp_path / f"{WANTED}.csv").is_file()

        root = open_project(project)
        write_picks(root, "sim_000", WANTED, Picks(known["sim_000"][:1]), "ada", "browse")  # somebody else
        person.page.click("#save")
        person.page.wait_for_selector("#message:has-text('others than this page knows')")
        assert len(read_picks(root, "sim_000", WANTED, "ada", "browse")) == 1
        person.page.click("#save")
        person.page.wait_for_selector("#saved:has-text('picks saved')")
        assert len(read_picks(root, "sim_000", WANTED, "ada", "browse")) == len(saved["sim_000"])


def test_two_tabs_see_each_other_and_the_picks_of_the_project(project: Path, browser: Any, tmp_path: Path) -> None:
    words = (f"data.project={project}", f"index={project / 'index'}", "picks.user_id=ada", f"out_dir={tmp_path}")
    with serving(*words) as (address, _):
        one, other = Person(browser, address), Person(browser, address)
        for person in (one, other):
            person.start()
        one.go("sim_001", truth(project, "sim_001")[0])
        one.press("e")
        other.page.wait_for_selector("#points li:has-text('sim_001')", timeout=10_000)
        one.page.click("#layers summary")
        assert f"{WANTED} by simulator/0 (6)" in one.page.inner_text("#layers")
        one.page.fill("#filter", "001")
        assert one.page.locator(".run").count() == 1
        assert not one.wrong and not other.wrong


def test_names_are_text_whatever_they_hold(browser: Any, tmp_path: Path) -> None:
    name = "<img src=x onerror=window.pwned=1>"
    path = tmp_path / f"{name}.mrc"
    with mrcfile.new(path, np.random.default_rng(0).normal(size=(32, 64, 64)).astype(np.float32)) as file:
        file.voxel_size = SPACING
    words = (f"tomogram='{path}'", "encoder=random-tiny", f"index={tmp_path / 'index'}", f"out_dir={tmp_path / 'out'}")
    with serving(*words) as (address, _):
        person = Person(browser, address)
        person.page.wait_for_selector("body[data-ready]")
        assert name in person.page.inner_text("#runs")
        person.page.evaluate("document.querySelector('#object').removeAttribute('pattern')")
        person.page.fill("#object", "<script>window.pwned=1</script>")
        person.page.click("text=Start")
        person.page.wait_for_selector("#message:has-text('expected')")
        time.sleep(0.3)
        assert person.page.evaluate("window.pwned") is None
    assert not (tmp_path / "out").exists()


def test_a_missing_index_gives_a_page_that_says_what_to_run(project: Path, browser: Any, tmp_path: Path) -> None:
    with serving(f"data.project={project}", f"index={tmp_path / 'none'}", f"out_dir={tmp_path}") as (address, _):
        person = Person(browser, address)
        said = person.page.inner_text("body")
    assert "run embed build first" in said and "python -m embed browse tomogram=tomo.mrc" in said
