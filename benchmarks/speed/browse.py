"""How long the page of `embed browse` waits for planes, crops, searches and saving, and what its server holds.

    python -m benchmarks.speed.browse --out browse-speed --runs 1 100 --minutes 60

A simulated tomogram of 184 x 630 x 630 voxels with 240 particles of six kinds in a copick project, embedded by the
shipped encoder. More tomograms are the same one under other names (hard links, so that the disk holds one). The server
runs as a user would start it; requests come one after the other over HTTP. Then somebody works for some minutes: opens
one tomogram after another, scrolls, looks at crops, judges, searches and saves, a request every half second. Prints
Markdown.
"""

import argparse
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
import psutil

from embed import build
from tomoseek.command_line import compose_settings
from tomoseek.picks.copick_picks import read_picks
from tomoseek.simulate.command import SimulateConfig
from tomoseek.simulate.command import run as simulate
from tomoseek.tomograms.project import open_project

SHAPE = (184, 630, 630)
NAME, EXAMPLES = "ribosome", 5
PAUSE = 0.5  # seconds between the requests of somebody who works
LAST_PLANE = 180


def prepare(folder: Path, num_runs: int) -> Path:
    """Make project and index unless they are there, and return their folder."""
    first, wanted = folder / "1", folder / str(num_runs)
    if not (first / "index" / "index.json").exists():
        words = [f"out_dir={first}", "num_runs=1", f"size={list(SHAPE)}", "counts=40", "halves=false", "seed=1"]
        simulate(compose_settings("simulate", SimulateConfig, words))
        words = [f"data.project={first}", f"index={first / 'index'}"]
        build.run(compose_settings("embed_build", build.BuildConfig, words))
    if not (wanted / "copick.json").exists():
        wanted.mkdir()
        for parent in ("static/ExperimentRuns", "overlay/ExperimentRuns", "index"):
            for number in range(num_runs):
                source = first / parent / run_name(0)
                if source.is_dir():
                    shutil.copytree(source, wanted / parent / run_name(number), copy_function=os.link)
        shutil.copy(first / "index" / "index.json", wanted / "index")
        settings = (first / "copick.json").read_text()
        (wanted / "copick.json").write_text(settings.replace(str(first), str(wanted)))
    return wanted


def run_name(number: int) -> str:
    """Name a run as the simulator does."""
    return f"sim_{number:03d}"


