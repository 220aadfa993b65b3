"""From pre-trained weights and a folder of images to a server with the same answers."""

from __future__ import annotations

import io
import json

import keras
import mlflow
import numpy as np
from PIL import Image, ImageDraw
from safetensors.numpy import save_file

from pipelines.__main__ import main
from pipelines.image.preprocessing import Preprocessing, resize
from serving.client import Client, example
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
