"""The table of pipelines: the project's own, and those of other packages.

One pipeline is one command and one MLflow run, `python -m pipelines PIPELINE [--option value]`.
The table is all that the command line needs before TensorFlow is imported. Another package adds a
pipeline by an entry point of the group `keras_foundry.pipelines`, whose name is the pipeline's and
whose value is `module:PIPELINE`, a `Pipeline`; docs/adding-a-pipeline.md has an example.
"""

from __future__ import annotations

import functools
import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from architectures import plugins
from architectures.plugins import Plugins
from architectures.words import nearest
from pipelines.config import Config, Pipeline
from pipelines.errors import UserError
from pipelines.tasks.distillation import config as distillation
from pipelines.tasks.forecasting import config as forecasting
from pipelines.tasks.image_captioning import config as image_captioning
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

GROUP = "keras_foundry.pipelines"

PIPELINES: dict[str, Pipeline] = {
    "image_classification": image_classification.PIPELINE,
    "image_segmentation": image_segmentation.PIPELINE,
    "image_captioning": image_captioning.PIPELINE,
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


@functools.cache
def foreign() -> Plugins[Pipeline]:
    """Returns the pipelines that other installed packages add.

    Raises:
        UserError: A name is defined twice.
    """
    try:
        return plugins.load(GROUP, Pipeline, PIPELINES)
    except ValueError as error:
        raise UserError(str(error)) from error


def pipelines() -> dict[str, Pipeline]:
    """Returns all pipelines by name: the project's own, then those of other packages.

    Raises:
        UserError: A name is defined twice.
    """
    return {**PIPELINES, **foreign().objects}


# What a run's title says anyway, or need not say.
_IN_EVERY_TITLE = {"architecture", "dataset", "seed", "seeds", "recipe", "name", "figures"}
_CHANGES = 4
_MAX_TITLE = 200


def get(name: str) -> Pipeline:
    """Returns the pipeline `name`.

    Raises:
        UserError: The name is unknown, or the package that defines it cannot be used.
    """
    known = pipelines()
    if name in known:
        return known[name]
    if name in foreign().problems:
        raise UserError(foreign().problems[name])
    raise UserError(
        f"unknown pipeline {name!r}; {nearest(name, known)}known are: {', '.join(known)}"
    )


def recipe(pipeline: str, name: str) -> ModuleType:
    """Returns the module of a recipe: `CONFIG`, and a docstring that says what to expect.

    Raises:
        UserError: The pipeline has none of this name.
    """
    known = get(pipeline).recipes
    if name not in known:
        there = ", ".join(known) or "none"
        raise UserError(
            f"{pipeline} has no recipe {name!r}; {nearest(name, known)}there are: {there}"
        )
    return importlib.import_module(known[name])


def check_teacher(config: Config) -> None:
    """Checks that the teacher, if there is one, may be a run's URI, or a distillable pipeline.

    Raises:
        UserError: It cannot.
    """
    if not isinstance(config, distillation.DistillationConfig):
        return
    if config.teacher in pipelines():
        check_distillable(config.teacher)
    elif not config.teacher.startswith(("runs:/", "models:/")):
        raise no_teacher(config.teacher)


def check_trained_teacher(config: Config) -> None:
    """Checks that the teacher, if there is one, is trained already, so that many can learn from it.

    Raises:
        UserError: It is a pipeline's name.
    """
    if isinstance(config, distillation.DistillationConfig) and config.teacher in pipelines():
        raise UserError(
            f"--teacher must be a run, as runs:/…, and not the pipeline {config.teacher}, for all "
            f"to learn from the same one; `python -m pipelines {config.teacher}` makes one"
        )


def check_distillable(pipeline: str) -> None:
    """Raises `UserError` if a student cannot learn from the networks of a pipeline."""
    known = pipelines()
    if pipeline not in known or not known[pipeline].distillable:
        raise UserError(
            f"--teacher must be of {', '.join(_distillable())}, not of "
            f"{pipeline or 'an unknown pipeline'}"
        )


def no_teacher(teacher: str) -> UserError:
    """Returns the error of a name that is no teacher's."""
    near = nearest(teacher, _distillable()).removesuffix("; ")
    return UserError(
        f"--teacher must be a run that kept its network, as runs:/… or models:/…, or one of "
        f"{', '.join(_distillable())}, not {teacher!r}{'; ' * bool(near)}{near}"
    )


def _distillable() -> list[str]:
    return [name for name, pipeline in pipelines().items() if pipeline.distillable]


def make_task(name: str, config: Config) -> Task:
    """Imports a pipeline's task, and with it TensorFlow, and returns it with `config`.

    Raises:
        UserError: A choice cannot work, or the package that defines the task cannot be used.
    """
    module, _, attribute = get(name).task.partition(":")
    try:
        make = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        if name in PIPELINES:
            raise
        # Code of another package may raise anything.
        package = foreign().distributions[name]
        raise UserError(
            f"the task {module}:{attribute} of {name}, from the package {package}, cannot be "
            f"imported: {error}"
        ) from error
    return make(config)


def title(pipeline: str, config: Config) -> str:
    """Returns the name of a run for which none is chosen: what tells it from others.

    That is architecture, data set, seed, and the first options that are not the default, as
    "convnet on digits, seed 0, epochs 3".
    """
    chosen = config.recipe.recipe
    known = pipelines().get(pipeline)
    usual = recipe(pipeline, chosen).CONFIG if chosen else known.defaults if known else config
    defaults = usual.hyperparameters()
    changed = [
        f"{name.rpartition('.')[2]} {value}"
        for name, value in config.hyperparameters().items()
        if name not in _IN_EVERY_TITLE and value != defaults.get(name)
    ]
    parts = [f"{config.architecture} on {config.dataset}", *([chosen] if chosen else [])]
    parts += [f"seed {config.recipe.seed}", *changed[:_CHANGES]]
    return ", ".join([*parts, *(["…"] if len(changed) > _CHANGES else [])])[:_MAX_TITLE]
