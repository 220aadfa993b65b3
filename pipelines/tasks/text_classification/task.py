"""Text classification: a text, or a pair of texts, to one of several classes.

    python -m pipelines text_classification

trains `bigru` (96 units each way, 76,773 parameters) on the letters of 16,000 English words and
reports how often it tells the number of their syllables, of 1,948 words with other beginnings.
Measured on a busy machine, 126 to 177 s of processor time in all:

| | validation accuracy | test accuracy |
|---|---|---|
| TF-IDF of words and characters with a linear support vector machine | .689 | .665 |
| counts of characters with a linear support vector machine, the strongest baseline | .742 | .732 |
| for comparison, runs of the letters aeiouy, less a silent "e" at the end | .830 | |
| `bigru`, seeds 0 to 4, mean ± deviation | .937 ± .005 | .938 ± .004 |

On test, the 95 % intervals of the difference begin at .184 to .196.

Of sentences and their topics, bags of words tell nearly everything, and so few of them give a
network from scratch no lead. With `--dataset sotu_era`, the era of a speech by one of its 10,350
sentences, `tapped_delay_line` with attention pooling (`--model.embedding 128 --model.units [64]
--model.length 3 --model.output attention --model.dropout 0.5 --epochs 5 --batch_size 32
--optimizer.learning_rate 0.001 --optimizer.average 0.997`) ties with TF-IDF:

| | validation accuracy | test accuracy |
|---|---|---|
| TF-IDF of words and pairs of words with logistic regression | .765 | .777 |
| `tapped_delay_line`, seeds 0 to 2 | .768 .762 .761 | .784 .778 .781 |
| `word_convnet`, Kim's sizes but 100 and 64 in place of 300 and 100 | .748 | .767 |
| `bigru` with attention pooling | .755 | .775 |

At scale the order is another: 25,000 film reviews take Keras' bidirectional LSTM to .878. What has
learned from other text leads here too. With a real encoder (MiniLM, 22.7 million parameters,
frozen; 5 minutes of training on a busy machine),

    python -m pipelines text_classification --dataset wordnet_glosses --architecture bert_mini \\
        --encoder DIRECTORY --freeze_layers 6 --model.pooling mean --epochs 4 --max_length 48 \\
        --batch_size 32 --optimizer.average 0.997 --optimizer.learning_rate 0.01

reaches .769 of 1,197 glosses against TF-IDF's .692, seed 0.

Networks without an encoder read words in lower case and punctuation marks or, where texts are
single words, their characters; `--tokens` chooses. Encoders of BERT's family read
WordPieces, and pairs of texts as segments: `--dataset glue/mrpc`. Own texts come in
tables, see `own.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from architectures import heads
from pipelines.baselines import Baseline, scored
from pipelines.datasets.text_columns import PackedTexts, column_of, texts_of
from pipelines.export.signature import Signature
from pipelines.network import build
from pipelines.predictions import Predictions, Scores
from pipelines.task import ByClass, Network
from pipelines.tasks import classification
from pipelines.tasks.text_classification import probing
from pipelines.tasks.text_classification.baselines import (
    Classifier,
    character_counts,
    characters_tfidf,
    tfidf,
)
from pipelines.tasks.text_classification.config import TextClassificationConfig
from pipelines.tasks.text_classification.data import LabeledTexts, load
from pipelines.text import figures as text_figures
from pipelines.text.config import is_encoder
from pipelines.text.examples import json_lines
from pipelines.text.signatures import (
    as_default,
    encode_strings,
    from_texts,
    string_signature,
    text_requests,
    token_signature,
)
from pipelines.text.task import TextTask
from pipelines.text.tokenizers import Tokenizer, are_single_words, dense, tokenize

# Number of test texts that verify each signature.
_VERIFICATION_TEXTS = 128
# Texts that a baseline classifies at once.
_CHUNK = 4096


class TextClassification(TextTask[TextClassificationConfig, LabeledTexts]):
    """Text classification: from a string, or two, to a probability for each class."""

    metric = "accuracy"

    def load(self) -> LabeledTexts:
        self.config.check()
        return load(self.config, self._tokenizer)

    def _tokenizer(self, texts: PackedTexts) -> Tokenizer:
        if is_encoder(self.config.architecture):
            return self.word_pieces(texts)
        tokens = self.config.tokens
        if tokens == "auto":
            tokens = "characters" if are_single_words(texts) else "words"
        return self.characters(texts) if tokens == "characters" else self.words(texts)

    def network(self, data: LabeledTexts) -> Network:
        classes = len(data.class_names)
        if is_encoder(self.config.architecture):
            return self.head(data, heads.classifier, ("pooling",), classes=classes)
        return build(
            self.config,
            "does not classify texts",
            lambda model: model.output.shape == (None, classes),
            outputs=classes,
            vocabulary=len(data.tokenizer.vocabulary),
        )

    def loss(self, data: LabeledTexts) -> keras.Loss:
        return classification.loss()

    def metrics(self, data: LabeledTexts) -> list[keras.Metric]:
        return [classification.accuracy()]

    def postprocess(self, outputs: tf.Tensor, data: LabeledTexts) -> dict[str, tf.Tensor]:
        return classification.probabilities(outputs)

    def reduce(self, predictions: Predictions, data: LabeledTexts) -> Predictions:
        """Leaves the texts out."""
        return Predictions({"target": predictions.examples["target"]}, predictions.predicted)

    def scores(self, predictions: Predictions, data: LabeledTexts) -> Scores:
        return classification.scores(predictions)

    def baselines(self, data: LabeledTexts) -> list[Baseline]:
        train = _joined(data, "train"), data.labels["train"], len(data.class_names)
        classifiers = {
            "TF-IDF and logistic regression": tfidf(*train),
            "TF-IDF of words and characters with an SVM": characters_tfidf(*train),
            "counts of characters with an SVM": character_counts(*train),
        }

        def predict(classify: Classifier, split: str) -> Predictions:
            texts = _joined(data, split)
            parts = [classify(texts[i : i + _CHUNK]) for i in range(0, len(texts), _CHUNK)]
            found = {"probabilities": np.concatenate(parts)}
            return Predictions({"target": data.labels[split]}, found)

        return [
            scored(name, classification.scores, partial(predict, classify))
            for name, classify in classifiers.items()
        ]

    def figures(
        self,
        network: Network,
        data: LabeledTexts,
        test: Predictions,
        baselines: Sequence[Baseline],
    ) -> Iterator[tuple[str, Figure]]:
        """Yields confusions, reliability, worst mistakes, lengths, embeddings and attention.

        Of an encoder, also the accuracy of linear probes of its layers.
        """
        names, model = data.class_names, network.model
        yield from classification.figures(test, names, counted="texts")
        truth, probabilities = test.examples["target"], test.predicted["probabilities"]
        wrong = np.flatnonzero(probabilities.argmax(-1) != truth)
        worst = wrong[np.argsort(probabilities[wrong, truth[wrong]])][:16]
        yield (
            "worst_mistakes",
            text_figures.texts(
                _joined(data, "test")[test.rows[worst]],
                [
                    f"{names[row.argmax()]} {row.max():.2f}, true {names[label]} {row[label]:.2f}"
                    for row, label in zip(probabilities[worst], truth[worst], strict=True)
                ],
                title="Worst mistakes on the test split",
                right=[False] * len(worst),
            ),
        )
        yield "lengths", text_figures.lengths(data.train)
        features_of = keras.Model(model.input, model.get_layer("logits").input)
        yield "embedding_map", text_figures.embedding_map(features_of, data.test, names)
        yield from text_figures.attention_of_first(model, data.test, data.tokenizer.vocabulary)
        if encoder := network.parts.get("encoder"):
            yield "probing", probing.figure(encoder, data)

    def by_class(self, test: Predictions, data: LabeledTexts) -> ByClass:
        return classification.by_class(test, data.class_names, "texts")

    def signatures(self, network: Network, data: LabeledTexts) -> list[Signature]:
        names, model, tokenizer = data.class_names, network.model, data.tokenizer
        columns = {name: x[:_VERIFICATION_TEXTS] for name, x in data.raw("test").items()}
        inputs = {k: x.numpy() for k, x in dense(tokenize(tokenizer, *columns.values())).items()}
        probabilities = keras.ops.softmax(model.predict(inputs, verbose=0)).numpy()
        expected = classification.named_arrays(probabilities, names)

        def of_tokens(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            outputs = self.postprocess(model(inputs, training=False), data)
            return classification.named(outputs["probabilities"], names)

        of_texts = from_texts(of_tokens, tokenizer)
        first, *others = self.signature_pair(
            string_signature("text", of_texts, columns, expected, tokenizer),
            token_signature("token_ids", of_tokens, inputs, expected),
        )
        signatures = [as_default(first), *others]
        if self.config.text_signature and len(columns) == 1:
            texts = encode_strings(columns["text"])
            signatures.append(
                classification.classify(
                    lambda text: of_texts(text)["probabilities"],
                    "text",
                    texts,
                    probabilities,
                    names,
                )
            )
        return signatures

    def requests(
        self, data: LabeledTexts, split: str, count: int
    ) -> Mapping[str, Mapping[str, np.ndarray]]:
        return text_requests(data.raw(split), count) if self.config.text_signature else {}

    def examples(self, data: LabeledTexts) -> dict[str, bytes]:
        """Returns eight test texts with their labels, a JSON object a line."""
        labels = (data.class_names[label] for label in data.labels["test"])
        columns = {**data.raw("test"), "class": labels}
        rows = zip(*columns.values(), strict=True)
        return json_lines(dict(zip(columns, row, strict=True)) for row in rows)


def _joined(data: LabeledTexts, split: str) -> PackedTexts:
    """Returns the texts of a split, pairs joined by a space, str [examples]."""
    first, *others = data.raw(split).values()
    return texts_of(column_of(map(" ".join, zip(first, *others, strict=True)))) if others else first
