"""Networks of the builders, compared with the same networks of Keras and KerasHub.

Both learn from the same batch, and have as many parameters, but for the biases before batch
normalizations in Keras' ResNet-50 (0.1 % of them). What a training step costs is processor
time of all threads, in turns in one process; what memory it takes is the most that a process of its
own has held, less what it held after its imports.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
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
from benchmarks.processes import isolated, peak_memory

if TYPE_CHECKING:
    import keras

_GOAL = 1.0
_STEPS = 4
_CLASSES = 10


@dataclass(frozen=True)
class Pair:
    """A network of ours and the same of a library.

    Attributes:
        reference: Name of the library.
        own: Builds our network.
        other: Builds the library's.
        batch: Returns a batch of inputs for ours, the same for the other, and targets.
    """

    reference: str
    own: Callable[[], keras.Model]
    other: Callable[[], keras.Model]
    batch: Callable[[], tuple[Any, Any, Any]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the benchmark."""
    names = list(BUILDERS)
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    add_rounds(parser, "three rounds")


def run(options: argparse.Namespace) -> None:
    """Measures, prints the table and logs the run with MLflow.

    Raises:
        UserError: An option is out of its range, or the tracking store cannot be used.
    """
    show_and_log("builders", "Builders", vars(options), comparisons(options))


def comparisons(options: argparse.Namespace) -> list[Comparison]:
    """Returns what was measured."""
    rounds = rounds_of(options)
    quiet()
    found = []
    for name in options.only or BUILDERS:
        for each in _compared(name, rounds):
            console.print(f"{each.name}, {each.unit}: {each.ratio:.2f}")
            found.append(each)
    return found


def _compared(name: str, rounds: int) -> Iterator[Comparison]:
    import keras

    keras.backend.clear_session()
    pair = BUILDERS[name]
    own, other = pair.own(), pair.other()
    sizes = own.count_params(), other.count_params()
    if not 0.99 < sizes[0] / sizes[1] < 1.01:
        raise AssertionError(
            f"{name} has {sizes[0]} parameters, that of {pair.reference} {sizes[1]}"
        )
    inputs, others, target = pair.batch()
    costs = in_turns(rounds, _steps(own, inputs, target), _steps(other, others, target))
    yield Comparison(name, pair.reference, "ms a step", *costs, goal=_GOAL)
    taken = [memory(name, "own")], [memory(name, "other")]
    yield Comparison(name, pair.reference, "MiB", *taken, goal=_GOAL)


def memory(name: str, which: str) -> float:
    """Returns the most memory in MiB that training one network takes, in a fresh process."""
    with TemporaryDirectory() as folder, isolated(Path(folder, "log")) as process:
        return process.submit(_memory, name, which).result()


def _memory(name: str, which: str) -> float:
    quiet()
    import keras_hub  # noqa: F401  (what only one of the two imports is not its network's)

    import architectures  # noqa: F401
    from pipelines import allocation

    allocation.keep_freed_memory()
    pair, before = BUILDERS[name], peak_memory()
    inputs, others, target = pair.batch()
    model, batch = (pair.own(), inputs) if which == "own" else (pair.other(), others)
    _steps(model, batch, target)()
    return (peak_memory() - before) / 2**20


def _steps(model: keras.Model, inputs: Any, target: Any) -> Callable[[], float]:
    """Returns a function that trains some steps, and returns milliseconds for each."""
    import keras
    import tensorflow as tf

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1e-4), loss, jit_compile=False)
    batches = tf.data.Dataset.from_tensors((inputs, target)).cache().repeat(_STEPS)
    return lambda: 1000 / _STEPS * cpu_seconds(lambda: model.fit(batches, shuffle=False, verbose=0))


_IMAGE = (96, 96, 3)


def _resnet50() -> keras.Model:
    import architectures

    return architectures.build("resnet50", classes=_CLASSES, input_shape=_IMAGE)


def _resnet50_of_keras() -> keras.Model:
    import keras

    return keras.applications.ResNet50(
        weights=None, input_shape=_IMAGE, classes=_CLASSES, classifier_activation=None
    )


def _images() -> tuple[Any, Any, Any]:
    import numpy as np

    random = np.random.default_rng(0)
    images = random.uniform(size=(8, *_IMAGE)).astype(np.float32)
    return images, images, random.integers(0, _CLASSES, 8)


def _bert() -> keras.Model:
    import architectures

    return _headed(architectures.build("bert_tiny", vocabulary=8000, max_length=64, dropout=0.0))


def _bert_of_keras_hub() -> keras.Model:
    import keras_hub

    return _headed(
        keras_hub.models.BertBackbone(
            vocabulary_size=8000,
            num_layers=2,
            num_heads=2,
            hidden_dim=128,
            intermediate_dim=512,
            dropout=0.0,
            max_sequence_length=64,
        )
    )


def _headed(encoder: keras.Model) -> keras.Model:
    import keras

    logits = keras.layers.Dense(_CLASSES)(encoder.output["pooled_output"])
    return keras.Model(encoder.input, logits)


def _texts() -> tuple[Any, Any, Any]:
    import numpy as np

    random = np.random.default_rng(0)
    ids = random.integers(5, 8000, (16, 64)).astype(np.int32)
    inputs = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": 0 * ids + 1}
    return inputs, inputs, random.integers(0, _CLASSES, 16)


def _lstm() -> keras.Model:
    import architectures

    return architectures.build(
        "lstm", outputs=_CLASSES, vocabulary=1000, embedding=64, units=(64, 64)
    )


def _lstm_of_keras() -> keras.Model:
    import keras

    ids = keras.Input([None], dtype="int32")
    x = keras.layers.Embedding(1000, 64, mask_zero=True)(ids)
    x = keras.layers.LSTM(64, return_sequences=True)(x)
    x = keras.layers.LSTM(64)(x)
    return keras.Model(ids, keras.layers.Dense(_CLASSES)(x))


def _tokens() -> tuple[Any, Any, Any]:
    import numpy as np

    random = np.random.default_rng(0)
    ids = random.integers(1, 1000, (16, 64)).astype(np.int32)
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    return inputs, ids, random.integers(0, _CLASSES, 16)


BUILDERS: Mapping[str, Pair] = {
    "resnet50": Pair("keras.applications", _resnet50, _resnet50_of_keras, _images),
    "bert": Pair("keras_hub", _bert, _bert_of_keras_hub, _texts),
    "lstm": Pair("keras.layers", _lstm, _lstm_of_keras, _tokens),
}
