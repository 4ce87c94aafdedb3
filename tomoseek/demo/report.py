"""The demo's ``report.html``: one page that needs nothing else, for a biologist to read."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from tomoseek.complexes import COMPLEXES, class_weight
from tomoseek.demo.figures import draw_figures
from tomoseek.demo.stages import spoken_time
from tomoseek.files import atomic_write_text
from tomoseek.page import Picture, figure, fill_page, section, table, tile

ABOUT_F4 = (
    "A pick is right when it lies within half a particle radius of a true centre. <b>Precision</b> is the "
    "share of picks that are right, <b>recall</b> the share of particles that were found. <b>F4</b> joins "
    "the two and counts a missed particle sixteen times as heavily as a false pick: it is the score of the "
    "CZII challenge, as are the weights. 1 is perfect."
)
ABOUT_SEARCH = (
    "The encoder turns every place of a tomogram into a vector, so that places with the same complex have "
    "similar vectors. A search takes the vectors at a few example picks and ranks all other places by their "
    "likeness; where the structure is known, it can be rendered into the tomograms in place of examples. "
    "<b>Average precision</b> summarises the ranked list: 1 when all true particles come first, "
    "near 0 when they are spread among the rest. The control does the very same with an encoder whose "
    "weights are random."
)


def write_report(out_dir: Path, num_finds: int = 40) -> Path:
    """Write ``report.html`` beside ``results.json``.

    Parameters
    ----------
    out_dir
        The demo's folder, all stages done.
    num_finds
        How many of the best finds of the search to show.

    Returns
    -------
    The page.
    """
    results = json.loads((out_dir / "results.json").read_text())
    page = render(results, draw_figures(out_dir, results, num_finds))
    atomic_write_text(out_dir / "report.html", page)
    return out_dir / "report.html"


def render(results: Mapping[str, Any], pictures: Mapping[str, Sequence[Picture]]) -> str:
    """Fill the page.

    Parameters
    ----------
    results
        Content of ``results.json``.
    pictures
        By section, as `draw_figures` names them; a section without pictures shows its text and numbers.
    """
    search, picking, settings = results["search"], results["finetune"], results["settings"]
    name = search["class"]

    def figures(key: str) -> str:
        return "\n".join(map(figure, pictures.get(key, ())))

    sections = [
        section("What was done", what_was_done(results)),
        section(
            "The six complexes it was trained to pick",
            f"<p>{ABOUT_F4}</p>{score_table(picking)}{figures('precision_recall')}",
        ),
        section("What it sees and what it finds", figures("slices")),
        section(
            f"A complex it was never shown: {escape(name)}",
            f"<p>{ABOUT_SEARCH}</p>{search_table(search)}{figures('montage')}{figures('search')}",
        ),
        section("Training", figures("losses")),
        section("Time and memory", figures("stages")),
        section("The commands", commands(results["stages"])),
    ]
    machine = results["machine"]
    versions = ", ".join(f"{key} {value}" for key, value in results["versions"].items())
    footer = [
        f"{machine['processor']}, {machine['cpu_cores']} cores, {machine['memory_gb']:g} GB of memory, "
        f"{machine['gpu'] or 'no GPU'}; {machine['system']}.",
        f"{versions}; seed {results['seed']}; commit {results['git_commit'] or 'unknown (no git checkout)'}.",
    ]
    num_train, num_test = (settings["simulate"][key] for key in ("num_train_runs", "num_test_runs"))
    return fill_page(
        title="tomoseek demo: from tomograms to picks",
        subtitle=f"Learned on {num_train} simulated tomograms, measured on {num_test} that no training stage had seen.",
        tiles=headline(results),
        sections=sections,
        footer=footer,
    )


def headline(results: Mapping[str, Any]) -> list[str]:
    """Return the numbers to see first."""
    search, picking, stages = results["search"], results["finetune"], results["stages"]
    worst = min(picking["classes"], key=lambda name: float(picking["classes"][name]["f4"]))
    total = sum(float(stage["seconds"]) for stage in stages.values())
    peak = max(float(stage["peak_memory_gb"]) for stage in stages.values())
    from_structure = f"{search['structure_average_precision']:.2f} from its structure alone"
    random = f"{search['random_init_average_precision']:.2f} with a random encoder"
    return [
        tile(
            f"{picking['weighted_f4']:.2f}",
            "weighted F4, six known complexes",
            f"lowest: {worst}, {picking['classes'][worst]['f4']:.2f}",
        ),
        tile(
            f"{search['average_precision']:.2f}",
            f"average precision for {search['class']}",
            f"never trained on, from {search['shots']} examples; {from_structure}; {random}",
        ),
        tile(spoken_time(total), "all stages together", f"peak memory {peak:.1f} GB"),
    ]


def score_table(picking: Mapping[str, Any]) -> str:
    """F4, precision and recall of every class, and the weighted mean."""
    rows = []
    for name, scores in picking["classes"].items():
        numbers = [f"{scores[key]:.3f}" for key in ("f4", "precision", "recall")]
        radius = f"{COMPLEXES[name].radius_angstrom:g} Å" if name in COMPLEXES else ""
        rows.append([name, radius, f"{class_weight(name):g}", *numbers])
    foot = ["weighted mean", "", "", f"{picking['weighted_f4']:.3f}", "", ""]
    return table(["complex", "radius", "weight", "F4", "precision", "recall"], rows, foot)


def search_table(search: Mapping[str, Any]) -> str:
    """Average precision of the searches and of their control."""
    rows = [
        ["pretrained encoder", str(search["shots"]), f"{search['average_precision']:.3f}"],
        ["pretrained encoder, its structure", "none", f"{search['structure_average_precision']:.3f}"],
        ["random encoder (control)", str(search["shots"]), f"{search['random_init_average_precision']:.3f}"],
    ]
    return table(["search with", "examples", "average precision"], rows)


def what_was_done(results: Mapping[str, Any]) -> str:
    """The stages in order, each with its purpose and its time."""
    rows = [
        f"<tr><td>{escape(name)}</td><td class='wide'>{escape(stage['purpose'])}</td>"
        f"<td>{spoken_time(stage['seconds'])}</td></tr>"
        for name, stage in results["stages"].items()
    ]
    lead = (
        "<p>No stage used measured data: the tomograms are simulated, from particles in random poses through "
        "a tilt series with its contrast transfer, noise and missing wedge, to the reconstruction. Test "
        "tomograms served for nothing but the numbers on this page.</p>"
    )
    head = "<thead><tr><th>stage</th><th class='wide'></th><th>time</th></tr></thead>"
    return f'{lead}<div class="scroll"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>'


def commands(stages: Mapping[str, Mapping[str, Any]]) -> str:
    """Every command as it was run."""
    parts = ["<p>Every command as it was run; put your own copick project in place of the demo's.</p>"]
    for name, stage in stages.items():
        if stage["commands"]:
            parts.append(f"<h3>{escape(name)}</h3><pre>{escape(chr(10).join(stage['commands']))}</pre>")
    return "\n".join(parts)
