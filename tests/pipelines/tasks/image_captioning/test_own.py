"""A user's own images with captions: tables, splits, and what is wrong with rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.errors import UserError
from pipelines.tasks.image_captioning import own
from pipelines.tasks.image_captioning.config import CaptioningConfig
from pipelines.tasks.image_captioning.data import load

HEADER = "image,caption"


def draw(file: Path, number: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(pixels).save(file)


def album(root: Path, count: int = 20, header: str = HEADER, inside: str = "") -> Path:
    """A folder of images with two captions each, one of them quoted."""
    rows = [header]
    for number in range(count):
        draw(root / inside / f"{number}.png", number)
        rows += [f"{number}.png,number {number}", f'{number}.png,"no. {number}, a picture"']
    (root / "captions.csv").write_text("\n".join([*rows, ""]))
    return root


def read(path: Path, **options) -> own.OwnCaptions:
    return own.read(path, CaptioningConfig(dataset=str(path), **options))


def pairs(found: own.OwnCaptions, split: str) -> dict[str, tuple[str, ...]]:
    return {image.path.name: captions for image, captions in found.examples[split]}


def test_rows_of_an_image_are_its_captions_and_stay_in_one_split(tmp_path):
    found = read(album(tmp_path))
    sizes = {split: len(examples) for split, examples in found.examples.items()}
    assert sizes == {"train": 16, "validation": 2, "test": 2}
    every = [name for split in sizes for name in pairs(found, split)]
    assert len(set(every)) == 20
    for split in sizes:
        for name, captions in pairs(found, split).items():
            number = name.split(".")[0]
            assert captions == (f"number {number}", f"no. {number}, a picture")
    assert any("rows with the same image are in one split" in note for note in found.notes)
    assert read(tmp_path).digest == found.digest
    assert pairs(read(tmp_path, split_seed=1), "test") != pairs(found, "test")


@pytest.mark.parametrize("header", ["file,caption", "File_Name,text", "Image,Caption"])
def test_columns_have_other_names_too(header, tmp_path):
    assert len(pairs(read(album(tmp_path, header=header)), "train")) == 16


def test_images_may_lie_in_a_folder_beside_the_table(tmp_path):
    found = read(album(tmp_path, inside="Images"))
    assert {image.path.parent.name for image, _ in found.examples["train"]} == {"Images"}


def test_json_lines_and_split_tables_and_folders_are_read(tmp_path):
    for number, split in enumerate(("train", "val", "test")):
        draw(tmp_path / f"folders/{split}/a.png", number)
        draw(tmp_path / f"tables/{split}.png", number)
        (tmp_path / f"folders/{split}/metadata.jsonl").write_text(
            json.dumps({"file_name": "a.png", "text": f"of {split}"})
        )
        (tmp_path / f"tables/{split}.csv").write_text(f"{HEADER}\n{split}.png,of {split}\n")
    for folder in ("folders", "tables"):
        found = read(tmp_path / folder)
        assert [captions for _, captions in found.examples["validation"]] == [("of val",)]
        assert [captions for _, captions in found.examples["test"]] == [("of test",)]


def test_one_table_is_enough_and_images_are_found_from_its_folder(tmp_path):
    album(tmp_path / "somewhere")
    assert len(pairs(read(tmp_path / "somewhere/captions.csv"), "train")) == 16


def test_an_image_in_two_splits_is_noted(tmp_path):
    draw(tmp_path / "a.png", 0)
    for split in ("train", "validation", "test"):
        (tmp_path / f"{split}.csv").write_text(f"{HEADER}\na.png,one\n")
    found = read(tmp_path)
    (note,) = [note for note in found.notes if "two splits" in note]
    assert note.startswith("2 images in two splits, train and validation, train and test: ")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("none.png,a text", r"captions.csv, line 42: .*none.png is not there; mend it"),
        ("3.png,", "captions.csv, line 42: 'caption' is empty; mend it"),
        (",a text", "captions.csv, line 42: 'image' is empty; mend it"),
        ("broken.png,a text", "captions.csv, line 42: .*broken.png is empty; mend it"),
        ("3.png", "captions.csv, line 42: .*; mend it"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_or_left_out(line, message, tmp_path):
    album(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"")
    with (tmp_path / "captions.csv").open("a") as table:
        table.write(f"{line}\n")
    with pytest.raises(UserError, match=message):
        read(tmp_path)
    found = read(tmp_path, skip_bad=True)
    assert found.left_out["train"] == 1
    assert sum(len(examples) for examples in found.examples.values()) == 20


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "image_captioning needs a table .* with the columns image and caption"),
        ({"a.txt": "a"}, "image_captioning needs a table .* but .* holds 1 .txt file: a.txt"),
        ({"captions.csv": "name,caption\na.png,x\n"}, "has no column 'image'; it has: name"),
        ({"captions.csv": "image,words\na.png,x\n"}, "has no column 'caption'; it has: image"),
        ({"a.csv": f"{HEADER}\n", "b.csv": ""}, "needs one table with the columns image and"),
    ],
)
def test_folders_without_captions_are_refused_in_one_sentence(files, message, tmp_path):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        read(tmp_path)


def test_the_data_set_has_the_user_s_captions_and_sizes(tmp_path):
    album(tmp_path / "my album")
    folder = tmp_path / "my album"
    data = load(CaptioningConfig(dataset=str(folder), tokens="words", max_examples=10))
    assert data.name == "my_album"
    assert data.sizes == {"train": 10, "validation": 2, "test": 2}
    assert data.image_shape == (6, 8, 3)
    contents = list(data.contents("test"))
    assert [content.size for content in contents] == [(6, 8), (6, 8)]
    for image, captions in zip(
        data.images["test"].as_numpy_iterator(), data.raw("test")["references"], strict=True
    ):
        number = int(captions[0].split()[1])
        with Image.open(folder / f"{number}.png") as expected:
            np.testing.assert_array_equal(image, np.asarray(expected))
