"""A SavedModel in TensorFlow's session, called the way TensorFlow Serving calls it.

This is the only module that uses TensorFlow's private entry points; it relies on
tensorflow==2.21.0. `TF_SessionRun_wrapper` runs the same DirectSession as the C++ server, with the
runtime's own messages and deadlines; it releases the interpreter lock, and costs a tenth of
calling a signature of `tf.saved_model.load`.

Counterpart: tensorflow/cc/saved_model/loader.cc, `SavedModelBundle`.
"""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import config_pb2, saved_model_pb2
from tensorflow.python.client import pywrap_tf_session
from tensorflow.python.framework import op_def_registry

from serving.errors import ServingError
from serving.server import thread_pool
from serving.server.servables.base import Servable
from serving.server.servables.denormals import FLUSHED
from serving.server.servables.small_graphs import SmallGraphs

_CODES = {code.value[0]: code for code in grpc.StatusCode}
# Beyond this the runtime's clock overflows; gRPC gives calls without a deadline 10^18 seconds.
_MAX_TIMEOUT = 1e9
# Maximum size of inputs with which a small graph runs in the caller's thread.
_SMALL_BYTES = 1 << 16
# A run of at most this time does not let another thread run Python meanwhile.
_QUICK_SECONDS = 0.0005
_NOT_WAITING = contextlib.nullcontext()
_IN_CALLER = pywrap_tf_session.TF_NewBufferFromString(
    config_pb2.RunOptions(inter_op_thread_pool=-1).SerializeToString()
)


class Session(Servable):
    """A SavedModel loaded into a session of its own.

    Attributes:
        pools: Whether its graph has max pooling that needs a minimum size.
    """

    def __init__(
        self,
        path: Path,
        tags: Sequence[str] = ("serve",),
        config: config_pb2.ConfigProto | None = None,
    ) -> None:
        """Loads variables, tables and assets.

        Args:
            path: The SavedModel.
            tags: Tags of the graph to load.
            config: Options of the session; None for TensorFlow's defaults.

        Raises:
            ServingError: `path` holds no SavedModel, or a damaged one.
        """
        if saved_model := _checked(path, tags):
            _register_text_ops(saved_model)
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph, config=config)
        try:
            with graph.as_default():
                meta_graph = tf.compat.v1.saved_model.loader.load(
                    self._session, list(tags), str(path)
                )
        except tf.errors.OpError as error:
            self._session.close()
            raise _serving_error(_first(error)) from error
        except (RuntimeError, OSError, ValueError) as error:
            self._session.close()
            raise ServingError(grpc.StatusCode.NOT_FOUND, str(error)) from error
        self.signatures = dict(meta_graph.signature_def)
        self.on_gpu = any(device.device_type == "GPU" for device in self._session.list_devices())
        self._outputs = {
            info.name: _output(graph, info.name)
            for signature in self.signatures.values()
            for info in (*signature.inputs.values(), *signature.outputs.values())
        }
        self._fastest: dict[tuple[str, ...], float] = {}
        small = SmallGraphs(meta_graph.graph_def)
        self.pools = _pools(meta_graph.graph_def)
        self._small: set[str] = set()
        for signature in self.signatures.values():
            outputs = [info.name for info in signature.outputs.values()]
            if not self.on_gpu and small.contain(outputs):
                self._small.update(outputs)

    def run(
        self,
        feeds: Mapping[str, np.ndarray],
        fetches: Sequence[str],
        timeout: float | None = None,
    ) -> list[np.ndarray]:
        """See `Servable.run`."""
        inputs = {self._outputs.get(name): array for name, array in feeds.items()}
        outputs = [self._outputs.get(name) for name in fetches]
        if None in inputs or None in outputs:
            raise _not_found(next(n for n in (*feeds, *fetches) if not self._outputs.get(n)))
        size = sum([array.nbytes for array in feeds.values()])
        small = size <= _SMALL_BYTES and self._small.issuperset(fetches)
        # A run in the caller's thread ignores the deadline; it is too short to need one.
        options = _IN_CALLER if small else _options(timeout)
        outputs_key = tuple(fetches)
        quick = small and self._fastest.get(outputs_key, 0.0) < _QUICK_SECONDS
        try:
            with (
                _NOT_WAITING if quick else thread_pool.waiting(),
                FLUSHED if small else contextlib.nullcontext(),
            ):
                started = time.perf_counter()
                results = pywrap_tf_session.TF_SessionRun_wrapper(
                    self._session._session, options, inputs, outputs, [], None
                )
            if small:
                # The fastest recent run: slower ones may have waited for the interpreter's lock.
                before = self._fastest.get(outputs_key, 1.0)
                self._fastest[outputs_key] = min(1.1 * before, time.perf_counter() - started)
        except tf.errors.OpError as error:
            raise _serving_error(error) from error
        except UnicodeDecodeError as error:
            # TensorFlow's wrapper cannot make an exception of a text that quotes bytes of the
            # request, and loses its code. The request is wrong in that case.
            text = bytes(error.object).decode("utf-8", "replace")
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, text) from error
        finally:
            if options is not None and not small:
                pywrap_tf_session.TF_DeleteBuffer(options)
        # A single string comes as bytes, whose trailing zero bytes NumPy's own type would drop.
        return [
            np.array(result, object) if type(result) is bytes else np.asarray(result)
            for result in results
        ]

    def close(self) -> None:
        self._session.close()


