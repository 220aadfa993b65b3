"""Replaced-token detection: loss, metric, scores, and the probabilities of whole words.

A detector that is tested on what its own generator puts in has an easier test the worse the
generator is, so that two runs cannot be compared. Validation and test therefore have every example
twice: masked, for the generator to fill, and with a fixed corruption, whose tokens are drawn from
counts of four neighbors (`neighbor_counts.py`). It is the same for every run, and runs are compared
by it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from sklearn.metrics import f1_score, roc_auc_score

from pipelines.predictions import Predictions, Scores
from pipelines.tasks.pretraining.data import Segments, fingerprint
from pipelines.tasks.pretraining.masked_lm import IGNORE_ID
from pipelines.tasks.pretraining.neighbor_counts import neighbors
from pipelines.text.tokenizers import Inputs, WordPieces, truncate


@keras.saving.register_keras_serializable(package="pipelines")
class ReplacedTokenLoss(keras.losses.Loss):
    """Binary cross-entropy of all real tokens, replaced or not (Clark et al. 2020, section 2).

    It compares the original tokens, int [batch, tokens], with logits and the tokens that these are
    about, stacked to float32 [batch, tokens, 2]; float32 holds integers up to 2 ** 24.
    """

    def __init__(self, weight: float = 50.0, **options: Any) -> None:
        super().__init__(**options)
        self.weight = weight

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the losses, [batch, tokens]; their mask is that of real tokens."""
        logits, replaced, real = _parts(y_true, y_pred)
        losses = self.weight * (ops.softplus(logits) - logits * replaced)
        losses._keras_mask = real > 0
        return losses

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": self.weight}


