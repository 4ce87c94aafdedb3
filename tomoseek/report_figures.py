"""The pictures of the demo's report, drawn from what the stages left in its folder."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tomoseek import plots
from tomoseek.config import DataConfig, Polarity
from tomoseek.geometry import indices_to_points
from tomoseek.picks import Picks, read_picks, read_points_csv
from tomoseek.plots import Curve, Mark
from tomoseek.project import object_radii, open_project
from tomoseek.score import HIT_FRACTION, precision_recall
from tomoseek.slabs import SLAB_ANGSTROM, read_slab, window
from tomoseek.tomograms import Tomogram, find_tomograms

CSS_PIXELS_PER_INCH = 96


class Picture(NamedTuple):
    """A figure for the page: a ``data:`` address, its width on the page in pixels, the sentence under it."""

    image: str
    width: int
    caption: str


def picture(figure: Figure, caption: str) -> Picture:
    """Render a figure at the size it was laid out for, so that its letters match the page's."""
    dpi = 160
    png = plots.to_png(figure, dpi)
    width = int.from_bytes(png[16:20], "big")  # pixels, as the PNG header says
    address = "data:image/png;base64," + base64.b64encode(png).decode("ascii")
    return Picture(address, round(width / dpi * CSS_PIXELS_PER_INCH), caption)


