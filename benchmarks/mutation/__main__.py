"""Whether tests notice faults: plant small ones, one at a time, and run the tests of the module.

    python -m benchmarks.mutation --out mutation.md
    python -m benchmarks.mutation --modules embed/promise.py --mutants 50 --seed 1

A comparison turned, a sign or a constant changed, an argument, call or statement left out: drawn at random from all
that a module has. A fault is killed when a test fails or takes more than three times as long. `equivalent.json` holds
faults that change nothing anyone could notice, each with the reason; they do not count. Writes Markdown.
"""

import argparse
import json
import os
import shlex
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.mutation import trial
from benchmarks.mutation.mutants import Mutant, alike, sample
from tomoseek.files import atomic_write_text

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.json")
# The fastest tests that are meant to notice: a file, or some of its tests.
TESTS = {
    "tomoseek/geometry.py": ("test_geometry.py",),
    "tomoseek/tomograms/normalise.py": ("test_normalise.py",),
    "tomoseek/tomograms/tiling.py": ("test_tiling.py",),
    "tomoseek/evaluation/score.py": ("test_score.py",),
    "tomoseek/evaluation/ranking.py": ("test_score.py",),
    "tomoseek/picks/peaks.py": ("test_peaks.py",),
    "tomoseek/picks/conflicts.py": ("test_conflicts.py",),
    "tomoseek/picks/star_read.py": ("test_relion_star.py",),
    "tomoseek/picks/star_write.py": ("test_relion_star.py",),
    "tomoseek/picks/tables.py": ("test_picks.py", "-k", "csv or submissions or any_name or table or number"),
    "tomoseek/training.py": ("test_training.py", "test_state_keeper.py"),
    "embed/prototype.py": ("test_embed_prototype.py",),
    "embed/promise.py": ("test_embed_promise.py",),
    "embed/search.py": ("test_embed_search.py",),
    "embed/score_map.py": ("test_embed_index.py", "test_embed_search.py"),
    "embed/examples.py": ("test_embed_index.py",),
    "embed/conflicts.py": ("test_embed_search.py",),
    "finetune/detect.py": ("test_finetune_detect.py",),
    "pretrain/loop.py": ("test_pretrain_runs.py", "-k", "told or longer or finished"),
}
MOST = {"pretrain/loop.py": 6}  # its tests train, for a minute
OUTCOMES = (trial.KILLED, trial.TIMEOUT, trial.SURVIVED, "equivalent")


def judged(module: str, mutant: Mutant) -> str | None:
    """Return why a mutant cannot be noticed, if that was found."""
    known = json.loads(EQUIVALENT.read_text()).get(module, [])
    same = [fault for fault in known if (fault["before"], fault["after"]) == (mutant.before, mutant.after)]
    return same[0]["reason"] if same else None


def try_module(module: str, mutants: list[Mutant], trees: list[Path]) -> list[tuple[Mutant, str]]:
    """Return each mutant of a module with what became of it."""
    tests = tuple(f"tests/{word}" if word.endswith(".py") else word for word in TESTS[module])
    seconds = trial.clean_seconds(trees[0], tests)
    limit = trial.TIMES_CLEAN * seconds + trial.SECONDS_MORE
    found = [(mutant, "equivalent") for mutant in mutants if judged(module, mutant)]
    open_ = [mutant for mutant in mutants if not judged(module, mutant)]
    for number, (mutant, outcome) in enumerate(trial.outcomes(open_, module, tests, trees, limit), start=1):
        print(f"{module} {number}/{len(open_)} line {mutant.line}: {outcome}", file=sys.stderr, flush=True)
        found.append((mutant, outcome))
    return sorted(found, key=lambda pair: pair[0].line)


def shortened(mutant: Mutant) -> str:
    """Say in one line what was changed, with a few letters before and after it."""
    before, after = mutant.before, mutant.after
    first, last = alike(before, after)
    start = max(0, first - 30)
    old, new = (text[start : len(text) - max(0, last - 20)][:160] for text in (before, after))
    return f"`{old}` → `{new or 'nothing'}`".replace("|", "\\|")


def report(found: dict[str, list[tuple[Mutant, str]]]) -> str:
    """Return a table of counts and a list of what survived."""
    lines = ["| module | faults | killed | too slow | survived | equivalent | noticed |", "|" + "---|" * 7]
    total: Counter[str] = Counter()
    for module, each in found.items():
        counts = Counter(outcome for _, outcome in each)
        total += counts
        lines.append(_row(module, counts))
    lines += [_row("all", total), ""]
    for module, each in found.items():
        survived = [mutant for mutant, outcome in each if outcome == trial.SURVIVED]
        lines += [f"- {module}, line {mutant.line}, {mutant.kind}: {shortened(mutant)}" for mutant in survived]
    return "\n".join(lines).rstrip() + "\n"


def _row(name: str, counts: Counter[str]) -> str:
    counted = counts.total() - counts["equivalent"]
    noticed = f"{1 - counts[trial.SURVIVED] / counted:.0%}" if counted else "–"
    return f"| {name} | {counts.total()} | {' | '.join(str(counts[outcome]) for outcome in OUTCOMES)} | {noticed} |"


def main() -> None:
    """Try the modules that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modules", nargs="+", default=list(TESTS), choices=TESTS, metavar="FILE")
    parser.add_argument("--mutants", type=int, default=25, help="most faults per module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="test runs at a time")
    parser.add_argument("--out", type=Path, default=Path("mutation.md"))
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    trial.import_before_forks(trial.SLOW_TO_IMPORT)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        trees = [trial.copy_tree(ROOT, Path(folder) / str(job)) for job in range(args.jobs)]
        for module in args.modules:
            most = min(args.mutants, MOST.get(module, args.mutants))
            mutants = sample((trees[0] / module).read_text(), most, f"{args.seed}:{module}")
            found[module] = try_module(module, mutants, trees)
            words = shlex.join(["python", "-m", "benchmarks.mutation", *sys.argv[1:]])
            atomic_write_text(args.out, f"`{words}`\n\n{report(found)}")
    print(report(found))


if __name__ == "__main__":
    main()
