"""Two stages, one encoder: masked autoencoding of unlabeled tomograms, metric learning on simulated assemblies."""
