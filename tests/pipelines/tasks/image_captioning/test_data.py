"""Captioned images: from sets of TFDS and bundled ones; their tokens, epoch by epoch."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds

from pipelines.datasets import checks, loading
from pipelines.errors import UserError
from pipelines.tasks.image_captioning.captions import END, START
from pipelines.tasks.image_captioning.config import CaptioningConfig
from pipelines.tasks.image_captioning.data import kind, load
from tests.pipelines.tasks.image_captioning import examples

IMAGE = tfds.features.Image(shape=(None, None, 3))
# As tfds.image_captions.coco_captions has them.
COCO: dict[str, Any] = {
    "captions": tfds.features.Sequence({"id": np.int64, "text": tfds.features.Text()}),
    "image": IMAGE,
    "image/filename": tfds.features.Text(),
    "image/id": np.int64,
    "objects": tfds.features.Sequence({"label": tfds.features.ClassLabel(num_classes=3)}),
}


def row(number: int, texts: list[str]) -> dict[str, Any]:
    return {
        "captions": [{"id": i, "text": text} for i, text in enumerate(texts)],
        "image": np.full((4 + number % 2, 6, 3), number, np.uint8),
        "image/filename": f"{number}.jpg",
        "image/id": number,
        "objects": [{"label": 1}],
    }


class LikeCoco(tfds.core.GeneratorBasedBuilder):
    """Features and splits as those of coco_captions; an image without captions, and empty ones."""

    VERSION = tfds.core.Version("1.0.0")
    SPLITS: ClassVar = ("restval", "test", "train", "val")

    def _info(self):
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(COCO))

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples() for split in self.SPLITS}

    def _generate_examples(self):
        yield 0, row(0, ["A dog runs.", " a  dog\n", ""])
        yield 1, row(1, ["a cat"])
        yield 2, row(2, [])
        yield 3, row(3, ["a dog sleeps in the sun", "a dog"])


class OneDescription(tfds.core.GeneratorBasedBuilder):
    """One text for each image, called description."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"description": tfds.features.Text(), "picture": IMAGE}
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number in range(20):
            image = np.full((4, 4, 3), number, np.uint8)
            yield number, {"description": f"the {number}", "picture": image}


def config(dataset: str, folder, **options) -> CaptioningConfig:
    defaults: dict[str, Any] = {"tokens": "words", "max_length": 5, "image_size": 4}
    return CaptioningConfig(dataset=dataset, data_dir=str(folder), **{**defaults, **options})


def test_a_set_with_the_features_of_coco_captions_is_read(tmp_path):
    data = load(config("like_coco", tmp_path))
    assert data.sizes == {"train": 3, "validation": 3, "test": 3}
    references = set(data.raw("validation")["references"])
    assert references == {
        ("A dog runs.", "a dog"),
        ("a cat",),
        ("a dog sleeps in the sun", "a dog"),
    }
    assert data.left_out == {"train": 1, "validation": 1, "test": 1}
    assert "left out: 1 image of train without a caption" in data.notes
    assert "truncated: 1 caption of test, longer than --max_length 5 tokens" in data.notes
    # Images stay with their captions.
    first = {0: "A dog runs.", 1: "a cat", 3: "a dog sleeps in the sun"}
    for image, own in zip(
        data.images["test"].as_numpy_iterator(), data.raw("test")["references"], strict=True
    ):
        assert first[image.max()] == own[0]
    found = dict(checks.check(data).rows)
    assert found["examples"] == ("3", "3", "3")


def test_one_text_for_each_image_is_enough_and_missing_splits_are_cut_off(tmp_path):
    data = load(config("one_description", tmp_path))
    assert data.sizes == {"train": 16, "validation": 2, "test": 2}
    assert data.image_shape == (4, 4, 3)
    for image, (caption,) in zip(
        data.images["train"].as_numpy_iterator(), data.raw("train")["references"], strict=True
    ):
        assert caption == f"the {image.max()}"


def test_images_of_several_sizes_need_one(tmp_path):
    with pytest.raises(UserError, match="like_coco differ in size; choose one, as --image_size"):
        load(config("like_coco", tmp_path, image_size=0))


def test_sets_without_captions_are_refused(digits_dir):
    with pytest.raises(UserError, match="digits has no images with captions, as coco_captions has"):
        load(config("digits", digits_dir))


def test_examples_are_captions_between_start_and_end():
    data = examples.loaded(examples.config())
    inputs, following, weight = next(data.test.as_numpy_iterator())
    caption = data.raw("test")["references"][0][0]  # Of six words.
    ids = data.tokenizer([caption])[0].numpy().tolist()
    assert following.tolist() == [*ids, END]
    assert inputs["target_ids"].tolist() == [START, *ids]
    assert inputs["target_padding_mask"].tolist() == [1] * 7
    assert weight.tolist() == [1] * 7
    assert inputs["images"].dtype == np.uint8


def test_padding_has_no_weight_and_long_captions_have_no_end():
    data = examples.loaded(examples.config(max_length=6))
    for number in (0, 1):  # The second caption of each image has five words, and its end.
        inputs, following, weight = next(data.epoch(number).as_numpy_iterator())
        assert weight.tolist() == inputs["target_padding_mask"].tolist() == [1] * 6
        assert (END in following) == (number == 1)
    whole = examples.loaded(examples.config(max_length=32))
    inputs, following, weight = next(whole.epoch(1).as_numpy_iterator())
    assert following.tolist()[5:] == [END, 0]
    assert inputs["target_ids"].tolist()[6:] == [0]
    assert weight.tolist() == [1] * 6 + [0]


def test_the_captions_of_an_image_take_turns():
    data = examples.loaded(examples.config())

    def said(number: int) -> list[str]:
        ids = [following for _, following, _ in data.epoch(number).as_numpy_iterator()]
        return [text.decode() for text in data.tokenizer.detokenize(np.stack(ids)).numpy()]

    first, second, third = said(0), said(1), said(2)
    assert first == third
    for pair, own in zip(
        zip(first, second, strict=True), data.raw("train")["references"], strict=True
    ):
        assert set(pair) == set(own)


def test_bundled_sets_have_words_and_others_pieces(tmp_path):
    assert kind(CaptioningConfig(dataset="digit_scenes")) == "words"
    assert kind(CaptioningConfig(dataset="coco_captions")) == "pieces"
    assert kind(CaptioningConfig(dataset="coco_captions", tokens="characters")) == "characters"
    (tmp_path / "digit_scenes").mkdir()
    assert kind(CaptioningConfig(dataset=str(tmp_path / "digit_scenes"))) == "pieces"


def test_the_bundled_scenes_are_read(bundled, monkeypatch):
    folder = bundled("digit_scenes").data_dir.rsplit("/digit_scenes", 1)[0]
    data = load(CaptioningConfig(dataset="digit_scenes", data_dir=folder, max_examples=40))
    assert data.sizes == {"train": 40, "validation": 40, "test": 40}
    assert data.image_shape == (48, 48, 1)
    assert len(data.raw("train")["references"][0]) == 3
    assert "truncated" not in "".join(data.notes[1:])
    assert loading.splits(bundled("digit_scenes")).test == "test"
