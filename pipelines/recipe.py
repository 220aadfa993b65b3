"""The recipe of a run: how a network is trained, as small frozen dataclasses."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, fields
from typing import Annotated, Literal

from pipelines.bounds import Between
from pipelines.errors import UserError

# The optimizers and schedules that an option is for.
_FOR_OPTIMIZERS = {
    "momentum": ("sgd", "rmsprop"),
    "nesterov": ("sgd",),
    "beta_1": ("adam", "adamw", "lamb", "lion"),
    "beta_2": ("adam", "adamw", "lamb", "lion"),
    "epsilon": ("adam", "adamw", "lamb", "rmsprop"),
}
_FOR_SCHEDULES = {"power": "polynomial", "milestones": "step", "step_factor": "step"}
_NEED_WARMUP = ("inverse_sqrt", "one_cycle")


@dataclass(frozen=True)
class Optimizer:
    """Optimizer and learning-rate schedule."""

    learning_rate: Annotated[float, Between(1e-12, 100.0)] = 1e-3
    """Peak learning rate."""
    name: Literal["sgd", "adam", "adamw", "lamb", "lion", "rmsprop"] = "adamw"
    """Update rule; the weight decay of all of them is decoupled (Loshchilov & Hutter 2019)."""
    schedule: Literal[
        "constant", "linear", "cosine", "polynomial", "step", "inverse_sqrt", "one_cycle"
    ] = "cosine"
    """Learning rate after the warmup; linear, cosine and polynomial end at 0."""
    weight_decay: Annotated[float, Between(0.0, 1.0)] = 1e-2
    """Decoupled weight decay, of all but biases, normalizations and embeddings."""
    warmup: Annotated[float, Between(0.0, 0.9)] = 0.1
    """Fraction of all updates during which the learning rate rises from 0."""
    clip_norm: Annotated[float, Between(0.0, 1e9)] = 0.0
    """Norm of the whole gradient to which it is clipped; 0 does not clip."""
    clip_variable_norm: Annotated[float, Between(0.0, 1e9)] = 0.0
    """Norm to which the gradient of each variable is clipped; 0 does not clip."""
    clip_value: Annotated[float, Between(0.0, 1e9)] = 0.0
    """Absolute value to which each component of the gradient is clipped; 0 does not clip."""
    average: Annotated[float, Between(0.0, 0.99999)] = 0.0
    """Momentum of the moving average of weights that is validated and kept; 0: none."""
    accumulate: Annotated[int, Between(1, 10_000)] = 1
    """Batches whose mean gradient makes one update, as that of one large batch."""
    momentum: Annotated[float, Between(0.0, 0.9999)] = 0.0
    """Momentum of sgd and rmsprop."""
    nesterov: bool = False
    """Nesterov's momentum, for sgd."""
    beta_1: Annotated[float, Between(0.0, 0.99999)] = 0.0
    """Decay of the first moment of adam, adamw, lamb and lion; 0 takes Keras' default."""
    beta_2: Annotated[float, Between(0.0, 0.999999)] = 0.0
    """Decay of the second moment of adam, adamw, lamb and lion; 0 takes Keras' default."""
    epsilon: Annotated[float, Between(0.0, 1.0)] = 0.0
    """Constant in the denominator of adam, adamw, lamb, rmsprop; 0 takes Keras' default."""
    power: Annotated[float, Between(0.0, 10.0)] = 0.0
    """Exponent of the polynomial schedule; 0 takes 2."""
    milestones: list[int] = field(default_factory=list)
    """Epochs after which the step schedule lowers the learning rate, as [30,60,80]."""
    step_factor: Annotated[float, Between(1e-6, 1.0)] = 0.1
    """Factor by which the step schedule lowers the learning rate."""

    def check(self) -> None:
        """Raises `UserError` for choices that do not go together."""
        chosen = [each.name for each in fields(self) if not _is_default(self, each.name)]
        for option in chosen:
            if self.name not in _FOR_OPTIMIZERS.get(option, (self.name,)):
                names = " and ".join(_FOR_OPTIMIZERS[option])
                raise UserError(f"--optimizer.{option} is for {names}, not for {self.name}")
            if self.schedule != _FOR_SCHEDULES.get(option, self.schedule):
                raise UserError(
                    f"--optimizer.{option} is for the schedule {_FOR_SCHEDULES[option]}, not for "
                    f"{self.schedule}"
                )
        if self.nesterov and not self.momentum:
            raise UserError("--optimizer.nesterov needs --optimizer.momentum above 0")
        if self.schedule in _NEED_WARMUP and not self.warmup:
            raise UserError(
                f"--optimizer.schedule {self.schedule} needs --optimizer.warmup above 0"
            )
        if self.schedule == "step":
            self._check_milestones()
        clips = [option for option in chosen if option.startswith("clip_")]
        if len(clips) > 1:
            raise UserError(f"--optimizer.{clips[1]} cannot be beside --optimizer.{clips[0]}")

    def _check_milestones(self) -> None:
        if not self.milestones:
            raise UserError("--optimizer.schedule step needs --optimizer.milestones, as [30,60,80]")
        if self.milestones[0] < 1 or sorted(set(self.milestones)) != self.milestones:
            raise UserError(
                f"--optimizer.milestones must be epochs in rising order, not {self.milestones}"
            )


