"""Whether damaged files are read or refused in one clear line, and nothing else happens.

    python -m benchmarks.fuzz
    python -m benchmarks.fuzz --kinds mrc star --number 200
    python -m benchmarks.fuzz --kinds mrc --seeds 17 101     # these again, with their tracebacks

A sound file of each kind is damaged in one to three places, by a generator seeded with its number, and opened by the
functions that commands use. A fault is any error but `InputError` and `FileNotFoundError`, more than 20 s, more than
1 GB of memory, or a file that was changed. Writes Markdown; the exit code is 1 where there is a fault.
"""

import argparse
import sys
from collections import Counter, defaultdict

from benchmarks.fuzz.kinds import KINDS
from benchmarks.fuzz.trial import FAULT, READ, REFUSED, outcomes
from tomoseek.running import progress


def main() -> int:
    """Damage and read what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--number", type=int, default=2000, help="damaged files of each kind")
    parser.add_argument("--seeds", type=int, nargs="+", help="these alone, with tracebacks")
    options = parser.parse_args()
    seeds = options.seeds or range(options.number)
    faults: dict[str, dict[str, list[int]]] = {}
    print("| kind | damaged | read | refused | faults |\n|---|---|---|---|---|", flush=True)
    for name in options.kinds:
        faults[name], counts = defaultdict(list), Counter[str]()
        for outcome in progress(outcomes(name, KINDS[name], seeds), name, "file", len(seeds)):
            counts[outcome.what] += 1
            if outcome.what == FAULT:
                faults[name][outcome.reason].append(outcome.seed)
            if options.seeds:
                print(f"{name} {outcome.seed}: {outcome.what} {outcome.reason}\n{outcome.details}", file=sys.stderr)
        print(f"| {name} | {len(seeds)} | {counts[READ]} | {counts[REFUSED]} | {counts[FAULT]} |", flush=True)
    for name, found in faults.items():
        for reason, numbers in sorted(found.items(), key=lambda pair: -len(pair[1])):
            print(f"- {name}: {reason} ({len(numbers)}, seeds {', '.join(map(str, numbers[:5]))})")
    return int(any(faults.values()))


if __name__ == "__main__":
    sys.exit(main())
