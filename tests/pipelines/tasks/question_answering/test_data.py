"""Questions: where tokens stand in a passage of any text, and targets that lead back to answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.datasets import loading
from pipelines.datasets.dataset import SPLITS
from pipelines.errors import UserError
from pipelines.tasks.question_answering import data as questions
from pipelines.tasks.question_answering import own
from pipelines.tasks.question_answering.data import IGNORE_ID
from pipelines.text.config import TextConfig
from pipelines.text.tokenizers import SPECIAL, WordPieces
from tests.pipelines.tasks.question_answering.examples import as_columns

LETTERS = [chr(letter) for letter in range(ord("a"), ord("z") + 1)]
PIECES = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS), *"0123456789.,$_", "rome"]
# Texts with what changes its length in lower case or without accents, and what has no width.
TEXT = st.text(st.sampled_from("abİßéÅ日.,\u0301\u200b 9🙂\n") | st.characters(codec="utf-8"))


@pytest.fixture(scope="module")
def tokenizer() -> WordPieces:
    return WordPieces(PIECES, 24)


@settings(max_examples=25)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3))
def test_every_token_of_a_passage_of_any_text_knows_its_word(tokenizer, pairs):
    asked, contexts = (tf.constant(column) for column in zip(*pairs, strict=True))
    inputs, spans = questions.encode(tokenizer, asked, contexts)
    names = [tokenizer.vocabulary.index(name) for name in ("[CLS]", "[SEP]")]
    for row, (_, context) in enumerate(pairs):
        ids, places = inputs["token_ids"][row].numpy(), spans[row].numpy()
        assert places.shape == (len(ids), 2)
        assert len(ids) <= tokenizer.max_length
        (_, passage), (last,) = np.split(np.flatnonzero(np.isin(ids, names))[:3], [2])
        inside = np.arange(len(ids))[passage + 1 : last]
        assert not places[np.setdiff1d(np.arange(len(ids)), inside)].any()
        words = np.unique(places[inside], axis=0)
        assert (words[:, 0] < words[:, 1]).all()
        assert (words[1:, 0] >= words[:-1, 1]).all()
        for start, end in words:
            context.encode()[start:end].decode()  # No character is cut in two.


@settings(max_examples=25)
@given(TEXT, st.data())
def test_words_lead_to_tokens_and_back_to_the_very_text(tokenizer, context, data):
    _, spans = questions.encode(tokenizer, tf.constant(["a"]), tf.constant([context]))
    places = spans[0].numpy()
    words = np.unique(places[places[:, 1] > 0], axis=0)
    if not len(words):
        assert questions.tokens_of(places, 0, len(context.encode())) == (IGNORE_ID, IGNORE_ID)
        return
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    start, end = questions.tokens_of(places, words[first, 0], words[last, 1])
    assert (places[start, 0], places[end, 1]) == (words[first, 0], words[last, 1])


def test_lower_case_and_accents_do_not_move_a_word(tokenizer):
    context = "İst, Ång\u0301 und 日本: Rome"
    _, spans = questions.encode(tokenizer, tf.constant(["a"]), tf.constant([context]))
    places = np.unique(spans[0].numpy(), axis=0)[1:]
    found = [context.encode()[start:end].decode() for start, end in places]
    assert found == ["İst", ",", "Ång\u0301", "und", "日", "本", ":", "Rome"]


def test_a_question_keeps_half_of_the_length_at_most(tokenizer):
    inputs, spans = questions.encode(
        tokenizer, tf.constant(["a " * 50, "a"]), tf.constant(["b " * 50, "b b"])
    )
    long, short = (inputs["token_ids"][row].numpy() for row in range(2))
    a, b = PIECES.index("a"), PIECES.index("b")
    assert [(long == token).sum() for token in (a, b)] == [10, 11]
    assert [PIECES[i] for i in short] == ["[CLS]", "a", "[SEP]", "b", "b", "[SEP]"]
    assert spans[1].numpy().tolist() == [[0, 0], [0, 0], [0, 0], [0, 1], [2, 3], [0, 0]]
    assert spans.row_lengths().numpy().tolist() == [24, 6]


def test_a_piece_of_a_word_stands_for_all_of_it(tokenizer):
    _, spans = questions.encode(tokenizer, tf.constant(["a"]), tf.constant(["in Romes."]))
    assert questions.tokens_of(spans[0].numpy(), 3, 7) == (5, 6)


def made(rows, tokenizer) -> questions.Questions:
    """A data set with the same questions in each split."""
    columns = {split: as_columns(rows) for split in SPLITS}
    return questions.questions(
        columns, lambda texts: tokenizer, name="made", version="1.0.0", digest="0"
    )


def test_truncated_answers_are_not_trained_on_but_counted(tokenizer):
    near = (b"a _____ c", b"a b c", (b"b",), 2)
    far = (b"a _____ c", b"a " * 30 + b"b c", (b"b",), 60)
    data = made([near, far, near], tokenizer)
    assert data.sizes == {"train": 2, "validation": 3, "test": 3}
    targets = [target for _, target in data.test.as_numpy_iterator()]
    assert [(int(t["start"]), int(t["end"])) for t in targets] == [(10, 10), (-1, -1), (10, 10)]
    assert [len(inputs["token_ids"]) for inputs, _ in data.train] == [13, 13]
    assert data.raw("train")["context"].tolist() == [b"a b c"] * 2
    with pytest.raises(UserError, match="no answer within --max_length tokens in its train split"):
        made([far], tokenizer)


def test_answers_of_the_bundled_set_lead_to_tokens_and_back(bundled, monkeypatch):
    builder = bundled("sotu_cloze")
    monkeypatch.setattr(loading, "prepared", lambda name, **folders: builder)
    config = TextConfig(dataset="sotu_cloze")
    tokenizer = WordPieces(PIECES, 4096)
    data = questions.load(config, lambda texts: tokenizer)
    assert (data.name, data.version, data.example_bytes) == ("sotu_cloze", "1.0.0", 0)
    assert data.sizes == {"train": 8000, "validation": 1000, "test": 1000}
    for split in SPLITS:
        columns = [data.raw(split)[name] for name in ("context", "answers", "spans")]
        targets = (target for _, target in data.split(split).as_numpy_iterator())
        for context, answers, spans, target in zip(*columns, targets, strict=True):
            assert (context[spans[target["start"], 0] : spans[target["end"], 1]],) == answers


class SeveralAnswers(tfds.core.GeneratorBasedBuilder):
    """A set with several answers to a question, with none, and with letters beyond ASCII."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        answers = {"text": tfds.features.Text(), "answer_start": np.int32}
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "context": tfds.features.Text(),
                    "question": tfds.features.Text(),
                    "answers": tfds.features.Sequence(answers),
                }
            )
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples() for split in SPLITS}

    def _generate_examples(self):
        context = "Zoë a vécu à Rome."
        for number, texts in enumerate((["à Rome", "Rome"], [])):
            answers = [{"text": text, "answer_start": context.index(text)} for text in texts]
            yield number, {"context": context, "question": "Où ?", "answers": answers}