@dataclass(frozen=True)
class Recipe:
    """Training hyperparameters."""

    recipe: str = ""
    """Recipe by name, whose options are the defaults of all others; ? lists them."""
    epochs: Annotated[int, Between(1, 100_000)] = 10
    """Passes over the training split."""
    batch_size: Annotated[int, Between(1, 1_000_000)] = 64
    """Global batch size, over all devices."""
    patience: Annotated[int, Between(0, 100_000)] = 0
    """Stop after this many epochs without a better `monitor`; 0: never."""
    keep: Literal["auto", "best", "last"] = "auto"
    """Epoch whose weights are kept: best by `monitor`, or last; auto: best if there is patience."""
    monitor: str = ""
    """Validation metric to judge epochs by, as accuracy; empty takes the validation loss."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """Keras dtype policy of training; the exported model computes in float32."""
    seed: Annotated[int, Between(0, 2**31 - 1)] = 0
    """Seed of initialization, shuffling, dropout and augmentation."""
    seeds: Annotated[int, Between(1, 1000)] = 1
    """Train with this many seeds, from --seed on; the means of their scores count."""
    label_smoothing: Annotated[float, Between(0.0, 0.9)] = 0.0
    """Fraction of each target that is spread evenly over all classes (Szegedy et al. 2016)."""
    class_weights: str = ""
    """Weights of the classes in the loss: balanced, or one for each class, as [1,2.5]."""
    l1: Annotated[float, Between(0.0, 1.0)] = 0.0
    """Factor of the sum of absolute kernel weights that is added to the loss."""
    l2: Annotated[float, Between(0.0, 1.0)] = 0.0
    """Factor of the sum of squared kernel weights that is added to the loss."""
    freeze: str = ""
    """Freeze the layers in whose path this regular expression is found, as "^conv[1-3]"."""
    unfreeze_every: Annotated[int, Between(0, 100_000)] = 0
    """Unfreeze the last frozen block after every so many epochs (Howard & Ruder 2018); 0: no."""
    layer_decay: Annotated[float, Between(0.1, 1.0)] = 1.0
    """Factor of the learning rate from each block to the one below it; 1: the same for all."""
    jit_compile: Literal["auto", "true", "false"] = "auto"
    """Compile training steps with XLA; auto: as Keras decides, for sequences on a GPU alone."""
    steps_per_execution: Annotated[int, Between(1, 100_000)] = 1
    """Batches in one call of the compiled training function."""
    deterministic: bool = False
    """Only use operations that give the same result every time, also on a GPU; slower."""
    on_nan: Literal["stop", "restore"] = "stop"
    """If the loss is no number any more: stop, or go back to a checkpoint at half the rate."""
    checkpoint_every: Annotated[int, Between(0, 2**31 - 1)] = 0
    """Write a checkpoint after every so many batches; 0: after epochs, and once a minute."""
    optimizer: Optimizer = Optimizer()
    """Optimizer and learning-rate schedule."""

    def check(self) -> None:
        """Raises `UserError` for choices that do not go together."""
        self.optimizer.check()
        late = [epoch for epoch in self.optimizer.milestones if epoch >= self.epochs]
        if late:
            raise UserError(
                f"--optimizer.milestones must be below --epochs {self.epochs}, not {late[0]}"
            )
        try:
            re.compile(self.freeze)
        except re.error as error:
            raise UserError(
                f"--freeze must be a regular expression, not {self.freeze!r}: {error}"
            ) from error
        if self.class_weights not in ("", "balanced") and not _is_weights(self.class_weights):
            raise UserError(
                "--class_weights must be balanced, or weights that are not negative, as [1,2.5], "
                f"not {self.class_weights!r}"
            )


def _is_default(optimizer: Optimizer, option: str) -> bool:
    return getattr(optimizer, option) == getattr(Optimizer(), option)


def _is_weights(text: str) -> bool:
    """Returns whether a text is a list of weights of classes."""
    try:
        weights = json.loads(text)
    except ValueError:
        return False
    return (
        isinstance(weights, list)
        and all(type(weight) in (int, float) and 0 <= weight < 1e9 for weight in weights)
        and any(weights)
    )