class Client:
    """Talks to the server as the page does."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.host, self.port = str(parts.hostname), int(parts.port or 80)
        self.connection = http.client.HTTPConnection(self.host, self.port)
        self.connection.request("GET", f"/?{parts.query}", headers={"Host": f"{self.host}:{self.port}"})
        answer = self.connection.getresponse()
        answer.read()
        self.cookie = str(answer.headers["set-cookie"]).split(";")[0]

    def get(self, name: str, **words: Any) -> float:
        """Ask for a picture; return the seconds it took."""
        return self._ask("GET", f"/{name}?{urlencode(words)}", None)

    def post(self, name: str, **body: Any) -> float:
        """Ask for data; return the seconds it took."""
        return self._ask("POST", f"/api/{name}", json.dumps(body))

    def _ask(self, method: str, path: str, body: str | None) -> float:
        headers = {"Cookie": self.cookie, "Content-Type": "application/json", "Host": f"{self.host}:{self.port}"}
        started = time.perf_counter()
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {content[:200]!r}")
        return time.perf_counter() - started


def row(name: str, seconds: list[float]) -> str:
    """Return a row of the table."""
    p50, p95 = np.percentile(seconds, (50, 95))
    return f"| {name} | {len(seconds)} | {1000 * p50:.0f} | {1000 * p95:.0f} |"


@contextmanager
def serving(folder: Path) -> Iterator[tuple[Client, psutil.Process]]:
    """Start the server on a project."""
    words = [f"data.project={folder}", f"index={folder / 'index'}", f"out_dir={folder / 'browse'}", "port=0"]
    server = subprocess.Popen(
        [sys.executable, "-m", "embed", "browse", "picks.user_id=ada", *words], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    try:
        address = next(found[0] for line in server.stdout if (found := re.search(r"http://\S+", line)))
        yield Client(address), psutil.Process(server.pid)
    finally:
        server.kill()
        server.wait()


def times(client: Client, folder: Path, num_runs: int) -> None:
    """Print how long each kind of request takes."""
    random = np.random.default_rng(2)
    run = run_name(num_runs - 1)
    plane = {"run": run, "mean": 3}
    known = read_picks(open_project(folder), run, NAME, "simulator").points_xyz
    print(row("list of tomograms", [client.post("project") for _ in range(20)]))
    print(row("first plane of a tomogram", [client.get("slice", axis="xy", place=92, **plane)]))
    print(row("next plane, while the rest is read", [client.get("slice", axis="xy", place=93, **plane)]))
    time.sleep(4)  # the rest is read meanwhile
    for axis, length in (("xy", SHAPE[0]), ("xz", SHAPE[1]), ("yz", SHAPE[2])):
        places = range(4, length - 4, max(1, length // 150))
        print(row(f"planes {axis}", [client.get("slice", axis=axis, place=place, **plane) for place in places]))
    crops = random.uniform(500, 1500, (200, 3))
    print(row("crops in three planes", [client.get("crop", run=run, x=x, y=y, z=z, radius=75) for x, y, z in crops]))
    print(row("picks of the project", [client.post("picks", run=run) for _ in range(20)]))
    print(row("where an example would lie", [client.post("snap", object=NAME, run=run, xyz=p.tolist()) for p in known]))
    acts = [{"do": "example", "run": run, "xyz": point.tolist()} for point in known[:EXAMPLES]]
    print(row("an example, on disk", [client.post("act", object=NAME, act=act) for act in acts]))
    print(row("search of all tomograms", [client.post("search", object=NAME) for _ in range(10)]))
    heat = {"run": run, "axis": "xy", "object": NAME, "search": 10}
    print(row("likeness over a plane", [client.get("likeness", place=place, **heat) for place in range(4, 180, 4)]))
    acts = [{"do": "judge", "run": run, "xyz": point.tolist(), "verdict": "right"} for point in known]
    print(row("a judgement, on disk", [client.post("act", object=NAME, act=act) for act in acts]))
    print(row("finds and what is expected", [client.post("finds", object=NAME) for _ in range(20)]))
    print(row("saving picks", [client.post("save", object=NAME, over_changes=True) for _ in range(3)]))


def work(client: Client, watched: psutil.Process, num_runs: int, minutes: float) -> None:
    """Use the page for some minutes, and print what the server holds before and after."""
    random = np.random.default_rng(3)

    def told() -> str:
        held = watched.memory_info()  # the index is mapped: what of it is in memory can go at any time
        memory = f"{(held.rss - held.shared) / 1e9:.2f} GB and {held.shared / 1e9:.2f} GB of mapped files"
        return f"{memory}, {watched.num_fds()} open files, {watched.num_threads()} threads"

    print(f"\nafter these requests: {told()}", flush=True)
    until, count = time.monotonic() + 60 * minutes, 0
    while time.monotonic() < until:
        run = run_name(int(random.integers(num_runs)))
        client.post("picks", run=run)
        for place in random.integers(0, LAST_PLANE, 40).tolist():
            client.get("slice", run=run, axis=("xy", "xz", "yz")[place % 3], place=place, mean=3)
            time.sleep(PAUSE)
        for x, y, z in random.uniform(500, 1500, (20, 3)):
            client.get("crop", run=run, x=x, y=y, z=z, radius=75)
        point = random.uniform(500, 1500, 3).tolist()
        client.post("act", object=NAME, act={"do": "judge", "run": run, "xyz": point, "verdict": "wrong"})
        client.post("search", object=NAME)
        client.post("save", object=NAME, over_changes=True)
        count += 64
    print(f"after {minutes:g} minutes of work, {count} requests: {told()}")


def main() -> None:
    """Start the server, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=int, nargs="+", default=[1], help="numbers of tomograms")
    parser.add_argument("--minutes", type=float, default=1.0, help="of work, with the last number of tomograms")
    arguments = parser.parse_args()
    for number in arguments.runs:
        folder = prepare(arguments.out.resolve(), number)
        shutil.rmtree(folder / "browse", ignore_errors=True)
        with serving(folder) as (client, watched):
            print(f"\n{number} tomograms\n\n| what | requests | p50, ms | p95, ms |\n|---|---|---|---|")
            times(client, folder, number)
            if number == arguments.runs[-1]:
                work(client, watched, number, arguments.minutes)


if __name__ == "__main__":
    main()
