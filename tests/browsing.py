"""A project to look at in a browser, the server, and a person who looks at the page."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from embed import build
from tomoseek.command_line import compose_settings
from tomoseek.picks.copick_picks import read_picks
from tomoseek.simulate.command import SimulateConfig
from tomoseek.simulate.command import run as simulate
from tomoseek.tomograms.project import open_project

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SPACING, SHAPE = 10.0, (48, 160, 160)  # Å; voxels z y x
WANTED = "apo-ferritin"
SECONDS = 30.0


@pytest.fixture(scope="session")
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
    """A browser, if there is one."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the page needs playwright: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("the page needs a browser: apt-get install chromium")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class Person:
    """Looks at a page, clicks and types."""

    def __init__(self, browser: Any, address: str, width: int = 1280, height: int = 800) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": height})
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
        x, y = self.on_screen(xyz)
        self.page.mouse.move(x, y)
        steps = round(xyz[2] / SPACING) - round(self.place()[2] / SPACING)
        for _ in range(abs(steps)):
            self.page.mouse.wheel(0, 100 if steps > 0 else -100)
        self.page.mouse.click(x, y)

    def on_screen(self, xyz: NDArray[np.float64]) -> tuple[float, float]:
        """Return where a place lies in the large plane, in pixels of the page."""
        box = self.page.locator("#xy").bounding_box()
        fit = min(box["width"] / SHAPE[2], box["height"] / SHAPE[1])
        x = box["x"] + box["width"] / 2 + (xyz[0] / SPACING - SHAPE[2] / 2) * fit
        y = box["y"] + box["height"] / 2 - (xyz[1] / SPACING - SHAPE[1] / 2) * fit
        return x, y

    def drag(self, xyz: NDArray[np.float64], right: float) -> None:
        """Drag what lies at a place to the right, by so many Å."""
        self.page.mouse.move(*self.on_screen(xyz))
        self.page.mouse.down()
        self.page.mouse.move(*self.on_screen(xyz + np.array([right, 0, 0])), steps=5)
        self.page.mouse.up()

    def place(self) -> NDArray[np.float64]:
        """Read where the planes are, x y z in Å."""
        told = self.page.locator("#where div").first.text_content()
        return np.array([float(value) for value in re.findall(r"[xyz] (-?\d+)", told.rsplit(":", 1)[1])])

    def press(self, key: str) -> None:
        """Press a key and wait for what comes of it."""
        self.page.keyboard.press(key)
        self.page.wait_for_function("() => !document.body.dataset.busy")

    def tab_to(self, name: str) -> None:
        """Go to a part of the page by the Tab key alone."""
        for _ in range(60):
            if self.page.evaluate("() => document.activeElement.id") == name:
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"{name} cannot be reached by keys")

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
