"""Own questions: three splits by passage, answers mended or left out, and both counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pipelines.config import Config
from pipelines.errors import UserError
from pipelines.tasks.question_answering import offsets, own

CONTEXT = "Zoë {} 🙂 lives in Rome, not in Rome."


def character(context: str, answer: str) -> int:
    return context.rindex(answer)


def rows(number: int = 12, answer: str = "Rome", count: Callable = character) -> list[dict]:
    """Questions about a passage each, whose second "Rome" is meant."""
    made = []
    for index in range(number):
        context = CONTEXT.format(index)
        made.append(
            {
                "id": f"q{index}",
                "question": f"Where {index}?",
                "context": context,
                "answer": answer,
                "answer_start": count(context, answer) if answer in context else 0,
            }
        )
    return made


def load(folder, contents: dict[str, list[dict[str, Any]]], **options) -> dict[str, own.Table]:
    for name, own_rows in contents.items():
        (folder / name).write_text("\n".join(map(json.dumps, own_rows)))
    path = folder / name if len(contents) == 1 else folder
    return own.read_splits(path, own.find(path), Config(**options))


def notes(splits) -> str:
    return "\n".join(note for table in splits.values() for note in table.notes)


def utf8(context, answer):
    return len(context[: context.rindex(answer)].encode())


def utf16(context, answer):
    return len(context[: context.rindex(answer)].encode("utf-16-le")) // 2


@pytest.mark.parametrize(
    ("count", "note"),
    [
        (character, ""),
        (
            utf8,
            "offsets in bytes of UTF-8, turned into characters: 12 of 12 questions, the first: ",
        ),
        (utf16, "offsets in code units of UTF-16, turned into characters: 12 of 12 questions"),
        (lambda context, answer: context.rindex(answer) - 1, offsets.WHITE_SPACE),
    ],
)
def test_offsets_are_turned_into_characters_and_noted(count, note, tmp_path):
    splits = load(tmp_path, {"a.jsonl": rows(count=count)})
    for table in splits.values():
        for context, start in zip(table.columns["context"], table.columns["start"], strict=True):
            assert start == context.rindex("Rome")
    assert note in notes(splits)
    assert ("a.jsonl: " in notes(splits)) == bool(note)
    assert (f"{tmp_path / 'a.jsonl'}, line 1 (q0), 'Where 0?'" in notes(splits)) == bool(note)


def test_questions_about_one_passage_are_in_one_split(tmp_path):
    asked = [{**row, "question": f"{n}?"} for n in range(3) for row in rows()]
    splits = load(tmp_path, {"a.jsonl": asked})
    assert [len(table) for table in splits.values()] == [30, 3, 3]
    contexts = [set(table.columns["context"]) for table in splits.values()]
    assert sum(map(len, contexts)) == len(set().union(*contexts)) == 12
    assert list(
        load(tmp_path, {"a.jsonl": asked}, split_seed=1)["test"].columns["context"]
    ) != list(splits["test"].columns["context"])


def test_the_files_of_squad_are_splits(tmp_path):
    splits = load(tmp_path, {"train-v1.1.json": rows(), "dev-v1.1.json": rows(2)})
    assert {split: len(table) for split, table in splits.items()} == {
        "train": 11,
        "validation": 2,
        "test": 1,
    }
    assert "2 of the 2 passages of validation are in train, too" in notes(splits)
    assert "2 ids of several questions, the first 'q0'" in notes(splits)


def test_answers_in_no_passage_are_left_out_of_every_split(tmp_path):
    splits = load(
        tmp_path,
        {
            name: rows() + rows(number, "Paris")
            for name, number in {"train.jsonl": 3, "dev.jsonl": 2, "test.jsonl": 1}.items()
        },
    )
    assert {split: table.left_out for split, table in splits.items()} == {
        "train": 3,
        "validation": 2,
        "test": 1,
    }
    assert (
        "train.jsonl: left out, as nobody can tell where the answer is: 3 of 15 questions, the "
        f"first: {tmp_path / 'train.jsonl'}, line 13 (q0), 'Where 0?': the answer 'Paris' is not "
        "in the passage"
    ) in notes(splits)


def test_more_bad_answers_than_good_ones_are_an_error(tmp_path):
    half = load(tmp_path, {"a.jsonl": rows(6) + rows(6, "Paris")})
    assert half["train"].left_out == 6
    with pytest.raises(UserError) as caught:
        load(tmp_path, {"a.jsonl": rows(6) + rows(7, "Paris")})
    assert str(caught.value).startswith(
        f"7 of the 13 questions with an answer in {tmp_path / 'a.jsonl'} cannot be used; the first"
    )


def test_wrong_offsets_are_mended_where_the_answer_is_there_once(tmp_path):
    once = [{**row, "answer": "lives", "answer_start": 1} for row in rows(4)]
    several = [{**row, "answer_start": 1} for row in rows(2)]
    splits = load(tmp_path, {"a.jsonl": rows(8) + once + several})
    assert sum(map(len, splits.values())) == 12
    assert splits["train"].left_out == 2
    assert f"{offsets.MOVED}: 4 of 12 questions" in notes(splits)
    assert "the answer 'Rome' is 2 times in the passage, but not at 1" in notes(splits)


def test_without_offsets_the_first_is_taken_and_noted(tmp_path):
    asked = [{**row, "answer_start": None} for row in rows()]
    asked[0]["answer"] = "lives"
    splits = load(tmp_path, {"a.jsonl": asked})
    assert f"{offsets.FIRST}: 11 of 12 questions" in notes(splits)
    for table in splits.values():
        for context, (answer,), start in zip(
            *(table.columns[name] for name in ("context", "answers", "start")), strict=True
        ):
            assert start == context.index(answer)


def test_one_of_several_answers_is_enough(tmp_path):
    asked = rows()
    asked[3]["answer"] = ["Paris", "lives", "Rome"]
    asked[3]["answer_start"] = [0, None, None]
    splits = load(tmp_path, {"a.jsonl": asked})
    answers = [answer for table in splits.values() for answer in table.columns["answers"]]
    assert ["lives", "Rome"] in answers
    assert "1 answers are not in their passage; others are" in notes(splits)


def test_questions_without_an_answer_are_left_out_and_counted(tmp_path):
    blank = [{**row, "answer": " "} for row in rows(2)]
    impossible = [{**row, "is_impossible": True} for row in rows(1)]
    splits = load(tmp_path, {"a.jsonl": rows() + blank + impossible})
    assert splits["train"].left_out == 3
    assert "left out, as they have no answer: 3 questions" in notes(splits)
    with pytest.raises(UserError, match=r"a\.jsonl has no question with an answer"):
        load(tmp_path, {"a.jsonl": blank})


@pytest.mark.parametrize("name", ["a.png", "train.txt"])
def test_wrong_files_are_described(name, tmp_path):
    with pytest.raises(UserError, match=r"^question_answering needs SQuAD's JSON, .* holds one"):
        load(tmp_path, {name: rows()})


def test_too_few_passages_to_split_are_refused(tmp_path):
    with pytest.raises(UserError, match="too few different rows"):
        load(tmp_path, {"a.jsonl": rows(2)})
