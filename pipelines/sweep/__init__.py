"""Sweeps: many trials of a pipeline, each with other options, and the training of the best."""
