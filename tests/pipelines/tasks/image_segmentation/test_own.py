"""A user's own images with masks: layouts, values of masks, classes and void."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipelines.errors import UserError
from pipelines.tasks.image_segmentation import masks, own
from pipelines.tasks.image_segmentation.classes import (
    IGNORE_ID,
    Occurrences,
    check_void,
    of_values,
    read_names,
)
from pipelines.tasks.image_segmentation.config import SegmentationConfig
from pipelines.tasks.image_segmentation.data import load

SPLITS = ("train", "validation", "test")
HEIGHT, WIDTH = 32, 40


def values_of(number: int, *values: int) -> np.ndarray:
    """A mask of stripes of the values, moved by a number."""
    column = np.arange(HEIGHT) * len(values) // HEIGHT
    return np.tile(np.roll(np.array(values, np.uint8)[column], number)[:, None], (1, WIDTH))


def draw(root: Path, number: int, mask: np.ndarray, images="images", truth="masks") -> Path:
    """Draws an image, bright where its mask is not 0, and the mask; returns the mask's path."""
    for folder in (images, truth):
        (root / folder).mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(number).integers(0, 60, (*mask.shape, 3), np.uint8)
    bright = (mask[..., None] > 0) * np.uint8(150)
    Image.fromarray(noise + bright).save(root / images / f"{number}.jpg", quality=95)
    path = root / truth / f"{number}.png"
    Image.fromarray(mask).save(path)
    return path


def pairs(root: Path, *values: int, count: int = 12, **folders: str) -> Path:
    for number in range(count):
        draw(root, number, values_of(number, *values), **folders)
    return root


def read(path: Path, **options) -> own.OwnMasks:
    return own.read(path, SegmentationConfig(dataset=str(path), **options))


def refused(path: Path, **options) -> str:
    """Returns the sentence that refuses a path."""
    with pytest.raises(UserError) as raised:
        read(path, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def sizes(found: own.OwnMasks) -> dict[str, int]:
    return {split: len(examples) for split, examples in found.examples.items()}


def test_two_folders_of_equal_names_are_read_and_split(tmp_path):
    root = pairs(tmp_path / "scans", 0, 1, 2)
    data = load(SegmentationConfig(dataset=str(root)))
    assert data.name == "scans"
    assert data.sizes == {"train": 10, "validation": 1, "test": 1}
    assert data.class_names == ("class 0", "class 1", "class 2")
    assert data.image_shape == (HEIGHT, WIDTH, 3)
    assert len(data.notes) == 1
    assert "--split_seed 0" in data.notes[0]
    for split in SPLITS:
        assert data.original_sizes[split].tolist() == [[HEIGHT, WIDTH]] * data.sizes[split]
        for image, mask in data.split(split).as_numpy_iterator():
            assert (image.dtype, mask.dtype, mask.shape) == (np.uint8, np.uint8, (HEIGHT, WIDTH))
            assert image[mask > 0].mean() > image[mask == 0].mean() + 100
    small = load(SegmentationConfig(dataset=str(root), image_size=8))
    image, mask = next(small.test.as_numpy_iterator())
    assert (image.shape, mask.shape) == ((8, 8, 3), (8, 8))
    assert set(np.unique(mask)) == {0, 1, 2}


@pytest.mark.parametrize("layout", ["{split}/images", "images/{split}", "{split}/Image"])
def test_splits_may_lie_outside_or_inside(layout, tmp_path):
    root, number = tmp_path / "x", 0
    for split, size in (("train", 4), ("val", 2), ("test", 1)):
        images = layout.format(split=split)
        for _ in range(size):
            truth = images.replace("images", "annotations").replace("Image", "Mask")
            draw(root, number, values_of(number, 0, 3), images, truth)
            number += 1
    found = read(root)
    assert sizes(found) == {"train": 4, "validation": 2, "test": 1}
    assert found.notes == ()
    for image, mask in (pair for examples in found.examples.values() for pair in examples):
        assert image.path.stem == mask.path.stem


@pytest.mark.parametrize("ending", ["_mask", "-gt", "_m", "_labels"])
def test_masks_may_have_a_longer_name(ending, tmp_path):
    root = pairs(tmp_path / "x", 0, 1)
    for path in (root / "masks").iterdir():
        path.rename(path.with_stem(path.stem + ending))
    assert sum(sizes(read(root)).values()) == 12


def test_a_table_names_images_and_masks(tmp_path):
    root = pairs(tmp_path / "x", 0, 1)
    for path in (root / "masks").iterdir():
        path.rename(root / f"truth of {path.name}")
    rows = [f"images/{number}.jpg,truth of {number}.png" for number in range(12)]
    table = root / "pairs.csv"
    table.write_text("\n".join(["image,mask", *rows]))
    assert sizes(read(table)) == sizes(read(root)) == {"train": 10, "validation": 1, "test": 1}
    table.write_text("\n".join(["image,mask", *rows, "images/1.jpg,gone.png"]))
    sentence = f"{table}, line 14: {root}/gone.png cannot be read: No such file"
    assert refused(table).startswith(sentence)
    assert read(table, skip_bad=True).left_out["train"] == 1


@pytest.mark.parametrize("value", [["a.png"], {"path": "a.png"}])
@pytest.mark.parametrize("column", ["image", "mask"])
def test_values_of_a_table_that_are_no_texts_are_refused(column, value, tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"image": "a.jpg", "mask": "a.png", column: value}))
    assert refused(path).startswith(f"{path}, line 1: '{column}' is not a text, but ")


