"""The signatures of a captioner: from images as tensors or files to captions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

from pipelines.export.signature import Signature
from pipelines.image import signatures as image_signatures
from pipelines.image.examples import encode_png, first_images
from pipelines.image.preprocessing import decode, scale
from pipelines.tasks.image_captioning.data import CaptionedImages
from pipelines.tasks.image_captioning.decoding import captioner
from pipelines.text.beam_search import Beam
from pipelines.text.beams import detokenize

# Number of verification examples.
_EXAMPLES = 32
# Each token of a caption adds a rounding error to its score. Scores closer than this are equal in
# verification.
_TIE_TOLERANCE = 1e-4


def image_captioner(
    model: keras.Model, data: CaptionedImages, options: Beam
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Returns the function from uint8 images [batch, …] to what `beams.detokenize` returns."""
    caption = captioner(model, options)
    return lambda images: detokenize(caption(scale(images)), data.tokenizer, "caption")


def signatures(model: keras.Model, data: CaptionedImages, options: Beam) -> list[Signature]:
    """Returns `serving_default`, for uint8 tensors, `image_bytes`, for files, and `token_ids`.

    The first two return "caption" string and "score" float32 [batch], and "captions" and "scores"
    [batch, beams]; `token_ids`, for uint8 tensors, "token_ids" int32 [batch, beams, length] and
    "scores".

    Args:
        model: The trained network.
        data: The verification examples are from its test split.
        options: The options of beam search.
    """
    caption = captioner(model, options)
    images = first_images(data.alone("test"), _EXAMPLES)
    found = tf.function(caption)(scale(tf.constant(images)))
    margin = found.pop("margin").numpy()
    unambiguous = np.flatnonzero(margin > min(_TIE_TOLERANCE, margin.max() / 2))
    found = {name: tf.gather(x, unambiguous) for name, x in found.items()}
    images = images[unambiguous]
    texts = {name: x.numpy() for name, x in detokenize(found, data.tokenizer, "caption").items()}
    of_images = image_captioner(model, data, options)

    def of_files(encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        return of_images(decode(encoded, data.image_shape))

    def token_ids(images: tf.Tensor) -> dict[str, tf.Tensor]:
        found = caption(scale(tf.ensure_shape(images, [None, *data.image_shape])))
        return {"token_ids": found["token_ids"], "scores": found["scores"]}

    for_tensors = image_signatures.of_tensors(of_images, images, texts)
    every = [
        for_tensors,
        image_signatures.of_files(of_files, encode_png(images), texts),
        replace(
            for_tensors,
            name="token_ids",
            function=token_ids,
            expected={name: x.numpy() for name, x in found.items()},
        ),
    ]
    return [
        replace(
            signature,
            relative=_TIE_TOLERANCE,
            absolute=_TIE_TOLERANCE,
            resources=data.tokenizer.resources,
        )
        for signature in every
    ]
