"""Puts a part of a SavedModel's graph behind TensorFlow's batch op.

`BatchFunction` runs the scheduler that TensorFlow Serving uses too. It concatenates the inputs of
several runs, calls a function on them once, and splits the outputs. No Python is involved: the
function itself reports, row by row, its batch's size and when the batch started and ended.

Counterpart: tensorflow/core/kernels/batch_kernels.cc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import (
    attr_value_pb2,
    function_pb2,
    graph_pb2,
    versions_pb2,
)

from serving.server.batching import graph_function

# Columns of the last output of a batched function, float64 [rows, 5]; see `make`.
SIZE, START, END, ROW, PADDING = range(5)


@dataclass(frozen=True)
class Batched:
    """A function in a graph, ready to be batched.

    Attributes:
        function: Its name.
        placeholders: Tensors that a run feeds, in the order of the feeds.
        inputs: The tensors to batch, computed from the placeholders; rows along dimension 0.
        captured: Tensors of the graph that the function reads.
        controls: Operations that must run before.
        dtypes: The dtypes of its outputs.
    """

    function: str
    placeholders: list[tf.Tensor]
    inputs: list[tf.Tensor]
    captured: list[tf.Tensor]
    controls: list[tf.Operation]
    dtypes: list[tf.DType]


def make(
    graph: tf.Graph,
    feeds: Sequence[tf.Tensor],
    fetches: Sequence[tf.Tensor],
    name: str,
    *,
    pad: Sequence[int] = (),
    count_padding: bool = False,
) -> Batched:
    """Adds a function to a graph that computes `fetches` from `feeds`.

    Its last output is float64 [rows, 5]: the batch's size, the seconds since the epoch when it
    started and when it ended, the row's number in it, and the number of its rows that are padding.

    Args:
        graph: The graph; it grows.
        feeds: Tensors that become arguments.
        fetches: Tensors to return.
        name: A name that is unique in the graph.
        pad: Rank of each feed, if inputs shorter than others of their batch are padded with their
            first element; empty for no padding.
        count_padding: Whether batches may be padded with rows, which are then counted.

    Raises:
        ValueError: A part of the graph cannot become a function.
    """
    inside, controls = graph_function.between(feeds, fetches)
    captured = graph_function.captured(inside, feeds, fetches)
    body = graph_function.function(f"{name}_body", inside, [*feeds, *captured], fetches)
    with graph.as_default(), graph.name_scope(name), tf.device(None):
        placeholders = [tf.compat.v1.placeholder(feed.dtype.base_dtype) for feed in feeds]
        rows = tf.raw_ops.Shape(input=placeholders[0], out_type=tf.int64)[0]
        inputs: list[tf.Tensor] = []
        for placeholder, rank in zip(placeholders, pad or [1] * len(feeds), strict=True):
            inputs += _packed(placeholder, rank)
        if count_padding:
            inputs.append(
                tf.random.uniform(tf.expand_dims(rows, 0), maxval=2**63 - 1, dtype=tf.int64)
            )
    wrapper = _wrapper(name, body, feeds, fetches, captured, inputs, pad, count_padding)
    with graph.as_default():
        tf.import_graph_def(
            graph_pb2.GraphDef(
                library=function_pb2.FunctionDefLibrary(function=[body, wrapper]),
                versions=versions_pb2.VersionDef(producer=graph.graph_def_versions.producer),
            ),
            name="",
        )
    dtypes = [*(fetch.dtype.base_dtype for fetch in fetches), tf.float64]
    return Batched(name, placeholders, inputs, captured, controls, dtypes)


def add_queue(graph: tf.Graph, batched: Batched, queue: str, options: dict[str, Any]) -> list[Any]:
    """Adds a new queue in front of a function; returns the tensors to fetch.

    Args:
        graph: The graph; it grows.
        batched: The function.
        queue: A name that is unique in the graph.
        options: Attributes of BatchFunction.
    """
    with graph.as_default(), tf.control_dependencies(batched.controls), tf.device(None):
        return tf.raw_ops.BatchFunction(
            in_tensors=batched.inputs,
            captured_tensors=batched.captured,
            f=attr_value_pb2.NameAttrList(name=batched.function),
            Tout=batched.dtypes,
            # One resource, thus one thread pool, for all queues of a session.
            shared_name="batching",
            batching_queue=queue,
            name=queue,
            **options,
        )


def _packed(x: tf.Tensor, rank: int) -> list[tf.Tensor]:
    """Returns the tensors to batch for a feed: itself, or ragged rows, their sizes and padding."""
    if rank < 2:
        return [x]
    shape = tf.raw_ops.Shape(input=x, out_type=tf.int64)
    rows = shape[0]
    flat = tf.reshape(x, [-1])
    splits = tf.range(rows + 1) * tf.reduce_prod(shape[1:])
    return [
        tf.raw_ops.RaggedTensorToVariant(
            rt_nested_splits=[splits], rt_dense_values=flat, batched_input=True
        ),
        tf.tile(shape[tf.newaxis, 1:], [rows, 1]),
        tf.fill([rows], flat[0]),
    ]


def _unpacked(packed: Sequence[tf.Tensor], dtype: tf.DType, rank: int) -> tf.Tensor:
    """Returns rows of equal size: each dimension is padded to the longest."""
    if rank < 2:
        return packed[0]
    encoded, sizes, padding_value = packed
    flat = tf.raw_ops.RaggedTensorFromVariant(
        encoded_ragged=encoded,
        input_ragged_rank=0,
        output_ragged_rank=1,
        Tvalues=dtype,
        Tsplits=tf.int64,
    ).output_dense_values
    longest = tf.reduce_max(sizes, axis=0)
    taken = tf.constant(True)
    for axis in range(1, rank):
        places = tf.reshape(
            tf.range(longest[axis - 1]), [-1 if i == axis else 1 for i in range(rank)]
        )
        size = tf.reshape(sizes[:, axis - 1], [-1] + [1] * (rank - 1))
        taken = tf.logical_and(taken, places < size)
    # The values are in the order of the places that are taken.
    place = tf.cumsum(tf.reshape(tf.cast(taken, tf.int64), [-1])) - 1
    values = tf.reshape(tf.gather(flat, tf.maximum(place, 0)), tf.shape(taken))
    return tf.where(taken, values, tf.reshape(padding_value, [-1] + [1] * (rank - 1)))


def _wrapper(
    name: str,
    body: function_pb2.FunctionDef,
    feeds: Sequence[tf.Tensor],
    fetches: Sequence[tf.Tensor],
    captured: Sequence[tf.Tensor],
    inputs: Sequence[tf.Tensor],
    pad: Sequence[int],
    count_padding: bool,
) -> function_pb2.FunctionDef:
    """Returns the function that unpacks a batch, calls the body and reports size and times."""
    with tf.Graph().as_default() as graph:
        batch = [tf.compat.v1.placeholder(tensor.dtype) for tensor in inputs]
        kept = [tf.compat.v1.placeholder(tensor.dtype.base_dtype) for tensor in captured]
        with tf.control_dependencies(batch):
            start = tf.raw_ops.Timestamp()
        size = tf.raw_ops.Shape(input=batch[0], out_type=tf.int64)[0]
        arguments, remaining = [], list(batch)
        for feed, rank in zip(feeds, pad or [1] * len(feeds), strict=True):
            packed = [remaining.pop(0) for _ in range(3 if rank > 1 else 1)]
            arguments.append(_unpacked(packed, feed.dtype.base_dtype, rank))
        with tf.control_dependencies([start]):
            outputs = tf.raw_ops.StatefulPartitionedCall(
                args=[*arguments, *kept],
                Tout=[fetch.dtype.base_dtype for fetch in fetches],
                f=attr_value_pb2.NameAttrList(name=body.signature.name),
            )
        with tf.control_dependencies(outputs):
            end = tf.raw_ops.Timestamp()
        padding = tf.constant(0, tf.int64)
        if count_padding:
            # Padding repeats the first row, including its random number.
            (numbers,) = remaining
            padding = tf.math.count_nonzero(tf.equal(numbers, numbers[0])) - 1
        columns = [tf.cast(size, tf.float64), start, end, tf.cast(padding, tf.float64)]
        size_column, start_column, end_column, padding_column = (
            tf.fill([size], column) for column in columns
        )
        row_column = tf.cast(tf.range(size), tf.float64)
        report = tf.stack(
            [size_column, start_column, end_column, row_column, padding_column], axis=1
        )
        operations = graph.get_operations()
        return graph_function.function(name, operations, [*batch, *kept], [*outputs, report])