class Scene(NamedTuple):
    """What is known of one test run: its tomogram, all true points, and the picks of the trained classes."""

    tomogram: Tomogram
    truth: dict[str, NDArray[np.float64]]
    picks: dict[str, Picks]


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
    Pictures by section: slices, precision_recall, montage, few_shot, losses, stages.
    """
    layout = results["layout"]
    project = open_project(out_dir / layout["project"])
    radii = object_radii(project)
    classes = list(results["finetune"]["classes"])
    new_class = results["few_shot"]["class"]
    colors = dict(zip([*classes, new_class], plots.CLASS_COLORS, strict=False))
    evaluation = json.loads((out_dir / "predict" / "evaluation.json").read_text())
    scenes = [read_scene(out_dir, project, layout, run, classes, new_class) for run in layout["test_runs"]]
    stages = plots.stage_figure(results["stages"])
    return {
        "slices": [picture(*slice_figure(scene, radii, colors)) for scene in scenes],
        "precision_recall": [class_curves(evaluation, colors)],
        "montage": [find_picture(out_dir, project, results, radii, num_finds)],
        "few_shot": [search_curves(project, results, radii)],
        "losses": loss_pictures(out_dir, layout["logs"]),
        "stages": [picture(stages, "Wall time and peak memory of every stage on this machine.")],
    }


def read_scene(
    out_dir: Path, project: Any, layout: Mapping[str, Any], run: str, classes: list[str], new_class: str
) -> Scene:
    """Read the truth and the predicted picks of a test run."""
    truth = {name: read_picks(project, run, name, layout["truth_user"]).points_xyz for name in (*classes, new_class)}
    picks = {name: read_picks(project, run, name, "tomoseek", "finetune") for name in classes}
    return Scene(open_run(out_dir / layout["project"], run), truth, picks)


def open_run(project: Path, run: str) -> Tomogram:
    """Open the reconstruction of a run that the demo worked on."""
    data = DataConfig(project=str(project), runs=[run], tomogram_type="wbp", voxel_spacing=None, polarity=Polarity.dark)
    return find_tomograms(data)[0]


def busiest_plane(tomogram: Tomogram, truth: Mapping[str, NDArray[np.float64]], radii: Mapping[str, float]) -> int:
    """Index of the plane that cuts the most particles near their middle."""
    planes = indices_to_points([[z, 0, 0] for z in range(tomogram.shape[0])], tomogram.voxel_spacing)[:, 2]
    crowd = np.zeros(len(planes))
    for name, points_xyz in truth.items():
        for height in points_xyz[:, 2]:
            crowd += np.clip(1 - np.abs(planes - height) / (HIT_FRACTION * radii[name]), 0, 1)
    return int(crowd.argmax())


def slice_figure(scene: Scene, radii: Mapping[str, float], colors: Mapping[str, str]) -> tuple[Figure, str]:
    """Show the busiest slab of a run: bare, with the truth, with hits, misses and false alarms; and a caption."""
    tomogram = scene.tomogram
    _, ny, nx = tomogram.shape
    plane = busiest_plane(tomogram, scene.truth, radii)
    image = read_slab(tomogram, np.array([plane, ny // 2, nx // 2]), (ny, nx))
    height = indices_to_points([[plane, 0, 0]], tomogram.voxel_spacing)[0, 2]
    truth, outcomes = [], []
    tally = dict.fromkeys((plots.HIT, plots.MISS, plots.FALSE_ALARM), 0)
    for name, known in scene.truth.items():
        radius = radii[name]
        near_known = np.abs(known[:, 2] - height) <= HIT_FRACTION * radius
        truth += [Mark(x, y, radius, colors[name]) for x, y, _ in known[near_known]]
        if name not in scene.picks:
            continue
        found = scene.picks[name].points_xyz
        near_found = np.abs(found[:, 2] - height) <= HIT_FRACTION * radius
        right, missed = is_near(found, known, radius), ~is_near(known, found, radius)
        if right.any():  # a hit is drawn with its particle, or that would look missed where the two heights differ
            near_found[right] = near_known[cKDTree(known).query(found[right])[1]]
        for points, color, style in (
            (found[near_found & right], plots.HIT, "-"),
            (known[near_known & missed], plots.MISS, "--"),
            (found[near_found & ~right], plots.FALSE_ALARM, ":"),
        ):
            outcomes += [Mark(x, y, radius, color, style) for x, y, _ in points]
            tally[color] += len(points)
    figure = plots.truth_and_picks_figure(image, tomogram.voxel_spacing, truth, outcomes, colors)
    hits, misses, alarms = tally.values()
    others = ", ".join(name for name in scene.truth if name not in scene.picks)
    untrained = f"The picker was not trained on {others}. " if others else ""
    caption = (
        f"Run {tomogram.run}, a slab of {SLAB_ANGSTROM / 10:.0f} nm at z = {height / 10:.0f} nm, the one "
        "with the most particles. Circles have the particle's radius and are drawn when its centre lies "
        f"within half of that radius of the slab. {untrained}Here: hits {hits}, missed {misses}, false alarms "
        f"{alarms}."
    )
    return figure, caption


def is_near(points_xyz: NDArray[np.float64], others_xyz: NDArray[np.float64], radius: float) -> NDArray[np.bool_]:
    """Say for each point whether one of the others lies within half a radius."""
    if not len(points_xyz) or not len(others_xyz):
        return np.zeros(len(points_xyz), dtype=bool)
    return np.asarray(cKDTree(others_xyz).query(points_xyz)[0] <= HIT_FRACTION * radius)


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
    """Precision against recall of the few-shot search and of its control."""
    few, layout = results["few_shot"], results["layout"]
    name = few["class"]
    truth = {run: read_picks(project, run, name, layout["truth_user"]).points_xyz for run in few["runs"]}
    curves = {}
    for key, label, color in (
        ("few_shot", "pretrained encoder", plots.ACCENT),
        ("random_init", "random encoder (control)", plots.CONTROL),
    ):
        session = layout["search_sessions"][key]
        found = {run: read_picks(project, run, name, "tomoseek", session) for run in few["runs"]}
        precision, recall = precision_recall(truth, found, radii[name])[:2]
        curves[label] = Curve([0.0, *recall], [*precision[:1], *precision], color)
    caption = (
        f"The same search for {name} with the pretrained encoder and with one that has learned nothing. "
        f"Average precision, the area under the curve: {few['average_precision']:.2f} against "
        f"{few['random_init_average_precision']:.2f}."
    )
    return picture(plots.precision_recall_figure(curves), caption)


def find_picture(
    out_dir: Path, project: Any, results: Mapping[str, Any], radii: Mapping[str, float], num_finds: int
) -> Picture:
    """Show the example picks, and the best finds in the other runs marked right or wrong."""
    few, layout = results["few_shot"], results["layout"]
    name, radius = few["class"], radii[few["class"]]
    tomograms = {run: open_run(out_dir / layout["project"], run) for run in layout["test_runs"]}
    examples = [
        window(tomograms[run], point, radius)
        for run, picks in read_points_csv(out_dir / "examples.csv").items()
        for point in picks.points_xyz
    ]
    finds = []
    for run in few["runs"]:
        picks = read_picks(project, run, name, "tomoseek", layout["search_sessions"]["few_shot"])
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
