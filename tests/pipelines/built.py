"""A task with its data and its network, and signatures as they are exported."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import tensorflow as tf

from pipelines import evaluation
from pipelines.export.signature import Signature
from pipelines.predictions import Predictions, Scores
from pipelines.task import Network, Task
from pipelines.testing import MemoryLog
from pipelines.training import trainer


class Built:
    """A task with its data and its network, trained for `epochs`, if any."""

    def __init__(self, task: Task[Any, Any], epochs: int = 0) -> None:
        recipe = replace(task.config.recipe, epochs=max(epochs, 1))
        self.task = type(task)(replace(task.config, recipe=recipe))
        self.data: Any = self.task.load()
        self.network = trainer.build(self.task, self.data)
        if epochs:
            self.network = self.trained()

    def trained(self) -> Network:
        record = MemoryLog()
        return trainer.fit(self.task, self.network, self.data, record)

    def predict(self, split: str) -> Predictions:
        return evaluation.predict(self.task, self.network.model, self.data, split)

    def scores(self, split: str) -> Scores:
        return evaluation.score(self.task, self.network.model, self.data, split)

    @functools.cached_property
    def signatures(self) -> list[Signature]:
        return self.task.signatures(self.network, self.data)

    @property
    def default(self) -> Signature:
        return self.signatures[0]


@functools.cache
def _graph(function: Any, *specs: tf.TensorSpec) -> Any:
    return tf.function(function, input_signature=specs)


def exported(signature: Signature) -> Any:
    """The signature's function as it is exported; tracing it takes seconds, so it is kept."""
    return _graph(signature.function, *signature.inputs.values())


def graph_ops(signature: Signature) -> list[str]:
    """The names of all ops in the graph of a signature and in its functions."""
    graph = exported(signature).get_concrete_function().graph.as_graph_def()
    bodies = (node for function in graph.library.function for node in function.node_def)
    return sorted({node.op for node in (*graph.node, *bodies)})
