"""How few labelled tomograms a picker needs: ours, ours from scratch, and networks of others, at equal processor time.

    taskset -c 1 python -m benchmarks.picker.peers --maps ../shared/data/maps --out peers
    taskset -c 1 python -m benchmarks.picker.peers --maps ../shared/data/maps --out peers --project development \
        --labels 2 --seeds 0 --methods ours "frozen=ours:unfreeze=none" unet:learning_rate=1e-3
    python -m benchmarks.picker.peers --out peers --predict-cost

Each method trains on one thread for the steps that `--minutes` of processor time pay for; what a step costs is
measured once (costs.json) while nothing else should run. A fixed number of steps makes a result independent of what
else the machine does. One JSON per method, labelled tomograms and seed; what is there is not done again, so a killed
run goes on. `--methods` also takes variants: a known method, a colon, and words for the training command.

The peers need MONAI, which nothing else here does: ``pip install --no-deps monai``.
"""

import argparse
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import torch

from benchmarks.picker.peers.figures import label_efficiency
from benchmarks.picker.peers.methods import KNOWN, SHIPPED, Method, parse_method, step_cost, train
from benchmarks.picker.peers.predict_cost import table
from benchmarks.picker.peers.projects import PROJECTS, SCORED_ON
from benchmarks.picker.peers.scores import score
from benchmarks.picker.peers.tables import markdown
from finetune.sources import find_checkpoint
from tomoseek.files import atomic_write_bytes, atomic_write_json
from tomoseek.plots import to_png


def measure(method: Method, labels: int, seed: int, arguments: argparse.Namespace) -> None:
    """Train and score one cell of the grid unless it is there already."""
    project, out = PROJECTS[arguments.project], arguments.out
    name = f"{method.slug}-{labels}-{seed}"
    path = out / arguments.project / f"{name}.json"
    asked: dict[str, Any] = {"network": method.network, "words": list(method.words)}
    asked |= {"num_steps": arguments.num_steps} if arguments.num_steps else {"minutes": arguments.minutes}
    if path.exists():
        settings = json.loads(path.read_text())["settings"]
        differ = sorted(key for key, value in asked.items() if settings.get(key) != value)
        if differ:
            raise SystemExit(f"{path} was made with other {', '.join(differ)}; give another --out, or remove it")
        return
    if labels:
        num_steps = arguments.num_steps or max(1, int(60 * arguments.minutes / step_cost(method, project, out)))
        folder = out / "trained" / arguments.project / name
        shutil.rmtree(folder, ignore_errors=True)
        seconds = train(method.command(project.config(out), project, labels, seed, num_steps, folder))
        (folder / "state.safetensors").unlink(missing_ok=True)
    else:
        num_steps, seconds, folder = 0, 0.0, find_checkpoint(SHIPPED)
    scores = {
        part: score(folder, PROJECTS[where].config(out), PROJECTS[where].runs("test"), method.words)
        for part, where in SCORED_ON[arguments.project].items()
    }
    record = {
        "method": method.name, "labels": labels, "seed": seed, "processor_seconds": round(seconds, 1),
        "settings": {**asked, "num_steps": num_steps}, "scores": scores,
    }  # fmt: skip
    atomic_write_json(path, record)
    totals = ", ".join(f"{part} {found['weighted_f4']:.3f}" for part, found in scores.items())
    print(f"{name}: weighted F4 {totals}", flush=True)


def main() -> None:
    """Measure what is not there yet; print the tables and draw the curves of everything there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=Path, help="folder of density maps named after PDB entries; to simulate")
    parser.add_argument("--out", type=Path, default=Path("peers"))
    parser.add_argument("--project", choices=SCORED_ON, default="main")
    parser.add_argument("--methods", nargs="*", default=list(KNOWN), help="known methods or variants; none: the table")
    parser.add_argument(
        "--labels", type=int, nargs="+", default=[1, 2, 4, 6], help="labelled tomograms; 0: the shipped picker"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=4.0, help="processor time of each training")
    parser.add_argument("--num-steps", type=int, help="steps instead of minutes")
    parser.add_argument("--costs", action="store_true", help="only measure what a training step costs")
    parser.add_argument("--predict-cost", action="store_true", help="only measure what a prediction costs")
    arguments = parser.parse_args()
    if arguments.predict_cost:
        print(table(arguments.methods))
        return
    torch.set_num_threads(1)
    if arguments.maps:
        for name in {arguments.project, *SCORED_ON[arguments.project].values()}:
            PROJECTS[name].simulate(arguments.out, arguments.maps)
    methods = [parse_method(text) for text in arguments.methods]
    if arguments.costs:
        for method in methods:
            cost = step_cost(method, PROJECTS[arguments.project], arguments.out)
            print(f"{method.name}: {cost:.2f} s of processor time a step", flush=True)
        return
    failed = []
    for seed in arguments.seeds:
        for labels in arguments.labels:
            for method in methods:
                if not labels and (method.name != SHIPPED or seed != arguments.seeds[0]):
                    continue  # nothing to learn from, and nothing drawn
                try:
                    measure(method, labels, seed, arguments)
                except subprocess.CalledProcessError as error:
                    failed.append(f"{method.name}, {labels} labelled, seed {seed}: exit code {error.returncode}")
    paths = sorted((arguments.out / arguments.project).glob("*.json"))
    records = [json.loads(path.read_text()) for path in paths]
    print(markdown(records, arguments.project))
    picture = arguments.out / f"{arguments.project}.png"
    atomic_write_bytes(picture, to_png(label_efficiency(records, arguments.project)))
    print(f"\n{picture}")
    # A mean over the seeds that survived flatters a method that diverges.
    if failed:
        raise SystemExit("\n".join(["FAILED, in no row above and tried again next time:", *failed]))


if __name__ == "__main__":
    main()
