"""Malformed requests without end, the same ones from the same seed: bytes, messages, JSON."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.server.servables.signature_constants import CLASSIFY, REGRESS
from tests.serving.inference_models import classification, examples, regression, tasks
from tests.serving.saved_models import floats, request

MODELS = ["half_plus_two", "sum_and_difference", "echo", "flatten", "every_dtype", "classifier"]
EXAMPLES = "half_plus_two_of_examples"
NAMES = [*MODELS, EXAMPLES, "", "nobody", "../echo", "a\0b", "é" * 600]
WORDS = ["x", "a", "b", "text", "images", "serving_default", "inputs", "y", "signature_def", "\0"]
NUMBERS = [0, 1, 2, 3, -1, 7, 255, 2**31 - 1, -(2**31)]
LONG_NUMBERS = [*NUMBERS, 2**63 - 1, -(2**63)]
FLOATS = [0.0, 1.5, -1.0, float("nan"), float("inf"), 1e300]
BYTES = [b"", b"\0", b"\xff\xfe", b"text", b"\x0a\x05\x0a\x03abc"]

_PREDICTION = "/tensorflow.serving.PredictionService/"
_MODEL = "/tensorflow.serving.ModelService/"
METHODS: dict[str, type[Message]] = {
    f"{_PREDICTION}Predict": predict_pb2.PredictRequest,
    f"{_PREDICTION}Classify": classification_pb2.ClassificationRequest,
    f"{_PREDICTION}Regress": regression_pb2.RegressionRequest,
    f"{_PREDICTION}MultiInference": inference_pb2.MultiInferenceRequest,
    f"{_PREDICTION}GetModelMetadata": get_model_metadata_pb2.GetModelMetadataRequest,
    f"{_MODEL}GetModelStatus": get_model_status_pb2.GetModelStatusRequest,
    f"{_MODEL}HandleReloadConfigRequest": model_management_pb2.ReloadConfigRequest,
}


@dataclass(frozen=True)
class Malformed:
    """A request: a method and bytes over gRPC, or a path and a body over HTTP."""

    kind: str
    where: str
    content: bytes


def good_messages() -> list[tuple[str, Message]]:
    some = examples({"x": 1.0}, {"x": 2.0})
    return [
        (f"{_PREDICTION}Predict", request("half_plus_two", outputs=["y"], x=floats(1, 2))),
        (
            f"{_PREDICTION}Predict",
            request("sum_and_difference", a=floats(1, 2), b=floats(3, 4)),
        ),
        (f"{_PREDICTION}Predict", request("echo", text=[b"a", b"bc"])),
        (f"{_PREDICTION}Classify", classification(EXAMPLES, "classify_x_to_y", some)),
        (f"{_PREDICTION}Regress", regression(EXAMPLES, "regress_x_to_y", some)),
        (
            f"{_PREDICTION}MultiInference",
            tasks(
                some,
                (EXAMPLES, "classify_x_to_y", CLASSIFY),
                (EXAMPLES, "regress_x_to_y", REGRESS),
            ),
        ),
        (
            f"{_PREDICTION}GetModelMetadata",
            get_model_metadata_pb2.GetModelMetadataRequest(
                model_spec={"name": "echo"}, metadata_field=["signature_def"]
            ),
        ),
        (
            f"{_MODEL}GetModelStatus",
            get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "echo"}),
        ),
    ]


def over_grpc(seed: int) -> Iterator[Malformed]:
    """Yields bytes, good messages with wrong bytes, and messages of any content, in turn."""
    generator = random.Random(seed)
    good = [(method, message.SerializeToString()) for method, message in good_messages()]
    methods = list(METHODS)
    while True:
        # Small bytes are tags and lengths; others are mostly no message at all.
        size = generator.randrange(1, 80)
        small = bytes(generator.choices(range(32), k=size // 8))
        content = small if generator.randrange(2) else generator.randbytes(size)
        yield Malformed("bytes", generator.choice(methods), content)
        method, content = generator.choice(good)
        yield Malformed("changed message", method, changed(generator, content))
        method = generator.choice(methods)
        yield Malformed("any message", method, any_message(generator, METHODS[method]))


def over_http(seed: int) -> Iterator[Malformed]:
    """Yields bytes, good JSON with wrong bytes, JSON of any content, and paths, in turn."""
    generator = random.Random(seed)
    good = [
        (
            "half_plus_two:predict",
            b'{"instances": [1.0, {"b64": "AAA="}, 2], "signature_name": ""}',
        ),
        ("sum_and_difference:predict", b'{"inputs": {"a": [1.0, 2e3], "b": [-3, 4.5]}}'),
        ("echo:predict", b'{"instances": ["a\\u00e9", {"b64": "YWI="}]}'),
        (f"{EXAMPLES}:classify", b'{"examples": [{"x": 1.5}, {"x": [2.0]}], "context": {"y": 1}}'),
        (f"{EXAMPLES}:regress", b'{"signature_name": "regress_x_to_y", "examples": [{"x": 1}]}'),
    ]
    while True:
        where, _ = generator.choice(good)
        yield Malformed("bytes", where, generator.randbytes(generator.randrange(80)))
        where, body = generator.choice(good)
        yield Malformed("changed JSON", where, changed(generator, body))
        name, method = (
            generator.choice(MODELS),
            generator.choice(["predict", "classify", "regress"]),
        )
        yield Malformed("any JSON", f"{name}:{method}", any_json(generator))
        parts = [
            "..",
            "%2e%2e",
            "/",
            "%00",
            "%ff",
            ":",
            "echo",
            "versions",
            "labels",
            "1",
            "%c3%a9",
        ]
        path = "".join(generator.choices([*parts, "metadata", "predict", "?", "%"], k=5))
        yield Malformed("any path", path, b'{"instances": ["a"]}')


def changed(generator: random.Random, content: bytes) -> bytes:
    """Returns bytes of which some were changed, removed, added or cut off."""
    content_now = bytearray(content)
    for _ in range(generator.randrange(1, 4)):
        place = generator.randrange(len(content_now) or 1)
        match generator.randrange(12):
            case 0:
                content_now[place:place] = generator.randbytes(1)
            case 1:
                del content_now[place : place + generator.randrange(4)]
            case 2:
                del content_now[place:]
            case _ if content_now:
                content_now[place] = generator.randrange(256)
    return bytes(content_now)


def any_message(generator: random.Random, kind: type[Message]) -> bytes:
    message = kind()
    _fill(generator, message, depth=0)
    if isinstance(message, model_management_pb2.ReloadConfigRequest):
        # One that is refused: the models must stay.
        config = message.config.model_config_list.config
        config.add(name="echo", base_path="/", model_platform="abacus")
    return message.SerializeToString()


def _fill(generator: random.Random, message: Any, depth: int) -> None:
    for field in message.DESCRIPTOR.fields:
        if generator.random() < (0.15 if depth == 0 else 0.4) or depth > 5:
            continue
        repeated = field.is_repeated
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            if field.message_type.GetOptions().map_entry:
                _fill_map(generator, message, field, depth)
            elif repeated:
                for _ in range(generator.randrange(3)):
                    _fill(generator, getattr(message, field.name).add(), depth + 1)
            else:
                getattr(message, field.name).SetInParent()
                _fill(generator, getattr(message, field.name), depth + 1)
        elif repeated:
            values = [_value(generator, field) for _ in range(generator.randrange(4))]
            getattr(message, field.name).extend(values)
        else:
            setattr(message, field.name, _value(generator, field))


def _fill_map(generator: random.Random, message: Any, field: Any, depth: int) -> None:
    key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
    entries = getattr(message, field.name)
    for _ in range(generator.randrange(3)):
        if value.message_type:
            _fill(generator, entries[_value(generator, key)], depth + 1)
        else:
            entries[_value(generator, key)] = _value(generator, value)


def _value(generator: random.Random, field: Any) -> Any:
    if field.enum_type:
        return generator.choice([*field.enum_type.values_by_number, 999])
    choices: dict[int, list[Any]] = {
        FieldDescriptor.CPPTYPE_INT32: NUMBERS,
        FieldDescriptor.CPPTYPE_INT64: NUMBERS if field.name == "size" else LONG_NUMBERS,
        FieldDescriptor.CPPTYPE_UINT32: [0, 1, 2**32 - 1],
        FieldDescriptor.CPPTYPE_UINT64: [0, 1, 2**64 - 1],
        FieldDescriptor.CPPTYPE_FLOAT: FLOATS,
        FieldDescriptor.CPPTYPE_DOUBLE: FLOATS,
        FieldDescriptor.CPPTYPE_BOOL: [True, False],
    }
    if field.type == FieldDescriptor.TYPE_BYTES:
        return generator.choice(BYTES)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return generator.choice(NAMES if field.name == "name" else WORDS)
    return generator.choice(choices[field.cpp_type])


def any_json(generator: random.Random) -> bytes:
    """Returns JSON of any content, with the API's keys where they may make a difference."""
    tree: Any = _json(generator, 0)
    if generator.random() < 0.9:
        keys = ["instances", "inputs", "examples", "signature_name", "context", "other"]
        tree = {key: _json(generator, 1) for key in generator.sample(keys, generator.randrange(3))}
    text = json.dumps(tree)
    if generator.randrange(20) == 0:
        text = "[" * 5000 + text
    return text.encode()


def _json(generator: random.Random, depth: int) -> Any:
    leaves: list[Callable[[], Any]] = [
        lambda: generator.choice(LONG_NUMBERS),
        lambda: generator.choice(FLOATS),
        lambda: generator.choice([None, True, False, 10**40]),
        lambda: generator.choice([*WORDS, "\ud800", "é" * 300]),
        lambda: {"b64": generator.choice(["", "AAAA", "%%", 1])},
    ]
    if depth > 4 or generator.random() < 0.4:
        return generator.choice(leaves)()
    size = generator.randrange(4)
    if generator.random() < 0.6:
        return [_json(generator, depth + 1) for _ in range(size)]
    return {generator.choice(WORDS): _json(generator, depth + 1) for _ in range(size)}
