"""What is measured of images, texts, probabilities and other numbers."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image

from drift.quantities import frequent_words, measure


def encoded(image: Image.Image, kind: str) -> bytes:
    target = io.BytesIO()
    image.save(target, kind)
    return target.getvalue()


def strings(*values: bytes) -> np.ndarray:
    return np.array(values, object)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_have_brightness_and_contrast(channels):
    images = np.zeros((2, 8, 8, channels), np.uint8)
    images[1, :4] = 255
    found = measure({"images": images}, {})
    assert found["input images: brightness"].tolist() == [0, 0.5]
    assert found["input images: contrast"].tolist() == [0, 0.5]
    assert len(found) == 2


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP"])
def test_files_of_images_have_their_size_too(kind):
    files = strings(encoded(Image.new("RGB", (300, 200), "white"), kind))
    found = measure({"image_bytes": files}, {})
    assert found["input image_bytes: brightness"] == pytest.approx([1])
    assert found["input image_bytes: width"].tolist() == [300]
    assert found["input image_bytes: height"].tolist() == [200]


def test_what_is_transparent_is_white():
    found = measure({"f": strings(encoded(Image.new("RGBA", (4, 4)), "PNG"))}, {})
    assert found["input f: brightness"].tolist() == [1]


def test_an_image_of_any_size_has_the_same_brightness():
    small = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    large = small.repeat(8, 1).repeat(8, 2)
    one, other = (measure({"x": x}, {}) for x in (small, large))
    assert one["input x: brightness"] == pytest.approx(other["input x: brightness"], abs=0.01)
    assert one["input x: contrast"] == pytest.approx(other["input x: contrast"], abs=0.03)


def test_a_file_that_cannot_be_decoded_has_no_numbers():
    found = measure({"f": strings(b"\x89PNG and nothing else")}, {})
    assert all(math.isnan(value) for [value] in found.values())


def test_texts_have_a_length_and_words_that_are_rare():
    words = frequent_words(["The cat, the dog", "a cat: 7 times"], 2)
    assert words == ["the", "cat"]
    texts = strings(b"The CAT", "Das Kätzchen".encode(), b"the end", b"!")
    found = measure({"text": texts}, {}, words)
    assert found["input text: characters"].tolist() == [7, 12, 7, 1]
    assert found["input text: rare words"][:3].tolist() == [0, 1, 0.5]
    assert math.isnan(found["input text: rare words"][3])
    assert found["input text"][0] == "The CAT"
    assert "input text: rare words" not in measure({"text": texts}, {})


def test_answers_have_confidence_and_classes():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.4, 0.3, 0.3]], np.float32)
    pixels = np.broadcast_to(probabilities[:, None, None], (2, 4, 4, 3))
    found = measure(
        {"x": np.zeros(2)},
        {
            "p": probabilities,
            "pixels": pixels,
            "classes": strings(b"a", b"b"),
            "tags": np.array([[b"x", b""], [b"x", b"y"]], object),
            "mask": np.array([[[0, 1], [1, 1]], [[0, 0], [0, 0]]], np.uint8),
            "levels": np.zeros(9),  # Not of the batch.
        },
    )
    assert found["answer p: confidence"].tolist() == [0.7, 0.4]
    assert found["answer pixels: confidence"].tolist() == [0.7, 0.4]
    assert found["answer classes"].tolist() == ["a", "b"]
    assert found["answer tags: entries"].tolist() == [1, 2]
    assert found["answer mask: not zero"].tolist() == [3, 0]
    assert not any("levels" in name for name in found)


def test_numbers_have_mean_and_deviation_whatever_they_are_padded_to():
    rows = np.array([[1.0, 3.0, 0.0], [2.0, 2.0, 2.0]])
    padded = np.pad(rows, [(0, 0), (0, 5)])
    for history in (rows, padded):
        found = measure({"one": np.array([5.0, 1 / 3])}, {"history": history})
        assert found["answer history: mean"].tolist() == [2, 2]
        assert found["answer history: deviation"].tolist() == [1, 0]
        assert found["input one"].tolist() == [5, 0.333333]
    assert "input x: mean" in measure({"x": np.ones((2, 17))}, {})


def test_columns_have_a_mean_each():
    found = measure({"x": np.arange(12.0).reshape(2, 3, 2)}, {})
    assert found["input x: column 0"].tolist() == [2, 8]
    assert found["input x: column 1"].tolist() == [3, 9]


def test_few_inputs_are_features():
    found = measure({"x": np.arange(6.0).reshape(2, 3)}, {})
    assert found["input x: column 2"].tolist() == [2, 5]
    assert len(found) == 3
