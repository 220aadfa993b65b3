"""Parallel texts: from bundled sets, from sets with TFDS' features, from your own tables."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds

from pipelines.datasets import catalog
from pipelines.datasets.loading import Identity
from pipelines.errors import UserError
from pipelines.tasks.translation import data as parallel_texts
from pipelines.tasks.translation.config import TranslationConfig
from pipelines.tasks.translation.data import END, START, parallel, train_tokenizers
from pipelines.text.reversible import SENTENCES, ReversibleTokenizer, train

ROWS = [("a b", "x y"), ("b", "y"), ("a b a b a b a", "x y x"), ("", "x"), ("a", " ")]


ABOUT: Identity = {"name": "some", "version": "1", "digest": "0"}


def words(source, target) -> tuple[ReversibleTokenizer, ReversibleTokenizer]:
    return train(SENTENCES["words"], source, 50), train(SENTENCES["words"], target, 50)


class FewTranslations(tfds.core.GeneratorBasedBuilder):
    """Features as those of ted_hrlr_translate, wmt and opus."""

    VERSION = tfds.core.Version("1.0.0")
    LANGUAGES: ClassVar = ("pt", "en")
    SPLITS: ClassVar[Sequence[str]] = ("train", "validation", "test")

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.Translation(languages=self.LANGUAGES),
            supervised_keys=self.LANGUAGES,
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples() for split in self.SPLITS}

    def _generate_examples(self):
        for index, row in enumerate(ROWS * 4):
            yield index, dict(zip(self.LANGUAGES, row, strict=True))


class FewTranslationsOfTrain(FewTranslations):
    """As opus: one split alone."""

    SPLITS: ClassVar[Sequence[str]] = ("train",)


class FewDescriptions(tfds.core.GeneratorBasedBuilder):
    """No pairs of texts."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict({"text": tfds.features.Text()})
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples() for split in ("train", "validation", "test")}

    def _generate_examples(self):
        yield 0, {"text": "a"}


def config(dataset: str, folder, **options) -> TranslationConfig:
    tokens: dict[str, Any] = {"source_tokens": "words", "target_tokens": "words"}
    return TranslationConfig(
        dataset=dataset, data_dir=str(folder), max_length=6, **tokens, **options
    )


@pytest.mark.parametrize("name", ["few_translations", "few_translations_of_train"])
def test_a_set_with_the_features_of_a_translation_is_read(name, tmp_path):
    data = parallel_texts.load(config(name, tmp_path))
    assert data.name == name
    assert set(data.sizes) == {"train", "validation", "test"}
    for split in data.sizes:
        found = set(zip(*data.raw(split).values(), strict=True))
        assert found <= set(ROWS[:3])
        assert all(source and target for source, target in found)
    assert set(data.raw("train")["source"]) == {"a b", "b"}  # Longer pairs are left out.
    lost = len(ROWS) * 4 * (3 if name == "few_translations" else 1) - sum(data.sizes.values())
    assert sum(data.left_out.values()) == lost
    assert re.fullmatch(r"left out: \d pairs of train with an empty text", data.notes[0])


def test_the_other_direction_can_be_chosen(tmp_path):
    data = parallel_texts.load(config("few_translations", tmp_path, reverse=True))
    assert set(data.raw("train")["source"]) == {"x y", "y"}


def test_examples_are_sources_with_an_end_and_targets_between_start_and_end():
    texts = [("a b", "x y"), ("a b a b a b a", "x y x y x y")]
    columns = {
        split: {
            "source": np.array([s for s, _ in texts], object),
            "target": np.array([t for _, t in texts], object),
        }
        for split in ("train", "validation", "test")
    }
    data = parallel(ABOUT, columns, words, 6)
    (a, b), (x, y) = (
        tokenizer(["a b", "x y"][i : i + 1])[0].numpy()
        for i, tokenizer in enumerate((data.source_tokenizer, data.target_tokenizer))
    )
    ((inputs, following, weight),) = data.train.as_numpy_iterator()
    assert inputs["source_ids"].tolist() == [a, b, END]
    assert inputs["target_ids"].tolist() == [START, x, y, END]
    assert following.tolist() == [x, y, END]
    assert weight.tolist() == [1, 1, 1]
    _, (inputs, following, _) = data.test.as_numpy_iterator()
    assert inputs["source_ids"].tolist() == [a, b, a, b, a, END]
    assert following.tolist() == [x, y, x, y, x, y]  # Truncated, so there is no end.
    assert len(inputs["target_ids"]) == 7
    assert inputs["target_padding_mask"].tolist() == [1] * 7
    assert data.sizes == {"train": 1, "validation": 2, "test": 2}
    assert data.example_bytes == 0


