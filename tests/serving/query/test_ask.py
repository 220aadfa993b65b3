"""Asking about images, texts and JSON lines."""

from __future__ import annotations

import io
import json
import sys
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import predict_pb2

from serving.client import Client
from serving.errors import ServingError, UserError
from serving.query import pictures
from serving.query.ask import (
    Model,
    are_texts,
    ask_about_images,
    ask_about_texts,
    ask_json,
    images,
    in_order,
    texts,
)
from tests.serving.recording import Recorder, bare_server, echoed, signatures


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
    draw(tmp_path / ".hidden" / "1.png")
    (tmp_path / "cat" / "._9.png").write_bytes(b"left by macOS")
    draw(tmp_path / "T-shirt%2Ftop" / "11.png")
    found = [(file.relative_to(tmp_path).as_posix(), truth) for file, truth in images([tmp_path])]
    assert found == [
        ("cat/deeper/1.png", "cat"),
        ("cat/9.png", "cat"),
        ("dog/9.png", "dog"),
        ("dog/x.jpg", "dog"),
        ("cat/10.png", "cat"),
        ("T-shirt%2Ftop/11.png", "T-shirt/top"),
    ]


def test_a_folder_of_images_alone_has_no_classes(tmp_path):
    files = [draw(tmp_path / name) for name in ("1.png", "2.TIF")]
    (tmp_path / "notes.txt").write_text("no image")
    requests = tmp_path / "requests.jsonl"
    requests.write_text("{}")
    assert images([tmp_path]) == [(file, "") for file in files]


def test_files_and_folders_may_be_mixed(tmp_path):
    inside, alone = draw(tmp_path / "folder/cat/1.png"), draw(tmp_path / "1.png")
    assert images([alone, tmp_path / "folder"]) == [(alone, ""), (inside, "cat")]
    assert images([]) == []


