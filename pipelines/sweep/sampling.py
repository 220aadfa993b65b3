"""Samplers, which choose the options of a trial, and pruners, which end it early."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from pipelines.sweep.options import Sweep, SweepOptions

# Trials before the first is pruned.
_STARTUP = 5


class Sampler(optuna.samplers.BaseSampler):
    """Samples by the number of the trial: another process neither repeats nor changes it.

    The same seed makes the same suggestions for the same history, even where a sweep is continued.
    """

    def __init__(self, sweep: Sweep, seed: int) -> None:
        self._sweep, self._seed = sweep, seed
        self._inner = _sampler(sweep, seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._inner = _sampler(self._sweep, self._seed, trial.number)
        self._inner.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Does nothing: it is the loop over trials that ends a grid."""


def _sampler(sweep: Sweep, seed: int, trial: int = 0) -> optuna.samplers.BaseSampler:
    drawn = int(np.random.SeedSequence([seed, trial]).generate_state(1)[0])
    match sweep.options.sampler:
        case "random":
            return optuna.samplers.RandomSampler(seed=drawn)
        case "grid":
            # All trials shuffle the same grid.
            return optuna.samplers.GridSampler(
                {name: parameter.grid() or () for name, parameter in sweep.space.items()}, seed=seed
            )
        case "cma_es":
            # Choices have no covariance, and are drawn at random.
            return optuna.samplers.CmaEsSampler(seed=drawn, warn_independent_sampling=False)
    return optuna.samplers.TPESampler(seed=drawn)


def pruner(options: SweepOptions, epochs: int) -> optuna.pruners.BasePruner:
    """Returns a pruner that looks at trials from a quarter of their epochs on."""
    if options.pruner == "median":
        return optuna.pruners.MedianPruner(_STARTUP, n_warmup_steps=epochs // 4)
    if options.pruner == "successive_halving":
        return optuna.pruners.SuccessiveHalvingPruner(max(1, epochs // 9), reduction_factor=3)
    return optuna.pruners.NopPruner()
