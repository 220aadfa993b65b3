"""Hidden words: guesses, their scores, what guesses without a network, and the entry for texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from pipelines import figures
from pipelines.predictions import Predictions, Scores
from pipelines.tasks.pretraining.data import Segments
from pipelines.tasks.pretraining.masking import MASK, split_masked
from pipelines.tasks.pretraining.neighbor_counts import Neighbours
from pipelines.text import figures as text_figures
from pipelines.text.tokenizers import WordPieces

# Where rows of hidden tokens end: token 0 is padding, which is never hidden.
NOTHING = 0
# How many guesses the entries for texts and token ids answer for each [MASK].
GUESSES = 5
# Two probabilities nearer to each other than that may change places in another process.
_CLEAR = 1e-4
_CONTEXT = 12
_MOST_MISTAKES = 12


def loss() -> keras.Loss:
    """Returns the mean cross-entropy of the hidden tokens, int [batch, places]."""
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=NOTHING)


@keras.saving.register_keras_serializable(package="pipelines")
class GuessAccuracy(keras.metrics.Mean):
    """Share of the hidden tokens, int [batch, places], that are guessed."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true = keras.ops.cast(y_true, "int32")
        right = keras.ops.cast(keras.ops.argmax(y_pred, -1), "int32") == y_true
        super().update_state(right, sample_weight=y_true != NOTHING)


