"""Padding of texts: what a real token costs in batches that are padded in three ways.

A BERT of two layers reads the same texts, of very different lengths, in batches of others of about
their length (buckets, as the pipelines train), in shuffled batches that are padded to the longest
of each, and in batches that are all padded to one length. It computes the same of each text in all
three, as padding is masked. Costs are processor time of training steps.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
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
from serving.errors import UserError

if TYPE_CHECKING:
    import keras

_LONGEST, _BATCH = 512, 8
_GOAL = 2.0
_WORDS = 2000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the benchmark."""
    parser.add_argument("--texts", type=int, default=400, help="(default: 400)")
    add_rounds(parser, "100 texts, three rounds")


def run(options: argparse.Namespace) -> None:
    """Measures, prints the tables and logs the run with MLflow.

    Raises:
        UserError: An option is out of its range, or the tracking store cannot be used.
    """
    if options.texts < _BATCH:
        raise UserError(f"--texts must be at least {_BATCH}, not {options.texts}")
    show_and_log("text", "Padding of texts", vars(options), comparisons(options))


def comparisons(options: argparse.Namespace) -> list[Comparison]:
    """Returns what was measured."""
    rounds = rounds_of(options)
    quiet()
    from pipelines.cli import parse
    from pipelines.run import load
    from pipelines.training import batching, trainer

    texts = min(options.texts, 100) if options.quick else options.texts
    with TemporaryDirectory() as folder:
        command = f"text_classification --dataset {_table(Path(folder), texts)} --epochs 1"
        command += f" --architecture bert_tiny --encoder= --max_length {_LONGEST}"
        task, data = load(*parse([*command.split(), f"--batch_size={_BATCH}"]))
    model = trainer.build(task, data).model
    shuffled = data.train.cache().shuffle(data.sizes["train"], seed=0)
    shapes = _fixed(data.train.element_spec)
    found = []
    buckets = list(batching.training_batches(task, data))
    for name, other in (
        ("padded to the longest of a batch", shuffled.padded_batch(_BATCH)),
        (f"padded to {_LONGEST} tokens", shuffled.padded_batch(_BATCH, shapes)),
    ):
        batches = list(other)
        costs = in_turns(rounds, partial(_cost, model, buckets), partial(_cost, model, batches))
        goal = _GOAL if name.startswith("padded to 5") else 0.0
        found.append(Comparison("buckets", name, "ms a 1000 tokens", *costs, goal=goal))
    for name, padded in (("buckets", buckets), ("one length", batches)):
        console.print(f"{name}: {_padding(padded):.0%} of the tokens are padding")
    return found


def _table(folder: Path, count: int) -> Path:
    """Writes texts whose lengths are spread evenly on a logarithmic scale, and returns the file."""
    random = np.random.default_rng(0)
    lines = ["text,label"]
    for number in range(count):
        words = random.integers(0, _WORDS, int(np.exp(random.uniform(np.log(8), np.log(480)))))
        lines.append(f"{' '.join(f'w{word}' for word in words)},class{number % 2}")
    file = folder / "texts.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def _fixed(specs: object) -> object:
    """Returns the shapes of examples whose varying dimensions all are the longest."""
    import tensorflow as tf

    return tf.nest.map_structure(lambda spec: [size or _LONGEST for size in spec.shape], specs)


def _padding(batches: Sequence[tuple]) -> float:
    """Returns which fraction of the tokens are padding."""
    return 1 - _tokens(batches) / sum(
        inputs["padding_mask"].shape.num_elements() for inputs, *_ in batches
    )


def _tokens(batches: Sequence[tuple]) -> int:
    return sum(int(inputs["padding_mask"].numpy().sum()) for inputs, *_ in batches)


def _cost(model: keras.Model, batches: Sequence[tuple]) -> float:
    """Trains on batches once; returns milliseconds for 1000 tokens that are no padding."""

    def train() -> None:
        for inputs, target, *_ in batches:
            model.train_on_batch(inputs, target)

    return 1e6 * cpu_seconds(train) / _tokens(batches)
