"""Tiny SavedModels, one for each thing that a server may meet, and the folders they live in."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from serving.server.lifecycle.warmup import WARMUP_FILE


def tensor(dtype: tf.DType, *shape: int | None) -> tf.TensorSpec:
    return tf.TensorSpec(shape, dtype)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def half_plus_two(path: Path, half: float = 0.5, two: float = 2.0) -> Path:
    """`y = half * x + two`, with both numbers in variables."""

    class HalfPlusTwo(tf.Module):
        def __init__(self):
            super().__init__()
            self.half, self.two = tf.Variable(half), tf.Variable(two)

        @tf.function(input_signature=[tensor(tf.float32, None)])
        def __call__(self, x):
            return {"y": self.half * x + self.two}

    module = HalfPlusTwo()
    tf.saved_model.save(module, str(path), signatures=module.__call__)
    return path


def stateless(path: Path, *specs: tf.TensorSpec, **functions) -> Path:
    """One signature per function, `serving_default` among them; all take the same inputs."""
    module = tf.Module()
    signatures = {}
    for name, function in functions.items():
        signatures[name] = tf.function(function, input_signature=specs)
        setattr(module, name, signatures[name])
    tf.saved_model.save(module, str(path), signatures=signatures)
    return path


def sum_and_difference(path: Path) -> Path:
    """Two inputs, two outputs, and signatures that answer with less."""
    return stateless(
        path,
        tensor(tf.float32, None),
        tensor(tf.float32, None),
        serving_default=lambda a, b: {"sum": a + b, "difference": a - b},
        only_sum=lambda a, b: {"sum": a + b},
    )


def echo(path: Path) -> Path:
    """Strings come back as they were sent."""
    return stateless(
        path, tensor(tf.string, None), serving_default=lambda text: {"text": tf.identity(text)}
    )


def flatten(path: Path) -> Path:
    """Takes images of any layout, as long as it is 2 x 2 pixels to an image."""
    return stateless(
        path,
        tensor(tf.float32, None, 2, 2, 1),
        serving_default=lambda images: {"pixels": tf.reshape(images, [-1, 4])},
    )


def scale(path: Path) -> Path:
    """`y = factor * x`, where a request may leave out the factor, which is 3 then."""

    class Scale(tf.Module):
        @tf.function(input_signature=[tensor(tf.float32, None), tensor(tf.float32)])
        def __call__(self, x, factor=tf.constant(3.0)):  # noqa: B008
            return {"y": x * factor}

    module = Scale()
    tf.saved_model.save(module, str(path), signatures=module.__call__)
    return path


def count(path: Path) -> Path:
    """Counts to the number it is given, as slow as one likes; another signature convolves."""

    @tf.function(input_signature=[tensor(tf.int64)])
    def count(number):
        counted = tf.while_loop(
            lambda i: i < number, lambda i: i + 1, [tf.constant(0, tf.int64)], parallel_iterations=1
        )
        return {"counted": counted[0]}

    @tf.function(input_signature=[tensor(tf.float32, None, 8, 8, 1)])
    def convolve(images):
        filtered = tf.nn.conv2d(images, tf.ones([3, 3, 1, 4]), 1, "SAME")
        return {"filtered": tf.nn.relu(filtered)}

    module = tf.Module()
    module.count, module.convolve = count, convolve
    signatures = {"serving_default": count, "convolve": convolve}
    tf.saved_model.save(module, str(path), signatures=signatures)
    return path


def every_dtype(path: Path) -> Path:
    """Tensors of every type come back as they were sent."""
    names = [
        *("float16", "float32", "float64", "bfloat16", "complex64", "complex128", "bool"),
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "string"),
    ]
    module = tf.Module()
    module.function = tf.function(
        lambda **inputs: {name: tf.identity(value) for name, value in inputs.items()}
    )
    concrete = module.function.get_concrete_function(
        **{name: tf.TensorSpec(None, name, name) for name in names}
    )
    tf.saved_model.save(module, str(path), signatures=concrete)
    return path


def vocabulary(path: Path) -> Path:
    """Looks words up in a table that is filled from an asset."""
    words = path.with_name("words.txt")
    words.parent.mkdir(exist_ok=True)
    words.write_text("zero\none\ntwo\n")

    class Vocabulary(tf.Module):
        def __init__(self):
            super().__init__()
            self.table = tf.lookup.StaticHashTable(
                tf.lookup.TextFileInitializer(
                    tf.saved_model.Asset(str(words)).asset_path,
                    tf.string,
                    tf.lookup.TextFileIndex.WHOLE_LINE,
                    tf.int64,
                    tf.lookup.TextFileIndex.LINE_NUMBER,
                ),
                default_value=-1,
            )

        @tf.function(input_signature=[tensor(tf.string, None)])
        def __call__(self, words):
            return {"numbers": self.table.lookup(words)}

    module = Vocabulary()
    tf.saved_model.save(module, str(path), signatures=module.__call__)
    words.unlink()
    return path


def brightness(path: Path) -> Path:
    """Says of encoded images whether they are bright, as an image classifier answers."""

    def image_bytes(encoded):
        def bright(one):
            pixels = tf.io.decode_image(one, channels=3, expand_animations=False)
            return tf.reduce_mean(tf.cast(pixels, tf.float32)) / 255.0

        probabilities = tf.map_fn(bright, encoded, fn_output_signature=tf.float32)
        return {
            "classes": tf.where(probabilities > 0.5, "bright", "dark"),
            "probabilities": tf.stack([1 - probabilities, probabilities], axis=1),
        }

    function = tf.function(
        image_bytes, input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")]
    )
    module = tf.Module()
    module.function = function
    tf.saved_model.save(module, str(path), signatures={"image_bytes": function})
    return path


def half_plus_two_of_tensorflow_1(path: Path) -> Path:
    """The model as TensorFlow 1 wrote it: placeholders, collections, explicit signatures."""
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        x = v1.placeholder(tf.float32, [None], name="x")
        half = v1.get_variable("half", initializer=0.5, use_resource=False)
        two = v1.get_variable("two", initializer=2.0, use_resource=False)
        y = tf.add(half * x, two, name="y")
        session.run(v1.global_variables_initializer())
        info = v1.saved_model.build_tensor_info
        no_such_tensor = info(y)
        no_such_tensor.name = "gone:0"
        without_index = info(y)
        without_index.name = "y"
        signature = v1.saved_model.build_signature_def
        builder = v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {
                "serving_default": signature(
                    {"x": info(x)}, {"y": info(y)}, "tensorflow/serving/predict"
                ),
                "without_index": signature({"x": info(x)}, {"y": without_index}),
                "passes_through": signature({"x": info(x)}, {"x": info(x)}),
                "broken": signature({"x": info(x)}, {"y": no_such_tensor}),
            },
        )
        builder.save()
    return path


def publish(saved_model: Path, base_path: Path, version: int | str) -> Path:
    """Puts a version where a server finds it, whole at once."""
    partial = base_path / f".{version}.partial"
    shutil.copytree(saved_model, partial)
    return partial.rename(base_path / str(version))


def recorded(message: predict_pb2.PredictRequest) -> prediction_log_pb2.PredictionLog:
    return prediction_log_pb2.PredictionLog(
        predict_log=prediction_log_pb2.PredictLog(request=message)
    )


def record_warmup(version: Path, *logs: prediction_log_pb2.PredictionLog) -> Path:
    """Writes warmup records into a SavedModel."""
    records = version / WARMUP_FILE
    records.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(records)) as writer:
        for log in logs:
            writer.write(log.SerializeToString())
    return records


def request(
    model: str = "", signature: str = "", outputs: Sequence[str] = (), **inputs: Any
) -> predict_pb2.PredictRequest:
    """Returns TensorFlow Serving's own message."""
    message = predict_pb2.PredictRequest(output_filter=outputs)
    message.model_spec.name = model
    message.model_spec.signature_name = signature
    for name, value in inputs.items():
        message.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return message
