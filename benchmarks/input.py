"""Input of training: what a batch costs, compared with decoding alone, and how long a step waits.

Two comparisons of each kind of input, each from the second epoch on. The first is of processor
time: the pipeline's batches with their shuffling, bucketing, padding, preprocessing and
augmentation, and what cannot be saved, the decoding of the same examples. The second is of time: a
loop that takes a batch and then does nothing for a millisecond, as a model on a GPU does for the
processor, with the pipeline's batches and with a data set of one batch again and again.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.comparison import (
    Comparison,
    add_rounds,
    console,
    cpu_seconds,
    in_turns,
    quiet,
    rounds_of,
    show_and_log,
)

if TYPE_CHECKING:
    import tensorflow as tf

_SECONDS_PER_STEP = 0.001
_WAITING_GOAL = 0.95
_EPOCHS = 3


@dataclass(frozen=True)
class Input:
    """One kind of input.

    Attributes:
        command: The pipeline and its options, without `--dataset`.
        dataset: Returns the data set: a name, or files that are written to a folder.
        decoded: From the data set to its decoded examples; None where there is nothing to decode.
        waiting_goal: 0 for none, where decoding alone takes longer than a step.
    """

    command: str
    dataset: Callable[[Path], str]
    decoded: Callable[[str], tf.data.Dataset] | None = None
    waiting_goal: float = _WAITING_GOAL


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the benchmark."""
    parser.add_argument("--only", nargs="+", choices=list(INPUTS), default=list(INPUTS))
    add_rounds(parser, "three rounds")


def run(options: argparse.Namespace) -> None:
    """Measures, prints the table and logs the run with MLflow.

    Raises:
        UserError: An option is out of its range, or the tracking store cannot be used.
    """
    show_and_log("input", "Input of training", vars(options), comparisons(options))


def comparisons(options: argparse.Namespace) -> list[Comparison]:
    """Returns what was measured."""
    rounds = rounds_of(options)
    quiet()
    found = []
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder:
            for each in _measure(name, rounds, Path(folder)):
                console.print(f"{each.name}: {each.ratio:.2f}")
                found.append(each)
    return found


def _measure(name: str, rounds: int, folder: Path) -> Iterator[Comparison]:
    import tensorflow as tf

    from pipelines.cli import parse
    from pipelines.run import load
    from pipelines.training import batching

    source = INPUTS[name]
    dataset = source.dataset(folder)
    # An epoch more, so that none of those that are timed is the last.
    options = [*source.command.split(), f"--dataset={dataset}", f"--epochs={_EPOCHS + 2}"]
    task, data = load(*parse(options))
    steps = batching.steps_per_epoch(data, task.config.recipe.batch_size)

    def first_epoch(batches: tf.data.Dataset) -> Iterator:
        iterator = iter(batches)
        for _ in itertools.islice(iterator, steps):
            pass
        return iterator

    def microseconds(iterator: Iterator) -> float:
        count = _EPOCHS * steps
        seconds = cpu_seconds(lambda: [None for _ in itertools.islice(iterator, count)])
        return 1e6 * seconds / _EPOCHS / data.sizes["train"]

    def batches() -> Iterator:
        return first_epoch(batching.training_batches(task, data))

    if source.decoded:
        plain = source.decoded(dataset).repeat(_EPOCHS + 2).batch(task.config.recipe.batch_size)
        costs = in_turns(
            rounds, lambda: microseconds(batches()), lambda: microseconds(first_epoch(plain))
        )
        yield Comparison(name, "decoding", "µs an example", *costs)

    kept = tf.data.Dataset.from_tensors(next(batches())).repeat()
    one = partial(_milliseconds, lambda: iter(kept), _EPOCHS * steps)
    costs = in_turns(rounds, partial(_milliseconds, batches, _EPOCHS * steps), one)
    yield Comparison(f"{name}, waiting", "one batch", "ms a step", *costs, goal=source.waiting_goal)


def _milliseconds(batches: Callable[[], Iterator], steps: int) -> float:
    """Returns the time of a step that takes a batch and leaves the processor alone for a while."""
    iterator = batches()
    started = time.perf_counter()
    for _ in itertools.islice(iterator, steps):
        time.sleep(_SECONDS_PER_STEP)
    return 1000 * (time.perf_counter() - started) / steps


def _jpegs(folder: Path) -> str:
    """Writes images as CLASS/IMAGE, of two classes, and returns their folder."""
    from PIL import Image

    random = np.random.default_rng(0)
    for number in range(400):
        file = folder / "images" / f"class{number % 2}" / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        # Blurred noise compresses like photographs.
        noise = Image.fromarray(random.integers(0, 256, (24, 24, 3), np.uint8))
        noise.resize((192, 192), Image.Resampling.BICUBIC).save(file, quality=90)
    return str(folder / "images")


def _decoded_jpegs(folder: str) -> tf.data.Dataset:
    import tensorflow as tf

    files = sorted(str(path) for path in Path(folder).glob("*/*.jpg"))

    def decode(file: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_jpeg(tf.io.read_file(file), channels=3)
        return tf.image.resize(image, (96, 96))

    return tf.data.Dataset.from_tensor_slices(files).map(decode, tf.data.AUTOTUNE)


def _table(folder: Path) -> str:
    """Writes texts of 5 to 60 words with one of two labels, and returns their file."""
    random = np.random.default_rng(0)
    words = [f"word{number}" for number in range(2000)]
    lines = ["text,label"]
    for number in range(4000):
        text = " ".join(random.choice(words, random.integers(5, 60)))
        lines.append(f"{text},class{number % 2}")
    file = folder / "texts.csv"
    file.write_text("\n".join(lines) + "\n")
    return str(file)


def _digit_records(dataset: str) -> tf.data.Dataset:
    import tensorflow as tf

    from pipelines.datasets import loading

    examples = loading.prepared(dataset).as_dataset(split="train", as_supervised=True)
    return examples.map(lambda image, label: tf.cast(image, tf.float32) / 255)


INPUTS: Mapping[str, Input] = {
    "records": Input("image_classification", lambda folder: "digits", _digit_records),
    "jpegs": Input(
        "image_classification --image_size 96 --augmentation.flip true",
        _jpegs,
        _decoded_jpegs,
        waiting_goal=0.0,
    ),
    "texts": Input("text_classification --architecture bilstm", _table),
    "tokens": Input("token_classification --max_examples 4000", lambda folder: "cmudict_stress"),
}
