"""The past of a series to quantiles of its future.

    python -m pipelines forecast

TABLE
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping

import keras
import numpy as np
import tensorflow as tf
import tensorflow.experimental.numpy as tnp
from matplotlib.figure import Figure

from pipelines import choices, forecasting, series_figures
from pipelines.baselines import Baseline, scored, strongest
from pipelines.datasets import windows
from pipelines.datasets.windows import SeriesData
from pipelines.evaluation import Predictions, Scores
from pipelines.export import Signature
from pipelines.forecasting import LEVELS
from pipelines.pipeline import Task
from pipelines.recipe import SeriesConfig

_INPUTS = {"features", "padding_mask"}


class Forecast(Task):
    """The task: float32 histories in the series' own unit in, quantiles of each step ahead out."""

    metric = "mase"
    greater_is_better = False
    scale = 1.0

    def load(self, config: SeriesConfig) -> SeriesData:
        data = windows.load(config)
        self.scale = data.scale
        return data

    def model(self, config: SeriesConfig, data: SeriesData) -> keras.Model:
        outputs = data.horizon * len(LEVELS)
        core = choices.build(
            config,
            "does not turn a sequence of numbers into one forecast",
            lambda model: (
                model.output.shape == (None, outputs)
                and isinstance(model.input, dict)
                and model.input.keys() == _INPUTS
            ),
            input_size=1,
            outputs=outputs,
        )
        return forecasting.network(core, data, config.scaling)

    def loss(self) -> Callable:
        return forecasting.pinball(self.scale)

    def answers(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return forecasting.answers(outputs, tnp)

    def scores(self, predictions: Predictions) -> Scores:
        return forecasting.scores(predictions)

    def baselines(self, data: SeriesData) -> list[Baseline]:
        return [
            scored(name, self.scores, forecaster) for name, forecaster in _references(data).items()
        ]

    def figures(
        self, model: keras.Model, data: SeriesData, test: Predictions
    ) -> Iterator[tuple[str, Figure]]:
        """Yields fans, one-step forecasts, errors by step, and the calibration of quantiles."""
        best = strongest(self.baselines(data), self.metric, self.greater_is_better).name
        others = {name: forecaster("test") for name, forecaster in _references(data).items()}
        origins, quantiles = data.origins("test"), test.answers["quantiles"]
        past = min(data.history, 3 * data.horizon)  # More would leave no room for the forecast.
        chosen = np.unique(np.linspace(0, len(origins) - 1, 6).astype(int))
        where = f"the test split of {data.name}"
        yield (
            "fans",
            series_figures.fans(
                [
                    series_figures.Fan(
                        past_times=data.times[origin - past : origin],
                        past=data.values[origin - past : origin],
                        times=data.times[origin : origin + data.horizon],
                        truth=data.values[origin : origin + data.horizon],
                        quantiles=quantiles[window],
                        other=others[best].answers["forecast"][window],
                    )
                    for window, origin in zip(chosen, origins[chosen], strict=True)
                ],
                LEVELS,
                other=best,
                title=f"Forecasts from {len(chosen)} origins in {where}",
            ),
        )
        yield (
            "one_step_ahead",
            series_figures.forecast_line(
                data.times[origins],
                data.values[origins],
                quantiles[:, 0],
                LEVELS,
                title=f"One step ahead through {where}",
            ),
        )
        compared = {"network": test, **others}
        target = test.examples["target"]
        yield (
            "error_by_step",
            series_figures.error_by_step(
                {
                    name: np.abs(target - one.answers["forecast"]).mean(0) / data.scale
                    for name, one in compared.items()
                },
                y_label="MASE",
                title=f"Error on {where}",
            ),
        )
        yield (
            "calibration",
            series_figures.calibration(
                {
                    name: (target[..., None] <= one.answers["quantiles"]).mean((0, 1))
                    for name, one in compared.items()
                },
                LEVELS,
                title=f"Quantiles on {where}",
            ),
        )

    def signatures(self, model: keras.Model, data: SeriesData) -> list[Signature]:
        def serving_default(history: tf.Tensor) -> dict[str, tf.Tensor]:
            # Model servers do not compare shapes with the signature.
            history = tf.ensure_shape(history, [None, data.history])
            return self.answers(model(self.preprocess(history), training=False))

        histories = data.histories("test")[:256]
        quantiles = model.predict(histories, verbose=0)
        return [
            Signature(
                "serving_default",
                serving_default,
                {"history": tf.TensorSpec([None, data.history], tf.float32)},
                {"history": histories},
                forecasting.answers(quantiles, np),
            )
        ]

    def examples(self, data: SeriesData) -> Mapping[str, bytes]:
        """Returns the last window of test: a history to ask with, and what came after it."""
        window = {
            "history": data.histories("test")[-1].tolist(),
            "future": data.futures("test")[-1].tolist(),
            "future_times": data.times[data.origins("test")[-1] :].astype(str).tolist(),
        }
        return {"window.json": json.dumps(window, indent=1).encode()}


# Fitting takes seconds, and both the baselines and the figures ask.
_references = functools.lru_cache(maxsize=1)(forecasting.references)
