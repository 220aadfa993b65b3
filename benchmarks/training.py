"""Training by the pipeline, compared with a bare Keras loop; builders, compared with other ones.

The whole training of a pipeline, epochs with their validation, callbacks, shuffling, preprocessing
and augmentation, is compared with `model.fit` of the same compiled network on the same batches,
held in memory, and without callbacks, both from the second epoch on. Builders are compared with the
same networks of Keras and KerasHub by a training step of each. All times are processor time of all
threads.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from time import process_time
from typing import TYPE_CHECKING, Any

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
_PIPELINE_GOAL, _BUILDER_GOAL = 0.97, 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the benchmark."""
    names = [*PIPELINES, *BUILDERS]
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
    every = _QUICK if options.quick else (*PIPELINES, *BUILDERS)
    found = []
    for name in options.only or every:
        found.append(_pipeline(name, rounds) if name in PIPELINES else _builder(name, rounds))
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
    return Comparison(name, "model.fit", "ms an example", *costs, goal=_PIPELINE_GOAL)


def _milliseconds(train: Callable[[keras.callbacks.Callback], None], examples: int) -> float:
    """Returns what an example costs after the first epoch, before which graphs are traced."""
    import keras

    ends: list[float] = []
    train(keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(process_time())))
    return 1000 * (ends[-1] - ends[0]) / (_EPOCHS - 1) / examples


@dataclass(frozen=True)
class Pair:
    """A network of ours and the same of a library, with a batch for both.

    Attributes:
        reference: Name of the library's.
        own: Our network.
        other: The library's.
        inputs: A batch for each.
        target: What both learn.
        examples: Size of the batch.
    """

    reference: str
    own: keras.Model
    other: keras.Model
    inputs: tuple[Any, Any]
    target: Any


def _builder(name: str, rounds: int) -> Comparison:
    import keras

    keras.backend.clear_session()
    pair = BUILDERS[name]()
    if pair.own.count_params() != pair.other.count_params():
        raise AssertionError(f"{name} and {pair.reference} differ in size")
    own, other = in_turns(
        rounds,
        _step(pair.own, pair.inputs[0], pair.target),
        _step(pair.other, pair.inputs[1], pair.target),
    )
    return Comparison(
        f"builder {name}", pair.reference, "ms a step", own, other, goal=_BUILDER_GOAL
    )


def _step(model: keras.Model, inputs: Any, target: Any) -> Callable[[], float]:
    """Returns a function that trains some steps, and returns milliseconds for each."""
    import keras
    import tensorflow as tf

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1e-4), loss, jit_compile=False)
    steps = 4
    batches = tf.data.Dataset.from_tensors((inputs, target)).cache().repeat(steps)
    return lambda: 1000 / steps * cpu_seconds(lambda: model.fit(batches, verbose=0))


def _resnet50() -> Pair:
    import keras
    import numpy as np

    import architectures

    shape, random = (96, 96, 3), np.random.default_rng(0)
    other = keras.applications.ResNet50(
        weights=None, input_shape=shape, classes=10, classifier_activation=None
    )
    own = architectures.build("resnet50", classes=10, input_shape=shape)
    images = random.uniform(size=(8, *shape)).astype(np.float32)
    return Pair("keras.applications", own, other, (images, images), random.integers(0, 10, 8))


def _bert() -> Pair:
    import keras
    import keras_hub
    import numpy as np

    import architectures

    random = np.random.default_rng(0)
    own = architectures.build("bert_tiny", vocabulary=8000, max_length=64, dropout=0.0)
    other = keras_hub.models.BertBackbone(
        vocabulary_size=8000,
        num_layers=own.num_layers,
        num_heads=own.num_heads,
        hidden_dim=own.hidden_dim,
        intermediate_dim=own.intermediate_dim,
        dropout=0.0,
        max_sequence_length=64,
    )
    ids = random.integers(5, 8000, (16, 64)).astype(np.int32)
    inputs = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": 0 * ids + 1}

    def headed(encoder: keras.Model) -> keras.Model:
        pooled = encoder.output["pooled_output"]
        return keras.Model(encoder.input, keras.layers.Dense(10)(pooled))

    return Pair(
        "keras_hub", headed(own), headed(other), (inputs, inputs), random.integers(0, 10, 16)
    )


def _lstm() -> Pair:
    import keras
    import numpy as np

    import architectures

    random = np.random.default_rng(0)
    own = architectures.build("lstm", outputs=10, vocabulary=1000, embedding=64, units=(64, 64))
    ids = keras.Input([None], dtype="int32")
    x = keras.layers.Embedding(1000, 64, mask_zero=True)(ids)
    x = keras.layers.LSTM(64, return_sequences=True)(x)
    x = keras.layers.LSTM(64)(x)
    other = keras.Model(ids, keras.layers.Dense(10)(x))
    tokens = random.integers(1, 1000, (16, 64)).astype(np.int32)
    inputs = {"token_ids": tokens, "padding_mask": np.ones_like(tokens)}
    return Pair("keras.layers", own, other, (inputs, tokens), random.integers(0, 10, 16))


BUILDERS: Mapping[str, Callable[[], Pair]] = {
    "resnet50": _resnet50,
    "bert": _bert,
    "lstm": _lstm,
}
