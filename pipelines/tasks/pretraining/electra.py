"""Running text to an encoder that tells which words a small generator has replaced.

    python -m pipelines electra_pretraining

trains `electra_small`, scaled down to two layers, 128 wide, with a generator a quarter as wide, on
84 State of the Union addresses, and reports how well it tells replaced WordPieces of 17 others, by
the area under the ROC curve (AUC). What is put into validation and test is drawn from counts of
neighbours, the same for every run (see `detection.py`); what the run's own generator puts in is
scored beside it.

Measured on one busy core, 5 minutes of training and 8 in all, seed 0:

| test split | AUC | accuracy | generator: hidden tokens | perplexity |
|---|---|---|---|---|
| nothing is replaced; most frequent token | .500 | .871 | .069 | 572 |
| counts of the two neighbours, the strongest baseline | .597 | .871 | .292 | 76 |
| `electra_small`, so scaled | .533 (.523 to .540) | .871 | .072 | 574 |

It beats the prior by .033 and stays below counts, so that the gate promotes no default run; at .5
nobody calls any token replaced (F1 0). The generator has learned how frequent tokens are and no
more, and of what it puts in, 15 % of the text, the detector tells .519. At scale the order is
another: ELECTRA-small, four days of one GPU, reaches 81.3 on MNLI (Clark et al. 2020).

The detector is what stays: `detect` and `embed` serve it, and `--encoder` of another run goes on
with it.
"""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from matplotlib.figure import Figure

from architectures import heads
from architectures.electra import electra_generator, electra_pretraining
from pipelines import figures
from pipelines.baselines import Baseline, scored
from pipelines.errors import UserError
from pipelines.export.signature import Signature
from pipelines.predictions import Predictions, Scores
from pipelines.tasks.pretraining import masked_lm, replaced_tokens
from pipelines.tasks.pretraining.base import PROVEN, PretrainingTask, as_default, first_sentences
from pipelines.tasks.pretraining.config import ElectraPretrainingConfig
from pipelines.tasks.pretraining.data import Segments
from pipelines.text.task import dense, family, is_encoder


