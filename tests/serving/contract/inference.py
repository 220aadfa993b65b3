"""Classify, Regress and MultiInference."""

from __future__ import annotations

from typing import Any

from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    model_pb2,
    regression_pb2,
)

from serving.server.servables.signature_constants import CLASSIFY, REGRESS
from tests.serving.contract.cases import Case
from tests.serving.inference_models import (
    classification,
    examples,
    examples_with_context,
    regression,
    tasks,
)

CLASSIFY_CALL = "PredictionService/Classify"
REGRESS_CALL = "PredictionService/Regress"
MULTI_INFERENCE_CALL = "PredictionService/MultiInference"

RESPONSES = {
    CLASSIFY_CALL: classification_pb2.ClassificationResponse,
    REGRESS_CALL: regression_pb2.RegressionResponse,
    MULTI_INFERENCE_CALL: inference_pb2.MultiInferenceResponse,
}

GOOD = "half_plus_two_of_examples"
TF2 = "half_plus_two_of_examples_in_tensorflow_2"
X = examples({"x": 2.0})
NOTHING = examples()


def _spec(model: str, signature: str) -> model_pb2.ModelSpec:
    return model_pb2.ModelSpec(name=model, signature_name=signature, version={"value": 1})


def _classes(rows: Any) -> classification_pb2.ClassificationResult:
    """Each row is a list of labels, of scores, or of pairs of both."""
    result = classification_pb2.ClassificationResult()
    for row in rows:
        classes = result.classifications.add().classes
        for item in row:
            label, score = item if isinstance(item, tuple) else (item, item)
            entry = classes.add()
            if isinstance(label, str):
                entry.label = label
            if isinstance(score, float):
                entry.score = score
    return result


def _values(*values: float) -> regression_pb2.RegressionResult:
    return regression_pb2.RegressionResult(regressions=[{"value": value} for value in values])


def _versioned(request: Any, version: int | None = None, label: str = "") -> Any:
    spec = request.tasks[0].model_spec if hasattr(request, "tasks") else request.model_spec
    if version is not None:
        spec.version.value = version
    else:
        spec.version_label = label
    return request


# Which model. servables/tensorflow/classification_service.cc, regression_service.cc,
# multi_inference_helper.cc
NAMING = [
    Case(f"{name} by {method.partition('/')[2]}", method, request, code, text)
    for method, build in [
        (CLASSIFY_CALL, lambda model: classification(model, "classify_x_to_y", X)),
        (REGRESS_CALL, lambda model: regression(model, "regress_x_to_y", X)),
        (MULTI_INFERENCE_CALL, lambda model: tasks(X, (model, "regress_x_to_y", REGRESS))),
    ]
    for name, request, code, text in [
        (
            "an empty model name",
            build(""),
            "INVALID_ARGUMENT",
            "ModelSpec has no name specified.",
        ),
        (
            "an unknown model",
            build("nobody"),
            "NOT_FOUND",
            "Servable not found for request: Latest(nobody)",
        ),
        (
            "an unknown version",
            _versioned(build(GOOD), version=7),
            "NOT_FOUND",
            f"Servable not found for request: Specific({GOOD}, 7)",
        ),
        (
            "an unknown label",
            _versioned(build(GOOD), label="stable"),
            "INVALID_ARGUMENT",
            "Unrecognized servable version label: stable",
        ),
    ]
] + [
    Case(
        "classification without model_spec",
        CLASSIFY_CALL,
        classification_pb2.ClassificationRequest(input=X),
        "INVALID_ARGUMENT",
        "Missing ModelSpec",
    ),
    Case(
        "regression without model_spec",
        REGRESS_CALL,
        regression_pb2.RegressionRequest(input=X),
        "INVALID_ARGUMENT",
        "Missing ModelSpec",
    ),
    Case(
        "inference without tasks",
        MULTI_INFERENCE_CALL,
        tasks(X),
        "INVALID_ARGUMENT",
        "ModelSpec has no name specified.",
    ),
    Case(
        "a task without model_spec",
        MULTI_INFERENCE_CALL,
        inference_pb2.MultiInferenceRequest(tasks=[{"method_name": CLASSIFY}], input=X),
        "INVALID_ARGUMENT",
        "ModelSpec has no name specified.",
    ),
]

