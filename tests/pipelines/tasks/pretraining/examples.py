"""Tiny documents to pre-train on, each about the sea or about the wood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from pipelines.task import Network
from pipelines.tasks.pretraining.base import PretrainingTask
from pipelines.tasks.pretraining.bert import BertPretraining
from pipelines.tasks.pretraining.config import (
    BertPretrainingConfig,
    ElectraPretrainingConfig,
    PretrainingConfig,
)
from pipelines.tasks.pretraining.data import Segments
from pipelines.tasks.pretraining.electra import ElectraPretraining
from pipelines.training import trainer
from tests.pipelines import written
from tests.pipelines.written import RECIPE, TEXT, TOPICS

SIZES = {"train": 10, "validation": 4, "test": 4}
SENTENCES = 9


def documents(sizes: Mapping[str, int] = SIZES) -> dict[str, written.Rows]:
    """Sentences about one thing, and what it is, in turns."""
    return {
        split: [
            {
                "sentences": [written.sentence(TOPICS[n % 2], random) for _ in range(SENTENCES)],
                "topic": n % 2,
            }
            for n in range(size)
        ]
        for split, size in sizes.items()
        for random in [np.random.default_rng(len(split))]
    }


def store_documents(folder: Path) -> str:
    features = {"sentences": tfds.features.Sequence(TEXT), "topic": written.label(*TOPICS)}
    return written.store(folder, "shores", features, documents())


def config(
    folder: Path,
    architecture: str = "bert_tiny",
    kind: type[PretrainingConfig] = BertPretrainingConfig,
    **options: Any,
) -> Any:
    """A network for them that trains in a moment."""
    model: dict[str, Any] = {**written.ENCODER, "layers": 1}
    if architecture in ("albert_base", "electra_small"):
        model["embedding"] = 8
    defaults: dict[str, Any] = {
        "dataset": "shores",
        "data_dir": str(folder),
        "vocabulary": 200,
        "max_length": 24,
        "recipe": RECIPE,
        "model": {} if options.get("encoder") else model,
    }
    return kind(architecture=architecture, **{**defaults, **options})


def electra_config(folder: Path, **options: Any) -> ElectraPretrainingConfig:
    options = {"generator_divisor": 2, **options}
    return config(folder, "electra_small", ElectraPretrainingConfig, **options)


@dataclass(frozen=True)
class Built:
    """A task with its data and an untrained network."""

    task: PretrainingTask
    data: Segments
    network: Network


def build(chosen: PretrainingConfig) -> Built:
    """Builds a network whose weights are five times as large, so that its outputs differ."""
    task: Any = BertPretraining if isinstance(chosen, BertPretrainingConfig) else ElectraPretraining
    task = task(chosen)
    data = task.load()
    network = trainer.build(task, data)
    network.model.set_weights([5 * weight for weight in network.model.get_weights()])
    return Built(task, data, network)
