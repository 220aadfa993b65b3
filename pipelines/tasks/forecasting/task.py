"""Probabilistic forecasting: from the past of a series to quantiles of its future.

    python -m pipelines forecasting

trains a GRU of 32 units (5,340 parameters) to read five years of monthly sea-surface temperatures
off Peru, `elnino`, and to forecast five quantiles of each of the next twelve months: one season, so
that every month of the year is forecast at every lead. About 45 s of processor time (1:40 to 2:25
minutes on two cores that others were using too). Mean absolute scaled error (MASE, less is
better) on origins in 2001 to 2010, the network's for seeds 0, 1 and 2:

| | validation | test |
|---|---|---|
| seasonal naive | 1.199 | .805 |
| exponential smoothing | .870 | .750 |
| mean of the same month in train | .837 | .606 |
| `gru` | .762 .759 .778 | .595 .598 .615 |

It beats naive and smoothing by .13 to .22. The third baseline is the hard one: the network gains
.06 to .08 on it over validation's strong El Niño of 1997, and in the quiet years of test nothing
on average (.003). `error_by_step` shows why: it is better for four months, equal for four, then
worse. With `--horizon 6` (seed 0) it has .565, that mean .61. Its 90 % interval covers 87 to 88 %
of test.

Other cells of 32 units, validation and test of seed 0: `lstm` .774 .709, `simple_rnn` .804 .634,
`hornn` .804 .660. Memories only weight the single number of each step, so they get two layers:
`tapped_delay_line` of 36 taps .866 .688; `attention_memory`, which weights by value and not by
position, 1.453 1.181.

Other series, test MASE of seed 0 compared with the baseline that is strongest on validation:

| options | `gru` | baseline |
|---|---|---|
| `--dataset births --scaling window --history 28 --horizon 28 --epochs 10` | 1.126 | 1.154 |
| `--dataset sunspots --scaling window --history 33` | .884 | 1.271 |
| `--dataset co2 --scaling window --history 36` | .509 | .392 |

These baselines are smoothing, naive, smoothing. `co2` rises as steadily as smoothing assumes:
better by .010 on validation, the network is worse on test. On `births`, neither knows the holidays.
Your own series: `--dataset sales.csv --column total --season 12`, a row per step; add
`--scaling window` if it drifts. Several series, `--column north,south` or `--group shop`, train one
network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow.experimental.numpy as tnp
from matplotlib.figure import Figure

from pipelines import stateless
from pipelines.baselines import Baseline, scored, strongest
from pipelines.export.signature import Signature
from pipelines.network import build
from pipelines.predictions import Predictions, Scores
from pipelines.task import Augment, Network, Task
from pipelines.tasks.forecasting.baselines import forecasters
from pipelines.tasks.forecasting.config import ForecastingConfig
from pipelines.tasks.forecasting.data import SeriesData, load
from pipelines.tasks.forecasting.figures import figures
from pipelines.tasks.forecasting.metrics import LEVELS, pinball, scores
from pipelines.tasks.forecasting.network import forecast_network, predictions
from pipelines.tasks.forecasting.scaling import restored, standardized

_INPUTS = {"features", "padding_mask"}


class Forecasting(Task[ForecastingConfig, SeriesData]):
    """Probabilistic forecasting: from histories to quantiles of each step ahead.

    Histories are float64, in the series' own unit, as are the quantiles; the network between them
    is float32, in standard units.
    """

    metric = "mase"
    greater_is_better = False

    def load(self) -> SeriesData:
        return load(self.config)

    def network(self, data: SeriesData) -> Network:
        outputs = data.horizon * len(LEVELS)
        core = build(
            self.config,
            "does not turn a sequence of numbers into one forecast",
            lambda model: (
                model.output.shape == (None, outputs)
                and isinstance(model.input, dict)
                and model.input.keys() == _INPUTS
            ),
            input_size=1,
            outputs=outputs,
        )
        model = forecast_network(core.model, data.history, data.horizon)
        return replace(core, model=model)

    def loss(self, data: SeriesData) -> Callable[[Any, Any], Any]:
        return pinball

    def preprocess(self, inputs: Any) -> Any:
        return inputs["history"]

    def augment(self, data: SeriesData) -> Augment | None:
        """Scales histories with their futures, and adds noise to histories, in standard units.

        Um et al., "Data Augmentation of Wearable Sensor Data for Parkinson's Disease Monitoring
        using Convolutional Neural Networks", 2017, section 3.1.
        """
        jitter, scaling = self.config.jitter, self.config.random_scaling
        if not jitter and not scaling:
            return None

        def change(
            history: tf.Tensor, future: tf.Tensor, seeds: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor]:
            if scaling:
                factor = 1 + scaling * stateless.normal(seeds)[:, tf.newaxis]
                history, future = history * factor, future * factor
            if jitter:
                noise = stateless.normal(stateless.stream(seeds, 1), tf.shape(history)[1:])
                history += jitter * noise
            return history, future

        return change

    def postprocess(self, outputs: tf.Tensor, data: SeriesData) -> dict[str, tf.Tensor]:
        """Returns predictions of quantiles, float64, in the series' own unit."""
        return predictions(outputs, tnp)

    def predict_batch(
        self, model: keras.Model, inputs: Any, target: Any, data: SeriesData
    ) -> dict[str, tf.Tensor]:
        outputs = tf.cast(model(self.preprocess(inputs), training=False), tf.float64)
        return self.postprocess(restored(outputs, inputs["level"], inputs["deviation"]), data)

    def scores(self, predictions: Predictions, data: SeriesData) -> Scores:
        return scores(predictions)

    def baselines(self, data: SeriesData) -> list[Baseline]:
        return [scored(name, scores, predict) for name, predict in forecasters(data).items()]

    def figures(
        self,
        network: Network,
        data: SeriesData,
        test: Predictions,
        baselines: Sequence[Baseline],
    ) -> Iterator[tuple[str, Figure]]:
        best = strongest(baselines, self.metric, self.greater_is_better)
        return figures(data, test, baselines, best)

    def signatures(self, network: Network, data: SeriesData) -> list[Signature]:
        model, scaling = network.model, data.scaling

        def serving_default(history: tf.Tensor) -> dict[str, tf.Tensor]:
            # Model servers do not compare shapes with the signature.
            history = tf.ensure_shape(history, [None, data.history])
            level, deviation = scaling.of(history, tnp)
            inputs = {
                "history": tf.cast(standardized(history, level, deviation), tf.float32),
                "level": level,
                "deviation": deviation,
            }
            return self.predict_batch(model, inputs, None, data)

        histories = data.histories("test")
        histories = histories[np.unique(np.linspace(0, len(histories) - 1, 256).astype(int))]
        level, deviation = scaling.of(histories, np)
        known = standardized(histories, level, deviation).astype(np.float32)
        outputs = model.predict(known, verbose=0).astype(np.float64)
        return [
            Signature(
                "serving_default",
                serving_default,
                {"history": tf.TensorSpec([None, data.history], tf.float64)},
                {"history": histories},
                predictions(restored(outputs, level, deviation), np),
                # The network computes in float32, in units of the deviation, and the level is
                # added in float64.
                relative=1e-12,
                absolute=1e-4 * float(deviation.max()),
            )
        ]

    def examples(self, data: SeriesData) -> Mapping[str, bytes]:
        """Returns the last window of test: a history to send, and the future that followed."""
        last = data.series[-1]
        origin = data.origins("test")[-1][-1]
        window = {
            "history": last.values[origin - data.history : origin].tolist(),
            "future": last.values[origin : origin + data.horizon].tolist(),
            "future_times": last.times[origin : origin + data.horizon].astype(str).tolist(),
        }
        return {"window.json": json.dumps(window, indent=1).encode()}
