"""What both pre-training tasks share: masking of batches, samples and example files."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import keras

from architectures.local_attention import start_local
from pipelines.task import Augment, Network
from pipelines.tasks.pretraining import masked_lm
from pipelines.tasks.pretraining.config import PretrainingConfig
from pipelines.tasks.pretraining.data import Segments
from pipelines.tasks.pretraining.documents import first_sentences
from pipelines.text import pretrained
from pipelines.text.examples import json_lines
from pipelines.text.task import TextTask

PretrainingConfigT = TypeVar("PretrainingConfigT", bound=PretrainingConfig)


class PretrainingTask(TextTask[PretrainingConfigT, Segments]):
    """A task that pre-trains an encoder with masked tokens."""

    def initialize(self, model: keras.Model, encoder: keras.Model, data: Segments) -> None:
        """Gives a model its initial weights.

        Those of a pre-trained encoder stay, and its directory may have those of the head; all
        others are as the config says.
        """
        weights = encoder.get_weights()
        if self.config.initialization == "local":
            start_local(model, data.unigram)
        if self.config.encoder:
            encoder.set_weights(weights)
            masked_lm.read_head(model, pretrained.find(self.config.encoder))

    def augment(self, data: Segments) -> Augment:
        """Masks every training example, other tokens in every epoch."""
        return data.mask

    def sampler(self, network: Network, data: Segments) -> Callable[[], str]:
        return masked_lm.sampler(network.model, data)

    def examples(self, data: Segments) -> dict[str, bytes]:
        """Returns eight test sentences, a JSON object a line."""
        return json_lines({"text": text} for text in first_sentences(data.documents, "test", 8))
