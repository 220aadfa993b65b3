"""Translation as it is served: from strings, or from token ids, to translations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

from pipelines.export.signature import Signature
from pipelines.tasks.translation import data as parallel_texts
from pipelines.tasks.translation import decoding as translation
from pipelines.tasks.translation.data import ParallelTexts
from pipelines.text.beam_search import Beam

# Texts that each signature is proven with.
_PROVEN = 64
# Each token of a translation adds its rounding to what the whole is worth. Translations closer than
# this are equal as far as proofs go.
_ROUNDING = 1e-4


def of_texts(
    model: keras.Model, data: ParallelTexts, choice: Beam
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Returns the function from strings [batch] to `translation.answers`.

    Of a text without words the translation is empty, and worth 0.
    """
    translate = translation.translator(model, choice)

    def of_texts(text: tf.Tensor) -> dict[str, tf.Tensor]:
        text = tf.ensure_shape(text, [None])
        inputs = parallel_texts.source_inputs(data.source_tokenizer, text, choice.length)
        found = translate(*(x.to_tensor() for x in inputs.values()))
        answers = translation.answers(found, data.target_tokenizer)
        return translation.of_nothing(inputs["source_ids"].row_lengths() == 1, answers)

    return of_texts


def signatures(
    model: keras.Model, data: ParallelTexts, choice: Beam, *, text: bool
) -> list[Signature]:
    """Returns the entries of the SavedModel.

    Args:
        model: The trained network.
        data: Its test split proves them.
        choice: How translations are written.
        text: Whether there is an entry for strings beside that for token ids.
    """
    translate = translation.translator(model, choice)
    sources = data.raw("test")["source"][:_PROVEN]
    ragged = parallel_texts.source_inputs(
        data.source_tokenizer, tf.constant(sources), choice.length
    )
    inputs = [x.to_tensor() for x in ragged.values()]
    found = tf.function(translate)(*inputs)
    # Where rounding could decide, nothing is proven.
    margin = found.pop("margin").numpy()
    clear = np.flatnonzero(margin > min(_ROUNDING, margin.max() / 2))
    found = {name: tf.gather(x, clear) for name, x in found.items()}

    def of_ids(token_ids: tf.Tensor, padding_mask: tf.Tensor) -> dict[str, tf.Tensor]:
        given = (tf.ensure_shape(x, [None, None]) for x in (token_ids, padding_mask))
        answer = translate(*given)
        return {"token_ids": answer["token_ids"], "scores": answer["scores"]}

    names = ("token_ids", "padding_mask")
    by_ids = Signature(
        "token_ids",
        of_ids,
        {name: tf.TensorSpec([None, None], tf.int32) for name in names},
        dict(zip(names, (x.numpy()[clear] for x in inputs), strict=True)),
        {name: x.numpy() for name, x in found.items()},
        relative=_ROUNDING,
        absolute=_ROUNDING,
    )
    if not text:
        return [replace(by_ids, name="serving_default")]
    answers = translation.answers(found, data.target_tokenizer)
    by_text = Signature(
        "serving_default",
        of_texts(model, data, choice),
        {"text": tf.TensorSpec([None], tf.string)},
        {"text": np.array([source.encode() for source in sources[clear]], object)},
        {name: x.numpy() for name, x in answers.items()},
        relative=_ROUNDING,
        absolute=_ROUNDING,
        resources=[*data.source_tokenizer.resources, *data.target_tokenizer.resources],
    )
    return [by_text, by_ids]
