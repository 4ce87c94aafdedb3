"""The whole pipeline on simulated tomograms, with a report."""
