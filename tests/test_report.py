"""The report of the demo."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tomoseek import plots
from tomoseek.complexes import CHALLENGE, COMPLEXES
from tomoseek.demo import figures as report_figures
from tomoseek.demo import report
from tomoseek.evaluation import slices
from tomoseek.files import atomic_write_json, log_jsonl
from tomoseek.picks.copick_picks import write_picks
from tomoseek.picks.points import Picks
from tomoseek.picks.tables import write_csv
from tomoseek.tomograms import slabs
from tomoseek.tomograms.copick_tomograms import add_tomogram
from tomoseek.tomograms.project import create_project

SPACING = 10.0
RUNS = ("test_000", "test_001")
NEW = "proteasome"


def results_by_hand() -> dict[str, Any]:
    stages = {
        name: {
            "seconds": seconds,
            "peak_memory_gb": memory,
            "purpose": f"to {name}",
            "commands": [f"python {name} <a>"],
        }
        for name, seconds, memory in (("simulate", 12.0, 0.61), ("finetune", 63.0, 1.37))
    }
    classes = {name: {"f4": 0.901 - 0.05 * i, "precision": 0.811, "recall": 0.921} for i, name in enumerate(CHALLENGE)}
    return {
        "machine": {"system": "Linux", "processor": "a CPU", "cpu_cores": 2, "memory_gb": 16.0, "gpu": None},
        "versions": {"python": "3.11.0", "torch": "2.9"},
        "git_commit": None,
        "seed": 7,
        "settings": {"simulate": {"num_train_runs": 4, "num_test_runs": 2}},
        "layout": {
            "project": "project/copick.json",
            "test_runs": list(RUNS),
            "examples_run": RUNS[0],
            "truth_user": "simulator",
            "search_sessions": {"search": "search", "structure": "search-structure", "random_init": "search-random"},
            "logs": {"masked": "masked/log.jsonl", "metric": "metric/log.jsonl"},
        },
        "stages": stages,
        "finetune": {"weighted_f4": 0.8766, "classes": classes},
        "search": {
            "class": NEW,
            "shots": 2,
            "average_precision": 0.6543,
            "structure_average_precision": 0.5432,
            "random_init_average_precision": 0.0432,
            "runs": [RUNS[1]],
            "num_references": 3,
        },
    }


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo folder made by hand: two small tomograms with blobs, picks, logs and results."""
    folder = tmp_path_factory.mktemp("demo")
    root = create_project(folder / "project", [COMPLEXES[name] for name in (*CHALLENGE, NEW)])
    generator = np.random.default_rng(0)
    truth = np.array([[200.0, 200.0, 100.0], [440.0, 200.0, 120.0], [300.0, 420.0, 110.0]])
    grid = np.stack(np.meshgrid(*(np.arange(n) * SPACING for n in (24, 64, 64)), indexing="ij"))[::-1]  # (3, z, y, x)
    for run in RUNS:
        volume = generator.normal(0.0, 1.0, (24, 64, 64))
        for point in truth:
            volume -= 4 * np.exp(-((grid - point[:, None, None, None]) ** 2).sum(axis=0) / (2 * 40.0**2))
        add_tomogram(root, run, "wbp", SPACING, volume.astype(np.float32))
        for name in (CHALLENGE[0], NEW):
            write_picks(root, run, name, Picks(truth), "simulator", "0")
        found = Picks(np.vstack([truth[:2] + 5.0, [[100.0, 500.0, 110.0]]]), np.array([0.9, 0.8, 0.3]))
        write_picks(root, run, CHALLENGE[0], found, "tomoseek", "finetune")
        for session in ("search", "search-structure", "search-random"):
            write_picks(root, run, NEW, found, "tomoseek", session)
    write_csv(folder / "examples.csv", [(RUNS[0], NEW, Picks(truth[:2]))])
    results = results_by_hand()
    atomic_write_json(folder / "results.json", results)
    curve = {"precision": [1.0, 1.0, 0.67], "recall": [0.33, 0.67, 0.67], "score": [0.9, 0.8, 0.3]}
    evaluation = {"classes": results["finetune"]["classes"], "curves": {CHALLENGE[0]: curve}}
    atomic_write_json(folder / "predict" / "evaluation.json", evaluation)
    for step in range(0, 50, 5):
        log_jsonl(folder / "masked" / "log.jsonl", {"step": step, "loss": 1 / (step + 1)})
    report.write_report(folder, num_finds=4)
    return folder


