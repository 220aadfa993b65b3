"""From texts to a server that classifies and tags sentences, and on from one run to the next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from architectures.bert import transformer_layers
from pipelines.__main__ import main
from pipelines.text import pretrained
from serving.client import Client
from serving.server.lifecycle.version_policy import Model
from serving.server.lifecycle.warmup import WARMUP_FILE
from tests.end_to_end.deploying import ask_as_the_card_says, deploy
from tests.pipelines import written
from tests.serving.in_process import serving

SHORT = (
    *("--epochs", "2", "--batch_size", "8", "--max_length", "24", "--vocabulary", "200"),
    *("--figures", "false"),  # Those of texts are drawn by test_distillation.py.
)
FAST = ("--optimizer.learning_rate", "0.02")
ENCODER = (
    *("--architecture", "bert_tiny", "--model.layers", "2", "--model.heads", "2"),
    *("--model.width", "16", "--model.feed_forward", "16"),
)


@pytest.fixture
def data_dir(workplace) -> Path:
    written.store_topics(workplace / "data")
    written.store_tagged(workplace / "data")
    return workplace / "data"


def train(pipeline: str, dataset: str, data_dir: Path, *options: str) -> str:
    """Runs a pipeline and returns the run's id."""
    chosen = ["--dataset", dataset, "--data_dir", str(data_dir), "--name", pipeline]
    assert main([pipeline, *chosen, *SHORT, *options]) == 0
    (run, *_) = mlflow.search_runs(
        experiment_names=[pipeline], order_by=["start_time DESC"], output_format="list"
    )
    return run.info.run_id


def serve(name: str, workplace: Path, **texts: Any) -> dict[str, np.ndarray]:
    """Serves version 1 and returns what it answers to texts.

    To the requests that were recorded in training it has to answer as the trained model did.
    """
    deployed = deploy(name, workplace / "models", version=1)
    with (
        serving(Model(name, workplace / "models" / name)) as address,
        Client(address, timeout=300) as client,
    ):
        ask_as_the_card_says(name, address, workplace / "models")
        client.wait_until_ready(name, timeout=300)
        records = tf.data.TFRecordDataset(str(deployed.path / WARMUP_FILE)).as_numpy_iterator()
        signatures = set()
        for record in records:
            log = prediction_log_pb2.PredictionLog.FromString(record).predict_log
            asked = {key: tf.make_ndarray(x) for key, x in log.request.inputs.items()}
            signature = log.request.model_spec.signature_name
            signatures.add(signature)
            answer = client.predict(name, asked, signature=signature)
            assert answer.keys() == log.response.outputs.keys()
            for key, proto in log.response.outputs.items():
                alike(answer[key], without_padding(tf.make_ndarray(proto), answer[key].shape))
        assert {"serving_default", "token_ids"} <= signatures
        answer = client.predict(name, texts)
    registered = mlflow.pyfunc.load_model(f"models:/{name}/1").predict(
        {key: np.array(value) for key, value in texts.items()}
    )
    assert answer.keys() == registered.keys()
    for key, value in answer.items():
        # MLflow flattens columns of single values.
        alike(value, np.reshape(registered[key], value.shape))
    return answer


def without_padding(recorded: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Cuts off the padding up to the longest of a larger batch, of which this is a part."""
    kept = recorded[tuple(map(slice, shape))]
    if kept.shape != recorded.shape:
        assert set(recorded[:, shape[1] :].ravel().tolist()) <= {b"", 0, -1}
    return kept


def alike(one: np.ndarray, other: np.ndarray) -> None:
    assert one.shape == other.shape
    if one.dtype.kind == "f":
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    else:
        assert one.tolist() == other.tolist()


@pytest.mark.slow
def test_a_network_of_words_is_asked_what_sentences_are_about(store, workplace, data_dir):
    model = (
        *("--architecture", "word_convnet", "--model.embedding", "8", "--model.filters", "8"),
        *("--model.dropout", "0"),
    )
    train("text_classification", "topics", data_dir, *model, *FAST, "--epochs", "12")
    sentences = ["The SHIP, and a wave and fish.", "a leaf, a tree, a deer", "", "nothing known"]
    answer = serve("text_classification", workplace, text=sentences)
    assert answer["classes"][:2].tolist() == [b"sea", b"wood"]
    np.testing.assert_allclose(answer["probabilities"].sum(-1), 1, rtol=1e-5)


def test_a_tagger_is_asked_who_met_whom(store, workplace, data_dir):
    model = ("--architecture", "bilstm", "--model.embedding", "8", "--model.units", "[8]")
    train("token_classification", "meetings", data_dir, *model, *FAST, "--epochs", "12")
    sentence = "Zoë  met Bob Stone in\nNew York."
    answer = serve("token_classification", workplace, text=[sentence, "", "Ann"])
    assert b" ".join(answer["words"][0]).decode() == "Zoë met Bob Stone in New York ."
    spans = zip(answer["span_labels"][0], answer["span_texts"][0], strict=True)
    assert (b"PER", b"Bob Stone") in spans
    raw = sentence.encode()
    for start, end, text in zip(
        *(answer[f"span_{name}"][0] for name in ("starts", "ends", "texts")), strict=True
    ):
        assert start < 0 or raw[start:end] == text


def test_a_second_run_goes_on_with_the_encoder_of_the_first(store, workplace, data_dir, at_once):
    first = train("text_classification", "topics", data_dir, *ENCODER, "--epochs", "1")
    answer = serve("text_classification", workplace, text=["The ship", "a tree!", ""])
    assert answer["probabilities"].shape == (3, 2)

    encoder = ("--architecture", "bert_tiny", "--encoder", f"runs:/{first}")
    options = ("--freeze_layers", "1", "--text_signature", "false", "--epochs", "1")
    second = train("text_classification", "topics", data_dir, *encoder, *options)
    before, after = (pretrained.find(f"runs:/{run}") for run in (first, second))
    assert pretrained.read_vocabulary(after) == pretrained.read_vocabulary(before)
    old, new = (pretrained.read(folder, "bert") for folder in (before, after))
    frozen, free = (
        {w.path for layer in layers for w in layer.weights}
        for layers in (transformer_layers(old)[:1], transformer_layers(old)[1:])
    )
    frozen |= {w.path for w in old.weights if w.path.split("/")[0].find("embedding") >= 0}
    for one, other in zip(old.weights, new.weights, strict=True):
        if one.path in frozen:
            np.testing.assert_array_equal(one, other)
        elif one.path in free:
            assert np.any(one.numpy() != other.numpy())
    assert mlflow.get_run(second).data.params["encoder"] == f"runs:/{first}"


def test_an_encoder_that_no_run_kept_is_told_in_one_sentence(store, data_dir, capsys):
    chosen = ("--dataset", "topics", "--data_dir", str(data_dir), "--architecture", "bert_tiny")
    assert main(["text_classification", *chosen, "--encoder", "runs:/nowhere"]) == 2
    assert capsys.readouterr().err == ("error: --encoder runs:/nowhere has no saved encoder\n")
