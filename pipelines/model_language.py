"""Text, one token after the other: a network that writes and scores it.

python -m pipelines model_language
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
from pipelines import (
    choices,
    generation,
    language_figures,
    language_modeling,
    language_signatures,
    text_figures,
)
from pipelines.baselines import Baseline
from pipelines.datasets import running_text
from pipelines.datasets.running_text import RunningText
from pipelines.errors import UserError
from pipelines.evaluation import Predictions, Scores
from pipelines.export import Signature
from pipelines.ngrams import KneserNey
from pipelines.pipeline import Task
from pipelines.recipe import LanguageConfig
from pipelines.reversible_tokenizers import SPECIAL, learn

_REFUSAL = "does not model language; decoders and recurrent networks in one direction do"
_BUILDERS = ("decoder:decoder", "recurrent:recurrent")
# Tokens of the test text that is drawn, and tokens on the map.
_SHOWN = 400
_MOST_VECTORS = 300


class ModelLanguage(Task):
    """The task: documents in, the probability of every next token out."""

    metric = "bits_per_character"
    greater_is_better = False
    reads_text = True
    _ngram: KneserNey | None = None

    def __init__(self) -> None:
        self._write = tf.function(generation.generate)  # Traced once, not in every epoch.

    def load(self, config: LanguageConfig) -> RunningText:
        if architectures.ARCHITECTURES[config.architecture].builder not in _BUILDERS:
            raise UserError(f"{config.architecture} {_REFUSAL}")
        self.reads_text = config.text_signature
        return running_text.load(
            config, lambda texts: learn(config.tokens, texts, config.vocabulary)
        )

    def model(self, config: LanguageConfig, data: RunningText) -> keras.Model:
        vocabulary = len(data.tokenizer.vocabulary)
        if architectures.ARCHITECTURES[config.architecture].builder == "decoder:decoder":
            given: dict[str, Any] = {"max_length": config.context}
        else:
            given = {"outputs": vocabulary, "output": "sequence"}
        return choices.build(
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
        likely = test.answers["log_probabilities"][counted]
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