def test_an_image_without_mask_and_a_mask_without_image_are_named(tmp_path):
    root = pairs(tmp_path / "x", 0, 1)
    (root / "masks/3.png").unlink()
    assert refused(root).startswith(
        f"{root}/images/3.jpg has no mask: there is no {root}/masks/3.*;"
    )
    found = read(root, skip_bad=True)
    assert sum(sizes(found).values()) == 11
    assert found.left_out == {"train": 1, "validation": 0, "test": 0}
    (root / "images/3.jpg").unlink()
    (root / "images/5.jpg").unlink()
    assert refused(root).startswith(f"{root}/masks/5.png has no image: there is no {root}/im")


def test_a_mask_has_the_size_of_its_image_as_people_see_it(tmp_path):
    root = pairs(tmp_path / "x", 0, 1)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = root / "images/2.jpg"
    Image.open(turned).rotate(90, expand=True).save(turned, exif=exif, quality=95)
    data = load(SegmentationConfig(dataset=str(root)))
    for image, mask in data.train.as_numpy_iterator():
        assert image[mask > 0].mean() > image[mask == 0].mean() + 100
    Image.fromarray(values_of(0, 0, 1).T.copy()).save(root / "masks/2.png")
    assert refused(root).startswith(
        f"{root}/masks/2.png has 32 x 40 pixels, but {turned} has 40 x 32"
    )


def test_a_turn_of_the_image_alone_that_sizes_do_not_tell_is_refused(tmp_path):
    root, exif = pairs(tmp_path / "x", 0, 1), Image.Exif()
    image, mask = root / "images/2.jpg", root / "masks/2.png"
    exif[0x0112] = 3
    Image.open(image).save(image, exif=exif, quality=95)
    assert refused(root).startswith(f"{mask} is not turned, but {image} is, by its EXIF")
    assert read(root, skip_bad=True).left_out["train"] == 1
    exif[0x0112] = 6
    quarter = root / "images/3.jpg"
    Image.open(quarter).rotate(90, expand=True).save(quarter, exif=exif, quality=95)
    assert sum(sizes(read(root)).values()) == 12
    quarter.unlink()
    (root / "masks/3.png").unlink()
    exif[0x0112] = 3
    Image.open(mask).save(mask, exif=exif)
    assert sum(sizes(read(root)).values()) == 11


def test_one_pixel_of_another_value_is_void_and_told(tmp_path):
    root = pairs(tmp_path / "x", 0, 255)
    mask = values_of(3, 0, 255)
    mask[5, 7] = 128
    Image.fromarray(mask).save(root / "masks/3.png")
    found = read(root)
    assert found.class_names == {0: "class 0", 255: "class 255"}
    assert any(
        note.startswith("value 128 occurs in 1 pixel of masks/3.png, less than 0.001")
        for note in found.notes
    )
    data = load(SegmentationConfig(dataset=str(root), split_seed=1))
    every = np.concatenate([[m for _, m in data.split(s).as_numpy_iterator()] for s in SPLITS])
    assert np.bincount(every.ravel()).nonzero()[0].tolist() == [0, 1, IGNORE_ID]
    assert (every == IGNORE_ID).sum() == 1
    assert read(root, class_share=0.0).class_names == {0: "class 0", 128: "class 128"}


def test_names_of_classes_are_those_of_a_file(tmp_path):
    root = pairs(tmp_path / "x", 0, 255, 7)
    (root / "classes.txt").write_text("7 cell wall\n\n0: ground\n255 = cell\n9 never\n")
    found = read(root)
    assert found.class_names == {0: "ground", 7: "cell wall", 9: "never", 255: "cell"}
    assert f"in no mask, though in {root}/classes.txt: 9 never" in found.notes
    (root / "classes.txt").write_text("ground\ncell\n")
    assert "fewer than two classes" in refused(root)
    (root / "classes.txt").write_text("0 ground\n7 wall\n")
    notes = [note for note in read(root).notes if "void" in note]
    assert len(notes) == 1
    assert notes[0].startswith("value 255 occurs in ")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0 a\nb", "line 2: VALUE NAME is needed, not 'b'"),
        ("0 a\n0 b", "line 2: '0 b' is there twice"),
        ("a\n\na", "line 3: 'a' is there twice"),
        ("0 a\n256 b", "line 2: '256 b' is above 255"),
        ("a", "needs 2 to 255 classes; it has 1"),
        ("", "needs 2 to 255 classes; it has 0"),
    ],
)
def test_a_file_of_names_that_cannot_be_used_is_refused(text, sentence, tmp_path):
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(UserError, match=sentence):
        read_names(tmp_path / "classes.txt")


