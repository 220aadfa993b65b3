"""Replaced tokens: loss, scores, what tells them without a network, and the entry for texts.

A detector that is tested on what its own generator puts in has the easier time the worse the
generator is, so that two runs cannot be compared. Validation and test therefore hold every example
twice: masked, for the generator to fill, and with tokens put in that were drawn once from counts of
neighbours (`neighbours.py`), the same for every run. The latter are what runs are compared by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines.predictions import Predictions, Scores
from pipelines.tasks.pretraining import masked_lm
from pipelines.tasks.pretraining.data import Segments
from pipelines.tasks.pretraining.masked_lm import NOTHING
from pipelines.tasks.pretraining.neighbor_counts import Neighbours
from pipelines.text import figures as text_figures
from pipelines.text.tokenizers import SPECIAL, WordPieces, shortened

# Of documents, the one in so many that the baseline is fitted on, the others being counted.
_HELD_OUT = 5
_MOST_TOKENS = 200_000
_MOST_MISTAKES = 12
_MARKED = 6


@keras.saving.register_keras_serializable(package="pipelines")
class DetectionLoss(keras.losses.Loss):
    """Binary cross-entropy of all real tokens, replaced or not (Clark et al. 2020, section 2).

    It compares the original tokens, int [batch, tokens], with logits and the tokens that they
    judge, stacked to float32 [batch, tokens, 2]; float32 holds integers up to 2 ** 24.
    """

    def __init__(self, weight: float = 50.0, **options) -> None:
        super().__init__(**options)
        self.weight = weight

    def call(self, y_true, y_pred):
        logits, replaced, real = _parts(y_true, y_pred)
        each = ops.softplus(logits) - logits * replaced
        return self.weight * ops.sum(each * real) / ops.maximum(ops.sum(real), 1.0)

    def get_config(self):
        return {**super().get_config(), "weight": self.weight}


@keras.saving.register_keras_serializable(package="pipelines")
class DetectionAUC(keras.metrics.AUC):
    """Area under the ROC curve, of all real tokens; reads what `DetectionLoss` reads."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        logits, replaced, real = _parts(y_true, y_pred)
        super().update_state(replaced, ops.sigmoid(logits), sample_weight=real)


def _parts(y_true, y_pred):
    """Returns logits, whether tokens are replaced, and whether they are real, float32 each."""
    original = ops.cast(y_true, "float32")
    replaced = ops.cast(y_pred[..., 1] != original, "float32")
    return y_pred[..., 0], replaced, ops.cast(original != NOTHING, "float32")


def with_given(data: Segments) -> Segments:
    """Returns the data with every example of validation and test twice, as said above.

    The column "given", bool [examples], tells those where tokens are put in already: they have no
    "mask_positions", and nothing to guess.
    """
    counts = masked_lm.neighbours_of(data)
    fixed, columns = {}, {}
    for number, split in enumerate(("validation", "test")):
        inputs, target = masked_lm.arrays(data, split)
        row, slot = np.nonzero(target["masked_lm"])
        place = inputs["mask_positions"][row, slot]
        left, right = (inputs["token_ids"][row, place + step] for step in (-1, 1))
        put_in = target["replaced_token"].copy()
        put_in[row, place] = counts.draw(left, right, np.random.default_rng(number))
        none = np.zeros_like(target["masked_lm"])
        given = {**inputs, "token_ids": put_in, "mask_positions": none}
        fixed[split] = tf.data.Dataset.from_tensor_slices(
            keras.tree.map_structure(
                _in_turns, (inputs, target), (given, {**target, "masked_lm": none})
            )
        )
        own = {name: np.repeat(column, 2) for name, column in data.columns[split].items()}
        columns[split] = {**own, "given": np.tile([False, True], len(none))}
    return replace(data, columns=columns, **fixed)


