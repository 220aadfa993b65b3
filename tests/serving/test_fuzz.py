"""Requests of any shape and content for every architecture: the process lives, and is well after.

By default a network of each kind has its turn, and every name that is registered is slow;
`FUZZ_REQUESTS=500 python -m pytest -m '' -n 0 tests/serving/test_fuzz.py` asks all of them more.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from _pytest.mark import ParameterSet
from PIL import Image
from tensorflow.core.protobuf import meta_graph_pb2

import architectures
from architectures.testing import SmallModel
from serving.errors import ServingError
from serving.server.servables.guard import GuardedSession
from serving.server.servables.sandbox import Sandbox
from serving.server.servables.session import Session
from tests.architectures.tiny import TINY
from tests.serving import saved_models

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "10"))
# Requests that end the sandbox, for each architecture: each costs a start of seconds.
FATAL = max(1, REQUESTS // 20)
CODES = {
    "OK",
    "INVALID_ARGUMENT",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "RESOURCE_EXHAUSTED",
    "INTERNAL",
}
SIZES = [1, 1, 2, 3, 5, 8, 13]
MOST_VALUES = 5_000


@pytest.fixture(scope="module", autouse=True)
def fast_kernels():
    """This process decides about its own when TensorFlow is imported: they are on by default."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
        yield


@pytest.fixture(scope="module")
def sandbox(zygote):
    sandbox = Sandbox(zygote)
    yield sandbox
    sandbox.close()


