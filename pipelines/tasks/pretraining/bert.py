"""Pre-training of an encoder by masked language modeling, and by sentence pairs.

    python -m pipelines bert_pretraining

trains `bert_tiny` (two layers, 128 wide, 1,065,533 parameters with its heads) on 84 State of the
Union addresses, 2.7 million characters, and reports the accuracy on masked WordPieces of 17 others,
and on whether a segment follows or is random. Measured on one busy core, 5 minutes in all, seed 0:

| test split | masked tokens | perplexity | next sentence |
|---|---|---|---|
| most frequent token; prior | .067 | 569 | .507 |
| neighbor counts; word overlap, the strongest baseline | .296 | 72 | .680 |
| `bert_tiny` | .129 (.122 to .136) | 388 | .493 |

It beats the named baseline of the literature, the most frequent token, by .062, and stays far below
counts, so the gate promotes no default run. It has learned little more than words and their
frequencies: a tenth of the masked tokens are shown as they are, and taking those for the original
ones would give .8 * .067 + .1 = .15. Other choices were no better (validation .144 after 8 epochs
with batches of 16 x 128 tokens and a rate of 2e-3, .143 with 8 x 64 and 1e-3, .120 after 5 epochs
with 5e-4; 3e-3 fell back to the most frequent token). Half a million tokens and five minutes of one
core are not what BERT needs: it read 128,000 tokens in each of a million updates (Devlin et al.
2019).

BERT is trained on next sentences too, ALBERT on their order, RoBERTa and DistilBERT on masked
tokens alone; `--sentence_task` and `--whole_words` choose otherwise. `--encoder` continues from a
directory of Hugging Face's format or one of your own runs, with new heads. Validation and test mask
the same tokens in every run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import keras
import tensorflow as tf
from matplotlib.figure import Figure

from architectures import heads
from pipelines.baselines import Baseline, scored
from pipelines.export.signature import Signature
from pipelines.predictions import Predictions, Scores
from pipelines.task import Network
from pipelines.tasks.pretraining import baselines, masked_lm, sentence_pairs, signatures
from pipelines.tasks.pretraining.base import PretrainingTask
from pipelines.tasks.pretraining.baselines import Predict
from pipelines.tasks.pretraining.config import BertPretrainingConfig
from pipelines.tasks.pretraining.data import Segments, load
from pipelines.tasks.pretraining.figures import encoder_figures, sentence_pair_figures
from pipelines.tasks.pretraining.masking import Mask, Masking
from pipelines.text.signatures import as_default
from pipelines.text.tokenizers import WordPieces


class BertPretraining(PretrainingTask[BertPretrainingConfig]):
    """Masked language modeling, together with a sentence-pair objective or alone."""

    metric = "masked_lm_accuracy"

    def load(self) -> Segments:
        config = self.config
        sentence_task = {
            "auto": sentence_pairs.published_task(config.architecture),
            "none": "",
        }.get(config.sentence_task, config.sentence_task)

        def make_mask(tokenizer: WordPieces) -> Mask:
            rate, whole_words = config.masked, config.whole_words
            return Masking(tokenizer.vocabulary, rate, whole_words=whole_words).mask_batch

        return load(config, self.word_pieces, make_mask, sentence_task)

    def network(self, data: Segments) -> Network:
        def head(encoder: keras.Model) -> keras.Model:
            model = heads.masked_lm(encoder, sentence_task=data.sentence_task or None)
            outputs = model.output if data.sentence_task else {"masked_lm": model.output}
            return keras.Model(model.input, outputs, name=model.name)

        return self.head(data, head)

    def loss(self, data: Segments) -> dict[str, keras.Loss]:
        losses = {"masked_lm": masked_lm.loss()}
        if data.sentence_task:
            losses[data.sentence_task] = sentence_pairs.loss()
        return losses

    def metrics(self, data: Segments) -> dict[str, list[keras.Metric]]:
        metrics: dict[str, list[keras.Metric]] = {"masked_lm": [masked_lm.accuracy()]}
        if data.sentence_task:
            metrics[data.sentence_task] = [sentence_pairs.accuracy()]
        return metrics

    def postprocess(self, outputs: dict[str, tf.Tensor], data: Segments) -> dict[str, tf.Tensor]:
        predicted = masked_lm.most_probable(outputs["masked_lm"])
        return predicted | _sentence_pairs(outputs, data)

    def predict_batch(
        self,
        model: keras.Model,
        inputs: dict[str, tf.Tensor],
        target: dict[str, tf.Tensor],
        data: Segments,
    ) -> dict[str, tf.Tensor]:
        outputs = model(inputs, training=False)
        predicted = masked_lm.predict(outputs["masked_lm"], target["masked_lm"])
        return predicted | _sentence_pairs(outputs, data)

    def scores(self, predictions: Predictions, data: Segments) -> Scores:
        scores = masked_lm.scores(predictions)
        if data.sentence_task:
            scores |= sentence_pairs.scores(predictions, data.sentence_task)
        return scores

    def baselines(self, data: Segments) -> list[Baseline]:
        of_tokens = {
            "most frequent token": baselines.most_frequent(data),
            "token as shown": baselines.as_shown(data),
            "neighbor counts": baselines.neighbor_counts(data),
        }
        of_pairs: list[tuple[str, Predict]] = [("", lambda split: {})] * 3
        if data.sentence_task:
            prior = (", prior", baselines.prior(data))
            of_pairs = [prior, prior, (", word overlap", baselines.word_overlap(data))]

        def predictions(tokens: Predict, pairs: Predict, split: str) -> Predictions:
            _, target = data.arrays(split)
            return Predictions(target, tokens(split) | pairs(split))

        return [
            scored(
                token_name + pair_name,
                partial(self.scores, data=data),
                partial(predictions, tokens, pairs),
            )
            for (token_name, tokens), (pair_name, pairs) in zip(
                of_tokens.items(), of_pairs, strict=True
            )
        ]

    def figures(
        self,
        network: Network,
        data: Segments,
        test: Predictions,
        baselines: Sequence[Baseline],
    ) -> Iterator[tuple[str, Figure]]:
        """Yields those of any pre-trained encoder, and those of sentence pairs."""
        yield from encoder_figures(network.parts["encoder"], data, test)
        if data.sentence_task:
            yield from sentence_pair_figures(data, test)

    def signatures(self, network: Network, data: Segments) -> list[Signature]:
        found = [
            *self.signature_pair(*signatures.fill_mask(network.model, data)),
            *self.signature_pair(*signatures.embed(network.parts["encoder"], data)),
        ]
        if data.sentence_task:
            found += self.signature_pair(*signatures.sentence_pair(network, data))
        return [as_default(found[0]), *found]


def _sentence_pairs(outputs: dict[str, tf.Tensor], data: Segments) -> dict[str, tf.Tensor]:
    """Returns the "probability" that the second segment follows; nothing without segments."""
    if not data.sentence_task:
        return {}
    return sentence_pairs.probability(outputs[data.sentence_task])
