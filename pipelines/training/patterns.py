"""Patterns of trainings that go wrong, recognized in what probes measured, with their usual cures.

Thresholds are far from what sound trainings show, and a pattern of gradients or activations has to
last for three probes in succession: a warning should be worth reading. What a training may have
and learn all the same, as an LSTM whose gates begin by forgetting, is a pattern only where the loss
does not fall. Thresholds are no law; the heat maps of the run show the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.config import Config

# Successive probes that have to show a pattern.
LASTING = 3
# The gradient of the first layers over that of the last ones, or the other way around.
_VANISHING, _EXPLODING = 1e-4, 1e2
# The same from the first step of a sequence to the last one.
_VANISHING_IN_TIME = 1e-6
# The norm of the gradient over that of the weights; and over its own median so far.
_LARGE_GRADIENT, _GROWN_GRADIENT = 100.0, 1000.0
# One that has grown from next to nothing to a usual size, relative to the weights, is none.
_USUAL_GRADIENT = 1.0
# Fractions of dead or saturated units: in a training that does not learn, and in any.
_MANY, _MOST = 0.5, 0.9
# Epochs that a plateau, or a rise of the validation loss, lasts: this many and this fraction.
_EPOCHS, _FRACTION = 3, 0.2
# Relative fall of the training loss since then, and in all, below which it is a plateau.
_FALL, _FALL_IN_ALL = 0.01, 0.1
# Rise of the validation loss from its lowest value, relative to that, and to the fall before.
_RISE = 0.1


@dataclass(frozen=True)
class Finding:
    """A recognized pattern.

    Attributes:
        pattern: Its name, such as "vanishing gradients".
        sentence: What was seen, where and when.
        cures: What usually helps, as options of the command line.
    """

    pattern: str
    sentence: str
    cures: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.pattern}: {self.sentence}; try {' or '.join(self.cures)}"


@dataclass(frozen=True)
class Series:
    """What probes of a training measured so far; time is the first axis.

    Attributes:
        steps: int [probes], updates before each probe.
        layers: Names of layers with weights, from the input.
        gradient_norm: float [probes, layers].
        weight_norm: float [probes, layers].
        activations: Names of activations by layer, from the input.
        saturation: float [probes, activations].
        lasting_dead: float [activations], units that were dead in each of the last three probes.
        over_time: By recurrent layer, float [probes, time], in the order in which it reads.
        epochs: Values of each epoch by name: "loss", "val_loss", "learning_rate".
    """

    steps: np.ndarray
    layers: Sequence[str]
    gradient_norm: np.ndarray
    weight_norm: np.ndarray
    activations: Mapping[str, str]
    saturation: np.ndarray
    lasting_dead: np.ndarray
    over_time: Mapping[str, np.ndarray]
    epochs: Mapping[str, Sequence[float]]


def recognize(series: Series, config: Config, hyperparameters: Mapping[str, Any]) -> list[Finding]:
    """Returns the patterns that a training shows at present.

    Args:
        series: What was measured.
        config: Config of the run, of which cures are options.
        hyperparameters: Those of the network, by name without "model.".
    """
    cures = Cures(config, hyperparameters)
    checks: tuple[Callable[[Series, Cures], Iterator[Finding]], ...] = (
        _exploding,
        _vanishing,
        _vanishing_in_time,
        _dead,
        _saturated,
        _plateau,
        _overfitting,
    )
    with np.errstate(all="ignore"):
        return [finding for check in checks for finding in check(series, cures)]


@dataclass(frozen=True)
class Cures:
    """Options that may help, as far as the run's pipeline and architecture have them."""

    config: Config
    hyperparameters: Mapping[str, Any]

    def slower(self, factor: float = 0.1) -> str:
        rate = self.config.recipe.optimizer.learning_rate * factor
        return f"--optimizer.learning_rate {rate:.2g}"

    def clip(self) -> tuple[str, ...]:
        return () if self.config.recipe.optimizer.clip_norm else ("--optimizer.clip_norm 1",)

    def warmup(self) -> tuple[str, ...]:
        return () if self.config.recipe.optimizer.warmup else ("--optimizer.warmup 0.1",)

    def model(self, **values: Any) -> tuple[str, ...]:
        """Returns those of the hyperparameters that the architecture has with another value."""
        known = self.hyperparameters
        return tuple(
            f"--model.{name} {str(value).lower()}"
            for name, value in values.items()
            if name in known and known[name] != value
        )

    def shortcuts(self) -> tuple[str, ...]:
        name = self.config.architecture
        return (f"--architecture {name.replace('plain', 'resnet')}",) if "plain" in name else ()

    def gates(self) -> tuple[str, ...]:
        if self.hyperparameters.get("cell") in ("simple", "hornn"):
            return ("--architecture lstm", "--architecture gru")
        return ()

    def augmentation(self) -> tuple[str, ...]:
        values = self.config.parameters()
        option = "augmentation.shift"
        return (f"--{option} 0.1",) if values.get(option) == 0.0 else ()


