"""Asking about image files, and the picture of the answers."""

from __future__ import annotations

import sys
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image

from serving.client import Client
from serving.errors import ServingError, UserError
from serving.query import Answer, ask, images, picture


def draw(path: Path, color: str = "white") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 4), color).save(path)
    return path


@pytest.fixture(scope="module")
def client(address):
    with Client(address, timeout=20) as client:
        yield client


def test_files_are_taken_in_the_order_given_without_a_class(tmp_path):
    files = [draw(tmp_path / name) for name in ("b.png", "a.JPG", "c.gif", "d.bmp", "e.jpeg")]
    assert images(files) == [(file, "") for file in files]


def test_a_folder_gives_each_image_the_class_that_its_own_folder_names(tmp_path):
    for name in ("cat/10.png", "dog/9.png", "cat/9.png", "dog/x.jpg"):
        draw(tmp_path / name)
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "cat" / "folder.png").mkdir()
    draw(tmp_path / "outside.png")
    draw(tmp_path / "cat" / "deeper" / "1.png")
    found = [(file.relative_to(tmp_path).as_posix(), truth) for file, truth in images([tmp_path])]
    assert found == [
        ("cat/9.png", "cat"),
        ("dog/9.png", "dog"),
        ("dog/x.jpg", "dog"),
        ("cat/10.png", "cat"),
    ]


def test_files_and_folders_may_be_mixed(tmp_path):
    inside, alone = draw(tmp_path / "folder/cat/1.png"), draw(tmp_path / "1.png")
    assert images([alone, tmp_path / "folder"]) == [(alone, ""), (inside, "cat")]
    assert images([]) == []


def test_what_cannot_be_asked_about_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    known = ".bmp, .gif, .jpeg, .jpg, .png"
    for path, sentence in [
        (tmp_path / "gone.png", f"there is no file {tmp_path}/gone.png"),
        (tmp_path / "notes.txt", f"{tmp_path}/notes.txt is no image file; known are: {known}"),
        (tmp_path, f"{tmp_path} holds no images as CLASS/IMAGE"),
    ]:
        with pytest.raises(UserError) as raised:
            images([path])
        assert str(raised.value) == sentence


def test_the_files_are_sent_as_they_are_in_one_request(tmp_path):
    sent: list[tuple] = []

    class Stub:
        def predict(self, *arguments, **options):
            sent.append((arguments, options))
            return {
                "classes": np.array([b"cat", "Größe".encode()], object),
                "probabilities": np.array([[0.25, 0.75], [1.0, 0.0]], np.float32),
            }

    # Zero bytes at the end of a file belong to it.
    (tmp_path / "1.png").write_bytes(b"first\0")
    (tmp_path / "2.png").write_bytes(b"second")
    files = [(tmp_path / "1.png", "dog"), (tmp_path / "2.png", "")]
    assert ask(Stub(), "pets", files, 3) == [  # type: ignore[arg-type]
        Answer(tmp_path / "1.png", "cat", 0.75, "dog"),
        Answer(tmp_path / "2.png", "Größe", 1.0, ""),
    ]
    [((model, inputs), options)] = sent
    assert model == "pets"
    assert inputs["image_bytes"].tolist() == [b"first\0", b"second"]
    assert options == {"signature": "image_bytes", "version": 3}


def test_a_model_that_does_not_classify_is_refused_with_what_it_answers(tmp_path):
    class Stub:
        def predict(self, *arguments, **options):
            return {"mask": np.zeros((1, 8, 8), np.uint8), "classes": np.array([b"cat"], object)}

    (tmp_path / "1.png").write_bytes(b"image")
    with pytest.raises(UserError) as raised:
        ask(Stub(), "pets", [(tmp_path / "1.png", "")])  # type: ignore[arg-type]
    assert str(raised.value) == "pets answers classes, mask, not classes and probabilities"


def test_a_served_model_answers_about_files(client, tmp_path):
    draw(tmp_path / "bright/1.png", "white")
    draw(tmp_path / "dark/2.jpg", "black")
    draw(tmp_path / "dark/3.gif", "white")
    answers = ask(client, "brightness", images([tmp_path]))
    assert [(answer.predicted, answer.truth) for answer in answers] == [
        ("bright", "bright"),
        ("dark", "dark"),
        ("bright", "dark"),
    ]
    assert all(answer.probability > 0.95 for answer in answers)


def test_the_server_says_what_is_wrong_with_a_file(client, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image at all")
    with pytest.raises(ServingError) as raised:
        ask(client, "brightness", images([tmp_path / "broken.png"]))
    assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "Unknown image file format" in raised.value.message


def test_a_model_without_the_signature_says_so(client, tmp_path):
    with pytest.raises(ServingError) as raised:
        ask(client, "half_plus_two", [(draw(tmp_path / "1.png"), "")])
    assert raised.value.message == 'Serving signature key "image_bytes" not found.'


def test_the_picture_is_a_png_that_grows_with_the_answers(tmp_path):
    file = draw(tmp_path / "1.png", "green")
    target = tmp_path / "new" / "folder" / "answers.png"

    def size(count: int) -> tuple[int, int]:
        picture([Answer(file, "bright", 0.5, "dark")] * count, "a title", target)
        with Image.open(target) as drawn:
            drawn.load()
            assert drawn.format == "PNG"
            return drawn.size

    (narrow, low), (wide, as_low), (as_wide, high) = size(1), size(8), size(19)
    assert 300 < narrow < wide == as_wide
    assert 200 < low == as_low < high
    assert [path.name for path in target.parent.iterdir()] == ["answers.png"]


def test_the_picture_shows_the_images_and_marks_mistakes_in_red(tmp_path):
    file = draw(tmp_path / "1.png", "lime")

    def colors(truth: str) -> set[object]:
        picture([Answer(file, "bright", 0.5, truth)], "", tmp_path / "answers.png")
        with Image.open(tmp_path / "answers.png") as drawn:
            return {color for _, color in drawn.convert("RGB").getcolors(1 << 20) or []}

    red = (214, 39, 40)
    assert (0, 255, 0) in colors("")
    assert red not in colors("")
    assert red not in colors("bright")
    assert red in colors("dark")


def test_a_picture_that_fails_leaves_the_old_one_as_it_was(tmp_path, monkeypatch):
    target = tmp_path / "answers.png"
    target.write_bytes(b"the old one")
    file = draw(tmp_path / "1.png")
    from matplotlib.figure import Figure

    def fail(self, path, **_):
        Path(path).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="no space"):
        picture([Answer(file, "bright", 0.5, "")], "a title", target)
    assert target.read_bytes() == b"the old one"


def test_only_the_picture_needs_matplotlib(tmp_path):
    import subprocess

    root = Path(__file__).resolve().parent.parent.parent
    code = "import sys, serving.query; print('matplotlib' in sys.modules, 'PIL' in sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    assert printed.split() == ["False", "False"]
