"""Texts to their translations.

    python -m pipelines translation

trains a small Transformer (2 + 2 layers of width 128, 1,176,832 parameters) on 9,098 verses of the
Bible and reports how well it translates 836 verses of other chapters from English to Spanish.
Measured on two busy cores, seed 0: 13 minutes in all, 10 minutes of one core's time.

| | validation BLEU | test BLEU (95 % interval) | test chrF |
|---|---|---|---|
| word for word (IBM Model 1), the strongest baseline | 10.5 | 10.4 | 38.3 |
| the most similar training pair | 8.0 | 6.9 | 25.5 |
| the network | 11.8 | 10.6 (9.9 to 11.3) | 29.1 |

In BLEU it is ahead on validation and ties on test; in chrF it is far behind. With another verse's
source the perplexity of its target is 113 in place of 23, so it does read the source. The length
penalty was chosen on validation, for a network of an earlier run: BLEU 3.2, 9.9 and 10.9 with .6, 1
and 1.4. With a weak one beam search prefers texts that are too short, 5 words for 13.

So few pairs and so little time give no usable translations: at this scale phrase-based systems are
ahead of networks (Koehn & Knowles 2017). The published Transformer reaches BLEU 27.3 (base) and
28.4 (big) from English to German, with 4.5 million pairs (Vaswani et al. 2017).

    python -m pipelines translation --dataset cmudict --max_length 24 --architecture lstm_seq2seq \\
        --model.units 128 --model.embedding 64 --epochs 6 --optimizer.learning_rate 0.003 \\
        --optimizer.clip_norm 1 --length_penalty 0.6

spells 1,948 words in phones after 16,000 others, in less than two minutes in all. One core:

| | training | validation PER | test PER (95 % interval) | test words right |
|---|---|---|---|---|
| the best phone for each letter (IBM Model 1), the baseline | | .493 | .501 | .022 |
| `lstm_seq2seq`, as above, seed 0 | 76 s | .155 | .162 (.154 to .169) | .420 |
| the same, seed 1 | 76 s | .150 | .158 (.151 to .166) | .417 |
| `transformer_base` with the default sizes, 6 epochs | 154 s | .170 | .181 (.173 to .189) | .385 |

Scheduled sampling, `--sampling 0.25`, brings the LSTM nothing: .167, validation .160, with seed 0.
With the whole dictionary, split at random, LSTMs reach .055 (Yao & Zweig 2015). PER is called
`token_error_rate` here, for tokens may be anything.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

import architectures
from pipelines import network
from pipelines.baselines import Baseline
from pipelines.errors import UserError
from pipelines.export.signature import Signature
from pipelines.predictions import Predictions, Scores
from pipelines.task import Task
from pipelines.tasks.translation import data as parallel_texts
from pipelines.tasks.translation import decoding as translation
from pipelines.tasks.translation import figures as translation_figures
from pipelines.tasks.translation import metrics as translation_scores
from pipelines.tasks.translation import signatures as translation_signatures
from pipelines.tasks.translation.config import TranslationConfig
from pipelines.tasks.translation.data import ParallelTexts
from pipelines.text import figures as text_figures
from pipelines.text import reversible
from pipelines.text.beam_search import Beam
from pipelines.text.reversible import Reversible

# Texts that are shown after each epoch.
_SHOWN = 6


class Translation(Task):
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
        source, target = parallel_texts.kinds(config)
        self._config, self._characters = config, source == "characters"
        self.symbols = target == "words"
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
        return parallel_texts.load(config, self.learn)

    def learn(self, source: np.ndarray, target: np.ndarray) -> tuple[Reversible, Reversible]:
        """Returns the tokenizers of training texts, str [texts]."""
        tokenizers = parallel_texts.learned(self._config, source, target)
        self._target = tokenizers[1]
        return tokenizers

    def model(self, config: TranslationConfig, data: ParallelTexts) -> keras.Model:
        tokenizers = (data.source_tokenizer, data.target_tokenizer)
        given = {
            f"{side}_vocabulary": len(tokenizer.vocabulary)
            for side, tokenizer in zip(("source", "target"), tokenizers, strict=True)
        }
        if architectures.get(config.architecture).model_type == "transformer":
            given["share_embeddings"] = tokenizers[0] is tokenizers[1]
        self._steps = config.recipe.epochs * -(-data.sizes["train"] // config.recipe.batch_size)
        return network.build(config, "does not translate", lambda model: True, **given)

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
        return translation.answers(outputs, self._target)

    def assessed(
        self, model: keras.Model, inputs: dict[str, tf.Tensor], target: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Translates sources, and asks how probable their targets are, also of other sources."""
        names = ("source_ids", "source_padding_mask")
        source = {name: inputs[name] for name in names}
        found = self.answers(translation.translator(model, self.choice)(*source.values()))
        mask = inputs["target_padding_mask"][:, 1:]
        true = {**self.preprocess(inputs), "target_padding_mask": mask}
        shuffled = true | {name: tf.roll(x, 1, 0) for name, x in source.items()}
        return {
            "translation": found["translation"],
            "score": found["score"],
            "log_likelihood": translation.log_likelihood(model, true, target),
            "shuffled": translation.log_likelihood(model, shuffled, target),
            "target_tokens": tf.reduce_sum(mask, 1),
        }

    def scores(self, predictions: Predictions) -> Scores:
        return translation_scores.scores(predictions, symbols=self.symbols)

    def baselines(self, data: ParallelTexts) -> list[Baseline]:
        return translation_scores.baselines(data, characters=self._characters, symbols=self.symbols)

    def samples(self, model: keras.Model, data: ParallelTexts) -> str:
        """Returns translations of a few validation texts, with the true ones."""
        if self._written is None or self._written[0] is not model:
            translate = translation_signatures.of_texts(model, data, self.choice)
            self._written = model, tf.function(translate)
        shown = {name: texts[:_SHOWN] for name, texts in data.raw("validation").items()}
        found = self._written[1](tf.constant(shown["source"]))["translation"].numpy()
        return "\n".join(
            f"source  {source}\nmodel   {text.decode()}\ntarget  {target}\n"
            for source, text, target in zip(shown["source"], found, shown["target"], strict=True)
        )

    def figures(
        self, model: keras.Model, data: ParallelTexts, test: Predictions
    ) -> Iterator[tuple[str, Figure]]:
        """Yields translations good and bad, where the network looks, and lengths."""
        yield from translation_figures.translations(test)
        yield "chrf_by_length", translation_figures.by_length(test)
        yield "lengths", text_figures.lengths(data.train, part="target_ids")
        yield from translation_figures.alignment(model, data)

    def signatures(self, model: keras.Model, data: ParallelTexts) -> list[Signature]:
        return translation_signatures.signatures(
            model, data, self.choice, text=self._config.text_signature
        )

    def examples(self, data: ParallelTexts) -> dict[str, bytes]:
        """Returns eight test texts with their translations, a JSON object a line."""
        columns = data.raw("test")
        rows = zip(*(columns[name] for name in parallel_texts.TEXTS), strict=True)
        lines = [
            json.dumps(dict(zip(parallel_texts.TEXTS, row, strict=True)), ensure_ascii=False)
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
            for name, tokenizer in zip(parallel_texts.TEXTS, both, strict=True):
                lines = "".join(f"{token}\n" for token in tokenizer.vocabulary)
                (folder / f"{name}.txt").write_text(lines, encoding="utf-8")

        return {"vocabulary": write}
