"""Speed of the augmentation of images: examples per second, compared with none.

Batches of random images pass through the same map as in training: scaling to 0-1, then one kind of
augmentation. Rounds take turns; the result of each kind is its fastest round, since other processes
only make a round slower.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from pipelines.image.config import Augmentation
from serving.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

# Kinds of augmentation, each with a usual strength.
KINDS = {
    "none": Augmentation(),
    "flip": Augmentation(flip=True),
    "shift": Augmentation(shift=0.1),
    "rotation": Augmentation(rotation=0.05),
    "zoom": Augmentation(zoom=0.1),
    "all four": Augmentation(shift=0.1, rotation=0.05, zoom=0.1, flip=True),
    "crop": Augmentation(crop=0.08, flip=True),
    "crop_padding": Augmentation(crop_padding=4, flip=True),
    "brightness": Augmentation(brightness=0.4),
    "contrast": Augmentation(contrast=0.4),
    "saturation": Augmentation(saturation=0.4),
    "hue": Augmentation(hue=0.1),
    "rand_augment": Augmentation(rand_augment=2),
    "erasing": Augmentation(erasing=0.25),
    "cut_mix": Augmentation(cut_mix=1.0),
    "mix_up": Augmentation(mix_up=0.2),
}

_QUICK_SIZE, _QUICK_BATCHES = 96, 5

console = Console(highlight=False)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the benchmark."""
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--image_size", type=int, default=224, help="(default: 224)")
    parser.add_argument("--batch_size", type=int, default=64, help="(default: 64)")
    parser.add_argument("--batches", type=int, default=10, help="of each round (default: 10)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: 3)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"images of at most {_QUICK_SIZE} pixels, one round of {_QUICK_BATCHES} batches",
    )


def run(options: argparse.Namespace) -> None:
    """Measures every kind, prints the table and logs the run with MLflow.

    Raises:
        UserError: An option is out of its range, or the tracking store cannot be used.
    """
    for name in ("image_size", "batch_size", "batches", "rounds"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name} must be at least 1, not {getattr(options, name)}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if options.quick:
        options.image_size = min(options.image_size, _QUICK_SIZE)
        options.batches, options.rounds = _QUICK_BATCHES, 1
    kinds = list(dict.fromkeys(["none", *options.kinds]))
    speeds = measure(kinds, options)
    console.print(table(speeds))
    from benchmarks import report

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    chosen = {name: str(value) for name, value in vars(options).items()}
    records = [
        {"kind": kind, "examples_per_second": speed, "ratio": speed / speeds["none"]}
        for kind, speed in speeds.items()
    ]
    found, store = report.log_tables("augmentation", chosen, records, {})
    console.print(f"run        {found} in {store}", soft_wrap=True)


def measure(kinds: list[str], options: argparse.Namespace) -> dict[str, float]:
    """Returns the examples per second of each kind in its fastest round."""
    batches = {kind: training_batches(KINDS[kind], options) for kind in kinds}
    seconds = {kind: float("inf") for kind in kinds}
    for number in range(options.rounds + 1):
        for kind, dataset in batches.items():
            started = time.perf_counter()
            for _ in dataset:
                pass
            if number:  # The first round is for warming up.
                seconds[kind] = min(seconds[kind], time.perf_counter() - started)
    return {kind: options.batches * options.batch_size / seconds[kind] for kind in kinds}


def training_batches(augmentation: Augmentation, options: argparse.Namespace) -> tf.data.Dataset:
    """Returns batches of the same images, changed in parallel as in training."""
    import tensorflow as tf

    from pipelines.image.augmentation import of_labeled_images
    from pipelines.image.preprocessing import scale
    from pipelines.stateless import epoch_seeds

    shape = (options.batch_size, options.image_size, options.image_size, 3)
    images = tf.cast(tf.random.stateless_uniform(shape, (0, 1), 0, 256, tf.int32), tf.uint8)
    labels = tf.range(options.batch_size, dtype=tf.int64) % 10
    augment = of_labeled_images(augmentation, 10)

    def prepare(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        seeds = epoch_seeds(0, number, tf.range(options.batch_size))
        inputs = scale(images)
        return augment(inputs, labels, seeds) if augment else (inputs, labels)

    return (
        tf.data.Dataset.range(options.batches)
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )


def table(speeds: dict[str, float]) -> Table:
    """Returns a table of speeds, examples per second by kind, "none" among them."""
    found = Table("augmentation", "examples/s", "ratio to none", "ms per example", box=None)
    for kind, speed in speeds.items():
        found.add_row(kind, f"{speed:,.0f}", f"{speed / speeds['none']:.2f}", f"{1000 / speed:.2f}")
    return found
