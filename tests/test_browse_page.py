"""The page in a browser, from empty to saved picks, by clicks and keys on what a person sees."""

import functools
import http.server
import io
import json
import re
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
from browsing import SECONDS, SPACING, WANTED, Person, serving, truth
from numpy.typing import NDArray
from PIL import Image

from tomoseek.picks.copick_picks import read_picks, write_picks
from tomoseek.picks.points import Picks
from tomoseek.tomograms.project import open_project

# How many greys the corner of a plane has that no mark covers.
NUM_GREYS = """(() => {
    const canvas = document.querySelector("#xy");
    const { data } = canvas.getContext("2d").getImageData(canvas.width / 2 - 60, 20, 120, 20);
    return new Set(data.filter((_, k) => k % 4 === 0)).size;
})()"""


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
        person.page.check("#heat")
        run, xyz = person.chosen()
        likeness = opacity(person, run, round(xyz[2] / SPACING))
        x, y = np.rint(xyz[:2] / SPACING).astype(int)
        assert likeness[y, x] > 150 and np.median(likeness) == 0  # of 255, on the best find and anywhere
        person.page.click("#gallery-title")
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

        other = "virus-like-particle"  # of which nobody was asked whether to replace it
        places = read_picks(root, "sim_000", other, "simulator").points_xyz
        write_picks(root, "sim_000", other, Picks(places[:1]), "ada", "browse")
        person.start(other, 150)
        person.go("sim_000", places[0])
        person.press("e")
        person.search()
        person.page.click("#save")
        person.page.wait_for_selector(f"#message:has-text('picks of {other}')")
        assert len(read_picks(root, "sim_000", other, "ada", "browse")) == 1

        person.start()
        person.page.click("#save")
        person.page.wait_for_selector("#message:has-text('others than this page knows')")
        person.page.click("#save")
        person.page.wait_for_selector("#saved:has-text('picks saved')")
        assert len(read_picks(root, "sim_000", WANTED, "ada", "browse")) == len(saved["sim_000"])


def opacity(person: Person, run: str, place: int) -> NDArray[np.float64]:
    """Read how strongly likeness colours a plane, ``(y, x)``, first row at the bottom."""
    answer = person.page.request.get(
        f"{person.page.url.split('?')[0]}likeness",
        params={"run": run, "axis": "xy", "place": place, "object": WANTED, "search": 1},
    )
    return np.asarray(Image.open(io.BytesIO(answer.body())).convert("RGBA"), dtype=np.float64)[::-1, :, 3]


def test_two_tabs_see_each_other_and_the_picks_of_the_project(project: Path, browser: Any, tmp_path: Path) -> None:
    words = (f"data.project={project}", f"index={project / 'index'}", "picks.user_id=ada", f"out_dir={tmp_path}")
    with serving(*words) as (address, _):
        one, other = Person(browser, address), Person(browser, address)
        for person in (one, other):
            person.start()
        one.go("sim_001", truth(project, "sim_001")[0])
        one.press("e")
        other.page.wait_for_selector("#points li:has-text('sim_001')", timeout=10_000)
        one.page.keyboard.down("Shift")
        one.go("sim_001", np.array([300.0, 1300.0, 200.0]))
        one.page.keyboard.up("Shift")
        other.page.wait_for_selector("#points li:has-text('not one: sim_001')", timeout=10_000)
        one.page.click("#points li:has-text('example') span")
        before = one.place()
        one.drag(before, 40.0)  # corrected by hand
        one.page.wait_for_selector(f"#points li:has-text('{before[0] + 40:.0f} {before[1]:.0f}')")
        other.page.wait_for_selector(f"#points li:has-text('{before[0] + 40:.0f} {before[1]:.0f}')", timeout=10_000)
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


class SlowDisk(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and takes its time over voxels until it is told that it need not."""

    waits = threading.Event()

    def do_GET(self) -> None:
        if "/0/" in self.path and not self.path.endswith((".json", ".zarray", ".zattrs", ".zgroup", "/")):
            self.waits.wait(SECONDS)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_slow_disk_delays_pictures_and_nothing_else(project: Path, browser: Any, tmp_path: Path) -> None:
    disk = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(SlowDisk, directory=project))
    threading.Thread(target=disk.serve_forever, daemon=True).start()
    slow = tmp_path / "slow"
    shutil.copytree(project / "overlay", slow / "overlay")
    settings = json.loads((project / "copick.json").read_text())
    static = f"http://127.0.0.1:{disk.server_port}/static"
    settings |= {"static_root": static, "static_fs_args": {}, "overlay_root": str(slow / "overlay")}
    (slow / "copick.json").write_text(json.dumps(settings))
    words = (f"data.project={slow}", f"index={project / 'index'}", "picks.user_id=bo", f"out_dir={tmp_path}")
    with disk, serving(*words) as (address, _):
        person = Person(browser, address)
        person.start()
        person.go("sim_000", truth(project, "sim_000")[0] + 12)
        person.press("e")
        person.search()
        for key in "ar":
            person.press(key)
        assert "2 judged" in person.page.inner_text("#expect")
        assert person.page.evaluate(NUM_GREYS) == 1  # no plane came meanwhile
        SlowDisk.waits.set()
        person.page.wait_for_function(f"() => {NUM_GREYS} > 50", timeout=1000 * SECONDS)
        disk.shutdown()


@pytest.mark.slow
def test_by_keys_alone_from_a_structure_to_saved_picks_on_a_large_screen(
    project: Path, browser: Any, tmp_path: Path
) -> None:
    words = (f"data.project={project}", f"index={project / 'index'}", "picks.user_id=cy", f"out_dir={tmp_path}")
    with serving(*words) as (address, _):
        person = Person(browser, address, 3840, 2160)
        person.page.wait_for_selector("body[data-ready]")
        person.tab_to("object")
        person.page.keyboard.type(WANTED)
        person.page.keyboard.press("Enter")
        person.page.wait_for_selector(f"#object-title:text-is('{WANTED}')")
        person.tab_to("structure")
        person.page.keyboard.type(WANTED)
        person.tab_to("search")
        person.page.wait_for_selector("#search:enabled")
        person.press("Enter")
        person.page.wait_for_selector("#result:not([hidden]) #expect b", timeout=4000 * SECONDS)
        for _ in range(3):
            run, xyz = person.chosen()
            right = np.linalg.norm(truth(project, run) - xyz, axis=1).min() < 30
            person.press("a" if right else "r")
        person.tab_to("save")
        person.press("Enter")
        person.page.wait_for_selector("#saved:has-text('picks saved as cy/browse')")
        assert not person.wrong
    saved = {
        run: read_picks(open_project(project), run, WANTED, "cy", "browse").points_xyz for run in ("sim_000", "sim_001")
    }
    hits = [np.linalg.norm(truth(project, run)[:, None] - each, axis=2).min(1) < 30 for run, each in saved.items()]
    assert np.concatenate(hits).mean() >= 0.8
