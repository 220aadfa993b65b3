"""Text, one token after the other: a network that writes it and says how likely it is.

    python -m pipelines language_modeling

trains an LSTM (200 units, its output tied to the embedding) on 84 State of the Union addresses,
499,000 words and marks, and scores every token of 17 other speeches once, after 32 tokens of
context at least. Measured on a busy machine of two cores, 12 and 15 minutes in all, 11 of them
minutes of one core's time:

| | validation perplexity | test perplexity | test bits per character |
|---|---|---|---|
| unigram | 498.8 | 481.7 | 2.077 |
| 5-gram with modified Kneser-Ney smoothing, the baseline | 119.7 | 113.0 | 1.688 |
| `lstm`, seed 0 | 105.3 | 99.8 | 1.655 |
| `lstm`, seed 1 | 107.7 | 102.2 | 1.661 |

It beats the baseline by 13.2 and 10.8; the interval of its test perplexity over speeches is 93.1 to
109.2, that of seed 1 95.1 to 112.3. The last of the five epochs adds little: validation loss went
from 4.666 to 4.657. The two models know different things: mixed, with a third of the n-gram model,
they come to about 88 on test, as the picture `mixture` shows. Of test's tokens 4 % are [UNK]; bits
per character make up for what these hide, perplexity does not. Smaller tokens favour the n-gram
model: with 2,000 WordPieces a 6-gram has 1.43 bits per character of validation, where an LSTM of
256 units has come to 1.68 after two epochs.

At scale: on the Penn Treebank, with twice as many words, Kneser-Ney 5-grams have a perplexity of
141, regularised LSTMs one of 78 to 82 (Zaremba et al. 2014). A decoder of ten million parameters
over the characters of Shakespeare reaches a loss of 1.47 (Karpathy, nanoGPT).

    python -m pipelines language_modeling --architecture char_gpt_small --tokens characters \\
        --dataset tiny_shakespeare --optimizer.learning_rate 0.001
    python -m pipelines language_modeling --dataset lm1b --max_texts 300000

Own text is a folder or a file, see `datasets/running_text.py`; what is written and scored in the
served graph, `generation.py`; its entries, `language_signatures.py`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

import architectures
from architectures import recurrent_decoding
from pipelines import network
from pipelines.baselines import Baseline
from pipelines.errors import UserError
from pipelines.export.signature import Signature
from pipelines.predictions import Predictions, Scores
from pipelines.task import Task
from pipelines.tasks.language_modeling import data as running_text
from pipelines.tasks.language_modeling import figures as language_figures
from pipelines.tasks.language_modeling import metrics as language_modeling
from pipelines.tasks.language_modeling import signatures as language_signatures
from pipelines.tasks.language_modeling.config import LanguageModelingConfig
from pipelines.tasks.language_modeling.data import RunningText
from pipelines.tasks.language_modeling.ngrams import KneserNey
from pipelines.text import figures as text_figures
from pipelines.text import generation
from pipelines.text.reversible_tokenizers import SPECIAL, learn

_REFUSAL = "does not model language; decoders and recurrent networks in one direction do"
_KINDS = ("decoder", "recurrent")
# Tokens of the test text that is drawn, and tokens on the map.
_SHOWN = 400
_MOST_VECTORS = 300


class LanguageModeling(Task):
    """The task: documents in, the probability of every next token out."""

    metric = "bits_per_character"
    greater_is_better = False
    reads_text = True
    _ngram: KneserNey | None = None

    def __init__(self) -> None:
        self._write = tf.function(generation.generate)  # Traced once, not in every epoch.

    def load(self, config: LanguageModelingConfig) -> RunningText:
        if architectures.get(config.architecture).kind not in _KINDS:
            raise UserError(f"{config.architecture} {_REFUSAL}")
        self.reads_text = config.text_signature
        return running_text.load(
            config, lambda texts: learn(config.tokens, texts, config.vocabulary)
        )

    def model(self, config: LanguageModelingConfig, data: RunningText) -> keras.Model:
        vocabulary = len(data.tokenizer.vocabulary)
        if architectures.get(config.architecture).kind == "decoder":
            given: dict[str, Any] = {"max_length": config.context}
        else:
            given = {"outputs": vocabulary, "output": "sequence"}
        return network.build(
            config,
            _REFUSAL,
            lambda model: generation.is_positional(model) or recurrent_decoding.decodes(model),
            vocabulary=vocabulary,
            **given,
        )

    def loss(self) -> keras.Loss:
        return keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        )

    def preprocess(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Leaves out the last token, which has no next one."""
        return {name: x[:, :-1] for name, x in inputs.items()}

    def answers(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": tf.nn.softmax(outputs)}

    def assessed(
        self, model: keras.Model, inputs: dict[str, tf.Tensor], target: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Answers with what is scored, for whole distributions would be too large to keep."""
        return {"log_probabilities": generation.log_probabilities(model, inputs["token_ids"])}

    def scores(self, predictions: Predictions) -> Scores:
        return language_modeling.scores(predictions)

    def baselines(self, data: RunningText) -> list[Baseline]:
        self._ngram = language_modeling.ngram(data)
        return [
            language_modeling.baseline("unigram", language_modeling.ngram(data, 1), data),
            language_modeling.baseline(f"Kneser-Ney {self._ngram.order}-gram", self._ngram, data),
        ]

    def samples(self, model: keras.Model, data: RunningText) -> str:
        """Returns what the network writes from nothing, and on from two beginnings."""
        beginnings = [[], *language_signatures.beginnings(data, "validation", 2)]
        prompts = tf.ragged.constant(beginnings, ragged_rank=1, dtype=tf.int32)
        chosen = {**generation.parameters(3), "seed": tf.range(3)}
        written = self._write(model, prompts, data.context, **chosen)
        joined = [data.tokenizer.text(x).numpy() for x in (prompts, written["token_ids"])]
        texts = [
            f"[{prompt.decode()}]{text.decode()}" for prompt, text in zip(*joined, strict=True)
        ]
        return "\n\n".join(texts) + "\n"

    def figures(
        self, model: keras.Model, data: RunningText, test: Predictions
    ) -> Iterator[tuple[str, Figure]]:
        """Yields what context is worth, a text's surprisal, attention, and a map of tokens."""
        yield "perplexity_by_position", language_figures.by_position(test)
        counted = test.examples["weight"] > 0
        likely = test.predicted["log_probabilities"][counted]
        if self._ngram is not None:
            other = self._ngram.log_probabilities(data.rows["test"].tokens)[1:]
            yield "mixture", language_figures.mixture(likely, other)
        count = min(_SHOWN, len(likely))
        yield (
            "surprisal",
            language_figures.surprisal(
                data.tokenizer.texts_of(data.rows["test"].tokens[1 : count + 1]),
                -likely[:count] / np.log(2),
                title="The beginning of the test split, by how much it surprises",
            ),
        )
        first = data.rows["test"].tokens[np.newaxis, : min(33, data.context)]
        inputs = {"token_ids": first, "padding_mask": np.ones_like(first)}
        yield from text_figures.attention(model, inputs, data.tokenizer.texts_of(first[0]))
        counts = Counter(data.rows["train"].tokens.tolist())
        frequent = [i for i, _ in counts.most_common(_MOST_VECTORS) if i >= len(SPECIAL)]
        vectors = np.asarray(model.get_layer("token_embedding").get_weights()[0])[frequent]
        if len(frequent) >= 4:
            names = data.tokenizer.texts_of(frequent)
            yield "token_map", language_figures.token_map(vectors, names)

    def signatures(self, model: keras.Model, data: RunningText) -> list[Signature]:
        return language_signatures.signatures(model, data, reads_text=self.reads_text)

    def examples(self, data: RunningText) -> dict[str, bytes]:
        """Returns eight beginnings from test, a JSON object a line."""
        beginnings = language_signatures.beginnings(data, "test", 8)
        prompts = tf.ragged.constant(beginnings, ragged_rank=1, dtype=tf.int32)
        texts = data.tokenizer.text(prompts).numpy()
        lines = [json.dumps({"prompt": text.decode()}, ensure_ascii=False) for text in texts]
        return {"prompts.jsonl": "\n".join([*lines, ""]).encode()}
