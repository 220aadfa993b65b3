"""TensorFlow Lite models as servables.

The interpreter is that of TensorFlow's wheel, which has only TensorFlow Lite's own ops: neither
`Flex` ops nor TensorFlow Serving's custom `ParseExample` and hash tables.

Counterpart, also of names, codes and texts: tensorflow_serving/servables/tensorflow/
tflite_session.cc.
"""

from __future__ import annotations

import queue
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving.errors import ServingError
from serving.server import thread_pool
from serving.server.servables.base import Servable
from serving.server.servables.signature_constants import DEFAULT_SIGNATURE, PREDICT
from serving.server.servables.tflite_metadata import metadata_map

TFLITE_FILE = "model.tflite"
_SIGNATURES_METADATA = "signature_defs_metadata"
_MAX_WAIT_SECONDS = 1e6
_INTERNAL = grpc.StatusCode.INTERNAL


@dataclass(frozen=True)
class _Subgraph:
    """A subgraph of the model, which runs as a whole.

    Attributes:
        key: The model's own signature that runs it; None for the model's first subgraph.
        inputs: The interpreter's details of each input tensor, by the tensor's name.
        outputs: The same of each output tensor.
        aliases: The signature's name of each input and output, by the tensor's name.
    """

    key: str | None
    inputs: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Mapping[str, Any]]
    aliases: Mapping[str, str]

    def run(
        self, interpreter: tf.lite.Interpreter, feeds: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Returns all outputs by the tensor's name; inputs may have any sizes."""
        if self.key is not None:
            runner = interpreter.get_signature_runner(self.key)
            results = runner(**{self.aliases[name]: array for name, array in feeds.items()})
            return {name: results[self.aliases[name]] for name in self.outputs}
        for name, array in feeds.items():
            interpreter.resize_tensor_input(self.inputs[name]["index"], array.shape)
        interpreter.allocate_tensors()
        for name, array in feeds.items():
            interpreter.set_tensor(self.inputs[name]["index"], array)
        interpreter.invoke()
        return {
            name: interpreter.get_tensor(tensor["index"]) for name, tensor in self.outputs.items()
        }


class TfLiteSession(Servable):
    """A TensorFlow Lite model in one or more interpreters, which run one request at a time each.

    Its signatures are the first of these that exist: those in the metadata
    `signature_defs_metadata`, as in TensorFlow Serving; the model's own; or one whose inputs and
    outputs have the tensors' names. TensorFlow Serving uses the latter also for models that have
    signatures of their own. It never uses a GPU.

    Attributes:
        shapes: The declared shape of each input by the tensor's name, -1 for any size.
    """

    on_gpu = False

    def __init__(self, path: Path, interpreters: int = 1) -> None:
        """Loads `model.tflite` from the folder of a version.

        Args:
            path: The folder.
            interpreters: Number of requests that may run at the same time.

        Raises:
            ServingError: The file is damaged, or needs ops that the interpreter lacks.
        """
        file = path / TFLITE_FILE
        try:
            self._content = file.read_bytes()
        except OSError as error:
            raise ServingError(grpc.StatusCode.NOT_FOUND, f"{file}; {error.strerror}") from error
        first = _interpreter(self._content)
        whole = _whole(first)
        own = _own(first)
        if in_metadata := _metadata_signatures(self._content, whole):
            self.signatures, self._subgraphs = in_metadata, [whole]
        elif own:
            self.signatures = {key: _signature(subgraph) for key, subgraph in own.items()}
            self._subgraphs = list(own.values())
        else:
            self.signatures, self._subgraphs = {DEFAULT_SIGNATURE: _signature(whole)}, [whole]
        self.shapes = {
            name: tuple(map(int, _sizes(tensor)))
            for subgraph in self._subgraphs
            for name, tensor in subgraph.inputs.items()
        }
        # The interpreter that ran last is used next: its memory fits already.
        self._idle: queue.LifoQueue[tf.lite.Interpreter] = queue.LifoQueue()
        self._idle.put(first)
        for _ in range(interpreters - 1):
            self._idle.put(_interpreter(self._content))

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        timeout: float | None = None,
    ) -> list[np.ndarray]:
        """See `Servable.run`. The batch, like any other size, may change from run to run.

        `timeout` limits the wait for an interpreter; a run itself cannot be stopped. Other shapes
        than the model declares may end the process: see `tflite_guard`.

        Raises:
            ServingError: Unknown tensors; another dtype than the model has; or the interpreter's
                own error.
        """
        subgraph = self._subgraph(feeds, fetches)
        _check(subgraph, feeds)
        wait_seconds = None if timeout is None or timeout > _MAX_WAIT_SECONDS else max(0.0, timeout)
        try:
            with thread_pool.waiting():
                interpreter = self._idle.get(timeout=wait_seconds)
        except queue.Empty as error:
            raise ServingError(
                grpc.StatusCode.DEADLINE_EXCEEDED, "Timed out waiting for notification"
            ) from error
        try:
            with thread_pool.waiting():
                outputs = subgraph.run(interpreter, feeds)
        except (RuntimeError, ValueError) as error:
            # It may be left with memory of the wrong size.
            interpreter = _interpreter(self._content)
            allocating = "failed to prepare" in str(error)
            what = "allocate tensors" if allocating else "invoke TfLite interpreter"
            raise ServingError(_INTERNAL, f"Failed to {what}: {error}") from error
        finally:
            self._idle.put(interpreter)
        # A single string comes as bytes, whose trailing zero bytes NumPy's own type would drop.
        return [
            np.array(outputs[name], object)
            if isinstance(outputs[name], bytes)
            else np.asarray(outputs[name])
            for name in fetches
        ]

    def close(self) -> None:
        while not self._idle.empty():
            self._idle.get()

    def _subgraph(self, feeds: Iterable[str], fetches: Iterable[str]) -> _Subgraph:
        for subgraph in self._subgraphs:
            if set(feeds) <= set(subgraph.inputs) and set(fetches) <= set(subgraph.outputs):
                return subgraph
        names = {name for subgraph in self._subgraphs for name in subgraph.inputs}
        missing = next((name for name in sorted(feeds) if name not in names), "")
        raise ServingError(
            _INTERNAL, f"Unknown tensor '{missing}'.\n\tMissing input TFLite tensor: {missing}"
        )


