"""Parts of the page in a browser: what is kept of clicks, who may ask, and planes as pictures."""

import io
import json
import time
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from embed.browse.guard import Guard
from embed.browse.journal import Journal
from embed.browse.planes import Planes, Shelf, as_jpeg, crop_strip
from tomoseek import Tomogram
from tomoseek.config import Polarity
from tomoseek.errors import InputError

HERE = [100.0, 200.0, 300.0]


def example(run: str = "a", xyz: list[float] = HERE) -> dict[str, object]:
    return {"do": "example", "run": run, "xyz": xyz}


def test_acts_are_kept_and_read_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "it.jsonl")
    first = journal.add(example())
    journal.add({"do": "negative", "run": "b", "xyz": HERE})
    journal.add({"do": "move", "of": first, "xyz": [1.0, 2.0, 3.0]})
    journal.add({"do": "judge", "run": "a", "xyz": HERE, "verdict": "right"})
    journal.add({"do": "radius", "radius": 60})
    for state in (journal.state, Journal(tmp_path / "it.jsonl").state):
        assert state.examples[first].xyz == (1.0, 2.0, 3.0) and [p.run for p in state.negatives.values()] == ["b"]
        assert [each.verdict for each in state.judged.values()] == ["right"] and state.radius == 60


def test_undo_takes_back_one_act_after_another_and_stays_undone(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "it.jsonl")
    journal.add(example())
    journal.add({"do": "judge", "run": "a", "xyz": HERE, "verdict": "wrong"})
    journal.add({"do": "undo"})
    assert not journal.state.judged and len(journal.state.examples) == 1
    journal.add({"do": "undo"})
    assert not Journal(tmp_path / "it.jsonl").state.examples
    with pytest.raises(InputError, match="something to take back"):
        journal.add({"do": "undo"})


def test_one_undo_takes_back_all_that_was_done_together(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "it.jsonl")
    journal.add(example())
    judged = [{"do": "judge", "run": "a", "xyz": [100.0 * k, 0.0, 0.0], "verdict": "right"} for k in range(5)]
    journal.add_together(judged)
    assert len(journal.state.judged) == 5 and len(Journal(journal.path).state.judged) == 5
    journal.add({"do": "undo"})
    assert not journal.state.judged and len(journal.state.examples) == 1
    journal.add({"do": "undo"})
    assert not Journal(journal.path).state.examples


def test_a_place_has_one_verdict_the_latest(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "it.jsonl")
    for verdict in ("wrong", "unsure", "right"):
        journal.add({"do": "judge", "run": "a", "xyz": HERE, "verdict": verdict})
    journal.add({"do": "judge", "run": "b", "xyz": HERE, "verdict": "wrong"})
    assert [each.verdict for each in journal.state.judged.values()] == ["right", "wrong"]
    journal.add({"do": "judge", "run": "a", "xyz": HERE, "verdict": None})
    assert [each.verdict for each in journal.state.judged.values()] == ["wrong"]


def test_half_a_line_after_a_kill_is_no_act_and_spoils_none(tmp_path: Path) -> None:
    path = tmp_path / "it.jsonl"
    Journal(path).add(example())
    with path.open("a") as file:
        file.write('{"do": "example", "run": "a", "xy')
    again = Journal(path)
    assert len(again.state.examples) == 1
    again.add(example("b"))
    assert [point.run for point in Journal(path).state.examples.values()] == ["a", "b"]
    path.write_text('{"do": "exam}\n' + path.read_text())
    with pytest.raises(InputError, match="expected JSON in line 1"):
        Journal(path)


@pytest.mark.parametrize("act", [
    {}, {"do": "fly"}, {"do": "example", "run": "a"}, {"do": "example", "run": "a", "xyz": [1, 2]},
    {"do": "example", "run": "a", "xyz": [1, 2, "nan"]}, {"do": "judge", "run": "a", "xyz": HERE, "verdict": "maybe"},
    {"do": "radius", "radius": -1}, {"do": "remove", "of": "x"},
])  # fmt: skip
def test_what_cannot_be_understood_is_refused_and_not_kept(tmp_path: Path, act: dict[str, object]) -> None:
    journal = Journal(tmp_path / "it.jsonl")
    with pytest.raises(InputError, match="act: expected"):
        journal.add(act)
    assert not journal.path.exists()


def client(host: str = "localhost:8765") -> TestClient:
    guard = Guard("secret", ("cluster",))
    app = Starlette(
        routes=[Route("/", lambda _: PlainTextResponse("page")), Route("/api", lambda _: PlainTextResponse("data"))],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=guard)],
    )
    return TestClient(app, base_url=f"http://{host}", follow_redirects=False)


