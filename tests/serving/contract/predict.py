"""Predict: which model, which signature, which inputs, what the runtime says, what is answered."""

from __future__ import annotations

import numpy as np

from serving.protocol import messages
from tests.serving.contract.cases import PREDICT, Case, answered, predict

X = [1.0, 2.0]
LONG = "signature" * 200

# Which model. servables/tensorflow/predict_impl.cc, model_servers/server_core.cc, core/manager.h
NAMING = [
    Case(
        "no model_spec",
        PREDICT,
        messages.PredictRequest(),
        "INVALID_ARGUMENT",
        "Missing ModelSpec",
    ),
    Case(
        "an empty model name",
        PREDICT,
        predict("", x=X),
        "INVALID_ARGUMENT",
        "ModelSpec has no name specified.",
    ),
    Case(
        "an unknown model",
        PREDICT,
        predict("nobody", x=X),
        "NOT_FOUND",
        "Servable not found for request: Latest(nobody)",
    ),
    Case(
        "an unknown version",
        PREDICT,
        predict("half_plus_two", version=7, x=X),
        "NOT_FOUND",
        "Servable not found for request: Specific(half_plus_two, 7)",
    ),
    Case(
        "version 0, which is not the latest",
        PREDICT,
        predict("half_plus_two", version=0, x=X),
        "NOT_FOUND",
        "Servable not found for request: Specific(half_plus_two, 0)",
    ),
    Case(
        "a version of an unknown model",
        PREDICT,
        predict("nobody", version=-1, x=X),
        "NOT_FOUND",
        "Servable not found for request: Specific(nobody, -1)",
    ),
    Case(
        "an unknown label",
        PREDICT,
        predict("half_plus_two", label="stable", x=X),
        "INVALID_ARGUMENT",
        "Unrecognized servable version label: stable",
    ),
    Case(
        "an empty label",
        PREDICT,
        predict("half_plus_two", x=X).SerializeToString() + bytes.fromhex("0a022200"),
        "INVALID_ARGUMENT",
        "Unrecognized servable version label: ",
    ),
    Case(
        "version and label, of which the last one counts",
        PREDICT,
        predict("half_plus_two", version=1, label="stable", x=X),
        "INVALID_ARGUMENT",
        "Unrecognized servable version label: stable",
    ),
    Case(
        "a text too long for a status",
        PREDICT,
        predict(LONG, x=X),
        "NOT_FOUND",
        f"Servable not found for request: Latest({LONG}"[:1024] + "...TRUNCATED",
    ),
]

# Which signature, which inputs. servables/tensorflow/predict_util.cc, cc/saved_model/util.cc
INPUTS = [
    Case(
        "an unknown signature",
        PREDICT,
        predict("half_plus_two", signature="classify", x=X),
        "FAILED_PRECONDITION",
        'Serving signature key "classify" not found.',
    ),
    Case(
        "an unknown signature comes before wrong inputs",
        PREDICT,
        predict("half_plus_two", signature="classify"),
        "FAILED_PRECONDITION",
        'Serving signature key "classify" not found.',
    ),
    Case(
        "no inputs",
        PREDICT,
        predict("sum_and_difference"),
        "INVALID_ARGUMENT",
        "input size does not match signature: 0!=2 len({}) != len({a,b}). Sent extra: {}. "
        "Missing but required: {a,b}.",
    ),
    Case(
        "too few inputs",
        PREDICT,
        predict("sum_and_difference", a=X),
        "INVALID_ARGUMENT",
        "input size does not match signature: 1!=2 len({a}) != len({a,b}). Sent extra: {}. "
        "Missing but required: {b}.",
    ),
    Case(
        "too many inputs",
        PREDICT,
        predict("half_plus_two", z=X, x=X, a=X),
        "INVALID_ARGUMENT",
        "input size does not match signature: 3!=1 len({a,x,z}) != len({x}). Sent extra: {a,z}. "
        "Missing but required: {}.",
    ),
    Case(
        "a misnamed input",
        PREDICT,
        predict("sum_and_difference", a=X, c=X),
        "INVALID_ARGUMENT",
        "Signature input alias: b(feed name: serving_default_b:0) not found in request and no "
        "default value provided. Inputs expected to be in the request {a,c}, or default input "
        "alias set: ",
    ),
    Case(
        "a required input left out where another one has a default",
        PREDICT,
        predict("scale", factor=3.0),
        "INVALID_ARGUMENT",
        "Signature input alias: x(feed name: serving_default_x:0) not found in request and no "
        "default value provided. Inputs expected to be in the request {factor}, or default input "
        "alias set: factor",
    ),
    Case(
        "an input with a default under another name",
        PREDICT,
        predict("scale", x=X, power=3.0),
        "INVALID_ARGUMENT",
        "Inputs contains invalid name. Used request inputs: x, request input: power,x",
    ),
    Case(
        "wrong inputs come before a wrong output filter",
        PREDICT,
        predict("half_plus_two", outputs=["z"]),
        "INVALID_ARGUMENT",
        "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. "
        "Missing but required: {x}.",
    ),
    Case(
        "an unknown output",
        PREDICT,
        predict("sum_and_difference", outputs=["sum", "product"], a=X, b=X),
        "INVALID_ARGUMENT",
        "output tensor alias not found in signature: product Outputs expected to be in the set "
        "{difference,sum}.",
    ),
    Case(
        "an output twice",
        PREDICT,
        predict("sum_and_difference", outputs=["sum", "sum"], a=X, b=X),
        "INVALID_ARGUMENT",
        "duplicate output tensor alias: sum",
    ),
    Case(
        "the signature that initialises",
        PREDICT,
        predict("half_plus_two", signature="__saved_model_init_op"),
        "OUT_OF_RANGE",
        "Node 'NoOp' (type: 'NoOp', num of outputs: 0) does not have output 0",
    ),
]

