"""Runs side by side: parameters, scores, learning curves, and differences with intervals."""
