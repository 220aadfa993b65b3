"""Tables and figures of answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from serving.errors import UserError
from serving.query import pictures
from serving.query.display import Answer, conversions, figure, readable, table


def draw(path: Path, color: str = "white") -> Path:
    Image.new("RGB", (6, 4), color).save(path)
    return path


def answer(file: Path, truth: str = "") -> Answer:
    chances = np.array([0.5, 0.25], np.float32)
    classes = np.array(b"bright", object)
    return Answer(str(file), {"classes": classes, "probabilities": chances}, truth)


def printed(*answers: Answer) -> list[list[str]]:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(table(answers, "text"))
    return [
        [cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")]
        for line in captured.get().splitlines()
        if line.startswith(("│", "┃"))
    ]


def test_a_narrow_terminal_cuts_no_name_of_a_file():
    files = [Path("models/digits/1/assets.extra/examples") / str(n) / f"{n}.png" for n in range(2)]
    console = Console(width=50)
    with console.capture() as captured:
        console.print(table([answer(file) for file in files], "image"))
    text = captured.get()
    assert "…" not in text
    assert all(f"{n}/{n}.png" in "".join(text.split()).replace("│││", "") for n in range(2))


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.array(b"yes", object), "yes"),
        (np.array("é".encode(), object), "é"),
        (np.array(b"\x89PNG\r\n" * 200, object), "1,200 bytes"),
        (np.array([b"a", b"b"], object), "a, b"),
        (np.float32(0.123456), "0.1235"),
        (np.float32(1e-8), "1e-08"),
        (np.int64(12345678), "12345678"),
        (np.array([True, False]), "True, False"),
        (np.arange(8, dtype=np.int32), "0, 1, 2, 3, 4, 5, 6, 7"),
        (np.arange(9, dtype=np.int32), "int32 [9]"),
        (np.zeros((4, 2), np.uint8), "uint8 [4, 2]"),
        (np.zeros((1, 1, 1), np.uint8), "uint8 [1, 1, 1]"),
        (np.array([[0.5, 0.25], [1.0, 0.0]], np.float32), "0.5, 0.25; 1, 0"),
        (np.array([[b"treasury", b"navy"], [b"army", b""]], object), "treasury, navy; army"),
        (np.array([b"word"] * 32, object), ", ".join(["word"] * 32)),
        (np.array([b"word"] * 33, object), "string [33]"),
        (np.full((3, 3), b"", object), "; ; "),
        (np.zeros(0, np.float32), ""),
    ],
    ids=str,
)
def test_few_values_are_shown_and_many_described(array, text):
    assert readable(np.asarray(array)) == text


def test_a_class_is_shown_with_its_probability():
    assert printed(answer(Path("a")), answer(Path("[b]b[/b]"))) == [
        ["text", "answer", "probability"],
        ["a", "bright", "0.5000"],
        ["[b]b[/b]", "bright", "0.5000"],
    ]
    assert printed(answer(Path("a"), "dark"))[0] == ["text", "answer", "probability", "truth"]


def test_any_other_outputs_have_a_column_each():
    one = Answer("a", {"mask": np.zeros((4, 4), np.uint8), "score": np.asarray(np.float32(0.5))})
    assert printed(one) == [["text", "mask", "score"], ["a", "uint8 [4, 4]", "0.5"]]


def test_classes_of_pixels_are_no_class():
    outputs = {
        "classes": np.full((2, 2), b"sky", object),
        "probabilities": np.zeros((2, 2, 3), np.float32),
    }
    assert not Answer("a", outputs).classifies
    assert printed(Answer("a", outputs))[0] == ["text", "classes", "probabilities"]


def caption(file: Path) -> Answer:
    outputs = {
        "caption": np.array(b"a 7 above two 3s, $5 each", object),
        "captions": np.array([b"a 7 above two 3s", b"two 3s below a 7"], object),
        "score": np.asarray(np.float32(-0.5)),
        "scores": np.array([-0.5, -0.75], np.float32),
    }
    return Answer(str(file), outputs)


def test_a_caption_is_shown_with_its_score_alone():
    assert printed(caption(Path("a"))) == [
        ["text", "caption", "score"],
        ["a", "a 7 above two 3s, $5 each", "-0.5"],
    ]
    several = {"caption": np.array([b"a", b"b"], object), "score": np.zeros(2)}
    assert not Answer("a", several).captions


def test_the_figure_shows_captions_too(tmp_path):
    file = draw(tmp_path / "1.png", "lime")
    figure([caption(file)] * 5, "a title", tmp_path / "answers.png")
    with Image.open(tmp_path / "answers.png") as drawn:
        width, height = drawn.size
        colors = {color for _, color in drawn.convert("RGB").getcolors(1 << 20) or []}
    assert width > height > 700  # Four in a row.
    assert (0, 255, 0) in colors


def test_the_figure_shows_an_image_beside_its_mask(tmp_path):
    file = draw(tmp_path / "1.png", "lime")
    overlay = np.array(draw(tmp_path / "overlay.png", "blue").read_bytes(), object)
    one = Answer(str(file), {"mask": np.zeros((4, 6), np.uint8), "overlay_bytes": overlay})
    figure([one] * 2, "a title", tmp_path / "answers.png")
    with Image.open(tmp_path / "answers.png") as drawn:
        colors = {color for _, color in drawn.convert("RGB").getcolors(1 << 20) or []}
    assert {(0, 255, 0), (0, 0, 255)} <= colors


def test_a_figure_of_other_outputs_is_refused(tmp_path):
    other = Answer("a.png", {"mask": np.zeros((4, 4)), "classes": np.array(b"cat", object)})
    sentence = (
        "a figure shows classes and probabilities, captions, or the overlay_bytes of a mask; "
        "the model answers classes, mask"
    )
    with pytest.raises(UserError, match=sentence):
        figure([other], "", tmp_path / "answers.png")


def test_the_figure_is_a_png_that_grows_with_the_answers(tmp_path):
    file = draw(tmp_path / "1.png", "green")
    target = tmp_path / "new" / "folder" / "answers.png"

    def size(count: int) -> tuple[int, int]:
        figure([answer(file, "dark")] * count, "a title", target)
        with Image.open(target) as drawn:
            drawn.load()
            assert drawn.format == "PNG"
            return drawn.size

    (narrow, low), (wide, as_low), (as_wide, high) = size(1), size(8), size(19)
    assert 300 < narrow < wide == as_wide
    assert 200 < low == as_low < high
    assert [path.name for path in target.parent.iterdir()] == ["answers.png"]


def test_the_figure_shows_the_images_and_marks_mistakes_in_red(tmp_path):
    file = draw(tmp_path / "1.png", "lime")

    def colors(truth: str) -> set[object]:
        figure([answer(file, truth)], "", tmp_path / "answers.png")
        with Image.open(tmp_path / "answers.png") as drawn:
            return {color for _, color in drawn.convert("RGB").getcolors(1 << 20) or []}

    red = (214, 39, 40)
    assert (0, 255, 0) in colors("")
    assert red not in colors("")
    assert red not in colors("bright")
    assert red in colors("dark")


def test_the_figure_shows_pictures_as_people_see_them(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.new("RGB", (60, 10), "lime")
    lying.paste("blue", (0, 0, 30, 10))
    lying.save(tmp_path / "lying.png", exif=exif)
    seen = pictures.shown(tmp_path / "lying.png")
    assert (seen.mode, seen.size) == ("RGB", (10, 60))
    assert (seen.getpixel((5, 5)), seen.getpixel((5, 55))) == ((0, 0, 255), (0, 255, 0))
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert pictures.shown(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)
    Image.fromarray(np.full((4, 4), 25700, np.uint16)).save(tmp_path / "deep.png")
    assert pictures.shown(tmp_path / "deep.png").getpixel((0, 0)) == (100, 100, 100)


def test_conversions_are_counted():
    def sent(converted: str) -> Answer:
        return Answer("a", {}, converted=converted)

    assert conversions([sent(""), sent("")]) == ""
    assert conversions([sent("BMP"), sent(""), sent("TIFF"), sent("TIFF")]) == (
        "converted to PNG, as models take it: 2 TIFF, 1 BMP"
    )


def test_a_figure_that_fails_leaves_the_old_one_as_it_was(tmp_path, monkeypatch):
    target = tmp_path / "answers.png"
    target.write_bytes(b"the old one")
    file = draw(tmp_path / "1.png")
    from matplotlib.figure import Figure

    def fail(self, path, **_):
        Path(path).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(UserError, match=r"answers\.png cannot be written: no space"):
        figure([answer(file, "")], "a title", target)
    assert target.read_bytes() == b"the old one"


def test_a_figure_in_a_place_that_is_no_folder_is_refused(tmp_path):
    file = draw(tmp_path / "1.png")
    with pytest.raises(UserError, match=r"1\.png/answers\.png cannot be written: "):
        figure([answer(file, "")], "a title", file / "answers.png")
