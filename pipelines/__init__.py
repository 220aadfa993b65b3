"""Training pipelines: a task with its default data set, architecture and recipe.

One pipeline is one command and one MLflow run, `python -m pipelines PIPELINE [--option value]`.
The table below is all that the command line needs to know before TensorFlow is imported; the
task itself is in the module of the pipeline's name.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.recipe import Augmentation, Config, Optimizer, Recipe


@dataclass(frozen=True)
class Pipeline:
    """A pipeline's summary, the task class in its module, and its default choices."""

    summary: str
    task: str
    defaults: Config


PIPELINES: dict[str, Pipeline] = {
    "classify_images": Pipeline(
        summary="Images to one of several classes",
        task="ClassifyImages",
        defaults=Config(
            dataset="digits",
            architecture="convnet",
            recipe=Recipe(
                epochs=40,
                batch_size=32,
                optimizer=Optimizer(learning_rate=2e-3),
                augmentation=Augmentation(shift=0.1, rotation=0.04, zoom=0.1),
            ),
        ),
    ),
}