def _in_turns(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.stack([one, other], axis=1).reshape(2 * len(one), *one.shape[1:])


def scores(predictions: Predictions, plain: np.ndarray) -> Scores:
    """Scores how replaced tokens are told.

    Args:
        predictions: Examples "replaced_token", the original tokens, and "given"; answers
            "replaced", a probability, and "judged", the tokens that it is about; all but "given"
            [examples, tokens].
        plain: bool [vocabulary], the tokens that count: not [CLS] and its like.

    Returns:
        replaced_token_auc, _f1 and _accuracy of what was put in for all runs alike; own_auc of
        what the run's own generator put in, and own_share, how much of the text that is.
    """
    original, judged = predictions.examples["replaced_token"], predictions.predicted["judged"]
    chance, counted = predictions.predicted["replaced"], plain[original]
    found: Scores = {}
    for own in (False, True):
        rows = counted & (predictions.examples["given"] != own)[:, np.newaxis]
        truth, told = (judged != original)[rows], chance[rows]
        if not truth.any() or truth.all():  # What a baseline is not asked.
            continue
        auc = float(roc_auc_score(truth, told))
        if own:
            found |= {"own_auc": auc, "own_share": float(truth.mean())}
        else:
            found |= {
                "replaced_token_auc": auc,
                "replaced_token_f1": float(f1_score(truth, told > 0.5, zero_division=0)),
                "replaced_token_accuracy": float((truth == (told > 0.5)).mean()),
            }
    return found


def by_surprise(data: Segments, plain: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Fits logistic regression to how usual a token is by itself and beside its neighbours.

    Most of the training documents are counted; in the others tokens are replaced as in validation
    and test, and the regression tells them.

    Returns:
        A function from int [texts, tokens] to probabilities that tokens are replaced.
    """
    tokens, random = data.tokens["train"], np.random.default_rng(0)
    documents = [tokens.ids[slice(*tokens.within(n)[[0, -1]])] for n in range(tokens.count)]
    size = len(plain)
    counted = [ids for n, ids in enumerate(documents) if n % _HELD_OUT] or documents
    counts = Neighbours(np.concatenate(counted), size)
    held_out = np.concatenate(documents[::_HELD_OUT])[:_MOST_TOKENS]
    place = np.flatnonzero(random.random(len(held_out) - 2) < 0.15) + 1
    drawn = masked_lm.neighbours_of(data).draw(held_out[place - 1], held_out[place + 1], random)
    put_in = held_out.copy()
    put_in[place] = drawn
    if (put_in == held_out).all():
        return lambda ids: np.zeros(ids.shape)
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    regression.fit(_surprise(counts, put_in[np.newaxis]), put_in != held_out)
    return lambda ids: regression.predict_proba(_surprise(counts, ids))[:, 1].reshape(ids.shape)


def _surprise(counts: Neighbours, ids: np.ndarray) -> np.ndarray:
    """Returns features of int [texts, tokens], float64 [texts * tokens, features]."""
    padded = np.pad(ids, [(0, 0), (1, 1)])
    return counts.features(padded[:, :-2].ravel(), ids.ravel(), padded[:, 2:].ravel())


def mistakes(data: Segments, test: Predictions, plain: np.ndarray) -> Figure:
    """Draws the texts that the detector is most wrong about, with the tokens that misled it."""
    original, judged = test.examples["replaced_token"], test.predicted["judged"]
    truth, vocabulary = judged != original, data.tokenizer.vocabulary
    counted = plain[original] & test.examples["given"][:, np.newaxis]
    gap = np.where(counted, np.abs(truth - test.predicted["replaced"]), 0)
    worst = np.argsort(-np.sort(gap, axis=1)[:, -_MARKED:].mean(1), kind="stable")
    shown, captions = [], []
    for row in worst[:_MOST_MISTAKES]:
        places = [int(place) for place in np.argsort(-gap[row])[:_MARKED] if gap[row, place] > 0.5]
        marked = {}
        for place in places:
            word = vocabulary[judged[row, place]]
            instead = f" for {vocabulary[original[row, place]]}" if truth[row, place] else ""
            marked[place] = f"[{word}{instead} {test.predicted['replaced'][row, place]:.2f}]"
        length = len(test.examples["original"][row])
        shown.append(masked_lm.spelled(vocabulary, judged[row, :length], instead=marked))
        captions.append(f"{len(places)} marked: probability of being replaced")
    return text_figures.texts(
        shown, captions, title="Texts of the test split with the worst mistakes"
    )


def words(
    tokenizer: WordPieces, text: tf.Tensor
) -> tuple[dict[str, tf.RaggedTensor], tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
    """Turns strings [batch] into inputs, and tells which words these are of.

    Returns:
        The inputs; the number of the word that each token between [CLS] and [SEP] is of, int64
        [batch, tokens], counted through the batch; and where in its text each word starts and
        ends, int64 bytes [batch, words].
    """
    pieces, starts, ends = tokenizer.words(text)
    tokens = pieces.merge_dims(1, 2)
    inputs = tokenizer.pack(tokens)
    word = tokens.with_values(pieces.values.value_rowids())
    return inputs, shortened(word, inputs["token_ids"].row_lengths() - 2), starts, ends


def of_words(
    text: tf.Tensor,
    replaced: tf.Tensor,
    word: tf.RaggedTensor,
    starts: tf.RaggedTensor,
    ends: tf.RaggedTensor,
) -> dict[str, tf.Tensor]:
    """Turns probabilities of tokens, [batch, tokens], into those of words: the largest of theirs.

    The other arguments are what `words` takes and returns.

    Returns:
        "words" string, "replaced" float32, "starts" and "ends" int64, each [batch, words] without
        the words that were cut off; short rows end with "", 0, -1 and -1.
    """
    chance = tf.RaggedTensor.from_tensor(replaced[:, 1:], lengths=word.row_lengths())
    largest = tf.math.unsorted_segment_max(
        chance.flat_values, word.flat_values, tf.size(starts.flat_values)
    )
    # Of a word without tokens it is the least of all numbers.
    read = starts.with_flat_values(largest >= 0)
    starts, ends, largest = (
        tf.ragged.boolean_mask(x, read) for x in (starts, ends, starts.with_flat_values(largest))
    )
    own = tf.gather(text, starts.value_rowids())
    spelled = tf.strings.substr(own, starts.flat_values, ends.flat_values - starts.flat_values)
    return {
        "words": starts.with_flat_values(spelled).to_tensor(),
        "replaced": largest.to_tensor(),
        "starts": starts.to_tensor(-1),
        "ends": ends.to_tensor(-1),
    }


def of_words_by_hand(
    tokenizer: WordPieces, text: list[str], replaced: np.ndarray
) -> dict[str, np.ndarray]:
    """Returns the same as `of_words`, worked out word by word in Python."""
    pieces, starts, ends = (x.to_list() for x in tokenizer.words(tf.constant(text)))
    rows = []
    for number, tokens in enumerate(pieces):
        row, place = [], 1
        for own, start, end in zip(tokens, starts[number], ends[number], strict=True):
            within = replaced[number, place : min(place + len(own), tokenizer.max_length - 1)]
            if len(within):
                row.append((text[number].encode()[start:end], within.max(), start, end))
            place += len(own)
        rows.append(row)
    padding = [(b"", 0.0, -1, -1)]
    longest = max(map(len, rows))
    every = [row + padding * (longest - len(row)) for row in rows]
    kinds = {"words": object, "replaced": np.float32, "starts": np.int64, "ends": np.int64}
    return {
        name: np.array([[word[part] for word in row] for row in every], kind)
        for part, (name, kind) in enumerate(kinds.items())
    }


def plain_tokens(vocabulary) -> np.ndarray:
    """Returns which tokens of a vocabulary are none of [CLS] and its like, bool [vocabulary]."""
    return np.array([token not in SPECIAL for token in vocabulary])
