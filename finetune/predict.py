"""Search whole tomograms with a trained picker and write copick picks with scores."""

from dataclasses import dataclass
from pathlib import Path

from finetune.calibration import calibrate
from finetune.candidates import Candidates, save_candidates
from finetune.checkpoint import Description
from finetune.detect import DetectConfig, find_particles, keep_above, one_per_site
from finetune.ensemble import load_ensemble
from tomoseek.complexes import Complex
from tomoseek.config import DataConfig, PicksConfig
from tomoseek.errors import InputError
from tomoseek.picks.copick_picks import write_picks
from tomoseek.picks.points import Picks
from tomoseek.picks.star import write_star
from tomoseek.picks.tables import write_csv
from tomoseek.running import Stopwatch, pick_device
from tomoseek.tomograms.copick_tomograms import find_tomograms
from tomoseek.tomograms.project import ensure_object, open_project


@dataclass(kw_only=True, slots=True)
class PredictConfig:
    """Settings of ``finetune predict``; ``configs/finetune_predict.yaml`` explains each."""

    data: DataConfig
    checkpoint: str
    ensemble: list[str]
    picks: PicksConfig
    thresholds: dict[str, float] | None
    one_per_site: bool
    detect: DetectConfig
    relion: int
    tilt_series_pixel_size: float | None
    out_dir: str
    device: str

    def __post_init__(self) -> None:
        if self.relion not in (4, 5):
            raise InputError(f"relion: expected 4 or 5, found {self.relion}")
        if self.relion == 4 and not (self.tilt_series_pixel_size or 0) > 0:
            raise InputError(
                "tilt_series_pixel_size: relion=4 counts pixels of the unbinned tilt series, expected their size in Å, "
                f"found {self.tilt_series_pixel_size}; give it, or set relion=5"
            )
        if len({self.checkpoint, *self.ensemble}) <= len(self.ensemble):
            raise InputError(f"ensemble: expected checkpoints other than '{self.checkpoint}', each once")


def run(config: PredictConfig) -> None:
    """Search every run; write picks into the project, and picks and candidates into ``out_dir``."""
    user_id, session_id = config.picks.user_id, config.picks.session_id
    if user_id is None or session_id is None:
        raise InputError("picks: expected a user_id and a session_id to write under, found null; give both")
    device = pick_device(config.device)
    picker, description = load_ensemble([Path(folder) for folder in (config.checkpoint, *config.ensemble)], device)
    thresholds = choose(description, config.thresholds, config.detect.min_score)
    tomograms = find_tomograms(config.data)
    for tomogram in tomograms:
        if mismatch := tomogram.unfamiliar_spacing(description.voxel_spacing, "the picker"):
            raise InputError(f"{mismatch}, or train at its spacing")
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
            heatmap_peaks = find_particles(tomogram, picker, description.radii, config.detect, device)
            found = calibrate(heatmap_peaks, description.calibration)
            picks = keep_above(found, thresholds)
            if config.one_per_site:
                picks = one_per_site(picks, description.radii)
            for name in description.radii:
                write_picks(root, tomogram.run, name, picks[name], user_id, session_id)
        candidates[tomogram.run] = found
        rows += [(tomogram.run, name, picks[name]) for name in description.radii]
        counts = ", ".join(f"{len(picks[name])} {name}" for name in description.radii)
        print(f"[{number}/{len(tomograms)}] {tomogram.run}: {counts} ({watch.seconds:.0f} s)", flush=True)

    out_dir = Path(config.out_dir)
    write_csv(out_dir / "picks.csv", rows)
    for name in description.radii:
        mine = [row for row in rows if row[1] == name]
        write_star(
            out_dir / f"{name}.star", mine, tomograms, config.tilt_series_pixel_size if config.relion == 4 else None
        )
    found_and_known = Candidates(candidates, thresholds, description.seen_runs)
    save_candidates(out_dir, found_and_known, config.data.project, user_id, session_id)
    print(f"wrote copick picks ({user_id}/{session_id}) and {out_dir}/picks.csv, *.star, candidates.json")


def choose(description: Description, override: dict[str, float] | None, min_score: float) -> dict[str, float]:
    """Return each class's threshold: the checkpoint's unless overridden.

    Raises
    ------
    InputError
        If an override names a class the checkpoint does not know, or lies below what ``min_score``, a value of the
        heatmap, is as a score: candidates between the two are not there.
    """
    thresholds = dict(description.thresholds)
    for name, value in (override or {}).items():
        if name not in thresholds:
            raise InputError(f"thresholds: '{name}' is no class of the checkpoint; known: {', '.join(thresholds)}")
        least = float(description.calibration[name](min_score))
        if not least <= value <= 1:
            raise InputError(
                f"thresholds.{name}: expected between {least:.2g}, the score at detect.min_score = {min_score}, and 1, "
                f"found {value}"
            )
        thresholds[name] = float(value)
    return thresholds
