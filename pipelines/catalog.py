"""The table of pipelines: the project's own, and those of other packages.

One pipeline is one command and one MLflow run, `python -m pipelines PIPELINE [--option value]`.
The table is all that the command line needs before TensorFlow is imported. Another package adds a
pipeline by an entry point of the group `keras_foundry.pipelines`, whose name is the pipeline's and
whose value is `module:PIPELINE`, a `Pipeline`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from pipelines.config import Config, Pipeline
from pipelines.tasks.distillation import config as distillation
from pipelines.tasks.forecasting import config as forecasting
from pipelines.tasks.image_classification import config as image_classification
from pipelines.tasks.image_segmentation import config as image_segmentation
from pipelines.tasks.language_modeling import config as language_modeling
from pipelines.tasks.pretraining import config as pretraining
from pipelines.tasks.question_answering import config as question_answering
from pipelines.tasks.text_classification import config as text_classification
from pipelines.tasks.token_classification import config as token_classification
from pipelines.tasks.translation import config as translation

if TYPE_CHECKING:
    from pipelines.task import Task

PIPELINES: dict[str, Pipeline] = {
    "image_classification": image_classification.PIPELINE,
    "image_segmentation": image_segmentation.PIPELINE,
    "text_classification": text_classification.PIPELINE,
    "token_classification": token_classification.PIPELINE,
    "question_answering": question_answering.PIPELINE,
    "bert_pretraining": pretraining.BERT,
    "electra_pretraining": pretraining.ELECTRA,
    "translation": translation.PIPELINE,
    "language_modeling": language_modeling.PIPELINE,
    "forecasting": forecasting.PIPELINE,
    "distillation": distillation.PIPELINE,
}


def make_task(pipeline: str, config: Config) -> Task:
    """Imports a pipeline's task, and with it TensorFlow, and returns it with `config`."""
    module, name = PIPELINES[pipeline].task.split(":")
    return getattr(importlib.import_module(module), name)(config)
