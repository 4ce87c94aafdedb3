"""Decoders on the pretrained encoder: train on labelled picks, predict, evaluate."""
