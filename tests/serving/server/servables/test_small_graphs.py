"""Which graphs count as small."""

from __future__ import annotations

import tensorflow as tf

from serving.server.servables.small_graphs import SmallGraphs
from tests.serving.saved_models import tensor


def small(function, *specs: tf.TensorSpec) -> bool:
    """Whether a graph that calls a function is small."""
    with tf.Graph().as_default() as graph:
        inputs = [tf.compat.v1.placeholder(spec.dtype, spec.shape) for spec in specs]
        output = tf.function(function, autograph=False)(*inputs)
    return SmallGraphs(graph.as_graph_def()).contain([output.name])


FLOATS = tensor(tf.float32, None)


def test_a_few_ops_are_small():
    assert small(lambda x: x / 2 + 2, FLOATS)


def test_many_ops_are_not():
    def many(x):
        for _ in range(200):
            x = x + x
        return x

    assert not small(many, FLOATS)


def test_ops_count_once_for_each_call_of_their_function():
    @tf.function(input_signature=[FLOATS])
    def thirty(x):
        for _ in range(30):
            x = x + x
        return x

    assert small(lambda x: thirty(thirty(x)), FLOATS)
    assert not small(lambda x: thirty(thirty(thirty(thirty(thirty(x))))), FLOATS)


def test_ops_count_once_however_often_their_outputs_are_used():
    def shared(x):
        for _ in range(60):
            x = tf.add_n([x] * 10)
        return x

    assert small(shared, FLOATS)


def test_branches_are_counted():
    def branches(x):
        return tf.cond(tf.reduce_sum(x) > 0, lambda: x + 1, lambda: x - 1)

    assert small(branches, FLOATS)

    def long_branch(x):
        def long():
            y = x
            for _ in range(200):
                y = y + x
            return y

        return tf.cond(tf.reduce_sum(x) > 0, long, lambda: x - 1)

    assert not small(long_branch, FLOATS)


def test_a_loop_is_not_small_wherever_it_is():
    def loop(x):
        return tf.while_loop(lambda y: tf.reduce_sum(y) < 9, lambda y: y + 1, [x])[0]

    @tf.function(input_signature=[FLOATS])
    def inside(x):
        return loop(x)

    assert not small(loop, FLOATS)
    assert not small(lambda x: inside(x), FLOATS)
    assert not small(lambda x: tf.cond(x[0] > 0, lambda: loop(x), lambda: x), FLOATS)
    assert not small(lambda x: tf.map_fn(lambda y: y + 1, x), FLOATS)


def test_a_loop_of_tensorflow_1_is_not_small():
    tf.compat.v1.disable_control_flow_v2()
    try:
        with tf.Graph().as_default() as graph:
            x = tf.compat.v1.placeholder(tf.float32)
            looped = tf.while_loop(lambda y: y < 9, lambda y: y + 1, [x])
            y = tf.identity(looped)
            beside = x + 1
        graphs = SmallGraphs(graph.as_graph_def())
    finally:
        tf.compat.v1.enable_control_flow_v2()
    assert not graphs.contain([y.name])
    assert graphs.contain([beside.name])


def test_an_op_that_waits_is_not_small():
    with tf.Graph().as_default() as graph:
        queue = tf.queue.FIFOQueue(1, [tf.float32], [[]])
        y = queue.dequeue()
    assert not SmallGraphs(graph.as_graph_def()).contain([y.name])


def test_a_tensor_that_is_not_there_is_not_small():
    assert not SmallGraphs(tf.Graph().as_graph_def()).contain(["gone:0"])
