"""A picker trained from the page: by the real commands, watched, stopped, found again, and what it finds."""

import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any
from urllib.request import HTTPCookieProcessor, Request, build_opener

import mrcfile
import numpy as np
import pytest
from browsing import WANTED, Person, serving, truth
from starlette.testclient import TestClient

from embed.browse import detached
from embed.browse.addresses import build_app
from embed.browse.app import Browser
from embed.browse.command import BrowseConfig
from embed.browse.exploring import Explorer
from embed.browse.guard import Guard
from embed.browse.saving import Saver
from embed.browse.training import PROGRESS, Trainer, quoted, seconds
from embed.places import PlacesConfig
from embed.searched import open_searched
from finetune.settings import TrainConfig
from tomoseek.command_line import compose_settings
from tomoseek.errors import InputError
from tomoseek.picks.copick_picks import read_picks
from tomoseek.picks.points import Picks
from tomoseek.running import progress
from tomoseek.tomograms.project import open_project

RUNS = ("sim_000", "sim_001")
SHORT = "checkpoint=shipped,learning_rate=5e-4,batch_size=1,crops.size=[48,48,48],log_every=1,device=cpu"
SECONDS = 300.0


@pytest.fixture(scope="module")
def labelled(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project that gets picks of its own."""
    folder = tmp_path_factory.mktemp("labelled") / "project"
    shutil.copytree(project, folder)
    config = folder / "copick.json"
    config.write_text(config.read_text().replace(str(project), str(folder)))
    return folder


def words(project: Path, out_dir: Path, training: str, user: str = "bea") -> list[str]:
    return [
        f"data.project={project}", f"index={project / 'index'}", f"picks.user_id={user}", f"out_dir={out_dir}",
        f"training=[{training}]",
    ]  # fmt: skip


def page(given: list[str]) -> TestClient:
    """What the page talks to, without a server."""
    config = compose_settings("embed_browse", BrowseConfig, given)
    searched = open_searched(config.data, config.tomogram, config.index, config.encoder)
    saver = Saver(searched, config.data.project, config.picks, Path(config.out_dir))
    trainer = Trainer(searched, saver, config.data.mask, config.training)
    explorer = Explorer(searched, PlacesConfig.default())
    app = build_app(Browser(searched, Path(config.out_dir), saver, trainer, explorer, 1.0), Guard("secret"))
    client = TestClient(app, base_url="http://localhost:8765")
    client.get("/?token=secret")
    return client


def ask(client: TestClient, name: str, code: int = 200, **more: Any) -> Any:
    answer = client.post(f"/api/{name}", json={"object": WANTED, **more})
    assert answer.status_code == code, answer.text
    return answer.json()


def save_truth(given: list[str], runs: tuple[str, ...] = RUNS) -> None:
    """Save the true particles as the page does."""
    config = compose_settings("embed_browse", BrowseConfig, given)
    project, out_dir = Path(config.data.project or ""), Path(config.out_dir)
    searched = open_searched(config.data, None, config.index, None)
    radius = {each.name: each.radius for each in open_project(project).pickable_objects}[WANTED]
    picks = {run: Picks(truth(project, run)) for run in runs}
    Saver(searched, str(project), config.picks, out_dir).save(WANTED, radius, picks, over_changes=True)


def wait(status: Callable[[], Any], until: Callable[[Any], bool]) -> Any:
    for _ in range(int(SECONDS / 0.2)):
        said = status()
        if until(said):
            return said
        time.sleep(0.2)
    raise AssertionError(f"waited in vain: {said}")


@contextmanager
def ended(out_dir: Path) -> Iterator[None]:
    """Let no training outlive its test, or `SECONDS`."""
    path = out_dir / f"{WANTED}-picker" / "training.json"

    def end() -> None:
        record = detached.read(path)
        if record is not None and detached.running(record):
            detached.stop(record)

    timer = Timer(SECONDS, end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        end()


@pytest.fixture
def out_dir(tmp_path: Path) -> Iterator[Path]:
    """Where the page keeps what is done."""
    with ended(tmp_path):
        yield tmp_path


@pytest.fixture(scope="module")
def trained(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[dict[str, Any]]]:
    """A training from its start to its end: the words of the page, and all that was told on the way."""
    out_dir = tmp_path_factory.mktemp("browse")
    given = words(labelled, out_dir, f"{SHORT},num_steps=12")
    save_truth(given)
    client = page(given)
    told = [ask(client, "train")]
    with ended(out_dir):
        while told[-1]["state"] == "running":
            time.sleep(0.2)
            told.append(ask(client, "training"))
    return given, told


@pytest.mark.slow
def test_a_picker_learned_from_saved_picks_finds_the_particles(
    trained: tuple[list[str], list[dict[str, Any]]], labelled: Path
) -> None:
    given, told = trained
    assert told[0]["state"] == "running" and told[-1]["state"] == "done", told[-1]
    assert {each["doing"] for each in told[:-1]} == {"training", "searching"}
    assert 1.0 in {each["share"] for each in told[:-1] if each["doing"] == "training"}
    assert not told[-1]["changed"] and "python -m finetune train" in told[-1]["command"]
    client = page(given)
    answer = ask(client, "trained_finds")
    assert answer["trained"] and not answer["outlook"]["doubts"]
    finds = answer["finds"]
    likely = [find["score"] for find in finds]
    assert likely == sorted(likely, reverse=True) and min(likely) >= 0 and max(likely) <= 1
    kept = [find for find in finds if find["score"] >= answer["outlook"]["threshold"]]
    right = {run: truth(labelled, run) for run in RUNS}
    hits = [np.linalg.norm(right[find["run"]] - find["xyz"], axis=1).min() < 30 for find in kept]
    assert np.mean(hits) >= 0.7 and sum(hits) >= 8, hits
    picked = [len(read_picks(open_project(labelled), run, WANTED, "tomoseek", "bea-browse")) for run in RUNS]
    assert sum(picked) >= 8

    judged = {"do": "judge", "run": finds[0]["run"], "xyz": finds[0]["xyz"], "verdict": "right"}
    after = ask(client, "act", act=judged)
    assert after["judged"][0]["verdict"] == "right"
    again = ask(client, "finds")
    assert again["trained"] and again["finds"][0]["probability"] == 1 and again["outlook"]["num_judged"] == 1
    assert not ask(client, "search")["trained"]  # what was judged right is the example of a search


@pytest.mark.slow
def test_a_server_that_is_killed_leaves_a_training_that_the_next_one_finds_stops_and_goes_on_with(
    labelled: Path, out_dir: Path
) -> None:
    given = words(labelled, out_dir, f"{SHORT},num_steps=2000", user="cy")
    save_truth(given, RUNS[:1])
    log = out_dir / f"{WANTED}-picker" / "train_log.jsonl"
    with serving(*given) as (address, server):
        opened = build_opener(HTTPCookieProcessor())
        opened.open(address)
        asked = Request(f"{address.partition('/?')[0]}/api/train", json.dumps({"object": WANTED}).encode())
        assert json.load(opened.open(asked))["state"] == "running"
        server.send_signal(signal.SIGKILL)

    client = page(given)
    begun = wait(lambda: ask(client, "training"), lambda _: log.is_file() and bool(log.read_text()))
    assert begun["state"] == "running" and begun["doing"] == "training" and begun["seconds"] > 0
    assert "one that runs" in ask(client, "train", 400)["error"]
    assert "train one first" in ask(client, "trained_finds", 400)["error"]
    ask(client, "stop_training")
    stopped = wait(lambda: ask(client, "training"), lambda said: said["state"] != "running")
    assert stopped["state"] == "stopped" and "the same command goes on" in stopped["log"][-1]

    ask(client, "train")
    wait(lambda: ask(client, "training"), lambda said: any("resuming" in line for line in said["log"]))
    ask(client, "stop_training")
    wait(lambda: ask(client, "training"), lambda said: said["state"] == "stopped")
    save_truth(given)  # other picks than those it learned from
    assert ask(client, "training")["changed"]


def test_a_training_that_fails_says_why_in_a_line_and_one_without_picks_does_not_start(
    labelled: Path, tmp_path: Path
) -> None:
    given = words(labelled, tmp_path, f"{SHORT},num_steps=0")
    save_truth(given)
    client = page(given)
    assert ask(client, "training")["state"] == "none"
    ask(client, "train")
    failed = wait(lambda: ask(client, "training"), lambda said: said["state"] != "running")
    assert failed["state"] == "failed"
    assert failed["error"] == "num_steps, batch_size: expected at least 1, found 0, 1"
    nobody = page(words(labelled, tmp_path / "other", SHORT, user="nobody"))
    assert "found none by nobody/browse" in ask(nobody, "train", 400)["error"]
    assert not (tmp_path / "other" / f"{WANTED}-picker").exists()


def test_names_reach_the_command_as_they_are() -> None:
    names = ["null", "1_10", "1e3", "it's [a], b", "back\\slash", "{x: 1}", "ü", "=a"]
    given = [f"data.runs=[{','.join(map(quoted, names))}]"]
    for name in names:
        config = compose_settings("finetune_train", TrainConfig, [*given, f"out_dir={quoted(name)}"])
        assert config.data.runs == names and config.out_dir == name


@pytest.mark.parametrize("word", ["num_steps", "out_dir=elsewhere", "data.runs=[a]"])
def test_words_that_the_page_says_itself_are_refused(word: str) -> None:
    with pytest.raises(InputError, match="training: expected key=value words"):
        compose_settings("embed_browse", BrowseConfig, ["data.project=p", f"training=[{word}]"])


def test_the_share_and_the_time_left_are_read_as_progress_is_printed() -> None:
    bar = progress(range(200), "finetune", "step", 200)
    bar.n, bar.start_t = 24, bar.start_t - 30
    bar.set_postfix_str("loss 0.1234", refresh=False)
    ((step, steps, left),) = PROGRESS.findall(str(bar))
    assert (step, steps) == ("24", "200") and seconds(left) == pytest.approx(220, abs=2)
    assert seconds("1:02:03") == 3723
    bar.n = 0
    assert PROGRESS.findall(str(bar)) == [("0", "200", "")]


def test_tomograms_given_as_files_are_not_trained_on(tmp_path: Path) -> None:
    with mrcfile.new(
        tmp_path / "one.mrc", np.random.default_rng(0).normal(size=(32, 64, 64)).astype(np.float32)
    ) as file:
        file.voxel_size = 10
    given = [f"tomogram={tmp_path / 'one.mrc'}", "encoder=random-tiny", f"index={tmp_path / 'index'}"]
    client = page([*given, f"out_dir={tmp_path / 'out'}"])
    assert "needs a copick project" in ask(client, "training")["refused"]
    assert "needs a copick project" in ask(client, "train", 400)["error"]


@pytest.mark.slow
def test_the_page_shows_what_a_trained_picker_finds(
    trained: tuple[list[str], list[dict[str, Any]]], browser: Any
) -> None:
    with serving(*trained[0]) as (address, _):
        person = Person(browser, address)
        person.start()
        person.page.click("#show-trained:has-text('Show what it finds')")
        person.page.wait_for_selector("#gallery-title:has-text('of the trained picker')")
        assert person.page.locator(".card.wrong").count() == 0
        person.press("r")
        person.page.wait_for_selector(".card.wrong")
        assert "python -m finetune train" in person.page.text_content("#training-command code")
        assert not person.wrong


@pytest.mark.slow
def test_the_page_starts_a_training_and_says_how_it_failed(labelled: Path, tmp_path: Path, browser: Any) -> None:
    given = words(labelled, tmp_path, f"{SHORT},num_steps=0")
    save_truth(given)
    with serving(*given) as (address, _):
        person = Person(browser, address)
        person.start()
        person.page.click("#train:has-text('Train a picker on these picks')")
        person.page.wait_for_selector("#training-told:has-text('expected at least 1, found 0')", timeout=30_000)
        assert person.page.inner_text("#train") == "Try again"
        assert not person.wrong
