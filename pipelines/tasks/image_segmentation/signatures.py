"""Signatures of semantic segmentation: masks for tensors and files, and overlays for files."""

from __future__ import annotations

import math

import keras
import numpy as np
import tensorflow as tf

from pipelines.export.signature import Signature
from pipelines.image import signatures as image_signatures
from pipelines.image.examples import encode_png, first_images
from pipelines.image.preprocessing import decode, scale
from pipelines.tasks.image_segmentation.data import SegmentedImages
from pipelines.tasks.image_segmentation.overlay import overlay_file, palette

# Verification takes at most so many images and probabilities.
_MAX_IMAGES = 32
_MAX_PROBABILITIES = 1 << 21
# Two probabilities closer than this are a tie.
TIE_TOLERANCE = 1e-4


def signatures(model: keras.Model, data: SegmentedImages) -> list[Signature]:
    """Returns `serving_default`, for uint8 tensors, and `image_bytes`, for encoded files.

    Both return "mask", uint8 [batch, height, width], and "probabilities", float32 [batch, height,
    width, classes]; `image_bytes` also "overlay_bytes", PNG strings [batch] of the files' own
    sizes.

    Args:
        model: The trained network, from images as `scale` returns them to logits.
        data: The data set, whose test images verify the signatures.
    """
    colors = palette(data.class_names)

    def predict(images: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = model(scale(images), training=False)
        return {"mask": most_probable(logits), "probabilities": tf.nn.softmax(logits)}

    def predict_files(encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        predicted = predict(decode(encoded, data.image_shape, data.preprocessing))
        overlays = tf.map_fn(
            lambda pair: overlay_file(pair[0], pair[1], colors),
            (encoded, predicted["mask"]),
            fn_output_signature=tf.string,
        )
        return predicted | {"overlay_bytes": overlays}

    images, logits = _verification_examples(model, data)
    encoded, mask = encode_png(images), logits.argmax(-1).astype(np.uint8)
    expected = {"mask": mask, "probabilities": keras.ops.softmax(logits).numpy()}
    overlays = [overlay_file(*pair, colors).numpy() for pair in zip(encoded, mask, strict=True)]
    return [
        image_signatures.of_tensors(predict, images, expected),
        image_signatures.of_files(
            predict_files, encoded, expected | {"overlay_bytes": np.array(overlays, object)}
        ),
    ]


def most_probable(logits: tf.Tensor) -> tf.Tensor:
    """Returns the most probable class of each pixel, uint8 [batch, height, width]."""
    return tf.cast(tf.argmax(logits, -1), tf.uint8)


def _verification_examples(
    model: keras.Model, data: SegmentedImages
) -> tuple[np.ndarray, np.ndarray]:
    """Returns test images and the network's logits for them.

    Masks are compared pixel by pixel, and where two classes are equally probable up to rounding,
    either is right. So the images are those without such a pixel; if there are none, the one whose
    closest two classes differ most.
    """
    count = _MAX_PROBABILITIES // math.prod((*data.image_shape[:2], len(data.class_names)))
    count = min(max(count, 1), _MAX_IMAGES)
    images = first_images(data.test, 4 * count)
    logits = model.predict(scale(tf.constant(images)), batch_size=count, verbose=0)
    two = np.partition(keras.ops.softmax(logits).numpy(), -2)[..., -2:]
    gap = (two[..., 1] - two[..., 0]).min((1, 2))
    order = np.argsort(-gap)[:count]
    unambiguous = order[gap[order] > TIE_TOLERANCE]
    chosen = unambiguous if len(unambiguous) else order[:1]
    return images[chosen], logits[chosen]
