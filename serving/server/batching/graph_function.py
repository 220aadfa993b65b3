"""Turns the part of a graph between some tensors and others into a function.

This works for graphs of TensorFlow 1 and 2: operations are copied unchanged, and tensors that they
read from outside the part, mostly variables, become further arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import tensorflow as tf
from tensorflow.core.framework import function_pb2, op_def_pb2

# A loop of TensorFlow 1 is a frame that operations enter; the whole loop goes into the function.
_ENTERS_FRAME = ("Enter", "RefEnter")


def between(
    feeds: Iterable[tf.Tensor], fetches: Iterable[tf.Tensor]
) -> tuple[list[tf.Operation], list[tf.Operation]]:
    """Returns the operations between feeds and fetches, and their control inputs from outside.

    Raises:
        ValueError: One of them changes a variable of TensorFlow 1, which functions cannot do.
    """
    fed = {feed.ref() for feed in feeds}
    needed: dict[tf.Operation, None] = {}
    stack = [fetch.op for fetch in fetches if fetch.ref() not in fed]
    while stack:
        operation = stack.pop()
        if operation not in needed:
            needed[operation] = None
            stack += [tensor.op for tensor in operation.inputs if tensor.ref() not in fed]
            stack += operation.control_inputs
    readers: dict[tf.Operation, list[tf.Operation]] = {}
    stack = []
    for operation in needed:
        if operation.type in _ENTERS_FRAME or any(t.ref() in fed for t in operation.inputs):
            stack.append(operation)
        for before in (*(t.op for t in operation.inputs), *operation.control_inputs):
            readers.setdefault(before, []).append(operation)
    inside: dict[tf.Operation, None] = {}
    while stack:
        operation = stack.pop()
        if operation not in inside:
            inside[operation] = None
            stack += readers.get(operation, [])
    for operation in inside:
        if any(argument.is_ref for argument in operation.op_def.input_arg):
            raise ValueError(f"{operation.name} changes a variable in place")
    # Constants go inside as well, where the runtime can fold them.
    constants = {t.op: None for op in inside for t in op.inputs if t.op.type == "Const"}
    waited = {
        before: None
        for operation in inside
        for before in operation.control_inputs
        if before not in inside and before not in constants and before in needed
    }
    return [*inside, *(op for op in constants if op not in inside)], list(waited)


def captured(
    inside: Sequence[tf.Operation], feeds: Iterable[tf.Tensor], fetches: Iterable[tf.Tensor]
) -> list[tf.Tensor]:
    """Returns the tensors that come from outside, each once."""
    known, fed = set(inside), {feed.ref() for feed in feeds}
    read = [*(tensor for operation in inside for tensor in operation.inputs), *fetches]
    outside = {t.ref(): t for t in read if t.op not in known and t.ref() not in fed}
    return list(outside.values())


def function(
    name: str,
    operations: Iterable[tf.Operation],
    arguments: Sequence[tf.Tensor],
    results: Sequence[tf.Tensor],
) -> function_pb2.FunctionDef:
    """Returns operations of a graph as a function from some of its tensors to others."""
    definition = function_pb2.FunctionDef(signature=op_def_pb2.OpDef(name=name))
    names = {}
    for i, argument in enumerate(arguments):
        names[argument.ref()] = f"{name}_argument_{i}".lower()
        definition.signature.input_arg.add(
            name=names[argument.ref()], type=argument.dtype.base_dtype.as_datatype_enum
        )
    fed = {argument.op for argument in arguments if argument.op.type == "Placeholder"}
    operations = [operation for operation in operations if operation not in fed]
    known = set(operations)

    def reference(tensor: tf.Tensor) -> str:
        return names.get(tensor.ref()) or _output_name(tensor)

    for operation in operations:
        node = definition.node_def.add()
        node.CopyFrom(operation.node_def)
        controls = [before.name for before in operation.control_inputs if before in known]
        node.input[:] = [
            *(reference(tensor) for tensor in operation.inputs),
            *(f"^{control}" for control in controls),
        ]
        # Neither device groups of the graph nor shapes that requests need not have.
        node.attr.pop("_class", None)
        node.attr.pop("_output_shapes", None)
        definition.signature.is_stateful |= operation.op_def.is_stateful
    for i, result in enumerate(results):
        definition.signature.output_arg.add(
            name=f"result_{i}", type=result.dtype.base_dtype.as_datatype_enum
        )
        definition.ret[f"result_{i}"] = reference(result)
    return definition


def _output_name(tensor: tf.Tensor) -> str:
    """Returns a tensor's name in a function's body: operation, output, index in the output."""
    index = tensor.value_index
    attributes = tensor.op.node_def.attr
    for output in tensor.op.op_def.output_arg:
        count = 1
        if output.number_attr:
            count = attributes[output.number_attr].i
        elif output.type_list_attr:
            count = len(attributes[output.type_list_attr].list.type)
        if index < count:
            return f"{tensor.op.name}:{output.name}:{index}"
        index -= count
    raise ValueError(f"{tensor.name} is no output of {tensor.op.name}")
