"""Recipes by name: each trains for a few steps on stand-in data with its data set's features.

The data are drawn at random and prepared under the data set's own name, by its own builder. What a
recipe chooses stays as it is, but for what `SMALLER` states: the size of networks (a ResNet-18 in
place of the ResNet-50), images and batches, the number of epochs, and learning rates that batches
of eight do not bear. A few steps of the whole are hours of a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import tensorflow_datasets as tfds

from pipelines import catalog
from pipelines.cli import parse
from pipelines.config import check
from pipelines.datasets import lookup
from pipelines.datasets.dataset import Dataset
from pipelines.task import Network, Task
from pipelines.testing import MemoryLog
from pipelines.training import batching, trainer

RANDOM = np.random.default_rng(0)
WORDS = "to be or not that is the question whether it is nobler in our mind".split()
SMALL_BERT = (
    *("--model.layers", "2", "--model.width", "16", "--model.heads", "2"),
    *("--model.feed_forward", "32", "--vocabulary", "200", "--max_length", "48"),
    *("--batch_size", "6", "--epochs", "2"),
)


def image(side: int, channels: int = 3) -> np.ndarray:
    return RANDOM.integers(0, 256, (side, side, channels), np.uint8)


def text(words: int = 9) -> str:
    return " ".join(RANDOM.choice(WORDS, words))


def imagenet(number: int) -> dict[str, Any]:
    return {"image": image(40 + number), "label": number, "file_name": f"{number}.JPEG"}


def cifar(number: int) -> dict[str, Any]:
    return {"id": f"train_{number}", "image": image(32), "label": number % 10}


def pet(number: int) -> dict[str, Any]:
    side = 40 + number
    return {
        "image": image(side),
        "segmentation_mask": RANDOM.integers(1, 4, (side, side, 1), np.uint8),
        "label": number % 37,
        "species": number % 2,
        "file_name": f"{number}.jpg",
        "head_bbox": tfds.features.BBox(0.1, 0.1, 0.5, 0.5),
    }


def sentence(number: int) -> dict[str, Any]:
    return {"sentence": text(), "label": number % 2, "idx": number}


def pair(number: int) -> dict[str, Any]:
    return {"sentence1": text(), "sentence2": text(), "label": number % 2, "idx": number}


def premise(number: int) -> dict[str, Any]:
    return {"premise": text(), "hypothesis": text(), "label": number % 3, "idx": number}


def question(number: int) -> dict[str, Any]:
    context, start = text(20), number
    words = context.split()
    answer = {
        "text": [words[start]],
        "answer_start": [len(" ".join([*words[:start], ""]))],
    }
    return {
        "id": str(number),
        "title": "Hamlet",
        "context": context,
        "question": text(5) + "?",
        "answers": answer,
    }


def translated(number: int) -> dict[str, Any]:
    return {"en": f"{text(6)} {number}", "de": f"{text(7)} {number}"}


def speech(number: int) -> dict[str, Any]:
    sentences = [text() for _ in range(12)]
    return {"title": str(number), "year": 1800, "era": number % 3, "sentences": sentences}


def play(number: int) -> dict[str, Any]:
    return {"text": "\n".join(text() for _ in range(40))}


Example = Callable[[int], dict[str, Any]]
# By recipe: examples of its data set, the sizes of its splits, and the options that make it small.
SMALLER: dict[str, tuple[Example, dict[str, int], tuple[str, ...]]] = {
    "resnet50_imagenet": (
        imagenet,
        {"train": 18, "validation": 4},
        (
            *("--architecture", "resnet18", "--image_size", "32", "--batch_size", "8"),
            *("--epochs", "2", "--optimizer.milestones", "[1]", "--jit_compile", "false"),
            *("--optimizer.learning_rate", "0.001"),
        ),
    ),
    "resnet20_cifar10": (
        cifar,
        {"train": 18, "test": 8},
        (
            *("--batch_size", "8", "--epochs", "2", "--optimizer.milestones", "[1]"),
            *("--optimizer.learning_rate", "0.001", "--jit_compile", "false"),
        ),
    ),
    "unet_pets": (
        pet,
        {"train": 10, "test": 4},
        (
            *("--model.filters", "4", "--model.depth", "2", "--image_size", "32"),
            *("--batch_size", "4", "--epochs", "2"),
        ),
    ),
    "bert_glue": (sentence, {"train": 20, "validation": 6}, SMALL_BERT),
    "bert_squad": (question, {"train": 12, "validation": 6}, SMALL_BERT),
    "bert_tiny_sotu": (
        speech,
        {"train": 12, "validation": 4, "test": 4},
        (
            *("--model.layers", "1", "--model.width", "16", "--model.heads", "2"),
            *("--model.feed_forward", "16", "--vocabulary", "200", "--max_length", "24"),
            *("--epochs", "2"),
        ),
    ),
    "transformer_wmt14": (
        translated,
        {"train": 20, "validation": 6, "test": 6},
        (
            *("--model.layers", "1", "--model.width", "16", "--model.heads", "2"),
            *("--model.feed_forward", "32", "--vocabulary", "200", "--batch_size", "8"),
            *("--epochs", "2"),
        ),
    ),
    "char_gpt_shakespeare": (
        play,
        {"train": 1, "validation": 1, "test": 1},
        (
            *("--model.layers", "1", "--model.width", "16", "--model.heads", "2"),
            *("--model.feed_forward", "32", "--context", "64", "--batch_size", "16"),
            *("--epochs", "2"),
        ),
    ),
}
RECIPES = [(name, recipe) for name, row in catalog.PIPELINES.items() for recipe in row.recipes]


# One of images and one of texts; training the others is slow.
TRAINED = ("resnet20_cifar10", "bert_squad")


def prepare(name: str, example: Example, sizes: dict[str, int], folder: Path) -> None:
    """Prepares a data set of TFDS with examples that are made up."""
    builder = lookup.builder(name, str(folder))

    def generators(self: Any, *_: Any, **__: Any) -> dict[str, Iterator[tuple[int, Any]]]:
        return {
            split: ((number, example(number)) for number in range(size))
            for split, size in sizes.items()
        }

    with mock.patch.object(type(builder), "_split_generators", generators):
        builder.download_and_prepare()


def test_every_recipe_is_tried():
    assert {recipe for _, recipe in RECIPES} == set(SMALLER)


def built(pipeline: str, recipe: str, folder: Path) -> tuple[Task, Dataset, Network]:
    """Returns the task of a smaller recipe, stand-in data, and its network."""
    example, sizes, smaller = SMALLER[recipe]
    _, config = parse([pipeline, "--recipe", recipe, *smaller, "--data_dir", str(folder)])
    check(config)
    prepare(config.dataset, example, sizes, folder)
    task = catalog.make_task(pipeline, config)
    data = task.load()
    return task, data, trainer.build(task, data)


@pytest.mark.parametrize(("pipeline", "recipe"), RECIPES)
def test_the_network_of_a_recipe_reads_its_data_sets_features(pipeline, recipe, tmp_path):
    task, data, network = built(pipeline, recipe, tmp_path)
    network.model.run_eagerly = True  # A graph of it takes longer.
    first, *_ = batching.training_batches(task, data).take(1)
    values = network.model.test_on_batch(*first, return_dict=True)
    assert values["loss"] > 0
    assert all(map(math.isfinite, values.values()))


@pytest.mark.parametrize(
    ("pipeline", "recipe"),
    [pytest.param(*each, marks=[] if each[1] in TRAINED else pytest.mark.slow) for each in RECIPES],
)
def test_a_recipe_trains_on_data_with_its_data_sets_features(pipeline, recipe, tmp_path):
    task, data, network = built(pipeline, recipe, tmp_path)
    log: Any = MemoryLog()
    trainer.fit(task, network, data, log)
    assert list(log.epochs) == [1, 2]
    assert all(math.isfinite(value) for step in log.epochs.values() for value in step.values())
    assert int(network.model.optimizer.iterations) >= 2


@pytest.mark.parametrize(
    ("dataset", "example", "validation"),
    [("glue/mrpc", pair, "validation"), ("glue/mnli", premise, "validation_matched")],
)
def test_the_tasks_of_glue_are_data_sets_of_one_recipe(dataset, example, validation, tmp_path):
    options = ("--recipe", "bert_glue", "--dataset", dataset, "--data_dir", str(tmp_path))
    _, config = parse(["text_classification", *options, *SMALL_BERT])
    prepare(dataset, example, {"train": 20, validation: 6}, tmp_path)
    data = catalog.make_task("text_classification", config).load()
    assert data.sizes == {"train": 18, "validation": 2, "test": 6}
    assert set(data.raw("test")) == {"text", "text_pair"}
