"""Score the picker on the runs of the CZII challenge, without any label and leaving one run out.

    python -m benchmarks.public_data kaggle --folder czii/train --out challenge
    python -m benchmarks.picker.challenge --project challenge/copick.json --out challenge/scores
    python -m benchmarks.picker.challenge --project challenge/copick.json --out challenge/scores --leave-one-out

*Zero labels*: the shipped picker searches every run. *Leave one out*: for every run, the shipped picker learns from
all others, one of which chooses the thresholds, and searches it. Scored as the challenge does: hits within half the
radius, F-beta with beta 4 per class summed over all runs, weighted mean over classes. What is done is not done again.
Picks go into the project as user ``tomoseek``, sessions ``zero`` and ``loo``; ``<out>/zero`` and ``<out>/loo`` get
``evaluation.json``.
"""

import argparse
import json
from pathlib import Path

from tomoseek.complexes import CHALLENGE
from tomoseek.demo.plan import bracket
from tomoseek.demo.stages import Ledger, Stage, run_stage
from tomoseek.tomograms.project import open_project

CURATED = ("reference.user_id=curation", "reference.session_id=0")


def stages(
    project: Path, out: Path, runs: list[str], leave_one_out: bool, tomogram: list[str], words: list[str]
) -> list[Stage]:
    """List the commands, in order.

    Parameters
    ----------
    project, out
        The copick configuration; where scores go.
    runs
        Names of those with a reference.
    leave_one_out
        Whether the picker learns from all others before it searches one.
    tomogram
        Words that name the tomograms, as ``data.tomogram_type=denoised``.
    words
        More words for the training.
    """
    data = (f"data.project={project}", *tomogram)
    session = "loo" if leave_one_out else "zero"
    owner = f"picks.session_id={session}"
    todo: list[Stage] = []

    def predict(chosen: list[str], checkpoint: str, folder: Path, needs: tuple[str, ...], name: str) -> None:
        command = ("python", "-m", "finetune", "predict", *data, f"data.runs={bracket(chosen)}")
        todo.append(
            Stage(
                name=name, purpose=f"search {', '.join(chosen)}",
                commands=((*command, f"checkpoint={checkpoint}", owner, f"out_dir={folder}"),),
                outputs=(folder / "candidates.json",), needs=needs,
            )
        )  # fmt: skip

    if not leave_one_out:
        predict(runs, "shipped", out / session, (), "predict")
    for number, run in enumerate(runs if leave_one_out else []):
        others = [other for other in runs if other != run]
        judge = others[number % len(others)]
        folder = out / session / run
        train = (
            "python", "-m", "finetune", "train", *data, f"data.runs={bracket(others)}",
            f"validation_runs={bracket([judge])}", "checkpoint=shipped", f"classes={bracket(list(CHALLENGE))}",
            "picks.user_id=curation", "picks.session_id=0", f"out_dir={folder}", *words,
        )  # fmt: skip
        todo.append(
            Stage(
                name=f"train_{run}", purpose=f"learn from all but {run}", commands=(train,),
                outputs=(folder / "finetune.json",),
            )
        )  # fmt: skip
        predict([run], str(folder), folder, (f"train_{run}",), f"predict_{run}")
    searched = tuple(stage.name for stage in todo if stage.name.startswith("predict"))
    score = (
        "python", "-m", "finetune", "evaluate", f"data.project={project}", f"data.runs={bracket(runs)}", owner,
        f"classes={bracket(list(CHALLENGE))}", *CURATED, f"out_dir={out / session}", "figures=false",
        f"candidates={'null' if leave_one_out else out / session}",
    )  # fmt: skip
    todo.append(
        Stage(
            name=f"score_{session}", purpose="score all runs together", commands=(score,),
            outputs=(out / session / "evaluation.json",), needs=searched,
        )
    )  # fmt: skip
    return todo


def main() -> None:
    """Run what is not done yet and print the score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, required=True, help="copick configuration of the challenge's runs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", nargs="+", help="those with a reference; all when left out")
    parser.add_argument("--leave-one-out", action="store_true", help="learn from all other runs first")
    parser.add_argument("--tomogram-type", default=None, help="denoised, wbp, ...; the project's own when left out")
    parser.add_argument("--words", nargs="*", default=[], help="more words for the training, as max_minutes=30")
    arguments = parser.parse_args()
    out: Path = arguments.out / ("loo" if arguments.leave_one_out else "zero")
    out.mkdir(parents=True, exist_ok=True)
    runs = arguments.runs or sorted(run.name for run in open_project(arguments.project).runs)
    tomogram = [f"data.tomogram_type={arguments.tomogram_type}"] if arguments.tomogram_type else []
    todo = stages(arguments.project, arguments.out, runs, arguments.leave_one_out, tomogram, arguments.words)
    ledger = Ledger(out, {"project": str(arguments.project)})
    for position, stage in enumerate(todo, start=1):
        run_stage(ledger, stage, f"{position}/{len(todo)}")
    evaluation = json.loads((out / "evaluation.json").read_text())
    print(f"{out / 'evaluation.json'}: weighted F4 {evaluation['weighted_f4']:.3f} over {len(runs)} runs")


if __name__ == "__main__":
    main()
