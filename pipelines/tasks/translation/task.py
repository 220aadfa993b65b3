"""Translation: from a text to its most probable translations.

    python -m pipelines translation

trains a small Transformer (2 + 2 layers of width 128, 1,176,832 parameters) on 9,098 verses of the
Bible and reports how well it translates 836 verses of other chapters from English to Spanish.
Measured on two busy cores, seed 0: 13 minutes in all, 10 minutes of one core's time.

| | validation BLEU | test BLEU (95 % interval) | test chrF |
|---|---|---|---|
| word for word (IBM Model 1), the strongest baseline | 10.5 | 10.4 | 38.3 |
| the most similar training pair | 8.0 | 6.9 | 25.5 |
| the network | 11.8 | 10.6 (9.9 to 11.3) | 29.1 |

Its BLEU is higher on validation and equal on test; its chrF is much lower. With the source of
another verse the perplexity of its targets is 113 instead of 23, so it does read the source. The
length penalty was chosen on validation, for a network of an earlier run: BLEU 3.2, 9.9 and 10.9
with .6, 1 and 1.4. With a weak one beam search prefers texts that are too short, 5 words for 13.

This little data and time give no usable translations: at this scale phrase-based systems are better
than networks (Koehn & Knowles 2017). The published Transformer reaches BLEU 27.3 (base) and
28.4 (big) from English to German, with 4.5 million pairs (Vaswani et al. 2017).

    python -m pipelines translation --dataset cmudict --max_length 24 --architecture lstm_seq2seq \\
        --model.units 128 --model.embedding 64 --epochs 6 --optimizer.learning_rate 0.003 \\
        --optimizer.clip_norm 1 --length_penalty 0.6

is trained on the phones of 16,000 words and transcribes 1,948 others, in less than two minutes in
all. On one core:

| | training | validation PER | test PER (95 % interval) | test words right |
|---|---|---|---|---|
| the best phone for each letter (IBM Model 1), the baseline | | .493 | .501 | .022 |
| `lstm_seq2seq`, as above, seed 0 | 76 s | .155 | .162 (.154 to .169) | .420 |
| the same, seed 1 | 76 s | .150 | .158 (.151 to .166) | .417 |
| `transformer_base` with the default sizes, 6 epochs | 154 s | .170 | .181 (.173 to .189) | .385 |

With the whole dictionary, split at random, LSTMs reach .055 (Yao & Zweig 2015). PER is called
`token_error_rate` here, since the tokens need not be phones.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import keras
import tensorflow as tf
from matplotlib.figure import Figure

import architectures
from pipelines.baselines import Baseline
from pipelines.errors import UserError
from pipelines.export.signature import Signature
from pipelines.network import build
from pipelines.predictions import Predictions, Scores
from pipelines.task import Network, Task, Teacher
from pipelines.tasks.translation.baselines import baselines
from pipelines.tasks.translation.config import TranslationConfig
from pipelines.tasks.translation.data import TEXTS, ParallelTexts, kinds, load
from pipelines.tasks.translation.decoding import (
    DECODERS,
    beam,
    detokenize,
    log_likelihood,
    translates,
    translator,
)
from pipelines.tasks.translation.figures import figures
from pipelines.tasks.translation.metrics import scores
from pipelines.tasks.translation.signatures import signatures, text_translator
from pipelines.text.examples import json_lines

# Texts that are translated after each epoch.
_SAMPLES = 6


class Translation(Task[TranslationConfig, ParallelTexts]):
    """Translation: from strings to translations and their scores.

    Attributes:
        characters: Whether sources are read letter by letter.
        symbols: Whether targets are symbols separated by spaces, as phones; these are compared by
            their token error rate.
    """

    metric = "bleu"

    def __init__(self, config: TranslationConfig, teacher: Teacher | None = None) -> None:
        super().__init__(config, teacher)
        source, target = kinds(config)
        self.characters, self.symbols = source == "characters", target == "words"
        if self.symbols:
            self.metric, self.greater_is_better = "token_error_rate", False

    def load(self) -> ParallelTexts:
        if not translates(self.config.architecture):
            raise UserError(
                f"{self.config.architecture} does not translate; encoder-decoders do, as "
                "transformer_base and lstm_seq2seq"
            )
        return load(self.config)

    def network(self, data: ParallelTexts) -> Network:
        fixed = {
            "source_vocabulary": len(data.source_tokenizer.vocabulary),
            "target_vocabulary": len(data.target_tokenizer.vocabulary),
        }
        builder = architectures.builder(self.config.architecture)
        if "share_embeddings" in inspect.signature(builder).parameters:
            fixed["share_embeddings"] = data.source_tokenizer is data.target_tokenizer
        return build(
            self.config, "does not translate", lambda model: model.name in DECODERS, **fixed
        )

    def loss(self, data: ParallelTexts) -> keras.Loss:
        return keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        )

    def metrics(self, data: ParallelTexts) -> list[keras.Metric]:
        return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]

    def preprocess(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Drops the last target token, which no token follows."""
        targets = {name: x[:, :-1] for name, x in inputs.items() if name.startswith("target")}
        return {**inputs, **targets}

    def postprocess(
        self, outputs: dict[str, tf.Tensor], data: ParallelTexts
    ) -> dict[str, tf.Tensor]:
        return detokenize(outputs, data.target_tokenizer)

    def predict_batch(
        self,
        model: keras.Model,
        inputs: dict[str, tf.Tensor],
        target: tf.Tensor,
        data: ParallelTexts,
    ) -> dict[str, tf.Tensor]:
        """Translates sources; computes the targets' likelihood, also with shuffled sources."""
        source = {name: inputs[name] for name in ("source_ids", "source_padding_mask")}
        found = self.postprocess(translator(model, beam(self.config))(*source.values()), data)
        mask = inputs["target_padding_mask"][:, 1:]
        true = {**self.preprocess(inputs), "target_padding_mask": mask}
        shuffled = true | {name: tf.roll(x, 1, 0) for name, x in source.items()}
        return {
            "translation": found["translation"],
            "score": found["score"],
            "log_likelihood": log_likelihood(model, true, target),
            "shuffled": log_likelihood(model, shuffled, target),
            "target_tokens": tf.reduce_sum(mask, 1),
        }

    def scores(self, predictions: Predictions, data: ParallelTexts) -> Scores:
        return scores(predictions, symbols=self.symbols)

    def baselines(self, data: ParallelTexts) -> list[Baseline]:
        return baselines(data, characters=self.characters, symbols=self.symbols)

    def sampler(self, network: Network, data: ParallelTexts) -> Callable[[], str]:
        """Returns a function that translates a few validation texts."""
        # Traced once, not in every epoch.
        translate = tf.function(text_translator(network.model, data, beam(self.config)))
        columns = {name: texts[:_SAMPLES] for name, texts in data.raw("validation").items()}

        def sample() -> str:
            found = translate(tf.constant(columns["source"]))["translation"].numpy()
            rows = zip(columns["source"], found, columns["target"], strict=True)
            return "\n".join(
                f"source  {source}\nmodel   {text.decode()}\ntarget  {target}\n"
                for source, text, target in rows
            )

        return sample

    def figures(
        self,
        network: Network,
        data: ParallelTexts,
        test: Predictions,
        baselines: Sequence[Baseline],
    ) -> Iterator[tuple[str, Figure]]:
        return figures(network.model, data, test)

    def signatures(self, network: Network, data: ParallelTexts) -> list[Signature]:
        return signatures(network.model, data, beam(self.config), text=self.config.text_signature)

    def examples(self, data: ParallelTexts) -> dict[str, bytes]:
        """Returns eight test texts with their translations."""
        rows = zip(*(data.raw("test")[name] for name in TEXTS), strict=True)
        return json_lines((dict(zip(TEXTS, row, strict=True)) for row in rows), "pairs.jsonl")

    def artifacts(
        self, network: Network, data: ParallelTexts
    ) -> Mapping[str, Callable[[Path], None]]:
        """Returns the vocabularies, a token a line, in the order of the token ids."""

        def write(folder: Path) -> None:
            folder.mkdir()
            both = (data.source_tokenizer, data.target_tokenizer)
            for name, tokenizer in zip(TEXTS, both, strict=True):
                lines = "".join(f"{token}\n" for token in tokenizer.vocabulary)
                (folder / f"{name}.txt").write_text(lines, encoding="utf-8")

        return {"vocabulary": write}
