"""Kinds of files: how a sound one is made, how it is damaged, how it is read."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import mrcfile
import numpy as np
import tifffile
from safetensors.torch import load_file, save_file

from benchmarks.fuzz.mutations import damage_bytes, damage_json, damage_safetensors, damage_text
from embed.build import BuildConfig
from tomoseek.command_line import compose_settings
from tomoseek.complexes import COMPLEXES
from tomoseek.config import DataConfig
from tomoseek.exchange.coordinate_files import read_coordinates
from tomoseek.exchange.dynamo import write_dynamo
from tomoseek.exchange.eman import write_eman_json
from tomoseek.exchange.imod import write_imod
from tomoseek.network.weights import DESCRIPTION, WEIGHTS, load_encoder, random_encoder, save_encoder
from tomoseek.picks.copick_picks import list_picks, read_picks, write_picks
from tomoseek.picks.points import Picks
from tomoseek.picks.star_write import write_star
from tomoseek.picks.tables import read_objects_csv, read_points_csv, write_csv
from tomoseek.tomograms.copick_tomograms import add_tomogram, find_tomograms
from tomoseek.tomograms.opening import open_tomogram
from tomoseek.tomograms.project import create_project, open_project
from tomoseek.tomograms.tomogram import Tomogram
from tomoseek.tomograms.volume_files import write_ome_zarr

SIZE, SPACING, RUN = (16, 24, 32), 10.0, "TS_1"  # voxels z y x, Å per voxel
HEADER = 1024  # bytes of an MRC header, and of what a small TIFF says at either end
NAMES = ["ribosome", "apo-ferritin"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One kind of file.

    Attributes
    ----------
    make
        Writes sound files into an empty folder.
    targets
        Patterns of the files of which one is damaged at a time.
    damage
        Returns other bytes for those of a file.
    use
        Opens what the folder holds, as commands do.
    """

    make: Callable[[Path], object]
    targets: tuple[str, ...]
    damage: Callable[[bytes, Random], bytes]
    use: Callable[[Path], object]

    def draw(self, folder: Path, random: Random) -> tuple[Path, bytes]:
        """Choose a file of a sound folder, and what is to stand in it."""
        files = sorted({path for pattern in self.targets for path in folder.glob(pattern)})
        path = random.choice(files)
        return path, self.damage(path.read_bytes(), random)


def volume() -> np.ndarray:
    """Noise ``(z, y, x)``."""
    return np.random.default_rng(0).normal(size=SIZE).astype(np.float32)


def rows() -> list[tuple[str, str, Picks]]:
    """Five picks of each of two complexes."""
    random = np.random.default_rng(0)
    return [(RUN, name, Picks(random.uniform(20, 140, (5, 3)), random.uniform(size=5))) for name in NAMES]


def write_mrc(folder: Path) -> None:
    """Write a volume as MRC."""
    with mrcfile.new(folder / "tomo.mrc") as file:
        file.set_data(volume())
        file.voxel_size = SPACING


def make_project(folder: Path) -> None:
    """Make a copick project of one run with picks."""
    root = create_project(folder / "project", [COMPLEXES[name] for name in NAMES])
    add_tomogram(root, RUN, "wbp", SPACING, volume())
    for run, name, picks in rows():
        write_picks(root, run, name, picks, "anna", "1")
    data_of(folder / "project")  # composed once, before forks


@cache
def data_of(project: Path) -> DataConfig:
    """Return the settings by which commands open a project."""
    return compose_settings("embed_build", BuildConfig, [f"data.project={project}"]).data


def touch(tomogram: Tomogram) -> None:
    """Read a few voxels, for which the contrast is measured."""
    tomogram.crop((0, 0, 0), (8, 8, 8))


def use_project(folder: Path) -> None:
    """Read a tomogram and all picks of a project."""
    data = data_of(folder / "project")
    for tomogram in find_tomograms(data):
        touch(tomogram)
    root = open_project(data.project)
    for run in root.runs:
        for name, user, session in list_picks(root, run.name):
            read_picks(root, run.name, name, user, session)


def use_csv(folder: Path) -> None:
    """Read a table in both ways."""
    for run in (None, RUN):
        read_objects_csv(folder / "picks.csv", default_run=run)
        read_points_csv(folder / "picks.csv", object_name=NAMES[0], default_run=run)


