"""Variants of a trained network, exported for less memory or another compiler."""
