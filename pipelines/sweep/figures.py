"""Figures of a sweep: its history, its trials side by side, and which options matter."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import optuna
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from optuna.trial import FrozenTrial, TrialState

from pipelines import style
from pipelines.figures import bars
from pipelines.style import BASELINE, NETWORK, OTHER, styled
from pipelines.sweep.space import Choices, Range, Space

# Trials from which on importance is estimated.
_MIN_TRIALS = 4
# Inches between two axes of options, and of a label beside one.
_APART, _LABEL = 1.9, 1.5


def figures(study: optuna.Study, space: Space, score: str) -> Iterator[tuple[str, Figure]]:
    """Yields figures by name.

    Args:
        study: A study with a completed trial.
        space: The options that vary.
        score: Name of what trials are compared by, as "validation accuracy".
    """
    yield "sweep_history", history(study, score)
    yield "sweep_parallel_coordinates", parallel_coordinates(study, space, score)
    if found := importance(study):
        yield "sweep_importance", importance_bars(found, score)


@styled
def history(study: optuna.Study, score: str) -> Figure:
    """Plots the score of each trial, and the best one so far."""
    completed = _completed(study)
    values = np.array([trial.value for trial in completed])
    best = _best_so_far(study, values)
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    style.title(figure, f"{len(completed)} completed trials")
    axes = figure.subplots()
    numbers = [trial.number for trial in completed]
    axes.step(numbers, best, where="post", color=BASELINE, label="best so far")
    axes.scatter(numbers, values, 20, color=NETWORK, zorder=3, label="completed")
    ended = [trial.number for trial in study.trials if trial.state == TrialState.PRUNED]
    if ended:
        worst = values.min() if _maximizes(study) else values.max()
        axes.plot(ended, [worst] * len(ended), "x", color=OTHER, label="ended early")
    axes.set_xlabel("trial")
    axes.set_ylabel(style.directed(style.shortened(score, 1.8, 10), _maximizes(study)))
    style.whole_numbers(axes.xaxis)
    axes.grid()
    figure.legend(loc="outside lower left", ncols=3)
    return figure


@styled
def parallel_coordinates(study: optuna.Study, space: Space, score: str) -> Figure:
    """Plots each completed trial as a line through its options to its score, the best on top."""
    completed = sorted(_completed(study), key=_value, reverse=not _maximizes(study))
    values = np.array([trial.value for trial in completed])
    names = list(space)
    figure = Figure(figsize=(2.6 + _APART * len(names), 4.8), layout="constrained")
    axes = figure.subplots()
    columns = [_places(space[name], [trial.params[name] for trial in completed]) for name in names]
    norm = Normalize(values.min(), values.max())
    last = np.full(len(values), 0.5) if np.ptp(values) == 0 else norm(values)
    lines = np.array([*columns, last]).T
    palette = colormaps["viridis" if _maximizes(study) else "viridis_r"]
    for line, value in zip(lines, values, strict=True):
        axes.plot(line, color=palette(norm(value)), linewidth=1.4, alpha=0.85)
    for place, name in enumerate(names):
        _axis(axes, place, space[name])
    words = [
        "\n".join(style.shortened(part, _LABEL) for part in name.replace(".", ".\n").split("\n"))
        for name in (*names, score)
    ]
    axes.set_xticks(range(len(names) + 1), words)
    axes.set(xlim=(-0.4, len(names) + 0.15), ylim=(-0.04, 1.04), yticks=[])
    axes.spines[["top", "right", "bottom", "left"]].set_visible(False)
    axes.axvline(len(names), color="black", linewidth=0.8)
    figure.colorbar(ScalarMappable(norm, palette), ax=axes, pad=0.01).set_label(
        style.directed(style.shortened(score, 1.8, 10), _maximizes(study))
    )
    return figure


def _axis(axes: Axes, place: int, parameter: Range | Choices) -> None:
    """Draws the axis of an option, with its ends or its choices."""
    axes.axvline(place, color="black", linewidth=0.8)
    if isinstance(parameter, Choices):
        labels = [style.shortened(text.strip('"'), _LABEL, 8) for text in parameter.texts]
        heights = _heights(len(labels))
    else:
        low, high = parameter.low, parameter.high
        middle = (low * high) ** 0.5 if parameter.log else (low + high) / 2
        labels, heights = [f"{number:.3g}" for number in (low, middle, high)], (0.0, 0.5, 1.0)
    shown = style.thinned(len(labels), 20)
    for label, height in ((labels[index], heights[index]) for index in shown):
        axes.text(place + 0.03, height, label, fontsize=8, va="center", bbox=_BACKGROUND, zorder=4)


_BACKGROUND = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1}


def _heights(count: int) -> Sequence[float]:
    return np.linspace(0, 1, count).tolist() if count > 1 else [0.5]


def _places(parameter: Range | Choices, params: Sequence) -> np.ndarray:
    """Returns where the values of an option lie on its axis, from 0 to 1."""
    if isinstance(parameter, Choices):
        heights = _heights(len(parameter.texts))
        return np.array([heights[parameter.texts.index(text)] for text in params])
    numbers = np.array([parameter.low, parameter.high, *params], float)
    if parameter.log:
        numbers = np.log(numbers)
    return (numbers[2:] - numbers[0]) / (numbers[1] - numbers[0])


def importance(study: optuna.Study) -> Mapping[str, float]:
    """Returns how much of the variance of scores each option explains; empty for few trials.

    Functional ANOVA of a random forest (Hutter, Hoos & Leyton-Brown, "An Efficient Approach for
    Assessing Hyperparameter Importance", 2014), as Optuna has it.
    """
    completed = _completed(study)
    if len(completed) < _MIN_TRIALS or len({trial.value for trial in completed}) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        return optuna.importance.get_param_importances(study, evaluator=evaluator)


def importance_bars(found: Mapping[str, float], score: str) -> Figure:
    """Plots the importance of each option, the highest first."""
    label = f"fraction of the variance of {score}"
    return bars(found, x_label=style.shortened(label, 5, 10), title="Which options matter")


def _completed(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value


def _maximizes(study: optuna.Study) -> bool:
    return study.direction == optuna.study.StudyDirection.MAXIMIZE


def _best_so_far(study: optuna.Study, values: np.ndarray) -> np.ndarray:
    return (np.maximum if _maximizes(study) else np.minimum).accumulate(values)
