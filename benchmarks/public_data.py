"""Where the maps, picks and tomograms that the benchmarks read come from in public, and how to prepare them.

    python -m benchmarks.public_data list
    python -m benchmarks.public_data maps --out ../shared/data/maps
    python -m benchmarks.public_data maps --out maps --entries 1qvr 3ipm --source file:///data/pdb
    python -m benchmarks.public_data picks --zip czii-cryo-et-object-identification.zip --out ../shared/data/picks
    python -m benchmarks.public_data kaggle --folder czii/train --out challenge
    python -m benchmarks.public_data portal --out portal.json

``maps`` fetches PDB entries and writes the density of the first biological assembly of each at 10 Å per voxel, as the
simulator makes it of an atomic model. ``picks`` takes the picks out of the challenge's zip as Kaggle hands it out.
``kaggle`` makes a copick project of the unpacked zip. ``portal`` writes a copick configuration that reads the
challenge's data set on the CryoET Data Portal.
"""

import argparse
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import mrcfile

from benchmarks.challenge_project import (
    PICKS_FOLDER,
    PORTAL_DATASET,
    PORTAL_DATASETS,
    RUNS_FOLDER,
    kaggle_project,
    portal_config,
)
from tomoseek.complexes import COMPLEXES
from tomoseek.errors import InputError
from tomoseek.files import atomic_path, atomic_write_bytes, atomic_write_json
from tomoseek.messages import listed
from tomoseek.running import progress
from tomoseek.simulate.maps import load_density

VOXEL_SPACING = 10.0
PDB = "https://files.rcsb.org/download"
SECONDS_TO_ANSWER = 60


class Source(NamedTuple):
    """A part of the data: where it lies beside the checkout, where in public, and under which license."""

    folder: str
    what: str
    where: str
    license: str


KAGGLE = "Kaggle, czii-cryo-et-object-identification"
POLNET = "github.com/anmartinezs/polnet, data/templates/mrcs_10A"
SOURCES = (
    Source("maps/", "densities at 10 Å per voxel", "Protein Data Bank, by entry: command maps", "CC0"),
    Source("maps/", "the template maps of the tables", POLNET, "Apache-2.0"),
    Source("picks/", "picks of the CZII training runs", f"{KAGGLE}: command picks", "see there"),
    Source("picks/", "the same, with tomograms", f"CryoET Data Portal, {PORTAL_DATASET}: command portal", "CC0"),
    Source("real/yeast80S/", "part of a yeast lamella", "EMPIAR-11658", "CC0"),
    Source("real/*_MT.tif", "two microtubules", "sample data of the Python package cylindra", "BSD-3-Clause"),
    Source("real/lysosome, exosomes", "back-projected from published films", "no volume in public", "see there"),
)
ENTRIES = {
    "6pxm": "apo-ferritin",
    "1f4a": "beta-galactosidase",
    "6qzp": "80S ribosome, human",
    "7n4y": "thyroglobulin",
    "8tux": "virus-like particle PP7",
    "4v4r": "70S ribosome, bacterial (its subunits, 4v4r_50S and 4v4r_30S, are PolNet's)",
    "4v7r": "80S ribosome, yeast",
    "5mrc": "mitochondrial ribosome, yeast",
    "1qvr": "ClpB",
    "2cg9": "Hsp90",
    "1u6g": "Cand1-Cul1",
    "3d2f": "Sse1-Hsp70",
    "3ipm": "20S proteasome with activator",
    "3h84": "GET3",
    "3gl1": "Ssb1",
    "1s3x": "Hsp70",
}


def fetch(entry: str, source: str = PDB) -> bytes:
    """Read the mmCIF file of a PDB entry.

    Parameters
    ----------
    entry
        Its four characters.
    source
        Folder that holds ``<entry>.cif``: an address, or ``file:///...``.

    Raises
    ------
    InputError
        If there is no such file, or no way to it.
    """
    address = f"{source.rstrip('/')}/{entry.lower()}.cif"
    try:
        with urllib.request.urlopen(address, timeout=SECONDS_TO_ANSWER) as answer:
            return bytes(answer.read())
    except (OSError, ValueError) as error:  # HTTPError, URLError and timeouts are OSError
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise InputError(
            f"entry {entry}: expected {address} to answer, found {reason}; is there a network? Else give --source "
            "file:///folder with .cif files"
        ) from error


