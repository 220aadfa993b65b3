"""`KERAS_BACKEND=jax python -m tests.architectures.smoke`: builders answer on another backend."""

from __future__ import annotations

import keras
import numpy as np

from tests.architectures.tiny import TINY

if __name__ == "__main__":
    for tiny in TINY:
        answer = np.asarray(tiny.build()(tiny.batch(3), training=False))
        assert answer.shape == (3, *tiny.output_shape), tiny.name
        assert np.isfinite(answer).all(), tiny.name
        print(f"{tiny.name} {tiny.config}")
    print(f"{len(TINY)} configurations answer on {keras.backend.backend()}")
