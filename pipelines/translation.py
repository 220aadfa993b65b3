"""Translation: how a network translates and learns to, what it is scored by, what it must beat."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import keras
import nltk
import numpy as np
import tensorflow as tf
from keras import ops
from sacrebleu.metrics import BLEU, CHRF
from sklearn.feature_extraction.text import TfidfVectorizer

from architectures import ARCHITECTURES, seq2seq, transformer
from pipelines import beam_search
from pipelines.beam_search import Beam
from pipelines.evaluation import Predictions, Scores
from pipelines.reversible import Reversible

# What translates, by its module: from a source to a cache, and from there token by token.
DECODERS: dict[str, ModuleType] = {"transformer": transformer, "seq2seq": seq2seq}

_BLEU, _CHRF = BLEU(force=True), CHRF()
# Beyond these, baselines would take longer than the network.
_MOST_PAIRS = 20_000
_ROUNDS = 10
_CHUNK = 512


@keras.saving.register_keras_serializable(package="pipelines")
class SmoothedCrossEntropy(keras.losses.Loss):
    """Cross-entropy with a share of each target's probability spread evenly over all tokens.

    Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2016, section 7.
    Losses, [batch, tokens], are averaged by their weights, so padding counts for nothing.

    Args:
        share: What is spread.
    """

    def __init__(self, share: float, name: str = "smoothed_cross_entropy", **options: Any) -> None:
        super().__init__(name=name, **{"reduction": "mean_with_sample_weight", **options})
        self.share = share

    def call(self, y_true, y_pred):
        chance = ops.log_softmax(y_pred, axis=-1)
        ids = ops.expand_dims(ops.cast(y_true, "int32"), -1)
        truth = ops.squeeze(ops.take_along_axis(chance, ids, axis=-1), -1)
        if not self.share:
            return -truth
        return -(1 - self.share) * truth - self.share * ops.mean(chance, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "share": self.share}


class ScheduledSampling(keras.Model):
    """Fits a network to go on after its own words, too, not only after the true ones.

    Bengio et al., "Scheduled Sampling for Sequence Prediction with Recurrent Neural Networks",
    2015, with a linear schedule, in two parallel passes (Mihaylova & Martins, "Scheduled Sampling
    for Transformers", 2019): the first reads the true words and draws one at each position; the
    second reads a mixture of both, and it alone is learned from.

    Args:
        network: A model of `transformer` or `seq2seq`.
        share: Share of target tokens that are drawn, in the end.
        steps: Updates over which it rises from zero.
        seed: Of what is drawn.
    """

    def __init__(self, network: keras.Model, share: float, steps: int, seed: int) -> None:
        super().__init__(name="scheduled_sampling")
        self.network, self.share, self.steps = network, share, steps
        self.random = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        if not training:
            return self.network(inputs, training=False)
        ids = inputs["target_ids"]
        logits = ops.stop_gradient(self.network(inputs, training=False))
        size, tokens = ops.shape(logits)[-1], ops.shape(ids)[1]
        drawn = keras.random.categorical(
            ops.reshape(logits, [-1, size]), 1, dtype="int32", seed=self.random
        )
        # What is drawn at a position stands at the next; the first is the start.
        own = ops.roll(ops.reshape(drawn, ops.shape(ids)), 1, axis=1)
        progress = ops.cast(self.optimizer.iterations, "float32") / self.steps
        chance = self.share * ops.minimum(progress, 1.0)
        chosen = keras.random.uniform(ops.shape(ids), seed=self.random) < chance
        mixed = ops.where(ops.logical_and(chosen, ops.arange(tokens) > 0), own, ids)
        return self.network({**inputs, "target_ids": mixed}, training=True)


def translates(architecture: str) -> bool:
    """Returns whether an architecture reads one text and writes another."""
    return ARCHITECTURES[architecture].builder.partition(":")[0] in DECODERS


def translator(
    model: keras.Model, choice: Beam
) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """Returns the function that translates token ids, with beam search and cached decoding.

    Args:
        model: A model of `transformer` or `seq2seq`.
        choice: How translations are written.

    Returns:
        A function from "source_ids" and "source_padding_mask", int32 [batch, tokens], to
        "token_ids", int32 [batch, beams, length], "scores" and "margin", as `beam_search.search`
        returns them.
    """
    decoder, step = DECODERS[model.name], DECODERS[model.name].next_token(model)

    def translate(ids: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        cache = decoder.encode(model, ids, mask, choice.length)
        tokens, worth, margin = beam_search.search(step, cache, tf.shape(ids)[0], choice)
        return {"token_ids": tokens, "scores": worth, "margin": margin}

    return translate


def in_words(tokenizer: Reversible, tokens: tf.Tensor) -> tf.Tensor:
    """Turns int32 [batch, beams, tokens] into strings [batch, beams]."""
    shape = tf.shape(tokens)
    texts = tokenizer.texts(tf.reshape(tokens, [-1, shape[2]]))
    return tf.ensure_shape(tf.reshape(texts, shape[:2]), [None, tokens.shape[1]])


def of_nothing(nothing: tf.Tensor, found: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Makes the translations of texts without words empty, and what they are worth 0.

    Args:
        nothing: Whether a text has no words, bool [batch].
        found: Translations, strings, and what they are worth, floats; each [batch, ...].
    """

    def emptied(x: tf.Tensor) -> tf.Tensor:
        rows = nothing if x.shape.rank == 1 else nothing[:, tf.newaxis]
        return tf.where(rows, "" if x.dtype == tf.string else 0.0, x)

    return {name: emptied(x) for name, x in found.items()}


def log_likelihood(model: keras.Model, inputs: dict[str, tf.Tensor], ids: tf.Tensor) -> tf.Tensor:
    """Returns the log-probability of each target given its source, float32 [batch].

    Args:
        model: A model of `transformer` or `seq2seq`.
        inputs: Its inputs; positions that their mask leaves out count for nothing.
        ids: What follows each target token, int32 [batch, tokens].
    """
    chance = tf.nn.sparse_softmax_cross_entropy_with_logits(ids, model(inputs, training=False))
    return -tf.reduce_sum(chance * tf.cast(inputs["target_padding_mask"], tf.float32), 1)


def scores(predictions: Predictions, *, symbols: bool) -> Scores:
    """Scores a "translation" of each example against its "target".

    Args:
        predictions: With "translation", bytes [examples]; from a network also with the
            "log_likelihood" of the target, that with a "shuffled" source, and "target_tokens".
        symbols: Whether targets are symbols with spaces between, as phones are.

    Returns:
        bleu and chrf, 0 to 100 (sacrebleu: Post 2018, Popović 2015); exact_match; with symbols
        token_error_rate, edits per symbol of the targets, which of phones is the phone error rate;
        from a network, perplexity per target token, with the true and with a shuffled source.
    """
    found = [text.decode() for text in predictions.answers["translation"]]
    pairs = list(zip(found, predictions.examples["target"], strict=True))
    bleu, chrf = (np.sum(counts, 0) for counts in zip(*(_counts(*p) for p in pairs), strict=True))
    values = {
        "bleu": _BLEU._compute_score_from_stats(bleu.tolist()).score,
        "chrf": _CHRF._compute_score_from_stats(chrf.tolist()).score,
        "exact_match": float(np.mean([translation == target for translation, target in pairs])),
    }
    if symbols:
        edits, symbols_of_targets = np.sum([_edits(*pair) for pair in pairs], 0)
        values["token_error_rate"] = float(edits / symbols_of_targets)
    if "log_likelihood" in predictions.answers:
        tokens = predictions.answers["target_tokens"].sum()
        for name, column in (("perplexity", "log_likelihood"), ("shuffled_perplexity", "shuffled")):
            values[name] = float(np.exp(-predictions.answers[column].sum() / tokens))
    return values


# The bootstrap asks for the same again and again. The sums of what sacrebleu counts in each text
# are all that it computes its scores from; it keeps them to itself, for its own bootstrap.
@functools.lru_cache(maxsize=1 << 17)
def _counts(translation: str, target: str) -> tuple[np.ndarray, np.ndarray]:
    counted = (
        metric._extract_corpus_statistics([translation], [[target]])[0] for metric in (_BLEU, _CHRF)
    )
    bleu, chrf = (np.array(counts) for counts in counted)
    return bleu, chrf


@functools.lru_cache(maxsize=1 << 17)
def _edits(translation: str, target: str) -> tuple[int, int]:
    symbols = target.split()
    return nltk.edit_distance(translation.split(), symbols), len(symbols)


def sentence_chrf(predictions: Predictions) -> np.ndarray:
    """Returns chrF of each translation, float [examples]."""
    pairs = zip(predictions.answers["translation"], predictions.examples["target"], strict=True)
    return np.array(
        [
            _CHRF._compute_score_from_stats(_counts(found.decode(), target)[1].tolist()).score
            for found, target in pairs
        ]
    )


def word_for_word(
    sources: Sequence[str], targets: Sequence[str], *, characters: bool
) -> Callable[[str], str]:
    """Learns a dictionary and replaces each word of a source by its most probable translation.

    IBM Model 1 (Brown et al. 1993) in ten rounds of expectation maximisation, over words without
    regard to case and with no word on the source's side standing for nothing. Unknown words,
    punctuation marks and initial capital letters stay. At most 20,000 pairs are used.

    Args:
        sources: Texts.
        targets: Their translations.
        characters: Whether each letter of a source is a word, and spaces separate targets.
    """
    unit = re.compile(r"\S" if characters else r"\w+")
    numbers: tuple[dict[str, int], dict[str, int]] = ({}, {})

    def number(side: int, words: list[str]) -> np.ndarray:
        table = numbers[side]
        return np.array([table.setdefault(word, len(table)) for word in words], np.int64)

    codes, groups, count = [], [], 0
    for source, target in zip(sources[:_MOST_PAIRS], targets[:_MOST_PAIRS], strict=True):
        own = number(0, unit.findall(source.lower()))
        other = number(1, target.split() if characters else unit.findall(target.lower()))
        if not len(own) or not len(other):
            continue
        codes.append((own[np.newaxis] << 32 | other[:, np.newaxis]).ravel())
        groups.append(np.repeat(np.arange(count, count + len(other)), len(own)))
        count += len(other)
    if not codes:
        return lambda source: source
    pairs, code = np.unique(np.concatenate(codes), return_inverse=True)
    word, group, chance = pairs >> 32, np.concatenate(groups), np.ones(len(pairs))
    for _ in range(_ROUNDS):
        aligned = chance[code] / np.bincount(group, chance[code])[group]
        expected = np.bincount(code, aligned)
        chance = expected / np.bincount(word, expected)[word]
    translations = list(numbers[1])
    order = np.lexsort((-chance, word))
    first = order[np.unique(word[order], return_index=True)[1]]
    best = {int(word[i]): translations[pairs[i] & 0xFFFFFFFF] for i in first}

    def replaced(found: re.Match[str]) -> str:
        own = found.group()
        other = best.get(numbers[0].get(own.lower(), -1), own)
        if characters:
            return f"{other} "
        return other.capitalize() if own[0].isupper() else other

    return lambda source: unit.sub(replaced, source).strip()


def nearest_neighbour(
    sources: Sequence[str], targets: Sequence[str], *, characters: bool
) -> Callable[[Sequence[str]], list[str]]:
    """Answers with the translation of the training source that is most like a source.

    Likeness is the cosine of TF-IDF vectors of words, or of one to four letters in a row.
    """
    if characters:
        vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True)
    else:
        vectorizer = TfidfVectorizer(token_pattern=r"\w+|[^\w\s]", sublinear_tf=True)
    known = vectorizer.fit_transform(sources).T.tocsc()

    def answer(asked: Sequence[str]) -> list[str]:
        found: list[str] = []
        for start in range(0, len(asked), _CHUNK):
            likeness = vectorizer.transform(asked[start : start + _CHUNK]) @ known
            found += [targets[i] for i in np.asarray(likeness.argmax(axis=1)).ravel()]
        return found

    return answer