class ElectraPretraining(PretrainingTask):
    """The task: text in; for each word the probability that it replaces another; and vectors."""

    metric = "replaced_token_auc"
    _detector: keras.Model
    _weight = 50.0
    _plain: np.ndarray

    def load(self, config: ElectraPretrainingConfig) -> Segments:
        if not is_encoder(config.architecture) or family(config.architecture) != "electra":
            raise UserError(
                f"{config.architecture} is no discriminator; electra_small, _base and _large are"
            )
        self._weight = config.detection_weight
        # In the paper all tokens that are chosen are hidden.
        data = self.prepare(config, "", hidden=1.0, random=0.0)
        self._plain = replaced_tokens.plain_tokens(data.tokenizer.vocabulary)
        return replaced_tokens.with_given(data)

    def masked(
        self, inputs: dict[str, tf.Tensor], target: dict[str, tf.Tensor], seed: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Hides tokens of a batch; the whole text as it was is a target too."""
        whole = {"replaced_token": inputs["token_ids"]}
        return super().masked(inputs, {**target, **whole}, seed)

    def model(self, config: ElectraPretrainingConfig, data: Segments) -> keras.Model:
        def head(encoder: keras.Model) -> keras.Model:
            self._detector = heads.replaced_token_detector(encoder)
            generator = heads.masked_lm(
                electra_generator(encoder, divisor=config.generator_divisor)
            )
            joint = electra_pretraining(generator, self._detector, seed=config.recipe.seed)
            logits, judged = (joint.output[name] for name in ("replaced_token", "corrupted_ids"))
            # Which tokens are replaced depends on the draw, so the loss has to see it.
            both = ops.stack([logits, ops.cast(judged, "float32")], axis=-1)
            outputs = {"masked_lm": joint.output["masked_lm"], "replaced_token": both}
            return keras.Model(joint.input, outputs, name=joint.name)

        return self.head(config, len(data.tokenizer.vocabulary), head)

    def loss(self) -> dict[str, keras.Loss]:
        return {
            "masked_lm": masked_lm.loss(),
            "replaced_token": replaced_tokens.DetectionLoss(self._weight),
        }

    def metrics(self) -> dict[str, list[keras.Metric]]:
        return {
            "masked_lm": [masked_lm.GuessAccuracy(name="accuracy")],
            "replaced_token": [replaced_tokens.DetectionAUC(name="auc")],
        }

    def answers(self, outputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        judged = outputs["replaced_token"]
        return {
            "replaced": tf.sigmoid(judged[..., 0]),
            "judged": tf.cast(judged[..., 1], tf.int32),
        }

    def assessed(
        self,
        model: keras.Model,
        inputs: dict[str, tf.Tensor],
        target: dict[str, tf.Tensor],
    ) -> dict[str, tf.Tensor]:
        outputs = model(self.preprocess(inputs), training=False)
        guesses = masked_lm.assessed(outputs["masked_lm"], target["masked_lm"])
        return {**self.answers(outputs), **guesses}

    def scores(self, predictions: Predictions) -> Scores:
        return replaced_tokens.scores(predictions, self._plain) | masked_lm.scores(predictions)

    def baselines(self, data: Segments) -> list[Baseline]:
        surprise = replaced_tokens.by_surprise(data, self._plain)
        found = []
        for name, guess, judge in (
            ("prior, most frequent token", masked_lm.most_frequent(data), np.zeros_like),
            ("counts of neighbours", masked_lm.between_neighbours(data), surprise),
        ):

            def predict(split: str, guess=guess, judge=judge) -> Predictions:
                inputs, target = masked_lm.arrays(data, split)
                given = data.columns[split]["given"]
                # What is masked has no token to judge.
                judged = np.where(given[:, None], inputs["token_ids"], target["replaced_token"])
                answers = {"replaced": judge(judged).astype(np.float32), "judged": judged}
                return Predictions({**target, "given": given}, {**guess(split), **answers})

            found.append(scored(name, self.scores, predict))
        return found

    def figures(
        self, model: keras.Model, data: Segments, test: Predictions
    ) -> Iterator[tuple[str, Figure]]:
        """Yields what is told and guessed, where the network looks and what layers know."""
        yield from self.pictures(data, test)
        original, judged = test.examples["replaced_token"], test.predicted["judged"]
        counted = self._plain[original] & test.examples["given"][:, np.newaxis]
        chance, truth = test.predicted["replaced"][counted], (judged != original)[counted]
        names = ("original", "replaced")
        yield "confusion_matrix", figures.confusion_matrix(truth * 1, (chance > 0.5) * 1, names)
        yield (
            "reliability",
            figures.reliability(np.abs(chance - 0.5) + 0.5, (chance > 0.5) == truth),
        )
        yield "worst_detections", replaced_tokens.mistakes(data, test, self._plain)

    def samples(self, model: keras.Model, data: Segments) -> str:
        return masked_lm.samples(model, data)

    def signatures(self, model: keras.Model, data: Segments) -> list[Signature]:
        detector, tokenizer = self._detector, data.tokenizer
        text = list(first_sentences(data, PROVEN))
        ragged, *_ = replaced_tokens.words(tokenizer, tf.constant(text))
        inputs = {name: x.numpy() for name, x in dense(ragged).items()}
        chance = ops.sigmoid(detector.predict(inputs, verbose=0)).numpy()
        chance = np.where(inputs["padding_mask"] > 0, chance, np.float32(0))

        def of_tokens(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            chance = tf.sigmoid(detector(inputs, training=False))
            return {"replaced": tf.where(inputs["padding_mask"] > 0, chance, 0.0)}

        def of_text(text: tf.Tensor) -> dict[str, tf.Tensor]:
            text = tf.ensure_shape(text, [None])
            inputs, *words = replaced_tokens.words(tokenizer, text)
            return replaced_tokens.of_words(text, of_tokens(dense(inputs))["replaced"], *words)

        detect = [
            *self.text_signatures(
                data,
                "detect",
                of_text,
                {"text": np.array(text, object)},
                replaced_tokens.of_words_by_hand(tokenizer, text, chance),
            ),
            self.token_signature(detector, of_tokens, inputs, {"replaced": chance}),
        ]
        return [as_default(detect[0]), *detect, *self.embedding_signatures(data)]
