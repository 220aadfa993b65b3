"""Decides which signatures are small enough to run in the caller's thread.

That avoids thread switches, which take four fifths of a small graph's time. But the runtime checks
deadlines, and runs ops in parallel, only in threads of its own. So it is for graphs of few ops,
each of which runs once and waits for nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from tensorflow.core.framework import attr_value_pb2, graph_pb2, node_def_pb2

_MAX_OPS = 128
# Loops of TensorFlow 1, and ops that wait for something.
_MAY_WAIT = re.compile("Enter|NextIteration|Queue|Barrier|Stage|Iterator|PyFunc|Recv")


class SmallGraphs:
    """Counts the ops of a graph, and of the functions that it calls.

    Args:
        graph: The graph with its library of functions.
    """

    def __init__(self, graph: graph_pb2.GraphDef) -> None:
        self._nodes = {node.name: node for node in graph.node}
        self._functions = {f.signature.name: f.node_def for f in graph.library.function}
        self._sizes: dict[str, float] = {}

    def contain(self, tensors: Iterable[str]) -> bool:
        """Whether the ops that these tensors depend on are few and wait for nothing."""
        names = {tensor.partition(":")[0] for tensor in tensors}
        waiting, size = list(names), 0.0
        while waiting and size <= _MAX_OPS:
            node = self._nodes.get(waiting.pop())
            if node is None:
                return False
            size += self._size(node)
            inputs = {name.lstrip("^").partition(":")[0] for name in node.input} - names
            names |= inputs
            waiting.extend(inputs)
        return size <= _MAX_OPS

    def _size(self, node: node_def_pb2.NodeDef) -> float:
        """Returns the number of ops that a node runs; infinity if it is unknown."""
        called = [name for value in node.attr.values() for name in _functions(value)]
        if not called:
            return math.inf if _MAY_WAIT.search(node.op) else 1
        if not node.op.endswith(("PartitionedCall", "If", "Case")):
            return math.inf
        return 1 + sum(self._function_size(name) for name in called)

    def _function_size(self, name: str) -> float:
        if name not in self._sizes:
            self._sizes[name] = math.inf  # For a function that calls itself.
            self._sizes[name] = sum(map(self._size, self._functions.get(name, ())))
        return self._sizes[name]


def _functions(value: attr_value_pb2.AttrValue) -> list[str]:
    listed = [function.name for function in value.list.func]
    return [value.func.name, *listed] if value.HasField("func") else listed