def test_the_first_of_several_answers_is_trained_and_all_are_kept(tmp_path, tokenizer):
    builder = SeveralAnswers(data_dir=str(tmp_path))
    builder.download_and_prepare()
    source = loading.Source(builder, {"test": "test"})
    table = own.with_answers(questions._table(source, "test"))
    assert table.left_out == 1
    assert table.notes == ("several_answers, test: left out, as they have no answer: 1 questions",)
    row = questions.columns_of(table)
    assert row["answers"].tolist() == [("à Rome".encode(), b"Rome")]
    assert row["answer_start"].tolist() == [len("Zoë a vécu ".encode())]


@pytest.fixture(scope="module")
def own_file(tmp_path_factory) -> Path:
    """Questions: right, in bytes, without an answer, truncated."""
    path = tmp_path_factory.mktemp("own") / "my set.jsonl"
    far = {"question": "a", "context": "b " * 40 + "rome", "answer": "rome", "answer_start": 80}
    rows = [
        {
            "question": "a?",
            "context": f"Zoë {n} rome",
            "answer": "rome",
            "answer_start": 7 + (n > 9),
        }
        for n in range(20)
    ]
    none = {"question": "a", "context": "b", "answer": ""}
    path.write_text("\n".join(map(json.dumps, [*rows, *[far] * 2, none])))
    return path


@pytest.fixture(scope="module")
def own_data(own_file, tokenizer) -> questions.Questions:
    return questions.load(TextConfig(dataset=str(own_file), split_seed=3), lambda texts: tokenizer)


def test_a_part_of_own_questions_is_drawn(own_file, own_data, tokenizer):
    config = TextConfig(dataset=str(own_file), split_seed=3, max_examples=1)
    data = questions.load(config, lambda texts: tokenizer)
    assert data.sizes == {"train": 1, "validation": 1, "test": 1}
    assert data.digest != own_data.digest
    assert data.raw("test")["context"][0] in own_data.raw("test")["context"]


def test_own_questions_are_a_data_set_whose_targets_lead_to_the_answers(own_data):
    assert (own_data.name, own_data.version, len(own_data.digest)) == ("my_set", "1.0.0", 12)
    found = {"train": 0, "validation": 0, "test": 0}
    for split in SPLITS:
        columns = [own_data.raw(split)[name] for name in ("context", "spans")]
        targets = (target for _, target in own_data.split(split).as_numpy_iterator())
        for context, spans, target in zip(*columns, targets, strict=True):
            assert context[spans[target["start"], 0] : spans[target["end"], 1]] == b"rome"
            found[split] += 1
    assert found == own_data.sizes
    assert sum(found.values()) == 20


def test_what_is_left_out_of_own_questions_is_counted_and_named(own_data):
    assert own_data.left_out == {"train": 3}
    text = "\n".join(own_data.notes)
    assert "offsets in bytes of UTF-8, turned into characters: 20 of 22 questions" in text
    assert "left out, as they have no answer: 1 questions" in text
    assert "2 of the 18 questions of train have their answer beyond --max_length" in text


def test_a_set_without_questions_is_refused_in_one_sentence(digits_dir):
    config = TextConfig(dataset="digits", data_dir=str(digits_dir))
    with pytest.raises(UserError, match="no questions with answers in a context, as squad has"):
        questions.load(config, lambda texts: pytest.fail("not reached"))
