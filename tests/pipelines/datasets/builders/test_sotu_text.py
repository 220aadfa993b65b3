"""Speeches as documents: whole, in order, with their titles."""

from __future__ import annotations

from pipelines.datasets.builders import sotu


def test_documents_are_the_speeches_of_each_split_in_order(examples):
    for split, members in examples("sotu_text").items():
        speeches = sotu.speeches(split)
        assert [member["text"].decode() for member in members] == [s.text for s in speeches]
        assert [member["title"].decode() for member in members] == [
            f"{speech.president}, {speech.year}" for speech in speeches
        ]


def test_no_document_is_in_two_splits(examples):
    texts = [m["text"] for members in examples("sotu_text").values() for m in members]
    assert len(texts) == len(set(texts)) == 118
