"""Examples of image data sets: the images that are read, and their files."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipelines.image.examples import encode_png, first_images, images_at

IMAGES = np.arange(6 * 2 * 3, dtype=np.uint8).reshape(6, 2, 3, 1)
EXAMPLES = tf.data.Dataset.from_tensor_slices((IMAGES, np.arange(6)))


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (6, 6), (9, 6)])
def test_the_first_images_are_in_the_order_of_the_examples(count, expected):
    np.testing.assert_array_equal(first_images(EXAMPLES, count), IMAGES[:expected])


def test_images_come_in_the_order_of_their_indices():
    images = images_at(EXAMPLES, np.array([4, 0, 3, 0]))
    np.testing.assert_array_equal(np.stack(images), IMAGES[[4, 0, 3, 0]])
    assert images_at(EXAMPLES, np.array([], int)) == []


def test_png_files_decode_to_the_images():
    files = encode_png(IMAGES)
    assert files.dtype == object
    for file, image in zip(files, IMAGES, strict=True):
        np.testing.assert_array_equal(tf.io.decode_png(file), image)
