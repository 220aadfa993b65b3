"""Pre-training of an encoder by masked language modeling, and by sentence pairs.

    python -m pipelines bert_pretraining

goes on with `builtin:bert_tiny_sotu` (two layers, 128 wide, 680,855 parameters with its head) on 84
State of the Union addresses, 2.7 million characters, and reports the perplexity of masked
WordPieces of 17 others, as table 6 of the paper does. Measured on one core beside other jobs, 89
to 93 seconds of processor time in all:

| test split | perplexity | accuracy |
|---|---|---|
| most frequent token | 423 | .053 |
| token as shown | 258 | .139 |
| counts of two neighbors | 32.2 | .339 |
| counts of four neighbors, the strongest baseline | 27.3 | .399 |
| `bert_tiny`, seeds 0 to 4, mean ± deviation | 18.06 ± .05 | .433 ± .002 |

On test, the 95 % intervals of the difference to the strongest baseline end at -6.2 to -5.9, those
of the accuracy begin at .007 to .012. The encoder that it goes on with took an hour of one core
(see `pipelines/recipes/bert_tiny_sotu.py`), with heads that begin at neighbors (`--initialization
local`). Patience pays: half as many epochs led to an encoder with which the default run had a
perplexity of 25.4 and an accuracy of .376. From scratch with the published initialization small
encoders got no farther than `token as shown` in ten minutes: with 8,000 WordPieces, where counts of
two neighbors have an accuracy of .296, five epochs led to .129.

`--sentence_task auto` adds the sentence-pair objective of the architecture's paper: BERT's next
sentences, ALBERT's order of sentences, none for RoBERTa and DistilBERT. `--encoder` continues from
a directory of Hugging Face's format or one of your own runs, the latter with the head that it
trained; `--encoder ''` and other architectures start from scratch. Validation and test mask the
same tokens in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

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
from pipelines.text import pretrained
from pipelines.text.signatures import as_default
from pipelines.text.tokenizers import WordPieces


class BertPretraining(PretrainingTask[BertPretrainingConfig]):
    """Masked language modeling, together with a sentence-pair objective or alone."""

    metric = "masked_lm_perplexity"
    greater_is_better = False

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
            self.initialize(model, encoder, data)
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

    def reduce(self, predictions: Predictions, data: Segments) -> Predictions:
        statistics = masked_lm.statistics(predictions)
        if data.sentence_task:
            statistics |= sentence_pairs.statistics(predictions, data.sentence_task)
        return predictions.reduced(statistics)

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
            "counts of four neighbors": baselines.neighbor_counts(data, reach=2),
        }
        of_pairs: list[tuple[str, Predict]] = [("", lambda split: {})] * 4
        if data.sentence_task:
            prior = (", prior", baselines.prior(data))
            overlap = (", word overlap", baselines.word_overlap(data))
            of_pairs = [prior, prior, overlap, overlap]

        def predictions(tokens: Predict, pairs: Predict, split: str) -> Predictions:
            _, target = data.arrays(split)
            return Predictions(target, tokens(split) | pairs(split))

        return [
            scored(
                token_name + pair_name,
                partial(self.scores, data=data),
                partial(predictions, tokens, pairs),
                partial(self.reduce, data=data),
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

    def artifacts(self, network: Network, data: Segments) -> Mapping[str, Callable[[Path], None]]:
        """Returns the trained encoder, with the weights of its head, for a run that goes on."""
        (write_encoder,) = super().artifacts(network, data).values()

        def write(folder: Path) -> None:
            write_encoder(folder)
            masked_lm.write_head(network.model, folder)

        return {pretrained.FOLDER: write}

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