def _interpreter(content: bytes) -> tf.lite.Interpreter:
    try:
        with warnings.catch_warnings():
            # A warning that it will move to another package, since TensorFlow 2.19.
            warnings.simplefilter("ignore")
            interpreter = tf.lite.Interpreter(model_content=content, num_threads=1)
    except (RuntimeError, ValueError) as error:
        raise ServingError(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"Cannot build FlatBufferModel from buffer. {error}",
        ) from error
    try:
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise ServingError(_INTERNAL, f"Cannot build Interpreter from buffer. {error}") from error
    return interpreter


def _whole(interpreter: tf.lite.Interpreter) -> _Subgraph:
    """Returns the model's first subgraph, with the tensors' names as aliases."""
    inputs = {tensor["name"]: tensor for tensor in interpreter.get_input_details()}
    outputs = {tensor["name"]: tensor for tensor in interpreter.get_output_details()}
    # As early converters did, without TensorFlow's ":0".
    aliases = {name: name.partition(":")[0] for name in (*inputs, *outputs)}
    return _Subgraph(None, inputs, outputs, aliases)


def _own(interpreter: tf.lite.Interpreter) -> dict[str, _Subgraph]:
    """Returns the subgraph that each of the model's own signatures runs."""
    subgraphs = {}
    for key in interpreter.get_signature_list():
        runner = interpreter.get_signature_runner(key)
        inputs, outputs = runner.get_input_details(), runner.get_output_details()
        subgraphs[key] = _Subgraph(
            key,
            {tensor["name"]: tensor for tensor in inputs.values()},
            {tensor["name"]: tensor for tensor in outputs.values()},
            {tensor["name"]: alias for alias, tensor in (*outputs.items(), *inputs.items())},
        )
    return subgraphs


def _signature(subgraph: _Subgraph) -> meta_graph_pb2.SignatureDef:
    signature = meta_graph_pb2.SignatureDef(method_name=PREDICT)
    for infos, tensors in (
        (signature.inputs, subgraph.inputs),
        (signature.outputs, subgraph.outputs),
    ):
        for name, tensor in tensors.items():
            info = infos[subgraph.aliases[name]]
            info.name = name
            info.dtype = tf.as_dtype(tensor["dtype"]).as_datatype_enum
            info.tensor_shape.SetInParent()
            for size in _sizes(tensor):
                info.tensor_shape.dim.add(size=int(size))
    return signature


def _sizes(tensor: Mapping[str, Any]) -> Sequence[int]:
    """Returns the sizes of a tensor's dimensions, -1 for any size."""
    return tensor["shape_signature"] if len(tensor["shape_signature"]) else tensor["shape"]


def _check(subgraph: _Subgraph, feeds: Mapping[str, np.ndarray]) -> None:
    """Rejects inputs of another type, for which the interpreter would read foreign memory."""
    for index, (name, array) in enumerate(sorted(feeds.items())):
        expected = tf.as_dtype(subgraph.inputs[name]["dtype"])
        if tf.as_dtype(array.dtype) != expected:
            raise ServingError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"Expects arg[{index}] to be {_dtype_name(expected)} but "
                f"{_dtype_name(tf.as_dtype(array.dtype))} is provided",
            )


def _dtype_name(dtype: tf.DType) -> str:
    return types_pb2.DataType.Name(dtype.as_datatype_enum).removeprefix("DT_").lower()


def _metadata_signatures(
    content: bytes, whole: _Subgraph
) -> dict[str, meta_graph_pb2.SignatureDef]:
    """Returns the signatures in the model's metadata, with the names of existing tensors."""
    try:
        signatures = {
            key: meta_graph_pb2.SignatureDef.FromString(serialized)
            for key, serialized in metadata_map(content, _SIGNATURES_METADATA).items()
        }
    except (DecodeError, TypeError, ValueError, IndexError) as error:
        raise ServingError(
            grpc.StatusCode.INVALID_ARGUMENT,
            "Invalid SignatureDefs found in TfLite model: "
            "Cannot parse signature def found in flatbuffer.",
        ) from error
    for signature in signatures.values():
        for kind, infos, tensors in (
            ("input", signature.inputs, whole.inputs),
            ("output", signature.outputs, whole.outputs),
        ):
            for alias, info in infos.items():
                name = info.name if info.name in tensors else info.name.partition(":")[0]
                if name not in tensors:
                    raise ServingError(
                        _INTERNAL,
                        f"Unknown tensor '{info.name}'.\n\t"
                        f"Signature {kind} {alias} references an unknown tensor",
                    )
                info.name = name
    return signatures