def numbers(dtype: np.dtype, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Returns usual values, and some that are not: none finite, none that a table has."""
    if dtype.kind == "f":
        scale = random.choice([1.0, 1.0, 0.0, 1e30, np.inf, np.nan])
        return (random.normal(size=shape) * scale).astype(dtype)
    if dtype.kind == "b":
        return random.integers(0, 2, size=shape).astype(bool)
    limits = np.iinfo(dtype)
    low, high = [(0, 1), (0, 9), (-5, 20), (limits.min, limits.max)][random.integers(4)]
    return random.integers(low, high, size=shape, endpoint=True).astype(dtype)


def picture(random: np.random.Generator) -> bytes:
    """Returns an encoded image of odd size and mode; nothing where the format has no such mode."""
    mode = str(random.choice(["RGB", "L", "RGBA", "CMYK", "P", "1", "I;16", "LA"]))
    kind = str(random.choice(["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"]))
    width, height = map(int, random.choice([1, 2, 7, 33, 300], size=2))
    encoded = io.BytesIO()
    try:
        Image.new(mode, (width, height)).save(encoded, kind)
    except (OSError, KeyError, ValueError):
        return b""
    return encoded.getvalue()


def example(random: np.random.Generator) -> bytes:
    """Returns a tf.Example whose features are of any kind, also of the wrong one."""
    message = tf.train.Example()
    for name in ("x", "label", "image", "other"):
        feature = message.features.feature[name]
        match random.integers(5):
            case 0:
                feature.float_list.value.extend(random.normal(size=random.integers(0, 4)))
            case 1:
                feature.int64_list.value.extend(random.integers(-9, 9, size=random.integers(0, 4)))
            case 2:
                feature.bytes_list.value.append(picture(random))
            case 3:
                del message.features.feature[name]
    return message.SerializeToString()


def text(random: np.random.Generator) -> bytes:
    """Returns an image or a tf.Example, whole, cut off or damaged, or any bytes."""
    whole = [picture, example][random.integers(2)](random)
    match random.integers(4):
        case 0:
            return whole[: random.integers(len(whole) + 1)]
        case 1:
            damaged = bytearray(whole)
            for position in random.integers(len(whole), size=9) if whole else ():
                damaged[position] = int(random.integers(256))
            return bytes(damaged)
        case 2:
            return random.bytes(int(random.integers(50)))
        case _:
            return whole


def values(dtype: np.dtype, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    if dtype.kind != "O":
        return numbers(dtype, shape, random)
    array = np.empty(shape, object)
    for position in np.ndindex(*shape):
        array[position] = text(random)
    return array


def shape_of(
    info: meta_graph_pb2.TensorInfo, free: list[int], random: np.random.Generator
) -> tuple[int, ...]:
    """Returns a shape that fits; inputs mostly, but not always, agree about free sizes."""
    sizes = [
        (free[axis % 2] if random.random() < 0.8 else int(random.choice(SIZES)))
        if dim.size < 0
        else dim.size
        for axis, dim in enumerate(info.tensor_shape.dim)
    ]
    while np.prod(sizes) > MOST_VALUES:
        largest = int(np.argmax(sizes))
        sizes[largest] //= 2
    return tuple(sizes)


def changed(shape: tuple[int, ...], random: np.random.Generator) -> tuple[int, ...]:
    """Returns a shape with a dimension more, less, empty or of another size, or any at all."""
    sizes = list(shape)
    axis = int(random.integers(len(sizes))) if sizes else 0
    match random.integers(5):
        case 0 if sizes:
            del sizes[axis]
        case 1:
            sizes.insert(axis, int(random.choice([0, 1, 2])))
        case 2 if sizes:
            sizes[axis] = 0
        case 3 if sizes:
            sizes[axis] += int(random.choice([1, 7, 300])) if np.prod(sizes) < 100 else 1
        case _:
            return tuple(int(size) for size in random.choice([0, 1, 2, 5], random.integers(7)))
    return tuple(sizes)


def feeds_of(
    signature: meta_graph_pb2.SignatureDef, random: np.random.Generator, *, fitting: bool
) -> dict[str, np.ndarray]:
    free = [int(size) for size in random.choice(SIZES, 2)]
    feeds = {}
    for _, info in sorted(signature.inputs.items()):
        shape = shape_of(info, free, random)
        if not fitting and random.random() < 0.7:
            shape = changed(shape, random)
        dtype = np.dtype(tf.as_dtype(info.dtype).as_numpy_dtype)
        if not fitting and random.random() < 0.1:
            dtype = np.dtype(random.choice(["float64", "int32", "bool"]))
        feeds[info.name] = values(dtype, shape, random)
    return feeds


def outcome(
    session: GuardedSession, signature: meta_graph_pb2.SignatureDef, feeds: Mapping[str, np.ndarray]
) -> tuple[str, str]:
    """Returns code and text."""
    try:
        session.run(feeds, [info.name for info in signature.outputs.values()], 30.0)
    except ServingError as error:
        return error.code.name, error.message
    return "OK", ""


def fuzz(guarded: GuardedSession, *, fitting: bool, seed: int = 0) -> None:
    """Sends requests to each signature until there were enough, or enough that were fatal."""
    random = np.random.default_rng(seed)
    keys = [key for key in guarded.signatures if not key.startswith("__")]
    fatal = 0
    for turn in range(REQUESTS):
        signature = guarded.signatures[keys[turn % len(keys)]]
        feeds = feeds_of(signature, random, fitting=fitting)
        code, text = outcome(guarded, signature, feeds)
        assert code in CODES, {name: (array.dtype, array.shape) for name, array in feeds.items()}
        fatal += text.startswith("TensorFlow aborts")
        if fatal >= FATAL:
            return


def tiny_of(name: str) -> SmallModel:
    """Returns a tiny configuration of an architecture, or of another one of the same builder."""
    builder = architectures.ARCHITECTURES[name].builder
    alike = [tiny for tiny in TINY if architectures.ARCHITECTURES[tiny.name].builder == builder]
    named = [tiny for tiny in alike if tiny.name == name]
    tiny = (named or alike)[0]
    # Small images do not outlast convolutions that trim them.
    own = {"padding": "same"} if "padding" in architectures.ARCHITECTURES[name].published else {}
    return SmallModel(
        name, {**own, **tiny.config}, 0, tiny.inputs, tiny.output_shape, tiny.output, tiny.logits
    )


CHECKED = sorted({tiny.name for tiny in TINY})
# One of each kind of input, layers and outputs.
KINDS = (
    *("attention_memory", "bert_base", "bilstm", "char_gpt_small", "cnn_lstm_captioner"),
    *("convnet", "fasttext", "lstm_seq2seq", "resnet18", "unet"),
)
# A shape that ends the sandbox costs seconds.
QUICK = ("bert_base", "bilstm", "unet")


def some(names: Iterable[str], quick: Iterable[str]) -> list[ParameterSet]:
    """Returns names as parameters; those that are not among the quick ones are slow."""
    return [
        pytest.param(name, marks=() if name in quick else pytest.mark.slow, id=name)
        for name in names
    ]


@pytest.mark.parametrize("name", some(architectures.names(), KINDS))
def test_no_request_ends_the_process_and_a_good_one_is_answered_after(
    name, sandbox, suspects, tmp_path
):
    answers_after(name, sandbox, suspects, tmp_path, fitting=True)


@pytest.mark.parametrize("name", some(CHECKED, QUICK))
def test_no_unusual_request_ends_the_process_and_a_good_one_is_answered_after(
    name, sandbox, suspects, tmp_path
):
    answers_after(name, sandbox, suspects, tmp_path, fitting=False)


def answers_after(name, sandbox, suspects, folder: Path, *, fitting: bool) -> None:
    tiny = tiny_of(name)
    model = tiny.build()
    path = folder / "1"
    model.export(str(path), verbose=False)
    session = Session(path)
    guarded = GuardedSession(session, sandbox, path, suspects, pools=session.pools)
    try:
        fuzz(guarded, fitting=fitting)
        signature = guarded.signatures["serving_default"]
        batch = tiny.batch(3)
        inputs = batch if isinstance(batch, dict) else dict.fromkeys(signature.inputs, batch)
        feeds = {signature.inputs[alias].name: array for alias, array in inputs.items()}
        (output,) = signature.outputs.values()
        (answer,) = guarded.run(feeds, [output.name])
        np.testing.assert_allclose(
            answer, model(batch, training=False), rtol=1e-4, atol=1e-5, err_msg=name
        )
    finally:
        guarded.close()


def parsed(path: Path) -> Path:
    """Reads features out of tf.Examples."""
    features = {
        "x": tf.io.FixedLenFeature([2], tf.float32, [0.0, 0.0]),
        "label": tf.io.FixedLenFeature([], tf.int64, 0),
        "image": tf.io.VarLenFeature(tf.string),
    }

    def parse(examples):
        found = tf.io.parse_example(examples, features)
        return {**found, "image": tf.sparse.to_dense(found["image"])}

    return saved_models.stateless(path, saved_models.tensor(tf.string, None), serving_default=parse)


@pytest.mark.parametrize(
    "build", [saved_models.brightness, parsed, saved_models.echo, saved_models.vocabulary]
)
@pytest.mark.parametrize("fitting", [True, False], ids=["fitting", "unusual"])
def test_no_string_ends_the_process(build, fitting, sandbox, suspects, tmp_path):
    path = build(tmp_path / "1")
    guarded = GuardedSession(Session(path), sandbox, path, suspects)
    try:
        for seed in range(3):
            fuzz(guarded, fitting=fitting, seed=seed)
    finally:
        guarded.close()