# servables/tensorflow/classifier.cc
CLASSIFY_ERRORS = [
    Case(f"classification: {name}", CLASSIFY_CALL, request, "INVALID_ARGUMENT", text)
    for name, request, text in [
        (
            "an unknown signature",
            classification(GOOD, "nothing", X),
            "No signature was found with the name: nothing",
        ),
        (
            "no default signature",
            classification("malformed", "", X),
            "No signature was found with the name: serving_default",
        ),
        ("no input", classification(GOOD, "classify_x_to_y", None), "Input is empty."),
        ("no examples", classification(GOOD, "classify_x_to_y", NOTHING), "Input is empty."),
        (
            "a context without examples",
            classification(GOOD, "classify_x_to_y", examples_with_context({"x": 2.0})),
            "Input is empty.",
        ),
        (
            "a wrong signature comes before no examples",
            classification("malformed", "two_inputs", NOTHING),
            "Expected one input Tensor.",
        ),
        (
            "an input that is no list of examples",
            classification(GOOD, "serving_default", X),
            'No classification inputs found in SignatureDef: inputs {…key: "x"…}…',
        ),
        (
            "a signature for regression",
            classification(GOOD, "regress_x_to_y", X),
            "Expected classification signature outputs to contain at least one of "
            '"classes" or "scores". Signature was: inputs {…}…',
        ),
        (
            "a feature that the model needs",
            classification(GOOD, "classify_x_to_y", examples({"y": 1.0})),
            "…x…(data type: float) is required but could not be found.…",
        ),
        *(
            (wrong, classification("malformed", wrong, X), text)
            for wrong, text in [
                ("two_inputs", "Expected one input Tensor."),
                ("no_inputs", "No classification inputs found in SignatureDef: inputs {…}…"),
                ("three_outputs", "Expected one or two output Tensors, found 3"),
                (
                    "neither_classes_nor_scores",
                    "Expected classification signature outputs to contain at least one of "
                    '"classes" or "scores". Signature was: inputs {…}…',
                ),
                (
                    "classes_of_one_dimension",
                    "Expected Tensor shape: [batch_size num_classes] but got [1]",
                ),
                ("classes_of_floats", "Expected classes Tensor of DT_STRING. Got: DT_FLOAT"),
                ("classes_of_another_batch", "Expected classes output batch size of 1. Got: 2"),
                (
                    "scores_of_three_dimensions",
                    "Expected Tensor shape: [batch_size num_classes] but got [1,2,1]",
                ),
                (
                    "scores_that_are_no_matrix",
                    "Expected Tensor shape: [batch_size num_classes] but got []",
                ),
                ("scores_of_doubles", "Expected scores Tensor of DT_FLOAT. Got: DT_DOUBLE"),
                ("scores_of_half", "Expected scores Tensor of DT_FLOAT. Got: DT_BFLOAT16"),
                ("scores_of_another_batch", "Expected scores output batch size of 1. Got: 2"),
                (
                    "more_scores_than_classes",
                    "Tensors class and score should match in dim_size(1). Got 2 vs. 3",
                ),
            ]
        ),
    ]
]

# servables/tensorflow/regressor.cc
REGRESS_ERRORS = [
    Case(f"regression: {name}", REGRESS_CALL, request, "INVALID_ARGUMENT", text)
    for name, request, text in [
        (
            "an unknown signature",
            regression(GOOD, "nothing", X),
            "No signature was found with the name: nothing",
        ),
        ("no input", regression(GOOD, "regress_x_to_y", None), "Input is empty."),
        ("no examples", regression(GOOD, "regress_x_to_y", NOTHING), "Input is empty."),
        (
            "an input that is no list of examples",
            regression(GOOD, "serving_default", X),
            "No regression inputs found in SignatureDef: inputs {…}…",
        ),
        (
            "a signature for classification",
            regression(GOOD, "classify_x_to_y", X),
            "No regression outputs found in SignatureDef: inputs {…}…",
        ),
        *(
            (wrong, regression("malformed", wrong, X), text)
            for wrong, text in [
                ("two_inputs", "Expected one input Tensor."),
                ("three_outputs", "Expected one output Tensor."),
                (
                    "no_inputs_for_outputs",
                    "No regression inputs found in SignatureDef: inputs {…}…",
                ),
                ("no_outputs", "No regression outputs found in SignatureDef: inputs {…}…"),
                (
                    "outputs_of_two_columns",
                    "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] "
                    "but got [1,2]",
                ),
                (
                    "outputs_of_no_column",
                    "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] "
                    "but got [1,0]",
                ),
                (
                    "outputs_without_dimension",
                    "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] "
                    "but got []",
                ),
                (
                    "outputs_of_another_batch",
                    "Input batch size did not match output batch size: 1 vs. 2",
                ),
                ("outputs_of_doubles", "Expected output Tensor of DT_FLOAT.  Got: DT_DOUBLE"),
                ("outputs_of_strings", "Expected output Tensor of DT_FLOAT.  Got: DT_STRING"),
            ]
        ),
    ]
]

