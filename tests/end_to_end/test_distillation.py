"""From a teacher that a run has trained to a server that answers with its student."""

from __future__ import annotations

import mlflow
import numpy as np
import pytest
import tensorflow as tf

import architectures
from pipelines.__main__ import main
from pipelines.text.pretrained import find, read_vocabulary
from pipelines.text.tokenizers import WordPieces
from serving.client import Client
from serving.server.lifecycle.version_policy import Model
from tests.end_to_end.deploying import deploy
from tests.pipelines import written
from tests.serving.in_process import serving

SIZE = (
    *("--model.heads", "2", "--model.width", "16", "--model.feed_forward", "16"),
    *("--model.dropout", "0", "--batch_size", "8", "--optimizer.learning_rate", "0.004"),
)
TEXT = ("--dataset", "topics", "--max_length", "24", "--vocabulary", "200")


@pytest.fixture
def teacher(store, workplace, at_once) -> str:
    written.store_topics(workplace / "data")
    data = ("--data_dir", str(workplace / "data"), "--architecture", "bert_tiny", *TEXT, *SIZE)
    more = ("--model.layers", "4", "--epochs", "8", "--figures", "false")  # Its student draws all.
    assert main(["text_classification", *data, *more]) == 0
    return "models:/topics/1"


def runs(experiment: str) -> list[mlflow.entities.Run]:
    found = mlflow.search_runs(experiment_names=[experiment], output_format="list")
    return [run for run in found if isinstance(run, mlflow.entities.Run)]


def test_a_served_student_answers_as_the_trained_one(teacher, workplace, trained, capsys):
    data = ("--teacher", teacher, "--data_dir", str(workplace / "data"))
    student = ("--architecture", "distilbert_base", "--model.layers", "2", "--epochs", "3")
    assert main(["distillation", *data, *student, *SIZE, "--inherit", "true"]) == 0
    _, network = trained

    # The student trained without a teacher is a run of the teacher's pipeline within the run.
    (run,) = runs("distillation")
    alone, taught = runs("text_classification")
    assert run.data.params["teacher"] == teacher
    assert {"teacher_milliseconds", "student_milliseconds"} <= run.data.metrics.keys()
    assert alone.data.tags["mlflow.parentRunId"] == run.info.run_id
    assert alone.data.params["architecture"] == "distilbert_base"
    baselines = mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/baselines.json")
    for split in ("validation", "test"):
        name = f"{split}/accuracy"
        scores = baselines["student trained without a teacher"][split]
        assert scores["accuracy"] == alone.data.metrics[name]
        assert taught.data.metrics[name] > 0.9
    figures = mlflow.artifacts.list_artifacts(f"runs:/{run.info.run_id}/figures") or ()
    assert "figures/teacher_and_student.png" in {file.path for file in figures}

    # The student is kept as others are: to be served, and to be loaded and to teach.
    deployed = deploy("distilled", workplace / "models", version=1)
    assert deployed.path.name == "1"
    sentences = ["The SHIP, and a wave and fish.", "a leaf, a tree, a deer", ""]
    with (
        serving(Model("distilled", workplace / "models" / "distilled")) as address,
        Client(address, timeout=300) as client,
    ):
        client.wait_until_ready("distilled", timeout=300)
        answer = client.predict("distilled", {"text": sentences})
    assert answer["classes"][:2].tolist() == [b"sea", b"wood"]
    saved = mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/network/model.keras")
    for one, other in zip(architectures.load(saved).weights, network.model.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    tokenizer = WordPieces(read_vocabulary(find(f"runs:/{run.info.run_id}")), 24)
    inputs = {name: x.to_tensor() for name, x in tokenizer(tf.constant(sentences)).items()}
    probabilities = tf.nn.softmax(network.model(inputs, training=False))
    np.testing.assert_allclose(answer["probabilities"], probabilities, atol=1e-5)

    # A choice that cannot work is an error of one sentence.
    capsys.readouterr()
    assert main(["distillation", *data, "--architecture", "resnet20"]) == 2
    assert capsys.readouterr().err == "error: resnet20 does not classify texts\n"
