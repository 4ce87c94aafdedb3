"""How a search grows with the number of tomograms: seconds, bytes, and what an approximate index would change.

    python -m benchmarks.search.large_index --out large_index --counts 1 10 100

One simulated tomogram of 184 x 630 x 630 voxels is embedded for real; its run is copied, file by file, until there are
enough (12 GB for 100). Cold: the files are dropped from memory before the query. Prints Markdown.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from embed.examples import read_examples
from embed.index import Index, indexed_runs
from embed.score_map import PARTICLE_MARGIN, lowest_logit
from embed.threads import in_threads
from tomoseek.files import atomic_write_json
from tomoseek.picks.copick_picks import read_picks
from tomoseek.running import progress
from tomoseek.simulate.command import SESSION_ID, USER_ID
from tomoseek.tomograms.project import open_project

OBJECT, NUM_EXAMPLES, QUERIES, NEIGHBOURS = "ribosome", 5, 20, 1000
SOURCE = "sim_000"


def command(*words: str) -> float:
    """Run a command and return its wall time in seconds, start of Python included."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def add_copies(out: Path, count: int) -> None:
    """Copy the embedded run until index and project hold ``count`` of them."""
    root = open_project(str(out / "project"))
    for number in progress(range(len(indexed_runs(out / "index")), count), "copy", "tomogram"):
        run = f"copy_{number:03d}"
        root.new_run(run, exist_ok=True)
        shutil.copytree(out / "index" / SOURCE, out / "index" / f".{run}")
        os.replace(out / "index" / f".{run}", out / "index" / run)


