"""What a trained network knows, to a smaller one.

    python -m pipelines distillation

trains the default network of `text_classification` (1,549,059 parameters) in a run of its own, and
then two students with a sixteenth of the parameters (96,507) on the same sentences: one that learns
from the truth alone, the baseline, and one that learns from its teacher as well. Measured on a busy
machine of two cores, 5 minutes in all, the teacher's 2 minutes among them:

| | validation accuracy | test accuracy | test log loss |
|---|---|---|---|
| the student alone, seeds 0 and 1 | .742 .750 | .750 .758 | 1.09 .95 |
| the student, seeds 0 and 1 | .765 .765 | .778 .777 | .55 .55 |
| the teacher, seed 0 | .768 | .784 | |

The margin is .019 to .028; the interval of the student's test accuracy is .761 to .796. Alone, so
small a network grows overconfident in 8 epochs; what its teacher thinks keeps it from that. A
`bigru` of 195,363 parameters comes from .760 to .774. TF-IDF with logistic regression, at .777, is
as good as teacher and student, so that the gate may not promote them.

Not every student gains: of digits, from a teacher with .962, a convnet of few filters learned .864,
.788 and .804 with seeds 0 to 2, and alone .844, .773 and .831.

    python -m pipelines distillation --teacher runs:/ID --architecture distilbert_base \\
        --model.layers 1 --model.heads 2 --model.width 128 --model.feed_forward 512 --inherit true

is DistilBERT's way (Sanh et al. 2019), from a run of `bert_pretraining`: the student begins with
every other layer of its teacher, and learns the hidden words from it; their cosine loss of hidden
states is left out. At scale DistilBERT keeps 97 % of BERT's score on GLUE with 40 % fewer
parameters.

A teacher is any run of a pipeline whose network gives logits (`distillation.TEACHERS`). Data set
and tokens are the teacher's; so are the entries of the SavedModel, so that the student
takes its place behind the same client. The student alone is logged as a run within the run.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from matplotlib.figure import Figure

from architectures.bert import inherit
from pipelines import baselines, evaluation, tracking, training
from pipelines.baselines import Baseline
from pipelines.config import Config
from pipelines.errors import UserError
from pipelines.export.signature import Signature
from pipelines.predictions import Predictions, Scores
from pipelines.task import Data, Task
from pipelines.tasks.distillation import distiller
from pipelines.tasks.distillation.config import DistillationConfig
from pipelines.tasks.distillation.distiller import Distiller, Teacher
from pipelines.tasks.pretraining.bert import sentence_task
from pipelines.tasks.pretraining.config import BertPretrainingConfig
from pipelines.text.config import TextConfig

# Where the data are is the machine's affair, and no run's.
_FOLDERS = ("data_dir", "manual_dir")


class Distillation(Task):
    """The teacher's task, for another network."""

    _choice: DistillationConfig
    _teacher: Teacher
    _student: Config
    _alone: Baseline

    @property
    def metric(self) -> str:  # type: ignore[override]
        return self._teacher.task.metric

    @property
    def greater_is_better(self) -> bool:  # type: ignore[override]
        return self._teacher.task.greater_is_better

    def load(self, config: DistillationConfig) -> Data:
        if config.dataset:
            raise UserError(f"--dataset follows from the teacher, and cannot be {config.dataset}")
        self._choice, self._teacher = config, distiller.find(config.teacher)
        given = self._teacher.config
        given = replace(given, **{x: getattr(config, x) or getattr(given, x) for x in _FOLDERS})
        if isinstance(given, BertPretrainingConfig) and not sentence_task(config.architecture):
            given = replace(given, sentence_task="none")  # The hidden words are enough to learn.
        self._student = replace(
            given,
            architecture=config.architecture,
            model=config.model,
            name=config.name,
            recipe=config.recipe,
        )
        if isinstance(self._student, TextConfig):
            self._student = replace(self._student, encoder="", freeze_layers=0)
        # What the student reads is made as for the teacher, by its tokenizer.
        return self._teacher.task.load(given)

    def model(self, config: DistillationConfig, data: Data) -> keras.Model:
        teacher, student = self._teacher.network, self._teacher.task.model(self._student, data)
        if self._choice.inherit:
            try:
                inherit(student, teacher)
            except ValueError as error:
                raise UserError(f"--{error}") from error
        return distiller.in_place_of(teacher, student)

    def learner(self, model: keras.Model) -> keras.Model:
        if not self._choice.alpha:
            return model
        learner = Distiller(
            distiller.limited(self._teacher.network, model),
            model,
            temperature=self._choice.temperature,
            alpha=self._choice.alpha,
        )
        learner.compile(
            optimizer=model.optimizer,
            loss=self.loss(),
            weighted_metrics=self.metrics(),
            jit_compile=model.jit_compile,
        )
        return learner

    def baselines(self, data: Data) -> list[Baseline]:
        """Returns the student alone, trained as long but on the truth only, and the task's own."""
        alone, recipe = copy.copy(self), self._student.recipe
        alone._choice = replace(self._choice, alpha=0.0, inherit=False)
        # A task may take note of the network that it builds.
        alone._teacher = replace(self._teacher, task=copy.copy(self._teacher.task))
        with tracking.run(self._teacher.pipeline, self._student) as tracked:
            model = training.build(alone, data, self._student)
            model = training.fit(alone, model, data, self._student, tracked)
            self._alone = baselines.scored(
                "the student alone",
                self.scores,
                lambda split: evaluation.predict(alone, model, data, split, recipe.batch_size),
            )
            tracked.scores(self._alone)
        return [self._alone, *self._teacher.task.baselines(data)]

    def figures(
        self, model: keras.Model, data: Data, test: Predictions
    ) -> Iterator[tuple[str, Figure]]:
        """Yields teacher and student side by side, and the task's own pictures."""
        network, size = self._teacher.network, self._student.recipe.batch_size
        known = self.scores(evaluation.predict(self._teacher.task, network, data, "test", size))
        bars = {
            f"teacher, {self._teacher.config.architecture}": (known, network),
            f"student, {self._student.architecture}": (self.scores(test), model),
            "the student alone": (self._alone.test, model),
        }
        yield (
            "teacher_and_student",
            distiller.comparison(
                self.metric,
                {name: (s[self.metric], net.count_params()) for name, (s, net) in bars.items()},
            ),
        )
        yield from self._teacher.task.figures(model, data, test)

    # All else is the teacher's task's.

    def loss(self) -> Any:
        return self._teacher.task.loss()

    def metrics(self) -> Any:
        return self._teacher.task.metrics()

    def preprocess(self, inputs: Any) -> Any:
        return self._teacher.task.preprocess(inputs)

    def augment(self, config: Config) -> Callable[[Any, Any], tuple[Any, Any]] | None:
        return self._teacher.task.augment(self._student)

    def samples(self, model: keras.Model, data: Data) -> str:
        return self._teacher.task.samples(model, data)

    def answers(self, outputs: Any) -> dict[str, tf.Tensor]:
        return self._teacher.task.answers(outputs)

    def assessed(self, model: keras.Model, inputs: Any, target: Any) -> dict[str, tf.Tensor]:
        return self._teacher.task.assessed(model, inputs, target)

    def scores(self, predictions: Predictions) -> Scores:
        return self._teacher.task.scores(predictions)

    def signatures(self, model: keras.Model, data: Data) -> list[Signature]:
        return self._teacher.task.signatures(model, data)

    def examples(self, data: Data) -> Mapping[str, bytes]:
        return self._teacher.task.examples(data)

    def artifacts(self, model: keras.Model, data: Data) -> Mapping[str, Callable[[Path], None]]:
        return self._teacher.task.artifacts(model, data)
