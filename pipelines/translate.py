"""Texts to their translations.

    python -m pipelines translate

RESULTS
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from pipelines import choices, reversible, text_figures, translation, translation_figures
from pipelines.baselines import Baseline, scored
from pipelines.beam_search import Beam
from pipelines.datasets import pairs
from pipelines.datasets.pairs import ParallelTexts
from pipelines.errors import UserError
from pipelines.evaluation import Predictions, Scores
from pipelines.export import Signature
from pipelines.pipeline import Task
from pipelines.recipe import TranslationConfig
from pipelines.reversible import Pieces, Reversible, Symbols

# What the embedded sets are cut into; others are cut into WordPieces.
TOKENS = {"cmudict": ("characters", "words")}
# Texts that each signature is proven with, and those shown after each epoch.
_PROVEN, _SHOWN = 64, 6
# Each token of a translation adds its rounding to what the whole is worth. Translations closer than
# this are equal as far as proofs go.
_ROUNDING = 1e-4


class Translate(Task):
    """The task: strings in, translations and what they are worth out.

    Attributes:
        choice: How translations are written.
        symbols: Whether targets are symbols with spaces between, as phones are.
    """

    metric = "bleu"
    _written: tuple[keras.Model, Callable] | None = None

    def choose(self, config: TranslationConfig) -> None:
        """Takes note of the choices that later steps need.

        Raises:
            UserError: The architecture does not translate.
        """
        if not translation.translates(config.architecture):
            raise UserError(
                f"{config.architecture} does not translate; encoder-decoders do, as "
                "transformer_base and lstm_seq2seq"
            )
        known = TOKENS.get(config.dataset.partition("/")[0], ("pieces", "pieces"))
        if config.reverse:
            known = known[::-1]
        own = (config.source_tokens, config.target_tokens)
        source, target = (
            kind if chosen == "auto" else chosen for kind, chosen in zip(known, own, strict=True)
        )
        self._config, self._kinds, self.symbols = config, (source, target), target == "words"
        if self.symbols:
            self.metric, self.greater_is_better = "token_error_rate", False
        self.choice = Beam(
            beams=config.beams,
            length=config.max_length,
            alpha=config.length_penalty,
            start=reversible.START,
            end=reversible.END,
            banned=(reversible.PAD, reversible.UNKNOWN, reversible.START),
        )

    def load(self, config: TranslationConfig) -> ParallelTexts:
        self.choose(config)
        return pairs.load(config, self.learn)

    def learn(self, source: np.ndarray, target: np.ndarray) -> tuple[Reversible, Reversible]:
        """Returns the tokenizers of training texts, str [texts]; WordPieces are shared by both."""
        if self._kinds == ("pieces", "pieces"):
            both = self._learned("pieces", np.concatenate([source, target]))
            tokenizers = (both, both)
        else:
            source_kind, target_kind = self._kinds
            tokenizers = (self._learned(source_kind, source), self._learned(target_kind, target))
        self._target = tokenizers[1]
        return tokenizers

    def _learned(self, kind: str, texts: np.ndarray) -> Reversible:
        size, characters = self._config.vocabulary, kind == "characters"
        if kind == "pieces":
            return Pieces(reversible.learn_pieces(texts, size))
        symbols = reversible.learn_symbols(texts, size, characters=characters)
        return Symbols(symbols, characters=characters)

    def model(self, config: TranslationConfig, data: ParallelTexts) -> keras.Model:
        tokenizers = (data.source_tokenizer, data.target_tokenizer)
        given = {
            f"{side}_vocabulary": len(tokenizer.vocabulary)
            for side, tokenizer in zip(("source", "target"), tokenizers, strict=True)
        }
        if config.architecture.startswith("transformer"):
            given["share_embeddings"] = tokenizers[0] is tokenizers[1]
        self._steps = config.recipe.epochs * -(-data.sizes["train"] // config.recipe.batch_size)
        return choices.build(config, "does not translate", lambda model: True, **given)

    def learner(self, model: keras.Model) -> keras.Model:
        config = self._config
        if not config.sampling:
            return model
        learner = translation.ScheduledSampling(
            model, config.sampling, self._steps, config.recipe.seed
        )
        learner.compile(
            optimizer=model.optimizer,
            loss=self.loss(),
            weighted_metrics=self.metrics(),
            jit_compile=False,
        )
        return learner

    def loss(self) -> keras.Loss:
        return translation.SmoothedCrossEntropy(self._config.label_smoothing)

    def metrics(self) -> list[keras.Metric]:
        return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]

    def preprocess(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Leaves out the last target token, which nothing follows."""
        targets = {name: x[:, :-1] for name, x in inputs.items() if name.startswith("target")}
        return {**inputs, **targets}

    def answers(self, outputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Turns what the search found into texts, the best first and once more on its own."""
        texts = translation.in_words(self._target, outputs["token_ids"])
        scores = outputs["scores"]
        best = {"translation": texts[:, 0], "score": scores[:, 0]}
        return {**best, "translations": texts, "scores": scores}

    def answer(self, model: keras.Model, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Translates sources, and asks how probable their targets are, also of other sources."""
        names = ("source_ids", "source_padding_mask")
        source = {name: inputs[name] for name in names}
        found = self.answers(translation.translator(model, self.choice)(*source.values()))
        targets, following = self.preprocess(inputs), inputs["target_ids"][:, 1:]
        shuffled = {name: tf.roll(x, 1, 0) for name, x in source.items()}
        mask = inputs["target_padding_mask"][:, 1:]
        targets["target_padding_mask"] = mask
        return {
            "translation": found["translation"],
            "score": found["score"],
            "log_likelihood": translation.log_likelihood(model, targets, following),
            "shuffled": translation.log_likelihood(model, {**targets, **shuffled}, following),
            "target_tokens": tf.reduce_sum(mask, 1),
        }

    def scores(self, predictions: Predictions) -> Scores:
        return translation.scores(predictions, symbols=self.symbols)

    def baselines(self, data: ParallelTexts) -> list[Baseline]:
        characters = self._kinds[0] == "characters"
        source, target = (data.columns["train"][name].tolist() for name in pairs.TEXTS)
        replace_words = translation.word_for_word(source, target, characters=characters)
        nearest = translation.nearest_neighbour(source, target, characters=characters)

        def answered(translate: Callable[[list[str]], list[str]]) -> Callable[[str], Predictions]:
            def predict(split: str) -> Predictions:
                columns = data.raw(split)
                texts = translate(columns["source"].tolist())
                found = np.array([text.encode() for text in texts], object)
                return Predictions(columns, {"translation": found})

            return predict

        return [
            scored(name, self.scores, answered(translate))
            for name, translate in (
                ("the source as it is", list),
                ("word for word", lambda texts: [replace_words(text) for text in texts]),
                ("the most similar training pair", nearest),
            )
        ]

    def samples(self, model: keras.Model, data: ParallelTexts) -> str:
        """Returns translations of a few validation texts, with the true ones."""
        if self._written is None or self._written[0] is not model:
            self._written = model, tf.function(self._of_texts(model, data), reduce_retracing=True)
        shown = {name: texts[:_SHOWN] for name, texts in data.raw("validation").items()}
        found = self._written[1](tf.constant(shown["source"]))["translation"].numpy()
        return "\n".join(
            f"source  {source}\nmodel   {text.decode()}\ntarget  {target}\n"
            for source, text, target in zip(shown["source"], found, shown["target"], strict=True)
        )

    def _of_texts(
        self, model: keras.Model, data: ParallelTexts
    ) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """Returns the function from strings [batch] to translations that is served."""
        translate = translation.translator(model, self.choice)

        def of_texts(text: tf.Tensor) -> dict[str, tf.Tensor]:
            text = tf.ensure_shape(text, [None])
            inputs = pairs.source_inputs(data.source_tokenizer, text, self.choice.length)
            found = self.answers(translate(*(x.to_tensor() for x in inputs.values())))
            return translation.of_nothing(inputs["source_ids"].row_lengths() == 1, found)

        return of_texts

    def figures(
        self, model: keras.Model, data: ParallelTexts, test: Predictions
    ) -> Iterator[tuple[str, Figure]]:
        """Yields translations good and bad, where the network looks, and lengths."""
        yield from translation_figures.translations(test)
        yield "chrf_by_length", translation_figures.by_length(test)
        yield "lengths", text_figures.lengths(data.train, part="target_ids")
        yield from translation_figures.alignment(model, data)

    def signatures(self, model: keras.Model, data: ParallelTexts) -> list[Signature]:
        translate = translation.translator(model, self.choice)
        text = data.raw("test")["source"][:_PROVEN]
        ragged = pairs.source_inputs(data.source_tokenizer, tf.constant(text), self.choice.length)
        inputs = [x.to_tensor() for x in ragged.values()]
        found = tf.function(translate)(*inputs)
        # Where rounding could decide, nothing is proven.
        margin = found.pop("margin").numpy()
        clear = np.flatnonzero(margin > min(_ROUNDING, margin.max() / 2))
        found = {name: tf.gather(x, clear) for name, x in found.items()}

        def token_ids(token_ids: tf.Tensor, padding_mask: tf.Tensor) -> dict[str, tf.Tensor]:
            given = (tf.ensure_shape(x, [None, None]) for x in (token_ids, padding_mask))
            found = translate(*given)
            return {"token_ids": found["token_ids"], "scores": found["scores"]}

        names = ("token_ids", "padding_mask")
        of_tokens = Signature(
            "token_ids",
            token_ids,
            {name: tf.TensorSpec([None, None], tf.int32) for name in names},
            dict(zip(names, (x.numpy()[clear] for x in inputs), strict=True)),
            {name: x.numpy() for name, x in found.items()},
            relative=_ROUNDING,
            absolute=_ROUNDING,
        )
        if not self._config.text_signature:
            return [replace(of_tokens, name="serving_default")]
        of_texts = Signature(
            "serving_default",
            self._of_texts(model, data),
            {"text": tf.TensorSpec([None], tf.string)},
            {"text": np.array([source.encode() for source in text[clear]], object)},
            {name: x.numpy() for name, x in self.answers(found).items()},
            resources=[*data.source_tokenizer.resources, *data.target_tokenizer.resources],
            relative=_ROUNDING,
            absolute=_ROUNDING,
        )
        return [of_texts, of_tokens]

    def examples(self, data: ParallelTexts) -> dict[str, bytes]:
        """Returns eight test texts with their translations, a JSON object a line."""
        columns = data.raw("test")
        rows = zip(*(columns[name] for name in pairs.TEXTS), strict=True)
        lines = [
            json.dumps(dict(zip(pairs.TEXTS, row, strict=True)), ensure_ascii=False)
            for row in itertools.islice(rows, 8)
        ]
        return {"pairs.jsonl": "\n".join([*lines, ""]).encode()}

    def artifacts(
        self, model: keras.Model, data: ParallelTexts
    ) -> Mapping[str, Callable[[Path], None]]:
        """The vocabularies, a token a line, in the order of the ids that networks read."""

        def write(folder: Path) -> None:
            folder.mkdir()
            both = (data.source_tokenizer, data.target_tokenizer)
            for name, tokenizer in zip(pairs.TEXTS, both, strict=True):
                lines = "".join(f"{token}\n" for token in tokenizer.vocabulary)
                (folder / f"{name}.txt").write_text(lines, encoding="utf-8")

        return {"vocabulary": write}
