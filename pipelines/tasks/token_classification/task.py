"""Words of a text to tags, and tags to spans: addresses, named entities.

    python -m pipelines token_classification

trains `bilstm` (96 units each way, 155,123 parameters) on 1,042 addresses of the United States and
reports F1 of entities, of 29 types, on 223 others. Measured on two CPU cores, 70 s of training and
4 minutes in all on a busy machine:

| | validation F1 | test F1 |
|---|---|---|
| most frequent tag of a word | .648 | .655 |
| hidden Markov model, the strongest baseline | .837 | .871 |
| `bilstm`, seeds 0 to 2 | .867 .894 .887 | .893 .901 .891 |

Words are read as WordPieces, and the tag of a word stands at its first piece. Words that are cut
off with the end of a long text count as outside every entity.

Any TFDS set of words with a tag for each works: `--dataset conll2003`; encoders of BERT's family
too: `--architecture bert_tiny`, or `--encoder`. Where a set has punctuation marks as words of their
own, the served model splits them off; other texts are split at white space alone.
"""

from __future__ import annotations

import functools
import json
import re
import string
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from architectures import heads
from pipelines import figures, network
from pipelines.baselines import Baseline, scored
from pipelines.export.signature import Signature
from pipelines.predictions import Predictions, Scores
from pipelines.tasks.token_classification import data as tags
from pipelines.tasks.token_classification import metrics as tagging
from pipelines.tasks.token_classification.data import TaggedTexts, inputs_of
from pipelines.text import figures as text_figures
from pipelines.text.config import TextConfig
from pipelines.text.task import TextTask, dense, is_encoder
from pipelines.text.tokenizers import split_words

# Texts that each signature is proven with.
_PROVEN = 64


