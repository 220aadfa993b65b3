"""What both pre-training tasks share: masking of batches, samples and example files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import keras

from pipelines.task import Network
from pipelines.tasks.pretraining import masked_lm
from pipelines.tasks.pretraining.config import PretrainingConfig
from pipelines.tasks.pretraining.data import Segments
from pipelines.tasks.pretraining.documents import first_sentences
from pipelines.text.examples import json_lines
from pipelines.text.task import TextTask

PretrainingConfigT = TypeVar("PretrainingConfigT", bound=PretrainingConfig)


class PretrainingTask(TextTask[PretrainingConfigT, Segments]):
    """A task that pre-trains an encoder with masked tokens."""

    def augment(self, data: Segments) -> Callable[[Any, Any], tuple[Any, Any]]:
        """Masks every training batch, other tokens in every epoch."""
        random = keras.random.SeedGenerator(self.config.recipe.seed)
        return lambda inputs, target: data.mask(inputs, target, random.next())

    def sampler(self, network: Network, data: Segments) -> Callable[[], str]:
        return masked_lm.sampler(network.model, data)

    def examples(self, data: Segments) -> dict[str, bytes]:
        """Returns eight test sentences, a JSON object a line."""
        return json_lines({"text": text} for text in first_sentences(data.documents, "test", 8))
