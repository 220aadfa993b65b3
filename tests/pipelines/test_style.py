"""The look of figures: texts that fit, and every figure on inputs at their extremes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import matplotlib
import numpy as np
import optuna
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from pipelines import figures, style
from pipelines.sweep import figures as sweep_figures
from pipelines.sweep.space import Choices, Range, Space
from pipelines.tasks.forecasting import figures as series_figures
from pipelines.tasks.forecasting.metrics import LEVELS
from pipelines.tasks.image_captioning import figures as caption_figures
from pipelines.tasks.image_segmentation import figures as mask_figures
from pipelines.tasks.language_modeling import figures as language_figures
from pipelines.tasks.translation import figures as translation_figures
from pipelines.text import figures as text_figures
from pipelines.training import diagnosis_figures
from pipelines.training.range_test import RangeTest
from tests.pipelines.boxes import check

LONG = "a very long name of a class, as people give them to folders and columns " * 2
UNBROKEN = "Donaudampfschifffahrtsgesellschaftskapitän" * 4
CHINESE, GREEK, ARABIC = "全国人民代表大会常务委员会" * 6, "Ἐν ἀρχῇ ἦν ὁ Λόγος", "السلام عليكم"
DOLLARS = r"costs $5_{a}^ to $9\frac{"
TEXTS = [LONG, UNBROKEN, CHINESE, GREEK, ARABIC, DOLLARS, "W" * 300, "\n", "x"]
RANDOM = np.random.default_rng(0)


@given(st.text(max_size=300), st.floats(0.3, 8), st.sampled_from([7, 9, 12]))
@settings(max_examples=40)
def test_texts_are_as_wide_as_there_is_room(text, width, size):
    assert style.width_of(style.shortened(text, width, size), size) <= max(width, 0.25)
    lines = style.wrapped(text, width, size=size, lines=2)
    assert 1 <= len(lines) <= 2
    if width > 1:
        assert max(style.width_of(line, size) for line in lines) <= width


@pytest.mark.parametrize("text", ["short", "Καλημέρα"])
def test_what_fits_stays_as_it_is(text):
    assert style.shortened(text, 3) == text
    assert style.wrapped(text, 3) == [text]


def test_long_texts_end_in_an_ellipsis():
    assert style.shortened("word " * 99, 2).endswith("…")
    assert style.shortened("word " * 99, 2).startswith("word word")
    *_, last = style.wrapped("word " * 99, 2, lines=3)
    assert last.endswith("…")
    # All of a text without a limit.
    assert "".join(style.wrapped("word " * 99, 2)).count("word") == 99


def test_a_style_is_for_its_figures_alone():
    before = {name: value for name, value in matplotlib.rcParams.items() if name in style.STYLE}
    figure = figures.bars({"$5 to $9": 0.5}, x_label="F1", title="Bars")
    assert before.items() <= dict(matplotlib.rcParams).items()
    assert figure.get_layout_engine() is None  # It is laid out, once.
    (label,) = figure.axes[0].get_yticklabels()
    assert not label.get_parse_math()


def test_a_direction_is_said_with_its_arrow():
    assert style.directed("F1", True) == "F1 (↑ higher is better)"
    assert style.directed("loss", False) == "loss (↓ lower is better)"
    assert style.directed("F1", True, axis="x") == "F1 (→ higher is better)"
    assert style.directed("error", False, axis="x") == "error (← lower is better)"


def names(count: int) -> list[str]:
    """Returns names of classes, some of them hard to place."""
    return [(TEXTS[i] if i < len(TEXTS) - 2 else f"class {i}") for i in range(count)]


def curves(epochs: int, values: Sequence[float]) -> Iterator[Figure]:
    series = np.resize(values, epochs).tolist()
    history = dict.fromkeys(("loss", "val_loss", "val_accuracy", "accuracy"), series)
    history |= {f"{prefix}{UNBROKEN}": series for prefix in ("", "val_")}
    baseline: Any = SimpleNamespace(name=LONG, validation={"accuracy": 0.5})
    better = {"loss": False, "accuracy": True, UNBROKEN: True}
    yield figures.learning_curves(history, kept=epochs, better=better, baseline=baseline)


def classes(count: int, examples: int) -> Iterator[Figure]:
    truth, predicted = RANDOM.integers(0, count, (2, examples))
    yield figures.confusion_matrix(truth, predicted, names(count), counted="words")
    if count < 10:
        pixels = RANDOM.integers(0, 10**7, (count, count))
        title = f"{LONG} {LONG}"
        yield figures.normalized_confusion_matrix(
            pixels, names(count), title=title, counted="pixels"
        )
    values = {f"{i} {name}": RANDOM.random() for i, name in enumerate(names(count))}
    yield figures.bars({**values, "nothing": np.nan}, x_label="F1", title=LONG)


def reliabilities(count: int) -> Iterator[Figure]:
    yield figures.reliability(np.ones(count), np.ones(count, bool), 0.0, counted="texts")
    confidence = RANDOM.random(count)
    yield figures.reliability(confidence, confidence < 0.5, 0.25, counted="sentence pairs")


def pictures(count: int, height: int, width: int) -> Iterator[Figure]:
    images = RANDOM.integers(0, 255, (count, height, width, 3)).astype(np.uint8)
    captions = [f"{TEXTS[i % len(TEXTS)]}\ntrue {LONG}" for i in range(count)]
    yield figures.image_grid(list(images), captions, title=LONG)
    yield caption_figures._pictures(images, captions, title=LONG)
    masks = RANDOM.integers(0, 60, (count, height, width)).astype(np.uint8)
    yield mask_figures._masks(
        *(images, masks, masks[::-1], ["background", *names(60)], captions, LONG)
    )
    words = [TEXTS[: 1 + i] for i in range(count)]
    yield caption_figures._attended(images, words, RANDOM.random((count, 16, 3, 3)))


def pages() -> Iterator[Figure]:
    yield text_figures.texts(TEXTS, TEXTS[::-1], title=LONG)
    yield text_figures.texts([], [], title=LONG)


def attention(tokens: int, layers: int) -> Iterator[Figure]:
    shown = [TEXTS[i % len(TEXTS)] for i in range(tokens)]
    weights = {
        f"{UNBROKEN}_{layer}": RANDOM.dirichlet(np.ones(tokens), tokens) for layer in range(layers)
    }
    yield text_figures._received(weights, shown)
    yield text_figures._maps(weights, shown)
    yield translation_figures._alignments(weights, shown, shown)


def lengths(*sizes: int) -> Iterator[Figure]:
    rows = tf.ragged.constant([[1] * size for size in sizes], tf.int32)
    data = tf.data.Dataset.from_tensor_slices(rows).map(lambda ids: ({"token_ids": ids}, 0))
    yield text_figures.lengths(data)


def languages(count: int) -> Iterator[Figure]:
    tokens = [f" {TEXTS[i % len(TEXTS)][:30]}" for i in range(count)]
    yield language_figures.surprisal(tokens, RANDOM.uniform(0, 40, count).tolist(), title=LONG)
    log_probs = np.log(RANDOM.uniform(1e-9, 1, (2, count)))
    yield language_figures.by_position(log_probs, np.ones((2, count), bool))
    yield language_figures.mixture(*log_probs)
    if count >= 4:
        yield language_figures.token_map(RANDOM.normal(size=(count, 8)), tokens)


def forecasts(scale: float, steps: int, times: np.ndarray, name: str = "") -> Iterator[Figure]:
    past, future = times[: 3 * steps], times[3 * steps :][:steps]
    values = scale * RANDOM.normal(size=(steps, len(LEVELS)))
    fan = series_figures.Fan(
        *(name, past, scale * RANDOM.normal(size=len(past)), future, values[:, 0]),
        *(np.sort(values, axis=1), values[:, 1]),
    )
    yield series_figures.fans([fan] * 2, LEVELS, other=LONG, title=LONG, unit=LONG)
    line = series_figures.Line(name, future, values[:, 0], np.sort(values, axis=1))
    yield series_figures.forecast_lines([line] * 2, LEVELS, title=LONG, unit=CHINESE)
    if steps > 20:
        errors = {f"{number} {LONG}": np.abs(values[:, 0]) for number in range(5)}
        yield series_figures.error_by_step(errors, y_label="MASE", title=LONG)
        fractions = dict.fromkeys(errors, RANDOM.random(len(LEVELS)))
        yield series_figures.calibration(fractions, LEVELS, title=LONG)


def diagnoses(layers: int, probes: int, scale: float) -> Iterator[Figure]:
    values = scale * np.exp(RANDOM.normal(size=(probes, layers)))
    steps = [number * 12_345 for number in range(probes)]
    maps = dict.fromkeys(("gradient_norm", "mean", "saturation", "weight_norm"), values)
    yield diagnosis_figures.heat_maps(maps, [f"{LONG} {i}" for i in range(layers)], steps)
    rows = [values[probe] for probe in range(probes)]
    yield diagnosis_figures.over_time({UNBROKEN: rows, "lstm": rows}, steps)


def sweeps(trials: int, scale: float) -> Iterator[Figure]:
    choices = Choices(tuple(f"{number} {LONG}" for number in range(40)))
    space: Space = {
        "optimizer.learning_rate": Range(1e-9, 1e-1, log=True),
        f"model.{UNBROKEN[:60]}": Range(0.0, 5e8),
        "architecture": choices,
    }
    study = optuna.create_study(direction="minimize")
    distributions: dict[str, Any] = {
        name: optuna.distributions.FloatDistribution(option.low, option.high)
        for name, option in space.items()
        if isinstance(option, Range)
    }
    architectures = choices.texts
    distributions["architecture"] = optuna.distributions.CategoricalDistribution(architectures)
    for number in range(trials):
        params = {
            name: RANDOM.uniform(each.low, each.high)
            for name, each in list(distributions.items())[:2]
        }
        params["architecture"] = architectures[number % 40]
        trial = optuna.trial.create_trial(
            value=scale * RANDOM.random(), params=params, distributions=distributions
        )
        study.add_trial(trial)
    yield sweep_figures.history(study, LONG)
    yield sweep_figures.parallel_coordinates(study, space, LONG)
    yield sweep_figures.importance_bars(dict.fromkeys(space, 0.5), LONG)


def range_tests(scale: float) -> Iterator[Figure]:
    rates, losses = np.geomspace(1e-7, 10, 50), scale * RANDOM.random(50)
    yield RangeTest(rates, losses, losses, 3e-4).figure()


DAYS = np.datetime64("1999-12-30") + np.arange(400)
MAKERS: dict[str, Callable[[], Iterator[Figure]]] = {
    "one epoch": partial(curves, 1, [0.5]),
    "500 epochs": partial(curves, 500, [0.1, 0.2]),
    "huge losses": partial(curves, 3, [1e30, 1e-3, np.nan]),
    "nearly equal losses": partial(curves, 2, [1000.00001, 1000.00002]),
    "one class": partial(classes, 1, 7),
    "two classes": partial(classes, 2, 10**6),
    "9 classes": partial(classes, 9, 10**7 // 4),
    "60 classes": partial(classes, 60, 1000),
    "no example": partial(reliabilities, 0),
    "one example": partial(reliabilities, 1),
    "many examples": partial(reliabilities, 10**6),
    "one picture": partial(pictures, 1, 8, 8),
    "wide pictures": partial(pictures, 4, 5, 40),
    "high pictures": partial(pictures, 2, 40, 5),
    "pages": pages,
    "one token": partial(attention, 1, 1),
    "32 tokens, 2 layers": partial(attention, 32, 2),
    "one length": partial(lengths, 5, 5),
    "long texts": partial(lengths, 1, 2, 123_456),
    "one word": partial(languages, 1),
    "60 words": partial(languages, 60),
    "one step": partial(forecasts, 1.0, 1, DAYS),
    "days": partial(forecasts, 1e-12, 28, DAYS, LONG),
    "minutes": partial(forecasts, 1e15, 9, DAYS[0] + np.arange(400) * np.timedelta64(1, "m")),
    "years": partial(forecasts, 12_345.0, 60, np.datetime64("1700", "Y") + np.arange(400)),
    "numbers": partial(forecasts, 1.0, 12, 10**9 + np.arange(400), CHINESE),
    "one layer": partial(diagnoses, 1, 1, 1.0),
    "90 layers": partial(diagnoses, 90, 40, 1e-20),
    "one trial": partial(sweeps, 1, 1.0),
    "three trials": partial(sweeps, 3, 1e9),
    "range test": partial(range_tests, 1e9),
}


@pytest.mark.parametrize("name", MAKERS)
def test_no_text_is_cut_or_lies_over_another(name):
    for figure in MAKERS[name]():
        check(figure)


def test_the_check_finds_what_is_cut_and_what_overlaps():
    figure, axes = style.page(3, 1)
    axes.text(0.1, 0.5, "here")
    check(figure)
    axes.text(0.15, 0.5, "there")
    with pytest.raises(AssertionError, match=r"over each other: \[\('here', 'there'\)\]"):
        check(figure)
    figure, axes = style.page(3, 1)
    axes.text(2.9, 0.5, "too far")
    with pytest.raises(AssertionError, match=r"cut: .*too far"):
        check(figure)
