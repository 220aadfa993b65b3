"""Figures of pre-training: which there are, and what mistakes are captioned with."""

from __future__ import annotations

from matplotlib.figure import Figure

from pipelines.evaluation import predict
from pipelines.tasks.pretraining.figures import labeled_sentences
from tests.pipelines.tasks.pretraining.examples import Built

OF_ENCODERS = {
    *("accuracy_by_frequency", "worst_mistakes", "lengths", "attention_layers"),
    *("attention_heads", "embedding_map", "probing"),
}


def figures(built: Built) -> dict[str, Figure]:
    test = predict(built.task, built.network.model, built.data, "test")
    found = dict(built.task.figures(built.network, built.data, test, []))
    assert all(isinstance(figure, Figure) for figure in found.values())
    return found


def captions(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_figures_show_masked_tokens_pairs_and_layers(bert):
    found = figures(bert)
    own = {"confusion_matrix", "reliability", "worst_sentence_pairs"}
    assert found.keys() == OF_ENCODERS | own
    texts = captions(found["worst_mistakes"])
    assert texts[0] == "Wrong tokens on the test split, the most probable first"
    assert any("____" in text for text in texts)
    assert any(", true: is random" in text for text in captions(found["worst_sentence_pairs"]))


def test_figures_show_replaced_tokens(electra):
    found = figures(electra)
    own = {"confusion_matrix", "reliability", "worst_replaced_tokens"}
    assert found.keys() == OF_ENCODERS | own
    texts = captions(found["worst_replaced_tokens"])
    assert any(" marked: probability of being replaced" in text for text in texts)


def test_layers_are_probed_with_sentences_of_each_label(bert):
    labeled = labeled_sentences(bert.data)
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
