"""Signatures: the named, typed endpoints of a SavedModel, with examples that verify them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog


@dataclass(frozen=True)
class Signature:
    """A named, typed endpoint of the SavedModel, with the examples that verify it.

    Attributes:
        name: The signature's key.
        function: From tensors, by the names of `inputs`, to a dict of tensors.
        inputs: Shape and dtype of each input; the batch dimension is free.
        examples: One batch for each input.
        expected: The Keras model's outputs for `examples`, computed without the export.
        relative: Tolerance of floats, relative to the expected value.
        absolute: Tolerance of floats, added to the relative one.
        resources: Layers or tables that `function` uses in addition to the model.
    """

    name: str
    function: Callable[..., dict[str, tf.Tensor]]
    inputs: Mapping[str, tf.TensorSpec]
    examples: Mapping[str, np.ndarray]
    expected: Mapping[str, np.ndarray]
    relative: float = 1e-5
    absolute: float = 1e-5
    resources: Sequence[Any] = ()

    def log(self, start: int, stop: int) -> PredictionLog:
        """Returns the examples from `start` to `stop` as a request with its expected response."""
        log = PredictionLog()
        predict = log.predict_log
        predict.request.model_spec.signature_name = self.name
        for key, value in self.examples.items():
            predict.request.inputs[key].CopyFrom(tf.make_tensor_proto(value[start:stop]))
        for key, value in self.expected.items():
            predict.response.outputs[key].CopyFrom(tf.make_tensor_proto(value[start:stop]))
        return log
