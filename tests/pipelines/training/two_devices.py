"""Compares updates on two logical devices with those on one; a process of its own has them."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from pipelines.recipe import Optimizer
from pipelines.training.optimizers import optimizer

SIZE, BATCH, EPOCHS = 24, 4, 2
OPTIONS = {
    "clip_norm": Optimizer(name="sgd", momentum=0.9, clip_norm=0.1, average=0.5),
    "loss_scale": Optimizer(clip_norm=0.1, average=0.5, accumulate=2),
}


def trained(config: Optimizer, strategy: tf.distribute.Strategy, scaled: bool) -> list[np.ndarray]:
    """Returns the weights of a small regression and their averages."""
    random = np.random.default_rng(0)
    x = random.normal(size=(SIZE, 3)).astype("float32")
    y = x @ random.normal(size=(3, 2)).astype("float32")
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)])
        own = optimizer(config, SIZE // BATCH, epochs=EPOCHS)
        whole = keras.optimizers.LossScaleOptimizer(own) if scaled else own
        model.compile(whole, keras.losses.MeanSquaredError(), jit_compile=False)
    model.fit(x, y, BATCH, EPOCHS, shuffle=False, verbose=0)
    return [np.array(v) for v in (*model.weights, *own._model_variables_moving_average)]


def main() -> None:
    cpu, *_ = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    for name, config in OPTIONS.items():
        pairs = (trained(config, where, name == "loss_scale") for where in (two, one()))
        for first, second in zip(*pairs, strict=True):
            np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-6)
        print(name)


def one() -> tf.distribute.Strategy:
    return tf.distribute.OneDeviceStrategy("CPU:0")


if __name__ == "__main__":
    main()