class Page(HTMLParser):
    """Collects tags that open, tags that close, addresses and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img", "br"):
            self.opened.append(tag)
        self.addresses += [value for key, value in attrs if key in ("src", "href") and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_report_holds_every_number_and_needs_no_other_file(demo_folder: Path) -> None:
    path = demo_folder / "report.html"
    page = Page(path.read_text())
    assert page.opened == []
    for number in (
        "0.877",
        "0.88",
        "0.654",
        "0.65",
        "0.043",
        "0.901",
        "0.651",
        "0.811",
        "0.921",
        "1 min 15 s",
    ):
        assert number in page.text
    for words in (*CHALLENGE, NEW, "python simulate <a>", "a CPU", "torch 2.9", "seed 7"):
        assert words in page.text
    assert not re.search(r"https?://|@import|url\(", path.read_text())


def test_pictures_of_the_report_decode_and_are_not_blank(demo_folder: Path) -> None:
    page = Page((demo_folder / "report.html").read_text())
    assert len(page.addresses) == len(RUNS) + 5
    for address in page.addresses:
        head, _, content = address.partition(",")
        assert head == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
            assert np.asarray(picture.convert("L")).std() > 5


def test_pictures_count_hits_misses_and_false_alarms_as_the_score_does(demo_folder: Path) -> None:
    text = (demo_folder / "report.html").read_text()
    assert text.count("<figcaption>Run test_") == len(RUNS)
    assert text.count("hits 2, missed 1, false alarms 1.</figcaption>") == len(RUNS)
    assert "3 best finds in the other runs" in text
    assert "; 2 of them are right" in text


def test_a_hit_is_drawn_with_its_particle_where_the_pick_lies_outside_the_slab(tmp_path: Path) -> None:
    root = create_project(tmp_path, [COMPLEXES[CHALLENGE[0]]])
    add_tomogram(root, "a", "wbp", SPACING, np.random.default_rng(0).normal(size=(32, 32, 32)).astype(np.float32))
    radius, name = 60.0, CHALLENGE[0]
    truth = np.array([[100.0, 100.0, 100.0], [200.0, 200.0, 130.0], [200.0, 100.0, 100.0]])
    found = Picks(truth[:2] + np.array([[0, 0, 5], [0, 0, 25]]))  # the second hits, but lies too high
    scene = slices.ScoredRun(report_figures.open_run(tmp_path / "copick.json", "a"), {name: truth}, {name: found})
    _, caption = slices.slice_figure(scene, {name: radius}, {name: "black"})
    assert "z = 10 nm" in caption or "z = 11 nm" in caption
    assert "hits 2, missed 1, false alarms 0" in caption


def test_window_is_centred_on_the_particle(demo_folder: Path) -> None:
    tomogram = report_figures.open_run(demo_folder / "project" / "copick.json", RUNS[0])
    image = slabs.window(tomogram, np.array([440.0, 200.0, 120.0]), 75.0)
    weights = np.clip(image - np.median(image) - 1.0, 0, None)
    centre = [(weights.sum(axis=1 - axis) * np.arange(len(image))).sum() / weights.sum() for axis in (0, 1)]
    assert np.allclose(centre, len(image) // 2, atol=0.6)


def test_running_mean_equals_the_mean_of_each_window() -> None:
    values = np.random.default_rng(0).normal(size=20)
    expected = [values[max(0, i - 3) : i + 4].mean() for i in range(20)]
    assert np.allclose(plots.running_mean(values, 3), expected)
