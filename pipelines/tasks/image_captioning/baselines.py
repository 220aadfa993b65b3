"""Baselines of image captioning: captions of training images, chosen in four ways."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.preprocessing import normalize

from pipelines.baselines import Baseline, scored
from pipelines.datasets.dataset import SPLITS
from pipelines.predictions import Predictions
from pipelines.tasks.image_captioning.cider import words
from pipelines.tasks.image_captioning.data import CaptionedImages
from pipelines.tasks.image_captioning.metrics import reduce, scores

# With more images, baselines would take longer than the network.
_MAX_IMAGES = 10_000
_SIDE = 32  # Of thumbnails, in pixels.
_COMPONENTS = 100
_NEIGHBORS = 20
_CHUNK = 256

# From thumbnails, float32 [images, features], to captions.
Captioner = Callable[[np.ndarray], list[str]]


def baselines(data: CaptionedImages) -> list[Baseline]:
    """Returns the most frequent caption and three captions of similar images.

    They are the first caption of the nearest training image; the consensus of the nearest ones; and
    the training caption that a linear regression on the pixels finds.
    """
    images = {**data.images, "train": data.images["train"].take(_MAX_IMAGES)}
    seen = {split: thumbnails(images[split]) for split in SPLITS}
    known = [tuple(own) for own in data.raw("train")["references"][:_MAX_IMAGES]]
    train = seen["train"]
    vectorizer = TfidfVectorizer(analyzer=_grams, sublinear_tf=True)
    vectorizer.fit(caption for own in known for caption in own)
    captioners: dict[str, Captioner] = {
        "the most frequent caption": most_frequent(known),
        "the nearest image's caption": nearest(train, known),
        "the consensus of the nearest images": consensus(train, known, vectorizer),
        "linear regression to captions": regression(train, known, vectorizer),
    }

    def predict(captioner: Captioner, split: str) -> Predictions:
        found = [caption.encode() for caption in captioner(seen[split])]
        return Predictions(data.raw(split), {"caption": np.array(found, object)})

    return [
        scored(
            name,
            scores,
            functools.partial(predict, captioner),
            functools.partial(reduce, frequencies=data.frequencies),
        )
        for name, captioner in captioners.items()
    ]


def thumbnails(images: tf.data.Dataset) -> np.ndarray:
    """Returns images made small and flat, float32 0-1 [images, features].

    Args:
        images: uint8 [height, width, channels] examples.
    """

    def small(image: tf.Tensor) -> tf.Tensor:
        pixels = tf.cast(image, tf.float32) / 255
        size = [min(_SIDE, side) for side in image.shape[:2]]
        return tf.reshape(tf.image.resize(pixels, size, "area"), [-1])

    batches = images.map(small, num_parallel_calls=tf.data.AUTOTUNE)
    return np.concatenate(list(batches.batch(_CHUNK).as_numpy_iterator()))


def most_frequent(known: Sequence[Sequence[str]]) -> Captioner:
    """Returns the function that says the most frequent of all captions, whatever it sees."""
    counts = Counter(caption for own in known for caption in own)
    caption, _ = max(counts.items(), key=lambda one: (one[1], one[0]))
    return lambda images: [caption] * len(images)


def nearest(train: np.ndarray, known: Sequence[Sequence[str]]) -> Captioner:
    """Returns the function that says the first caption of the training image nearest in pixels."""
    return lambda images: [known[own[0]][0] for own in _neighbors(train, images, 1)]


def consensus(
    train: np.ndarray, known: Sequence[Sequence[str]], vectorizer: TfidfVectorizer
) -> Captioner:
    """Returns the function that says what the nearest training images agree in.

    Devlin et al., "Exploring Nearest Neighbor Approaches for Image Captioning", 2015: of the
    captions of the 20 nearest images, the one most similar to all others. Images are near in their
    100 principal components, captions similar by the cosine of TF-IDF vectors.
    """
    components = PCA(min(_COMPONENTS, *train.shape), random_state=0).fit(train)
    reduced = components.transform(train)

    def captioner(images: np.ndarray) -> list[str]:
        found = []
        for rows in _neighbors(reduced, components.transform(images), _NEIGHBORS):
            captions = [caption for row in rows for caption in known[row]]
            vectors = vectorizer.transform(captions)
            similarity = (vectors @ np.asarray(vectors.sum(0)).T).ravel()
            found.append(captions[int(similarity.argmax())])
        return found

    return captioner


def regression(
    train: np.ndarray, known: Sequence[Sequence[str]], vectorizer: TfidfVectorizer
) -> Captioner:
    """Returns the function that says the training caption nearest to a linear prediction.

    Captions are ranked for an image, as in Hodosh, Young & Hockenmaier 2013: ridge regression from
    pixels to the 100 main directions of captions' TF-IDF vectors, and the caption of the highest
    cosine.
    """
    every = sorted({caption for own in known for caption in own})
    vectors = vectorizer.transform(every)
    directions = TruncatedSVD(max(1, min(_COMPONENTS, *(n - 1 for n in vectors.shape))))
    directions.set_params(random_state=0)
    places = directions.fit_transform(vectors)
    row = {caption: index for index, caption in enumerate(every)}
    targets = np.stack([np.mean([places[row[caption]] for caption in own], 0) for own in known])
    model = Ridge(alpha=1.0).fit(train, targets)
    ranked = normalize(places)

    def captioner(images: np.ndarray) -> list[str]:
        best = [
            (model.predict(images[start : start + _CHUNK]) @ ranked.T).argmax(-1)
            for start in range(0, len(images), _CHUNK)
        ]
        return [every[index] for index in np.concatenate(best)]

    return captioner


def _neighbors(train: np.ndarray, images: np.ndarray, count: int) -> np.ndarray:
    """Returns the rows of the nearest training images, int [images, count], nearest first."""
    count, squares = min(count, len(train)), np.square(train).sum(1)
    found = []
    for start in range(0, len(images), _CHUNK):
        distances = squares - 2 * images[start : start + _CHUNK] @ train.T
        found.append(np.argsort(distances, axis=1, kind="stable")[:, :count])
    return np.concatenate(found)


def _grams(caption: str) -> list[str]:
    """Returns the n-grams of a caption's words, n from 1 to 4."""
    found = words(caption)
    return [
        " ".join(found[start : start + order])
        for order in range(1, 5)
        for start in range(len(found) - order + 1)
    ]
