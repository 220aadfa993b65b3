"""Figures of pre-training: which mistakes are shown, and what layers are probed with."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from pipelines.evaluation import predict
from pipelines.tasks.pretraining import figures
from tests.pipelines.tasks.pretraining.examples import Built


def predictions_of(built: Built):
    return predict(built.task, built.network.model, built.data, "test")


def captions(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_the_worst_masked_tokens_are_shown_in_context(bert):
    texts = captions(figures.worst_masked_tokens(bert.data, predictions_of(bert)))
    assert texts[0] == "Wrong tokens on the test split, the most probable first"
    assert any("____" in text for text in texts)
    scores = [float(text.split(", true ")[0].split()[1]) for text in texts if ", true " in text]
    assert scores == sorted(scores, reverse=True)


def test_accuracy_is_plotted_by_frequency(bert):
    test = predictions_of(bert)
    (axes,) = figures.accuracy_by_frequency(bert.data, test).axes
    labels = [text.get_text() for text in axes.get_yticklabels()]
    counts = [int(label.split("(")[1].rstrip(")")) for label in labels]
    assert sum(counts) == (test.examples["masked_lm"] > 0).sum()


def test_the_worst_sentence_pairs_are_shown(bert):
    found = dict(figures.sentence_pair_figures(bert.data, predictions_of(bert)))
    assert found.keys() == {"confusion_matrix", "reliability", "worst_sentence_pairs"}
    texts = captions(found["worst_sentence_pairs"])
    assert any(", true: " in text for text in texts)


def test_the_worst_replaced_tokens_are_marked(electra):
    found = dict(figures.replaced_token_figures(electra.data, predictions_of(electra)))
    assert found.keys() == {"confusion_matrix", "reliability", "worst_replaced_tokens"}
    texts = captions(found["worst_replaced_tokens"])
    assert any(" marked: probability of being replaced" in text for text in texts)


def test_layers_are_probed_with_sentences_of_each_label(bert):
    labeled = figures.labeled_sentences(bert.data)
    assert labeled.class_names == ("sea", "wood")
    documents = bert.data.documents
    for split in ("train", "validation", "test"):
        of_label: list[set[str]] = [set(), set()]
        for sentences, label in zip(
            documents.sentences[split], documents.labels[split], strict=True
        ):
            of_label[label] |= set(sentences)
        chosen = list(zip(labeled.raw(split)["text"], labeled.labels[split], strict=True))
        assert len(chosen) == sum(map(len, documents.sentences[split]))
        assert all(text in of_label[label] for text, label in chosen)
        assert np.bincount(labeled.labels[split]).min() > 0
