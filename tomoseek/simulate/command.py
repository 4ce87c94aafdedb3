"""``python -m tomoseek simulate``: a copick project of simulated tomograms with their truth."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tomoseek.complexes import COMPLEXES, Complex
from tomoseek.errors import InputError
from tomoseek.files import atomic_write_json
from tomoseek.messages import warn
from tomoseek.picks.copick_picks import write_picks
from tomoseek.picks.points import Picks, check_inside
from tomoseek.running import pick_device, progress
from tomoseek.simulate.builtin import BUILTIN, builtin_density
from tomoseek.simulate.maps import HOLLOW_RADIUS, find_map, load_density
from tomoseek.simulate.microscope import MicroscopeConfig
from tomoseek.simulate.placing import bounding_radius
from tomoseek.simulate.processing import ProcessingConfig
from tomoseek.simulate.scene import IceConfig, SceneConfig
from tomoseek.simulate.tomogram import SimulatedTomogram, simulate_tomogram
from tomoseek.tomograms.copick_tomograms import add_tomogram
from tomoseek.tomograms.project import create_project

USER_ID, SESSION_ID = "simulator", "0"

Points = dict[str, NDArray[np.float64]]


@dataclass(kw_only=True, slots=True)
class SimulateConfig:
    """What to simulate; ``configs/simulate.yaml`` says what each setting means."""

    out_dir: str
    num_runs: int
    prefix: str
    size: list[int]
    voxel_spacing: float
    complexes: list[str]
    counts: int
    counts_of: dict[str, int] | None
    maps: dict[str, str] | None
    maps_folder: str | None
    twin: str | None
    twin_size: list[int]
    twin_voxel_spacing: float
    halves: bool
    device: str
    seed: int
    ice: IceConfig
    microscope: MicroscopeConfig
    processing: ProcessingConfig

    def __post_init__(self) -> None:
        if self.num_runs < 1 or self.counts < 0 or min((self.counts_of or {}).values(), default=0) < 0:
            raise InputError(
                f"expected num_runs >= 1 and counts >= 0, found {self.num_runs}, {self.counts} and {self.counts_of}"
            )
        if self.twin is None:
            if not self.complexes or len(set(self.complexes)) < len(self.complexes):
                raise InputError(f"complexes: expected one or more different names, found {self.complexes}")
            unused = sorted({*(self.counts_of or {}), *(self.maps or {})} - set(self.complexes))
            if unused:
                raise InputError(
                    f"counts_of, maps: expected names among {', '.join(self.complexes)}, found "
                    f"{', '.join(unused)}: add them to complexes"
                )


def run(config: SimulateConfig) -> None:
    """Simulate every run that is not there yet, and write it into the project."""
    device = pick_device(config.device)
    fixed = read_twin(Path(config.twin)) if config.twin else {}
    scene = SceneConfig(
        shape=config.twin_size if config.twin else config.size,
        voxel_spacing=config.twin_voxel_spacing if config.twin else config.voxel_spacing,
        **asdict(config.ice),
    )
    for name, points in fixed.items():
        check_inside(points, tuple(scene.shape), scene.voxel_spacing, f"{name} of {config.twin}")
    names = list(fixed) or config.complexes
    exceptions = config.counts_of or {}
    counts = {} if fixed else {name: exceptions.get(name, config.counts) for name in names}
    densities, sources = load_densities(names, config, scene.voxel_spacing)
    objects = [_described(name, densities[name], scene.voxel_spacing) for name in names]

    out_dir = Path(config.out_dir)
    root = create_project(out_dir, objects)
    settings = _jsonable(
        {
            "scene": asdict(scene),
            "microscope": asdict(config.microscope),
            "processing": asdict(config.processing),
            "counts": counts,
            "densities": sources,
            "twin": config.twin,
            "halves": config.halves,
        }
    )
    run_names = [f"{config.prefix}{index:03d}" for index in range(config.num_runs)]
    todo = []
    for index, name in enumerate(run_names):
        seed = config.seed * 100_003 + index
        if not _is_done(out_dir, name, {**settings, "seed": seed}):
            todo.append((name, seed))
    if len(todo) < config.num_runs:
        print(f"reusing {config.num_runs - len(todo)} of {config.num_runs} runs already in {out_dir}")
    if config.twin and todo:
        print(f"twin of {config.twin}: {sum(map(len, fixed.values()))} particles at their real places")
    for name, seed in progress(todo, "simulate", "tomogram"):
        tomogram = simulate_tomogram(
            densities, counts, scene, config.microscope, seed, device, fixed_points=fixed or None,
            processing=config.processing,
        )  # fmt: skip
        _write_run(root, name, tomogram, scene.voxel_spacing, config.halves)
        # Written last: a run without its record is not finished, and made again.
        record = {
            "settings": {**settings, "seed": seed},
            **tomogram.metadata,
            "rotations": {key: np.round(value, 5).tolist() for key, value in tomogram.rotations.items()},
        }
        atomic_write_json(_record_path(out_dir, name), record)
        wanted = sum(counts.values()) + sum(map(len, fixed.values()))
        placed = sum(tomogram.metadata["num_particles"].values())
        if placed < wanted:
            warn(f"{name}: {placed} of {wanted} particles fit")
    records = [json.loads(_record_path(out_dir, name).read_text()) for name in run_names]
    snr = [record["snr"] for record in records]
    particles = sum(sum(record["num_particles"].values()) for record in records)
    print(
        f"{out_dir / 'copick.json'}: {config.num_runs} runs, {particles} particles, signal to noise per "
        f"projection {min(snr):.3f} to {max(snr):.3f}"
    )


def load_densities(
    names: list[str], config: SimulateConfig, voxel_spacing: float
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Find each complex's density: the file in ``maps``, one in ``maps_folder``, else the built-in model.

    Returns
    -------
    tuple
        Densities, and where each came from.
    """
    folder = Path(config.maps_folder) if config.maps_folder else None
    maps = config.maps or {}
    if folder is not None and not folder.is_dir():
        raise FileNotFoundError(f"maps_folder: expected a folder at {folder}, found none")
    densities: dict[str, Tensor] = {}
    sources: dict[str, str] = {}
    for name in names:
        path = Path(maps[name]) if name in maps else find_map(folder, name) if folder else None
        if path is not None:
            mass = COMPLEXES[name].mass_kda if name in COMPLEXES else None
            densities[name] = load_density(path, voxel_spacing, mass, HOLLOW_RADIUS.get(name, 0.0))
            sources[name] = str(path)
        else:
            if folder is not None and name in BUILTIN:
                warn(f"no map of {name} in {folder}: the built-in model is used")
            densities[name] = builtin_density(name, voxel_spacing)
            sources[name] = "built-in"
    return densities, sources


