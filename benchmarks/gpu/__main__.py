"""Everything once on a GPU, within nine minutes: the tests that need one, and every command on full-size data.

    python -m benchmarks.gpu
    python -m benchmarks.gpu --out gpu --minutes 20
    python -m benchmarks.gpu --tiny --device cpu        # only to see whether it runs

Parts that are done are not done again: where time runs out, the same command goes on. Writes ``results.json``,
``report.md`` and a log of each part into the folder ``--out``. The exit code is 1 where a part failed, and 3 where
parts are left to do.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks.gpu.parts import FINETUNE, FULL, LARGE, MASKED, METRIC, SOUGHT, TINY, WORK, Trial
from tomoseek.demo.stages import SAMPLE_SECONDS, Ledger, Stage, executable, resident_bytes, spoken_time
from tomoseek.errors import InputError
from tomoseek.files import atomic_write_text
from tomoseek.picks.copick_picks import read_picks
from tomoseek.picks.points import Picks
from tomoseek.picks.tables import write_csv
from tomoseek.running import pick_device
from tomoseek.tomograms.project import open_project

LOGS = {MASKED: "log.jsonl", METRIC: "log.jsonl", FINETUNE: "train_log.jsonl"}
NUM_EXAMPLES = 5
GRACE_SECONDS = 15.0  # for a training that is told to end to save its state


def main() -> int:
    """Do what is left of the parts, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu"), help="folder")
    parser.add_argument("--minutes", type=float, default=9.0, help="until it ends, done or not")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="sizes of which no figure means anything")
    options = parser.parse_args()
    deadline = time.monotonic() + 60 * options.minutes - GRACE_SECONDS
    try:
        device = pick_device(options.device)
    except InputError as error:
        parser.error(str(error))
    options.out.mkdir(parents=True, exist_ok=True)
    trial = Trial(folder=options.out, sizes=TINY if options.tiny else FULL, device=options.device)
    ledger = Ledger(options.out, {})
    left, failed = [], []
    for part in trial.parts():
        if ledger.is_done(part):
            print(f"{part.name}: done before", flush=True)
        elif time.monotonic() >= deadline or (code := do(part, ledger, trial, device, deadline)) is None:
            left.append(part.name)
        elif code:
            failed.append(part.name)
    add_speeds(ledger.results["stages"], trial)
    ledger.save()
    report = table(ledger.results["stages"], trial)
    atomic_write_text(options.out / "report.md", report)
    print(f"\n{report}\n{options.out / 'report.md'}, {options.out / 'results.json'}")
    if failed:
        print(f"failed: {', '.join(failed)}; see {options.out}/*.log, and run the same command again", file=sys.stderr)
        return 1
    if left:
        print(f"no time was left for {', '.join(left)}; run the same command again", file=sys.stderr)
        return 3
    return 0


def do(part: Stage, ledger: Ledger, trial: Trial, device: torch.device, deadline: float) -> int | None:
    """Run a part's commands and record it; return its exit code, None when the time ran out."""
    if part.name == "query" and not trial.examples.exists():
        draw_examples(trial)
    ledger.start(part)
    print(f"{part.name}: {part.purpose} ...", end=" ", flush=True)
    seconds, memory, on_gpu = 0.0, 0, 0
    log = trial.folder / f"{part.name}.log"
    with log.open("w") as output:
        for words in part.commands:
            code, taken, peak, peak_gpu = measured(words, output.fileno(), device, deadline)
            seconds, memory, on_gpu = seconds + taken, max(memory, peak), max(on_gpu, peak_gpu)
            if code is None:
                print("no time left")
                return None
            if code:
                print(f"failed with exit code {code}:\n" + "\n".join(log.read_text().splitlines()[-15:]), flush=True)
                return code
    ledger.finish(part, seconds, memory / 1e9)
    ledger.results["stages"][part.name]["gpu_memory_gb"] = round(on_gpu / 1e9, 2)
    ledger.save()
    print(spoken_time(seconds), flush=True)
    return 0


def measured(
    words: tuple[str, ...], output: int, device: torch.device, deadline: float
) -> tuple[int | None, float, int, int]:
    """Run a command; return its exit code (None: told to end), seconds, and peak bytes in memory and on the GPU."""
    before, start = bytes_on_gpu(device), time.monotonic()
    process = subprocess.Popen(executable(words), stdout=output, stderr=output, start_new_session=True)
    watched, peak, peak_gpu = psutil.Process(process.pid), 0, 0
    while True:
        peak = max(peak, resident_bytes(watched))
        peak_gpu = max(peak_gpu, bytes_on_gpu(device) - before)
        try:
            return process.wait(SAMPLE_SECONDS), time.monotonic() - start, peak, peak_gpu
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                end(process)
                return None, time.monotonic() - start, peak, peak_gpu


def end(process: "subprocess.Popen[bytes]") -> None:
    """Tell a command and all it started to end, and see that they do."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def bytes_on_gpu(device: torch.device) -> int:
    """Bytes in use on the GPU, by whomever."""
    if device.type != "cuda":
        return 0
    free, total = torch.cuda.mem_get_info(device)
    return total - free


def draw_examples(trial: Trial) -> None:
    """Write a few true picks of the large tomogram, from which the search starts."""
    root = open_project(trial.folder / "project" / "copick.json")
    truth = read_picks(root, LARGE, SOUGHT, "simulator").points_xyz
    write_csv(trial.examples, [(LARGE, SOUGHT, Picks(truth[:NUM_EXAMPLES]))])


def add_speeds(done: dict[str, dict[str, Any]], trial: Trial) -> None:
    """Add to each part operations per second, their share of what products reach, and steps where it trains."""
    if "work" not in done:
        return
    work = json.loads((trial.folder / WORK).read_text())
    done["work"]["device"] = work
    for name in done.keys() & work["flops"].keys():
        part = done[name]
        rate = 1 / part["seconds"]  # of the whole command, with all that it imports and writes
        if name in LOGS:
            rate = part["steps_per_second"] = steps_per_second(trial.folder / name / LOGS[name])
        part["flops_per_second"] = work["flops"][name] * rate
        part["share_of_products"] = part["flops_per_second"] / work["products_flops"]


def steps_per_second(log: Path) -> float:
    """Speed in the second half of a log, when everything is warm."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    timed = [line for line in lines if "seconds" in line]
    first, last = timed[(len(timed) - 1) // 2], timed[-1]
    return float((last["step"] - first["step"]) / max(last["seconds"] - first["seconds"], 1e-6))


def table(done: dict[str, dict[str, Any]], trial: Trial) -> str:
    """Return the Markdown of the parts that are done."""
    device = done.get("work", {}).get("device")
    lines = []
    if device:
        products = device["products_flops"] / 1e12
        lines += [f"{device['machine']}; {device['precision']}; products {products:.3g} TFLOP/s", ""]
    lines += ["| part | s | memory, GB | on the GPU, GB | steps/s | TFLOP/s | of products |", "|" + "---|" * 7]
    for name in (part.name for part in trial.parts() if part.name in done):
        part = done[name]
        steps, flops, share = (part.get(key) for key in ("steps_per_second", "flops_per_second", "share_of_products"))
        cells = [f"{part['seconds']:.1f}", f"{part['peak_memory_gb']:.1f}", f"{part.get('gpu_memory_gb', 0):.1f}"]
        cells.append("" if steps is None else f"{steps:.3g}")
        cells += ["", ""] if flops is None else [f"{flops / 1e12:.3g}", f"{share:.1%}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