def test_palettes_and_few_bits_hold_values(tmp_path):
    expected = values_of(1, 0, 1, 2, 3)
    indexed = Image.fromarray(expected, "P")
    # Two classes of one color, as if there were none.
    indexed.putpalette([9, 9, 9] * 2 + [255, 0, 0] * 2)
    files: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "palette.png": (indexed, {}),
        "palette_2.png": (indexed, {"bits": 2}),
        "transparent.png": (indexed, {"transparency": 0}),
        "palette.gif": (indexed, {}),
        "palette.bmp": (indexed, {}),
        "gray.png": (Image.fromarray(expected), {}),
        "gray.tif": (Image.fromarray(expected), {"compression": "tiff_lzw"}),
        "gray.webp": (Image.fromarray(expected), {"lossless": True}),
        "deep.png": (Image.fromarray(expected.astype(np.uint16)), {}),
        "deep.tif": (Image.fromarray(expected.astype(np.int32)), {}),
        "colors.png": (Image.fromarray(expected).convert("RGB"), {}),
        "alpha.png": (Image.fromarray(expected).convert("RGBA"), {}),
    }
    for name, (image, options) in files.items():
        image.save(tmp_path / name, **options)
        np.testing.assert_array_equal(masks.values(tmp_path / name), expected, err_msg=name)
    Image.fromarray(expected > 1).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(masks.values(tmp_path / "bits.png"), expected > 1)


def test_gray_of_two_and_four_bits_holds_values(tmp_path):
    import struct
    import zlib

    def chunk(name: bytes, content: bytes) -> bytes:
        end = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + end

    for depth, row, expected in ((2, b"\x1b", [0, 1, 2, 3]), (4, b"\x01\x2f", [0, 1, 2, 15])):
        header = struct.pack(">IIBBBBB", 4, 1, depth, 0, 0, 0, 0)
        content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" + row))
        path = tmp_path / f"{depth}.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + content + chunk(b"IEND", b""))
        assert masks.values(path).tolist() == [expected]


