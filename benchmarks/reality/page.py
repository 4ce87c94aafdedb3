"""The page of `embed browse` on half of a real lamella, in a browser: pictures of the whole way, and what it promised.

    python -m benchmarks.reality.page --data ../shared/data --out page

``--data`` holds ``real/yeast80S``. Five listed ribosomes are examples; then somebody who knows the list judges the
finds that the page offers as most useful, by keys. The list is incomplete: a find that is judged wrong may be right,
and so may others; what is promised is compared with the list that was judged by. Needs Chromium and Playwright. Prints
Markdown, and leaves pictures as PNG.
"""

import argparse
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.spatial import cKDTree

from benchmarks.reality.lamella import RADIUS, RUN, hits, open_lamella

NAME, EXAMPLES, SEED = "ribosome-80S", 5, 0
AFTER = (0, 10, 20, 40)
SECONDS = 120.0
COLORS = 256  # of a picture
ASK = """async ([name, body]) => {
    const answer = await fetch(`/api/${name}`, {method: "POST", body: JSON.stringify(body)});
    return answer.json();
}"""


def listed_share(outlook: dict[str, Any], finds: list[dict[str, Any]], judged: list[dict[str, Any]], truth: Any) -> str:
    """Return how many of the kept finds are on the list, those that were judged wrong left out."""
    wrong = np.array([each["xyz"] for each in judged if each["verdict"] == "wrong"]).reshape(-1, 3)
    kept = np.array([each["xyz"] for each in finds if each["score"] >= outlook["threshold"]]).reshape(-1, 3)
    on_list = hits(kept, truth)
    left = on_list | (cKDTree(wrong).query(kept)[0] > 1 if len(wrong) else True)
    return f"{on_list.mean():.2f} | {on_list.sum() / max(left.sum(), 1):.2f} | {on_list.sum()} of {len(truth)}"


def main() -> None:
    """Start the server, click, judge, print."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    folder, out = arguments.data / "real" / "yeast80S", arguments.out
    lamella = open_lamella(folder)
    shutil.rmtree(out / "browse", ignore_errors=True)
    words = [f"tomogram={folder / RUN}.mrc", f"index={out / 'index'}", f"out_dir={out / 'browse'}", "port=0"]
    server = subprocess.Popen([sys.executable, "-m", "embed", "browse", *words], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        address = next(found[0] for line in server.stdout if (found := re.search(r"http://\S+", line)))
        with sync_playwright() as started:
            chromium = shutil.which("chromium") or shutil.which("google-chrome")
            browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(address)
            page.wait_for_selector("body[data-ready]")
            number = 0

            def picture(name: str) -> None:
                nonlocal number
                page.wait_for_timeout(1500)
                number += 1
                seen = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
                few = seen.quantize(COLORS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
                few.save(out / f"{number}_{name}.png", optimize=True)

            picture("empty")
            page.fill("#object", NAME)
            page.fill("#radius", f"{RADIUS:g}")
            page.click("text=Start")
            page.wait_for_selector("#steps:not([hidden])")
            for xyz in lamella.draw(EXAMPLES, SEED).tolist():
                act = {"do": "example", "run": RUN, "xyz": xyz}
                page.evaluate(ASK, ["act", {"object": NAME, "act": act}])
            page.wait_for_selector(f"#points li:nth-child({EXAMPLES})")
            page.locator("#points li span").first.click()
            picture("examples")
            page.click("#search")
            page.wait_for_selector("#expect b", timeout=1000 * SECONDS)
            picture("finds")
            page.select_option("#order", "unsure")
            print("| judged | kept | promised precision | interval | on the list | without rejected | of the list |")
            print("|---|---|---|---|---|---|---|")
            for spent in range(AFTER[-1] + 1):
                answer = page.evaluate(ASK, ["finds", {"object": NAME}])
                if spent in AFTER:
                    outlook = answer["outlook"]
                    low, high = outlook["precision_interval"]
                    share = listed_share(outlook, answer["finds"], answer["judged"], lamella.truth_xyz)
                    promised = f"{outlook['precision']:.2f} | {low:.2f} to {high:.2f}"
                    print(f"| {spent} | {outlook['num_picks']} | {promised} | {share} |", flush=True)
                told = str(page.locator("#where div").first.text_content())
                here = [float(value) for value in re.findall(r"[xyz] (-?\d+)", told.rsplit(":", 1)[1])]
                page.keyboard.press("a" if hits(np.array([here]), lamella.truth_xyz)[0] else "r")
                page.wait_for_function("() => !document.body.dataset.busy")
            page.select_option("#order", "best")
            picture("judged")
            page.check("#heat")
            picture("likeness")
            page.click("#save")
            page.wait_for_selector("#saved:has-text('picks saved')")
            picture("saved")
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