# servables/tensorflow/multi_inference.cc
MULTI_INFERENCE_CALL_ERRORS = [
    Case(f"several tasks: {name}", MULTI_INFERENCE_CALL, request, code, text)
    for name, request, code, text in [
        (
            "the second one without a model name",
            tasks(
                X,
                (GOOD, "regress_x_to_y", REGRESS),
                ("", "regress_x_to_y2", REGRESS),
            ),
            "INVALID_ARGUMENT",
            "Found ModelSpec with an empty model name.",
        ),
        (
            "of two models",
            tasks(
                X,
                (GOOD, "regress_x_to_y", REGRESS),
                (TF2, "classify_x_to_y", CLASSIFY),
            ),
            "INVALID_ARGUMENT",
            "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
        ),
        (
            "a signature twice",
            tasks(
                X,
                (GOOD, "regress_x_to_y", REGRESS),
                (GOOD, "regress_x_to_y", REGRESS),
            ),
            "INVALID_ARGUMENT",
            "Duplicate evaluation of signature: regress_x_to_y",
        ),
        (
            "the default signature twice, once by its name",
            tasks(X, (TF2, "", REGRESS), (TF2, "serving_default", REGRESS)),
            "INVALID_ARGUMENT",
            "Duplicate evaluation of signature: serving_default",
        ),
        (
            "an unknown signature",
            tasks(
                X,
                (GOOD, "regress_x_to_y", REGRESS),
                (GOOD, "nothing", REGRESS),
            ),
            "INVALID_ARGUMENT",
            "Requested signature not found in model graph: nothing",
        ),
        (
            "an unknown signature comes before a wrong method",
            tasks(X, (GOOD, "nothing", "nothing")),
            "INVALID_ARGUMENT",
            "Requested signature not found in model graph: nothing",
        ),
        (
            "a method that does not exist",
            tasks(X, (GOOD, "regress_x_to_y", "tensorflow/serving/predict")),
            "UNIMPLEMENTED",
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
        (
            "no method",
            tasks(X, (GOOD, "regress_x_to_y", "")),
            "UNIMPLEMENTED",
            "Unsupported signature method_name: ",
        ),
        (
            "regression where the signature classifies",
            tasks(X, (GOOD, "classify_x_to_y", REGRESS)),
            "INVALID_ARGUMENT",
            "No regression outputs found in SignatureDef: inputs {…}…",
        ),
        (
            "no examples",
            tasks(NOTHING, (GOOD, "regress_x_to_y", REGRESS)),
            "INVALID_ARGUMENT",
            "Input is empty.",
        ),
        (
            "a wrong signature comes before no examples",
            tasks(NOTHING, (GOOD, "regress_x_to_y", CLASSIFY)),
            "INVALID_ARGUMENT",
            "Expected classification signature outputs to contain at least one of "
            '"classes" or "scores". Signature was: inputs {…}…',
        ),
        (
            "one of them with outputs of another shape than it must have",
            tasks(
                X,
                ("malformed", "scores_of_doubles", CLASSIFY),
                ("malformed", "outputs_of_two_columns", REGRESS),
            ),
            "INVALID_ARGUMENT",
            "Expected scores Tensor of DT_FLOAT. Got: DT_DOUBLE",
        ),
    ]
]

ANSWERS = [
    *(
        Case(
            f"classes of {name}",
            CLASSIFY_CALL,
            classification(model, signature, sent),
            "OK",
            answer=classification_pb2.ClassificationResponse(
                model_spec=_spec(model, signature or "serving_default"), result=_classes(rows)
            ),
        )
        for name, model, signature, sent, rows in [
            ("one example", GOOD, "classify_x_to_y", X, [[3.0]]),
            (
                "several examples, in their order",
                GOOD,
                "classify_x_to_y",
                examples({"x": 2.0}, {"x": -4.0}, {"x": 2.0}),
                [[3.0], [0.0], [3.0]],
            ),
            ("a feature's default", GOOD, "classify_x2_to_y3", X, [[3.0]]),
            ("a signature that TensorFlow 2 wrote", TF2, "classify_x_to_y", X, [[3.0]]),
            (
                "the default signature, with labels and scores",
                "classifier",
                "",
                examples({"probability": 0.25}, {"probability": 1.0}),
                [[("sí", 0.25), ("no", 0.75)], [("sí", 1.0), ("no", 0.0)]],
            ),
            (
                "labels alone",
                "classifier",
                "only_classes",
                examples({"probability": 0.25}),
                [["sí", "no"]],
            ),
            (
                "scores alone",
                "classifier",
                "only_scores",
                examples({"probability": 0.25}),
                [[0.25, 0.75]],
            ),
            (
                "scores beside an output that is neither",
                "classifier",
                "scores_and_more",
                examples({"probability": 0.25}),
                [[0.25, 0.75]],
            ),
            ("nothing", "classifier", "no_classes", examples({"probability": 0.25}), [[]]),
            (
                "one tensor for labels and scores",
                "malformed",
                "one_tensor_for_both",
                X,
                [["word", "word"]],
            ),
            (
                "examples with a context that holds what they lack",
                GOOD,
                "classify_x_to_y",
                examples_with_context({"x": 2.0}, {}, {"x": 4.0}),
                [[3.0], [4.0]],
            ),
        ]
    ),
    *(
        Case(
            f"values of {name}",
            REGRESS_CALL,
            regression(model, signature, sent),
            "OK",
            answer=regression_pb2.RegressionResponse(
                model_spec=_spec(model, signature or "serving_default"), result=_values(*values)
            ),
        )
        for name, model, signature, sent, values in [
            ("one example", GOOD, "regress_x_to_y", X, [3.0]),
            ("another signature", GOOD, "regress_x_to_y2", X, [4.0]),
            ("another input", GOOD, "regress_x2_to_y3", examples({"x2": 1.0}), [3.5]),
            ("the default signature", TF2, "", X, [3.0]),
            (
                "examples with a context",
                TF2,
                "regress_x_to_y",
                examples_with_context({"x": 2.0}, {}, {"x": 4.0}, {"other": 1.0}),
                [3.0, 4.0, 3.0],
            ),
            ("another model", "half_plus_three_of_examples", "regress_x_to_y", X, [4.0]),
        ]
    ),
    Case(
        "results of three tasks, in their order",
        MULTI_INFERENCE_CALL,
        tasks(
            examples({"x": 2.0}, {"x": 4.0}),
            (GOOD, "regress_x_to_y2", REGRESS),
            (GOOD, "classify_x_to_y", CLASSIFY),
            (GOOD, "regress_x_to_y", REGRESS),
        ),
        "OK",
        answer=inference_pb2.MultiInferenceResponse(
            results=[
                inference_pb2.InferenceResult(
                    model_spec=_spec(GOOD, "regress_x_to_y2"), regression_result=_values(4, 5)
                ),
                inference_pb2.InferenceResult(
                    model_spec=_spec(GOOD, "classify_x_to_y"),
                    classification_result=_classes([[3.0], [4.0]]),
                ),
                inference_pb2.InferenceResult(
                    model_spec=_spec(GOOD, "regress_x_to_y"), regression_result=_values(3, 4)
                ),
            ]
        ),
    ),
    Case(
        "results of signatures that TensorFlow 2 wrote, whose inputs are their own",
        MULTI_INFERENCE_CALL,
        tasks(X, (TF2, "regress_x_to_y", REGRESS), (TF2, "classify_x_to_y", CLASSIFY)),
        "OK",
        answer=inference_pb2.MultiInferenceResponse(
            results=[
                inference_pb2.InferenceResult(
                    model_spec=_spec(TF2, "regress_x_to_y"), regression_result=_values(3)
                ),
                inference_pb2.InferenceResult(
                    model_spec=_spec(TF2, "classify_x_to_y"),
                    classification_result=_classes([[3.0]]),
                ),
            ]
        ),
    ),
    Case(
        "the result of one task, by the default signature that TensorFlow 2 wrote",
        MULTI_INFERENCE_CALL,
        tasks(X, (TF2, "", REGRESS)),
        "OK",
        answer=inference_pb2.MultiInferenceResponse(
            results=[
                inference_pb2.InferenceResult(
                    model_spec=_spec(TF2, "serving_default"), regression_result=_values(3)
                )
            ]
        ),
    ),
]

CASES = [*NAMING, *CLASSIFY_ERRORS, *REGRESS_ERRORS, *MULTI_INFERENCE_CALL_ERRORS, *ANSWERS]
