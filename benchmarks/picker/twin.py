"""Full size: learn from simulated tomograms of real maps, pick in a twin of the real run TS_5_4.

    python -m benchmarks.picker.twin --data ../shared/data --encoder runs/metric --out-dir twin

``--data`` holds ``maps/`` (densities) and ``picks/TS_5_4`` (where the particles of the real run lie). Eight tomograms
of those maps train a decoder; the twin, 184 x 630 x 630 voxels with the real coordinates, is searched and
scored, and embedded into an index. Leaves ``results.json``: seconds and peak memory of each command, F4 per class.
"""

import argparse
import json
from pathlib import Path

from tomoseek.complexes import CHALLENGE
from tomoseek.demo.stages import Ledger, Stage, run_stage

TWIN = "TS_5_4_000"


def stages(data: Path, encoder: str, out: Path, num_runs: int, num_steps: int, seed: int) -> list[Stage]:
    """List the commands, in order."""
    maps = f"maps_folder={data / 'maps'}"
    project, decoder = f"data.project={out / 'project' / 'copick.json'}", out / "finetune"
    simulate = ("python", "-m", "tomoseek", "simulate", f"out_dir={out / 'project'}", maps)
    train = ",".join(f"train_{index:03d}" for index in range(num_runs))
    classes = f"classes=[{','.join(CHALLENGE)}]"
    return [
        Stage(
            name="simulate",
            purpose="tomograms of the real maps, to learn from",
            commands=(
                (*simulate, "prefix=train_", f"num_runs={num_runs}", "size=[96,256,256]", "counts=10", f"seed={seed}"),
            ),
            outputs=(out / "project",),
        ),
        Stage(
            name="simulate_twin",
            purpose="the twin: real coordinates, real maps, 184 x 630 x 630",
            commands=(
                (*simulate, "prefix=TS_5_4_", "num_runs=1", f"twin={data / 'picks' / 'TS_5_4'}", f"seed={seed + 1}"),
            ),
            outputs=(out / "project" / "simulation" / f"{TWIN}.json",),
            needs=("simulate",),
        ),
        Stage(
            name="finetune",
            purpose="fit a decoder",
            commands=(
                ("python", "-m", "finetune", "train", project, f"data.runs=[{train}]", "data.voxel_spacing=10.0",
                 classes, f"encoder={encoder}", f"out_dir={decoder}", f"num_steps={num_steps}", f"seed={seed}"),
            ),
            outputs=(decoder,),
            needs=("simulate",),
        ),
        Stage(
            name="predict",
            purpose="search the twin",
            commands=(
                ("python", "-m", "finetune", "predict", project, f"data.runs=[{TWIN}]", f"checkpoint={decoder}",
                 f"out_dir={out / 'predict'}"),
            ),
            outputs=(out / "predict",),
            needs=("finetune", "simulate_twin"),
        ),
        Stage(
            name="evaluate",
            purpose="score the picks",
            commands=(
                ("python", "-m", "finetune", "evaluate", project, f"data.runs=[{TWIN}]", f"checkpoint={decoder}",
                 f"candidates={out / 'predict'}", f"out_dir={out / 'predict'}"),
            ),
            outputs=(out / "predict" / "evaluation.json",),
            needs=("predict",),
        ),
        Stage(
            name="embed_build",
            purpose="embed the twin into an index",
            commands=(
                ("python", "-m", "embed", "build", project, f"data.runs=[{TWIN}]", f"encoder={encoder}",
                 f"index={out / 'index'}"),
            ),
            outputs=(out / "index",),
            needs=("simulate_twin",),
        ),
    ]  # fmt: skip


def main() -> None:
    """Run what is not done yet and write ``results.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with maps/ and picks/TS_5_4")
    parser.add_argument("--encoder", required=True, help="folder that pretrain wrote, or random-small")
    parser.add_argument("--out-dir", type=Path, required=True)
    parser.add_argument("--num-runs", type=int, default=8, help="tomograms to learn from (default 8)")
    parser.add_argument("--num-steps", type=int, default=450, help="steps of training (default 450)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    out: Path = arguments.out_dir
    out.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(out, {"seed": arguments.seed, "encoder": arguments.encoder})
    todo = stages(arguments.data, arguments.encoder, out, arguments.num_runs, arguments.num_steps, arguments.seed)
    for position, stage in enumerate(todo, start=1):
        run_stage(ledger, stage, f"{position}/{len(todo)}")
    evaluation = json.loads((out / "predict" / "evaluation.json").read_text())
    ledger.results["finetune"] = {key: evaluation[key] for key in ("weighted_f4", "classes")}
    ledger.save()
    print(f"{ledger.results_path}: weighted F4 {evaluation['weighted_f4']:.3f}")


if __name__ == "__main__":
    main()
