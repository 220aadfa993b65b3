"""The past of a series to quantiles of its future.

    python -m pipelines forecasting

trains a GRU of 32 units (5,340 parameters) to read five years of monthly sea-surface temperatures
off Peru, `elnino`, and to forecast five quantiles of each of the next twelve months: one season, so
that every month of the year is asked for, at whatever lead. About 45 s of processor time (1:40 to
2:25 minutes on two cores that others were using too). Mean absolute scaled error (MASE, less is
better) on origins in 2001 to 2010, the network's for seeds 0, 1 and 2:

| | validation | test |
|---|---|---|
| seasonal naive | 1.199 | .805 |
| exponential smoothing | .870 | .750 |
| mean of the same month in train | .837 | .606 |
| `gru` | .760 .761 .773 | .590 .604 .615 |

It beats naive and smoothing by .13 to .22. The third baseline is the hard one: the network gains
.06 to .08 on it over validation's strong El Niño of 1997, and in the quiet years of test nothing
on average (.003). `error_by_step` shows why: ahead for four months, even for four, then behind.
With `--horizon 6` (seed 0) it has .565, that mean .61. Its 90 % interval covers 87 to 88 % of test.

Other cells of 32 units, validation and test of seed 0: `lstm` .774 .709, `simple_rnn` .804 .634,
`hornn` .804 .660. The memories only weigh the single number of each step, so they get two layers:
`tapped_delay_line` of 36 taps .866 .688; `attention_memory`, which weighs by value and not by
place, 1.453 1.181.

Other series, test MASE of seed 0 beside the baseline that is strongest on validation:

| options | `gru` | baseline |
|---|---|---|
| `--dataset births --scaling window --history 28 --horizon 28 --epochs 10` | 1.126 | 1.154 |
| `--dataset sunspots --scaling window --history 33` | .881 | 1.271 |
| `--dataset co2 --scaling window --history 36` | .499 | .392 |

Smoothing, naive, smoothing. `co2` rises as steadily as smoothing assumes: ahead by .017 on
validation, the network loses the test. Of `births`, neither knows the holidays. Own series:
`--dataset sales.csv --column total --season 12`, a row per step; `--scaling window` if it drifts.
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

from pipelines import network
from pipelines.baselines import Baseline, scored, strongest
from pipelines.export.signature import Signature
from pipelines.predictions import Predictions, Scores
from pipelines.task import Task
from pipelines.tasks.forecasting import data as windows
from pipelines.tasks.forecasting import figures as series_figures
from pipelines.tasks.forecasting import metrics as forecasting
from pipelines.tasks.forecasting.config import ForecastingConfig
from pipelines.tasks.forecasting.data import SeriesData
from pipelines.tasks.forecasting.metrics import LEVELS

_INPUTS = {"features", "padding_mask"}


class Forecasting(Task):
    """The task: float32 histories in the series' own unit in, quantiles of each step ahead out."""

    metric = "mase"
    greater_is_better = False
    scale = 1.0

    def load(self, config: ForecastingConfig) -> SeriesData:
        data = windows.load(config)
        self.scale = data.scale
        return data

    def model(self, config: ForecastingConfig, data: SeriesData) -> keras.Model:
        outputs = data.horizon * len(LEVELS)
        core = network.build(
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
        origins, quantiles = data.origins("test"), test.predicted["quantiles"]
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
                        other=others[best].predicted["forecast"][window],
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
                    name: np.abs(target - one.predicted["forecast"]).mean(0) / data.scale
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
                    name: (target[..., None] <= one.predicted["quantiles"]).mean((0, 1))
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
