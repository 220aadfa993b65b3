"""Texts with labels: which features they are, and every example in its place."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from pipelines.datasets import loading
from pipelines.datasets.columns import strings
from pipelines.datasets.dataset import SPLITS
from pipelines.datasets.text_columns import PackedTexts
from pipelines.errors import UserError
from pipelines.tasks.text_classification import data as texts
from pipelines.tasks.text_classification.data import LabeledTexts
from pipelines.text.config import TextConfig
from pipelines.text.tokenizers import WordPieces, Words, train_word_pieces
from tests.pipelines import written


def load(folder, name: str, learned: list[str] | None = None) -> LabeledTexts:
    """Loads a set with a tokenizer of words, and tells what the words were learned from."""

    def make_tokenizer(column: PackedTexts) -> Words:
        if learned is not None:
            learned.extend(column)
        return Words(column, 300, 12)

    return texts.load(TextConfig(dataset=name, data_dir=str(folder)), make_tokenizer)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    written.store_topics(folder)
    written.store_pairs(folder)
    return folder


def test_a_set_of_texts_is_read_whole_and_in_order(folder):
    learned: list[str] = []
    data = load(folder, "topics", learned)
    stored = written.topics()
    assert (data.name, data.version) == ("topics", "2.0.0")
    assert data.digest == loading.digest(loading.prepared("topics", data_dir=str(folder)))
    assert data.class_names == written.TOPICS
    assert tuple(data.raw("train")) == ("text",)
    assert data.sizes == written.SIZES
    assert learned == [row["text"] for row in stored["train"]]
    for split, rows in stored.items():
        assert list(data.raw(split)) == ["text"]
        assert data.raw(split)["text"].tolist() == [row["text"] for row in rows]
        target = data.labels[split]
        assert target.dtype == np.int64
        assert target.tolist() == [row["label"] for row in rows]


@pytest.mark.parametrize("name", ["topics", "pairs"])
def test_examples_are_the_tokens_of_each_text_with_its_label(name, folder):
    data = load(folder, name)
    for split in SPLITS:
        texts_of_split = (strings(column) for column in data.raw(split).values())
        expected = {key: x.to_list() for key, x in data.tokenizer(*texts_of_split).items()}
        examples = list(data.split(split))
        assert len(examples) == data.sizes[split]
        for row, ((inputs, target), label) in enumerate(
            zip(examples, data.labels[split], strict=True)
        ):
            assert inputs.keys() == expected.keys()
            for key, value in inputs.items():
                assert isinstance(value, tf.Tensor)
                assert value.dtype == tf.int32
                assert value.numpy().tolist() == expected[key][row]
            assert target.numpy() == label
    spec, label_spec = data.train.element_spec
    assert {tuple(part.shape) for part in spec.values()} == {(None,)}
    assert (label_spec.dtype, tuple(label_spec.shape)) == (tf.int64, ())


def test_pairs_of_texts_are_two_columns_and_words_are_learned_from_both(folder):
    learned: list[str] = []
    data = load(folder, "pairs", learned)
    train, test = (written.pairs()[split] for split in ("train", "test"))
    assert tuple(data.raw("train")) == ("text", "text_pair")
    assert data.raw("test")["text"].tolist() == [row["sentence1"] for row in test]
    assert data.raw("test")["text_pair"].tolist() == [row["sentence2"] for row in test]
    assert learned == [row[name] for name in ("sentence1", "sentence2") for row in train]


def test_the_order_of_a_pair_is_the_builders_or_else_the_alphabets(tmp_path):
    """Files alone keep no order of features: without it, pairs would change sides at random."""
    builder = tfds.builder("glue/mnli", data_dir=str(tmp_path))
    assert list(loading.features(builder))[:2] == ["premise", "hypothesis"]
    names = [f"text{number}" for number in range(9)]
    row = dict.fromkeys(names, "a")
    written.store(tmp_path, "ordered", dict.fromkeys(reversed(names), TEXT), {"train": [row]})
    builder = loading.prepared("ordered", data_dir=str(tmp_path))
    assert list(loading.features(builder)) == names


def test_pairs_have_segments_where_the_tokenizer_gives_them(folder):
    def make_tokenizer(column: PackedTexts) -> WordPieces:
        return WordPieces(train_word_pieces(column, 200), 24)

    data = texts.load(TextConfig(dataset="pairs", data_dir=str(folder)), make_tokenizer)
    for inputs, _ in data.test.as_numpy_iterator():
        separators = inputs["token_ids"] == data.tokenizer.vocabulary.index("[SEP]")
        assert separators.sum() == 2
        behind = np.arange(len(separators)) > np.argmax(separators)
        np.testing.assert_array_equal(inputs["segment_ids"], behind)


def test_a_test_split_without_labels_is_left_alone(tmp_path):
    """As in GLUE, where each label of test is -1: the set's validation split is reported on."""
    features = dict(tfds.builder("glue/mrpc", data_dir=str(tmp_path)).info.features.items())
    rows = written.pairs({"train": 20, "validation": 6, "test": 5})
    rows["test"] = [{**row, "label": -1} for row in rows["test"]]
    data = load(tmp_path, written.store(tmp_path, "glue/mrpc", features, rows))
    assert data.name == "glue"
    assert data.class_names == ("not_equivalent", "equivalent")
    assert data.sizes == {"train": 18, "validation": 2, "test": 6}
    for split, expected in (
        ("train", rows["train"][:18]),
        ("validation", rows["train"][18:]),
        ("test", rows["validation"]),
    ):
        assert data.labels[split].tolist() == [row["label"] for row in expected]
        assert data.raw(split)["text"].tolist() == [row["sentence1"] for row in expected]


