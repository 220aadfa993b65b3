"""From slices of a head to a server that colors the brain in images."""

from __future__ import annotations

import io

import keras
import numpy as np
from PIL import Image

from pipelines.__main__ import main
from serving.client import Client
from serving.server.lifecycle.version_policy import Model
from tests.end_to_end.deploying import ask_as_the_card_says, deploy
from tests.serving.in_process import serving

SMALL = (
    *("--image_size", "32", "--epochs", "2", "--model.filters", "4", "--model.depth", "1"),
    *("--name", "brains", "--figures", "false"),
)


def test_a_served_model_returns_the_masks_and_overlays_of_the_trained_one(
    store, workplace, trained
):
    assert main(["image_segmentation", "--data_dir", str(workplace / "data"), *SMALL]) == 0
    deployed = deploy("brains", workplace / "models", version=1)
    examples = sorted((deployed.path / "assets.extra/examples").iterdir())
    opened = [Image.open(file) for file in examples]
    images = np.stack([np.asarray(image)[..., None] for image in opened])
    assert images.shape == (8, 32, 32, 1)

    photograph = io.BytesIO()
    opened[0].convert("RGB").resize((200, 150)).save(photograph, "JPEG")
    bytes_of = {"image_bytes": [file.read_bytes() for file in examples]}
    model_served = Model("brains", workplace / "models" / "brains")
    with serving(model_served) as address, Client(address, timeout=300) as client:
        ask_as_the_card_says("brains", address, workplace / "models")
        client.wait_until_ready("brains", timeout=300)
        tensors = client.predict("brains", {"images": images})
        files = client.predict("brains", bytes_of, signature="image_bytes")
        (overlay,) = client.predict(
            "brains",
            {"image_bytes": [photograph.getvalue()]},
            signature="image_bytes",
            outputs=["overlay_bytes"],
        )["overlay_bytes"]

    (network,) = trained
    probabilities = keras.ops.softmax(
        network.model.predict(images / np.float32(255), verbose=0)
    ).numpy()
    for answer in (tensors, files):
        np.testing.assert_allclose(answer["probabilities"], probabilities, rtol=1e-4, atol=1e-5)
        assert answer["mask"].dtype == np.uint8
        unambiguous = np.abs(probabilities[..., 1] - probabilities[..., 0]) > 1e-3
        assert unambiguous.mean() > 0.9
        np.testing.assert_array_equal(
            answer["mask"][unambiguous], probabilities.argmax(-1)[unambiguous]
        )

    for image, mask, file in zip(images, files["mask"], files["overlay_bytes"], strict=True):
        colored = np.asarray(Image.open(io.BytesIO(file)))
        assert colored.shape == (32, 32, 3)
        gray = np.broadcast_to(image, colored.shape)
        np.testing.assert_array_equal((colored != gray).any(-1), mask == 1)
    with Image.open(io.BytesIO(overlay)) as decoded:
        assert (decoded.format, decoded.mode, decoded.size) == ("PNG", "RGB", (200, 150))
