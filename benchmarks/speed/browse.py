"""How long the page of `embed browse` waits for planes, crops and saving, and what its server holds in memory.

    python -m benchmarks.speed.browse --out browse-speed

A copick project with a tomogram of 184 x 630 x 630 voxels of noise, embedded by an untrained encoder (what is in the
index matters to none of this). The server runs as a user would start it; requests come one after the other over HTTP.
Prints Markdown.
"""

import argparse
import http.client
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
import psutil

from embed.index import Index
from tomoseek import Tomogram
from tomoseek.complexes import COMPLEXES
from tomoseek.config import Polarity
from tomoseek.picks.copick_picks import write_picks
from tomoseek.picks.points import Picks
from tomoseek.tomograms.copick_tomograms import add_tomogram
from tomoseek.tomograms.project import create_project

SHAPE, SPACING, RUN = (184, 630, 630), 10.012, "full"
NAME = "apo-ferritin"


def prepare(folder: Path) -> None:
    """Make project and index unless they are there."""
    if (folder / "index" / RUN).exists():
        return
    root = create_project(folder, [COMPLEXES[NAME]])
    volume = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    add_tomogram(root, RUN, "wbp", SPACING, volume)
    places = np.random.default_rng(1).uniform(500, 1500, (100, 3))
    write_picks(root, RUN, NAME, Picks(places), "curator", "0")
    index = Index.create(folder / "index", "random-tiny", keep_fraction=0.1)
    index.add(
        Tomogram(
            run=RUN, tomogram_type="wbp", voxel_spacing=SPACING, array=volume, polarity=Polarity.dark, source="noise"
        )
    )  # fmt: skip


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


def main() -> None:
    """Start the server, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=2000, help="of the long session, after which memory is read")
    arguments = parser.parse_args()
    out: Path = arguments.out
    prepare(out)
    words = [
        f"data.project={out}",
        f"index={out / 'index'}",
        f"out_dir={out / 'browse'}",
        "port=0",
        "picks.user_id=ada",
    ]
    server = subprocess.Popen([sys.executable, "-m", "embed", "browse", *words], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        address = next(found[0] for line in server.stdout if (found := re.search(r"http://\S+", line)))
        client, watched = Client(address), psutil.Process(server.pid)
        plane = {"run": RUN, "mean": 3}
        print("| what | requests | p50, ms | p95, ms |\n| --- | --- | --- | --- |")
        print(row("first plane of a tomogram", [client.get("slice", axis="xy", place=92, **plane)]))
        print(row("next planes across z, while the rest is read", [client.get("slice", axis="xy", place=93, **plane)]))
        time.sleep(4)  # the rest is read meanwhile
        for axis, length in (("xy", 184), ("xz", 630), ("yz", 630)):
            places = range(4, length - 4, max(1, length // 150))
            print(row(f"planes {axis}", [client.get("slice", axis=axis, place=place, **plane) for place in places]))
        random = np.random.default_rng(2)
        crops = random.uniform(500, 1500, (200, 3))
        print(
            row("crops in three planes", [client.get("crop", run=RUN, x=x, y=y, z=z, radius=75) for x, y, z in crops])
        )
        print(row("picks of the project", [client.post("picks", run=RUN) for _ in range(20)]))
        acts = [{"do": "judge", "run": RUN, "xyz": point.tolist(), "verdict": "right"} for point in crops[:100]]
        print(row("a judgement, on disk", [client.post("act", object=NAME, act=act) for act in acts]))
        before = watched.memory_info().rss
        for number in range(arguments.requests):
            client.get("slice", axis=("xy", "xz", "yz")[number % 3], place=number % 180, **plane)
        after = watched.memory_info().rss
        print(
            f"\nmemory {before / 1e9:.2f} GB, after {arguments.requests} further requests {after / 1e9:.2f} GB; ",
            end="",
        )
        print(f"{watched.num_fds()} open files, {watched.num_threads()} threads")
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
