"""``python -m tomoseek export``: picks of a copick project, written for other programs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tomoseek.config import DataConfig, PicksConfig
from tomoseek.errors import InputError
from tomoseek.exchange.dynamo import write_dynamo
from tomoseek.exchange.eman import write_eman_json
from tomoseek.exchange.imod import write_imod
from tomoseek.failures import Failures
from tomoseek.messages import listed
from tomoseek.picks.copick_picks import read_picks
from tomoseek.picks.points import Picks
from tomoseek.picks.star_write import write_star
from tomoseek.picks.tables import write_csv
from tomoseek.tomograms.copick_tomograms import find_tomograms
from tomoseek.tomograms.project import object_radii, open_project
from tomoseek.tomograms.tomogram import Tomogram

FORMATS = ("csv", "relion5", "relion4", "relion3", "dynamo", "imod", "eman2")
RELION = {"relion5": 5, "relion4": 4, "relion3": 3}


@dataclass(kw_only=True, slots=True)
class ExportConfig:
    """Settings of ``configs/export.yaml``."""

    data: DataConfig
    picks: PicksConfig
    classes: list[str] | None
    formats: list[str]
    min_score: float | None
    pixel_size: float | None
    out_dir: str

    def __post_init__(self) -> None:
        unknown = [name for name in self.formats if name not in FORMATS]
        if unknown or not self.formats:
            raise InputError(f"formats: expected some of {', '.join(FORMATS)}, found {listed(unknown)}")
        if self.pixel_size is not None and not 0 < self.pixel_size < float("inf"):
            raise InputError(f"pixel_size={self.pixel_size}: expected Å per pixel, more than 0")
        if "relion4" in self.formats and self.pixel_size is None:
            raise InputError(
                "pixel_size: expected Å per pixel of the unbinned tilt series, in which relion4 counts, found none; "
                "give it, or write relion5"
            )


def run(config: ExportConfig) -> None:
    """Write the picks that the settings name, a folder for each format."""
    root = open_project(config.data.project)
    failures = Failures()
    tomograms = {each.run: each for each in find_tomograms(config.data, failures)}
    if not tomograms:
        failures.finish(0)
    picks: dict[str, dict[str, Picks]] = {}
    known = [entry.name for entry in root.pickable_objects if entry.is_particle]
    for name in config.classes if config.classes is not None else known:
        by_run = {
            each: _sure(read_picks(root, each, name, config.picks.user_id, config.picks.session_id), config.min_score)
            for each in tomograms
        }
        if any(map(len, by_run.values())) or config.classes is not None:
            picks[name] = {each: found for each, found in by_run.items() if len(found)}
    if not any(picks.values()):
        raise InputError(
            f"expected picks of user {config.picks.user_id or 'anyone'}, session {config.picks.session_id or 'any'} in "
            f"{config.data.project}, found none: check picks.user_id, picks.session_id, classes and min_score"
        )
    radii = object_radii(root, list(picks))
    for kind in config.formats:
        folder = Path(config.out_dir) / kind
        _write(kind, folder, picks, radii, tomograms, config.pixel_size)
        counts = ", ".join(f"{sum(map(len, by_run.values()))} {name}" for name, by_run in picks.items())
        print(f"{kind}: {counts} in {folder}")
    failures.finish(len(tomograms))


def _write(
    kind: str,
    folder: Path,
    picks: Mapping[str, Mapping[str, Picks]],
    radii: Mapping[str, float],
    tomograms: Mapping[str, Tomogram],
    pixel_size: float | None,
) -> None:
    """Write all picks in one format: a file for each object, or in those of IMOD and EMAN2 for each run."""
    rows = {name: [(run, name, each) for run, each in by_run.items()] for name, by_run in picks.items() if by_run}
    if kind == "csv":
        write_csv(folder / "picks.csv", [row for each in rows.values() for row in each])
    elif kind in RELION:
        for name, each in rows.items():
            size = None if kind == "relion5" else pixel_size
            write_star(folder / f"{name}.star", each, tomograms.values(), size, RELION[kind])
    elif kind == "dynamo":
        for name, each in rows.items():
            write_dynamo(folder / f"{name}.tbl", each, tomograms, pixel_size)
    else:
        for run, tomogram in tomograms.items():
            found = {name: by_run[run] for name, by_run in picks.items() if run in by_run}
            if found and kind == "imod":
                write_imod(folder / f"{run}.mod", found, radii, tomogram, pixel_size)
            elif found:
                write_eman_json(folder / f"{run}_info.json", found, radii, tomogram)


def _sure(picks: Picks, min_score: float | None) -> Picks:
    keep = picks.scores >= (float("-inf") if min_score is None else min_score)
    return Picks(picks.points_xyz[keep], picks.scores[keep])
