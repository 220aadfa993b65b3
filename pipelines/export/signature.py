"""Signatures: the named, typed endpoints of a SavedModel, with examples that verify them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2


@dataclass(frozen=True)
class Signature:
    """A named, typed entry of the SavedModel, and the proof it has to pass.

    Attributes:
        name: The signature's key.
        function: From tensors, by the names of `inputs`, to a dict of tensors.
        inputs: Shape and dtype of each input; the batch dimension is free.
        examples: One batch for each input.
        expected: What the Keras model answers to `examples`, worked out without the export.
        relative: Largest relative difference between the two, for floats.
        absolute: Largest absolute difference between the two, for floats.
        resources: Layers or tables that `function` uses besides the model.
    """

    name: str
    function: Callable[..., dict[str, tf.Tensor]]
    inputs: Mapping[str, tf.TensorSpec]
    examples: Mapping[str, np.ndarray]
    expected: Mapping[str, np.ndarray]
    relative: float = 1e-5
    absolute: float = 1e-5
    resources: Sequence[Any] = ()

    def log(self, start: int, stop: int) -> prediction_log_pb2.PredictionLog:
        """Returns the examples of a range as a request with the response it should get."""
        log = prediction_log_pb2.PredictionLog()
        predict = log.predict_log
        predict.request.model_spec.signature_name = self.name
        for key, value in self.examples.items():
            predict.request.inputs[key].CopyFrom(tf.make_tensor_proto(value[start:stop]))
        for key, value in self.expected.items():
            predict.response.outputs[key].CopyFrom(tf.make_tensor_proto(value[start:stop]))
        return log
