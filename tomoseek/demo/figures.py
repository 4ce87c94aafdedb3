"""The pictures of the demo's report, drawn from what the stages left in its folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tomoseek import plots
from tomoseek.config import DataConfig, Polarity
from tomoseek.evaluation.ranking import rank
from tomoseek.evaluation.slices import ScoredRun, is_near, slice_figure
from tomoseek.page import Picture, picture
from tomoseek.picks.copick_picks import read_picks
from tomoseek.picks.tables import read_points_csv
from tomoseek.plots import Curve
from tomoseek.tomograms.copick_tomograms import find_tomograms
from tomoseek.tomograms.project import object_radii, open_project
from tomoseek.tomograms.slabs import SLAB_ANGSTROM, window
from tomoseek.tomograms.tomogram import Tomogram


def draw_figures(out_dir: Path, results: Mapping[str, Any], num_finds: int) -> dict[str, list[Picture]]:
    """Draw every picture of the report.

    Parameters
    ----------
    out_dir
        The demo's folder.
    results
        Content of ``results.json``; ``layout`` says where things lie.
    num_finds
        How many of the best finds of the search to show.

    Returns
    -------
    Pictures by section: slices, precision_recall, montage, search, losses, stages.
    """
    layout = results["layout"]
    project = open_project(out_dir / layout["project"])
    radii = object_radii(project)
    classes = list(results["finetune"]["classes"])
    new_class = results["search"]["class"]
    colors = dict(zip([*classes, new_class], plots.CLASS_COLORS, strict=False))
    evaluation = json.loads((out_dir / "predict" / "evaluation.json").read_text())
    scenes = [read_scene(out_dir, project, layout, run, classes, new_class) for run in layout["test_runs"]]
    stages = plots.stage_figure(results["stages"])
    return {
        "slices": [picture(*slice_figure(scene, radii, colors)) for scene in scenes],
        "precision_recall": [class_curves(evaluation, colors)],
        "montage": [find_picture(out_dir, project, results, radii, num_finds)],
        "search": [search_curves(project, results, radii)],
        "losses": loss_pictures(out_dir, layout["logs"]),
        "stages": [picture(stages, "Wall time and peak memory of every stage on this machine.")],
    }


def read_scene(
    out_dir: Path, project: Any, layout: Mapping[str, Any], run: str, classes: list[str], new_class: str
) -> ScoredRun:
    """Read the truth and the predicted picks of a test run."""
    truth = {name: read_picks(project, run, name, layout["truth_user"]).points_xyz for name in (*classes, new_class)}
    picks = {name: read_picks(project, run, name, "tomoseek", "finetune") for name in classes}
    return ScoredRun(open_run(out_dir / layout["project"], run), truth, picks)


def open_run(project: Path, run: str) -> Tomogram:
    """Open the reconstruction of a run that the demo worked on."""
    data = DataConfig(project=str(project), runs=[run], tomogram_type="wbp", voxel_spacing=None, polarity=Polarity.dark)
    return find_tomograms(data)[0]


def class_curves(evaluation: Mapping[str, Any], colors: Mapping[str, str]) -> Picture:
    """Precision against recall of each trained class."""
    curves = {
        name: Curve(
            recall=[0.0, *curve["recall"]],
            precision=[*curve["precision"][:1], *curve["precision"]],
            color=colors[name],
            chosen=tuple(evaluation["classes"][name][key] for key in ("recall", "precision")),
        )
        for name, curve in evaluation["curves"].items()
    }
    caption = (
        "Precision against recall on the test tomograms as the threshold on the score is lowered; the dots "
        "mark the thresholds in use, which were chosen on other tomograms."
    )
    return picture(plots.precision_recall_figure(curves), caption)


def search_curves(project: Any, results: Mapping[str, Any], radii: Mapping[str, float]) -> Picture:
    """Precision against recall of the searches and of their control."""
    search, layout = results["search"], results["layout"]
    name = search["class"]
    truth = {run: read_picks(project, run, name, layout["truth_user"]).points_xyz for run in search["runs"]}
    curves = {}
    for key, label, color in (
        ("search", "from examples", plots.ACCENT),
        ("structure", "from its structure, no example", plots.CLASS_COLORS[2]),
        ("random_init", "from examples, random encoder (control)", plots.CONTROL),
    ):
        session = layout["search_sessions"][key]
        found = {run: read_picks(project, run, name, "tomoseek", session) for run in search["runs"]}
        precision, recall, _ = rank(truth, found, radii[name]).precision_recall()
        curves[label] = Curve([0.0, *recall], [*precision[:1], *precision], color)
    caption = (
        f"The search for {name} from examples, from its structure alone, and from the same examples with an encoder "
        f"that has learned nothing. Average precision, the area under the curve: {search['average_precision']:.2f}, "
        f"{search['structure_average_precision']:.2f} and {search['random_init_average_precision']:.2f}."
    )
    return picture(plots.precision_recall_figure(curves), caption)


def find_picture(
    out_dir: Path, project: Any, results: Mapping[str, Any], radii: Mapping[str, float], num_finds: int
) -> Picture:
    """Show the example picks, and the best finds in the other runs marked right or wrong."""
    search, layout = results["search"], results["layout"]
    name, radius = search["class"], radii[search["class"]]
    tomograms = {run: open_run(out_dir / layout["project"], run) for run in layout["test_runs"]}
    examples = [
        window(tomograms[run], point, radius)
        for run, picks in read_points_csv(out_dir / "examples.csv").items()
        for point in picks.points_xyz
    ]
    finds = []
    for run in search["runs"]:
        picks = read_picks(project, run, name, "tomoseek", layout["search_sessions"]["search"])
        truth = read_picks(project, run, name, layout["truth_user"]).points_xyz
        right = is_near(picks.points_xyz, truth, radius)
        finds += [(run, *row) for row in zip(picks.points_xyz, picks.scores, right, strict=True)]
    finds.sort(key=lambda find: -find[2])
    best = finds[:num_finds]
    figure = plots.montage_figure(
        examples,
        [window(tomograms[run], point, radius) for run, point, _, _ in best],
        [float(score) for _, _, score, _ in best],
        [bool(good) for _, _, _, good in best],
    )
    caption = (
        f"Left: the {len(examples)} example picks of {name} that the search was given, all from run "
        f"{layout['examples_run']}. Right: its {len(best)} best finds in the other runs, best first, with "
        f"their scores; {sum(bool(good) for *_, good in best)} of them are right (blue: a true {name} lies "
        f"within half a radius; orange: none does). Central slabs of {SLAB_ANGSTROM / 10:.0f} nm."
    )
    return picture(figure, caption)


def loss_pictures(out_dir: Path, logs: Mapping[str, str]) -> list[Picture]:
    """Draw the losses of the stages that left a log."""
    found = {}
    for title, place in logs.items():
        if (out_dir / place).exists():
            found[title] = [json.loads(line) for line in (out_dir / place).read_text().splitlines()]
    if not found:
        return []
    caption = "Training losses: every logged step in grey, their running mean in blue."
    return [picture(plots.loss_figure(found), caption)]