def _pools(graph: graph_pb2.GraphDef) -> bool:
    """Whether an op takes the largest values of windows that may be larger than its input."""
    nodes = chain(graph.node, *(function.node_def for function in graph.library.function))
    return any(
        node.op.startswith("MaxPool") and node.attr["padding"].s != b"SAME" for node in nodes
    )


def _output(graph: tf.Graph, name: str) -> Any:
    """Returns the handle of a tensor, or None if the graph does not have it."""
    operation, _, index = name.partition(":")
    try:
        return graph.get_operation_by_name(operation)._tf_output(int(index or 0))
    except (KeyError, ValueError):
        return None


def _not_found(name: str) -> ServingError:
    operation, _, index = name.partition(":")
    return ServingError(
        grpc.StatusCode.INVALID_ARGUMENT,
        f"Tensor {operation}:{index or 0}, specified in either feed_devices or fetch_devices was "
        "not found in the Graph",
    )


def _options(timeout: float | None) -> Any:
    """Returns RunOptions in a buffer that the caller deletes, or None for the defaults."""
    if timeout is None or timeout >= _MAX_TIMEOUT:
        return None
    proto = config_pb2.RunOptions(timeout_in_ms=max(1, int(timeout * 1000)))
    return pywrap_tf_session.TF_NewBufferFromString(proto.SerializeToString())


def _checked(path: Path, tags: Sequence[str]) -> saved_model_pb2.SavedModel | None:
    """Returns the SavedModel's message, or None if it is saved as text.

    Raises with TensorFlow Serving's texts where TensorFlow's Python loader has others.
    """
    proto = path / "saved_model.pb"
    if not proto.exists() and not (path / "saved_model.pbtxt").exists():
        raise ServingError(
            grpc.StatusCode.NOT_FOUND,
            "Specified file path does not appear to contain a SavedModel bundle (should have a "
            f"file called `saved_model.pb`)\nSpecified file path: {path}",
        )
    if not proto.exists():
        return None
    try:
        saved_model = saved_model_pb2.SavedModel.FromString(proto.read_bytes())
    except DecodeError as error:
        raise ServingError(
            grpc.StatusCode.DATA_LOSS, f"Can't parse {proto} as binary proto"
        ) from error
    except OSError as error:
        denied = isinstance(error, PermissionError)
        code = grpc.StatusCode.PERMISSION_DENIED if denied else grpc.StatusCode.FAILED_PRECONDITION
        raise ServingError(code, f"{proto}; {error.strerror}") from error
    graphs = saved_model.meta_graphs
    if not any(set(graph.meta_info_def.tags) == set(tags) for graph in graphs):
        raise ServingError(
            grpc.StatusCode.NOT_FOUND,
            "Could not find meta graph def matching supplied tags: "
            f"{{ {' '.join(sorted(tags))} }}. To inspect available tag-sets in the SavedModel, "
            "please use the SavedModel CLI: `saved_model_cli`",
        )
    return saved_model


def _register_text_ops(saved_model: saved_model_pb2.SavedModel) -> None:
    """Imports TF-Text if a SavedModel names an op that only it can have registered.

    TensorFlow Serving's binaries contain its ops. It is imported for those models only, as it slows
    the start down; where it is not installed, loading says which op is missing.
    """
    for graph in (meta_graph.graph_def for meta_graph in saved_model.meta_graphs):
        functions = {function.signature.name for function in graph.library.function}
        bodies = (function.node_def for function in graph.library.function)
        names = {node.op for nodes in (graph.node, *bodies) for node in nodes}
        if any(op_def_registry.get(name) is None for name in names - functions):
            with contextlib.suppress(ImportError):
                importlib.import_module("tensorflow_text")


def _first(error: tf.errors.OpError) -> tf.errors.OpError:
    """Returns the runtime's error, which the loader wraps in advice and errors of its own."""
    first, cause = error, error.__cause__ or error.__context__
    while cause:
        if isinstance(cause, tf.errors.OpError):
            first = cause
        cause = cause.__cause__ or cause.__context__
    return first


def _serving_error(error: tf.errors.OpError) -> ServingError:
    return ServingError(_CODES.get(error.error_code, grpc.StatusCode.UNKNOWN), error.message)
