"""Training by the pipeline, compared with a bare Keras loop.

The whole training of a pipeline, epochs with their validation, callbacks, shuffling, preprocessing
and augmentation, is compared with `model.fit` of the same compiled network on the same batches,
held in memory, and without callbacks, both from the second epoch on. All times are processor time
of all threads.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from functools import partial
from time import process_time
from typing import TYPE_CHECKING

from benchmarks.comparison import (
    Comparison,
    add_rounds,
    console,
    in_turns,
    quiet,
    rounds_of,
    show_and_log,
)

if TYPE_CHECKING:
    import keras

# Each network in a pipeline that trains it, with fewer examples than the default run.
PIPELINES: Mapping[str, str] = {
    "convnet": "image_classification",
    "resnet20": "image_classification --architecture resnet20 --max_examples 512",
    "bilstm": "token_classification --max_examples 2000",
    "bert_tiny": "text_classification --dataset sotu_era --architecture bert_tiny --encoder= "
    "--max_examples 512",
    "unet": "image_segmentation",
    "transformer": "translation --architecture transformer_base --model.layers 2 "
    "--model.width 128 --model.heads 4 --model.feed_forward 256 --max_examples 2000",
}
_QUICK = ("convnet", "bilstm")
_EPOCHS = 4
_GOAL = 0.97


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the benchmark."""
    names = list(PIPELINES)
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    add_rounds(parser, "two networks, three rounds")


def run(options: argparse.Namespace) -> None:
    """Measures, prints the table and logs the run with MLflow.

    Raises:
        UserError: An option is out of its range, or the tracking store cannot be used.
    """
    show_and_log("training", "Training", vars(options), comparisons(options))


def comparisons(options: argparse.Namespace) -> list[Comparison]:
    """Returns what was measured."""
    rounds = rounds_of(options)
    quiet()
    found = []
    for name in options.only or (_QUICK if options.quick else PIPELINES):
        found.append(_pipeline(name, rounds))
        console.print(f"{name}: {found[-1].ratio:.2f}")
    return found


def _pipeline(name: str, rounds: int) -> Comparison:
    import keras

    from pipelines.cli import parse
    from pipelines.run import load
    from pipelines.testing import MemoryLog
    from pipelines.training import batching, trainer

    keras.backend.clear_session()
    pipeline, config = parse([*PIPELINES[name].split(), f"--epochs={_EPOCHS}"])
    task, data = load(pipeline, config)
    network = trainer.build(task, data)
    model, size = network.model, config.recipe.batch_size
    steps = batching.steps_per_epoch(data, size)
    batches = batching.training_batches(task, data).take(steps).cache()
    validation = batching.evaluation_batches(task, data.validation, size).cache()

    def own(clock: keras.callbacks.Callback) -> None:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            trainer.fit(task, network, data, MemoryLog(), watchers=[clock])

    def bare(clock: keras.callbacks.Callback) -> None:
        model.fit(
            batches,
            epochs=_EPOCHS,
            validation_data=validation,
            callbacks=[clock],
            shuffle=False,
            verbose=0,
        )

    examples = data.sizes["train"] + data.sizes["validation"]
    costs = in_turns(
        rounds, partial(_milliseconds, own, examples), partial(_milliseconds, bare, examples)
    )
    return Comparison(name, "model.fit", "ms an example", *costs, goal=_GOAL)


def _milliseconds(train: Callable[[keras.callbacks.Callback], None], examples: int) -> float:
    """Returns what an example costs after the first epoch, before which graphs are traced."""
    import keras

    ends: list[float] = []
    train(keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(process_time())))
    return 1000 * (ends[-1] - ends[0]) / (_EPOCHS - 1) / examples