def read_twin(folder: Path) -> Points:
    """Read the points of every ``*.json`` copick picks file in a folder, in Å x y z by object."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise FileNotFoundError(f"twin: expected copick picks (*.json) in {folder}, found none")
    points: dict[str, list[list[float]]] = {}
    for path in files:
        try:
            picks = json.loads(path.read_text())
            found = [[point["location"][axis] for axis in "xyz"] for point in picks["points"]]
            points.setdefault(picks["pickable_object_name"], []).extend(found)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"twin: expected copick picks in {path}, found none ({error!r})") from error
    return {name: np.array(found, dtype=np.float64).reshape(-1, 3) for name, found in points.items() if found}


def _described(name: str, density: Tensor, voxel_spacing: float) -> Complex:
    if name in COMPLEXES:
        return COMPLEXES[name]
    return Complex(name=name, radius_angstrom=round(bounding_radius(density, voxel_spacing), 1))


def _record_path(out_dir: Path, run_name: str) -> Path:
    return out_dir / "simulation" / f"{run_name}.json"


def _is_done(out_dir: Path, run_name: str, settings: dict[str, Any]) -> bool:
    path = _record_path(out_dir, run_name)
    if not path.exists():
        return False
    found = json.loads(path.read_text())["settings"]
    if found != settings:
        changed = sorted(key for key in settings if found.get(key) != settings[key])
        raise InputError(
            f"expected run {run_name} in {out_dir} to be made with these settings, found other "
            f"{', '.join(changed)}; choose another out_dir or prefix"
        )
    return True


def write_volumes(
    root: Any, run_name: str, tomogram: SimulatedTomogram, voxel_spacing: float, halves: bool = True
) -> None:
    """Write a simulated tomogram into a project, as ``wbp`` and, with ``halves``, ``wbp-even`` and ``wbp-odd``."""
    volumes = {"wbp": tomogram.full}
    if halves:
        volumes |= {"wbp-even": tomogram.even, "wbp-odd": tomogram.odd}
    for tomogram_type, volume in volumes.items():
        add_tomogram(root, run_name, tomogram_type, voxel_spacing, volume.cpu().numpy())


def _write_run(root: Any, run_name: str, tomogram: SimulatedTomogram, voxel_spacing: float, halves: bool) -> None:
    write_volumes(root, run_name, tomogram, voxel_spacing, halves)
    for name, points in tomogram.points.items():
        write_picks(root, run_name, name, Picks(points), USER_ID, SESSION_ID)


def _jsonable(value: Any) -> Any:
    """Round-trip through JSON, so that settings compare equal to what was read back."""
    return json.loads(json.dumps(value))
