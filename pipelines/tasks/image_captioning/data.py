"""Images with captions, and the tokens of these.

They come from the bundled scenes; from a set of TFDS whose images have captions, as
`coco_captions`; or from a user's own folder, see `own.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from pipelines.datasets import catalog, files, loading, lookup
from pipelines.datasets.dataset import SPLITS, Content, Dataset
from pipelines.datasets.loading import Identity
from pipelines.errors import UserError
from pipelines.image import files as image_files
from pipelines.image import splits
from pipelines.image.examples import image_shape
from pipelines.image.preprocessing import resize
from pipelines.tasks.image_captioning import own
from pipelines.tasks.image_captioning.captions import Captions, cut, tokens_of
from pipelines.tasks.image_captioning.cider import DocumentFrequencies, document_frequencies
from pipelines.tasks.image_captioning.config import CaptioningConfig
from pipelines.text.reversible import SENTENCES, ReversibleTokenizer, train

# Frequent words decide a vocabulary; more captions, and images to count n-grams in, take longer.
_MAX_TRAINING_IMAGES = 20_000
# Decoded training images up to this size are kept in memory after the first epoch.
_CACHE_BYTES = 1 << 30
_NAMES_OF_CAPTIONS = ("caption", "description", "text")


@dataclass(frozen=True, kw_only=True, eq=False)
class CaptionedImages(Dataset):
    """A data set of images, each with one caption or several.

    Examples are (inputs, int32 [tokens], float32 [tokens]). Inputs are "images", uint8 [height,
    width, channels], "target_ids", a caption after `START`, and "target_padding_mask", both int32
    [tokens]; the second part is the token after each of them, the caption's `END` last, the third
    is 1 where there is one. All captions have as many tokens as the longest of training, or the
    maximum length; longer ones are truncated, and have no `END`.

    An image of train has another of its captions in each epoch; one of the other splits always has
    the same one, whose number is that of the image.

    Columns are "references", a tuple of str for each example.

    Attributes:
        images: By split, uint8 [height, width, channels] examples.
        image_shape: (height, width, channels) after resizing.
        captions: The tokens of the training captions.
        tokenizer: Trained on the training captions.
        frequencies: Document frequencies of the training captions.
        original_sizes: By split, (height, width) of a user's own files, int64 [examples, 2], in
            the order of the examples; nothing for other data sets.
    """

    images: Mapping[str, tf.data.Dataset]
    image_shape: tuple[int, int, int]
    captions: Captions
    tokenizer: ReversibleTokenizer
    frequencies: DocumentFrequencies
    original_sizes: Mapping[str, np.ndarray] = field(default_factory=dict)

    def epoch(self, number: Any) -> tf.data.Dataset:
        return self.captions.examples(self.images["train"], number)

    def alone(self, split: str) -> tf.data.Dataset:
        """Returns the images of a split as examples of one part, (uint8 image,)."""
        return self.images[split].map(lambda image: (image,))

    def contents(self, split: str) -> Iterator[Content]:
        sizes = self.original_sizes.get(split)
        for index, image in enumerate(self.images[split].as_numpy_iterator()):
            size = image.shape[:2] if sizes is None else tuple(sizes[index].tolist())
            yield Content(image, size=size, unit="pixels", image=image)


def load(config: CaptioningConfig) -> CaptionedImages:
    """Prepares and opens the data set that `config` names, or the user's own at its path.

    Raises:
        UserError: The data set cannot be had, has no image with a caption, or has images of several
            sizes while `image_size` is 0.
    """
    if path := lookup.own_path(config.dataset):
        return _own(path, config)
    source = loading.open_dataset(config)
    name, texts = _features(source.builder)
    shape = image_shape(source.builder, name, config.image_size)
    references = dict[str, list[tuple[str, ...]]]()
    images, left_out, said = dict[str, tf.data.Dataset](), dict[str, int](), list[str]()
    for split in SPLITS:
        found = _references(source, split, texts)
        kept = np.array([bool(own) for own in found])
        references[split] = [own for own in found if own]
        rows = source.read(split, decoders=tfds.decode.PartialDecoding({name: True}))
        images[split] = _kept(rows, kept).map(
            lambda row: resize(row[name], shape), num_parallel_calls=tf.data.AUTOTUNE
        )
        if missing := left_out.setdefault(split, int(np.sum(~kept))):
            said.append(f"left out: {files.number(missing, 'image')} of {split} without a caption")
    return captioned(
        source.identity(), images, references, shape, config, notes=said, left_out=left_out
    )


def captioned(
    identity: Identity,
    images: Mapping[str, tf.data.Dataset],
    references: Mapping[str, Sequence[tuple[str, ...]]],
    shape: tuple[int, int, int],
    config: CaptioningConfig,
    *,
    notes: Sequence[str] = (),
    **options: Any,
) -> CaptionedImages:
    """Returns the data set of images and their captions.

    Args:
        identity: Name, version and digest.
        images: By split, uint8 examples of `shape`.
        references: By split, the captions of each image, in the order of `images`.
        shape: (height, width, channels).
        config: Chooses the tokens and their number.
        notes: What is worth knowing.
        **options: Further fields of the data set.

    Raises:
        UserError: A split has no image with a caption.
    """
    for split, own_references in references.items():
        if not own_references:
            raise UserError(f"{identity['name']} has no image with a caption in its {split} split")
    some = references["train"][:_MAX_TRAINING_IMAGES]
    scheme = SENTENCES[kind(config)]
    tokenizer = train(scheme, [text for each in some for text in each], config.vocabulary)
    tokens = {split: tokens_of(tokenizer, own) for split, own in references.items()}
    longest = min(int(tokens["train"].row_lengths().numpy().max()) + 1, config.max_length)
    captions = {s: cut(tokens[s], own, longest) for s, own in references.items()}
    said = [
        f"truncated: {files.number(each.long, 'caption')} of {split}, longer than --max_length "
        f"{config.max_length} tokens"
        if longest == config.max_length
        else f"truncated: {files.number(each.long, 'caption')} of {split}, longer than the "
        f"{longest} tokens of training"
        for split, each in captions.items()
        if each.long
    ]
    sizes = {split: len(own_references) for split, own_references in references.items()}
    if sizes["train"] * math.prod(shape) <= _CACHE_BYTES:
        images = {**images, "train": images["train"].cache()}
    columns = {
        split: {"references": np.fromiter(own_references, object, sizes[split])}
        for split, own_references in references.items()
    }
    return CaptionedImages(
        **identity,
        sizes=sizes,
        columns=columns,
        images=images,
        image_shape=shape,
        captions=captions["train"],
        tokenizer=tokenizer,
        frequencies=document_frequencies(some),
        example_bytes=None,
        notes=[*notes, *said],
        **options,
        **{split: captions[split].examples(images[split], 0) for split in SPLITS},
    )


def kind(config: CaptioningConfig) -> str:
    """Returns the tokens of captions: "words", "pieces" or "characters"."""
    if config.tokens != "auto":
        return config.tokens
    own_data = lookup.own_path(config.dataset) is not None
    return "words" if config.dataset in catalog.BUNDLED and not own_data else "pieces"


def _own(path: Path, config: CaptioningConfig) -> CaptionedImages:
    found = own.read(path, config)
    examples = splits.at_most(found.examples, config)
    images = {split: [image for image, _ in examples[split]] for split in SPLITS}
    shape = image_files.common_shape(
        [image for split in SPLITS for image in images[split]], config.image_size
    )

    @tf.function  # Traced once for all splits.
    def read(path: tf.Tensor, by_graph: tf.Tensor) -> tf.Tensor:
        return image_files.read(path, by_graph, shape)

    return captioned(
        loading.own_identity(path, found.digest, config.max_examples),
        {
            split: tf.data.Dataset.from_tensor_slices(image_files.columns(images[split])).map(
                read, num_parallel_calls=tf.data.AUTOTUNE
            )
            for split in SPLITS
        },
        {split: [captions for _, captions in examples[split]] for split in SPLITS},
        shape,
        config,
        notes=found.notes,
        left_out=found.left_out,
        original_sizes={split: image_files.sizes(images[split]) for split in SPLITS},
    )


def _features(builder: tfds.core.DatasetBuilder) -> tuple[str, tuple[str, ...]]:
    """Returns the name of the image among a data set's features, and the path to its captions."""
    features = loading.features(builder)
    images = [k for k, v in features.items() if isinstance(v, tfds.features.Image)]
    images.sort(key=lambda name: name != "image")
    named = [k for part in _NAMES_OF_CAPTIONS for k in features if part in k.lower()]
    for name in named:
        feature = features[name]
        inner = getattr(feature, "feature", feature)  # That of a sequence.
        if images and isinstance(inner, tfds.features.Text):
            return images[0], (name,)
        if images and isinstance(inner, tfds.features.FeaturesDict) and "text" in inner:
            return images[0], (name, "text")
    raise UserError(
        f"{builder.name} has no images with captions, as coco_captions has; its features are: "
        f"{', '.join(features)}"
    )


def _references(
    source: loading.Source, split: str, texts: tuple[str, ...]
) -> list[tuple[str, ...]]:
    """Returns the captions of each image of a split, without empty ones."""
    rows = source.read(split, decoders=tfds.decode.PartialDecoding({texts[0]: True}))

    def captions(row: Any) -> tf.Tensor:
        for name in texts:
            row = row[name]
        return tf.reshape(row, [-1])

    found = []
    for own_captions in rows.map(captions, num_parallel_calls=tf.data.AUTOTUNE).as_numpy_iterator():
        plain = [" ".join(text.decode().split()) for text in own_captions]
        found.append(tuple(dict.fromkeys(text for text in plain if text)))
    return found


def _kept(rows: tf.data.Dataset, kept: np.ndarray) -> tf.data.Dataset:
    """Returns the rows at which `kept`, bool [rows], is true."""
    if kept.all():
        return rows
    known = tf.constant(kept)
    return rows.enumerate().filter(lambda index, row: known[index]).map(lambda index, row: row)
