"""Decoding: what a token costs that a language model generates.

A Transformer of two layers continues prompts of several lengths in the graph that is served, which
caches keys and values, and in one that computes the whole text again for each token. What a token
costs in addition is the difference between a long and a short continuation, so that reading the
prompt does not count; how it grows with the prompt is the exponent of a power law through all
lengths. The same graph is compared with the loop in Python that verifies it, and, greedily and by
sampling, with KerasHub's samplers on the same cached step; beam search likewise. The network is
untrained, and no text ends early. Costs are processor time of all threads.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.comparison import (
    Comparison,
    add_rounds,
    console,
    cpu_seconds,
    in_turns,
    quiet,
    rounds_of,
    show_and_log,
)

if TYPE_CHECKING:
    import keras

_PROMPTS = (16, 64, 256, 1024)
_SHORT, _LONG = 4, 36
_VOCABULARY, _CONTEXT = 1000, 1088
_BEAMS = 4
_GOAL = 1.0
_METHODS: Mapping[str, Mapping[str, float]] = {
    "greedy": {"temperature": 0.0},
    "sampling": {"temperature": 1.0, "top_p": 0.9},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the benchmark."""
    add_rounds(parser, "three rounds")


def run(options: argparse.Namespace) -> None:
    """Measures, prints the table and logs the run with MLflow.

    Raises:
        UserError: An option is out of its range, or the tracking store cannot be used.
    """
    show_and_log("decoding", "Decoding", vars(options), comparisons(options))


def comparisons(options: argparse.Namespace) -> list[Comparison]:
    """Returns what was measured."""
    rounds = rounds_of(options)
    quiet()
    import keras

    import architectures

    keras.utils.set_random_seed(0)
    model = architectures.build(
        "char_gpt_small", vocabulary=_VOCABULARY, max_length=_CONTEXT, layers=2, width=128, heads=4
    )
    found = []
    for each in (*_by_prompt(model, rounds), *_by_method(model, rounds), _beams(model, rounds)):
        console.print(f"{each.name}, {each.reference}: {each.ratio:.2f}")
        found.append(each)
    return found


def _by_prompt(model: keras.Model, rounds: int) -> Iterator[Comparison]:
    """Yields the costs of a token after prompts of several lengths, and how they grow."""
    served, again = _served(model), _recomputing(model)
    costs = []
    for size in _PROMPTS:
        own = [served(size, length, 0.0) for length in (_SHORT, _LONG)]
        other = [again(size, length) for length in (_SHORT, _LONG)]
        both = in_turns(rounds, partial(_additional, *own), partial(_additional, *other))
        costs.append(both[0])
        yield Comparison(f"cached, {size} tokens before", "recomputed", "ms a token", *both)
    exponents = [
        np.polyfit(np.log(_PROMPTS), np.log(column), 1)[0] for column in zip(*costs, strict=True)
    ]
    middle, low, high = np.median(exponents), min(exponents), max(exponents)
    growth = f"cost ~ length^{middle:.2f} ({low:.2f} … {high:.2f})"
    yield Comparison(
        f"cached, {_PROMPTS[-1]} tokens before: {growth}",
        f"{_PROMPTS[0]} before",
        "ms a token",
        costs[-1],
        costs[0],
    )


def _by_method(model: keras.Model, rounds: int) -> Iterator[Comparison]:
    """Yields the served graph beside the loop in Python and beside KerasHub's samplers."""
    import keras_hub

    from pipelines.text import plain_generation

    served, prompt, length = _served(model), _PROMPTS[0], _LONG
    samplers = {
        "greedy": keras_hub.samplers.GreedySampler(),
        "sampling": keras_hub.samplers.TopPSampler(p=0.9, k=_VOCABULARY, seed=0),
    }
    for name, chosen in _METHODS.items():
        parameters = {"length": length, "top_k": 0, "top_p": 1.0, "seed": 0, **chosen}
        references: dict[str, Callable[[], Any]] = {
            "Python loop": partial(
                plain_generation.generate,
                model,
                [_prompt(prompt).tolist()],
                [parameters],
                _CONTEXT,
                _ids(),
            ),
            "keras_hub": _sampler(model, samplers[name], prompt, length),
        }
        own = partial(_per_token, served(prompt, length, chosen["temperature"]), length)
        for reference, other in references.items():
            costs = in_turns(rounds, own, partial(_per_token, other, length))
            yield Comparison(name, reference, "ms a token", *costs, goal=_GOAL)


