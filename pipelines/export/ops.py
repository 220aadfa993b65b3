"""Ops that a SavedModel needs, and those among them that model servers lack.

TensorFlow Serving registers TensorFlow's own ops, but none that call back into Python, and those
of TF-Text (`SUPPORTED_TENSORFLOW_OPS` in its `model_servers/BUILD`). Its releases up to 2.18 carry
TF-Text 2.12, so ops that were added later are rejected here. A server built without TF-Text does
not load a SavedModel that has one of its ops, in whichever signature: the version ends with
NOT_FOUND "Op type not registered".
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import saved_model_pb2

# Ops that split text into WordPieces.
TEXT_OPS = frozenset(
    {
        "CaseFoldUTF8",
        "FastWordpieceTokenizeWithOffsets",
        "NormalizeUTF8",
        "RegexSplitWithOffsets",
        "WordpieceTokenizeWithOffsets",
    }
)
_PYTHON_OPS = frozenset({"EagerPyFunc", "PyFunc", "PyFuncStateless"})


def ops(folder: Path) -> list[str]:
    """Returns the names of all ops in a SavedModel's graph and functions, sorted."""
    graph = _graph(folder)
    nodes = [*graph.node, *(node for body in graph.library.function for node in body.node_def)]
    functions = {body.signature.name for body in graph.library.function}
    return sorted({node.op for node in nodes} - functions)


def compiled(folder: Path) -> bool:
    """Returns whether a SavedModel has functions that XLA is to compile."""
    return any(body.attr["_XlaMustCompile"].b for body in _graph(folder).library.function)


def text_ops(names: Collection[str]) -> list[str]:
    """Returns those of `names` that are TF-Text's."""
    return sorted(TEXT_OPS & set(names))


def unservable(names: Collection[str], core: Collection[str]) -> list[str]:
    """Returns those of `names` that TensorFlow Serving does not register.

    Args:
        names: Ops of a SavedModel.
        core: Ops of TensorFlow itself.
    """
    return sorted((set(names) - set(core) - TEXT_OPS) | (set(names) & _PYTHON_OPS))


def _graph(folder: Path) -> graph_pb2.GraphDef:
    proto = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    return proto.meta_graphs[0].graph_def