def test_the_sets_own_pair_says_which_label_is_meant(tmp_path):
    class Twice(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return self.dataset_info_from_configs(
                features=tfds.features.FeaturesDict(
                    {
                        "author": written.label("x", "y"),
                        "text": written.TEXT,
                        "topic": written.label(*written.TOPICS),
                    }
                ),
                supervised_keys=("text", "topic"),
            )

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples() for split in SPLITS}

        def _generate_examples(self):
            for index in range(3):
                yield index, {"author": 0, "text": f"tree {index}", "topic": 1}

    tfds.disable_progress_bar()
    tfds.builder("twice", data_dir=str(tmp_path)).download_and_prepare()
    data = load(tmp_path, "twice")
    assert data.class_names == written.TOPICS
    assert data.labels["train"].tolist() == [1, 1, 1]


TEXT, LABEL = written.TEXT, written.label("a", "b")


@pytest.mark.parametrize(
    ("name", "features", "row"),
    [
        ("unlabeled", {"text": TEXT, "number": np.int64}, {"text": "a", "number": 3}),
        ("wordless", {"size": np.int64, "label": LABEL}, {"size": 1, "label": 0}),
        (
            "threefold",
            {"one": TEXT, "two": TEXT, "three": TEXT, "label": LABEL},
            {"one": "a", "two": "b", "three": "c", "label": 0},
        ),
    ],
)
def test_a_set_without_labeled_texts_is_refused(name, features, row, tmp_path):
    written.store(tmp_path, name, features, {"train": [row] * 3})
    message = f"^{name} has no text, or pair of texts, with a class label; its features are: "
    with pytest.raises(UserError, match=message) as caught:
        load(tmp_path, name)
    for feature in features:
        assert feature in str(caught.value)


def test_texts_of_any_script_come_as_they_are(tmp_path):
    given = ["Łódź 😀", "中文 text", "e\u0301", "", "two\nlines\xa0"]
    rows = {split: [{"text": t, "label": 0} for t in given] for split in SPLITS}
    written.store(tmp_path, "scripts", {"text": TEXT, "label": LABEL}, rows)
    data = load(tmp_path, "scripts")
    assert data.raw("validation")["text"].tolist() == given
    lengths = [len(inputs["token_ids"]) for inputs, _ in data.validation.as_numpy_iterator()]
    assert lengths == [2, 2, 1, 1, 2]