def _beams(model: keras.Model, rounds: int) -> Comparison:
    """Returns beam search beside KerasHub's, both of the same cached step."""
    import keras_hub
    import tensorflow as tf

    from architectures import decoder
    from pipelines.text.beam_search import Beam, search

    end, length = _ids().end, _LONG
    options = Beam(_BEAMS, length, alpha=1.0, start=end, end=end, banned=(end,))

    @tf.function
    def own() -> Any:
        text = tf.fill([1, length + 1], end)
        return search(decoder.next_token(model), decoder.prefill(model, text), 1, options)[0]

    other = _sampler(model, keras_hub.samplers.BeamSampler(_BEAMS), 1, length)
    costs = in_turns(rounds, partial(_per_token, own, length), partial(_per_token, other, length))
    return Comparison(f"beam search, {_BEAMS} beams", "keras_hub", "ms a token", *costs, goal=_GOAL)


def _ids() -> Any:
    """Returns special tokens, none of which ends a text: the network would at some time."""
    from pipelines.text.reversible import PAD, SpecialIds

    return SpecialIds(end=2, padding=PAD, unknown=1, banned=(PAD, 1, 2))


def _prompt(size: int) -> np.ndarray:
    """Returns a prompt that has `size` tokens together with the one before each text."""
    return np.random.default_rng(0).integers(3, _VOCABULARY, size - 1).astype(np.int32)


def _served(model: keras.Model) -> Callable[[int, int, float], Callable[[], Any]]:
    """Returns what makes a function that continues a prompt in the graph that is served."""
    import tensorflow as tf

    from pipelines.text import generation

    graph = generation.graph(model, _CONTEXT, _ids())

    def continuing(size: int, length: int, temperature: float) -> Callable[[], Any]:
        chosen = generation.parameters(1, length=length, temperature=temperature, top_p=0.9)
        return partial(graph, tf.RaggedTensor.from_tensor(_prompt(size)[None]), chosen)

    return continuing


def _recomputing(model: keras.Model) -> Callable[[int, int], Callable[[], Any]]:
    """Returns the same, greedily, where the whole text is read again for each token."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([1, None], tf.int32), tf.TensorSpec([], tf.int32)])
    def graph(text: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        def extend(index: tf.Tensor, text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            inputs = {"token_ids": text, "padding_mask": tf.ones_like(text)}
            token = tf.argmax(model(inputs, training=False)[:, -1], -1, tf.int32)
            return index + 1, tf.concat([text, token[:, tf.newaxis]], 1)

        shapes = (tf.TensorShape([]), tf.TensorShape([1, None]))
        return tf.while_loop(lambda index, _: index < length, extend, (0, text), shapes)[1]

    def continuing(size: int, length: int) -> Callable[[], Any]:
        return partial(graph, tf.constant([[2, *_prompt(size)]]), tf.constant(length))

    return continuing


def _sampler(model: keras.Model, sampler: Any, size: int, length: int) -> Callable[[], Any]:
    """Returns a function that continues a prompt by a sampler of KerasHub."""
    import tensorflow as tf

    from architectures import decoder

    prompt = np.zeros((1, size + length), np.int32)
    prompt[0, :size] = [2, *_prompt(size)]

    @tf.function
    def graph(text: tf.Tensor) -> tf.Tensor:
        cache = decoder.prefill(model, text)
        return sampler(decoder.next_token(model), text, cache, index=size, model=model)

    return partial(graph, tf.constant(prompt))


def _additional(short: Callable[[], Any], long: Callable[[], Any]) -> float:
    """Returns milliseconds for each token that a long continuation has more than a short one."""
    return 1000 * (cpu_seconds(long) - cpu_seconds(short)) / (_LONG - _SHORT)


def _per_token(generate: Callable[[], Any], tokens: int) -> float:
    """Returns milliseconds for each of `tokens` that are generated."""
    return 1000 * cpu_seconds(generate) / tokens
