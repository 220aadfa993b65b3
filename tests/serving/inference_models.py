"""Tiny SavedModels that read tf.Examples, good ones and malformed ones, and requests to them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    model_pb2,
    regression_pb2,
)

from serving.server.servables.signature_constants import CLASSIFY, REGRESS
from tests.serving.saved_models import stateless, tensor

PREDICT = "tensorflow/serving/predict"
_X = tf.io.FixedLenFeature([1], tf.float32)
_X2 = tf.io.FixedLenFeature([1], tf.float32, default_value=[0.0])


def half_plus_two_of_examples(path: Path, two: float = 2.0) -> Path:
    """`y = x / 2 + two`, `y2 = x / 2 + 3` and `y3 = x2 / 2 + 3`, as TensorFlow 1 wrote them.

    Signatures of x read one input tensor, those of x2 another one; `serving_default` takes x
    itself.
    """
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        half = v1.get_variable("half", initializer=0.5, use_resource=False)
        plus = v1.get_variable("plus", initializer=two, use_resource=False)
        examples = v1.placeholder(tf.string, [None], name="examples")
        examples_of_x2 = v1.placeholder(tf.string, [None], name="examples_of_x2")
        x = tf.identity(v1.parse_example(examples, {"x": _X})["x"], name="x")
        x2 = v1.parse_example(examples_of_x2, {"x2": _X2})["x2"]
        y, y2, y3 = half * x + plus, half * x + 3.0, half * x2 + 3.0
        session.run(v1.global_variables_initializer())
        return _exported(
            path,
            session,
            serving_default=({"x": x}, {"y": y}, PREDICT),
            classify_x_to_y=({"inputs": examples}, {"scores": y}, CLASSIFY),
            classify_x2_to_y3=({"inputs": examples_of_x2}, {"scores": y3}, CLASSIFY),
            regress_x_to_y=({"inputs": examples}, {"outputs": y}, REGRESS),
            regress_x_to_y2=({"inputs": examples}, {"outputs": y2}, REGRESS),
            regress_x2_to_y3=({"inputs": examples_of_x2}, {"outputs": y3}, REGRESS),
        )


def half_plus_three_of_examples(path: Path) -> Path:
    """The same with `y = x / 2 + 3`."""
    return half_plus_two_of_examples(path, two=3.0)


def half_plus_two_of_examples_in_tensorflow_2(path: Path) -> Path:
    """The same as TensorFlow 2 writes it: an input tensor per signature, all of them "predict"."""

    def half_plus(name: str, number: float, output: str):
        def function(inputs):
            parsed = tf.io.parse_example(inputs, {name: _X2 if name == "x2" else _X})
            return {output: 0.5 * parsed[name] + number}

        return function

    return stateless(
        path,
        tensor(tf.string, None),
        serving_default=half_plus("x", 2.0, "outputs"),
        classify_x_to_y=half_plus("x", 2.0, "scores"),
        classify_x2_to_y3=half_plus("x2", 3.0, "scores"),
        regress_x_to_y=half_plus("x", 2.0, "outputs"),
        regress_x_to_y2=half_plus("x", 3.0, "outputs"),
        regress_x2_to_y3=half_plus("x2", 3.0, "outputs"),
    )


def classifier(path: Path) -> Path:
    """Scores of two classes with their names; other signatures give one of both."""

    def probability(inputs):
        return tf.io.parse_example(inputs, {"probability": _X})["probability"]

    def scores(inputs):
        return tf.concat([probability(inputs), 1.0 - probability(inputs)], axis=1)

    def classes(inputs):
        return tf.tile([["sí", "no"]], [tf.size(inputs), 1])

    return stateless(
        path,
        tensor(tf.string, None),
        serving_default=lambda inputs: {"classes": classes(inputs), "scores": scores(inputs)},
        only_classes=lambda inputs: {"classes": classes(inputs)},
        only_scores=lambda inputs: {"scores": scores(inputs)},
        no_classes=lambda inputs: {"scores": scores(inputs)[:, :0]},
        scores_and_more=lambda inputs: {
            "scores": scores(inputs),
            "probability": probability(inputs),
        },
        classes_not_utf8=lambda inputs: {"classes": tf.fill([tf.size(inputs), 1], b"\xff")},
    )


def malformed(path: Path) -> Path:
    """Signatures that cannot classify or regress, named after what is wrong with them."""
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        examples = v1.placeholder(tf.string, [None], name="examples")
        other = v1.placeholder(tf.string, [None], name="other")
        count = tf.size(examples)
        inputs = {"inputs": examples}
        ones = tf.ones([count, 2])
        words = tf.fill([count, 2], "word")

        def gives(method_name: str = PREDICT, **outputs: tf.Tensor):
            return inputs, outputs, method_name

        return _exported(
            path,
            session,
            two_inputs=({"inputs": examples, "other": other}, {"scores": ones}, PREDICT),
            no_inputs=({"examples": examples}, {"scores": ones}, PREDICT),
            no_inputs_for_outputs=({"examples": examples}, {"outputs": ones}, PREDICT),
            three_outputs=gives(classes=words, scores=ones, outputs=ones),
            neither_classes_nor_scores=gives(probabilities=ones),
            classes_of_one_dimension=gives(classes=words[:, 0]),
            classes_of_floats=gives(classes=ones, scores=ones + 1.0),
            classes_of_another_batch=gives(classes=tf.fill([count + 1, 2], "word")),
            scores_of_three_dimensions=gives(scores=ones[:, :, None]),
            scores_of_doubles=gives(scores=tf.cast(ones, tf.float64)),
            scores_of_half=gives(scores=tf.cast(ones, tf.bfloat16)),
            scores_of_another_batch=gives(scores=tf.ones([count + 1, 2])),
            scores_that_are_no_matrix=gives(scores=tf.reduce_sum(ones)),
            more_scores_than_classes=gives(classes=words, scores=tf.ones([count, 3])),
            one_tensor_for_both=gives(CLASSIFY, classes=words, scores=words),
            no_outputs=gives(values=ones[:, 0]),
            outputs_of_two_columns=gives(outputs=ones),
            outputs_without_dimension=gives(outputs=tf.reduce_sum(ones)),
            outputs_of_another_batch=gives(outputs=tf.ones([count + 1])),
            outputs_of_doubles=gives(outputs=tf.cast(ones[:, 0], tf.float64)),
            outputs_of_strings=gives(outputs=words[:, 0]),
            outputs_of_no_column=gives(outputs=ones[:, :0]),
        )


def _exported(
    path: Path,
    session: tf.compat.v1.Session,
    **signatures: tuple[Mapping[str, tf.Tensor], Mapping[str, tf.Tensor], str],
) -> Path:
    """Writes the session's graph with signatures of inputs, outputs and a method name."""
    saved_model = tf.compat.v1.saved_model
    info = saved_model.build_tensor_info
    builder = saved_model.Builder(str(path))
    builder.add_meta_graph_and_variables(
        session,
        ["serve"],
        {
            name: saved_model.build_signature_def(
                {key: info(value) for key, value in inputs.items()},
                {key: info(value) for key, value in outputs.items()},
                method_name,
            )
            for name, (inputs, outputs, method_name) in signatures.items()
        },
    )
    builder.save()
    return path