# What a TensorProto must be. tensorflow/core/framework/tensor.cc
TENSORS = [
    Case(name, PREDICT, request, "INVALID_ARGUMENT", text)
    for name, request, text in [
        ("no dtype", predict("half_plus_two", x="0 2"), "tensor parsing error: x"),
        ("an unknown dtype", predict("half_plus_two", x="99 2"), "tensor parsing error: x"),
        ("a negative size", predict("half_plus_two", x="1 -1"), "tensor parsing error: x"),
        (
            "content that is too short",
            predict("half_plus_two", x="1 2 tensor_content=00"),
            "tensor parsing error: x",
        ),
        (
            "a size beyond all memory",
            predict("half_plus_two", x=f"1 {2**50}"),
            "tensor parsing error: x",
        ),
        (
            "sizes whose product overflows",
            predict("half_plus_two", x=f"1 {2**40}x{2**40}x0"),
            "tensor parsing error: x",
        ),
        (
            "strings whose content ends too early",
            predict("echo", text="7 2 tensor_content=0102"),
            "tensor parsing error: text",
        ),
    ]
]

# What the runtime says itself.
RUNTIME = [
    Case(
        "doubles where floats are wanted",
        PREDICT,
        predict("half_plus_two", x="2 1 double_val=1"),
        "INVALID_ARGUMENT",
        "Expects arg[0] to be float but double is provided",
    ),
    Case(
        "integers for the second input in the order of names",
        PREDICT,
        predict("sum_and_difference", b="3 1 int_val=1", a=X),
        "INVALID_ARGUMENT",
        "Expects arg[1] to be float but int32 is provided",
    ),
    Case(
        "numbers where strings are wanted",
        PREDICT,
        predict("echo", text=X),
        "INVALID_ARGUMENT",
        "Expects arg[0] to be string but float is provided",
    ),
    *(
        Case(
            f"{name} where floats are wanted",
            PREDICT,
            predict("half_plus_two", x=f"{number} 1 {values}"),
            "INVALID_ARGUMENT",
            f"Expects arg[0] to be float but {name} is provided",
        )
        for name, number, values in [
            ("qint8", 11, "int_val=-1"),
            ("quint8", 12, "int_val=200"),
            ("qint32", 13, "tensor_content=01000000"),
            ("qint16", 15, ""),
            ("quint16", 16, "int_val=1"),
            ("variant", 21, ""),
        ]
    ),
    Case(
        "a variant for the second input",
        PREDICT,
        predict("sum_and_difference", a=X, b="21 1"),
        "INVALID_ARGUMENT",
        "Expects arg[1] to be float but variant is provided",
    ),
    Case(
        "sizes that an operation cannot bring together",
        PREDICT,
        predict("sum_and_difference", a=[1.0, 2.0], b=[1.0, 2.0, 3.0]),
        "INVALID_ARGUMENT",
        "Incompatible shapes: [2] vs. [3]\n\t [[{{function_node …}}{{node …}}]]",
    ),
    Case(
        "pixels that make no whole image",
        PREDICT,
        predict("flatten", images=np.zeros(10)),
        "INVALID_ARGUMENT",
        "Input to reshape is a tensor with 10 values, but the requested shape requires a multiple "
        "of 4\n\t [[{{function_node …}}{{node …}}]]",
    ),
]

