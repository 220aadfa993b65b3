"""Byte pairs: the published tokens in a graph, files, and training."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import UserError
from pipelines.text import byte_pair_files
from pipelines.text.byte_pairs import END, BytePairTokenizer, byte_characters, train
from tests.pipelines.text import byte_pair_reference

TEXTS = [
    "It isn't so: they've said we'll see, and I'm sure he'd know. It's $1,250.50!\n\n",
    "Zürich — 日本語のテキスト, Łódź, naïve café's 'tis 'twas don't DON'T  \t x\n\n\n y  ",
    "the people of the people by the people for the people " * 5,
    "def f(x):\n    return x**2  # ½ Ⅷ ٣ 😀👍🏽\n",
]
# What cuts units, in all neighborhoods; combining marks are neither letters nor numbers.
_ALPHABET = " \n\t'strevmldASé日1²Ⅷ!?’\u0301\x00\x1c\x85\xa0\u2028\u3000\ufeff😀"


@pytest.fixture(scope="module")
def tokenizer() -> BytePairTokenizer:
    return train(TEXTS * 3, 400, max_characters=1e6)


def expected(tokenizer: BytePairTokenizer, text: str) -> list[int]:
    ids = {token: number for number, token in enumerate(tokenizer.vocabulary)}
    return byte_pair_reference.encode(text, ids, tokenizer.merges)


def test_tokens_are_the_published_ones(tokenizer):
    texts = [*TEXTS, "", " ", "  ", "\n", "'", "'s", "''s", " 's", "\n's", "a's's", "aaaaaaa", END]
    found = tokenizer(tf.constant(texts)).to_list()
    assert found == [expected(tokenizer, text) for text in texts]
    assert len(found[2]) < len(TEXTS[2]) / 3
    assert tokenizer.ids.end not in found[-1]


@settings(max_examples=150, deadline=None)
@given(
    texts=st.lists(
        st.text(st.sampled_from(_ALPHABET), max_size=25) | st.text(max_size=6),
        min_size=1,
        max_size=4,
    )
)
def test_tokens_of_any_text_are_the_published_ones_and_join_to_it(tokenizer, texts):
    texts = [text for text in texts if _is_old(text)] or [""]
    ids, lengths = tokenizer.with_lengths(tf.constant(texts))
    assert ids.to_list() == [expected(tokenizer, text) for text in texts]
    assert tokenizer.detokenize(ids).numpy().tolist() == [text.encode() for text in texts]
    assert [sum(row) for row in lengths.to_list()] == [len(text) for text in texts]


def _is_old(text: str) -> bool:
    """Returns whether the two sources of categories know a text's characters: what is in both."""
    return all(ord(c) < 0x3000 or c in _ALPHABET for c in text)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=30), min_size=1, max_size=4))
def test_any_bytes_come_back(tokenizer, texts):
    ids = tokenizer(tf.constant(texts))
    assert tokenizer.detokenize(ids).numpy().tolist() == texts
    padded = tf.pad(
        ids.to_tensor(tokenizer.ids.end), [[0, 0], [0, 2]], constant_values=tokenizer.ids.end
    )
    assert tokenizer.detokenize(padded).numpy().tolist() == texts


def test_the_characters_for_bytes_are_the_published_ones():
    shown = byte_pair_reference.characters()
    assert byte_characters() == tuple(shown[byte] for byte in range(256))
    assert byte_characters()[ord(" ")] == "Ġ"
    assert byte_characters()[ord("\n")] == "Ċ"


def test_a_megabyte_takes_seconds_and_a_word_without_end_no_minute(tokenizer):
    chunk = "".join(TEXTS)
    count = 1_000_000 // len(chunk.encode()) // 500 + 1
    texts = tf.constant([chunk * count] * 500)
    started = time.process_time()
    ids = tokenizer(texts)
    assert time.process_time() - started < 30
    assert ids.nrows() == 500
    word = "".join(chr(ord("a") + number * number % 26) for number in range(3000))
    (found,) = tokenizer(tf.constant([word])).to_list()
    assert found == expected(tokenizer, word)