class TokenClassification(TextTask):
    """The task: a string in; its words, a tag for each, and the spans they make out."""

    metric = "f1"
    _labels: tuple[str, ...] = ()

    def load(self, config: TextConfig) -> TaggedTexts:
        self.choose(config)
        data = tags.load(config, lambda texts: self.word_pieces(config, texts))
        self._labels = data.labels
        return data

    def model(self, config: TextConfig, data: TaggedTexts) -> keras.Model:
        labels, vocabulary = len(data.labels), len(data.tokenizer.vocabulary)
        if is_encoder(config.architecture):
            return self.head(config, vocabulary, heads.token_classifier, labels=labels)
        return network.build(
            config,
            "does not tag tokens",
            lambda model: model.output.shape == (None, None, labels),
            outputs=labels,
            vocabulary=vocabulary,
            output="sequence",
        )

    def loss(self) -> keras.Loss:
        return keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        )

    def metrics(self) -> list[keras.Metric]:
        return [keras.metrics.SparseCategoricalAccuracy(name="word_accuracy")]

    def answers(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns of each token, [batch, tokens], the most probable tag's id and probability."""
        chance = tf.nn.softmax(outputs)
        return {
            "tag_ids": tf.argmax(chance, -1, output_type=tf.int32),
            "probabilities": tf.reduce_max(chance, -1),
        }

    def scores(self, predictions: Predictions) -> Scores:
        return tagging.scores(self._of_words(predictions))

    def _of_words(self, predictions: Predictions) -> Predictions:
        """Turns answers for tokens into tags of words; words that were cut off are outside."""
        if "tags" in predictions.predicted:
            return predictions
        rows = [
            [self._labels[tag] for tag in ids[weight > 0]] + [tagging.OUTSIDE] * len(truth)
            for ids, weight, truth in zip(
                predictions.predicted["tag_ids"],
                predictions.examples["weight"],
                predictions.examples["tags"],
                strict=True,
            )
        ]
        truth = predictions.examples["tags"]
        cut = [row[: len(true)] for row, true in zip(rows, truth, strict=True)]
        return Predictions(predictions.examples, {"tags": tagging.column(cut)})

    def baselines(self, data: TaggedTexts) -> list[Baseline]:
        train = data.columns["train"]
        taggers = {
            "most frequent tag of a word": tagging.most_frequent_tag,
            "hidden Markov model": tagging.hidden_markov_model,
        }
        baselines = []
        for name, fit in taggers.items():
            tagger = fit(train["words"], train["tags"])

            def predict(split: str, tagger: tagging.Tagger = tagger) -> Predictions:
                columns = data.raw(split)
                return Predictions(
                    columns, {"tags": tagging.column([tagger(text) for text in columns["words"]])}
                )

            baselines.append(scored(name, self.scores, predict))
        return baselines

    def figures(
        self, model: keras.Model, data: TaggedTexts, test: Predictions
    ) -> Iterator[tuple[str, Figure]]:
        """Yields F1 by type, confusions, reliability, worst mistakes, lengths and attention."""
        words = self._of_words(test)
        yield from tagging.pictures(words)
        places = test.examples["weight"] > 0
        right = (test.predicted["tag_ids"] == test.examples["target"])[places]
        yield "reliability", figures.reliability(test.predicted["probabilities"][places], right)
        yield "lengths", text_figures.lengths(data.train)
        first = {name: x[np.newaxis] for name, x in next(data.test.as_numpy_iterator())[0].items()}
        tokens = [data.tokenizer.vocabulary[index] for index in first["token_ids"][0]]
        yield from text_figures.attention(model, first, tokens)

    def signatures(self, model: keras.Model, data: TaggedTexts) -> list[Signature]:
        names = tf.constant(data.labels)
        apart = data.punctuation_apart

        def of_tokens(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            answer = self.answers(model(inputs, training=False))
            real = tf.cast(inputs["padding_mask"], tf.bool)
            return {
                "tags": tf.where(real, tf.gather(names, answer["tag_ids"]), ""),
                "probabilities": tf.where(real, answer["probabilities"], 0.0),
            }

        def of_text(text: tf.Tensor) -> dict[str, tf.Tensor]:
            text = tf.ensure_shape(text, [None])
            words, starts, ends = split_words(text, punctuation_apart=apart)
            inputs, first = inputs_of(data.tokenizer, words)
            answer = of_tokens(dense(inputs))
            read = tf.ragged.range(words.row_lengths()) < first.row_lengths()[:, tf.newaxis]
            words, starts, ends = (tf.ragged.boolean_mask(x, read) for x in (words, starts, ends))
            tags = tf.gather(answer["tags"], first, batch_dims=1)
            chance = tf.gather(answer["probabilities"], first, batch_dims=1)
            return {
                "words": words.to_tensor(),
                "tags": tags.to_tensor(),
                "probabilities": chance.to_tensor(),
                **tagging.spans(text, tags, starts, ends),
            }

        texts = [" ".join(words) for words in data.columns["test"]["words"][:_PROVEN]]
        proven, words, first = self._proof(model, data, texts)
        token_ids = self.token_signature(model, of_tokens, *proven)
        if not self.reads_text:
            return [replace(token_ids, name="serving_default")]
        return [
            Signature(
                "serving_default",
                of_text,
                {"text": tf.TensorSpec([None], tf.string)},
                {"text": np.array([text.encode() for text in texts], object)},
                tagging.expected(texts, words, first, *proven[1].values()),
                resources=data.tokenizer.resources,
            ),
            token_ids,
        ]

    @staticmethod
    def _proof(model: keras.Model, data: TaggedTexts, texts: Sequence[str]):
        """Returns inputs and answers for tokens, the texts' words, and their first tokens.

        The words are split by Python, and the answers are the Keras model's.
        """
        pattern = words_pattern(data.punctuation_apart)
        words = [list(pattern.finditer(text)) for text in texts]
        strings = tf.ragged.constant(
            [[match.group() for match in row] for row in words], dtype=tf.string
        )
        ragged, first = inputs_of(data.tokenizer, strings)
        inputs = {name: x.numpy() for name, x in dense(ragged).items()}
        chance = keras.ops.softmax(model.predict(inputs, verbose=0)).numpy()
        real = inputs["padding_mask"].astype(bool)
        names = np.array([label.encode() for label in data.labels], object)
        answer = {
            "tags": np.where(real, names[chance.argmax(-1)], b""),
            "probabilities": np.where(real, chance.max(-1), np.float32(0)),
        }
        return (inputs, answer), words, first.to_list()

    def examples(self, data: TaggedTexts) -> dict[str, bytes]:
        """Returns eight test texts with their words and tags, a JSON object a line."""
        columns = data.columns["test"]
        lines = [
            json.dumps({"text": " ".join(words), "words": words, "tags": tags}, ensure_ascii=False)
            for words, tags in zip(columns["words"][:8], columns["tags"][:8], strict=True)
        ]
        return {"texts.jsonl": "\n".join([*lines, ""]).encode()}


@functools.cache
def words_pattern(punctuation_apart: bool) -> re.Pattern[str]:
    """Returns what matches a word; it says in Python what `split_words` does in a graph."""
    space = r"\s\x00-\x1f\x7f-\x9f"
    if not punctuation_apart:
        return re.compile(rf"[^{space}]+")
    every = map(chr, range(sys.maxunicode))
    punctuation = "".join(c for c in every if unicodedata.category(c).startswith("P"))
    marks = re.escape(string.punctuation + punctuation)
    return re.compile(rf"[{marks}]|[^{space}{marks}]+")
