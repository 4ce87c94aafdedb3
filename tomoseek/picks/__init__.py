"""Picks: points with scores, tables, star files, copick picks, peaks of score maps, conflicts between classes."""
