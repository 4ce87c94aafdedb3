"""The challenge's tomograms as copick projects: of the unpacked zip, and of the CryoET Data Portal."""

from collections.abc import Iterable
from pathlib import Path

from tomoseek.complexes import CHALLENGE, COMPLEXES, Complex
from tomoseek.errors import InputError
from tomoseek.files import atomic_write_bytes, atomic_write_json

PORTAL_DATASET = 10440
PORTAL_DATASETS = {10440: "training", 10441: "simulated training", 10445: "public test", 10446: "private test"}
# What the portal calls the objects of these sets; copick finds annotations by it alone.
IDENTIFIERS = {
    "apo-ferritin": "GO:0070288",
    "beta-amylase": "UniProtKB:P10537",
    "beta-galactosidase": "UniProtKB:P00722",
    "ribosome": "GO:0022626",
    "thyroglobulin": "UniProtKB:P01267",
    "virus-like-particle": "GO:0170047",
}
PICKS_FOLDER = "Picks"
RUNS_FOLDER = "ExperimentRuns"
CURATOR = "curation_0"  # user and session under which the challenge's picks are stored in a project


def kaggle_project(folder: Path, out: Path) -> Path:
    """Make a copick project of the challenge's unpacked training folder: its tomograms where they are, picks copied.

    Parameters
    ----------
    folder
        Holds ``static/`` and ``overlay/``.
    out
        Gets ``copick.json`` and ``overlay/``, where picks of one's own will go too.

    Returns
    -------
    The copick configuration.

    Raises
    ------
    InputError
        If the folder holds no tomograms or no picks.
    """
    static, given = folder / "static", folder / "overlay" / RUNS_FOLDER
    if not (static / RUNS_FOLDER).is_dir():
        raise InputError(f"expected the challenge's tomograms in {static / RUNS_FOLDER}, found none; unpack the zip")
    picks = sorted(path for path in given.glob(f"*/{PICKS_FOLDER}/*.json"))
    if not picks:
        raise InputError(f"expected picks in {given}/<run>/{PICKS_FOLDER}, found none; unpack the zip")
    for path in picks:
        name = f"{CURATOR}_{path.name.rsplit('_', 1)[-1]}"
        copied = out / "overlay" / RUNS_FOLDER / path.parent.parent.name / PICKS_FOLDER / name
        copied.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_bytes(copied, path.read_bytes())
    config = {
        "config_type": "filesystem",
        "name": "CZII challenge",
        "description": "The training tomograms of the challenge",
        "version": "1.0.0",
        "pickable_objects": described(COMPLEXES[name] for name in CHALLENGE),
        "overlay_root": f"local://{(out / 'overlay').resolve()}",
        "overlay_fs_args": {"auto_mkdir": True},
        "static_root": f"local://{static.resolve()}",
    }
    atomic_write_json(out / "copick.json", config)
    return out / "copick.json"


def described(complexes: Iterable[Complex]) -> list[dict[str, object]]:
    """Describe objects to pick as copick wants it."""
    return [
        {
            "name": one.name, "is_particle": True, "label": label, "color": list(one.color),
            "radius": one.radius_angstrom,
            **({"identifier": IDENTIFIERS[one.name]} if one.name in IDENTIFIERS else {}),
        }
        for label, one in enumerate(complexes, start=1)
    ]  # fmt: skip


def portal_config(overlay: Path, complexes: Iterable[Complex], dataset: int = PORTAL_DATASET) -> dict[str, object]:
    """Build the copick configuration of one of the challenge's data sets on the CryoET Data Portal.

    Parameters
    ----------
    overlay
        Folder for picks of one's own.
    complexes
        Objects to pick.
    dataset
        Its number on the portal.
    """
    return {
        "config_type": "cryoet_data_portal",
        "name": "CZII challenge",
        "description": f"Data set {dataset} of the CryoET Data Portal ({PORTAL_DATASETS[dataset]})",
        "version": "1.0.0",
        "pickable_objects": described(complexes),
        "overlay_root": f"local://{overlay.resolve()}",
        "overlay_fs_args": {"auto_mkdir": True},
        "dataset_ids": [dataset],
    }