def test_own_tables_are_read(tmp_path):
    folder = tmp_path / "my pairs"
    folder.mkdir()
    for split in ("train", "validation", "test"):
        lines = [json.dumps({"target": t, "source": s, "id": 1}) for s, t in ROWS]
        (folder / f"{split}.jsonl").write_text("\n".join(lines))
    with pytest.raises(
        UserError, match=r"train\.jsonl, line 4: 'source' is empty, and 1 more bad row"
    ):
        parallel_texts.load(config(str(folder), ""))
    data = parallel_texts.load(config(str(folder), "", skip_bad=True))
    assert data.name == "my_pairs"
    assert data.sizes == {"train": 2, "validation": 3, "test": 3}
    assert data.left_out == {"train": 3, "validation": 2, "test": 2}
    part = parallel_texts.load(config(str(folder), "", skip_bad=True, max_examples=2))
    assert (part.sizes["validation"], part.sizes["test"]) == (2, 2)
    assert part.digest != data.digest
    assert "left out: 1 pair of train, longer than --max_length 6 tokens" in data.notes
    assert "truncated: 1 pair of test, longer than --max_length 6 tokens" in data.notes
    (folder / "validation.jsonl").write_text(json.dumps({"source": "a", "text": "b"}))
    with pytest.raises(UserError, match="has no column 'target'; it has: source, text"):
        parallel_texts.load(config(str(folder), "", skip_bad=True))


def test_pairs_of_plain_files_are_read_in_either_direction(tmp_path):
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.de").write_text("eins zwei\r\ndrei", encoding="utf-16")
        (tmp_path / f"{split}.EN").write_text("one two\nthree\n")
    data = parallel_texts.load(config(str(tmp_path), ""))
    assert data.raw("validation")["source"].tolist() == ["eins zwei", "drei"]
    assert data.raw("validation")["target"].tolist() == ["one two", "three"]
    assert data.notes[0].startswith("sources are the lines of train.de, targets those of train.EN")
    back = parallel_texts.load(config(str(tmp_path), "", reverse=True))
    assert back.raw("test")["source"].tolist() == ["one two", "three"]
    assert back.notes[0].startswith("sources are the lines of train.EN, targets those of train.de")
    assert back.digest != data.digest


def test_own_files_named_like_a_bundled_set_have_ordinary_tokens(tmp_path):
    folder = tmp_path / "cmudict"
    folder.mkdir()
    assert parallel_texts.kinds(TranslationConfig(dataset=str(folder))) == ("pieces", "pieces")


def test_other_sets_are_refused(tmp_path):
    with pytest.raises(UserError, match="few_descriptions has no texts with their translations"):
        parallel_texts.load(config("few_descriptions", tmp_path))


def test_a_split_without_pairs_and_too_little_length_are_refused(tmp_path):
    columns = {
        split: {"source": np.array(["a b"], object), "target": np.array(["x y"], object)}
        for split in ("train", "validation", "test")
    }
    with pytest.raises(UserError, match="some has no pair of texts within --max_length 2 tokens"):
        parallel(ABOUT, columns, words, 2)
    columns["test"] = {"source": np.array([""], object), "target": np.array(["x"], object)}
    with pytest.raises(UserError, match="some has no pair of texts in its test split"):
        parallel(ABOUT, columns, words, 6)


@pytest.mark.parametrize("name", ["bible_en_es", "cmudict"])
def test_the_bundled_sets_are_read(name, bundled):
    builder = bundled(name)
    assert parallel_texts._languages(builder) == builder.info.supervised_keys
    assert name in catalog.BUNDLED


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("characters", "words")),
        ({"reverse": True}, ("words", "characters")),
        ({"target_tokens": "pieces"}, ("characters", "pieces")),
        ({"dataset": "bible_en_es"}, ("pieces", "pieces")),
        ({"dataset": "bible_en_es", "source_tokens": "words"}, ("words", "pieces")),
    ],
)
def test_bundled_sets_have_tokens_of_their_own(options, expected):
    assert parallel_texts.kinds(TranslationConfig(**{"dataset": "cmudict", **options})) == expected


def test_word_pieces_are_shared_and_other_tokens_are_not():
    texts = (np.array(["a b", "b"], object), np.array(["x", "y x"], object))
    shared, same = train_tokenizers(TranslationConfig(dataset="some", vocabulary=100), *texts)
    assert shared is same
    assert {"a", "x"} <= set(shared.vocabulary)
    config = TranslationConfig(dataset="some", source_tokens="characters", target_tokens="words")
    letters, phones = train_tokenizers(config, *texts)
    assert letters.vocabulary[4:] == ["b", " ", "a"]
    assert phones.vocabulary[4:] == ["x", "y"]
