"""The pipeline `distillation`: its options and defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

from pipelines.bounds import Between
from pipelines.config import TEACHER, Config, Pipeline
from pipelines.errors import UserError
from pipelines.recipe import Optimizer, Recipe


@dataclass(frozen=True)
class DistillationConfig(Config):
    """Knowledge distillation options; the data set is the teacher's."""

    teacher: str = ""
    """runs:/… or models:/… of your own run, or a pipeline, whose default run is made first."""
    temperature: Annotated[float, Between(0.1, 100.0)] = 2.0
    """Temperature that logits are divided by (Hinton et al. 2015)."""
    alpha: Annotated[float, Between(0.0, 1.0)] = 0.9
    """Weight of the distillation loss; 1 - alpha is that of the task's own loss."""
    inherit: bool = False
    """Initialize an encoder of BERT's family from its teacher's layers (Sanh et al. 2019)."""

    head_hyperparameters = ("pooling",)
    has_classes = True  # Where its teacher has some.

    def of_run(self, uri: str, tags: Mapping[str, str]) -> DistillationConfig:
        """Returns the config with the teacher that the default run of a pipeline has become."""
        if TEACHER not in tags:
            return self
        return replace(self, teacher=tags[TEACHER], max_examples=0)

    def check(self) -> None:
        """Raises `UserError` for a data set, or a part of one, other than the teacher's."""
        if self.dataset:
            raise UserError(f"--dataset follows from the teacher, and cannot be {self.dataset}")
        if self.max_examples and ":/" in self.teacher:
            raise UserError("--max_examples follows from the teacher's run, and cannot be chosen")

    @property
    def title(self) -> str:
        """The run's name in MLflow."""
        return f"{self.architecture} from {self.teacher}"


PIPELINE = Pipeline(
    summary="Knowledge distillation",
    task="pipelines.tasks.distillation.task:make_student",
    defaults=DistillationConfig(
        architecture="bert_tiny",
        model={"layers": 1, "heads": 4, "dropout": 0.0},
        name="distilled",
        teacher="bert_pretraining",
        inherit=True,
        recipe=Recipe(
            epochs=3,
            batch_size=8,
            optimizer=Optimizer(learning_rate=2e-3, clip_norm=1.0),
        ),
    ),
)
