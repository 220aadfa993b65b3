"""The recipe of a run: how a network is trained, as small frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pipelines.bounds import Between


@dataclass(frozen=True)
class Optimizer:
    """AdamW (Loshchilov & Hutter 2019) with a linear warmup."""

    learning_rate: Annotated[float, Between(1e-12, 100.0)] = 1e-3
    """Peak learning rate."""
    schedule: Literal["cosine", "inverse_sqrt"] = "cosine"
    """Decay after the warmup: cosine to zero, or 1 / sqrt(step) (Vaswani et al. 2017)."""
    weight_decay: Annotated[float, Between(0.0, 1.0)] = 1e-2
    """Decoupled weight decay."""
    warmup: Annotated[float, Between(0.0, 0.9)] = 0.1
    """Fraction of all steps during which the learning rate rises."""
    clip_norm: Annotated[float, Between(0.0, 1e9)] = 0.0
    """Global norm to which the gradient is clipped; 0 does not clip."""
    average: Annotated[float, Between(0.0, 0.99999)] = 0.0
    """Momentum of the moving average of weights that is validated and kept; 0: none."""


@dataclass(frozen=True)
class Recipe:
    """Training hyperparameters."""

    epochs: Annotated[int, Between(1, 100_000)] = 10
    """Passes over the training split."""
    batch_size: Annotated[int, Between(1, 1_000_000)] = 64
    """Global batch size, over all devices."""
    patience: Annotated[int, Between(0, 100_000)] = 0
    """Stop after this many epochs without a lower validation loss, with the best weights; 0: no."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """Keras dtype policy of training; the exported model computes in float32."""
    seed: Annotated[int, Between(0, 2**31 - 1)] = 0
    """Seed of initialization, shuffling, dropout and augmentation."""
    seeds: Annotated[int, Between(1, 1000)] = 1
    """Train with this many seeds, from --seed on; the means of their scores count."""
    optimizer: Optimizer = Optimizer()
    """Optimizer and learning-rate schedule."""