def test_what_cannot_be_asked_about_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    requests = tmp_path / "requests.jsonl"
    requests.write_text("{}")
    known = ", ".join(sorted(pictures.SUFFIXES))
    for path, sentence in [
        (tmp_path / "gone.png", f"there is no file {tmp_path}/gone.png; a text is given by --text"),
        (tmp_path / "notes.txt", f"{tmp_path}/notes.txt is no image file; known are: {known}"),
        (requests, f"{requests} is no image file; lines of JSON are given by --json"),
        (tmp_path, f"{tmp_path} holds no images as CLASS/IMAGE"),
    ]:
        with pytest.raises(UserError) as raised:
            images([path])
        assert str(raised.value) == sentence


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_the_files_are_sent_as_they_are_in_batches(tmp_path, batch_size):
    def classify(request):
        [files] = request.inputs.values()
        classes = [
            "cat" if name == b"\xff\xd8\xfffirst\0" else "Größe" for name in files.string_val
        ]
        answer = predict_pb2.PredictResponse()
        answer.outputs["classes"].CopyFrom(tf.make_tensor_proto(classes))
        chances = [[0.25, 0.75]] * len(classes)
        answer.outputs["probabilities"].CopyFrom(tf.make_tensor_proto(chances))
        answer.outputs["levels"].CopyFrom(tf.make_tensor_proto([1, 2, 3, 4]))
        return answer

    # Zero bytes at the end of a file belong to it.
    (tmp_path / "1.png").write_bytes(b"\xff\xd8\xfffirst\0")
    (tmp_path / "2.png").write_bytes(b"\xff\xd8\xffsecond")
    files = [(tmp_path / "1.png", "dog"), (tmp_path / "2.png", ""), (tmp_path / "1.png", "")]
    recorder = Recorder(
        Predict=classify, GetModelMetadata=signatures(image_bytes={"image_bytes": "string"})
    )
    with bare_server(recorder) as address, Client(address, timeout=20) as client:
        model = Model("pets", label="stable")
        answers = list(ask_about_images(client, model, files, batch_size=batch_size))
    assert [(a.source, a.predicted, a.probability, a.truth) for a in answers] == [
        (str(tmp_path / "1.png"), "cat", 0.75, "dog"),
        (str(tmp_path / "2.png"), "Größe", 0.75, ""),
        (str(tmp_path / "1.png"), "cat", 0.75, ""),
    ]
    assert answers[0].outputs["levels"].tolist() == [1, 2, 3, 4]
    requests = recorder.requests("Predict")
    assert len(requests) == -(-3 // batch_size)
    for request in requests:
        spec = request.model_spec
        assert (spec.name, spec.signature_name) == ("pets", "image_bytes")
        assert spec.version_label == "stable"


@pytest.mark.parametrize(
    ("offered", "wanted", "chosen"),
    [
        ({"image_bytes": {"image_bytes": "string"}, "serving_default": {"images": "uint8"}}, "",
         ("image_bytes", "image_bytes")),
        ({"serving_default": {"text": "string"}, "b": {"files": "string"}}, "", ("b", "files")),
        ({"serving_default": {"files": "string"}, "other": {"text": "string"}}, "",
         ("serving_default", "files")),
        ({"serving_default": {"inputs": "string"}}, "", ("serving_default", "inputs")),
        ({"a": {"inputs": "string"}, "b": {"s": "string"}}, "", ("b", "s")),
        ({"a": {"inputs": "string"}, "b": {"s": "string"}}, "a", ("a", "inputs")),
    ],
)  # fmt: skip
def test_the_signature_is_the_one_that_takes_a_string(tmp_path, offered, wanted, chosen):
    recorder = Recorder(Predict=echoed, GetModelMetadata=signatures(**offered))
    file = draw(tmp_path / "1.png")
    with bare_server(recorder) as address, Client(address, timeout=20) as client:
        [answer] = ask_about_images(client, Model("m", signature=wanted), [(file, "")])
    assert answer.outputs["echo"].item() == file.read_bytes()
    [request] = recorder.requests("Predict")
    assert (request.model_spec.signature_name, next(iter(request.inputs))) == chosen


@pytest.mark.parametrize(
    ("offered", "wanted", "sentence"),
    [
        ({"serving_default": {"x": "float32"}}, "",
         "no signature of m takes text as one string (serving_default takes x float32); "
         "ask it with --json"),
        ({"serving_default": {"question": "string", "context": "string"}}, "",
         "no signature of m takes text as one string (serving_default takes context string, "
         "question string); ask it with --json"),
        ({"image_bytes": {"image_bytes": "string"}, "classify": {"inputs": "string"}}, "",
         "m takes images, not text: signature image_bytes has the input image_bytes"),
        ({"a": {"s": "string"}, "b": {"my_bytes": "string"}}, "b",
         "m takes images, not text: signature b has the input my_bytes"),
        ({"a": {"s": "string"}, "b": {"s": "string"}}, "c", "m has no signature 'c'; it has: a, b"),
    ],
)  # fmt: skip
def test_a_model_without_such_a_signature_is_refused_with_those_it_has(offered, wanted, sentence):
    with (
        bare_server(Recorder(GetModelMetadata=signatures(**offered))) as address,
        Client(address, timeout=20) as client,
        pytest.raises(UserError) as raised,
    ):
        list(ask_about_texts(client, Model("m", signature=wanted), ["text"]))
    assert str(raised.value) == sentence


@pytest.mark.parametrize("name", ["text", "prompt"])
@pytest.mark.parametrize("wanted", ["", "serving_default"])
def test_an_image_is_not_sent_as_text(tmp_path, name, wanted):
    offered = {"serving_default": {name: "string"}, "token_ids": {"token_ids": "int32"}}
    recorder = Recorder(GetModelMetadata=signatures(**offered))
    file = draw(tmp_path / "1.png")
    with (
        bare_server(recorder) as address,
        Client(address, timeout=20) as client,
        pytest.raises(UserError) as raised,
    ):
        list(ask_about_images(client, Model("era", signature=wanted), [(file, "")]))
    assert str(raised.value) == (
        f"era takes text, not images: signature serving_default has the input {name}"
    )
    assert recorder.requests("Predict") == []


def test_a_served_model_answers_about_files(client, tmp_path):
    draw(tmp_path / "bright/1.png", "white")
    draw(tmp_path / "dark/2.jpg", "black")
    draw(tmp_path / "dark/3.gif", "white")
    answers = ask_about_images(client, Model("brightness"), images([tmp_path]), batch_size=2)
    assert [(answer.predicted, answer.truth, answer.probability > 0.95) for answer in answers] == [
        ("bright", "bright", True),
        ("dark", "dark", True),
        ("bright", "dark", True),
    ]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("broken.png", b"no image at all", "is no image: it begins with b'no image at all'"),
        ("empty.jpg", b"", "is no image: it is empty"),
        ("cut.png", None, "cannot be decoded: image file is truncated"),
    ],
)
def test_a_file_that_cannot_be_decoded_is_named(client, tmp_path, name, content, sentence):
    good, bad = draw(tmp_path / "good.png"), tmp_path / name
    Image.effect_noise((60, 60), 90).save(bad)
    bad.write_bytes(bad.read_bytes()[:-300] if content is None else content)
    with pytest.raises(UserError) as raised:
        list(ask_about_images(client, Model("brightness"), images([good, bad])))
    assert str(raised.value).startswith(f"{bad} {sentence}")


def test_what_the_server_cannot_decode_and_others_can_is_its_error(client, tmp_path):
    cut = draw(tmp_path / "cut.png")
    cut.write_bytes(cut.read_bytes()[:-4])
    with pytest.raises(ServingError) as raised:
        list(ask_about_images(client, Model("brightness"), images([cut])))
    assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("ending", ["webp", "tif", "bmp", "ppm", "gif"])
