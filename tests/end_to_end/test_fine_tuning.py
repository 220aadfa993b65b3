"""From pre-trained weights and a folder of images to a server with the same answers."""

from __future__ import annotations

import io
import json

import keras
import mlflow
import numpy as np
import pytest
from PIL import Image, ImageDraw
from safetensors.numpy import save_file

from architectures.pretrained import Preprocessing
from pipelines.__main__ import main
from pipelines.errors import UserError
from pipelines.image.config import ImageConfig
from pipelines.image.weights import build, find, notes
from serving.client import Client
from serving.server.lifecycle.version_policy import Model
from tests.architectures.published_image_networks import random_resnet
from tests.end_to_end.deploying import deploy
from tests.serving.in_process import serving

CLASSES = ("circle", "square")


def draw(folder) -> None:
    """Draws images of 60 x 40 pixels as CLASS/NUMBER.png."""
    random = np.random.default_rng(0)
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for number in range(20):
            image = Image.fromarray(random.integers(0, 90, (40, 60, 3)).astype(np.uint8))
            x, y, radius = random.integers(18, 42), random.integers(14, 26), random.integers(7, 12)
            box = [*map(int, (x - radius, y - radius, x + radius, y + radius))]
            color = tuple(map(int, random.integers(120, 256, 3)))
            pen = ImageDraw.Draw(image)
            (pen.ellipse if name == "circle" else pen.rectangle)(box, fill=color)
            image.save(folder / name / f"{number}.png")


def pretrained(folder):
    """Writes a small ResNet-18 of other classes in timm's format."""
    folder.mkdir()
    save_file(random_resnet(18, 8, 10), folder / "model.safetensors")
    cfg = {
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "interpolation": "bicubic",
        "crop_pct": 0.9,
        "input_size": [3, 32, 32],
    }
    config = {"architecture": "resnet18", "num_classes": 10, "pretrained_cfg": cfg}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.slow
def test_a_network_that_starts_from_weights_is_served_as_it_was_trained(
    store, workplace, trained, capsys
):
    draw(workplace / "shapes")
    weights = pretrained(workplace / "timm")
    command = ["image_classification", "--dataset", str(workplace / "shapes"), "--name", "shapes"]
    command += ["--architecture", "resnet18", "--model.width", "8", "--figures", "false"]
    command += ["--weights", str(weights), "--freeze", "^conv", "--unfreeze_every", "1"]
    assert main([*command, "--epochs", "2", "--batch_size", "16"]) == 0
    assert "the head is new: its 10 classes are not those of the data" in capsys.readouterr().out

    (network,) = trained
    tensors = random_resnet(18, 8, 10)
    # All blocks were frozen in the first epoch, all but the last in the second.
    for name, ours, changed in (
        ("conv1", "conv1", False),
        ("layer4.0.conv1", "conv5_1_1", False),
        ("layer4.1.conv2", "conv5_2_2", True),
    ):
        kernel = tensors[f"{name}.weight"].transpose(2, 3, 1, 0)
        found = network.model.get_layer(ours).get_weights()[0]
        assert (np.abs(found - kernel).max() > 0) == changed, name

    deployed = deploy("shapes", workplace / "models", version=1)
    examples = sorted((deployed.path / "assets.extra/examples").glob("*/*.png"))
    images = np.stack([np.asarray(Image.open(file)) for file in examples])
    assert images.shape[1:] == (32, 32, 3)
    original = (workplace / "shapes/circle/0.png").read_bytes()
    served = Model("shapes", workplace / "models" / "shapes")
    with serving(served) as address, Client(address, timeout=300) as client:
        client.wait_until_ready("shapes", timeout=300)
        tensor_answers = client.predict("shapes", {"images": images})
        files = {"image_bytes": [file.read_bytes() for file in examples]}
        file_answers = client.predict("shapes", files, signature="image_bytes")
        features = [{"image/encoded": file.read_bytes()} for file in examples]
        classified = client.classify("shapes", features, signature="classify")
        whole = {"image_bytes": [original]}
        photograph = client.predict("shapes", whole, signature="image_bytes")

    logits = network.model.predict(images / np.float32(255), verbose=0)
    expected = keras.ops.softmax(logits).numpy()
    in_examples = [[score for _, score in scores] for scores in classified]
    for found in (
        tensor_answers["probabilities"],
        file_answers["probabilities"],
        np.array(in_examples),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)

    # A file of another size: as Pillow resizes and crops it, and normalized by hand.
    with Image.open(io.BytesIO(original)) as opened:
        resized = np.asarray(opened.resize((52, 35), Image.Resampling.BICUBIC))
    cropped = resized[2:34, 10:42].astype(np.float32) / 255
    (probabilities,) = keras.ops.softmax(network.model(cropped[None], training=False)).numpy()
    np.testing.assert_allclose(photograph["probabilities"][0], probabilities, atol=2e-3)
    normalized = (cropped - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    read = keras.Model(network.model.input, network.model.get_layer("preprocessing").output)
    np.testing.assert_allclose(read(cropped[None])[0], normalized, rtol=1e-5, atol=1e-6)

    check_what_starts_from_the_run(mlflow.search_runs(search_all_experiments=True), network)


def check_what_starts_from_the_run(runs, network) -> None:
    """A network of the same name takes all of it, a U-Net its body; with its preprocessing."""
    (number,) = runs.run_id
    chosen = ImageConfig(architecture="resnet18", weights=f"runs:/{number}")
    weights = find(chosen)
    assert weights is not None
    assert weights.preprocessing == Preprocessing(
        (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 32, 0.9, "bicubic"
    )
    (note,) = notes(weights, CLASSES, segments=False)
    assert "the head is kept, as the classes agree" in note
    images = np.random.default_rng(0).uniform(size=(2, 32, 32, 3)).astype(np.float32)
    same = build(chosen, Described(weights), "", lambda model: True)
    np.testing.assert_array_equal(same.model(images), network.model(images))

    segmenting = ImageConfig(architecture="resnet18_unet", weights=f"runs:/{number}")
    unet = build(segmenting, Described(find(segmenting)), "", lambda model: True, segments=True)
    ends = [
        keras.Model(model.input, model.get_layer("conv5_2_relu").output)(images)
        for model in (unet.model, network.model)
    ]
    np.testing.assert_array_equal(*ends)
    other = ImageConfig(architecture="resnet34", weights=f"runs:/{number}")
    described = Described(find(other))
    with pytest.raises(UserError, match=r"--weights: runs:/.* lacks the layers conv2_3_1"):
        build(other, described, "", lambda model: True)


class Described:
    """What a network is built from."""

    image_shape, class_names = (32, 32, 3), CLASSES

    def __init__(self, weights) -> None:
        self.weights, self.preprocessing = weights, weights.preprocessing
