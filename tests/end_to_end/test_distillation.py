"""From a teacher that a run has trained to a server that answers with its student."""

from __future__ import annotations

import keras
import mlflow
import numpy as np
import pytest
from pipelines.tasks.distillation.distiller import Teacher

import architectures
from architectures.bert import transformer_layers
from pipelines import run as pipeline
from pipelines import training
from pipelines.__main__ import main
from pipelines.catalog import PIPELINES
from pipelines.tasks.distillation import distiller
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
    given = ("--data_dir", str(workplace / "data"), "--architecture", "bert_tiny", *TEXT, *SIZE)
    assert main(["text_classification", *given, "--model.layers", "4", "--epochs", "8"]) == 0
    return "models:/topics/1"


def runs(experiment: str) -> list[mlflow.entities.Run]:
    found = mlflow.search_runs(experiment_names=[experiment], output_format="list")
    return [run for run in found if isinstance(run, mlflow.entities.Run)]


def test_a_served_student_answers_as_it_was_taught(teacher, workplace, trained):
    data = ("--data_dir", str(workplace / "data"))
    student = ("--architecture", "distilbert_base", "--model.layers", "2", "--epochs", "3")
    assert (
        main(["distillation", "--teacher", teacher, *data, *student, *SIZE, "--inherit", "true"])
        == 0
    )
    _, model = trained

    # The run stands beside one of the student alone, which is a run of the teacher's pipeline.
    (run,) = runs("distillation")
    alone, taught = runs("text_classification")
    assert run.data.params["teacher"] == teacher
    assert alone.data.tags["mlflow.parentRunId"] == run.info.run_id
    assert alone.data.params["architecture"] == "distilbert_base"
    for split in ("validation", "test"):
        name = f"{split}_accuracy"
        baselines = mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/baselines.json")
        assert baselines["the student alone"][split]["accuracy"] == alone.data.metrics[name]
        assert taught.data.metrics[name] > 0.9
    figures = mlflow.artifacts.list_artifacts(f"runs:/{run.info.run_id}/figures") or ()
    assert "figures/teacher_and_student.png" in {file.path for file in figures}

    # The student is kept as others are: to be asked, to be taken on, and to teach.
    deployed = deploy("distilled", workplace / "models", version=1)
    sentences = ["The SHIP, and a wave and fish.", "a leaf, a tree, a deer", ""]
    with (
        serving(Model("distilled", workplace / "models" / "distilled")) as address,
        Client(address, timeout=60) as client,
    ):
        client.wait_until_ready("distilled", timeout=120)
        answer = client.predict("distilled", {"text": sentences})
    assert answer["classes"][:2].tolist() == [b"sea", b"wood"]
    found = distiller.find(teacher)
    data_set = found.task.load(found.config)
    inputs = {name: x.to_tensor() for name, x in data_set.tokenizer(np.array(sentences)).items()}
    chance = keras.ops.softmax(model({k: inputs[k] for k in model.input}, training=False))
    np.testing.assert_allclose(answer["probabilities"], chance, atol=1e-5)
    network = architectures.load(
        mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/network/model.keras")
    )
    for one, other in zip(network.weights, model.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert deployed.path.name == "1"


REFUSED = [
    (["--dataset", "digits"], "--dataset follows from the teacher, and cannot be digits"),
    (
        ["--architecture", "lstm", "--model.vocabulary", "9"],
        "--model.vocabulary cannot be chosen: it follows from the data set",
    ),
    (["--architecture", "resnet20"], "resnet20 does not classify texts"),
    (
        ["--architecture", "electra_small", "--model.layers", "9", "--inherit", "true"],
        "--inherit: the student must not have more layers than the teacher's 4, and has 9",
    ),
    (
        [
            *("--architecture", "distilbert_base", "--model.layers", "2", "--model.width", "24"),
            *("--model.heads", "2", "--inherit", "true"),
        ],
        "--inherit: transformer_layer_0 of the student has weights",
    ),
]


def test_what_is_chosen_decides_whom_a_student_learns_from_and_what_it_begins_with(
    teacher, workplace, monkeypatch, capsys
):
    # What cannot work is told in one sentence.
    data = ("--data_dir", str(workplace / "data"))
    for options, message in REFUSED:
        assert main(["distillation", "--teacher", teacher, *data, *options]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {message}")
        assert error.count("\n") == 1

    # Who inherits begins with every other layer of the teacher; no step is taken here.
    started: list[keras.Model] = []

    def untrained(task, model, *others) -> keras.Model:
        started.append(model)
        return model

    monkeypatch.setattr(training, "fit", untrained)
    options = ["--teacher", teacher, "--data_dir", str(workplace / "data"), *SIZE]
    student = ["--architecture", "distilbert_base", "--model.layers", "2", "--inherit", "true"]
    assert main(["distillation", *options, *student]) == 0
    alone, model = started
    own, others = transformer_layers(model), transformer_layers(distiller.find(teacher).network)
    for layer, source in zip(own, (others[0], others[2]), strict=True):
        for one, other in zip(layer.get_weights(), source.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
    assert np.any(transformer_layers(alone)[0].get_weights()[0] != own[0].get_weights()[0])

    # A pipeline's name stands for its default run, which is made first.
    asked = []

    class Made:
        class run:  # noqa: N801
            uri = f"runs:/{runs('text_classification')[-1].info.run_id}"

    def made(*arguments):
        asked.append(arguments)
        return Made

    monkeypatch.setattr(pipeline, "run", made)
    found = distiller.find("text_classification")
    ((name, task, config),) = asked
    assert (name, config) == ("text_classification", PIPELINES["text_classification"].defaults)
    assert isinstance(found, Teacher)
    assert type(found.task) is type(task)
    assert found.config.architecture == "bert_tiny"
