"""Training pipelines: a task with its default data set, architecture and recipe.

One pipeline is one command and one MLflow run, `python -m pipelines PIPELINE [--option value]`.
The table below is all that the command line needs to know before TensorFlow is imported; the
task itself is imported when it runs.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.config import (
    Augmentation,
    BertConfig,
    Config,
    DistillConfig,
    ElectraConfig,
    ImageConfig,
    LanguageConfig,
    Optimizer,
    Recipe,
    SeriesConfig,
    TextConfig,
    TranslationConfig,
)

if TYPE_CHECKING:
    from pipelines.run import Task


@dataclass(frozen=True)
class Pipeline:
    """A pipeline's summary, the task class in its module, and its default choices."""

    summary: str
    task: str
    defaults: Config


PIPELINES: dict[str, Pipeline] = {
    "image_classification": Pipeline(
        summary="Images to one of several classes",
        task="pipelines.tasks.image_classification.task:ImageClassification",
        defaults=ImageConfig(
            dataset="digits",
            architecture="convnet",
            recipe=Recipe(
                epochs=40,
                batch_size=32,
                optimizer=Optimizer(learning_rate=2e-3),
            ),
            augmentation=Augmentation(shift=0.1, rotation=0.04, zoom=0.1),
        ),
    ),
    "image_segmentation": Pipeline(
        summary="Images to a class for every pixel",
        task="pipelines.tasks.image_segmentation.task:ImageSegmentation",
        defaults=ImageConfig(
            dataset="brain_slices",
            architecture="unet",
            model={"filters": 8, "padding": "same", "normalize": True},
            recipe=Recipe(epochs=20, batch_size=8, optimizer=Optimizer(learning_rate=5e-3)),
        ),
    ),
    "text_classification": Pipeline(
        summary="Texts to one of several classes",
        task="pipelines.tasks.text_classification.task:TextClassification",
        defaults=TextConfig(
            dataset="sotu_era",
            architecture="tapped_delay_line",
            model={
                "embedding": 128,
                "units": [64],
                "length": 3,
                "output": "attention",
                "dropout": 0.5,
            },
            vocabulary=12_000,
            recipe=Recipe(
                epochs=5,
                batch_size=32,
                optimizer=Optimizer(learning_rate=1e-3, average=0.997),
            ),
        ),
    ),
    "token_classification": Pipeline(
        summary="Words of a text to labels, and labels to spans",
        task="pipelines.tasks.token_classification.task:TokenClassification",
        defaults=TextConfig(
            dataset="us_addresses",
            architecture="bilstm",
            vocabulary=1000,
            model={"units": [96], "dropout": 0.3},
            recipe=Recipe(
                epochs=20,
                batch_size=16,
                optimizer=Optimizer(learning_rate=5e-3, clip_norm=1.0),
            ),
        ),
    ),
    "question_answering": Pipeline(
        summary="A question and a passage to the passage's span that answers",
        task="pipelines.tasks.question_answering.task:QuestionAnswering",
        defaults=TextConfig(
            dataset="sotu_cloze",
            architecture="bert_tiny",
            max_length=320,
            recipe=Recipe(
                epochs=3,
                batch_size=32,
                optimizer=Optimizer(learning_rate=1e-3, clip_norm=1.0),
            ),
        ),
    ),
    "bert_pretraining": Pipeline(
        summary="Running text to an encoder that guesses hidden words",
        task="pipelines.tasks.pretraining.bert:BertPretraining",
        defaults=BertConfig(
            dataset="sotu_sentences",
            architecture="bert_tiny",
            name="bert",
            max_length=128,
            recipe=Recipe(
                epochs=5,
                batch_size=16,
                optimizer=Optimizer(learning_rate=1e-3, clip_norm=1.0),
            ),
        ),
    ),
    "electra_pretraining": Pipeline(
        summary="Running text to an encoder that tells replaced words",
        task="pipelines.tasks.pretraining.electra:ElectraPretraining",
        defaults=ElectraConfig(
            dataset="sotu_sentences",
            architecture="electra_small",
            name="electra",
            model={"layers": 2, "heads": 4, "width": 128, "feed_forward": 512},
            max_length=128,
            recipe=Recipe(
                epochs=4,
                batch_size=16,
                optimizer=Optimizer(learning_rate=1e-3, clip_norm=1.0),
            ),
        ),
    ),
    "translation": Pipeline(
        summary="Texts to their translations",
        task="pipelines.tasks.translation.task:Translation",
        defaults=TranslationConfig(
            dataset="bible_en_es",
            architecture="transformer_base",
            model={
                "layers": 2,
                "heads": 4,
                "width": 128,
                "feed_forward": 512,
                "dropout": 0.2,
                "norm": "pre",
            },
            recipe=Recipe(
                epochs=9,
                batch_size=64,
                optimizer=Optimizer(learning_rate=2e-3, schedule="inverse_sqrt", warmup=0.2),
            ),
        ),
    ),
    "language_modeling": Pipeline(
        summary="Text to the probability of what follows, and to text that goes on",
        task="pipelines.tasks.language_modeling.task:LanguageModeling",
        defaults=LanguageConfig(
            dataset="sotu_text",
            architecture="lstm",
            model={"embedding": 200, "units": [200], "tie_embeddings": True, "dropout": 0.15},
            recipe=Recipe(
                epochs=5,
                batch_size=16,
                optimizer=Optimizer(learning_rate=5e-3, warmup=0.05, clip_norm=1.0),
            ),
        ),
    ),
    "forecasting": Pipeline(
        summary="The past of a series to quantiles of its future",
        task="pipelines.tasks.forecasting.task:Forecasting",
        defaults=SeriesConfig(
            dataset="elnino",
            architecture="gru",
            model={"units": [32], "dropout": 0.2},
            recipe=Recipe(
                epochs=100,
                batch_size=32,
                patience=25,
                optimizer=Optimizer(learning_rate=3e-3, clip_norm=1.0),
            ),
        ),
    ),
    "distillation": Pipeline(
        summary="What a trained model knows to a smaller one",
        task="pipelines.tasks.distillation.task:Distillation",
        defaults=DistillConfig(
            architecture="tapped_delay_line",
            model={
                "embedding": 8,
                "units": [16],
                "length": 3,
                "output": "attention",
            },
            name="distilled",
            teacher="text_classification",
            recipe=Recipe(
                epochs=8,
                batch_size=32,
                optimizer=Optimizer(learning_rate=3e-3),
            ),
        ),
    ),
}


def make_task(pipeline: str) -> Task:
    """Imports a pipeline's module, and with it TensorFlow, and returns its task."""
    module, task = PIPELINES[pipeline].task.split(":")
    return getattr(importlib.import_module(module), task)()
