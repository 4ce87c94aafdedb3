"""Train the picker that comes with the package: six complexes, simulated tomograms alone.

    python -m benchmarks.picker.train_shipped --maps ../shared/data/maps --out five

Simulates the tomograms of `REGIMES` (some with the built-in models in place of the maps), trains a decoder and the
shipped encoder with it, and chooses thresholds on tomograms as thinly populated as those of the challenge. What is
done is not done again, so a killed run goes on. Leaves the checkpoint in ``<out>/picker``, and what is shipped in
``<out>/shipped``.
"""

import argparse
from pathlib import Path
from typing import Final

from finetune.checkpoint import export_checkpoint
from tomoseek.complexes import CHALLENGE
from tomoseek.demo.plan import bracket
from tomoseek.demo.stages import Ledger, Stage, run_stage

SIZE: Final = (96, 256, 256)  # voxels z y x of 10 Å
IN_ICE: Final = ("ice.crowding=[0,0.015]", "ice.crowd_kda=[30,800]")
IN_CELLS: Final = ("ice=in_situ", "microscope.snr=[0.1,2.0]")
# Name to the number of tomograms to learn from, to choose thresholds on, and the words that simulate them. All are
# recorded by `microscope=wide`.
REGIMES: Final[dict[str, tuple[int, int, tuple[str, ...]]]] = {
    "bright": (12, 4, (*IN_ICE, "microscope.snr=[0.1,0.5]")),
    "dim": (24, 4, (*IN_ICE, "microscope.snr=[0.015,0.12]")),
    "crowded": (18, 4, IN_CELLS),
    "processed": (18, 4, (*IN_ICE, "microscope.snr=[0.03,0.4]", "processing=mixed")),
    "crowdedprocessed": (10, 0, (*IN_CELLS, "processing=mixed")),
}
BUILT_IN: Final = (("dim", 8), ("crowded", 4))  # further tomograms to learn from, of the built-in models
FULL, SPARSE = 10, 3  # particles of each complex; the runs of the challenge hold three of each in such a volume


def stages(maps: Path, out: Path, num_steps: int, seed: int) -> list[Stage]:
    """List the commands, in order."""
    project = out / "project"
    commands = []
    learned, held_out = [], []

    def simulate(prefix: str, number: int, counts: int, words: tuple[str, ...], *more: str) -> list[str]:
        commands.append(
            ("python", "-m", "tomoseek", "simulate", f"out_dir={project}", f"prefix={prefix}_", f"num_runs={number}",
             f"size={bracket([str(n) for n in SIZE])}", f"counts={counts}", "microscope=wide", "halves=false",
             f"seed={seed * 1000 + len(commands)}", *words, *more)
        )  # fmt: skip
        return [f"{prefix}_{index:03d}" for index in range(number)]

    real = f"maps_folder={maps}"
    for name, (training, judging, words) in REGIMES.items():
        learned += simulate(name, training, FULL, words, real)
        if judging:
            held_out += simulate(f"sparse{name}", judging, SPARSE, words, real)
    for name, number in BUILT_IN:
        learned += simulate(f"builtin{name}", number, FULL, REGIMES[name][2])
    return [
        Stage(
            name="simulate", purpose="tomograms to learn from, and to choose thresholds on", commands=tuple(commands),
            outputs=(project,),
        ),
        Stage(
            name="train", purpose="fit decoder and encoder",
            commands=(
                ("python", "-m", "finetune", "train", f"data.project={project / 'copick.json'}",
                 f"data.runs={bracket(learned + held_out)}", f"validation_runs={bracket(held_out)}",
                 f"classes={bracket(list(CHALLENGE))}", f"out_dir={out / 'picker'}", f"num_steps={num_steps}",
                 "ema_decay=0.998", "augment.quarter_turns=true", "validate_every=1200",
                 f"seed={seed}"),
            ),
            outputs=(out / "picker" / "finetune.json",), needs=("simulate",),
        ),
    ]  # fmt: skip


def main() -> None:
    """Run what is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--maps", type=Path, required=True, help="folder with density maps of the complexes")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--num-steps", type=int, default=3600)
    parser.add_argument("--seed", type=int, default=3)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(arguments.out, {"seed": arguments.seed})
    todo = stages(arguments.maps, arguments.out, arguments.num_steps, arguments.seed)
    for position, stage in enumerate(todo, start=1):
        run_stage(ledger, stage, f"{position}/{len(todo)}")
    export_checkpoint(arguments.out / "picker", arguments.out / "shipped")
    print(f"{arguments.out / 'shipped'}: in half precision, to go into finetune/shipped")


if __name__ == "__main__":
    main()
