"""Cloze questions: every answer where it is said to be, none given away, splits by speech."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from pipelines.datasets.builders import sotu, sotu_cloze


@pytest.fixture(scope="module")
def splits(examples) -> dict[str, list[sotu_cloze.Cloze]]:
    found: dict[str, list[sotu_cloze.Cloze]] = {}
    for split, members in examples("sotu_cloze").items():
        found[split] = []
        for member in members:
            (answer,), (start,) = member["answers"]["text"], member["answers"]["answer_start"]
            context, question = member["context"].decode(), member["question"].decode()
            found[split].append(sotu_cloze.Cloze(context, question, answer.decode(), int(start)))
    return found


def every(splits) -> list[sotu_cloze.Cloze]:
    return [cloze for members in splits.values() for cloze in members]


def test_every_answer_stands_at_its_offset(splits):
    for cloze in every(splits):
        end = cloze.start + len(cloze.answer)
        assert cloze.context[cloze.start : end] == cloze.answer


def test_every_question_is_a_sentence_of_its_passage_with_the_answer_blanked(splits):
    for cloze in every(splits):
        assert cloze.question.count("_____") == 1
        before, _, after = cloze.question.partition("_____")
        start, end = cloze.start - len(before), cloze.start + len(cloze.answer) + len(after)
        assert cloze.context[start:end] == before + cloze.answer + after
        # Nor does it begin or end within one.
        assert start == 0 or cloze.context[start - 1] == " "
        assert end == len(cloze.context) or cloze.context[end] == " "


def test_an_answer_is_a_number_or_a_name_and_never_the_first_word(splits):
    numbers = 0
    for cloze in every(splits):
        before = cloze.question.partition("_____")[0]
        if re.fullmatch(r"\d([\d,.]*\d)?", cloze.answer):
            numbers += 1
            assert not re.search(r"[\d.,]$", before)
        else:
            assert re.fullmatch(r"[A-Z][A-Za-z]+( [A-Z][A-Za-z]+)*", cloze.answer)
            assert re.search(r"[a-z] $", before)
    assert 0.15 < numbers / len(every(splits)) < 0.25


def test_a_question_does_not_hold_its_answer(splits):
    for cloze in every(splits):
        assert not re.search(rf"\b{re.escape(cloze.answer)}\b", cloze.question)


def test_examples_are_distinct_and_their_questions_have_one_answer(splits):
    asked = Counter((cloze.context, cloze.question) for cloze in every(splits))
    assert asked.most_common(1)[0][1] == 1


def test_passages_are_those_of_the_split_s_speeches(splits):
    contexts = [{cloze.context for cloze in members} for members in splits.values()]
    assert len(set.union(*contexts)) == sum(map(len, contexts))
    for split, found in zip(splits, contexts, strict=True):
        texts = "\n".join(speech.text for speech in sotu.speeches(split))
        assert all(context in texts for context in found)


def test_passages_have_60_to_150_words_and_are_asked_about_four_times_at_most(splits):
    lengths = [len(cloze.context.split()) for cloze in every(splits)]
    assert (min(lengths), max(lengths)) == (60, 150)
    times = Counter(cloze.context for cloze in every(splits))
    assert max(times.values()) == 4
    answers = Counter((cloze.context, cloze.answer) for cloze in every(splits))
    assert max(answers.values()) == 1


def test_no_answer_is_a_safe_guess(splits):
    for members in splits.values():
        ((_, most),) = Counter(cloze.answer for cloze in members).most_common(1)
        assert most <= 0.01 * len(members)


def test_names_are_their_own_and_titles_say_whose_speech_it_is(examples):
    ids = [member["id"].decode() for split in examples("sotu_cloze").values() for member in split]
    assert len(ids) == len(set(ids)) == 10000
    speeches = {
        s.name: s for split in ("train", "validation", "test") for s in sotu.speeches(split)
    }
    for member in examples("sotu_cloze")["test"]:
        speech = speeches[member["id"].decode().partition("-")[0]]
        assert member["title"].decode() == f"{speech.president}, {speech.year}"
        assert member["context"].decode() in speech.text


def test_passages_are_runs_of_sentences_that_do_not_overlap():
    sentences = [f"{number} " + "word " * 34 for number in range(5)]
    assert list(sotu_cloze.passages(sentences)) == [sentences[:2], sentences[2:4]]
    assert list(sotu_cloze.passages(["word " * 80, "word " * 20, "word " * 140])) == []


def test_a_question_with_two_answers_is_not_asked():
    passage = [
        "The people of Rome deserve a vote.",
        "The people of Athens deserve a vote.",
        "We met them in Paris in 1850.",
    ]
    found = sotu_cloze.questions(passage)
    assert {cloze.answer for cloze in found} == {"Paris", "1850"}


@pytest.mark.parametrize(
    ("sentence", "answers"),
    [
        ("Congress gave $1,250.50 to the 84th regiment in May.", ["1,250.50", "May"]),
        ("We ask Mr. Adams and General U. S. Grant and New York.", ["New York"]),
        ("It is the 4 that I like, Sir.", ["4"]),
        ("Over 2.5% and 3,000 men; 1863-64 was worse.", ["2.5", "3,000", "1863", "64"]),
    ],
)
def test_numbers_and_names_are_found(sentence, answers):
    passage = [sentence, "It lay in Asia, in Europe and in Africa by then."]
    found = sotu_cloze.questions(passage)
    assert [cloze.answer for cloze in found if cloze.start < len(sentence)] == answers
