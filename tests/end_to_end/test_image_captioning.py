"""From your own images with captions to a server that says what a picture shows."""

from __future__ import annotations

import io
import json

import mlflow
import numpy as np
import pytest
from PIL import Image

from pipelines.__main__ import main
from serving.client import Client
from serving.query import ask
from serving.server.lifecycle.version_policy import Model
from tests.end_to_end.deploying import ask_as_the_card_says, deploy
from tests.pipelines.tasks.image_captioning import examples
from tests.pipelines.text.test_beam_search import searched_plainly
from tests.serving.in_process import serving

SHORT = (
    *("--architecture", "cnn_lstm_captioner"),
    *("--epochs", "8", "--batch_size", "16", "--tokens", "words", "--beams", "2"),
    *("--optimizer.learning_rate", "0.02", "--name", "corners", "--figures", "false"),
    *("--jit_compile", "false"),
    *("--model.filters", "[4,8]", "--model.width", "8", "--model.embedding", "8"),
    *("--model.units", "16", "--model.dropout", "0"),
)


@pytest.mark.slow
def test_a_served_model_captions_files_as_the_trained_one_would(store, workplace, trained, at_once):
    folder = workplace / "corners"
    for split, (images, captions) in examples.pictures().items():
        (folder / split).mkdir(parents=True)
        rows = []
        for number, (image, own) in enumerate(zip(images, captions, strict=True)):
            Image.fromarray(image[..., 0]).save(folder / split / f"{number}.png")
            rows += [json.dumps({"image": f"{number}.png", "caption": text}) for text in own]
        (folder / split / "captions.jsonl").write_text("\n".join(rows))
    assert main(["image_captioning", "--dataset", str(folder), *SHORT]) == 0
    (run,) = mlflow.search_runs(experiment_names=["image_captioning"], output_format="list")
    assert {"test/cider", "test/bleu", "test/exact_match"} <= run.data.metrics.keys()

    deployed = deploy("corners", workplace / "models", version=1)
    files = deployed.path / "assets.extra/examples"
    pictures = [np.asarray(Image.open(files / f"{number}.png")) for number in range(8)]
    large = io.BytesIO()
    Image.fromarray(pictures[0]).convert("RGB").resize((200, 160)).save(large, "JPEG")
    (folder / "large.jpg").write_bytes(large.getvalue())
    images = np.stack(pictures)[..., np.newaxis]
    with (
        serving(Model("corners", workplace / "models" / "corners")) as address,
        Client(address, timeout=300) as client,
    ):
        ask_as_the_card_says("corners", address, workplace / "models")
        client.wait_until_ready("corners", timeout=300)
        tensors = client.predict("corners", {"images": images})
        by_ids = client.predict("corners", {"images": images}, signature="token_ids")
        found = ask.images([files, folder / "large.jpg"])
        answers = list(ask.ask_about_images(client, ask.Model("corners"), found))
    assert len(answers) == 9
    for answer, caption in zip(answers, tensors["caption"], strict=False):
        assert answer.captions
        assert answer.outputs["caption"] == caption
    assert answers[-1].outputs["caption"] in tensors["captions"]

    # A plain beam search over the whole network, without a cache, agrees.
    (network,) = trained
    options = examples.search_options(by_ids["token_ids"].shape)
    compared = 0
    for row in range(3):
        given = {"images": images[row : row + 1] / np.float32(255)}
        (score, ids), (second, _) = searched_plainly(network.model, given, options)
        assert tensors["score"][row] == pytest.approx(score, abs=1e-3)
        if score - second > 1e-3:
            assert by_ids["token_ids"][row, 0, : len(ids)].tolist() == ids
            compared += 1
    assert compared
