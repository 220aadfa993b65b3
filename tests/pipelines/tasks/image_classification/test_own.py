"""A user's own labeled images: folders of classes, tables, splits and what is wrong with files."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipelines.errors import UserError
from pipelines.image.config import ImageConfig
from pipelines.tasks.image_classification import own
from pipelines.tasks.image_classification.data import LabeledImages, load

SPLITS = ("train", "validation", "test")
CLASSES = ("bottom", "top")


def picture(bright: str, number: int = 0, size: int = 12) -> Image.Image:
    """A picture whose upper or lower half is bright; each number has other pixels."""
    pixels = np.random.default_rng(number).integers(0, 60, (size, size, 3), np.uint8)
    half = slice(0, size // 2) if bright == "top" else slice(size // 2, size)
    pixels[half] += np.uint8(180)
    return Image.fromarray(pixels)


def draw(file: Path, number: int, ending: str = ".png") -> Path:
    file.mkdir(parents=True, exist_ok=True)
    path = file / f"{number}{ending}"
    picture(file.name, number).save(path, quality=95)
    return path


def in_splits(root: Path, ending: str = ".png", classes=CLASSES) -> Path:
    """Returns a folder as SPLIT/CLASS/IMAGE with 4, 2 and 2 images of each class."""
    number = 0
    for split, size in (("train", 4), ("validation", 2), ("test", 2)):
        for name in classes:
            for _ in range(size):
                draw(root / split / name, number, ending)
                number += 1
    return root


def in_classes(root: Path, classes=CLASSES, count: int = 20) -> Path:
    for offset, name in enumerate(classes):
        for number in range(count):
            draw(root / name, 100 * offset + number)
    return root


def read(path: Path, **options) -> own.OwnImages:
    return own.read(path, ImageConfig(dataset=str(path), **options))


def refused(path: Path, **options) -> str:
    """Returns the sentence that refuses a path."""
    with pytest.raises(UserError) as raised:
        read(path, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def names(found: own.OwnImages, split: str) -> set[str]:
    return {file.path.name for file, _ in found.examples[split]}


def listed(found: own.OwnImages) -> dict[str, list[own.Example]]:
    return {split: list(examples) for split, examples in found.examples.items()}


def sizes(found: own.OwnImages) -> dict[str, int]:
    return {split: len(examples) for split, examples in found.examples.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return in_splits(tmp_path_factory.mktemp("own") / "halves")


@pytest.fixture(scope="module")
def loaded(folder) -> LabeledImages:
    return load(ImageConfig(dataset=str(folder)))


def test_folders_of_splits_and_classes_are_read(folder, loaded):
    assert (loaded.name, loaded.version) == ("halves", "1.0.0")
    assert len(loaded.digest) == 12
    assert loaded.class_names == CLASSES
    assert loaded.sizes == {"train": 8, "validation": 4, "test": 4}
    assert loaded.image_shape == (12, 12, 3)
    assert loaded.notes == ()
    assert set(loaded.left_out.values()) == {0}
    for split in SPLITS:
        examples = list(loaded.split(split).as_numpy_iterator())
        assert [label for _, label in examples] == loaded.labels[split].tolist()
        assert loaded.labels[split].dtype == np.int64
        assert loaded.original_sizes[split].tolist() == [[12, 12]] * len(examples)
        for image, label in examples:
            assert (image.dtype, image.shape) == (np.uint8, (12, 12, 3))
            assert (image[:6].mean() > image[6:].mean()) == (CLASSES[label] == "top")
    # A part of the examples has all classes.
    assert set(loaded.labels["train"][:4].tolist()) == {0, 1}


def test_a_part_of_the_files_is_drawn(folder, loaded):
    data = load(ImageConfig(dataset=str(folder), max_examples=3))
    assert data.sizes == {"train": 3, "validation": 3, "test": 3}
    assert data.class_names == CLASSES
    assert data.digest != loaded.digest
    whole = [image.tobytes() for image, _ in loaded.train.as_numpy_iterator()]
    for image, label in data.train.as_numpy_iterator():
        assert image.tobytes() in whole
        assert (image[:6].mean() > image[6:].mean()) == (CLASSES[label] == "top")


def test_pixels_are_those_of_the_files(folder, loaded):
    found = read(folder)
    for (file, _), (image, _) in zip(
        found.examples["test"], loaded.test.as_numpy_iterator(), strict=True
    ):
        np.testing.assert_array_equal(image, np.asarray(Image.open(file.path)))


def test_images_are_resized_and_of_one_channel_only_if_all_are_gray(tmp_path):
    root = in_splits(tmp_path / "x")
    for path in root.rglob("*.png"):
        Image.open(path).convert("L").save(path)
    gray = root / "train/top/gray.png"
    Image.new("LA", (9, 3), (100, 128)).save(gray)
    data = load(ImageConfig(dataset=str(root), image_size=4))
    assert data.image_shape == (4, 4, 1)
    assert tuple(data.train.element_spec[0].shape) == (4, 4, 1)
    sizes = {tuple(size) for size in data.original_sizes["train"].tolist()}
    assert sizes == {(12, 12), (3, 9)}
    Image.new("RGB", (9, 3), (50, 50, 50)).save(gray)
    assert load(ImageConfig(dataset=str(root), image_size=4)).image_shape == (4, 4, 3)
    with pytest.raises(UserError, match=r"differ in size: .* 12 x 12 .* 9 x 3; .*--image_size 128"):
        load(ImageConfig(dataset=str(root)))


def test_what_programs_leave_behind_does_not_count(tmp_path):
    root = in_splits(tmp_path / "x")
    draw(root / "train/.ipynb_checkpoints", 1)
    draw(root / "train/__MACOSX/top", 1)
    for name in (".DS_Store", "train/.DS_Store", "train/top/._0.png", "test/top/Thumbs.db"):
        (root / name).write_bytes(b"\0\5\26\7")
    found = read(root)
    assert (found.class_names, sizes(found)) == (CLASSES, {"train": 8, "validation": 4, "test": 4})
    assert found.notes == ()


@pytest.mark.parametrize("ending", [".bmp", ".webp", ".tif", ".gif", ".JPG", ".Png", ".ppm"])
def test_formats_may_be_mixed_and_are_counted(ending, tmp_path):
    root = in_splits(tmp_path / "x")
    for number in range(3):
        draw(root / "train/top", 50 + number, ending)
    found = read(root)
    assert sizes(found)["train"] == 11
    assert {f"{50 + number}{ending}" for number in range(3)} <= names(found, "train")
    counted = [note for note in found.notes if "16 PNG" in note]
    assert len(counted) == (ending.lower() not in (".jpg", ".png"))
    data = load(ImageConfig(dataset=str(root)))
    for image, label in data.train.as_numpy_iterator():
        assert (image[:6].mean() > image[6:].mean() + 100) == (CLASSES[label] == "top")


def test_the_content_of_a_file_says_what_it_is(tmp_path):
    root = in_splits(tmp_path / "x")
    folder = root / "train/top"
    picture("top", 70).save(folder / "named.jpg", "PNG")
    picture("top", 71).save(folder / "without_ending", "JPEG")
    picture("top", 72).save(folder / "photo.png.tmp", "BMP")
    (folder / "notes.txt").write_text("BMW, not a bitmap")
    (folder / "labels.csv").write_text("image,label\n0.png,bottom\n")
    (root / "readme.md").write_text("about")
    found = read(root)
    assert {"named.jpg", "without_ending", "photo.png.tmp"} <= names(found, "train")
    assert sizes(found)["train"] == 11
    (others,) = [note for note in found.notes if "not read: top" in note]
    assert others.startswith("2 files below ")
    assert "top/labels.csv, top/notes.txt" in others
    assert any("not read: readme.md" in note for note in found.notes)


def cut(path: Path, count: int) -> None:
    path.write_bytes(path.read_bytes()[:-count])


BAD = {
    "cut.jpg": (lambda path: cut(path, 40), "is cut off: the end of the JPEG file is missing"),
    "cut.png": (lambda path: cut(path, 40), "is cut off: the end of the PNG file is missing"),
    "cut.bmp": (lambda path: cut(path, 40), "is damaged: image file is truncated"),
    "empty.png": (lambda path: path.write_bytes(b""), "is empty"),
    "page.png": (lambda path: path.write_text("<html>"), "is no image: it begins with b'<html>'"),
    "phone.heic": (
        lambda path: path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0"),
        "is an HEIC image, which cannot be read: convert it to JPEG or PNG",
    ),
    "drawing.svg": (lambda path: path.write_text("<svg/>"), "is no image: it begins with"),
    "bits.png": (
        lambda path: path.write_bytes(path.read_bytes().replace(b"IDAT", b"IDAX")),
        "is damaged: it cannot be decoded as PNG",
    ),
    "real.tif": (
        lambda path: Image.new("F", (12, 12)).save(path),
        "has pixels that are floating-point numbers; convert it to 8 or 16 bits",
    ),
    "wide.tif": (
        lambda path: Image.new("I", (12, 12), 70000).save(path),
        "has pixels that are integers of 32 bits; convert it to 8 or 16 bits",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_cannot_be_used_is_named_or_left_out(name, tmp_path):
    root = in_splits(tmp_path / "x")
    path = root / "train/top" / name
    spoil, reason = BAD[name]
    if path.suffix not in (".heic", ".svg"):
        picture("top", 90).save(path)
    spoil(path)
    sentence = f"{path} {reason}"
    assert refused(root).startswith(sentence)
    assert "--skip_bad true" in refused(root)
    found = read(root, skip_bad=True)
    assert sizes(found) == {"train": 8, "validation": 4, "test": 4}
    assert found.left_out == {"train": 1, "validation": 0, "test": 0}
    assert found.notes[0].startswith(f"1 bad file of 17 left out: {sentence}")


def test_a_link_to_nothing_is_a_bad_file_and_links_are_followed(tmp_path):
    root = in_splits(tmp_path / "x")
    other = draw(tmp_path / "elsewhere/top", 60)
    (root / "train/top/linked.png").symlink_to(other)
    (root / "train/top/more").symlink_to(other.parent, target_is_directory=True)
    (root / "train/top/circle").symlink_to(root / "train", target_is_directory=True)
    assert {"linked.png", "60.png"} <= names(read(root), "train")
    assert sizes(read(root))["train"] == 10
    (root / "train/top/gone.png").symlink_to("nowhere.png")
    assert refused(root).startswith(f"{root}/train/top/gone.png cannot be read: No such file")


def test_all_files_bad_is_an_error(tmp_path):
    root = in_classes(tmp_path / "x", count=2)
    for path in root.rglob("*.png"):
        path.write_bytes(b"")
    assert refused(root, skip_bad=True).startswith("no file is good: ")


def test_without_splits_each_class_is_split_by_the_seed(tmp_path):
    root = in_classes(tmp_path / "x")
    # Nested folders belong to their class.
    draw(root / "top/2024/may/top", 70)
    found = read(root)
    assert found.class_names == CLASSES
    assert sizes(found) == {"train": 33, "validation": 4, "test": 4}
    for split in ("validation", "test"):
        assert sorted(label for _, label in found.examples[split]) == ["bottom"] * 2 + ["top"] * 2
    assert f"{root} is split into train, validation, test by --split_seed 0" in found.notes[0]
    assert listed(read(root)) == listed(found) != listed(read(root, split_seed=1))
    every = [file.path for examples in found.examples.values() for file, _ in examples]
    assert len(set(every)) == len(every) == 41


@settings(max_examples=10)
@given(copies=st.lists(st.integers(0, 9), max_size=12), seed=st.integers(0, 99))
def test_files_of_equal_content_are_in_one_split(copies, seed, tmp_path_factory):
    root = in_classes(tmp_path_factory.mktemp("copies") / "x", count=10)
    for index, number in enumerate(copies):
        (root / f"top/copy{index}.png").write_bytes((root / f"top/{100 + number}.png").read_bytes())
    found = read(root, split_seed=seed)
    splits = [{file.digest for file, _ in examples} for examples in found.examples.values()]
    assert sum(map(len, splits)) == len(set.union(*splits)) == 20


@pytest.mark.parametrize("missing", ["validation", "test"])
def test_a_missing_split_is_cut_from_train(missing, tmp_path):
    root = in_splits(tmp_path / "x")
    (root / missing).rename(tmp_path / "kept")
    found = read(root)
    assert sizes(found) == {"train": 6, "validation": 4, "test": 4, missing: 2}
    assert any(f"is split into train, {missing} by" in note for note in found.notes)
    # A folder without labeled images is as good as none.
    draw(root / missing, 1)
    assert sizes(read(root)) == sizes(found)
    assert read(root).left_out[missing] == 1


def test_other_names_of_splits_are_known(tmp_path):
    root = in_splits(tmp_path / "x")
    (root / "train").rename(root / "Training")
    (root / "validation").rename(root / "val")
    assert sizes(read(root)) == {"train": 8, "validation": 4, "test": 4}


@pytest.mark.parametrize(
    "name", ["two words", "größe", "名", "a&b", "50%", "-x", "x.y", "T-shirt/top"]
)
def test_class_names_are_as_people_write_them(name, tmp_path):
    folder = name.replace("%", "%25").replace("/", "%2F")
    root = in_splits(tmp_path / "x", classes=(folder, "other"))
    assert read(root).class_names == tuple(sorted((name, "other")))


def test_a_name_is_one_class_however_its_accents_are_stored(tmp_path):
    root = in_splits(tmp_path / "x", classes=("größe", "other"))
    (root / "test/größe").rename(root / "test" / unicodedata.normalize("NFD", "größe"))
    assert read(root).class_names == ("größe", "other")


def test_classes_that_cannot_be_learned_are_refused(tmp_path):
    one = in_splits(tmp_path / "one", classes=("top",))
    assert f"{one} has only one class, 'top', but" in refused(one)
    wrapped = tmp_path / "outer"
    in_classes(wrapped / "inner", count=2)
    assert f"are the folders of {wrapped}/inner meant, bottom, top?" in refused(wrapped)
    unseen = in_splits(tmp_path / "unseen")
    draw(unseen / "test/left", 99)
    sentence = f"the class 'left' of {unseen} is in test but not in train, which has: bottom, top"
    assert refused(unseen) == sentence
    (unseen / "test/left").rename(unseen / "test/Top")
    assert refused(unseen).endswith("; is it 'top'?")


def test_what_is_worth_knowing_about_classes_is_said(tmp_path):
    root = in_classes(tmp_path / "x", count=4)
    draw(root / "left", 80)
    (root / "nothing").mkdir()
    (root / "bottom/copy.png").write_bytes((root / "top/101.png").read_bytes())
    draw(root, 81).rename(root / "loose.png")
    found = read(root)
    assert found.class_names == ("bottom", "left", "top")
    assert found.left_out == {"train": 1, "validation": 0, "test": 0}
    notes = " ".join(found.notes)
    assert "only one image to train on in the class left" in notes
    assert f"the folder {root}/nothing has no images, and is no class" in notes
    assert f"1 image in {root} left out, in no folder of a class: loose.png" in notes
    assert "1 image also in another class: " in notes


@pytest.mark.parametrize(
    ("layout", "sentence"),
    [
        (("1.png", "2.png"), "holds 2 images: 1.png, 2.png"),
        ((), "holds no files"),
        (("notes.txt", "a/b.txt"), "holds 2 .txt files in a, ."),
        (("images/1.png", "masks/1.png"), "holds 2 images in images, masks"),
        (("train/images/1.png", "train/masks/1.png"), "holds 2 images in train/images"),
        (("test/a/1.png", "val/a/2.png"), "has no folder train; it has: test, val"),
        (("training_set/a/1.png", "test_set/a/2.png"), "has no folder train; it has: test_set, tr"),
        (("train/1.png", "test/2.png"), "train has no folders of classes"),
    ],
)
def test_a_path_that_holds_something_else_is_refused(layout, sentence, tmp_path):
    root = tmp_path / "x"
    root.mkdir()
    for number, name in enumerate(layout):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("text") if name.endswith("txt") else draw(
            root / "drawn", number
        ).rename(root / name)
    if (root / "drawn").exists():
        (root / "drawn").rmdir()
    assert sentence in refused(root)
    assert "CLASS/IMAGE" in refused(root) or "name the splits" in refused(root)


@pytest.mark.parametrize(
    ("folders", "sentence"),
    [
        (["seg_train/seg_train/a", "seg_test/seg_test/a", "seg_pred/seg_pred"], "/seg_train/seg_"),
        (["fold1/a", "fold1/b", "fold2/a", "fold2/b"], "looks like PART/CLASS"),
        (["train/fold1/a", "train/fold1/b", "train/fold2/a", "train/fold2/b"], "like PART/CLASS"),
        (["train1/a", "train2/a"], "with the folders a in train1: pass one part, as "),
        (["original/a", "original/b", "augmented/a", "augmented/b"], "like PART/CLASS"),
        (["a/train", "a/test", "b/train", "b/test"], "splits outside, as test/a"),
    ],
)
def test_folders_of_parts_or_with_splits_in_them_are_no_classes(folders, sentence, tmp_path):
    for number, name in enumerate(folders):
        draw(tmp_path / "x" / name, number)
    assert sentence in refused(tmp_path / "x")


@pytest.mark.parametrize(
    ("inner", "number_of_notes"),
    [(("day", "night"), 1), (("day",), 0), (("train",), 0), (("",), 0)],
)
@pytest.mark.parametrize("classes", [CLASSES, ("original", "fake"), ("part", "whole")])
def test_folders_within_a_class_belong_to_it(inner, number_of_notes, classes, tmp_path):
    for number in range(6):
        for name in classes:
            for within in inner:
                draw(tmp_path / "x" / name / within, number + 10 * len(within + name))
    found = read(tmp_path / "x")
    assert found.class_names == tuple(sorted(classes))
    assert sum("and not those within" in note for note in found.notes) == number_of_notes


def test_a_table_beside_folders_of_classes_is_named(tmp_path):
    root = in_classes(tmp_path / "x", count=6)
    table(root, "image_id,dx\n1,a\n", "metadata.csv")
    assert any("metadata.csv beside them is not read" in note for note in read(root).notes)


def test_train_may_be_a_class(tmp_path):
    root = in_classes(tmp_path / "x", classes=("bus", "train"))
    assert read(root).class_names == ("bus", "train")


def table(root: Path, text: str, name: str = "data.csv") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)
    return root / name


def rows(paths, labels) -> str:
    return "image,label\n" + "".join(
        f"{p},{label}\n" for p, label in zip(paths, labels, strict=True)
    )


def test_a_table_names_images_and_labels(tmp_path):
    root = tmp_path / "x"
    paths = [draw(root / "files" / label, n) for n in range(20) for label in CLASSES]
    labels = ["01" if n % 2 else "no/yes" for n in range(40)]
    listed = [str(path.relative_to(root)) for path in paths]
    listed[0], listed[1] = str(paths[0]), listed[1].replace("/", "\\")
    path = table(root, rows(listed, labels))
    for found in (read(path), read(root)):
        assert found.class_names == ("01", "no/yes")
        assert sizes(found) == {"train": 32, "validation": 4, "test": 4}
        for examples in found.examples.values():
            for file, label in examples:
                assert (file.path.parent.name == "top") == (label == "01")
    data = load(ImageConfig(dataset=str(path)))
    assert data.name == "data"
    image, label = next(data.train.as_numpy_iterator())
    assert (image[:6].mean() > image[6:].mean()) == (label == 0)


def test_labels_of_a_table_are_names_without_what_is_not_seen(tmp_path):
    root = tmp_path / "x"
    paths = [draw(root / "files", n).relative_to(root) for n in range(24)]
    found = read(table(root, rows(paths, ["caf\u00e9", "cafe\u0301 ", " cat", "Cat"] * 6)))
    assert found.class_names == ("Cat", "caf\u00e9", "cat")
    assert sum("the classes 'Cat', 'cat' are different" in note for note in found.notes) == 1


def test_tables_of_splits_may_stand_beside_folders_of_files(tmp_path):
    root = in_splits(tmp_path / "x")
    for split in SPLITS:
        paths = sorted((root / split).rglob("*.png"))
        flat = [p.rename(root / split / p.name).relative_to(root) for p in paths]
        table(root, rows(flat, [p.parent.name for p in paths]), f"{split}.csv")
        for name in CLASSES:
            (root / split / name).rmdir()
    assert sizes(read(root)) == {"train": 8, "validation": 4, "test": 4}


def test_bad_rows_of_a_table_are_named_by_their_line(tmp_path):
    root = tmp_path / "x"
    paths = [draw(root / label, n) for n in range(10) for label in CLASSES]
    labels = [path.parent.name for path in paths]
    listed = [path.relative_to(root) for path in paths]
    path = table(root, rows([*listed, "gone.png"], [*labels, "top"]))
    assert refused(path).startswith(f"{path}, line 22: {root}/gone.png is not there")
    paths[3].write_bytes(b"")
    assert refused(path).startswith(
        f"{path}, line 5: {root}/top/1.png is empty, and 1 more bad row"
    )
    found = read(path, skip_bad=True)
    assert sum(sizes(found).values()) == 19
    assert found.left_out["train"] == 2


# Hugging Face writes the first; the last is an image where a path is expected.
VALUES = [
    {"path": "a.png"},
    ["a.png"],
    {"bytes": b"\x89PNG\r\n\x1a\n\xff", "path": None},
    b"\x89PNG\r\n\x1a\n\xff",
]


@pytest.mark.parametrize("column", ["image", "label"])
@pytest.mark.parametrize("value", VALUES)
def test_values_of_a_table_that_are_no_texts_are_refused(value, column, tmp_path):
    path = tmp_path / "data.parquet"
    row = {"image": "a.png", "label": "cat", column: value}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row] * 3), path)
    assert refused(path).startswith(f"{path}, row 1: '{column}' is not a text, but ")


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 5000])
def test_a_path_that_cannot_be_is_a_bad_row(name, tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps({"image": name, "label": "cat"}))
    assert refused(path).startswith(f"{path}, line 1: {tmp_path}/{name[0]}")


def test_content_and_names_change_the_digest(tmp_path):
    root = in_splits(tmp_path / "x")
    before = read(root).digest
    assert read(root).digest == before
    (root / "train/top/4.png").rename(root / "train/top/99.png")
    renamed = read(root).digest
    picture("top", 98).save(root / "train/top/99.png")
    assert len({before, renamed, read(root).digest}) == 3


def test_a_folder_keeps_its_digest_where_it_is_moved(tmp_path):
    root = in_splits(tmp_path / "x")
    before = read(root).digest
    assert read(root.rename(tmp_path / "y")).digest == before


def test_names_that_are_not_utf8_are_read(tmp_path):
    root = in_splits(tmp_path / "x")
    folder = os.fsencode(root / "train/top")
    try:
        os.rename(folder + b"/4.png", folder + b"/\xff.png")
    except OSError:
        pytest.skip("the file system takes UTF-8 only")
    data = load(ImageConfig(dataset=str(root)))
    assert len(list(data.train)) == 8
    Path(os.fsdecode(folder + b"/\xff.png")).write_bytes(b"")
    assert refused(root).startswith(f"{root}/train/top/\\xff.png is empty")


def test_sixteen_bits_of_which_few_are_used_are_said(tmp_path):
    root = in_classes(tmp_path / "x", count=3)
    random = np.random.default_rng(0)
    for path in root.rglob("*.png"):
        values = random.integers(0, 4096, (12, 12))
        Image.fromarray(values.astype(np.uint16)).save(path)
    (note,) = [note for note in read(root).notes if "16 bits" in note]
    assert "6 images of 16 bits is above 4095" in note
    Image.fromarray(np.full((12, 12), 60000, np.uint16)).save(path)
    assert not [note for note in read(root).notes if "16 bits" in note]


def test_of_several_pages_the_first_is_read(tmp_path):
    root = in_splits(tmp_path / "x")
    pages = [picture("bottom", number) for number in (91, 92)]
    picture("top", 90).save(root / "train/top/pages.tif", save_all=True, append_images=pages)
    found = read(root)
    assert any("of 1 file with several pages" in note for note in found.notes)
    (file,) = [file for file, _ in found.examples["train"] if file.path.name == "pages.tif"]
    assert file.pages == 3
    data = load(ImageConfig(dataset=str(root)))
    for image, label in data.train.as_numpy_iterator():
        assert (image[:6].mean() > image[6:].mean()) == (CLASSES[label] == "top")


def test_transparent_pictures_are_on_white_and_turned_ones_upright(tmp_path):
    root = in_splits(tmp_path / "x")
    exif = Image.Exif()
    exif[0x0112] = 3
    icon = picture("top", 60)
    icon.putalpha(Image.new("L", icon.size, 0))
    for path in root.rglob("*.png"):
        if path.parent.name == "top":
            Image.open(path).rotate(180).save(path, exif=exif)
    for ending in ("webp", "tif", "png", "gif"):
        icon.save(root / f"train/bottom/icon.{ending}")
    data = load(ImageConfig(dataset=str(root)))
    icons = 0
    for image, label in data.train.as_numpy_iterator():
        if label:
            assert image[:6].mean() > image[6:].mean()
        icons += bool((image == 255).all())
    assert icons == 4
