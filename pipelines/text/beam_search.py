"""Beam search in the graph, over a cached step of a network that generates token by token.

Wu et al., "Google's Neural Machine Translation System", 2016, section 7: the `beams` most probable
hypotheses are kept ("alive"); each of them may end at every step, and the best `beams` of those
that ended are kept separately ("finished"). The score of a finished text is its log-probability
divided by ((5 + tokens) / 6) ** alpha, its end token included; alpha 0 compares plain
log-probabilities, which favors short texts. The paper's coverage penalty is left out. Texts have at
least one token: the empty text is often the most probable of all (Stahlberg & Byrne 2019).

keras_hub's `BeamSampler` continues after the end token, and has no length penalty.

A search is settled as soon as the score of every finished text is above that of the best
hypothesis, if it ended there: what could still come is very unlikely to be better. Nothing is added
after that, so a text's translation does not depend on the others in its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

# The log-probability of what cannot occur.
NEVER = -1e9


@dataclass(frozen=True)
class Beam:
    """Options of a beam search.

    Attributes:
        beams: Beam width; 1 is greedy search.
        length: Maximum number of tokens of a text, its end included; at least 2.
        alpha: Exponent of the length penalty.
        start: Id of the token that texts begin with.
        end: Id of the token that texts end with.
        banned: Ids of tokens that are not generated.
    """

    beams: int
    length: int
    alpha: float
    start: int
    end: int
    banned: Sequence[int] = ()


def penalty(tokens: Any, alpha: float) -> Any:
    """Returns the divisor of the log-probability of a text with this number of tokens."""
    return ((5.0 + tokens) / 6.0) ** alpha


def search(
    step: Callable[..., Any], cache: Any, batch: tf.Tensor, options: Beam
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Generates the most probable texts.

    Args:
        step: A function as keras_hub's samplers call it: from (prompt, cache, index), where prompt
            is int32 [rows, length + 1], to (logits [rows, vocabulary] of the token at index, …, the
            cache after it).
        cache: What the first step needs: tensors [batch, ...] in a nested structure.
        batch: Number of texts, int32 [].
        options: The options.

    Returns:
        The texts' tokens, int32 [batch, beams, length], best first, with zeros after their end;
        their scores, float32 [batch, beams]; and the margin, float32 [batch]: the smallest
        difference between scores that decided which text to keep. Where rounding errors are larger,
        another computation may find other texts.
    """
    beams, length, end = options.beams, options.length, options.end

    def flat(x: tf.Tensor) -> tf.Tensor:
        return tf.reshape(x, tf.concat([[batch * beams], tf.shape(x)[2:]], 0))

    def body(
        index: tf.Tensor,
        settled: tf.Tensor,
        tokens: tf.Tensor,
        alive: tf.Tensor,
        finished_tokens: tf.Tensor,
        finished: tf.Tensor,
        margin: tf.Tensor,
        cache: Any,
    ) -> tuple[Any, ...]:
        logits, _, updated = step(flat(tokens), cache, index)
        vocabulary = logits.shape[-1]
        banned = tf.reduce_sum(tf.one_hot(list(options.banned), vocabulary), 0) * NEVER
        log_probs = tf.nn.log_softmax(tf.cast(logits, tf.float32)) + banned
        log_probs = alive[..., tf.newaxis] + tf.reshape(log_probs, [batch, beams, vocabulary])

        divisor = penalty(tf.cast(index, tf.float32), options.alpha)
        scores = log_probs[..., end] / divisor
        scores = tf.where(index > 1, scores, NEVER)
        ended = _with_token(tokens, index, tf.fill([batch, beams], end))
        all_scores = tf.concat([finished, scores], 1)
        all_tokens = tf.concat([finished_tokens, ended], 1)
        gap = _gap(tf.sort(all_scores, 1, "DESCENDING"), beams)
        new, best = tf.math.top_k(all_scores, beams)
        finished = tf.where(settled[:, tf.newaxis], finished, new)
        new_tokens = tf.gather(all_tokens, best, batch_dims=1)
        finished_tokens = tf.where(settled[:, tf.newaxis, tf.newaxis], finished_tokens, new_tokens)

        continued = log_probs + tf.one_hot(end, vocabulary, on_value=NEVER, off_value=0.0)
        continued = tf.reshape(continued, [batch, beams * vocabulary])
        best_alive, place = tf.math.top_k(continued, beams + 1)
        last = index == length
        gap = tf.minimum(gap, tf.where(last, -NEVER, _gap(best_alive, beams)))
        # Whether the search is settled now is a decision, too.
        lead = finished[:, -1] - best_alive[:, 0] / divisor
        gap = tf.minimum(gap, tf.where(last, -NEVER, tf.abs(lead)))
        margin = tf.where(settled, margin, tf.minimum(margin, gap))
        settled = settled | (lead >= 0)
        alive, place = best_alive[:, :beams], place[:, :beams]
        beam = place // vocabulary
        tokens = tf.gather(tokens, beam, batch_dims=1)
        tokens = _with_token(tokens, index, place % vocabulary)
        row = flat(tf.range(batch)[:, tf.newaxis] * beams + beam)
        # What the step returns unchanged, such as the source, is the same in all beams of a text.
        cache = tf.nest.map_structure(
            lambda old, new: old if new is old else tf.gather(new, row), cache, updated
        )
        return index + 1, settled, tokens, alive, finished_tokens, finished, margin, cache

    def unsettled(index: tf.Tensor, settled: tf.Tensor, *_: Any) -> tf.Tensor:
        return (index <= length) & ~tf.reduce_all(settled)

    nothing = tf.zeros([batch, beams, length + 1], tf.int32)
    # All beams start the same: only the first of them counts.
    first = tf.one_hot(tf.zeros([batch], tf.int32), beams, on_value=0.0, off_value=NEVER)
    state = (
        tf.constant(1),
        tf.fill([batch], False),
        _with_token(nothing, tf.constant(0), tf.fill([batch, beams], options.start)),
        first,
        nothing,
        tf.fill([batch, beams], NEVER),
        tf.fill([batch], -NEVER),
        tf.nest.map_structure(lambda x: tf.repeat(tf.convert_to_tensor(x), beams, 0), cache),
    )
    shapes = tf.nest.map_structure(lambda x: tf.TensorShape([None, *x.shape[1:]]), state[1:])
    *_, texts, scores, margin, _ = tf.while_loop(
        unsettled, body, state, (tf.TensorShape([]), *shapes)
    )
    order = scores[:, :-1] - scores[:, 1:] if beams > 1 else tf.fill([batch, 1], -NEVER)
    margin = tf.minimum(margin, tf.reduce_min(order, 1))
    return texts[:, :, 1:], scores, margin


def _with_token(tokens: tf.Tensor, index: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
    """Returns tokens [batch, beams, length + 1] with `new`, [batch, beams], at `index`."""
    here = tf.range(tf.shape(tokens)[2]) == index
    return tf.where(here, new[..., tf.newaxis], tokens)


def _gap(best: tf.Tensor, beams: int) -> tf.Tensor:
    """Returns the difference of the last score that is kept and the next, of [batch, > beams]."""
    kept, dropped = best[:, beams - 1], best[:, beams]
    return tf.where(kept > NEVER / 2, kept - dropped, -NEVER)