def _exploding(series: Series, cures: Cures) -> Iterator[Finding]:
    whole = _total(series.gradient_norm)
    options = (*cures.shortcuts(), *cures.gates(), *cures.clip(), cures.slower(), *cures.warmup())
    step = series.steps[-1] if len(series.steps) else 0
    if len(whole) and not np.isfinite(whole[-1]):
        yield Finding("exploding gradients", f"the gradient is no number at step {step}", options)
        return
    if len(whole) < LASTING:
        return
    last = whole[-LASTING:]
    relative = last / np.maximum(_total(series.weight_norm)[-LASTING:], 1e-12)
    before = np.median(whole[:-LASTING]) if len(whole) >= 2 * LASTING else np.inf
    flow = _flow(series)[-LASTING:]
    if (relative > _LARGE_GRADIENT).all():
        what = f"the gradient is {relative[-1]:.0f} times as large as the weights"
    elif (last > _GROWN_GRADIENT * before).all() and (relative > _USUAL_GRADIENT).all():
        what = f"the gradient has grown {last[-1] / before:,.0f}-fold"
    elif (flow > _EXPLODING).all() and not _learns(series, cures):
        what = f"the gradient of the first layers is {flow[-1]:,.0f} times that of the last ones"
    else:
        return
    yield Finding("exploding gradients", f"{what} at step {step}", options)


def _vanishing(series: Series, cures: Cures) -> Iterator[Finding]:
    flow = _flow(series)[-LASTING:]
    if len(flow) < LASTING or not (flow < _VANISHING).all():
        return
    sentence = (
        f"the gradient of the first layers, as {_first(series)}, is {flow[-1]:.1g} times that of "
        f"the last ones at step {series.steps[-1]}"
    )
    options = (
        *cures.shortcuts(),
        *cures.model(activation="relu", normalize=True),
        *cures.gates(),
    )
    yield Finding("vanishing gradients", sentence, options or ("a network of fewer layers",))


def _vanishing_in_time(series: Series, cures: Cures) -> Iterator[Finding]:
    if _learns(series, cures):
        return
    for name, norms in series.over_time.items():
        ratios = time_ratios(norms)[-LASTING:]
        if len(ratios) == LASTING and (ratios < _VANISHING_IN_TIME).all():
            sentence = (
                f"in {name}, the gradient at the first of {norms.shape[1]} steps is "
                f"{ratios[-1]:.1g} times that at the last ones at update {series.steps[-1]}"
            )
            pooled = cures.model(output="mean") if _reads_to_the_end(cures) else ()
            options = (*cures.gates(), *pooled)
            yield Finding("gradients vanish over time", sentence, options or ("shorter sequences",))
            return


def _reads_to_the_end(cures: Cures) -> bool:
    return cures.hyperparameters.get("output") == "last"


def _dead(series: Series, cures: Cures) -> Iterator[Finding]:
    if len(series.steps) < LASTING or not len(series.lasting_dead):
        return
    worst = int(np.argmax(series.lasting_dead))
    fraction = series.lasting_dead[worst]
    if fraction < (_MOST if _learns(series, cures) else _MANY):
        return
    name = list(series.activations)[worst]
    sentence = (
        f"{fraction:.0%} of the units of {name} were zero for every example of the last "
        f"{LASTING} probes"
    )
    options = (cures.slower(), *cures.warmup(), *cures.model(normalize=True, activation="gelu"))
    yield Finding("dead units", sentence, options)


def _saturated(series: Series, cures: Cures) -> Iterator[Finding]:
    if len(series.steps) < LASTING:
        return
    last = series.saturation[-LASTING:]
    many = _MOST if _learns(series, cures) else _MANY
    for place, (name, activation) in enumerate(series.activations.items()):
        if activation in ("tanh", "sigmoid", "softsign") and (last[:, place] >= many).all():
            sentence = (
                f"{last[-1, place]:.0%} of the outputs of {name} are where {activation} is flat at "
                f"step {series.steps[-1]}"
            )
            options = (cures.slower(), *cures.model(normalize=True, activation="relu"))
            yield Finding("saturated units", sentence, options)
            return