def example(**features: float) -> tf.train.Example:
    message = tf.train.Example()
    for name, value in features.items():
        message.features.feature[name].float_list.value.append(value)
    return message


def examples(*rows: Mapping[str, float]) -> input_pb2.Input:
    return input_pb2.Input(example_list={"examples": [example(**row) for row in rows]})


def examples_with_context(
    context: Mapping[str, float], *rows: Mapping[str, float]
) -> input_pb2.Input:
    return input_pb2.Input(
        example_list_with_context={
            "context": example(**context),
            "examples": [example(**row) for row in rows],
        }
    )


def classification(
    model: str, signature: str, sent: input_pb2.Input
) -> classification_pb2.ClassificationRequest:
    return classification_pb2.ClassificationRequest(
        model_spec=model_pb2.ModelSpec(name=model, signature_name=signature), input=sent
    )


def regression(
    model: str, signature: str, sent: input_pb2.Input
) -> regression_pb2.RegressionRequest:
    return regression_pb2.RegressionRequest(
        model_spec=model_pb2.ModelSpec(name=model, signature_name=signature), input=sent
    )


def tasks(
    sent: input_pb2.Input, *wanted: tuple[str, str, str]
) -> inference_pb2.MultiInferenceRequest:
    """Each task is a model, a signature and a method name."""
    return inference_pb2.MultiInferenceRequest(
        tasks=[
            inference_pb2.InferenceTask(
                model_spec=model_pb2.ModelSpec(name=model, signature_name=signature),
                method_name=method_name,
            )
            for model, signature, method_name in wanted
        ],
        input=sent,
    )
