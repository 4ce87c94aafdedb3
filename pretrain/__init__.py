"""Two stages, one encoder: masked autoencoding of unlabeled tomograms, metric learning on simulated assemblies."""

import tomoseek  # noqa: F401 - it sets how OpenMP waits, before torch loads it