COLORS = np.zeros((4, 4, 3), np.uint8)
COLORS[1], COLORS[2] = (255, 0, 0), (0, 0, 255)
UNUSABLE: dict[str, tuple[Image.Image, dict[str, Any], str]] = {
    "a.jpg": (Image.new("L", (4, 4)), {}, "is JPEG, which changes values"),
    "a.png": (Image.new("L", (4, 4)), {"format": "JPEG"}, "is JPEG, which changes values"),
    "b.tif": (Image.new("L", (4, 4)), {"compression": "jpeg"}, "is JPEG, which changes values"),
    "c.webp": (Image.new("L", (4, 4)), {}, "is WebP with loss, which changes values"),
    "d.png": (
        Image.fromarray(COLORS),
        {},
        "has 3 colors (#000000, #0000ff, #ff0000), but a mask holds the number",
    ),
    "e.png": (Image.fromarray(np.full((4, 4), 256, np.uint16)), {}, "has the value 256; classes"),
    "f.tif": (Image.new("F", (4, 4), 0.5), {}, "has values that are no whole numbers"),
    "g.png": (
        Image.fromarray(np.arange(32, dtype=np.uint8).reshape(4, 4, 2), "LA"),
        {},
        "has transparent parts",
    ),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_masks_that_hold_no_values_are_refused_with_the_reason(name, tmp_path):
    image, options, reason = UNUSABLE[name]
    image.save(tmp_path / name, **options)
    (found,) = masks.scan([tmp_path / name])
    assert isinstance(found, str)
    assert found.startswith(reason)


def test_a_mask_that_cannot_be_read_is_named_or_left_out(tmp_path):
    root = pairs(tmp_path / "x", 0, 1)
    for name, content in (("4.png", b""), ("5.png", b"<html>")):
        (root / "masks" / name).write_bytes(content)
    assert refused(root).startswith(f"{root}/masks/4.png is empty, and 1 more files are bad")
    found = read(root, skip_bad=True)
    assert sum(sizes(found).values()) == 10
    assert found.left_out["train"] == 2


def test_palettes_that_differ_are_told(tmp_path):
    root = tmp_path / "x"
    for number, colors in enumerate([[0, 0, 0, 255, 0, 0], [0, 0, 0, 0, 255, 0]] * 4):
        path = draw(root, number, values_of(number, 0, 1))
        image = Image.fromarray(values_of(number, 0, 1), "P")
        image.putpalette(colors)
        image.save(path)
    notes = [note for note in read(root).notes if "palettes of" in note]
    assert len(notes) == 1
    assert "value 1 is #" in notes[0]


@pytest.mark.parametrize(
    ("folders", "sentence"),
    [
        ({"images": "cat", "truth": "dog"}, "image_segmentation needs the folders images and"),
        ({"images": "images", "truth": "images"}, "image_segmentation needs the folders images"),
    ],
)
def test_a_folder_of_something_else_is_refused(folders, sentence, tmp_path):
    assert sentence in refused(pairs(tmp_path / "x", 0, 1, **folders))


def test_several_folders_of_masks_are_refused(tmp_path):
    root = pairs(tmp_path / "x", 0, 1)
    (root / "labels").mkdir()
    assert "has several folders of masks: labels, masks" in refused(root)


def test_masks_of_one_value_are_refused(tmp_path):
    root = pairs(tmp_path / "x", 4)
    assert "have fewer than two classes: value 4 occurs in 15,360 pixels of 12 masks" in refused(
        root
    )


def occurrences(counts: dict[int, int]) -> Occurrences:
    pixels = np.zeros(256, np.int64)
    pixels[list(counts)] = list(counts.values())
    return Occurrences(pixels, (pixels > 0).astype(np.int64))


@pytest.mark.parametrize(
    ("counts", "classes", "void"),
    [
        ({0: 900, 255: 100}, [0, 255], []),
        ({0: 9000, 255: 1000, 128: 1}, [0, 255], [128]),
        ({0: 900, 1: 90, 255: 10}, [0, 1], [255]),
        # The edges of a smooth drawing.
        ({0: 90000, 255: 10000, **dict.fromkeys(range(1, 255), 9)}, [0, 255], [*range(1, 255)]),
        # Small things are a class if there is no other.
        ({0: 100000, 1: 5}, [0, 1], []),
        ({0: 100000, 1: 5, 255: 4}, [0, 1], [255]),
        ({3: 10, 9: 10, 40: 10}, [3, 9, 40], []),
    ],
)
def test_classes_are_the_values_that_occur_often_enough(counts, classes, void):
    names, notes = of_values(occurrences(counts), 0.001, "x")
    assert list(names) == classes
    text = " ".join(notes)
    if len(void) <= 3:
        assert all(f"value {value} occurs" in text for value in void)
    else:
        assert "251 more values" in text
    assert ("void" in text) == bool(void)


def test_masks_that_are_smoothed_are_refused(tmp_path):
    for number in range(12):
        down, along = np.ogrid[:256, :256]
        inside = ((down - 128) / (60 + number)) ** 2 + ((along - 128) / (90 - number)) ** 2 < 1
        drawn = Image.fromarray(inside * np.uint8(255)).resize((32, 32), Image.Resampling.BILINEAR)
        draw(tmp_path / "x", number, np.asarray(drawn))
    assert "look resized or smoothed: between 0 and 255 they have " in refused(tmp_path / "x")
    (tmp_path / "x/classes.txt").write_text("0 ground\n255 thing")
    assert list(read(tmp_path / "x").class_names) == [0, 255]


def test_masks_of_which_some_have_255_for_the_foreground_are_refused(tmp_path):
    root = pairs(tmp_path / "x", 0, 1)
    for number in range(6):
        draw(root, number, values_of(number, 0, 255))
    assert "value 255 occurs in 3,840 pixels of 6 masks, as masks/0.png, and none" in refused(root)
    draw(root, 6, values_of(0, 0, 1, 255))
    assert list(read(root).class_names) == [0, 1]


@pytest.mark.parametrize(
    "counts",
    [
        {0: 900, 255: 100, 128: 100, 192: 100},
        {0: 900, **dict.fromkeys(range(1, 151), 5), 255: 300},
        dict.fromkeys(range(0, 256, 17), 50),
        {0: 90000, 255: 10000, **dict.fromkeys(range(1, 255), 9)},
    ],
)
def test_gray_values_may_be_classes(counts):
    found = occurrences(counts)
    check_void(found, of_values(found, 0.001, "x")[0], "x")


@given(st.dictionaries(st.integers(0, 255), st.integers(1, 10**6), min_size=2), st.floats(0, 0.5))
def test_each_value_is_a_class_or_told_to_be_void(counts, share):
    names, notes = of_values(occurrences(counts), share, "x")
    assert 2 <= len(names) <= 255
    assert list(names) == sorted(names)
    void = counts.keys() - names.keys()
    assert any("void" in note for note in notes) == bool(void)
    total = sum(counts.values())
    for value in void - {IGNORE_ID}:
        assert counts[value] < share * total