def tomograms() -> dict[str, Tomogram]:
    """Return the tomograms that star files speak of."""
    return {RUN: Tomogram.from_array(volume(), SPACING, run=RUN)}


def make_stars(folder: Path) -> None:
    """Write picks in the dialects of RELION 5, 4 and 3."""
    for relion, pixel in ((5, None), (4, 2.5), (3, None)):
        write_star(folder / f"relion{relion}.star", rows()[:1], tomograms().values(), pixel, relion)


def by_name() -> dict[str, Picks]:
    """Return the picks of the run by complex."""
    return {name: picks for _, name, picks in rows()}


def make_eman(folder: Path) -> None:
    """Write picks as EMAN2's info file."""
    write_eman_json(folder / f"{RUN}_info.json", by_name(), dict.fromkeys(NAMES, 100.0), tomograms()[RUN])


def make_text(folder: Path) -> None:
    """Write three numbers a line."""
    np.savetxt(folder / f"{RUN}.coords", rows()[0][2].points_xyz / SPACING, fmt="%.3f")


def use_coordinates(folder: Path) -> None:
    """Read what other programs write."""
    for path in sorted(folder.iterdir()):
        if path.suffix != ".doc":
            read_coordinates(path, tomograms())


def damage_ends(data: bytes, random: Random) -> bytes:
    """Damage one of the ends of a file, where formats describe what is between."""
    if random.random() < 0.5:
        return damage_bytes(data[:HEADER], random) + data[HEADER:]
    return data[:-HEADER] + damage_bytes(data[-HEADER:], random)


def damage_start(data: bytes, random: Random) -> bytes:
    """Damage the header of a file."""
    return damage_bytes(data[:HEADER], random) + data[HEADER:]


def make_old_encoder(folder: Path) -> None:
    """Save weights that only ``encoder.json`` describes."""
    save_encoder(random_encoder("tiny"), folder, {})
    save_file(load_file(folder / WEIGHTS), folder / WEIGHTS)


KINDS = {
    "mrc": Kind(
        make=write_mrc, targets=("tomo.mrc",), damage=damage_start,
        use=lambda folder: touch(open_tomogram(folder / "tomo.mrc")),
    ),
    "tiff": Kind(
        make=lambda folder: tifffile.imwrite(folder / "tomo.tif", volume(), photometric="minisblack"),
        targets=("tomo.tif",), damage=damage_ends,
        use=lambda folder: touch(open_tomogram(folder / "tomo.tif", voxel_spacing=SPACING)),
    ),
    "zarr": Kind(
        make=lambda folder: write_ome_zarr(folder / "tomo.zarr", volume(), SPACING, "tomo"),
        targets=("tomo.zarr/.z*", "tomo.zarr/0/.z*"), damage=damage_json,
        use=lambda folder: touch(open_tomogram(folder / "tomo.zarr")),
    ),
    "project": Kind(make=make_project, targets=("project/copick.json",), damage=damage_json, use=use_project),
    "picks": Kind(make=make_project, targets=("project/overlay/**/*.json",), damage=damage_json, use=use_project),
    "csv": Kind(
        make=lambda folder: write_csv(folder / "picks.csv", rows()), targets=("picks.csv",), damage=damage_text,
        use=use_csv,
    ),
    "star": Kind(make=make_stars, targets=("*.star",), damage=damage_text, use=use_coordinates),
    "dynamo": Kind(
        make=lambda folder: write_dynamo(folder / "picks.tbl", rows()[:1], tomograms(), None),
        targets=("picks.tbl", "picks.doc"), damage=damage_text, use=use_coordinates,
    ),
    "eman": Kind(make=make_eman, targets=("*.json",), damage=damage_json, use=use_coordinates),
    "text": Kind(make=make_text, targets=("*.coords",), damage=damage_text, use=use_coordinates),
    "imod": Kind(
        make=lambda folder: write_imod(
            folder / f"{RUN}.mod", by_name(), dict.fromkeys(NAMES, 100.0), tomograms()[RUN]
        ),
        targets=("*.mod",), damage=damage_bytes, use=use_coordinates,
    ),
    "encoder": Kind(
        make=lambda folder: save_encoder(random_encoder("tiny"), folder, {}), targets=(WEIGHTS,),
        damage=damage_safetensors, use=load_encoder,
    ),
    "encoder-json": Kind(
        make=make_old_encoder, targets=(DESCRIPTION,), damage=damage_json, use=load_encoder,
    ),
}  # fmt: skip
