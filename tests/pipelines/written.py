"""Tiny texts, pairs of texts and tagged texts, for tests of the tasks that read text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from pipelines.recipe import Optimizer, Recipe
from pipelines.text.config import TextConfig

SIZES = {"train": 60, "validation": 20, "test": 24}
TOPICS = ("sea", "wood")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
_WORDS = {
    "sea": "ship wave Harbour fish sailor storm reef",
    "wood": "tree leaf deer moss owl path Häher",
}
_LITTLE = "the a , and of ."
_PEOPLE = (("Ann",), ("Bob", "Stone"), ("Zoë",), ("Dan", "O", "Neil"))
_PLACES = (("Oslo",), ("São", "Paulo"), ("Łódź",), ("New", "York"))

ENCODER: dict[str, Any] = {
    "layers": 2,
    "heads": 2,
    "width": 16,
    "feed_forward": 16,
    "dropout": 0.0,
}

Rows = list[dict[str, Any]]


def sentence(topic: str, random: np.random.Generator) -> str:
    """Three to twelve words, every other one of the topic."""
    words = [
        str(random.choice((_WORDS[topic] if place % 2 else _LITTLE).split()))
        for place in range(random.integers(3, 13))
    ]
    return " ".join(words)


def topics(sizes: Mapping[str, int] = SIZES) -> dict[str, Rows]:
    """Sentences and what they are about, in turns."""
    return {
        split: [
            {"text": sentence(TOPICS[index % 2], random), "label": index % 2}
            for index in range(size)
        ]
        for split, size in sizes.items()
        for random in [np.random.default_rng(len(split))]
    }


def pairs(sizes: Mapping[str, int] = SIZES) -> dict[str, Rows]:
    """Two sentences, and whether they are about the same: 0 for no, 1 for yes."""
    made = {}
    for split, size in sizes.items():
        random = np.random.default_rng(len(split))
        made[split] = [
            {
                "sentence1": sentence(TOPICS[index % 2], random),
                "sentence2": sentence(TOPICS[(index // 2) % 2], random),
                "label": int(index % 2 == (index // 2) % 2),
                "idx": index,
            }
            for index in range(size)
        ]
    return made


def tagged(sizes: Mapping[str, int] = SIZES) -> dict[str, Rows]:
    """Who met whom, and where: words and their tags."""
    made: dict[str, Rows] = {}
    for split, size in sizes.items():
        random = np.random.default_rng(len(split))
        made[split] = rows = []
        for _ in range(size):
            tokens: list[str] = []
            tags: list[str] = []
            for words, kind in (
                (_PEOPLE[random.integers(4)], "PER"),
                (("met",), ""),
                (_PEOPLE[random.integers(4)], "PER"),
                (("in",), ""),
                (_PLACES[random.integers(4)], "LOC"),
                ((".",), ""),
            ):
                tokens += words
                tags += [f"{'I' if place else 'B'}-{kind}" for place in range(len(words))]
            tags = [tag if tag[2:] else "O" for tag in tags]
            rows.append({"tokens": tokens, "tags": tags})
    return made


TEXT = tfds.features.Text()
TOKENS = tfds.features.Sequence(TEXT)


def label(*names: str) -> tfds.features.ClassLabel:
    return tfds.features.ClassLabel(names=names)


def labels(*names: str) -> tfds.features.Sequence:
    return tfds.features.Sequence(label(*names))


def store(
    folder: Path,
    name: str,
    features: Mapping[str, Any],
    splits: Mapping[str, Sequence[Mapping[str, Any]]],
) -> str:
    """Stores examples as a TFDS data set, its name possibly with a configuration."""
    tfds.disable_progress_bar()
    name, _, variant = name.partition("/")
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        config=variant or None,
        version="2.0.0",
        features=tfds.features.FeaturesDict(dict(features)),
        split_datasets={split: list(enumerate(rows)) for split, rows in splits.items()},
        data_dir=str(folder),
        disable_shuffling=True,
    )
    return f"{name}/{variant}" if variant else name


def store_topics(folder: Path) -> str:
    return store(folder, "topics", {"text": TEXT, "label": label(*TOPICS)}, topics())


def store_pairs(folder: Path) -> str:
    features = {
        "sentence1": TEXT,
        "sentence2": TEXT,
        "label": label("other", "same"),
        "idx": np.int32,
    }
    return store(folder, "pairs", features, pairs())


def store_tagged(folder: Path) -> str:
    return store(folder, "meetings", {"tokens": TOKENS, "tags": labels(*TAGS)}, tagged())


RECIPE = Recipe(epochs=1, batch_size=8, optimizer=Optimizer(learning_rate=0.01))


def config(folder: Path, dataset: str, architecture: str, **options: Any) -> TextConfig:
    """A small network for a set in `folder`; of BERT's family it has two narrow layers."""
    encoder = architecture.partition("_")[0] in ("bert", "albert", "distilbert", "electra")
    model = ENCODER if encoder else {}
    if architecture in ("albert_base", "electra_small"):
        model = {**model, "embedding": 8}
    defaults: dict[str, Any] = {
        "vocabulary": 200,
        "max_length": 24,
        "recipe": RECIPE,
        "model": {} if options.get("encoder") else model,
    }
    return TextConfig(
        dataset=dataset,
        data_dir=str(folder),
        architecture=architecture,
        **{**defaults, **options},
    )
