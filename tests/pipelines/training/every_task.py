"""A tiny network of every pipeline, and its training on two devices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.datasets.dataset import Dataset
from pipelines.image.config import Augmentation
from pipelines.recipe import Optimizer, Recipe
from pipelines.task import Task, Teacher
from pipelines.tasks.forecasting.task import Forecasting
from pipelines.tasks.image_captioning.task import ImageCaptioning
from pipelines.tasks.image_classification.task import ImageClassification
from pipelines.tasks.image_segmentation.task import ImageSegmentation
from pipelines.tasks.language_modeling.task import LanguageModeling
from pipelines.tasks.pretraining.bert import BertPretraining
from pipelines.tasks.pretraining.electra import ElectraPretraining
from pipelines.tasks.question_answering.task import QuestionAnswering
from pipelines.tasks.text_classification.config import TextClassificationConfig
from pipelines.tasks.text_classification.task import TextClassification
from pipelines.tasks.token_classification.task import TokenClassification
from pipelines.tasks.translation.task import Translation
from pipelines.training import multi_worker, strategies, trainer
from pipelines.training.batching import steps_per_epoch, training_batches
from tests.pipelines import samples, written
from tests.pipelines.tasks.forecasting import examples as forecasting
from tests.pipelines.tasks.image_captioning import examples as captioning
from tests.pipelines.tasks.image_segmentation import examples as segmentation
from tests.pipelines.tasks.language_modeling import examples as language_modeling
from tests.pipelines.tasks.pretraining import examples as pretraining
from tests.pipelines.tasks.question_answering import examples as question_answering
from tests.pipelines.tasks.translation import examples as translation

# Few examples, and a last batch of three, which two devices cannot halve.
SIZES = {"train": 11, "validation": 5, "test": 2}
RECIPE = Recipe(epochs=1, batch_size=8, optimizer=Optimizer(name="sgd", learning_rate=0.1))
CELL: dict[str, Any] = {"units": [4], "embedding": 4}
TRANSFORMER = {"layers": 1, "heads": 2, "width": 8, "feed_forward": 8}

Case = tuple[Task, Dataset]


def cases(folder: Path) -> dict[str, Callable[[], Case]]:
    """Returns for each pipeline a function that makes its task, and tiny data."""

    def of_store(task: Task) -> Case:
        return task, task.load()

    def images(augmentation: Augmentation = samples.NO_AUGMENTATION) -> Case:
        chosen = samples.config(augmentation=augmentation)
        return ImageClassification(chosen), samples.striped(sizes=SIZES)

    def masks() -> Case:
        chosen = replace(segmentation.config(), loss="cross_entropy+dice")
        return ImageSegmentation(chosen), segmentation.squares(sizes=SIZES)

    def pictures() -> Case:
        chosen = captioning.config("cnn_transformer_captioner")
        return ImageCaptioning(chosen), captioning.loaded(chosen, SIZES)

    def topics() -> Case:
        features = {"text": written.TEXT, "label": written.label(*written.TOPICS)}
        written.store(folder, "topics", features, written.topics(SIZES))
        chosen = vars(written.config(folder, "topics", "lstm", model=CELL))
        return of_store(TextClassification(TextClassificationConfig(**chosen)))

    def tags() -> Case:
        features = {"tokens": written.TOKENS, "tags": written.labels(*written.TAGS)}
        written.store(folder, "meetings", features, written.tagged(SIZES))
        chosen = written.config(folder, "meetings", "bilstm", model=CELL)
        return of_store(TokenClassification(chosen))

    def answers() -> Case:
        task = QuestionAnswering(question_answering.config(model=TRANSFORMER))
        return task, question_answering.loaded(task, SIZES)

    def pairs() -> Case:
        chosen = translation.config("lstm_seq2seq", model={**CELL, "units": 4})
        return Translation(chosen), translation.loaded(chosen, SIZES)

    def speeches() -> Case:
        chosen = language_modeling.config(model=CELL)
        return LanguageModeling(chosen), language_modeling.loaded(chosen, SIZES)

    def series() -> Case:
        chosen = forecasting.config()
        return Forecasting(chosen), forecasting.series(forecasting.noise(40))

    def student() -> Case:
        task, data = images(Augmentation(cut_mix=1.0, mix_up=0.4))
        model = trainer.build(task, data).model
        teacher = Teacher("runs:/1", "image_classification", task, model, 2.0, 0.9, inherit=False)
        return ImageClassification(task.config, teacher), data

    def sentences() -> Case:
        pretraining.store_documents(folder)
        return of_store(BertPretraining(pretraining.config(folder)))

    def corrupted() -> Case:
        pretraining.store_documents(folder)
        return of_store(ElectraPretraining(pretraining.electra_config(folder)))

    return {
        "image_classification": images,
        "image_segmentation": masks,
        "image_captioning": pictures,
        "text_classification": topics,
        "token_classification": tags,
        "question_answering": answers,
        "bert_pretraining": sentences,
        "electra_pretraining": corrupted,
        "translation": pairs,
        "language_modeling": speeches,
        "forecasting": series,
        "distillation": student,
    }


def loss(task: Task, data: Dataset) -> float:
    """Trains for an epoch on two devices, and returns its loss."""
    config = replace(task.config, devices=2, recipe=RECIPE)
    task = type(task)(config, task.teacher)
    network, strategy = trainer.build(task, data), strategies.strategy(config)
    before = network.model.get_weights()
    fitted, batches = trainer.fitted_model(task, network, data), training_batches(task, data)
    # As `trainer.fit` does, but without validation, whose graphs take as long to make.
    with multi_worker.cured(fitted, batches.element_spec):
        steps = steps_per_epoch(data, RECIPE.batch_size)
        of_both = multi_worker.distributed(batches, strategy, endless=True)
        history = fitted.fit(of_both, steps_per_epoch=steps, verbose=0).history
    assert any(map(np.any, map(np.not_equal, before, network.model.get_weights())))
    for variable in network.model.trainable_variables:
        first, second = strategy.experimental_local_results(variable.value)
        np.testing.assert_array_equal(first, second, variable.path)
    if sample := task.sampler(network, data):
        assert sample()
    return history["loss"][0]