def test_files_that_models_do_not_read_are_sent_as_png(tmp_path, ending):
    recorder = Recorder(
        Predict=echoed, GetModelMetadata=signatures(image_bytes={"image_bytes": "string"})
    )
    image = Image.linear_gradient("L").resize((6, 4))
    image.putalpha(Image.fromarray(np.repeat(np.array([0, 255], np.uint8), 12).reshape(4, 6)))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = ending in ("webp", "tif")
    kept = image.convert({"bmp": "1", "ppm": "L"}.get(ending, "RGBA"))
    kept.save(tmp_path / f"1.{ending}", exif=exif if turned else None, lossless=True)
    with bare_server(recorder) as address, Client(address, timeout=20) as client:
        [answer] = ask_about_images(client, Model("m"), images([tmp_path / f"1.{ending}"]))
    with Image.open(io.BytesIO(answer.outputs["echo"].item())) as sent:
        assert sent.format == "PNG"
        assert sent.size == ((4, 6) if turned else (6, 4))
        assert sent.has_transparency_data == (ending not in ("bmp", "ppm"))
    assert answer.converted == {"tif": "TIFF"}.get(ending, ending.upper())


@pytest.mark.parametrize("ending", ["png", "jpg", "gif", "bmp"])
def test_files_that_models_read_are_sent_as_they_are(tmp_path, ending):
    file = draw(tmp_path / f"1.{ending}")
    assert pictures.read(file) == (file.read_bytes(), "")


def test_a_file_that_vanishes_is_said_in_a_sentence(client, tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*gone.png: No such file or directory"):
        list(ask_about_images(client, Model("brightness"), [(tmp_path / "gone.png", "")]))


def test_texts_are_the_lines_of_files(tmp_path):
    (tmp_path / "a.txt").write_text("one\n\n  \ntwo é\n")
    (tmp_path / "b.TXT").write_text("three")
    paths = [tmp_path / "a.txt", tmp_path / "b.TXT"]
    assert are_texts(paths)
    assert not are_texts([])
    assert not are_texts([*paths, tmp_path / "c.png"])
    assert texts(paths) == ["one", "two é", "three"]
    for unreadable in (tmp_path / "gone.txt", tmp_path):
        with pytest.raises(UserError, match=f"cannot read {unreadable}: "):
            texts([unreadable])
    (tmp_path / "c.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is not text in UTF-8"):
        texts([tmp_path / "c.txt"])


def test_a_served_model_answers_about_texts(client):
    texts = [f"text {number}" for number in range(50)]
    answers = list(ask_about_texts(client, Model("echo"), texts, batch_size=3, concurrency=7))
    assert [answer.source for answer in answers] == texts
    assert [answer.outputs["text"].item() for answer in answers] == [t.encode() for t in texts]


def test_json_lines_are_answered_in_order(client):
    lines = [f'{{"x": {number}}}' for number in range(100)]
    lines[3] = "\n"
    answers = list(ask_json(client, Model("half_plus_two"), lines, concurrency=8))
    assert answers == [f'{{"y": {n / 2 + 2}}}' for n in range(100) if n != 3]


def test_a_refused_line_is_named(client):
    # A shape that the signature knows nothing about.
    lines = ['{"a": 1, "b": 1}', '{"a": [1, 2], "b": [1, 2, 3]}']
    answers = ask_json(client, Model("sum_and_difference"), lines, concurrency=1)
    assert json.loads(next(answers)) == {"sum": 2, "difference": 0}
    with pytest.raises(ServingError, match=r"line 2: Incompatible shapes"):
        next(answers)
    with pytest.raises(UserError, match="line 1 must be an object with the inputs a, b"):
        next(ask_json(client, Model("sum_and_difference"), ["3"]))


def test_a_model_without_a_default_must_be_told_the_signature(tmp_path):
    offered = {"a": {"x": "float32"}, "b": {"x": "float32"}}
    recorder = Recorder(Predict=echoed, GetModelMetadata=signatures(**offered))
    with bare_server(recorder) as address, Client(address, timeout=20) as client:
        with pytest.raises(UserError, match="choose a signature of m: a, b"):
            next(ask_json(client, Model("m"), ["[1]"]))
        assert next(ask_json(client, Model("m", signature="b"), ["[1]"])) == '{"echo": [1.0]}'


def test_results_come_in_order_with_few_items_read_ahead():
    taken: list[int] = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    def slow_first(number: int) -> int:
        time.sleep(0.2 if number == 0 else 0)
        return number * 2

    results = in_order(slow_first, items(), 3)
    assert next(results) == 0
    assert len(taken) <= 6
    assert list(results) == [number * 2 for number in range(1, 100)]


def test_the_first_error_ends_the_work():
    begun: list[int] = []

    def fail_at_three(number: int) -> int:
        begun.append(number)
        if number == 3:
            raise ValueError("three")
        return number

    results = in_order(fail_at_three, range(1000), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
    assert max(begun) < 12


def test_only_the_picture_needs_matplotlib(tmp_path):
    import subprocess

    root = Path(__file__).resolve().parent.parent.parent.parent
    code = "import sys, serving.query.ask; print('matplotlib' in sys.modules, 'PIL' in sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    assert printed.split() == ["False", "False"]
