"""Small encoders of each family, and choices of a task that uses them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras
import numpy as np

import architectures
from pipelines.tasks.text_classification.config import TextClassificationConfig
from pipelines.tasks.text_classification.task import TextClassification
from pipelines.text.tokenizers import SPECIAL
from tests.pipelines.written import ENCODER

FAMILIES = {
    "bert": "bert_tiny",
    "albert": "albert_base",
    "electra": "electra_small",
    "distilbert": "distilbert_base",
}
# As many as the tokens of the directories in Hugging Face's format.
VOCABULARY = [*SPECIAL, "red", "tree", "play", "##ing", "##ed", "!", ",", "."]
TEXTS = np.array(["red trees played", "playing, red!"], object)


def build(family: str, **options: Any) -> keras.Model:
    narrow = {"embedding": 8} if family in ("albert", "electra") else {}
    keras.utils.set_random_seed(3)
    chosen = {**ENCODER, **narrow, **options}
    return architectures.build(
        FAMILIES[family], vocabulary=len(VOCABULARY), max_length=32, **chosen
    )


def batch(model: keras.Model) -> dict[str, np.ndarray]:
    """Two texts as the inputs of an encoder."""
    ids = np.array([[2, 5, 6, 7, 3, 0], [2, 7, 8, 10, 5, 3]], np.int32)
    inputs = {"token_ids": ids, "padding_mask": (ids > 0).astype(np.int32)}
    if "segment_ids" in model.input:
        inputs["segment_ids"] = np.array([[0, 0, 1, 1, 1, 0], [0, 0, 0, 1, 1, 1]], np.int32)
    return inputs


def chosen(architecture: str = "bert_tiny", **options: Any) -> TextClassificationConfig:
    """A config of an encoder that trains in a moment."""
    defaults: dict[str, Any] = {"model": {} if "encoder" in options else ENCODER}
    return TextClassificationConfig(
        architecture=architecture, vocabulary=200, **{**defaults, "max_length": 16, **options}
    )


def task(architecture: str = "bert_tiny", **options: Any) -> TextClassification:
    """A task with an encoder."""
    return TextClassification(chosen(architecture, **options))


def tokenized_with(vocabulary: list[str]) -> Any:
    """A data set of which only the vocabulary is used."""
    return SimpleNamespace(tokenizer=SimpleNamespace(vocabulary=vocabulary))


DATA = tokenized_with(VOCABULARY)
