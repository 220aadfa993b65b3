"""Model cards: what they say of a run, and the page that they become."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipelines.baselines import Baseline
from pipelines.cards import card, page
from pipelines.cards.card import Facts
from pipelines.datasets.checks import Checks
from pipelines.evaluation import Evaluation
from pipelines.export.signature import Signature
from pipelines.predictions import Predictions
from pipelines.task import ByClass
from pipelines.tasks.image_classification.config import ImageConfig

NOTHING = Predictions({}, {})
SIGNATURE = Signature(
    "serving_default",
    lambda: {},
    {"images": tf.TensorSpec((None, 8, 8, 1), tf.uint8)},
    {"images": np.zeros((4, 8, 8, 1), np.uint8)},
    {"classes": np.array(["a"] * 4, object), "probabilities": np.zeros((4, 3), np.float32)},
)


def baseline(name: str, validation: float, test: float) -> Baseline:
    scores = {"accuracy": validation}, {"accuracy": test}
    return Baseline(name, *scores, NOTHING, NOTHING, lambda _: {})


def facts(**changes: Any) -> Facts:
    by_class = ByClass("recall", "images", {"a|b": (0.9, 50), "c": (0.5, 8), "d": (1.0, 42)})
    task: Any = SimpleNamespace(
        config=ImageConfig(dataset="digits", architecture="convnet"),
        metric="accuracy",
        greater_is_better=True,
        by_class=lambda test, data: by_class,
    )
    data: Any = SimpleNamespace(
        name="digits", version="1.0.0", digest="abc", license="CC BY 4.0", homepage="https://x.org"
    )
    model: Any = SimpleNamespace(count_params=lambda: 12_345)
    network: Any = SimpleNamespace(model=model, hyperparameters={"filters": (4, 8)})
    strongest = baseline("support vector machine", 0.8, 0.85)
    whole = Facts(
        name="digits",
        pipeline="image_classification",
        run_id="0123",
        task=task,
        data=data,
        checks=Checks([("examples", ("10", "5", "5"))], ["train has one example of `c`"]),
        network=network,
        evaluated=Evaluation(
            {"validation/accuracy": 0.9, "test/accuracy": 0.88}
            | {"validation/perplexity": 2.5, "test/perplexity": 3.5},
            {"accuracy": (0.86, 0.9)},
            *(NOTHING, NOTHING, []),
        ),
        baselines=[baseline("majority class", 0.1, 0.2), strongest],
        strongest=strongest,
        margins={"accuracy": (0.01, 0.05)},
    )
    return replace(whole, **changes)


def text(card_facts: Facts) -> str:
    return card.markdown(card_facts, [SIGNATURE], megabytes=1.234, milliseconds=5.678)


def test_the_summary_says_what_it_is_and_how_well_it_does():
    assert card.summary(facts()) == (
        "Image classification by `convnet` (LeCun et al. 1998) with 12,345 parameters, trained on "
        "`digits`. Accuracy on test: **0.8800** (95 % interval 0.8600 … 0.9000); the strongest "
        "baseline, support vector machine: 0.8500; difference +0.0300 (95 % interval +0.0100 … "
        "+0.0500)."
    )


def test_a_card_has_scores_beside_all_baselines_classes_limits_and_origin():
    whole = text(facts())
    assert "| accuracy | 0.9000 | 0.8800 | 0.8600 … 0.9000 | 0.2000 | 0.8500 |" in whole
    assert "| perplexity | 2.5000 | 3.5000 |  |  |  |" in whole
    assert "| `images`: uint8 […, 8, 8, 1] | `classes`: string […]<br>" in whole
    assert whole.index("| `c` | 0.5000 | 8 |") < whole.index("| `a\\|b` | 0.9000 | 50 |")
    assert "- The classes with the lowest recall on test: `c` (0.50), `a|b` (0.90)" in whole
    assert "- Train has one example of `c`" in whole
    assert "License: CC BY 4.0. Source: <https://x.org>." in whole
    assert "| `model.filters` | `(4, 8)` |" in whole
    assert "| `seed` | `0` |" in whole
    assert "1.23 MB on disk" in whole
    assert "took 5.68 ms" in whole
    assert "Run `0123` of the pipeline `image_classification`" in whole
    assert "not shown to be better" not in whole


@pytest.mark.parametrize(
    ("ends", "greater", "said"),
    [
        ((-0.01, 0.05), True, True),
        ((-0.05, -0.01), True, True),
        ((0.01, 0.05), True, False),
        ((0.01, 0.05), False, True),
        ((-0.05, -0.01), False, False),
    ],
)
def test_a_lead_that_is_not_shown_is_a_limit(ends, greater, said):
    one = facts(margins={"accuracy": ends})
    one.task.greater_is_better = greater
    assert ("not shown to be better than support vector machine" in text(one)) == said


def test_a_license_that_is_not_stated_is_said_so():
    data: Any = SimpleNamespace(
        name="digits", version="1.0.0", digest="abc", license="", homepage=""
    )
    one = facts(data=data)
    assert "License: not stated by its source." in text(one)
    assert "Source:" not in text(one)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_a_page_stands_alone_and_shows_names_as_they_are():
    one = facts(name="<script>alert(1)</script>")
    figures = {f"figure_{number}": b"PNG" for number in range(9)}
    files = page.documents(one, [SIGNATURE], megabytes=1.0, milliseconds=1.0, figures=figures)
    assert files["card.md"] == card.markdown(one, [SIGNATURE], megabytes=1.0, milliseconds=1.0)
    parser = Tags()
    parser.feed(files["card.html"])
    tags = [tag for tag, _ in parser.tags]
    assert not {"script", "link"} & set(tags)
    images = [attributes for tag, attributes in parser.tags if tag == "img"]
    assert len(images) == 4
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in images)
    assert tags.count("table") >= 4
    assert "br" in tags
