"""Signatures of tasks on text: one that takes strings, and one that takes token ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import tensorflow as tf

from pipelines.datasets.splitting import spread
from pipelines.export.signature import Signature
from pipelines.text.tokenizers import Tokenizer, dense

Outputs = dict[str, tf.Tensor]


def string_signature(
    name: str,
    function: Callable[..., Outputs],
    columns: Mapping[str, Sequence[str] | np.ndarray],
    expected: Mapping[str, np.ndarray],
    tokenizer: Tokenizer,
) -> Signature:
    """Returns a signature that takes strings, each [batch].

    Args:
        name: The signature's key.
        function: From the strings, in the order of `columns`, to outputs.
        columns: By the name of each input, texts to verify the signature with: str, or bytes.
        expected: The outputs for them, computed without the export.
        tokenizer: The tokenizer that `function` uses.
    """
    return Signature(
        name,
        function,
        {key: tf.TensorSpec([None], tf.string) for key in columns},
        {key: encode_strings(column) for key, column in columns.items()},
        dict(expected),
        resources=tokenizer.resources,
    )


def token_signature(
    name: str,
    function: Callable[[dict[str, tf.Tensor]], Outputs],
    inputs: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
) -> Signature:
    """Returns a signature that takes token ids, int32 [batch, tokens], and needs no TF-Text ops.

    Args:
        name: The signature's key.
        function: From the network's inputs to outputs.
        inputs: A batch of the inputs, by name, to verify the signature with.
        expected: The outputs for it, computed without the export.
    """
    names = list(inputs)

    # The export calls functions with positional arguments.
    def of_token_ids(*tensors: tf.Tensor) -> Outputs:
        given = zip(names, tensors, strict=True)
        return function({key: tf.ensure_shape(x, [None, None]) for key, x in given})

    specs = {key: tf.TensorSpec([None, None], tf.int32) for key in names}
    return Signature(name, of_token_ids, specs, dict(inputs), dict(expected))


def text_requests(
    columns: Mapping[str, Sequence[str] | np.ndarray], count: int
) -> dict[str, dict[str, np.ndarray]]:
    """Returns texts as clients send them to `serving_default`.

    Args:
        columns: By the name of each input, texts: str, or bytes.
        count: How many are taken, from all over them.
    """
    return {
        "serving_default": {
            name: encode_strings([column[i] for i in spread(len(column), count)])
            for name, column in columns.items()
        }
    }


def from_texts(
    function: Callable[[dict[str, tf.Tensor]], Outputs], tokenizer: Tokenizer
) -> Callable[..., Outputs]:
    """Returns `function`, which takes a batch of token ids, as a function of strings [batch]."""

    def of_texts(*texts: tf.Tensor) -> Outputs:
        return function(dense(tokenizer(*(tf.ensure_shape(text, [None]) for text in texts))))

    return of_texts


def as_default(signature: Signature) -> Signature:
    """Returns the same signature as the one that is called without a name."""
    return replace(signature, name="serving_default")


def encode_strings(texts: Sequence[str] | np.ndarray) -> np.ndarray:
    """Encodes str [texts] to UTF-8, an object array of bytes [texts]; bytes stay as they are."""
    return np.array([x.encode() if isinstance(x, str) else x for x in texts], object)
