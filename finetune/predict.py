"""Search whole tomograms with a trained picker and write copick picks with scores."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.candidates import Candidates, save_candidates
from finetune.detect import DetectConfig
from finetune.picking import load_picker
from finetune.sources import SHIPPED_DIR, find_checkpoint
from tomoseek.complexes import Complex
from tomoseek.config import DataConfig, PicksConfig
from tomoseek.errors import InputError
from tomoseek.failures import Failures
from tomoseek.picks.copick_picks import write_picks
from tomoseek.picks.pick_set import PickSet
from tomoseek.picks.points import Picks
from tomoseek.running import Stopwatch
from tomoseek.tomograms.copick_tomograms import find_tomograms
from tomoseek.tomograms.project import ensure_object, open_project

ABOUT_SHIPPED = (
    "picker: the shipped one, which has learned six complexes from simulated tomograms alone; look at its picks before "
    "you trust them (docs/picker_card.md). Your own labels make it better: finetune train checkpoint=shipped"
)


@dataclass(kw_only=True, slots=True)
class PredictConfig:
    """Settings of ``finetune predict``; ``configs/finetune_predict.yaml`` explains each."""

    data: DataConfig
    checkpoint: str | None
    ensemble: list[str]
    picks: PicksConfig
    thresholds: Any  # by class, or `balance`
    one_per_site: bool
    detect: DetectConfig
    relion: int
    tilt_series_pixel_size: float | None
    out_dir: str
    device: str

    def __post_init__(self) -> None:
        scores = list(self.thresholds.values()) if isinstance(self.thresholds, dict) else []
        if not all(isinstance(score, int | float) and not isinstance(score, bool) for score in scores):
            raise InputError(f"thresholds: expected a least score for each class, found {self.thresholds}")
        if self.relion not in (3, 4, 5):
            raise InputError(f"relion: expected 3, 4 or 5, found {self.relion}")
        if self.relion == 4 and not (self.tilt_series_pixel_size or 0) > 0:
            raise InputError(
                "tilt_series_pixel_size: relion=4 counts pixels of the unbinned tilt series, expected their size in Å, "
                f"found {self.tilt_series_pixel_size}; give it, or set relion=5"
            )
        if len({self.checkpoint, *self.ensemble}) <= len(self.ensemble):
            raise InputError(f"ensemble: expected checkpoints other than '{self.checkpoint}', each once")


def run(config: PredictConfig) -> None:
    """Search every run; write picks into the project, and picks and candidates into ``out_dir``.

    Raises
    ------
    IncompleteError
        When some tomograms could not be read; all others are done then.
    """
    user_id, session_id = config.picks.owner()
    checkpoint = find_checkpoint(config.checkpoint)
    if checkpoint == SHIPPED_DIR:
        print(ABOUT_SHIPPED)
    elif config.checkpoint is None:
        print(f"picker: {checkpoint}; checkpoint=... for another")
    picker = load_picker([checkpoint, *config.ensemble], config.device)
    thresholds = picker.choose_thresholds(config.thresholds, config.detect.min_score)
    failures = Failures()
    tomograms = []
    for each in find_tomograms(config.data, failures):
        with failures.of(each.run):
            tomogram = each.resampled(config.data.resample, picker.voxel_spacing)
            picker.check_spacing(tomogram)
            tomograms.append(tomogram)
    if not tomograms:
        failures.finish(0)
    root = open_project(config.data.project)
    known = {entry.name for entry in root.pickable_objects}
    for name, radius in picker.radii.items():
        if name not in known:
            root = ensure_object(config.data.project, Complex(name=name, radius_angstrom=radius))
            print(f"added class {name} to {config.data.project}, which did not know it")

    candidates: dict[str, dict[str, Picks]] = {}
    picks: dict[tuple[str, str], Picks] = {}
    for number, tomogram in enumerate(tomograms, start=1):
        with Stopwatch() as watch, failures.of(tomogram.run):
            found = picker.candidates(tomogram, config.detect)
            kept = picker.select(found, thresholds, config.one_per_site)
            for (run_name, name), picked in kept.items():
                write_picks(root, run_name, name, picked, user_id, session_id)
        if tomogram.run in failures.reasons:
            continue
        candidates[tomogram.run] = {name: all_found for (_, name), all_found in found.items()}
        picks.update(kept)
        counts = ", ".join(f"{len(picked)} {name}" for (_, name), picked in kept.items())
        print(f"[{number}/{len(tomograms)}] {tomogram.run}: {counts} ({watch.seconds:.0f} s)", flush=True)

    if not candidates:
        failures.finish(0)
    out_dir = Path(config.out_dir)
    together = PickSet(picks, picker.radii, [tomogram.stored for tomogram in tomograms])
    together.to_csv(out_dir / "picks.csv")
    for name in picker.classes:
        together.to_star(out_dir / f"{name}.star", name, config.tilt_series_pixel_size, config.relion)
    found_and_known = Candidates(candidates, thresholds, picker.seen_runs)
    save_candidates(out_dir, found_and_known, config.data.project, user_id, session_id)
    print(f"wrote copick picks ({user_id}/{session_id}) and {out_dir}/picks.csv, *.star, candidates.json")
    failures.finish(len(candidates))
