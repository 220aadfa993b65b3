"""The signatures of a translation model: from strings, or from token ids, to translations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

from pipelines.datasets.columns import strings
from pipelines.export.signature import Signature
from pipelines.tasks.translation.data import ParallelTexts, source_inputs
from pipelines.tasks.translation.decoding import blank_where, translator
from pipelines.text.beam_search import Beam
from pipelines.text.beams import detokenize

# Number of verification examples.
_EXAMPLES = 64
# Each token of a translation adds a rounding error to its score. Scores closer than this are equal
# in verification.
_TIE_TOLERANCE = 1e-4


def text_translator(
    translate: Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]],
    data: ParallelTexts,
    options: Beam,
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Returns the function from strings [batch] to what `beams.detokenize` returns.

    The translation of a text without words is empty, with score 0.

    Args:
        translate: What `decoding.translator` returns.
        data: Its tokenizers.
        options: The options of beam search.
    """

    def translate_texts(text: tf.Tensor) -> dict[str, tf.Tensor]:
        text = tf.ensure_shape(text, [None])
        inputs = source_inputs(data.source_tokenizer, text, options.length)
        found = translate(*(x.to_tensor() for x in inputs.values()))
        texts = detokenize(found, data.target_tokenizer, "translation")
        return blank_where(inputs["source_ids"].row_lengths() == 1, texts)

    return translate_texts


def signatures(
    model: keras.Model, data: ParallelTexts, options: Beam, *, text: bool
) -> list[Signature]:
    """Returns the signatures of the SavedModel.

    Args:
        model: The trained network.
        data: The verification examples are from its test split.
        options: The options of beam search.
        text: Whether there is a signature for strings besides that for token ids.
    """
    translate = translator(model, options)
    sources = data.raw("test")["source"][:_EXAMPLES]
    ragged = source_inputs(data.source_tokenizer, strings(sources), options.length)
    inputs = [x.to_tensor() for x in ragged.values()]
    found = translate(*inputs)
    margin = found.pop("margin").numpy()
    unambiguous = np.flatnonzero(margin > min(_TIE_TOLERANCE, margin.max() / 2))
    found = {name: tf.gather(x, unambiguous) for name, x in found.items()}

    def translate_ids(token_ids: tf.Tensor, padding_mask: tf.Tensor) -> dict[str, tf.Tensor]:
        found = translate(*(tf.ensure_shape(x, [None, None]) for x in (token_ids, padding_mask)))
        return {"token_ids": found["token_ids"], "scores": found["scores"]}

    names = ("token_ids", "padding_mask")
    for_ids = Signature(
        "token_ids",
        translate_ids,
        {name: tf.TensorSpec([None, None], tf.int32) for name in names},
        dict(zip(names, (x.numpy()[unambiguous] for x in inputs), strict=True)),
        {name: x.numpy() for name, x in found.items()},
        relative=_TIE_TOLERANCE,
        absolute=_TIE_TOLERANCE,
    )
    if not text:
        return [replace(for_ids, name="serving_default")]
    texts = detokenize(found, data.target_tokenizer, "translation")
    for_texts = Signature(
        "serving_default",
        text_translator(translate, data, options),
        {"text": tf.TensorSpec([None], tf.string)},
        {"text": np.array([source.encode() for source in sources[unambiguous]], object)},
        {name: x.numpy() for name, x in texts.items()},
        relative=_TIE_TOLERANCE,
        absolute=_TIE_TOLERANCE,
        resources=[*data.source_tokenizer.resources, *data.target_tokenizer.resources],
    )
    return [for_texts, for_ids]