def _plateau(series: Series, cures: Cures) -> Iterator[Finding]:
    losses = np.array(series.epochs.get("loss", ()))
    rates = np.array(series.epochs.get("learning_rate", ()))
    lasting = max(_EPOCHS, int(_FRACTION * cures.config.recipe.epochs))
    if len(losses) <= lasting:
        return
    peak = cures.config.recipe.optimizer.learning_rate
    fallen = losses[-lasting - 1] - losses[-lasting:].min()
    # Where the loss has come down before, or the learning rate has, training is over.
    if fallen > _FALL * abs(losses[-lasting - 1]) or losses[-1] < (1 - _FALL_IN_ALL) * losses[0]:
        return
    if len(rates) and rates[-lasting] < 0.1 * peak:
        return
    sentence = (
        f"the training loss has fallen by less than {_FALL:.0%} in the last {lasting} epochs, to "
        f"{losses[-1]:.4g} in epoch {len(losses)}"
    )
    options = (
        "--find_learning_rate true",
        cures.slower(10),
        cures.slower(0.1),
        *cures.gates(),
        *cures.shortcuts(),
    )
    yield Finding("plateau", sentence, options)


def _overfitting(series: Series, cures: Cures) -> Iterator[Finding]:
    training = np.array(series.epochs.get("loss", ()))
    validation = np.array(series.epochs.get("val_loss", ()))
    if not len(validation):
        return
    lasting = max(_EPOCHS, int(_FRACTION * cures.config.recipe.epochs))
    best = int(np.argmin(validation))
    since = len(validation) - 1 - best
    # A loss that is nearly zero may double without a meaning.
    least = _RISE * max(validation[best], validation[0] - validation[best])
    rising = (validation[-lasting:] > validation[best] + least).all()
    if since < lasting or not rising or not training[-1] < training[best]:
        return
    sentence = (
        f"the validation loss has risen from {validation[best]:.4g} in epoch {best + 1} to "
        f"{validation[-1]:.4g} in epoch {len(validation)}, while the training loss fell"
    )
    recipe = cures.config.recipe
    decay = recipe.optimizer.weight_decay
    options = [] if recipe.patience else [f"--patience {lasting}"]
    options += [f"--optimizer.weight_decay {min(1.0, decay * 10 or 0.01):g}"]
    dropout = cures.hyperparameters.get("dropout")
    if isinstance(dropout, float) and dropout < 0.5:
        options.append(f"--model.dropout {min(0.5, dropout + 0.2):g}")
    yield Finding("overfitting", sentence, (*options, *cures.augmentation()))


def _learns(series: Series, cures: Cures) -> bool:
    """Returns whether the training loss falls, or may fall, after the first of several epochs."""
    losses = series.epochs.get("loss", ())
    if len(losses) < min(2, cures.config.recipe.epochs):
        return True
    return len(losses) > 1 and losses[-1] < (1 - _FALL_IN_ALL) * losses[0]


def time_ratios(norms: np.ndarray) -> np.ndarray:
    """Returns the gradient at the first steps over that at the last ones, float [probes].

    Args:
        norms: float [probes, time]; steps of padding, which have no gradient, do not count.
    """
    ratios = []
    for row in norms:
        real = np.flatnonzero(row)
        if len(real) < 4 or not np.isfinite(row).all():
            ratios.append(np.nan)
            continue
        tenth = max(1, len(real) // 10)
        ratios.append(np.median(row[real[:tenth]]) / np.median(row[real[-tenth:]]))
    return np.array(ratios)


def _total(norms: np.ndarray) -> np.ndarray:
    """Returns the norms over all layers, float [probes]; frozen layers do not count."""
    frozen = np.isnan(norms) & ~np.isnan(norms).all(axis=1, keepdims=True)
    return np.sqrt(np.sum(np.where(frozen, 0.0, norms) ** 2, axis=1))


def _flow(series: Series) -> np.ndarray:
    """Returns the gradient of the first quarter of layers over that of the last, float [probes].

    Gradients are relative to the weights, as a wide layer has larger norms than a narrow one.
    """
    trained = ~np.isnan(series.gradient_norm).all(axis=0)
    if trained.sum() < 4:
        return np.full(len(series.steps), np.nan)
    relative = (series.gradient_norm / np.maximum(series.weight_norm, 1e-12))[:, trained]
    quarter = max(1, relative.shape[1] // 4)
    first, last = relative[:, :quarter], relative[:, -quarter:]
    return np.median(first, axis=1) / np.maximum(np.median(last, axis=1), 1e-30)


def _first(series: Series) -> str:
    trained = ~np.isnan(series.gradient_norm).all(axis=0)
    return next(name for name, used in zip(series.layers, trained, strict=True) if used)
