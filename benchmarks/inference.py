"""Answers of exported models: what signatures and variants cost.

A signature of a SavedModel, run through a session as model servers do, is compared with the
network that it was made of, called as `model(x)` and as a compiled function. The signature
preprocesses and postprocesses besides: it turns pixels into floats, logits into probabilities, and
names the classes. Each variant, as `python -m pipelines export` makes it, is compared with the
SavedModel of the trained network. Networks are untrained, which costs as much as trained ones.
Times of answers are processor time of all threads.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
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

if TYPE_CHECKING:
    import keras

    from pipelines.datasets.dataset import Dataset
    from pipelines.export.signature import Signature
    from pipelines.task import Task
    from pipelines.variants.variant import Variant

# Each network in a pipeline, and the variants that it has.
NETWORKS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "convnet": ("image_classification", ("bfloat16", "int8", "xla", "frozen")),
    "bert_tiny": (
        "text_classification --dataset sotu_era --architecture bert_tiny --encoder= "
        "--max_length 64 --max_examples 64",
        ("bfloat16", "int8", "frozen"),
    ),
}
_BATCHES = (1, 32)
_GOAL = 1.0
# What a SavedModel costs besides, see `Measurement`, with units.
_FIELDS = {
    "megabytes": "MB on disk",
    "load_seconds": "s to load",
    "warmup_seconds": "s to warm up",
}
# Calls are repeated for so long, at least.
_SECONDS = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the benchmark."""
    parser.add_argument(
        "--only", nargs="+", choices=list(NETWORKS), metavar="NAME", help=", ".join(NETWORKS)
    )
    add_rounds(parser, "three rounds")


def run(options: argparse.Namespace) -> None:
    """Measures, prints the table and logs the run with MLflow.

    Raises:
        UserError: An option is out of its range, or the tracking store cannot be used.
    """
    show_and_log("inference", "Answers of exported models", vars(options), comparisons(options))


def comparisons(options: argparse.Namespace) -> list[Comparison]:
    """Returns what was measured."""
    rounds = rounds_of(options)
    quiet()
    found: list[Comparison] = []
    for name in options.only or NETWORKS:
        for each in _network(name, rounds):
            console.print(f"{each.name}, {each.reference}, {each.unit}: {each.ratio:.2f}")
            found.append(each)
    return found


def _network(name: str, rounds: int) -> Iterator[Comparison]:
    import keras

    from pipelines.cli import parse
    from pipelines.export import measurement
    from pipelines.run import load
    from pipelines.training import trainer
    from pipelines.variants.variant import VARIANTS, Variant

    keras.backend.clear_session()
    command, variants = NETWORKS[name]
    task, data = load(*parse(command.split()))
    network = trainer.untrained(task, data)
    weights = network.model.get_weights()
    with TemporaryDirectory() as scratch:
        base = _write(task, data, Variant(network), Path(scratch, "trained"))
        calls = {size: base.call(size) for size in _BATCHES}
        for size, call in calls.items():
            x = task.preprocess(base.inputs(size))
            for reference, function in _functions(network.model, x).items():
                costs = in_turns(
                    rounds, partial(_milliseconds, call), partial(_milliseconds, function)
                )
                shown = f"{name}, {size} example{'s' * (size > 1)}"
                yield Comparison(shown, reference, "ms", *costs, goal=_GOAL)
        for variant in variants:
            build = partial(trainer.untrained, task, data)
            made = _write(task, data, VARIANTS[variant](build, weights), Path(scratch, variant))
            shown = f"{name}, {variant}"
            for size, call in calls.items():
                costs = in_turns(
                    rounds, partial(_milliseconds, made.call(size)), partial(_milliseconds, call)
                )
                reference = f"trained, {size} example{'s' * (size > 1)}"
                yield Comparison(shown, reference, "ms", *costs)
            measured = in_turns(
                1,
                partial(measurement.measured, made.folder),
                partial(measurement.measured, base.folder),
            )
            for field, unit in _FIELDS.items():
                own, other = ([getattr(each, field) for each in side] for side in measured)
                yield Comparison(shown, "trained", unit, own, other)


@dataclass(frozen=True)
class Exported:
    """A SavedModel with the examples that it is asked for.

    Attributes:
        folder: Where it is.
        signature: That of the network's inputs, without what needs TF-Text.
        data: Examples are from its test split.
    """

    folder: Path
    signature: Signature
    data: Dataset

    def inputs(self, size: int) -> Any:
        """Returns examples as the data set has them, a tensor or a dict of such."""
        return next(iter(self.data.test.padded_batch(size)))[0]

    def call(self, size: int) -> Callable[[], Any]:
        """Returns a function that asks for `size` examples through a session."""
        import tensorflow as tf

        session = tf.compat.v1.Session(graph=tf.Graph())
        graph = tf.compat.v1.saved_model.load(session, ["serve"], str(self.folder))
        declared = graph.signature_def[self.signature.name]
        inputs = self.inputs(size)
        given = inputs if isinstance(inputs, dict) else {next(iter(declared.inputs)): inputs}
        run = session.make_callable(
            [output.name for output in declared.outputs.values()],
            feed_list=[declared.inputs[name].name for name in given],
        )
        values = [x.numpy() for x in given.values()]
        return lambda: run(*values)


def _write(task: Task, data: Dataset, variant: Variant, folder: Path) -> Exported:
    """Exports the signature of a variant that takes what the network does, no strings."""
    from pipelines.export import saved_model

    with variant.within():
        signatures = task.signatures(variant.network, data)
        tracked = None if variant.frozen else variant.network.model
        saved_model.saved_model(tracked, signatures, folder)
    plain = (
        each for each in signatures if all(not x.dtype.hasobject for x in each.examples.values())
    )
    return Exported(folder, next(plain), data)


def _functions(model: keras.Model, x: Any) -> dict[str, Callable[[], Any]]:
    """Returns the network as it is called in Python, by name."""
    import tensorflow as tf

    graph = tf.function(lambda x: model(x, training=False))
    return {"model(x)": lambda: model(x, training=False), "tf.function": lambda: graph(x)}


def _milliseconds(call: Callable[[], Any]) -> float:
    """Returns the processor time of a call, the mean of as many as last a tenth of a second."""
    started, calls = time.perf_counter(), 0

    def repeat() -> None:
        nonlocal calls
        while time.perf_counter() - started < _SECONDS:
            call()
            calls += 1

    return 1000 * cpu_seconds(repeat) / calls