def test_only_who_knows_the_token_is_answered_and_it_leaves_the_address_bar() -> None:
    page = client()
    assert page.get("/").status_code == page.get("/api").status_code == page.get("/?token=guess").status_code == 403
    entered = page.get("/?token=secret")
    assert entered.status_code == 303 and entered.headers["location"] == "/"
    assert (
        "httponly" in entered.headers["set-cookie"].lower()
        and "samesite=strict" in entered.headers["set-cookie"].lower()
    )
    answer = page.get("/api")
    assert answer.text == "data" and "default-src 'self'" in answer.headers["content-security-policy"]
    assert page.get("/api?token=secret").text == "data"  # the cookie, not the word, opens the rest


@pytest.mark.parametrize(("headers", "code"), [
    ({"host": "evil.example:8765"}, 421), ({"origin": "http://evil.example"}, 403), ({"origin": "null"}, 403),
    ({"origin": "http://localhost:8765"}, 200), ({"host": "cluster:8765", "origin": "http://cluster:8765"}, 200),
])  # fmt: skip
def test_pages_of_other_sites_and_other_names_are_refused(headers: dict[str, str], code: int) -> None:
    page = client()
    page.cookies.set("tomoseek-8765", "secret", domain="localhost.local")
    page.cookies.set("tomoseek-8765", "secret")
    assert page.get("/api", headers={**headers, "cookie": "tomoseek-8765=secret"}).status_code == code


def ramp(polarity: Polarity = Polarity.dark) -> Tomogram:
    z, y, x = np.meshgrid(np.arange(40.0), np.arange(20.0), np.arange(30.0), indexing="ij")
    return Tomogram.from_array((z + 100 * y + 3 * x).astype(np.float32), voxel_spacing=10, polarity=polarity)


def wait_until_whole(planes: Planes) -> None:
    for _ in range(100):
        if planes.whole:
            return
        time.sleep(0.02)
    raise AssertionError("not read")


@pytest.mark.parametrize("memory", [1e9, 0])
def test_planes_are_those_of_the_file_from_memory_and_without(memory: float) -> None:
    planes = Planes(ramp(), memory)
    if memory:
        wait_until_whole(planes)
    xy, xz, yz = planes.plane(0, 5), planes.plane(1, 5), planes.plane(2, 5)
    assert xy.shape == (20, 30) and xz.shape == (40, 30) and yz.shape == (40, 20)
    assert (np.diff(xy[:, 0].astype(int)) > 0).all() and xy[0].std() < xy[:, 0].std() / 5
    assert int(planes.plane(1, 5, averaged=3).mean()) == pytest.approx(int(xz.mean()), abs=1)
    with pytest.raises(InputError, match="expected 0 to 39, found 40"):
        planes.plane(0, 40)
    assert not planes.whole or memory


def test_bright_protein_is_shown_dark_as_well() -> None:
    dark, bright = Planes(ramp(), 0).plane(0, 3).astype(int), Planes(ramp(Polarity.bright), 0).plane(0, 3).astype(int)
    assert np.abs(dark + bright - 255).max() <= 1


def test_the_first_row_is_drawn_at_the_bottom() -> None:
    picture = np.asarray(Image.open(io.BytesIO(as_jpeg(Planes(ramp(), 0).plane(0, 3)))))
    assert picture.shape == (20, 30) and picture[0].mean() > picture[-1].mean()


def test_a_place_at_the_edge_is_drawn_too() -> None:
    strip = Image.open(io.BytesIO(crop_strip(Planes(ramp(), 0), np.array([0.0, 0.0, 0.0]), 60.0)))
    assert strip.size == (3 * 96 + 4, 96)


def test_memory_holds_what_was_looked_at_last() -> None:
    shelf = Shelf(lambda run: ramp(), memory_gb=2.5 * 40 * 20 * 30 / 1e9)
    first = shelf.planes("a")
    assert shelf.planes("a") is first
    shelf.planes("b")
    shelf.planes("c")
    assert shelf.planes("a") is not first  # had to go


def test_a_glance_reads_no_whole_volume_and_keeps_no_run_waiting() -> None:
    slow, opened = Event(), []

    def open_run(run: str) -> Tomogram:
        opened.append(run)
        if run == "slow":
            assert slow.wait(10)
        return ramp()

    shelf = Shelf(open_run, memory_gb=1)
    waiting = Thread(target=shelf.glance, args=("slow",), daemon=True)
    waiting.start()
    glanced = shelf.glance("a")
    time.sleep(0.2)
    assert not glanced.whole and shelf.glance("a") is glanced and opened == ["slow", "a"]
    slow.set()
    waiting.join(10)
    scrolled = shelf.planes("a")
    wait_until_whole(scrolled)
    assert shelf.glance("a") is scrolled


def test_a_journal_is_plain_json_lines(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "deep" / "it.jsonl")
    journal.add(example())
    assert json.loads(journal.path.read_text().splitlines()[0])["run"] == "a"
