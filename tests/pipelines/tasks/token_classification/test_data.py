"""Texts with a tag for each word: which features they are, and tags at the right tokens."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.datasets import loading
from pipelines.datasets.text_columns import PackedTexts
from pipelines.errors import UserError
from pipelines.tasks.token_classification import data as tags
from pipelines.tasks.token_classification.data import (
    TaggedTexts,
    as_column,
    inputs_of,
    punctuation_apart,
)
from pipelines.text.config import TextConfig
from pipelines.text.tokenizers import SPECIAL, WordPieces
from tests.pipelines import written

VOCABULARY = [*SPECIAL, *"ann met in os ##lo .".split(), *"##a ##n ##s".split()]


def load(folder, name: str, max_length: int = 20, learned: Any = None) -> TaggedTexts:
    def make_tokenizer(texts: PackedTexts) -> WordPieces:
        if learned is not None:
            learned.extend(texts)
        return WordPieces(VOCABULARY, max_length)

    return tags.load(TextConfig(dataset=name, data_dir=str(folder)), make_tokenizer)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    written.store_tagged(folder)
    return folder


def test_a_set_of_tagged_words_is_read_whole_and_in_order(folder):
    learned: list[str] = []
    data = load(folder, "meetings", learned=learned)
    stored = written.tagged()
    assert (data.name, data.version) == ("meetings", "2.0.0")
    assert data.digest == loading.digest(loading.prepared("meetings", data_dir=str(folder)))
    assert data.labels == written.TAGS
    assert data.punctuation_apart
    assert data.sizes == written.SIZES
    assert learned == [" ".join(row["tokens"]) for row in stored["train"]]
    for split, rows in stored.items():
        raw = data.raw(split)
        assert raw["words"].tolist() == [tuple(row["tokens"]) for row in rows]
        assert raw["tags"].tolist() == [tuple(row["tags"]) for row in rows]


@pytest.mark.parametrize("max_length", [5, 8, 20])
def test_each_tag_stands_at_the_first_token_of_its_word(max_length, folder):
    data = load(folder, "meetings", max_length)
    truncated = 0
    pieces = functools.cache(lambda word: data.tokenizer.split(tf.constant([word])).to_list()[0])
    for split in ("train", "validation", "test"):
        columns = data.raw(split)
        examples = list(data.split(split).as_numpy_iterator())
        for words, given_tags, (inputs, target, weight) in zip(
            columns["words"], columns["tags"], examples, strict=True
        ):
            assert (target.dtype, weight.dtype) == (np.int64, np.float32)
            ids = inputs["token_ids"]
            assert ids.shape == target.shape == weight.shape
            assert set(map(len, inputs.values())) == {len(ids)}
            expected_ids, expected_tags, expected_weight = [2], [0], [0.0]
            for word, tag in zip(words, given_tags, strict=True):
                tokens = pieces(word)
                expected_ids += tokens
                expected_tags += [data.labels.index(tag)] + [0] * (len(tokens) - 1)
                expected_weight += [1.0] + [0.0] * (len(tokens) - 1)
            end = min(max_length, len(expected_ids) + 1) - 1
            truncated += end < len(expected_ids)
            assert ids.tolist() == [*expected_ids[:end], 3]
            assert target.tolist() == [*expected_tags[:end], 0]
            assert weight.tolist() == [*expected_weight[:end], 0.0]
    assert bool(truncated) == (max_length < 20)


WORD = st.sampled_from(["ann", "oslo", "annaas", ".", "\x01", "unseen"])


@settings(max_examples=10)
@given(st.lists(st.lists(WORD, max_size=6), min_size=1, max_size=4), st.sampled_from([4, 6, 30]))
def test_the_first_token_of_each_word_is_found_as_long_as_it_is_not_cut_off(texts, max_length):
    tokenizer = TOKENIZERS[max_length]
    words = tf.ragged.constant(texts, tf.string, ragged_rank=1)
    inputs, first = inputs_of(tokenizer, words)
    graph_inputs, graph_first = GRAPHS[max_length](words)
    assert graph_first.to_list() == first.to_list()
    assert graph_inputs["token_ids"].to_list() == inputs["token_ids"].to_list()
    pieces = tokenizer.pieces(words).to_list()
    for row, places, ids in zip(
        pieces, first.to_list(), inputs["token_ids"].to_list(), strict=True
    ):
        begins = 1 + np.cumsum([0, *map(len, row)])[:-1].astype(int)
        assert places == [begin for begin in begins if begin < max_length - 1]
        assert [ids[place] for place in places] == [own[0] for own in row[: len(places)]]


TOKENIZERS = {length: WordPieces(VOCABULARY, length) for length in (4, 6, 30)}
_SPEC = [tf.RaggedTensorSpec([None, None], tf.string, 1)]
GRAPHS = {
    length: tf.function(
        lambda words, tokenizer=tokenizer: inputs_of(tokenizer, words), input_signature=_SPEC
    )
    for length, tokenizer in TOKENIZERS.items()
}


@pytest.mark.parametrize(
    ("texts", "apart"),
    [
        ([("New", "York", ",", "NY", ".")], True),
        ([("New", "York,", "NY")], False),
        # Abbreviations and numbers end in marks that say nothing, and one slip in many is none.
        ([("Mr.", "A.", "O'Neil", "5-7")], True),
        ([("a",) * 150, ("b", "c;")], True),
        ([("a",) * 50, ("b", "c;")], False),
        ([("?", "!"), ("wait", "...")], True),
    ],
)
def test_the_words_tell_whether_punctuation_stands_apart(texts, apart):
    assert punctuation_apart(as_column(texts)) is apart


def test_addresses_keep_their_commas_and_named_entities_do_not(tmp_path):
    addresses = load(tmp_path, "us_addresses")
    assert not addresses.punctuation_apart
    assert "O" not in addresses.labels


TOKENS, BIO = written.TOKENS, ("O", "B-X", "I-X")


@pytest.mark.parametrize(
    ("features", "chosen"),
    [
        ({"chunks": ("O", "B-C"), "ner": BIO, "tokens": None}, BIO),
        ({"chunks": ("O", "B-C"), "ner_tags": BIO, "tokens": None}, BIO),
        ({"a": ("O", "B-C"), "ner": ("O", "B-N"), "tags": BIO, "tokens": None}, BIO),
        # Without a name that says it, those in the scheme.
        ({"pos": ("NN", "VB"), "slots": BIO, "words": None}, BIO),
        ({"tags": ("NN", "O"), "ner": BIO, "words": None}, BIO),
    ],
)
def test_of_several_kinds_of_tags_one_is_meant(features, chosen, tmp_path):
    kinds = {name: written.labels(*names) if names else TOKENS for name, names in features.items()}
    row = {name: [names[-1], names[0]] if names else ["a", "b"] for name, names in features.items()}
    written.store(tmp_path, "several", kinds, {s: [row] for s in ("train", "validation", "test")})
    data = load(tmp_path, "several")
    assert data.labels == chosen
    assert data.raw("train")["tags"].tolist() == [(chosen[-1], chosen[0])]
    assert data.raw("train")["words"].tolist() == [("a", "b")]


@pytest.mark.parametrize(
    ("features", "row"),
    [
        ({"tokens": TOKENS, "label": written.label("a")}, {"tokens": ["a"], "label": 0}),
        ({"text": written.TEXT, "tags": written.labels(*BIO)}, {"text": "a", "tags": ["O"]}),
        # Nouns and verbs make out no spans.
        ({"tokens": TOKENS, "tags": written.labels("NN", "O")}, {"tokens": ["a"], "tags": ["NN"]}),
        ({"tokens": TOKENS, "tags": written.labels("S-X", "O")}, {"tokens": ["a"], "tags": ["O"]}),
    ],
)
def test_a_set_without_tagged_words_is_refused(features, row, tmp_path):
    written.store(tmp_path, "untagged", features, {"train": [row] * 3})
    message = "^untagged has no words with a tag for each in the scheme BIO; its features are: "
    with pytest.raises(UserError, match=message) as caught:
        load(tmp_path, "untagged")
    for feature in features:
        assert feature in str(caught.value)


def test_texts_without_words_are_left_out(tmp_path):
    features = {"tokens": TOKENS, "tags": written.labels(*BIO)}
    empty: dict[str, list] = {"tokens": [], "tags": []}
    rows: written.Rows = [empty, {"tokens": ["ann", "."], "tags": ["B-X", "O"]}]
    written.store(tmp_path, "gaps", features, dict.fromkeys(("train", "validation", "test"), rows))
    data = load(tmp_path, "gaps")
    assert data.sizes == {"train": 1, "validation": 1, "test": 1}
    ((inputs, target, weight),) = data.test.as_numpy_iterator()
    assert inputs["token_ids"].tolist() == [2, 5, 10, 3]
    assert target.tolist() == [0, 1, 0, 0]
    assert weight.tolist() == [0, 1, 1, 0]


def test_own_files_are_a_data_set(tmp_path):
    sentence = "ann S-PER\nmet O\nin O\nos B-LOC\nlo E-LOC\n{}. O\n\n"
    path = tmp_path / "my set.conll"
    path.write_text("".join(sentence.format("met O\n" * n) for n in range(20)) + "ann\n")
    config = TextConfig(dataset=str(path), skip_bad=True)
    data = tags.load(config, lambda texts: WordPieces(VOCABULARY, 20))
    assert (data.name, data.version, len(data.digest)) == ("my_set", "1.0.0", 12)
    assert data.sizes == {"train": 16, "validation": 2, "test": 2}
    assert data.labels == ("O", "B-LOC", "I-LOC", "B-PER")
    assert data.punctuation_apart
    part = tags.load(replace(config, max_examples=1), lambda texts: WordPieces(VOCABULARY, 20))
    assert (part.sizes, part.labels) == ({"train": 1, "validation": 1, "test": 1}, data.labels)
    assert part.digest != data.digest
    assert data.left_out == {"train": 1}
    text = "\n".join(data.notes)
    assert f"{path}, line 331: the token 'ann' has no tag" in text
    assert "in the scheme BIOES, and are turned into BIO" in text
    assert "of the 16 texts of train have words beyond --max_length tokens" in text
    for split in ("train", "validation", "test"):
        for words, own, (_, target, weight) in zip(
            *data.raw(split).values(), data.split(split).as_numpy_iterator(), strict=True
        ):
            assert words[:5] == ("ann", "met", "in", "os", "lo")
            assert own[:5] == ("B-PER", "O", "O", "B-LOC", "I-LOC")
            assert [data.labels[i] for i in target[weight > 0]] == list(own[: int(weight.sum())])


def test_columns_hold_tuples_even_of_one_length():
    assert as_column([["a"], ["b"]]).tolist() == [("a",), ("b",)]
    assert as_column([[], ["b", "c"]]).shape == (2,)
    assert as_column([]).shape == (0,)
