"""Speeches as documents: the splits of the other sets of speeches, sentence by sentence."""

from __future__ import annotations

import pytest

from pipelines.datasets.builders import sotu


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_an_example_is_a_speech(split, examples):
    found = examples("sotu_sentences")[split]
    speeches = sotu.speeches(split)
    assert [int(row["year"]) for row in found] == [speech.year for speech in speeches]
    for row, speech in zip(found, speeches, strict=True):
        assert [sentence.decode() for sentence in row["sentences"]] == speech.sentences()
        assert row["title"].decode() == f"{speech.president}, {speech.year}"
        assert list(sotu.ERAS)[row["era"]] == speech.era
