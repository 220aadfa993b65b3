"""Beam search in the graph, over a cached step of a network that writes one token at a time.

Wu et al., "Google's Neural Machine Translation System", 2016, section 7: of all beginnings, the
most probable `beams` are kept ("alive"); any of them may end at every step, and of those that ended
the best `beams` are kept apart ("finished"). A finished text is worth its log-probability divided
by ((5 + tokens) / 6) ** alpha, its end token counted among them; alpha 0 compares plain
log-probabilities, which favours short texts. The paper's coverage penalty is left out. Texts have a
token at least: with none, they are often the most probable of all (Stahlberg & Byrne 2019).

keras_hub's `BeamSampler` goes on writing behind the end token, and knows no length.

A search is settled as soon as every finished text is worth more than what the best beginning would
be, did it end there: what could still come is very unlikely to be better. Nothing is added to it
then, so a text's translation does not depend on the others in its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

# The log-probability of what does not exist.
NEVER = -1e9


@dataclass(frozen=True)
class Beam:
    """How texts are written.

    Attributes:
        beams: Beginnings that are kept; 1 is greedy search.
        length: Tokens of a text at most, its end included; 2 at least.
        alpha: Strength of the length penalty.
        start: Id of the token that texts begin with.
        end: Id of the token that texts end with.
        banned: Ids of tokens that are not written.
    """

    beams: int
    length: int
    alpha: float
    start: int
    end: int
    banned: Sequence[int] = ()


def penalty(tokens: Any, alpha: float) -> Any:
    """Returns what the log-probability of so many tokens is divided by."""
    return ((5.0 + tokens) / 6.0) ** alpha


def search(
    step: Callable, cache: Any, batch: tf.Tensor, choice: Beam
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Writes the most probable texts.

    Args:
        step: A function as keras_hub's samplers call it: from (prompt, cache, index), where prompt
            is int32 [rows, length + 1], to (logits [rows, vocabulary] of the token at index, …, the
            cache after it).
        cache: What the first step needs: tensors [batch, ...] in a nested structure.
        batch: Number of texts, int32 [].
        choice: How they are written.

    Returns:
        The texts' tokens, int32 [batch, beams, length], best first, with zeros behind their end;
        what they are worth, float32 [batch, beams]; and the smallest difference between a kept
        and a discarded text that decided, float32 [batch]: where rounding is larger than it,
        another computation may find other texts.
    """
    beams, length, end = choice.beams, choice.length, choice.end

    def flat(x: tf.Tensor) -> tf.Tensor:
        return tf.reshape(x, tf.concat([[batch * beams], tf.shape(x)[2:]], 0))

    def body(index, settled, tokens, alive, finished_tokens, finished, margin, cache):
        logits, _, updated = step(flat(tokens), cache, index)
        vocabulary = logits.shape[-1]
        banned = tf.reduce_sum(tf.one_hot(list(choice.banned), vocabulary), 0) * NEVER
        chance = tf.nn.log_softmax(tf.cast(logits, tf.float32)) + banned
        chance = alive[..., tf.newaxis] + tf.reshape(chance, [batch, beams, vocabulary])

        divisor = penalty(tf.cast(index, tf.float32), choice.alpha)
        worth = chance[..., end] / divisor
        worth = tf.where(index > 1, worth, NEVER)
        ended = _written(tokens, index, tf.fill([batch, beams], end))
        all_worth = tf.concat([finished, worth], 1)
        all_tokens = tf.concat([finished_tokens, ended], 1)
        gap = _gap(tf.sort(all_worth, 1, "DESCENDING"), beams)
        new, best = tf.math.top_k(all_worth, beams)
        finished = tf.where(settled[:, tf.newaxis], finished, new)
        new_tokens = tf.gather(all_tokens, best, batch_dims=1)
        finished_tokens = tf.where(settled[:, tf.newaxis, tf.newaxis], finished_tokens, new_tokens)

        going_on = chance + tf.one_hot(end, vocabulary, on_value=NEVER, off_value=0.0)
        going_on = tf.reshape(going_on, [batch, beams * vocabulary])
        best_alive, place = tf.math.top_k(going_on, beams + 1)
        last = index == length
        gap = tf.minimum(gap, tf.where(last, -NEVER, _gap(best_alive, beams)))
        # Whether it is settled now is another decision.
        lead = finished[:, -1] - best_alive[:, 0] / divisor
        gap = tf.minimum(gap, tf.where(last, -NEVER, tf.abs(lead)))
        margin = tf.where(settled, margin, tf.minimum(margin, gap))
        settled = settled | (lead >= 0)
        alive, place = best_alive[:, :beams], place[:, :beams]
        beam = place // vocabulary
        tokens = tf.gather(tokens, beam, batch_dims=1)
        tokens = _written(tokens, index, place % vocabulary)
        row = flat(tf.range(batch)[:, tf.newaxis] * beams + beam)
        # What the step handed on as it was, such as the source, is the same in all beams of a text.
        cache = tf.nest.map_structure(
            lambda old, new: old if new is old else tf.gather(new, row), cache, updated
        )
        return index + 1, settled, tokens, alive, finished_tokens, finished, margin, cache

    def unsettled(index, settled, *_):
        return (index <= length) & ~tf.reduce_all(settled)

    nothing = tf.zeros([batch, beams, length + 1], tf.int32)
    # All beams begin alike: only the first of them counts.
    first = tf.one_hot(tf.zeros([batch], tf.int32), beams, on_value=0.0, off_value=NEVER)
    state = (
        tf.constant(1),
        tf.fill([batch], False),
        _written(nothing, tf.constant(0), tf.fill([batch, beams], choice.start)),
        first,
        nothing,
        tf.fill([batch, beams], NEVER),
        tf.fill([batch], -NEVER),
        tf.nest.map_structure(lambda x: tf.repeat(tf.convert_to_tensor(x), beams, 0), cache),
    )
    shapes = tf.nest.map_structure(lambda x: tf.TensorShape([None, *x.shape[1:]]), state[1:])
    *_, texts, worth, margin, _ = tf.while_loop(
        unsettled, body, state, (tf.TensorShape([]), *shapes)
    )
    order = worth[:, :-1] - worth[:, 1:] if beams > 1 else tf.fill([batch, 1], -NEVER)
    margin = tf.minimum(margin, tf.reduce_min(order, 1))
    return texts[:, :, 1:], worth, margin


def _written(tokens: tf.Tensor, index: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
    """Returns tokens [batch, beams, length + 1] with those at index, [batch, beams], exchanged."""
    here = tf.range(tf.shape(tokens)[2]) == index
    return tf.where(here, new[..., tf.newaxis], tokens)


def _gap(best: tf.Tensor, beams: int) -> tf.Tensor:
    """Returns by how much the last that is kept of [batch, more than beams] leads the next."""
    kept, dropped = best[:, beams - 1], best[:, beams]
    return tf.where(kept > NEVER / 2, kept - dropped, -NEVER)