def forget(folder: Path) -> None:
    """Drop the files of a folder from the operating system's memory."""
    os.sync()
    for path in folder.rglob("*.*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def median_seconds(queries: NDArray[np.float32], search: Callable[[NDArray[np.float32]], object]) -> float:
    """Median time of one query after another."""
    seconds = []
    for query in queries:
        start = time.perf_counter()
        search(query)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def example_vectors(out: Path, index: Index) -> tuple[NDArray[np.float32], float, list[list[float]]]:
    """Vectors at true particles, to be searched for one by one; the particle floor and points of the first few."""
    root = open_project(str(out / "project"))
    points = read_picks(root, SOURCE, OBJECT, USER_ID, SESSION_ID).points_xyz
    examples = read_examples(index, points[:QUERIES], SOURCE)
    floor = lowest_logit(examples.particle_logit[:NUM_EXAMPLES], PARTICLE_MARGIN)
    return examples.vectors, floor, points[:NUM_EXAMPLES].round(1).tolist()


def growth_row(out: Path, count: int) -> list[str]:
    """Measure search and whole query over ``count`` tomograms."""
    index = Index.open(out / "index")
    vectors, floor, points = example_vectors(out, index)
    shards = [index.shard(run) for run in index.entries]
    for shard in shards:
        shard.nearest(vectors[0], NEIGHBOURS, floor)
    searched = sum(len(shard.rows_above(floor)) for shard in shards)
    ranking = median_seconds(
        vectors, lambda query: in_threads(lambda shard: shard.nearest(query, NEIGHBOURS, floor), shards)
    )
    words = ["embed", "query", f"data.project={out / 'project'}", f"index={out / 'index'}", f"points={points}"]
    words += [f"run={SOURCE}", f"name={OBJECT}", f"out_dir={out / 'search'}"]
    warm = min(command(*words) for _ in range(2))
    forget(out / "index")
    cold = command(*words)
    total = sum(entry.num_vectors for entry in index.entries.values())
    num_bytes = sum(path.stat().st_size for path in (out / "index").rglob("*") if path.is_file())
    return [
        str(count), f"{total / 1e6:.1f}", f"{num_bytes / 1e9:.2f} GB", f"{searched / total:.1%}",
        f"{1000 * ranking:.0f} ms", f"{warm:.1f} s", f"{cold:.1f} s",
    ]  # fmt: skip


def approximate_rows(out: Path) -> list[list[str]]:
    """Compare the exact search of particle-like cells with an inverted-file index over all cells of one tomogram."""
    index = Index.open(out / "index")
    shard = index.shard(SOURCE)
    vectors, floor, _ = example_vectors(out, index)
    values = shard.read_vectors(np.arange(len(shard)))
    truth = [set(shard.nearest(query, NEIGHBOURS, -np.inf)) for query in vectors]
    likely = [rows & set(shard.rows_above(floor)) for rows in truth]

    def row(name: str, built: float, search: Callable[[NDArray[np.float32]], NDArray[np.int64]]) -> list[str]:
        seconds = median_seconds(vectors, search)
        found = [set(search(query)) for query in vectors]
        of_all = np.mean([len(a & b) / len(b) for a, b in zip(found, truth, strict=True)])
        of_likely = np.mean([len(a & b) / max(1, len(b)) for a, b in zip(found, likely, strict=True)])
        return [name, f"{1000 * seconds:.1f} ms", f"{of_all:.3f}", f"{of_likely:.3f}", f"{built:.0f} s"]

    rows = [
        row("particle-like cells, exact (what query does)", 0, lambda q: shard.nearest(q, NEIGHBOURS, floor)),
        row("all cells, exact", 0, lambda q: shard.nearest(q, NEIGHBOURS, -np.inf)),
    ]
    start = time.perf_counter()
    quantizer = faiss.IndexFlatIP(values.shape[1])
    inverted = faiss.IndexIVFScalarQuantizer(
        quantizer, values.shape[1], 4096, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    )
    inverted.train(values[::8].copy())
    inverted.add(values)
    built = time.perf_counter() - start
    for nprobe in (8, 32, 128):
        inverted.nprobe = nprobe
        name = f"all cells, IVF 4096, {nprobe} lists"
        rows.append(row(name, built, lambda q: inverted.search(q[None], NEIGHBOURS)[1][0]))
    return rows


def main() -> None:
    """Build, copy, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("large_index"))
    parser.add_argument("--counts", type=int, nargs="*", default=[1, 10, 100])
    parser.add_argument("--encoder", default="shipped")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    out: Path = arguments.out
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    faiss.omp_set_num_threads(arguments.threads)
    if not (out / "project").exists():
        words = [f"out_dir={out / 'project'}", "num_runs=1", "size=[184,630,630]", "counts=30"]
        command("tomoseek", "simulate", *words)
    words = [f"data.project={out / 'project'}", f"index={out / 'index'}", f"encoder={arguments.encoder}"]
    if not (out / "index" / SOURCE).exists():
        command("embed", "build", *words, f"data.runs=[{SOURCE}]")
    seconds = Index.open(out / "index").entries[SOURCE].seconds
    print(f"embedding one tomogram: {seconds:.0f} s\n", flush=True)
    header = ["search", "median of one query", f"recall@{NEIGHBOURS} of all cells", "of particle-like cells", "built"]
    print(f"| {' | '.join(header)} |", "|---" * len(header) + "|", sep="\n")
    approximate = approximate_rows(out)
    print(*(f"| {' | '.join(row)} |" for row in approximate), sep="\n", flush=True)
    header = ["tomograms", "million cells", "on disk", "searched", "ranking", "whole query, warm", "cold"]
    print(f"\n| {' | '.join(header)} |", "|---" * len(header) + "|", sep="\n", flush=True)
    growth = []
    for count in arguments.counts:
        add_copies(out, count)
        growth.append(growth_row(out, count))
        print(f"| {' | '.join(growth[-1])} |", flush=True)
    record = {"threads": arguments.threads, "embedding_seconds": seconds, "searches": approximate, "growth": growth}
    atomic_write_json(out / "large_index.json", record)


if __name__ == "__main__":
    main()
