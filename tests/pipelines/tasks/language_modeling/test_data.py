"""Running text: every token predicted once, in windows, from sets, folders and files."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.datasets.loading import Identity
from pipelines.errors import UserError
from pipelines.tasks.language_modeling import data as running_text
from pipelines.tasks.language_modeling.data import RunningText
from pipelines.text.reversible import RUNNING_TEXT, RUNNING_TEXT_IDS, ReversibleTokenizer, train
from tests.pipelines import written
from tests.pipelines.tasks.language_modeling import examples

ABOUT: Identity = {"name": "words", "version": "1.0.0", "digest": "0123456789ab"}


def of(documents: dict[str, list[str]], context: int = 6, size: int = 100) -> RunningText:
    return running_text.running_text(
        ABOUT, documents, lambda texts: train(RUNNING_TEXT["words"], texts, size), context
    )


def words(count: int) -> str:
    return " ".join(f"w{number}" for number in range(count))


@pytest.fixture(scope="module")
def thirty_words() -> ReversibleTokenizer:
    return train(RUNNING_TEXT["words"], [words(30)], 100)


def _check_windows(data: RunningText, split: str) -> None:
    """Checks that examples are what their windows are by NumPy."""
    windows, stream = data.windows[split], data.streams[split]
    (inputs, _, weights) = windows.examples(stream).batch(
        tf.range(data.sizes[split], dtype="int64")
    )
    np.testing.assert_array_equal(inputs["token_ids"], windows.cut(stream.tokens))
    real = windows.cut(np.ones(len(stream.tokens), np.int32))
    np.testing.assert_array_equal(inputs["padding_mask"], real)
    np.testing.assert_array_equal(weights, windows.weights)


@settings(max_examples=15)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=4),
    st.integers(2, 9),
    st.sampled_from(["train", "validation", "test"]),
)
def test_every_token_is_predicted_exactly_once_from_those_before(
    thirty_words, counts, context, split
):
    documents = {key: [words(n) for n in counts] for key in ("train", "validation", "test")}
    data = running_text.running_text(ABOUT, documents, lambda _: thirty_words, context)
    _check_windows(data, split)
    row = data.streams[split].tokens
    assert row[0] == row[-1] == RUNNING_TEXT_IDS.end
    predicted: list[int] = []
    for inputs, target, weight in data.split(split).as_numpy_iterator():
        assert inputs["token_ids"].shape == (context + 1,)
        assert target.shape == weight.shape == (context,)
        np.testing.assert_array_equal(inputs["token_ids"][1:], target)
        np.testing.assert_array_equal(inputs["padding_mask"], inputs["token_ids"] > 0)
        first = int(weight.argmax())
        if split != "train" and predicted:
            assert first >= context - max(1, context // 2)
        predicted += target[weight > 0].tolist()
    assert predicted == row[1:].tolist()
    assert sum(data.sizes.values()) == sum(len(list(data.split(s))) for s in data.sizes)


def test_characters_are_counted_where_tokens_count():
    documents = examples.speeches()
    data = of(documents, 10, 12)
    raw = data.raw("test")
    assert raw["characters"].sum() == sum(map(len, documents["test"]))
    row = data.streams["test"]
    hidden = row.lengths[row.tokens == 1].sum()
    assert hidden > 0
    alphabet = len(set("".join(documents["train"])))
    assert raw["spelling_bits"].sum() == pytest.approx(hidden * np.log2(alphabet + 1))


def test_blocks_are_documents_or_parts_of_few():
    many = of({split: [words(20)] * 12 for split in ("train", "validation", "test")}, 8)
    block = many.raw("test")["block"]
    assert (block[0], block[-1], len(set(block))) == (0, 11, 12)
    assert (np.diff(block) >= 0).all()
    one = of({split: [words(900)] for split in ("train", "validation", "test")}, 8)
    assert len(set(one.raw("test")["block"])) == 50


def test_a_document_without_tokens_is_left_out():
    data = of({"train": ["a b", " ", "c"], "validation": ["a"], "test": ["b"]})
    ids = data.streams["train"].tokens.tolist()
    assert [data.tokenizer.vocabulary[i] for i in ids] == (
        ["[END]", "a", "▁b", "[END]", "c", "[END]"]
    )
    with pytest.raises(UserError, match=r"^words has no text in its test split$"):
        of({"train": ["a"], "validation": ["a"], "test": ["  "]})


def stored(folder: Path, name: str, **splits: list[str]) -> str:
    rows = {split: [{"text": text} for text in texts] for split, texts in splits.items()}
    return written.store(folder, name, {"text": written.TEXT}, rows)


def load(dataset: str, folder: Path, **options) -> RunningText:
    return running_text.load(
        replace(examples.config(dataset=dataset, **options), data_dir=str(folder))
    )


def text(data: RunningText, split: str) -> str:
    return "".join(data.tokenizer.token_texts(data.streams[split].tokens)).replace("[END]", "")


def test_sets_like_tiny_shakespeare_are_one_document_a_split(tmp_path):
    name = stored(tmp_path, "plays", train=["To be,\nor\n\nnot"], validation=["be"], test=["or"])
    data = load(name, tmp_path, tokens="characters")
    assert (data.name, data.version) == ("plays", "2.0.0")
    assert text(data, "train") == "To be,\nor\n\nnot"
    assert (data.streams["train"].tokens == RUNNING_TEXT_IDS.end).sum() == 2


def test_sets_like_lm1b_give_validation_a_part_of_train(tmp_path):
    sentences = [f"Sentence {number}." for number in range(20)]
    data = load(
        stored(tmp_path, "billion", train=sentences, test=["Ten."]), tmp_path, tokens="characters"
    )
    assert text(data, "validation") == "Sentence 18.Sentence 19."
    assert text(data, "test") == "[UNK]en."
    assert text(data, "train").startswith("Sentence 0.Sentence 1.")


def test_sets_like_wiki40b_have_other_features_too(tmp_path):
    features = {"wikidata_id": written.TEXT, "text": written.TEXT, "version_id": written.TEXT}
    article = "\n_START_ARTICLE_\nOslo\n_START_PARAGRAPH_\nOslo is a city."
    rows = [{"wikidata_id": "Q585", "text": article, "version_id": "1"}]
    splits = dict.fromkeys(("train", "validation", "test"), rows)
    data = load(written.store(tmp_path, "wiki/en", features, splits), tmp_path)
    assert text(data, "train") == article.strip()


def test_most_texts_are_read_where_so_chosen(tmp_path):
    name = stored(tmp_path, "many", train=["a", "b", "c"], validation=["a", "b"], test=["c"])
    data, all_of_it = load(name, tmp_path, max_examples=1), load(name, tmp_path)
    assert (text(data, "train"), text(data, "validation")) == ("a", "a")
    assert data.digest != all_of_it.digest
    assert load(name, tmp_path, max_examples=1).digest == data.digest


def test_a_set_without_text_is_refused(tmp_path):
    features = {"one": written.TEXT, "two": written.TEXT}
    rows = [{"one": "a", "two": "b"}]
    name = written.store(tmp_path, "twins", features, {"train": rows})
    with pytest.raises(UserError, match=r"^twins has no feature `text`; its features are: one"):
        load(name, tmp_path)


def test_own_text_is_a_folder_or_a_file(tmp_path):
    folder = tmp_path / "my texts"
    folder.mkdir()
    for split in ("train", "validation", "test"):
        (folder / f"{split}.txt").write_text(
            f"{split} of train, validation, test: ë\n", encoding="utf-8"
        )
    data = load(str(folder), tmp_path, tokens="characters")
    assert data.name == "my_texts"
    assert [text(data, split) for split in data.streams] == [
        f"{split} of train, validation, test: ë" for split in data.streams
    ]
    digest = data.digest
    (folder / "test.txt").write_text("Other.")
    assert load(str(folder), tmp_path).digest != digest

    novel = tmp_path / "novel.txt"
    novel.write_text("".join(f"line {number:02}\n" for number in range(20)))
    data = load(str(novel), tmp_path, tokens="characters")
    assert data.name == "novel"
    lines = [text(data, split).split("\n") for split in data.streams]
    assert list(itertools.chain(*lines)) == [f"line {number:02}" for number in range(20)]
    assert [len(part) for part in lines] == [16, 2, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"one line", "has too few lines to be split into three parts"),
        (
            b"\xc3\xab\xc3\xab\na\xff",
            "is damaged: line 2 has the byte 0xff, which is not UTF-8, .*",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_one_sentence(tmp_path, content, message):
    file = tmp_path / "own.txt"
    file.write_bytes(content)
    with pytest.raises(UserError, match=f"^{file} {message}$"):
        load(str(file), tmp_path)


def test_a_path_without_a_file_is_told_in_one_sentence(tmp_path):
    with pytest.raises(UserError, match=f"^there is no file or folder {tmp_path}/own.txt$"):
        load(str(tmp_path / "own.txt"), tmp_path)


def test_splits_that_are_missing_are_cut_off_from_train(tmp_path):
    (tmp_path / "train.txt").write_text("".join(f"line {number:02}\n" for number in range(20)))
    data = load(str(tmp_path), tmp_path, tokens="characters")
    assert [len(text(data, split).split("\n")) for split in data.streams] == [16, 2, 2]
    assert any("is cut between lines into train, validation, test" in note for note in data.notes)


def test_documents_of_own_text_are_rows_and_files_and_counted(tmp_path):
    table = tmp_path / "own.csv"
    rows = [f"row {number}" for number in range(30)]
    table.write_text("id,text\n" + "".join(f"{i},{row}\n" for i, row in enumerate([*rows, " "])))
    data = load(str(table), tmp_path, tokens="characters", max_examples=20)
    found = [text(data, split).split("row ")[1:] for split in data.streams]
    assert [len(part) for part in found] == [20, 3, 3]
    assert len(set(itertools.chain(*found))) == 26
    assert data.left_out == {"train": 1, "validation": 0, "test": 0}
    assert any(
        f"left out: 1 row without text, the first at {table}, line 32" in n for n in data.notes
    )
    other = load(str(table), tmp_path, tokens="characters", max_examples=20, split_seed=1)
    assert other.digest != data.digest


def test_documents_without_tokens_are_counted(tmp_path):
    splits = {split: ["a b", " \t", "b"] for split in ("train", "validation", "test")}
    data = load(stored(tmp_path, "gaps", **splits), tmp_path)
    assert data.left_out == dict.fromkeys(data.streams, 1)
    assert data.notes[0] == "left out: 1 document of train without text"
