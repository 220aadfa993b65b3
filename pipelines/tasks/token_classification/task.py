r"""Token classification: words of a text to tags, and tags to spans, as named entities.

    python -m pipelines token_classification

trains `bilstm` (two layers of 128 units each way, 597,764 parameters) on the phones of 13,767
English words and reports F1 of the stress of vowels, primary, secondary or none, in 1,802 words
with other beginnings. Measured beside other jobs, 128 to 138 seconds of processor time in all:

| | validation F1 | test F1 |
|---|---|---|
| most frequent tag of a word | .730 | |
| maximum-entropy Markov model, the strongest baseline | .868 | .857 |
| `bilstm`, seeds 0 to 4, mean ± deviation | .893 ± .003 | .883 ± .002 |

On test, the 95 % intervals of the difference begin at .015 to .020: the stress depends on the whole
word, and the baseline sees three phones on either side, the place from the start and from the end,
and the tag before.

A harder example for networks are the 1,042 addresses of `us_addresses`, with entities of 29 types:

    python -m pipelines token_classification --dataset us_addresses --vocabulary 1000 \
        --model.units [96] --model.dropout 0.3 --epochs 20 --batch_size 16

had .875 on validation (hidden Markov model .837), .884 on test (.871, 95 % interval of the
difference -.011 to .034). The maximum-entropy Markov model has .878 on validation as it is here;
with fewer features, of two words on either side and no pairs, and weaker regularization (C = 3) it
had .915. The network with a conditional random field on top had .880 there, with a vocabulary of
300 .876, with capital letters .873, one seed each.

Words are tokenized to WordPieces, and the tag of a word is predicted at its first piece. Words
beyond `--max_length` tokens are truncated and count as outside every entity.

Any TFDS set of words with a tag for each works: `--dataset conll2003`; encoders of BERT's family
too: `--architecture bert_tiny`, or `--encoder`. Own texts come as CoNLL files or JSON lines,
`--dataset ./my_entities.conll`, see `conll.py`. Where a set has punctuation marks as words of their
own, the served model splits them off; other texts are split at white space alone.
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
from pipelines.datasets.splitting import spread
from pipelines.export.signature import Signature
from pipelines.network import build
from pipelines.predictions import Predictions, Scores
from pipelines.task import ByClass, Network
from pipelines.tasks import classification
from pipelines.tasks.token_classification import decoding, metrics
from pipelines.tasks.token_classification.baselines import (
    Tagger,
    hidden_markov_model,
    most_frequent_tag,
)
from pipelines.tasks.token_classification.data import TaggedTexts, as_column, inputs_of, load
from pipelines.tasks.token_classification.figures import figures
from pipelines.tasks.token_classification.log_linear import log_linear_tagger
from pipelines.text import figures as text_figures
from pipelines.text.config import TextConfig, check_options, is_encoder
from pipelines.text.examples import json_lines
from pipelines.text.signatures import (
    as_default,
    string_signature,
    text_requests,
    token_signature,
)
from pipelines.text.task import TextTask
from pipelines.text.tokenizers import dense, split_words

# Number of test texts that verify each signature.
_VERIFICATION_TEXTS = 64
# Texts that a baseline tags at once.
_CHUNK = 4096


class TokenClassification(TextTask[TextConfig, TaggedTexts]):
    """Token classification: from a string to its words, a tag for each, and their spans."""

    metric = "f1"

    def load(self) -> TaggedTexts:
        check_options(self.config)
        return load(self.config, self.word_pieces)

    def network(self, data: TaggedTexts) -> Network:
        labels = len(data.labels)
        if is_encoder(self.config.architecture):
            return self.head(data, heads.token_classifier, labels=labels)
        return build(
            self.config,
            "does not tag tokens",
            lambda model: model.output.shape == (None, None, labels),
            outputs=labels,
            vocabulary=len(data.tokenizer.vocabulary),
            output="sequence",
        )

    def loss(self, data: TaggedTexts) -> keras.Loss:
        return keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        )

    def metrics(self, data: TaggedTexts) -> list[keras.Metric]:
        return [keras.metrics.SparseCategoricalAccuracy(name="word_accuracy")]

    def postprocess(self, outputs: tf.Tensor, data: TaggedTexts) -> dict[str, tf.Tensor]:
        """Returns the most probable tag's id and probability for each token, [batch, tokens]."""
        return decoding.most_probable(outputs)

    def reduce(self, predictions: Predictions, data: TaggedTexts) -> Predictions:
        return metrics.reduce(decoding.tags_of_words(predictions, data.labels))

    def scores(self, predictions: Predictions, data: TaggedTexts) -> Scores:
        return metrics.scores(predictions)

    def baselines(self, data: TaggedTexts) -> list[Baseline]:
        train = data.columns["train"]
        taggers = {
            "most frequent tag of a word": most_frequent_tag(train["words"], train["tags"]),
            "hidden Markov model": hidden_markov_model(train["words"], train["tags"]),
            "maximum-entropy Markov model": log_linear_tagger(train["words"], train["tags"]),
        }

        def predict(tagger: Tagger, split: str) -> Iterator[Predictions]:
            columns = data.raw(split)
            for start in range(0, len(columns["words"]), _CHUNK):
                own = {name: x[start : start + _CHUNK] for name, x in columns.items()}
                yield Predictions(own, {"tags": as_column(list(map(tagger, own["words"])))})

        return [
            scored(name, metrics.scores, partial(predict, tagger), metrics.reduce)
            for name, tagger in taggers.items()
        ]

    def figures(
        self,
        network: Network,
        data: TaggedTexts,
        test: Predictions,
        baselines: Sequence[Baseline],
    ) -> Iterator[tuple[str, Figure]]:
        """Yields F1 by type, confusions, worst mistakes, reliability, lengths and attention."""
        yield from figures(decoding.tags_of_words(test, data.labels))
        first = test.examples["weight"] > 0
        right = (test.predicted["tag_ids"] == test.examples["target"])[first]
        confidence = test.predicted["probabilities"][first]
        yield "reliability", classification.reliability(confidence, right, counted="words")
        yield "lengths", text_figures.lengths(data.train)
        vocabulary = data.tokenizer.vocabulary
        yield from text_figures.attention_of_first(network.model, data.test, vocabulary)

    def by_class(self, test: Predictions, data: TaggedTexts) -> ByClass:
        words = decoding.tags_of_words(test, data.labels)
        return ByClass("F1", "entities", metrics.f1_by_type(words))

    def signatures(self, network: Network, data: TaggedTexts) -> list[Signature]:
        model, tokenizer, names = network.model, data.tokenizer, tf.constant(data.labels)

        def of_tokens(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            found = self.postprocess(model(inputs, training=False), data)
            real = tf.cast(inputs["padding_mask"], tf.bool)
            return {
                "tags": tf.where(real, tf.gather(names, found["tag_ids"]), ""),
                "probabilities": tf.where(real, found["probabilities"], 0.0),
            }

        def of_text(text: tf.Tensor) -> dict[str, tf.Tensor]:
            text = tf.ensure_shape(text, [None])
            split = split_words(text, punctuation_apart=data.punctuation_apart)
            inputs, first = inputs_of(tokenizer, split[0])
            return decoding.words_and_spans(text, *split, first, **of_tokens(dense(inputs)))

        # For verification, texts are split by Python, and the logits are the Keras model's.
        texts = [" ".join(words) for words in data.columns["test"]["words"][:_VERIFICATION_TEXTS]]
        pattern = decoding.words_pattern(data.punctuation_apart)
        matches = [list(pattern.finditer(text)) for text in texts]
        words = tf.ragged.constant([[m.group() for m in row] for row in matches], dtype=tf.string)
        ragged, first = inputs_of(tokenizer, words)
        inputs = {name: x.numpy() for name, x in dense(ragged).items()}
        expected = decoding.expected_of_tokens(
            model.predict(inputs, verbose=0), inputs["padding_mask"], data.labels
        )
        strings, *others = self.signature_pair(
            string_signature(
                "text",
                of_text,
                {"text": texts},
                decoding.expected_of_texts(texts, matches, first.to_list(), **expected),
                tokenizer,
            ),
            token_signature("token_ids", of_tokens, inputs, expected),
        )
        return [as_default(strings), *others]

    def requests(
        self, data: TaggedTexts, split: str, count: int
    ) -> Mapping[str, Mapping[str, np.ndarray]]:
        words = data.columns[split]["words"]
        texts = [" ".join(words[row]) for row in spread(len(words), count)]
        return text_requests({"text": texts}, count) if self.config.text_signature else {}

    def examples(self, data: TaggedTexts) -> dict[str, bytes]:
        """Returns eight test texts with their words and tags, a JSON object a line."""
        columns = data.columns["test"]
        return json_lines(
            {"text": " ".join(words), "words": words, "tags": tags}
            for words, tags in zip(columns["words"], columns["tags"], strict=True)
        )