Y = "1 2 float_val=2.5,3"

ANSWERS = [
    Case(name, PREDICT, request, "OK", answer=answered(model, **outputs))
    for name, model, request, outputs in [
        (
            "the default signature of the latest version",
            "half_plus_two",
            predict("half_plus_two", x=X),
            {"y": Y},
        ),
        (
            "signature and version by name",
            "half_plus_two",
            predict("half_plus_two", version=1, signature="serving_default", x=X),
            {"y": Y},
        ),
        (
            "a label and then a version, of which the last one counts",
            "half_plus_two",
            predict("half_plus_two", label="stable", x=X).SerializeToString()
            + predict("half_plus_two", version=1).SerializeToString(),
            {"y": Y},
        ),
        (
            "an empty batch",
            "half_plus_two",
            predict("half_plus_two", x="1 0"),
            {"y": "1 0"},
        ),
        (
            "a shape that the signature does not have but the operations take",
            "half_plus_two",
            predict("half_plus_two", x="1 1x2 float_val=1,2"),
            {"y": "1 1x2 float_val=2.5,3"},
        ),
        (
            "a scalar where the signature has a dimension",
            "half_plus_two",
            predict("half_plus_two", x="1 scalar float_val=1"),
            {"y": "1 scalar float_val=2.5"},
        ),
        (
            "an unknown rank, which is a scalar's",
            "half_plus_two",
            predict("half_plus_two", x="1 unknown float_val=1"),
            {"y": "1 scalar float_val=2.5"},
        ),
        (
            "a short list of values, whose last one repeats",
            "half_plus_two",
            predict("half_plus_two", x="1 3 float_val=1,2"),
            {"y": "1 3 float_val=2.5,3,3"},
        ),
        (
            "no values, which are zeros",
            "half_plus_two",
            predict("half_plus_two", x="1 2"),
            {"y": "1 2 float_val=2,2"},
        ),
        (
            "values in another dtype's field, which count for none",
            "half_plus_two",
            predict("half_plus_two", x="1 1 int_val=8"),
            {"y": "1 1 float_val=2"},
        ),
        (
            "surplus values",
            "half_plus_two",
            predict("half_plus_two", x="1 1 float_val=1,2,3"),
            {"y": "1 1 float_val=2.5"},
        ),
        (
            "all outputs",
            "sum_and_difference",
            predict("sum_and_difference", a=[3.0], b=[1.0]),
            {"sum": "1 1 float_val=4", "difference": "1 1 float_val=2"},
        ),
        (
            "one output of two",
            "sum_and_difference",
            predict("sum_and_difference", outputs=["difference"], a=[3.0], b=[1.0]),
            {"difference": "1 1 float_val=2"},
        ),
        (
            "an image without its batch dimension",
            "flatten",
            predict("flatten", images="1 2x2x1 float_val=1,2,3,4"),
            {"pixels": "1 1x4 float_val=1,2,3,4"},
        ),
        (
            "strings, which hold any bytes",
            "echo",
            predict("echo", text="7 3 string_val=,00ff,6100"),
            {"text": "7 3 string_val=,00ff,6100"},
        ),
        (
            "one string with a zero byte at its end",
            "echo",
            predict("echo", text="7 scalar string_val=6100"),
            {"text": "7 scalar string_val=6100"},
        ),
        (
            "strings as content",
            "echo",
            predict("echo", text="7 2 tensor_content=0102616262"),
            {"text": "7 2 string_val=61,6262"},
        ),
        (
            "the default of an input that is left out",
            "scale",
            predict("scale", x=X),
            {"y": "1 2 float_val=3,6"},
        ),
        (
            "another value than the default",
            "scale",
            predict("scale", x=X, factor=2.0),
            {"y": "1 2 float_val=2,4"},
        ),
    ]
]

CASES = [*NAMING, *INPUTS, *TENSORS, *RUNTIME, *ANSWERS]