def guesses(logits: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the most probable token at each place, int32 [batch, places]."""
    return {"guess": tf.argmax(logits, -1, output_type=tf.int32)}


def assessed(logits: tf.Tensor, hidden: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the guesses with their probabilities, and log p of the hidden tokens themselves."""
    chance = tf.nn.log_softmax(logits)
    return {
        **guesses(logits),
        "score": tf.exp(tf.reduce_max(chance, -1)),
        "log_probability": tf.gather(chance, hidden, batch_dims=2),
    }


def scores(predictions: Predictions) -> Scores:
    """Scores "guess" and "log_probability" against "masked_lm", all [examples, places].

    Returns:
        masked_lm_accuracy; masked_lm_perplexity: exp of the mean of -log p over the hidden tokens,
        with all of an example hidden at once.
    """
    hidden = predictions.examples["masked_lm"]
    real = hidden != NOTHING
    right = predictions.predicted["guess"][real] == hidden[real]
    surprise = -predictions.predicted["log_probability"][real].mean(dtype=np.float64)
    return {
        "masked_lm_accuracy": float(right.mean()),
        "masked_lm_perplexity": float(np.exp(surprise)),
    }


def most_frequent(data: Segments) -> Callable[[str], dict[str, np.ndarray]]:
    """Guesses the most frequent token of the training split at every place of a split."""
    share = neighbours_of(data).share

    def answer(split: str) -> dict[str, np.ndarray]:
        _, target = arrays(data, split)
        hidden = target["masked_lm"]
        return {
            "guess": np.full_like(hidden, share.argmax()),
            "log_probability": np.log(share)[hidden],
        }

    return answer


def as_shown(data: Segments) -> Callable[[str], dict[str, np.ndarray]]:
    """Guesses what is shown in a hidden token's place, and the most frequent behind [MASK].

    As many of the shown tokens are the true ones as are random; so a token that has the share p of
    the text is true with the probability p / (p + 1 / vocabulary). It reads no context.
    """
    share = neighbours_of(data).share
    mask = data.tokenizer.vocabulary.index(MASK)

    def answer(split: str) -> dict[str, np.ndarray]:
        inputs, target = arrays(data, split)
        hidden = target["masked_lm"]
        shown = np.take_along_axis(inputs["token_ids"], inputs["mask_positions"], axis=1)
        true = np.where(shown == mask, 0.0, share[shown] / (share[shown] + 1 / len(share)))
        chance = (1 - true) * share[hidden] + true * (hidden == shown)
        guess = np.where(true > share.max(), shown, share.argmax())
        return {"guess": guess, "log_probability": np.log(chance)}

    return answer


def between_neighbours(data: Segments) -> Callable[[str], dict[str, np.ndarray]]:
    """Guesses each token of a split from the two beside it, by counts of the training split."""
    counts = neighbours_of(data)

    def answer(split: str) -> dict[str, np.ndarray]:
        inputs, target = arrays(data, split)
        hidden, ids = target["masked_lm"], inputs["token_ids"]
        row, slot = np.nonzero(hidden)
        place = inputs["mask_positions"][row, slot]
        guess, chance = np.zeros_like(hidden), np.zeros(hidden.shape, np.float32)
        done = 0
        for every in counts.log_probabilities(ids[row, place - 1], ids[row, place + 1]):
            own = row[done : done + len(every)], slot[done : done + len(every)]
            guess[own] = every.argmax(1)
            chance[own] = every[np.arange(len(every)), hidden[own]]
            done += len(every)
        return {"guess": guess, "log_probability": chance}

    return answer


def neighbours_of(data: Segments) -> Neighbours:
    """Counts the training split."""
    return Neighbours(data.tokens["train"].ids, len(data.tokenizer.vocabulary))


def arrays(data: Segments, split: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Returns the masked inputs and the targets of validation or test as whole arrays."""
    ((inputs, target),) = getattr(data, split).batch(data.sizes[split]).as_numpy_iterator()
    return inputs, target


def best(logits: tf.Tensor, positions: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the most probable tokens at each place; zeros where the place is 0, padding.

    Returns:
        "guesses", int32, and "scores", float32, both [batch, places, GUESSES].
    """
    scores, ids = tf.math.top_k(tf.nn.softmax(logits), GUESSES)
    real = positions[..., tf.newaxis] > 0
    return {"guesses": tf.where(real, ids, 0), "scores": tf.where(real, scores, 0.0)}


def best_arrays(logits: np.ndarray, positions: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the same as `best`, worked out by NumPy."""
    chance = keras.ops.softmax(logits).numpy()
    ids = np.argsort(-chance, axis=-1, kind="stable")[..., :GUESSES].astype(np.int32)
    real = positions[..., np.newaxis] > 0
    scores = np.take_along_axis(chance, ids, -1)
    return {"guesses": np.where(real, ids, 0), "scores": np.where(real, scores, np.float32(0))}


def with_masks(
    tokenizer: WordPieces, text: tf.Tensor
) -> tuple[dict[str, tf.RaggedTensor], tf.RaggedTensor]:
    """Turns strings [batch] into inputs, and where in them [MASK] is, int32 [batch, masks]."""
    inputs = tokenizer.pack(split_masked(tokenizer, text))
    ids = inputs["token_ids"]
    places = tf.ragged.range(ids.row_lengths())
    masks = tf.ragged.boolean_mask(places, ids == tokenizer.vocabulary.index(MASK))
    return inputs, tf.cast(masks, tf.int32)


def to_fill(sentences: np.ndarray) -> np.ndarray:
    """Returns sentences, str [texts], with a word, or two, or none behind "[MASK]", in turns."""
    texts = []
    for number, sentence in enumerate(sentences):
        words = sentence.split()
        for turn in range(min((1, 2, 1, 0)[number % 4], len(words) - 1)):
            words[(turn + 1) * len(words) // 3] = MASK
        texts.append(" ".join(words))
    return np.array(texts, object)


def decided(logits: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Returns in which rows the order of the best is certain, bool [batch], at least in one."""
    chance = keras.ops.softmax(logits).numpy()
    top = -np.sort(-chance, axis=-1)[..., : GUESSES + 1]
    gaps = (top[..., :-1] - top[..., 1:]) / np.maximum(top[..., :-1], 1e-30)
    certain = ((gaps > _CLEAR).all(-1) | (positions == 0)).all(-1)
    certain[0] |= not certain.any()
    return certain


def by_frequency(data: Segments, test: Predictions) -> Figure:
    """Draws how often hidden tokens are guessed, by how often they occur in training."""
    counts = np.bincount(data.tokens["train"].ids, minlength=len(data.tokenizer.vocabulary))
    hidden = test.examples["masked_lm"]
    real = hidden != NOTHING
    right, often = (test.predicted["guess"] == hidden)[real], counts[hidden[real]]
    bars = {}
    for low, high in ((0, 10), (10, 100), (100, 1000), (1000, 10_000), (10_000, 0)):
        within = (low <= often) & ((often < high) | (high == 0))
        if within.any():
            name = f"{low} to {high - 1}" if high else f"{low} or more"
            bars[f"{name} ({within.sum()})"] = float(right[within].mean())
    title = "Guesses by how often a token is in training (tokens)"
    return figures.bars(bars, x_label="accuracy on test", title=title)


def mistakes(data: Segments, test: Predictions) -> Figure:
    """Draws the wrong guesses that the network is most certain of, and what is around them."""
    hidden, vocabulary = test.examples["masked_lm"], data.tokenizer.vocabulary
    inputs, _ = arrays(data, "test")
    row, slot = np.nonzero((hidden != NOTHING) & (test.predicted["guess"] != hidden))
    order = np.argsort(-test.predicted["score"][row, slot], kind="stable")[:_MOST_MISTAKES]
    shown, captions = [], []
    for one, other in zip(row[order], slot[order], strict=True):
        place = inputs["mask_positions"][one, other]
        tokens = test.examples["original"][one]
        around = range(max(1, place - _CONTEXT), min(len(tokens) - 1, place + _CONTEXT + 1))
        shown.append(spelled(vocabulary, tokens, around, {place: "____"}))
        true, guess = (vocabulary[x[one, other]] for x in (hidden, test.predicted["guess"]))
        truly = np.exp(test.predicted["log_probability"][one, other])
        certainty = test.predicted["score"][one, other]
        captions.append(f"{guess} {certainty:.2f}, true {true} {truly:.3f}")
    return text_figures.texts(
        shown, captions, title="Wrong guesses on the test split, the most certain first"
    )


def spelled(
    vocabulary: Sequence[str],
    tokens: np.ndarray,
    places: Sequence[int] | None = None,
    instead: Mapping[int, str] | None = None,
) -> str:
    """Returns tokens, int [tokens], as text: those at `places`, or all, or what is `instead`."""
    text = ""
    for place in range(len(tokens)) if places is None else places:
        word = vocabulary[tokens[place]]
        if instead and place in instead:
            text += f" {instead[place]}"
        else:
            text += word[2:] if word.startswith("##") else f" {word}"
    return text.strip()


def samples(model: Any, data: Segments, examples: int = 5) -> str:
    """Returns the first validation texts with what the network puts in place of hidden words."""
    inputs, target = arrays(data, "validation")
    rows = np.flatnonzero(target["masked_lm"].any(1))[:examples]
    given = {name: inputs[name][rows] for name in model.input}
    guess = keras.ops.argmax(model.predict_on_batch(given)["masked_lm"], -1)
    vocabulary, original = data.tokenizer.vocabulary, data.columns["validation"]["original"]
    texts = []
    for row, own in zip(rows, guess, strict=True):
        places, hidden = inputs["mask_positions"][row], target["masked_lm"][row]
        instead = dict(_guessed(vocabulary, places, np.asarray(own), hidden))
        texts.append(spelled(vocabulary, original[row], instead=instead))
    return "\n\n".join(texts)


def _guessed(
    vocabulary: Sequence[str], positions: np.ndarray, guess: np.ndarray, hidden: np.ndarray
) -> Iterator[tuple[int, str]]:
    for place, own, true in zip(positions, guess, hidden, strict=True):
        if true != NOTHING:
            right = own == true
            said = vocabulary[own] if right else f"{vocabulary[own]}, not {vocabulary[true]}"
            yield int(place), f"[{said}]"
