"""Students: which runs can teach, and which choices are the student's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

from pipelines import tracking
from pipelines.catalog import PIPELINES
from pipelines.config import Config
from pipelines.errors import UserError
from pipelines.image.config import ImageConfig
from pipelines.recipe import Recipe
from pipelines.run import write_network
from pipelines.tasks.distillation import task as distillation
from pipelines.tasks.distillation.config import DistillationConfig
from pipelines.tasks.distillation.task import find, make_student
from pipelines.tasks.image_classification.task import ImageClassification
from pipelines.tasks.pretraining.config import BertPretrainingConfig
from pipelines.tasks.text_classification.config import TextClassificationConfig
from pipelines.trained import read
from tests.pipelines import written

IMAGES = ImageConfig(dataset="digits", architecture="convnet", data_dir="/there", image_size=12)
STUDENT = DistillationConfig(
    architecture="mlp",
    model={"units": [3]},
    name="little",
    recipe=Recipe(epochs=3, seed=7),
    temperature=3.0,
    alpha=0.25,
)


def linear() -> keras.Model:
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])


def log_run(folder: Path, pipeline: str, config: Config, model: keras.Model | None = None) -> str:
    """Logs what a run of a pipeline would keep of its network."""
    with tracking.run(pipeline, config) as tracked:
        write_network(model or linear(), folder / "network")
        tracked.folder(folder / "network")
    return tracked.uri


def test_a_student_has_its_own_network_and_the_task_of_its_teacher(store, tmp_path):
    model = linear()
    uri = log_run(tmp_path, "image_classification", IMAGES, model)
    student = make_student(replace(STUDENT, teacher=uri))
    assert type(student) is ImageClassification
    assert student.config == replace(
        IMAGES, architecture="mlp", model={"units": [3]}, name="little", recipe=STUDENT.recipe
    )
    teacher = student.teacher
    assert teacher is not None
    assert (teacher.pipeline, teacher.task.config) == ("image_classification", IMAGES)
    assert (teacher.temperature, teacher.alpha, teacher.inherit) == (3.0, 0.25, False)
    for one, other in zip(teacher.model.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    # Where the data are may differ from machine to machine.
    moved = make_student(replace(STUDENT, teacher=uri, data_dir="/here", manual_dir="/mine"))
    assert (moved.config.data_dir, moved.config.manual_dir) == ("/here", "/mine")
    assert moved.teacher is not None
    assert moved.teacher.task.config == replace(IMAGES, data_dir="/here", manual_dir="/mine")


def test_a_pipeline_stands_for_its_default_run_which_is_made_first(store, tmp_path, monkeypatch):
    uri, made = log_run(tmp_path, "image_classification", IMAGES), []

    def run(*arguments: Any) -> Any:
        made.append(arguments)
        return SimpleNamespace(run=SimpleNamespace(uri=uri))

    monkeypatch.setattr(distillation, "run", run)
    found = find(replace(STUDENT, teacher="image_classification", max_examples=9, figures=False))
    own = replace(PIPELINES["image_classification"].defaults, max_examples=9, figures=False)
    assert made == [("image_classification", own)]
    assert (found.pipeline, found.config) == ("image_classification", IMAGES)


def test_a_run_is_read_with_the_teacher_that_its_pipeline_has_made(store, tmp_path):
    """So that a variant of the student is made without training the teacher once more."""
    config = replace(STUDENT, teacher="image_classification", max_examples=9)
    with tracking.run("distillation", config) as tracked:
        tracked.tags({"teacher": "runs:/1"})
        write_network(linear(), tmp_path / "network")
        tracked.folder(tmp_path / "network")
    found = read(tracked.id)
    assert (found.uri, found.config) == (tracked.uri, replace(STUDENT, teacher="runs:/1"))


@pytest.mark.parametrize("teacher", ["", "digits", "runs:/nowhere", "models:/"])
def test_what_is_no_teacher_is_an_error_of_one_sentence(teacher, store):
    with pytest.raises(
        UserError, match=f"--teacher must be a run .* or one of .*, not '{teacher}'"
    ):
        find(replace(STUDENT, teacher=teacher))


def test_a_teacher_that_is_not_registered_is_named(store):
    message = "--teacher models:/nothing@champion: there is no registered model nothing"
    with pytest.raises(UserError, match=f"^{message}$"):
        find(replace(STUDENT, teacher="models:/nothing@champion"))


def test_a_pipeline_without_logits_has_no_students(store, tmp_path):
    message = "--teacher must be of image_classification, .* not of forecasting"
    with pytest.raises(UserError, match=message):
        find(replace(STUDENT, teacher="forecasting"))
    uri = log_run(tmp_path, "forecasting", PIPELINES["forecasting"].defaults)
    with pytest.raises(UserError, match=message):
        find(replace(STUDENT, teacher=uri))


def test_the_data_set_cannot_be_chosen():
    with pytest.raises(UserError, match="--dataset follows from the teacher, and cannot be digits"):
        make_student(replace(STUDENT, dataset="digits"))


def test_a_part_of_a_teachers_data_cannot_be_chosen():
    with pytest.raises(UserError, match="--max_examples follows from the teacher's run"):
        make_student(replace(STUDENT, teacher="runs:/7", max_examples=3))


def test_the_name_and_the_note_of_a_run_are_not_those_of_its_student_alone(store, tmp_path):
    """That one is a run within the run."""
    uri = log_run(tmp_path, "image_classification", replace(IMAGES, note="of the teacher"))
    student = make_student(replace(STUDENT, teacher=uri, run_name="mine", note="why", tag=["a=b"]))
    own = student.config
    assert (own.run_name, own.note, own.tag) == ("", "", ["a=b"])


def test_a_student_of_an_encoder_starts_without_it(store, tmp_path):
    """The teacher keeps its encoder, whose vocabulary both read."""
    chosen = TextClassificationConfig(
        dataset="topics", architecture="bert_tiny", encoder="runs:/7", freeze_layers=1
    )
    uri = log_run(tmp_path, "text_classification", chosen)
    student = make_student(replace(STUDENT, teacher=uri, architecture="distilbert_base"))
    assert (student.config.encoder, student.config.freeze_layers) == ("", 0)
    assert student.teacher is not None
    assert student.teacher.task.config == chosen


@pytest.mark.parametrize(
    ("architecture", "sentence_task"), [("distilbert_base", "none"), ("bert_tiny", "auto")]
)
def test_without_a_sentence_task_a_student_learns_from_masked_tokens(
    store, tmp_path, architecture, sentence_task
):
    chosen = BertPretrainingConfig(dataset="shores", architecture="bert_tiny")
    uri = log_run(tmp_path, "bert_pretraining", chosen)
    student = make_student(replace(STUDENT, teacher=uri, architecture=architecture))
    assert student.teacher is not None
    assert student.teacher.task.config == replace(chosen, sentence_task=sentence_task)
    assert student.config.sentence_task == sentence_task


def test_hyperparameters_that_follow_from_the_data_set_cannot_be_chosen(store, tmp_path):
    written.store_topics(tmp_path)
    chosen = TextClassificationConfig(
        dataset="topics", data_dir=str(tmp_path), architecture="bert_tiny"
    )
    uri = log_run(tmp_path, "text_classification", chosen)
    config = replace(STUDENT, teacher=uri, architecture="lstm", model={"vocabulary": 9})
    student = make_student(config)
    assert student.teacher is not None
    with pytest.raises(
        UserError, match=r"--model\.vocabulary cannot be chosen: it follows from the data set"
    ):
        student.network(student.teacher.task.load())
