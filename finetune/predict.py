"""Search whole tomograms with a trained picker and write copick picks with scores."""

from dataclasses import dataclass
from pathlib import Path

from finetune.candidates import save_candidates
from finetune.checkpoint import Description, load_checkpoint
from finetune.detect import DetectConfig, find_particles, keep_above
from finetune.labels import PicksConfig
from tomoseek.complexes import Complex
from tomoseek.config import DataConfig
from tomoseek.errors import InputError
from tomoseek.picks import Picks, write_csv, write_picks, write_star
from tomoseek.tomograms import Tomogram, ensure_object, find_tomograms, open_project
from tomoseek.training import Stopwatch, pick_device

SPACING_TOLERANCE = 0.1


@dataclass(kw_only=True, slots=True)
class PredictConfig:
    """Settings of ``finetune predict``; ``configs/finetune_predict.yaml`` explains each."""

    data: DataConfig
    checkpoint: str
    picks: PicksConfig
    thresholds: dict[str, float] | None
    detect: DetectConfig
    out_dir: str
    device: str


def run(config: PredictConfig) -> None:
    """Search every run; write picks into the project, and picks and candidates into ``out_dir``."""
    user_id, session_id = config.picks.user_id, config.picks.session_id
    if user_id is None or session_id is None:
        raise InputError("picks: expected a user_id and a session_id to write under, found null; give both")
    device = pick_device(config.device)
    picker, description = load_checkpoint(Path(config.checkpoint), device)
    thresholds = choose(description, config.thresholds, config.detect.min_score)
    tomograms = find_tomograms(config.data)
    for tomogram in tomograms:
        check_spacing(tomogram, description)
    root = open_project(config.data.project)
    known = {entry.name for entry in root.pickable_objects}
    for name, radius in description.radii.items():
        if name not in known:
            root = ensure_object(config.data.project, Complex(name=name, radius_angstrom=radius))
            print(f"added class {name} to {config.data.project}, which did not know it")

    candidates: dict[str, dict[str, Picks]] = {}
    rows: list[tuple[str, str, Picks]] = []
    for number, tomogram in enumerate(tomograms, start=1):
        with Stopwatch() as watch:
            found = find_particles(tomogram, picker, description.radii, config.detect, device)
            picks = keep_above(found, thresholds)
            for name in description.radii:
                write_picks(root, tomogram.run, name, picks[name], user_id, session_id)
        candidates[tomogram.run] = found
        rows += [(tomogram.run, name, picks[name]) for name in description.radii]
        counts = ", ".join(f"{len(picks[name])} {name}" for name in description.radii)
        print(f"[{number}/{len(tomograms)}] {tomogram.run}: {counts} ({watch.seconds:.0f} s)", flush=True)

    out_dir = Path(config.out_dir)
    write_csv(out_dir / "picks.csv", rows)
    for name in description.radii:
        write_star(out_dir / f"{name}.star", [row for row in rows if row[1] == name], tomograms)
    save_candidates(out_dir, candidates, config.data.project, user_id, session_id, thresholds)
    print(f"wrote copick picks ({user_id}/{session_id}) and {out_dir}/picks.csv, *.star, candidates.json")


def choose(description: Description, override: dict[str, float] | None, min_score: float) -> dict[str, float]:
    """Return each class's threshold: the checkpoint's unless overridden.

    Raises
    ------
    InputError
        If an override names a class the checkpoint does not know, or lies below ``min_score``.
    """
    thresholds = dict(description.thresholds)
    for name, value in (override or {}).items():
        if name not in thresholds:
            raise InputError(f"thresholds: '{name}' is no class of the checkpoint; known: {', '.join(thresholds)}")
        if not min_score <= value <= 1:
            raise InputError(f"thresholds.{name}: expected between detect.min_score = {min_score} and 1, found {value}")
        thresholds[name] = float(value)
    return thresholds


def check_spacing(tomogram: Tomogram, description: Description) -> None:
    """Refuse a tomogram whose particles would look larger or smaller than those learned.

    Raises
    ------
    InputError
        If the voxel spacing is more than a tenth off the checkpoint's.
    """
    if abs(tomogram.voxel_spacing / description.voxel_spacing - 1) > SPACING_TOLERANCE:
        raise InputError(
            f"run {tomogram.run}: expected about {description.voxel_spacing:g} Å per voxel, as in training, "
            f"found {tomogram.voxel_spacing:g} Å; rescale the tomogram, or train at its spacing"
        )
