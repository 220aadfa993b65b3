"""Pre-training of an encoder by replaced-token detection, with a small generator.

    python -m pipelines electra_pretraining

trains a discriminator of two layers, 128 wide, with a generator of the same size, which both begin
as `builtin:bert_tiny_sotu`, on 84 State of the Union addresses, and reports the detection of
replaced WordPieces in 17 others, by the area under the ROC curve (AUC). What is put into validation
and test is drawn from counts of four neighbors, the same for every run (see `replaced_tokens.py`);
what the run's own generator puts in has scores of its own. Measured beside other jobs, 261 to 277
seconds of processor time in all:

| | validation AUC | test AUC |
|---|---|---|
| nothing is replaced | .500 | .500 |
| counts of two neighbors | .654 | |
| counts of four neighbors, the strongest baseline | .671 | .678 |
| `electra_small`, one epoch, seed 0 | .680 | .684 |
| `electra_small`, two epochs, the default, seeds 0 to 4 | .696 ± .001 | .699 ± .001 |

On test, the 95 % intervals of the difference to the strongest baseline begin at .006 to .010; this
baseline is fitted to the very process that replaces tokens in validation and test. A classifier of
pairs of tokens up to four places apart, fitted likewise, has .651 on validation. A generator a
quarter as wide, as in the paper, which begins from scratch, puts in what is easy to detect: three
epochs with it led to .668 (with an encoder from an earlier stage). From scratch neither the
detector nor the generator had left the level of frequencies after 1,400 updates. At scale the order
is another: ELECTRA-small, four days on one GPU, reaches 81.3 on MNLI (Clark et al. 2020).

The discriminator is what is kept: `detect` and `embed` serve it, and `--encoder` of another run
continues with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from matplotlib.figure import Figure

from architectures import heads
from architectures.bert import inherit
from architectures.electra import electra_generator, electra_pretraining
from pipelines.baselines import Baseline, scored
from pipelines.export.signature import Signature
from pipelines.predictions import Predictions, Scores
from pipelines.task import Network
from pipelines.tasks.pretraining import baselines, masked_lm, replaced_tokens, signatures
from pipelines.tasks.pretraining.base import PretrainingTask
from pipelines.tasks.pretraining.baselines import Detect, Predict
from pipelines.tasks.pretraining.config import ElectraPretrainingConfig
from pipelines.tasks.pretraining.data import Segments, load
from pipelines.tasks.pretraining.figures import encoder_figures, replaced_token_figures
from pipelines.tasks.pretraining.masking import Batch, Mask, Masking
from pipelines.text.signatures import as_default
from pipelines.text.tokenizers import WordPieces


class ElectraPretraining(PretrainingTask[ElectraPretrainingConfig]):
    """Replaced-token detection: a discriminator, and the generator that it is trained with."""

    metric = "replaced_token_auc"

    def load(self) -> Segments:
        data = load(self.config, self.word_pieces, self._make_mask)
        return replaced_tokens.with_fixed_corruption(data)

    def _make_mask(self, tokenizer: WordPieces) -> Mask:
        masking = Masking(
            tokenizer.vocabulary,
            self.config.masked,
            whole_words=self.config.whole_words,
            # In the paper all chosen tokens are masked.
            mask_rate=1.0,
            random_rate=0.0,
        )

        def mask(inputs: Batch, target: Batch, seed: tf.Tensor) -> tuple[Batch, Batch]:
            original = {"replaced_token": inputs["token_ids"]}
            return masking.mask_batch(inputs, {**target, **original}, seed)

        return mask

    def network(self, data: Segments) -> Network:
        parts: dict[str, keras.Model] = {}

        def head(encoder: keras.Model) -> keras.Model:
            parts["discriminator"] = discriminator = heads.replaced_token_detector(encoder)
            generator = heads.masked_lm(
                electra_generator(encoder, divisor=self.config.generator_divisor)
            )
            self.initialize(discriminator, encoder, data)
            self.initialize(generator, encoder, data)
            if self.config.encoder and self.config.generator_divisor == 1:
                inherit(generator, encoder)
            joint = electra_pretraining(generator, discriminator, seed=self.config.recipe.seed)
            logits, tokens = (joint.output[name] for name in ("replaced_token", "corrupted_ids"))
            # Which tokens are replaced depends on the draw, so the loss has to see it.
            both = ops.stack([logits, ops.cast(tokens, "float32")], axis=-1)
            outputs = {"masked_lm": joint.output["masked_lm"], "replaced_token": both}
            return keras.Model(joint.input, outputs, name=joint.name)

        network = self.head(data, head)
        return replace(network, parts={**network.parts, **parts})

    def loss(self, data: Segments) -> dict[str, keras.Loss]:
        return {
            "masked_lm": masked_lm.loss(),
            "replaced_token": replaced_tokens.ReplacedTokenLoss(self.config.detection_weight),
        }

    def metrics(self, data: Segments) -> dict[str, list[keras.Metric]]:
        return {
            "masked_lm": [masked_lm.accuracy()],
            "replaced_token": [replaced_tokens.ReplacedTokenAUC(name="auc")],
        }

    def postprocess(self, outputs: dict[str, tf.Tensor], data: Segments) -> dict[str, tf.Tensor]:
        both = outputs["replaced_token"]
        return {
            "replaced": tf.sigmoid(both[..., 0]),
            "corrupted_ids": tf.cast(both[..., 1], tf.int32),
        }

    def predict_batch(
        self,
        model: keras.Model,
        inputs: dict[str, tf.Tensor],
        target: dict[str, tf.Tensor],
        data: Segments,
    ) -> dict[str, tf.Tensor]:
        outputs = model(inputs, training=False)
        tokens = masked_lm.predict(outputs["masked_lm"], target["masked_lm"])
        return self.postprocess(outputs, data) | tokens

    def reduce(self, predictions: Predictions, data: Segments) -> Predictions:
        return predictions.reduced(
            masked_lm.statistics(predictions),
            replaced_tokens.detections(predictions, data.ordinary),
        )

    def scores(self, predictions: Predictions, data: Segments) -> Scores:
        return replaced_tokens.scores(predictions) | masked_lm.scores(predictions)

    def baselines(self, data: Segments) -> list[Baseline]:
        methods: dict[str, tuple[Detect, Predict]] = {
            "prior, most frequent token": (np.zeros_like, baselines.most_frequent(data)),
            "neighbor counts": (baselines.surprisal(data), baselines.neighbor_counts(data)),
            "counts of four neighbors": (
                baselines.surprisal(data, reach=2),
                baselines.neighbor_counts(data, reach=2),
            ),
        }

        def predictions(detect: Detect, tokens: Predict, split: str) -> Predictions:
            inputs, target = data.arrays(split)
            fixed = data.raw(split)["fixed_corruption"]
            # In masked examples there is nothing to detect.
            ids = np.where(fixed[:, np.newaxis], inputs["token_ids"], target["replaced_token"])
            predicted = {"replaced": detect(ids).astype(np.float32), "corrupted_ids": ids}
            examples = {**target, "fixed_corruption": fixed}
            return Predictions(examples, tokens(split) | predicted)

        return [
            scored(
                name,
                partial(self.scores, data=data),
                partial(predictions, detect, tokens),
                partial(self.reduce, data=data),
            )
            for name, (detect, tokens) in methods.items()
        ]

    def figures(
        self,
        network: Network,
        data: Segments,
        test: Predictions,
        baselines: Sequence[Baseline],
    ) -> Iterator[tuple[str, Figure]]:
        """Yields those of any pre-trained encoder, and those of the detector."""
        yield from encoder_figures(network.parts["encoder"], data, test)
        yield from replaced_token_figures(data, test)

    def signatures(self, network: Network, data: Segments) -> list[Signature]:
        found = [
            *self.signature_pair(*signatures.detect(network.parts["discriminator"], data)),
            *self.signature_pair(*signatures.embed(network.parts["encoder"], data)),
        ]
        return [as_default(found[0]), *found]
