"""Translation: from a text to its most probable translations.

    python -m pipelines translation

trains `lstm_seq2seq` with attention (128 units, 224,192 parameters) on the spelling and the phones
of 16,000 words, and transcribes 1,948 others: letters are read as a source language, phones written
as a target language. Measured beside other jobs, 128 to 158 s of processor time in all:

| | validation PER | test PER | test words right |
|---|---|---|---|
| the most probable phone of each letter (IBM Model 1) | .493 | .501 | .022 |
| letter-to-sound rules, the strongest baseline | .165 | .174 | .320 |
| `lstm_seq2seq`, seeds 0 to 4, mean ± deviation | .130 ± .003 | .137 ± .002 | .477 ± .005 |

On test, the 95 % intervals of the difference begin at .027 to .031. With the whole dictionary,
split at random, LSTMs reach .055 (Yao & Zweig 2015). PER, the phone error rate, is called
`token_error_rate` here, since the tokens need not be phones.

    python -m pipelines translation --dataset bible_en_es --architecture transformer_base \\
        --model.layers 2 --model.heads 4 --model.width 128 --model.feed_forward 512 \\
        --model.dropout 0.2 --model.norm pre --epochs 9 --length_penalty 1.4 \\
        --optimizer.learning_rate 0.002 --optimizer.clip_norm 0 --optimizer.average 0

trains a small Transformer (1,176,832 parameters) on 9,098 verses of the Bible, and translates 836
verses of other chapters from English to Spanish, in 10 minutes of one core's time; seed 0:

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
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

import architectures
from pipelines.baselines import Baseline
from pipelines.datasets.columns import strings
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
    translates,
    translator,
)
from pipelines.tasks.translation.figures import figures
from pipelines.tasks.translation.metrics import reduce, scores
from pipelines.tasks.translation.signatures import signatures, text_translator
from pipelines.text.beams import detokenize, log_likelihood
from pipelines.text.examples import json_lines
from pipelines.text.signatures import text_requests

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
        return detokenize(outputs, data.target_tokenizer, "translation")

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

    def reduce(self, predictions: Predictions, data: ParallelTexts) -> Predictions:
        return reduce(predictions, symbols=self.symbols)

    def scores(self, predictions: Predictions, data: ParallelTexts) -> Scores:
        return scores(predictions)

    def baselines(self, data: ParallelTexts) -> list[Baseline]:
        return baselines(data, characters=self.characters, symbols=self.symbols)

    def sampler(self, network: Network, data: ParallelTexts) -> Callable[[], str]:
        """Returns a function that translates a few validation texts."""
        # Traced once, not in every epoch.
        options = beam(self.config)
        translate = tf.function(text_translator(translator(network.model, options), data, options))
        columns = {name: texts[:_SAMPLES] for name, texts in data.raw("validation").items()}

        def sample() -> str:
            found = translate(strings(columns["source"]))["translation"].numpy()
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

    def requests(
        self, data: ParallelTexts, split: str, count: int
    ) -> Mapping[str, Mapping[str, np.ndarray]]:
        columns = {"text": data.raw(split)["source"]}
        return text_requests(columns, count) if self.config.text_signature else {}

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
