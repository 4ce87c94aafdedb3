"""Tomograms: files and copick projects, normalising, tiles and slabs."""

from typing import TYPE_CHECKING

from tomoseek.offers import offer

if TYPE_CHECKING:
    from tomoseek.tomograms.copick_tomograms import add_tomogram, find_tomograms
    from tomoseek.tomograms.opening import open_mrc, open_tiff, open_tomogram, open_zarr
    from tomoseek.tomograms.project import create_project, open_project
    from tomoseek.tomograms.tomogram import Tomogram

# Imported when they are asked for: copick takes a second, and a file needs none of it.
_HOMES = {
    "Tomogram": "tomogram",
    "add_tomogram": "copick_tomograms",
    "create_project": "project",
    "find_tomograms": "copick_tomograms",
    "open_mrc": "opening",
    "open_project": "project",
    "open_tiff": "opening",
    "open_tomogram": "opening",
    "open_zarr": "opening",
}

__all__ = [
    "Tomogram",
    "add_tomogram",
    "create_project",
    "find_tomograms",
    "open_mrc",
    "open_project",
    "open_tiff",
    "open_tomogram",
    "open_zarr",
]

__getattr__ = offer(__name__, _HOMES)