def test_training_is_the_same_every_time_and_stops_in_time(tokenizer):
    assert len(tokenizer.vocabulary) == 400
    assert tokenizer.vocabulary[-1] == END
    assert tokenizer.ids.end == 399
    assert train(TEXTS * 3, 400, max_characters=1e6).vocabulary == tokenizer.vocabulary
    assert "Ġpeople" in tokenizer.vocabulary
    assert "Ġpeople" not in train([*TEXTS[:1] * 3, *TEXTS * 9], 400, max_characters=150).vocabulary
    bare = train(["a b"], 257, max_characters=10)
    assert len(bare.vocabulary) == 257
    assert bare(tf.constant(["a é"])).to_list() == [[ord("a"), ord(" "), *"é".encode()]]


def test_token_texts_show_parts_of_characters_by_name(tokenizer):
    names = tokenizer.token_texts([ord("a"), 0xE6, tokenizer.ids.end])
    assert names == ["a", "æ", END]


def test_files_hold_the_tokenizer(tokenizer, tmp_path):
    byte_pair_files.write(tokenizer, tmp_path)
    read = byte_pair_files.read(tmp_path, size=402)
    assert read.merges == tokenizer.merges
    assert read.vocabulary == [*tokenizer.vocabulary, "", ""]
    assert read.ids.banned == (400, 401)
    texts = tf.constant(TEXTS)
    assert read(texts).to_list() == tokenizer(texts).to_list()

    whole: dict[str, Any] = {
        "model": {
            "type": "BPE",
            "vocab": json.loads((tmp_path / "vocab.json").read_text()),
            "merges": [list(pair) for pair in tokenizer.merges],
        },
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
        "added_tokens": [{"id": 399, "content": END}],
    }
    other = tmp_path / "other"
    other.mkdir()
    for merges in (whole["model"]["merges"], [*map(" ".join, tokenizer.merges)]):
        whole["model"]["merges"] = merges
        (other / "tokenizer.json").write_text(json.dumps(whole))
        read = byte_pair_files.read(other, size=400, end=399)
        assert (read.vocabulary, read.merges) == (tokenizer.vocabulary, tokenizer.merges)

    def refused(message: str, **changes) -> None:
        (other / "tokenizer.json").write_text(json.dumps({**whole, **changes}))
        with pytest.raises(UserError, match=message):
            byte_pair_files.read(other, size=400, end=399)

    refused("BPE after Metaspace, and not of", pre_tokenizer={"type": "Metaspace"})
    refused("changes texts before it cuts them", normalizer={"type": "NFC"})
    refused("has no vocab, merges", model={"type": "BPE"})


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("vocab.json", None, "has no byte-pair tokenizer: neither vocab.json with merges.txt"),
        ("vocab.json", "{", "vocab.json is not JSON"),
        ("vocab.json", '{"a": 0, "b": 0}', "does not map each token to an id of its own"),
        ("vocab.json", '{"a": 400}', "has 401 tokens, the network 400"),
        ("vocab.json", '{"a": 0}', "has no <|endoftext|>"),
        ("vocab.json", f'{{"a": 0, "{END}": 1}}', "lacks the token .* which is a byte"),
        ("merges.txt", "#version: 0.2\na b c\n", "line 2: 'a b c' is not a pair of tokens"),
        ("merges.txt", "a nope\n", "lacks the token '(nope|anope)' of the merge"),
    ],
)
def test_damaged_files_are_one_sentence(tokenizer, tmp_path, file, content, message):
    byte_pair_files.write(tokenizer, tmp_path)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(content)
    with pytest.raises(UserError, match=message.replace("|", r"\|") if "<" in message else message):
        byte_pair_files.read(tmp_path, size=400)
