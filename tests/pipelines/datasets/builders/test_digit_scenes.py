"""Scenes of digits: captions that are true, digits of one split, boxes that do not overlap."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image

from pipelines.datasets.builders import digit_scenes, digits
from pipelines.datasets.builders.digit_scenes import BACKGROUND, SIDE, Group, Scene


def test_captions_say_what_stands_where_in_three_ways():
    assert Scene(Group(7, 1), Group(3, 2), vertical=True).captions() == [
        "a 7 above two 3s",
        "a 7 with two 3s below it",
        "a 7 and below it two 3s",
    ]
    assert Scene(Group(0, 3), Group(8, 1), vertical=False).captions() == [
        "three 0s left of an 8",
        "three 0s with an 8 to the right of them",
        "three 0s and to the right of them an 8",
    ]


def test_images_have_48_by_48_pixels_and_three_captions(examples):
    for members in examples("digit_scenes").values():
        for member in members[:200]:
            assert member["image"].dtype == np.uint8
            assert member["image"].shape == (48, 48, 1)
            assert len({*member["captions"]}) == 3
            lengths = [len(caption.split()) for caption in member["captions"]]
            assert 4 <= min(lengths) <= max(lengths) <= 10


@pytest.mark.parametrize("vertical", [True, False])
def test_groups_are_apart_in_one_direction_alone(vertical):
    random = np.random.RandomState(0)
    for counts in itertools.product((1, 2, 3), repeat=2):
        scene = Scene(Group(1, counts[0]), Group(2, counts[1]), vertical)
        for _ in range(30):
            places = digit_scenes._places(scene, random)
            assert [len(corners) for corners in places] == list(counts)
            every = np.concatenate(places)
            assert every.min() >= 0
            assert every.max() <= 48 - SIDE
            for one, other in itertools.combinations(every, 2):
                assert abs(one - other).max() >= SIDE
            axis = 0 if vertical else 1
            first, second = (corners.mean(0) for corners in places)
            across, along = second[axis] - first[axis], second[1 - axis] - first[1 - axis]
            assert across >= SIDE  # The first group is the upper one, or the left one.
            assert abs(along) < across


def test_what_a_caption_names_is_where_it_says(monkeypatch):
    """Without noise, what lies above the darkest line between two groups is of the first digit."""
    monkeypatch.setattr(digit_scenes, "NOISE", 0)
    monkeypatch.setattr(digit_scenes, "BRIGHTNESS", (1.0, 1.0))
    monkeypatch.setitem(digit_scenes.SIZES, "test", 60)
    pixels, labels = digits.read(*digits.BOUNDS["test"])
    known: dict[bytes, set[int]] = {}
    for digit, label in zip(pixels, labels, strict=True):
        large = Image.fromarray(digit).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        known.setdefault(trimmed(np.asarray(large) > 128), set()).add(int(label))
    checked = 0
    for canvas, scene in digit_scenes.scenes("test", 5):
        ink = (canvas[..., 0].astype(float) - canvas.min()) / (255 - canvas.min())
        for box, group in zip(boxes(ink > 128 / 255, scene), groups(scene), strict=True):
            if box is not None and trimmed(box) in known:
                assert group.digit in known[trimmed(box)]
                checked += 1
    assert checked > 30
    assert BACKGROUND[1] < 128


def groups(scene: Scene) -> list[Group]:
    return [scene.first, scene.second]


def boxes(ink: np.ndarray, scene: Scene) -> list[np.ndarray | None]:
    """The ink of the first and the second group, where each is one digit."""
    lines = np.flatnonzero(ink.any(1 if scene.vertical else 0))
    cut = lines[np.argmax(np.diff(lines)) + 1]
    parts = (ink[:cut], ink[cut:]) if scene.vertical else (ink[:, :cut], ink[:, cut:])
    return [
        part if group.count == 1 else None for part, group in zip(parts, groups(scene), strict=True)
    ]


def trimmed(shape: np.ndarray) -> bytes:
    rows, columns = np.flatnonzero(shape.any(1)), np.flatnonzero(shape.any(0))
    cut = shape[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return repr(cut.shape).encode() + cut.tobytes()


def test_scenes_depend_on_the_seed_and_differ():
    def first(seed):
        return next(digit_scenes.scenes("test", seed))[0].tobytes()

    assert first(0) == first(0)
    assert first(0) != first(1)