def prepare_map(entry: str, folder: Path, source: str = PDB) -> bool:
    """Write the density of a PDB entry as ``<entry>.mrc``, unless it is there; tell whether that was necessary.

    The map is cubic, 10 Å per voxel, float32, z y x, protein 1 and water 0.

    Parameters
    ----------
    entry, source
        As for `fetch`.
    folder
        Where it goes.

    Raises
    ------
    InputError
        As `fetch`, and if the file holds no atoms.
    """
    path = folder / f"{entry.lower()}.mrc"
    if path.is_file():
        return False
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / f"{entry.lower()}.cif"
        model.write_bytes(fetch(entry, source))
        density = load_density(model, VOXEL_SPACING).numpy()  # (n, n, n) z y x
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as unfinished, mrcfile.new(unfinished, overwrite=True) as stored:
        stored.set_data(density)
        stored.voxel_size = VOXEL_SPACING
    return True


def extract_picks(archive: Path, folder: Path) -> list[Path]:
    """Take the picks out of the challenge's zip: ``<run>/<object>.json``, as copick wrote them.

    Parameters
    ----------
    archive
        The zip as it was downloaded.
    folder
        Where they go; what is there under the same names is replaced.

    Returns
    -------
    The files written.

    Raises
    ------
    InputError
        If it is no zip, or holds no picks.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            found = {name: opened.read(name) for name in opened.namelist() if is_picks(PurePosixPath(name))}
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"expected the challenge's zip at {archive}, found {error}") from error
    if not found:
        raise InputError(f"expected {RUNS_FOLDER}/<run>/{PICKS_FOLDER}/<object>.json in {archive}, found none")
    written = []
    for name, content in sorted(found.items()):
        parts = PurePosixPath(name).parts
        run, file = parts[parts.index(RUNS_FOLDER) + 1], parts[-1].rsplit("_", 1)[-1]  # <user>_<session>_<object>.json
        path = folder / run / file
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_bytes(path, content)
        written.append(path)
    return written


def is_picks(name: PurePosixPath) -> bool:
    """Tell whether a file of the zip holds picks: ``.../ExperimentRuns/<run>/Picks/<object>.json``."""
    ends_well = name.suffix == ".json" and name.parent.name == PICKS_FOLDER and ".." not in name.parts
    return ends_well and name.parent.parent.parent.name == RUNS_FOLDER


def main(words: list[str] | None = None) -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="say where everything comes from")
    maps = commands.add_parser("maps", help="fetch PDB entries and write their maps")
    maps.add_argument("--out", type=Path, required=True)
    maps.add_argument("--entries", nargs="+", default=list(ENTRIES), help="PDB entries; all when left out")
    maps.add_argument("--source", default=PDB, help="address or file:///folder that holds <entry>.cif")
    picks = commands.add_parser("picks", help="take the picks out of the challenge's zip")
    picks.add_argument("--zip", type=Path, required=True)
    picks.add_argument("--out", type=Path, required=True)
    kaggle = commands.add_parser("kaggle", help="make a copick project of the challenge's unpacked training folder")
    kaggle.add_argument("--folder", type=Path, required=True, help="the folder train/ of the unpacked zip")
    kaggle.add_argument("--out", type=Path, required=True)
    portal = commands.add_parser("portal", help="write a copick configuration of the CryoET Data Portal")
    portal.add_argument("--out", type=Path, required=True)
    told = ", ".join(f"{number} {what}" for number, what in PORTAL_DATASETS.items())
    portal.add_argument("--dataset", type=int, choices=list(PORTAL_DATASETS), default=PORTAL_DATASET, help=told)
    chosen = parser.parse_args(words)
    if chosen.command == "list":
        for source in SOURCES:
            print(f"{source.folder:24} {source.what:36} {source.where} ({source.license})")
        print(f"maps by entry: {', '.join(f'{entry} ({name})' for entry, name in ENTRIES.items())}")
    elif chosen.command == "maps":
        made = [entry for entry in progress(chosen.entries, "maps") if prepare_map(entry, chosen.out, chosen.source)]
        print(f"{chosen.out}: made {listed(made) if made else 'none'}; {len(chosen.entries) - len(made)} were there")
    elif chosen.command == "picks":
        print(f"{chosen.out}: {len(extract_picks(chosen.zip, chosen.out))} files of picks")
    elif chosen.command == "kaggle":
        config_path = kaggle_project(chosen.folder, chosen.out)
        print(f"wrote {config_path}; give data.project={config_path} to any command")
    else:
        config = portal_config(chosen.out.parent / "overlay", COMPLEXES.values(), chosen.dataset)
        atomic_write_json(chosen.out, config)
        print(f"wrote {chosen.out}; give data.project={chosen.out} to any command")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
