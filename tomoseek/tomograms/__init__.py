"""Tomograms: files and copick projects, normalising, tiles and slabs."""
