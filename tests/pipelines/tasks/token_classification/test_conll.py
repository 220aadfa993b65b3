"""Tagged texts in files: columns, comments and JSON, and faults with their lines."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.config import Config
from pipelines.errors import UserError
from pipelines.tasks.token_classification import conll

SENTENCES = [
    (["Ann", "met", "Zoë"], ["B-PER", "O", "B-PER"]),
    (["#", "Oslo"], ["O", "B-LOC"]),
]
PLAIN = "Ann B-PER\nmet O\nZoë B-PER\n\n# O\nOslo B-LOC\n"


def read(folder, name: str, content: str | bytes, **options) -> conll.Table:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return conll.read(path, Config(**options))


def sentences(table) -> list[tuple[list[str], list[str]]]:
    return list(zip(table.columns["tokens"], table.columns["tags"], strict=True))


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.replace(" ", "\t"),
        PLAIN.replace(" ", "  \t "),
        PLAIN.replace("\n", " \n"),
        "\n\n" + PLAIN.replace("\n", "\r\n") + "\r\n",
        PLAIN.replace("\n\n", "\n \t\n"),
        "-DOCSTART- -X- O O\n\n" + PLAIN.replace(" ", " NN B-NP "),
        "-DOCSTART- O\n" + PLAIN.replace("\n\n", "\n-DOCSTART-\n"),
        "# id = 1\n# text = Ann met Zoë O\n" + PLAIN.replace("\n\n", "\n\n# id = 2\n"),
        # As CoNLL-U and GermEval have them, with a number before each token.
        "# text = Ann\n1\tAnn\tB-PER\n2-3\tmetz\t_\n2\tmet\tO\n3\tZoë\tB-PER\n\n1\t#\tO\n"
        "2\tOslo\tB-LOC\n",
        PLAIN.encode("utf-16"),
        PLAIN.encode("latin-1"),
        b"\xef\xbb\xbf" + PLAIN.encode(),
    ],
)
def test_a_conll_file_is_read_in_all_its_forms(content, tmp_path):
    assert sentences(read(tmp_path, "a.conll", content)) == SENTENCES


def test_tokens_with_a_hash_are_no_comments_and_comments_no_tokens(tmp_path):
    table = read(tmp_path, "a.txt", "#yolo O\nOslo B-LOC\n\n#note: O x\n# B-LOC\n#2 O\n")
    assert table.columns["tokens"] == [["#yolo", "Oslo"], ["#", "#2"]]
    assert table.columns["token_lines"] == [[1, 2], [5, 6]]


def test_white_space_of_unicode_separates_neither_lines_nor_columns(tmp_path):
    table = read(tmp_path, "a.conll", "a\u00a0b O\nc\u2028d\x85 B-X\n")
    assert table.columns["tokens"] == [["a\u00a0b", "c\u2028d\x85"]]


TOKEN = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Z"]), min_size=1).filter(
    lambda token: token != "-DOCSTART-" and conll.words_of(token)
)
ROWS = st.lists(st.tuples(TOKEN, st.sampled_from(["O", "B-X", "I-Y-Z"])), min_size=1, max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROWS, min_size=1, max_size=5), st.sampled_from(["\t", " "]))
def test_what_is_written_is_read(tmp_path, rows, separator):
    lines = [[f"{token}{separator}{tag}" for token, tag in own] for own in rows]
    table = read(tmp_path, "a.conll", "\n\n".join("\n".join(own) for own in lines))
    found = [list(zip(*own, strict=True)) for own in sentences(table)]
    assert found == rows
    for own, numbers in zip(lines, table.columns["token_lines"], strict=True):
        assert len(own) == len(numbers)


FIELDS = [{"tokens": tokens, "tags": tags} for tokens, tags in SENTENCES]


@pytest.mark.parametrize("names", [("tokens", "tags"), ("words", "ner_tags"), ("tokens", "labels")])
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet"])
def test_fields_are_read_from_json_and_parquet(names, suffix, tmp_path):
    rows = [dict(zip(names, row.values(), strict=True)) for row in FIELDS]
    path = tmp_path / f"a{suffix}"
    if suffix == ".parquet":
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        lines = [json.dumps(row) for row in rows]
        path.write_text("\n".join(lines) if suffix == ".jsonl" else f"[{','.join(lines)}]")
    assert sentences(conll.read(path, Config())) == SENTENCES


def test_sentences_without_tokens_are_left_out_and_counted(tmp_path):
    empty = json.dumps({"tokens": [], "tags": []})
    table = read(tmp_path, "a.jsonl", "\n".join([empty, json.dumps(FIELDS[0]), empty]))
    assert (len(table), table.left_out) == (1, 2)
    assert table.lines == [2]
    assert "2 sentences of" in table.notes[0]


@pytest.mark.parametrize(
    ("name", "bad", "line", "words"),
    [
        ("a.conll", "Bob\n", 8, "the token 'Bob' has no tag"),
        ("a.conll", "Dan O\nBob\n", 9, "the token 'Bob' has no tag"),
        ("a.conll", "Bob NN O\n", 8, "3 columns, but other lines have 2"),
        ("a.tsv", "Bob\tO\n\tO\n", 9, "an empty token"),
        ("a.tsv", "\u00a0\tO\n", 8, "an empty token"),
        ("a.tsv", "Bob\t\n", 8, "the token 'Bob' has no tag"),
        ("a.tsv", "Bob O\n", 8, "the token 'Bob O' has no tag"),
        ("a.jsonl", '{"tokens": ["a", "b"], "tags": ["O"]}', 3, "2 tokens, but 1 tags"),
        ("a.jsonl", '{"tokens": [], "tags": ["O"]}', 3, "0 tokens, but 1 tags"),
        ("a.jsonl", '{"tokens": ["a", ""], "tags": ["O", "O"]}', 3, "an empty token, number 2"),
        ("a.jsonl", '{"tokens": ["a", null], "tags": ["O", "O"]}', 3, "an empty token"),
        ("a.jsonl", '{"tokens": ["a"], "tags": [null]}', 3, "the token 'a' has no tag"),
        ("a.jsonl", '{"tokens": "a", "tags": ["O"]}', 3, "'tokens' is no list"),
        ("a.jsonl", '{"tokens": ["a"]}', 3, "'tags' is no list"),
        ("a.jsonl", '{"tokens": [["a"]], "tags": ["O"]}', 3, "'tokens' is no list"),
    ],
)
def test_a_bad_sentence_is_named_or_left_out(name, bad, line, words, tmp_path):
    good = PLAIN + "\n"
    if name == "a.tsv":
        good = good.replace(" ", "\t")
    if name == "a.jsonl":
        good = "".join(json.dumps(row) + "\n" for row in FIELDS)
    with pytest.raises(UserError) as caught:
        read(tmp_path, name, good + bad)
    assert str(caught.value).startswith(f"{tmp_path / name}, line {line}: {words}")
    table = read(tmp_path, name, good + bad, skip_bad=True)
    assert sentences(table) == SENTENCES
    assert table.left_out == 1
    assert f"line {line}: {words}" in table.notes[-1]


NESTED = "1\tBad\tB-LOC\tB-PER\n2\tAnn\tI-LOC\t{}\n3\tlay\tO\tO\n\n1\tBob\tB-PER\tO\n"


@pytest.mark.parametrize("nested", ["O", "B-PERpart", "B-PER"])
def test_of_nested_tags_those_that_hold_the_others_are_read(nested, tmp_path):
    table = read(tmp_path, "a.tsv", NESTED.format(nested))
    assert table.columns["tags"] == [["B-LOC", "I-LOC", "O"], ["B-PER"]]
    assert "are those in column 3, the first that has spans" in table.notes[-1]


@pytest.mark.parametrize("tag", ["B-PER", "O"])
@pytest.mark.parametrize("chunks", ["B-NP", "O", "X"])
def test_chunks_before_the_tags_are_not_read(chunks, tag, tmp_path):
    table = read(tmp_path, "a.conll", f"Ann NNP {chunks} {tag}\nBob NNP B-NP {tag}\n")
    assert table.columns["tags"] == [[tag, tag]]
    assert len(table.notes) == 1


def test_one_giant_sentence_is_noted(tmp_path):
    note = read(tmp_path, "a.conll", PLAIN.replace("\n\n", "\n")).notes[-1]
    assert "no blank line" in note
    assert "5 tokens are one sentence" in note


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "a.txt",
            "It was so.\nAnd then it was not.\n\nOr so they said once more.",
            "have 3, 5 or 6",
        ),
        ("a.txt", "Ann\nOslo\n", "have 1 columns"),
        ("a.jsonl", '{"text": "a", "label": "b"}\n', "has no field 'tokens'; it has: text, label"),
        ("a.jsonl", '{"tokens": ["a"], "pos": ["NN"]}', "has no field 'tags'; it has: tokens, pos"),
        ("a.txt", "\n\n", "has no sentences"),
        ("a.jsonl", "\n", "has no field 'tokens'; it has: none"),
        ("a.jsonl", '{"tokens": [], "tags": []}', "has no sentences"),
    ],
)
def test_other_data_is_refused_in_one_sentence(name, content, words, tmp_path):
    with pytest.raises(UserError) as caught:
        read(tmp_path, name, content)
    assert words in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)