@keras.saving.register_keras_serializable(package="pipelines")
class ReplacedTokenAUC(keras.metrics.AUC):
    """Area under the ROC curve of all real tokens; takes what `ReplacedTokenLoss` takes."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        logits, replaced, real = _parts(y_true, y_pred)
        super().update_state(replaced, ops.sigmoid(logits), sample_weight=real)


def _parts(y_true: Any, y_pred: Any) -> tuple[Any, Any, Any]:
    """Returns logits, whether tokens are replaced, and whether they are real, float32 each."""
    original = ops.cast(y_true, "float32")
    replaced = ops.cast(y_pred[..., 1] != original, "float32")
    return y_pred[..., 0], replaced, ops.cast(original != IGNORE_ID, "float32")


def with_fixed_corruption(data: Segments) -> Segments:
    """Returns the data with every example of validation and test twice, masked and corrupted.

    The column "fixed_corruption", bool [examples], tells the corrupted ones: they have no
    "mask_positions", and no target "masked_lm".
    """
    fixed, columns, sizes = {}, {}, dict(data.sizes)
    for number, split in enumerate(("validation", "test")):
        inputs, target = data.arrays(split)
        row, slot = np.nonzero(target["masked_lm"])
        position = inputs["mask_positions"][row, slot]
        before, after = neighbors(inputs["token_ids"], reach=2)
        corrupted = target["replaced_token"].copy()
        corrupted[row, position] = data.counts.draw(
            before[row, position], after[row, position], np.random.default_rng(number)
        )
        none = np.zeros_like(target["masked_lm"])
        changed = {**inputs, "token_ids": corrupted, "mask_positions": none}
        fixed[split] = tf.data.Dataset.from_tensor_slices(
            keras.tree.map_structure(
                _interleaved, (inputs, target), (changed, {**target, "masked_lm": none})
            )
        )
        twice = {name: np.repeat(column, 2) for name, column in data.raw(split).items()}
        columns[split] = {**twice, "fixed_corruption": np.tile([False, True], len(none))}
        sizes[split] *= 2
    digest = fingerprint(data.documents, fixed["validation"])
    return replace(data, columns=columns, sizes=sizes, digest=digest, **fixed)


def _interleaved(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.stack([one, other], axis=1).reshape(2 * len(one), *one.shape[1:])


def detections(predictions: Predictions, ordinary: np.ndarray) -> dict[str, np.ndarray]:
    """Returns what `scores` needs of each token, for the area under a ROC curve is no sum.

    Args:
        predictions: Examples "replaced_token", the original tokens, and "fixed_corruption";
            predicted "replaced", a probability, and "corrupted_ids", the tokens that it is about;
            all but "fixed_corruption" [examples, tokens].
        ordinary: bool [vocabulary], the tokens that count: special ones do not.

    Returns:
        "replaced", the probability, and "label", int8, 1 for tokens that are replaced, 0 for
        others, and -1 for those that do not count, both [examples, tokens]; and
        "fixed_corruption", bool [examples].
    """
    original = predictions.examples["replaced_token"]
    replaced = predictions.predicted["corrupted_ids"] != original
    return {
        "replaced": predictions.predicted["replaced"],
        "label": np.where(ordinary[original], replaced, -1).astype(np.int8),
        "fixed_corruption": predictions.examples["fixed_corruption"],
    }


def scores(predictions: Predictions) -> Scores:
    """Scores the detection of replaced tokens.

    Args:
        predictions: Predicted are `detections`.

    Returns:
        replaced_token_auc, _f1 and _accuracy on the fixed corruption, which is the same for all
        runs; own_auc on what the run's own generator put in, and own_rate, the fraction of tokens
        that it replaced.
    """
    columns = predictions.predicted
    found: Scores = {}
    for own in (False, True):
        rows = columns["fixed_corruption"] != own
        label = columns["label"][rows]
        truth, probability = label[label >= 0] > 0, columns["replaced"][rows][label >= 0]
        if not truth.any() or truth.all():  # Baselines do not predict those of a generator.
            continue
        auc = float(roc_auc_score(truth, probability))
        if own:
            found |= {"own_auc": auc, "own_rate": float(truth.mean())}
        else:
            found |= {
                "replaced_token_auc": auc,
                "replaced_token_f1": float(f1_score(truth, probability > 0.5, zero_division=0)),
                "replaced_token_accuracy": float((truth == (probability > 0.5)).mean()),
            }
    return found


def tokenize_words(
    tokenizer: WordPieces, text: tf.Tensor
) -> tuple[Inputs, tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
    """Turns strings [batch] into inputs, with the words that their tokens belong to.

    Returns:
        The inputs; the number of each token's word, without [CLS] and [SEP], int64 [batch, tokens],
        counted through the batch; and where in its text each word starts and ends, int64 bytes
        [batch, words].
    """
    pieces, starts, ends = tokenizer.words(text)
    tokens = pieces.merge_dims(1, 2)
    inputs = tokenizer.pack(tokens)
    word = tokens.with_values(pieces.values.value_rowids())
    return inputs, truncate(word, inputs["token_ids"].row_lengths() - 2), starts, ends


def by_word(
    text: tf.Tensor,
    replaced: tf.Tensor,
    word: tf.RaggedTensor,
    starts: tf.RaggedTensor,
    ends: tf.RaggedTensor,
) -> dict[str, tf.Tensor]:
    """Turns probabilities of tokens into those of words: each has the largest of its tokens'.

    Args:
        text: string [batch].
        replaced: Probabilities, float32 [batch, tokens].
        word: As `tokenize_words` returns them, and so are the others.
        starts: Where words start.
        ends: Where words end.

    Returns:
        "words" string, "replaced" float32, "starts" and "ends" int64, each [batch, words] without
        the words that were truncated; short rows end with "", 0, -1 and -1.
    """
    probability = tf.RaggedTensor.from_tensor(replaced[:, 1:], lengths=word.row_lengths())
    largest = tf.math.unsorted_segment_max(
        probability.flat_values, word.flat_values, tf.size(starts.flat_values)
    )
    # A word without tokens has the least of all numbers.
    read = starts.with_flat_values(largest >= 0)
    starts, ends, largest = (
        tf.ragged.boolean_mask(x, read) for x in (starts, ends, starts.with_flat_values(largest))
    )
    own = tf.gather(text, starts.value_rowids())
    words = tf.strings.substr(own, starts.flat_values, ends.flat_values - starts.flat_values)
    return {
        "words": starts.with_flat_values(words).to_tensor(),
        "replaced": largest.to_tensor(),
        "starts": starts.to_tensor(-1),
        "ends": ends.to_tensor(-1),
    }


def by_word_arrays(
    tokenizer: WordPieces, text: list[str], replaced: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns the same as `by_word`, computed word by word in Python."""
    pieces, starts, ends = (x.to_list() for x in tokenizer.words(tf.constant(text)))
    rows = []
    for number, tokens in enumerate(pieces):
        row, position = [], 1
        for own, start, end in zip(tokens, starts[number], ends[number], strict=True):
            stop = min(position + len(own), tokenizer.max_length - 1)
            probabilities = replaced[number, position:stop]
            if len(probabilities):
                row.append((text[number].encode()[start:end], probabilities.max(), start, end))
            position += len(own)
        rows.append(row)
    padding = [(b"", 0.0, -1, -1)]
    longest = max(map(len, rows))
    padded = [row + padding * (longest - len(row)) for row in rows]
    dtypes = {"words": object, "replaced": np.float32, "starts": np.int64, "ends": np.int64}
    return {
        name: np.array([[word[part] for word in row] for row in padded], dtype)
        for part, (name, dtype) in enumerate(dtypes.items())
    }
