"""Own tagged texts: three splits in BIO, every type in train, and faults over all of the data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config import Config
from pipelines.errors import UserError
from pipelines.tasks.token_classification import own

SENTENCE = "Ann B-PER\nmet{} O\nNew B-LOC\nYork I-LOC\n\n"
MANY = "".join(SENTENCE.format(number) for number in range(20))
FILES = {"train.conll": MANY, "dev.conll": SENTENCE, "test.conll": SENTENCE}
BIO = ["B-PER", "O", "B-LOC", "I-LOC"]


def load(folder, contents, **options) -> dict[str, own.Table]:
    for name, content in contents.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    path = folder / name if len(contents) == 1 else folder
    return own.read_splits(path, own.find(path), Config(**options))


def sizes(splits) -> list[int]:
    return [len(table) for table in splits.values()]


@pytest.mark.parametrize(
    "contents",
    [
        FILES,
        {name.replace("conll", "txt"): content for name, content in FILES.items()},
        {f"eng-{name.replace('.', '-v1.')}": content for name, content in FILES.items()},
        {f"{name[:-6]}/some.tsv": content for name, content in FILES.items()},
    ],
)
def test_a_folder_has_a_file_or_a_folder_for_each_split(contents, tmp_path):
    splits = load(tmp_path, contents)
    assert list(splits) == ["train", "validation", "test"]
    assert sizes(splits) == [20, 1, 1]
    assert splits["test"].columns["tokens"] == [["Ann", "met{}", "New", "York"]]
    assert splits["test"].columns["tags"] == [BIO]
    assert own.labels(splits) == ("O", "B-LOC", "I-LOC", "B-PER")


def test_what_is_not_split_is_split_and_duplicates_stay_together(tmp_path):
    splits = load(tmp_path, {"a.conll": MANY + MANY})
    assert sum(sizes(splits)) == 40
    assert min(sizes(splits)) > 0
    words = [{tuple(own) for own in table.columns["tokens"]} for table in splits.values()]
    assert sum(map(len, words)) == len(set().union(*words)) == 20
    assert "--split_seed 0" in splits["train"].notes[-1]
    assert load(tmp_path, {"a.conll": MANY + MANY}, split_seed=1)["test"].columns != (
        splits["test"].columns
    )


def test_files_of_splits_with_other_words_are_told_apart_and_unread_ones_noted(tmp_path):
    names = ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated")
    splits = load(tmp_path, dict(zip(names, (MANY, SENTENCE, SENTENCE), strict=True)))
    assert sizes(splits) == [18, 1, 2]
    notes = splits["train"].notes
    assert f"{tmp_path}/emerging.test.annotated is not read" in notes


def test_types_that_differ_in_letter_case_alone_are_noted(tmp_path):
    splits = load(tmp_path, {"a.conll": MANY + MANY.replace("PER", "Per").replace("met", "saw")})
    notes = " ".join(splits["train"].notes)
    assert "the types PER, Per are different ones: they differ in letter case" in notes
    assert "LOC" not in notes


def test_a_missing_split_is_cut_from_train(tmp_path):
    assert sizes(load(tmp_path, {"train.bio": MANY, "test.bio": SENTENCE})) == [18, 2, 1]


def test_several_files_are_read_as_one_and_texts_about_them_are_not(tmp_path):
    contents = {
        "a.conll": MANY,
        "b.conll": MANY.replace("met", "saw"),
        "README.txt": "Hello you.\n",
    }
    splits = load(tmp_path, contents)
    assert sum(sizes(splits)) == 40


@pytest.mark.parametrize(
    ("scheme", "changes"),
    [
        ("IOB1", {"B-": "I-"}),
        ("BIOES", {"B-PER": "S-PER", "I-LOC": "E-LOC"}),
        ("BILOU", {"B-PER": "U-PER", "I-LOC": "L-LOC"}),
    ],
)
def test_other_schemes_are_turned_into_bio_and_noted(scheme, changes, tmp_path):
    contents = dict(FILES)
    for old, new in changes.items():
        contents = {name: content.replace(old, new) for name, content in contents.items()}
    splits = load(tmp_path, contents)
    assert {tuple(tags) for table in splits.values() for tags in table.columns["tags"]} == {
        tuple(BIO)
    }
    assert any(f"scheme {scheme}, and are turned into BIO" in n for n in splits["train"].notes)


def test_the_scheme_is_that_of_all_splits_together(tmp_path):
    # By themselves, validation and test could be BIO.
    train = MANY.replace("B-", "I-")
    other = "Ann O\nmet O\n\nBob I-PER\nDan B-PER\n"
    splits = load(tmp_path, {"train.conll": train, "dev.conll": other, "test.conll": other})
    assert splits["test"].columns["tags"] == [["O", "O"], ["B-PER", "B-PER"]]


def test_tokens_with_white_space_are_split_as_texts_are_in_serving(tmp_path):
    content = "".join(f"New York\tB-LOC\nof {n}\tO\nOld\u00a0Man\tI-X\n\n" for n in range(9))
    content = content.replace("I-X", "B-X")
    splits = load(tmp_path, {"a.tsv": content})
    table = splits["test"]
    assert table.columns["tokens"][0][:3] == ["New", "York", "of"]
    assert table.columns["tokens"][0][-2:] == ["Old", "Man"]
    assert table.columns["tags"] == [["B-LOC", "I-LOC", "O", "O", "B-X", "I-X"]]
    assert any("27 tokens" in note for note in splits["train"].notes)


@pytest.mark.parametrize(
    ("bad", "line", "words"),
    [
        ("Bob I-PER\n", 6, "I-PER opens the sentence"),
        ("Bob B-PER\nOslo I-LOC\n", 7, "I-LOC follows B-PER"),
        ("Bob O\nDan B-ORG\n", 7, "the tag B-ORG is not in train"),
        ("Bob O\nDan b-per\n", 7, "the tag 'b-per' is not one of O, B-TYPE and I-TYPE"),
    ],
)
def test_a_bad_tag_is_named_or_left_out(bad, line, words, tmp_path):
    contents = {**FILES, "test.conll": SENTENCE + bad}
    with pytest.raises(UserError) as caught:
        load(tmp_path, contents)
    assert str(caught.value).startswith(f"{tmp_path / 'test.conll'}, line {line}: {words}")
    table = load(tmp_path, contents, skip_bad=True)["test"]
    assert (len(table), table.left_out) == (1, 1)
    assert any(f"line {line}: {words}" in note for note in table.notes)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (MANY.replace("B-PER", "NOUN").replace("-LOC", "VERB"), "line 1 has the tag 'NOUN'"),
        (MANY.replace("B-", "").replace("I-", ""), "there are PER, LOC"),
        ("1 2\n3 4\n\n" * 9, "line 1: the tags are numbers, as 2"),
        (MANY.replace("B-PER", "O").replace("B-LOC", "O").replace("I-LOC", "O"), "has no spans"),
        (MANY.replace("\n\n", "\n"), "one sentence of 80 tokens, which cannot be split"),
        (SENTENCE, "one sentence of 4 tokens, which cannot be split"),
    ],
)
def test_data_that_cannot_be_learned_is_refused(content, words, tmp_path):
    with pytest.raises(UserError) as caught:
        load(tmp_path, {"a.conll": content}, skip_bad=True)
    assert words in str(caught.value)
    assert str(tmp_path / "a.conll") in str(caught.value)


def test_a_split_without_spans_is_refused(tmp_path):
    with pytest.raises(UserError, match="has no spans in its test split: each of its tags is O"):
        load(tmp_path, {**FILES, "test.conll": "Ann O\n"})


def test_what_other_splits_have_alone_or_in_common_is_noted(tmp_path):
    train = MANY.replace("York I-LOC\n", "")
    table = load(tmp_path, {**FILES, "train.conll": train, "dev.conll": train})["test"]
    assert any("has the tags I-LOC, which train has not" in note for note in table.notes)
    table = load(tmp_path, {**FILES, "test.conll": MANY})["test"]
    assert any("20 of the 20 sentences of" in note for note in table.notes)


@pytest.mark.parametrize("name", ["a.png", "a.csv", "train/a.jpg"])
def test_wrong_files_are_described(name, tmp_path):
    with pytest.raises(UserError, match=r"^token_classification needs CoNLL files .* holds"):
        load(tmp_path, {name: "text,label\n"})


TAGGED = st.lists(st.sampled_from(["O", "B-A", "B-B", "I-B", "B-C"]), min_size=1, max_size=4)


@given(st.lists(TAGGED, min_size=1, max_size=12))
def test_every_type_has_a_text_of_its_own_stratum(texts):
    alone = [
        tags
        for tags, stratum in zip(texts, own.strata(texts), strict=True)
        if stratum.startswith("text")
    ]

    def types(rows):
        return {tag[2:] for tags in rows for tag in tags if tag != "O"}

    assert types(alone) == types(texts)
    assert len(alone) <= len(types(texts))
