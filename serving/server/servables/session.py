"""TensorFlow's session, called the way TensorFlow Serving calls it.

The only module that uses TensorFlow's private entry points; it relies on tensorflow==2.21.0.
`TF_SessionRun_wrapper` runs the same DirectSession as the C++ server, with the runtime's own
messages and deadlines; it releases the interpreter lock, and costs a tenth of calling a
signature of `tf.saved_model.load`.
"""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, saved_model_pb2
from tensorflow.python.client import pywrap_tf_session
from tensorflow.python.framework import op_def_registry

from serving.errors import ServingError
from serving.server import thread_pool
from serving.server.servables.small_graphs import SmallGraphs

_CODES = {code.value[0]: code for code in grpc.StatusCode}
# Beyond this the runtime's clock overflows; gRPC gives calls without a deadline 10^18 seconds.
_LONGEST_TIMEOUT = 1e9
# A small graph runs in the caller's thread if it is fed with no more than this.
_SMALL_BYTES = 1 << 16
# A run that takes no longer is not worth another thread's company.
_QUICK_SECONDS = 0.0005
_AT_ONCE = contextlib.nullcontext()
_IN_CALLER = pywrap_tf_session.TF_NewBufferFromString(
    config_pb2.RunOptions(inter_op_thread_pool=-1).SerializeToString()
)


class Session:
    """A SavedModel loaded into a session of its own.

    Attributes:
        signatures: Its signatures by key.
        on_gpu: Whether it may use a GPU.
    """

    signatures: dict[str, meta_graph_pb2.SignatureDef]
    on_gpu: bool

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
            config: How the session is set up; TensorFlow's defaults without one.

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
        """Runs the graph once.

        Args:
            feeds: Array of each tensor to feed, by the tensor's name.
            fetches: Names of the tensors to return.
            timeout: Seconds after which the runtime gives up; None, or decades, for never.

        Raises:
            ServingError: With the runtime's code and text.
        """
        inputs = {self._outputs.get(name): array for name, array in feeds.items()}
        outputs = [self._outputs.get(name) for name in fetches]
        if None in inputs or None in outputs:
            raise _not_found(next(n for n in (*feeds, *fetches) if not self._outputs.get(n)))
        size = sum([array.nbytes for array in feeds.values()])
        small = size <= _SMALL_BYTES and self._small.issuperset(fetches)
        # Nothing ends a run in the caller's thread early, which it has no time to need.
        options = _IN_CALLER if small else _options(timeout)
        outputs_key = tuple(fetches)
        quick = small and self._fastest.get(outputs_key, 0.0) < _QUICK_SECONDS
        try:
            with _AT_ONCE if quick else thread_pool.waiting():
                begun = time.perf_counter()
                results = pywrap_tf_session.TF_SessionRun_wrapper(
                    self._session._session, options, inputs, outputs, [], None
                )
            if small:
                # The fastest of late: others may have waited for the interpreter's lock.
                before = self._fastest.get(outputs_key, 1.0)
                self._fastest[outputs_key] = min(1.1 * before, time.perf_counter() - begun)
        except tf.errors.OpError as error:
            raise _serving_error(error) from error
        except UnicodeDecodeError as error:
            # TensorFlow's wrapper fails to make an exception of a text that quotes bytes of the
            # request, and loses its code. It is the request that is wrong then.
            text = bytes(error.object).decode("utf-8", "replace")
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, text) from error
        finally:
            if options is not None and not small:
                pywrap_tf_session.TF_DeleteBuffer(options)
        # A single string comes as bytes, of which NumPy's own type would cut zero bytes off.
        return [
            np.array(result, object) if type(result) is bytes else np.asarray(result)
            for result in results
        ]

    @property
    def graph(self) -> tf.Graph:
        """The graph; what is added to it must be made known with `extend`."""
        return self._session.graph

    def tensor(self, name: str) -> tf.Tensor | None:
        """Returns a tensor of the graph; None if it has no such tensor."""
        operation, _, index = name.partition(":")
        try:
            return self.graph.get_tensor_by_name(f"{operation}:{index or 0}")
        except (KeyError, ValueError):
            return None

    def extend(self, tensors: Iterable[tf.Tensor]) -> None:
        """Makes operations that were added to the graph known, so that their tensors can be run.

        Runs in other threads go on. Calls must not overlap, nor overlap changes of the graph.
        """
        self._session._extend_graph()
        self._outputs |= {tensor.name: tensor._as_tf_output() for tensor in tensors}

    def close(self) -> None:
        """Frees the session's memory."""
        self._session.close()


def _output(graph: tf.Graph, name: str) -> Any:
    """Returns the handle of a tensor, or None if a signature names what the graph lacks."""
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
    """Returns RunOptions in a buffer that is to be deleted, or None for the runtime's own."""
    if timeout is None or timeout >= _LONGEST_TIMEOUT:
        return None
    proto = config_pb2.RunOptions(timeout_in_ms=max(1, int(timeout * 1000)))
    return pywrap_tf_session.TF_NewBufferFromString(proto.SerializeToString())


def _checked(path: Path, tags: Sequence[str]) -> saved_model_pb2.SavedModel | None:
    """Returns the SavedModel's message, or none if it is kept as text.

    Raises with TensorFlow Serving's words where TensorFlow's Python loader has its own.
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

    TensorFlow Serving's binaries carry its ops. It is imported for those models alone, as it makes
    a start longer; where it is not installed, loading says which op is missing.
    """
    for graph in (meta_graph.graph_def for meta_graph in saved_model.meta_graphs):
        functions = {function.signature.name for function in graph.library.function}
        bodies = (function.node_def for function in graph.library.function)
        names = {node.op for nodes in (graph.node, *bodies) for node in nodes}
        if any(op_def_registry.get(name) is None for name in names - functions):
            with contextlib.suppress(ImportError):
                importlib.import_module("tensorflow_text")


def _first(error: tf.errors.OpError) -> tf.errors.OpError:
    """Returns the runtime's own error, which the loader wraps in advice and errors of its own."""
    first, cause = error, error.__cause__ or error.__context__
    while cause:
        if isinstance(cause, tf.errors.OpError):
            first = cause
        cause = cause.__cause__ or cause.__context__
    return first


def _serving_error(error: tf.errors.OpError) -> ServingError:
    return ServingError(_CODES.get(error.error_code, grpc.StatusCode.UNKNOWN), error.message)
