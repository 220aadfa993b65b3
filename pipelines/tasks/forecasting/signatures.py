"""The signature of a forecasting model: histories, and what is known in advance, to quantiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow.experimental.numpy as tnp

from pipelines.datasets.splitting import spread
from pipelines.export.signature import Signature
from pipelines.tasks.forecasting import covariates
from pipelines.tasks.forecasting.data import SeriesData
from pipelines.tasks.forecasting.network import predictions
from pipelines.tasks.forecasting.scaling import restored, standardized

# Number of verification examples.
_EXAMPLES = 256
# Where the fields of "2021-01-31 23:00" begin, and how long they are; a day may have no hour.
_FIELDS = {"year": (0, 4), "month": (5, 2), "day": (8, 2), "hour": (11, 2)}


def signature(
    model: keras.Model, data: SeriesData, predict: Callable[[Any], dict[str, tf.Tensor]]
) -> Signature:
    """Returns the signature of the SavedModel.

    Args:
        model: The trained network.
        data: The verification examples are from its test split.
        predict: From inputs as those of the data set's examples to predictions.
    """
    scaling, known = data.scaling, data.covariates
    both = data.history + data.horizon

    def answer(
        history: tf.Tensor, covariates: tf.Tensor | None = None, times: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        # Model servers do not compare shapes with the signature.
        history = tf.ensure_shape(history, [None, data.history])
        level, deviation = scaling.of(history, tnp)
        inputs = {
            "history": tf.cast(standardized(history, level, deviation), tf.float32),
            "level": level,
            "deviation": deviation,
        }
        if covariates is not None:
            covariates = tf.ensure_shape(covariates, [None, both, len(known.columns)])
        fields = None if times is None else read_times(tf.ensure_shape(times, [None, both]))
        if known.width:
            inputs["covariates"] = known.features(covariates, fields, tnp)
        return predict(inputs)

    # A function has the parameters that its signature has inputs.
    by_inputs: dict[tuple[bool, bool], Callable[..., dict[str, tf.Tensor]]] = {
        (False, False): lambda history: answer(history),
        (True, False): lambda history, covariates: answer(history, covariates),
        (False, True): lambda history, times: answer(history, None, times),
        (True, True): lambda history, covariates, times: answer(history, covariates, times),
    }
    specs = {"history": tf.TensorSpec([None, data.history], tf.float64)}
    if known.columns:
        specs["covariates"] = tf.TensorSpec([None, both, len(known.columns)], tf.float64)
    if known.calendar:
        specs["times"] = tf.TensorSpec([None, both], tf.string)
    chosen = spread(data.sizes["test"], _EXAMPLES)
    requests = requests_of(data, "test", chosen)
    level, deviation = scaling.of(requests["history"], np)
    inputs = {
        "history": standardized(requests["history"], level, deviation).astype(np.float32),
    }
    if known.width:
        whole = np.concatenate(
            [
                known.windows(one, origins - data.history, both)
                for one, origins in zip(data.series, data.origins("test"), strict=True)
            ]
        )
        inputs["covariates"] = whole[chosen]
    read = inputs if known.width else inputs["history"]
    outputs = model.predict(read, verbose=0).astype(np.float64)
    return Signature(
        "serving_default",
        by_inputs[bool(known.columns), bool(known.calendar)],
        specs,
        requests,
        predictions(restored(outputs, level, deviation), np),
        # The network computes in float32, in units of the deviation, and the level is
        # added in float64.
        relative=1e-12,
        absolute=1e-4 * float(deviation.max()),
    )


def read_times(texts: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the fields of times, int64, as `calendar_features.features` takes them.

    Args:
        texts: string [...], as "2021-01-31" or "2021-01-31 23:00".
    """
    hours = tf.strings.join([texts, " 00"])
    return {
        name: tf.strings.to_number(tf.strings.substr(hours, *place), tf.int64)
        for name, place in _FIELDS.items()
    }


def last_window(data: SeriesData) -> dict[str, Any]:
    """Returns the last window of test: a request for a single history, and what followed."""
    series = data.series[-1]
    origin = data.origins("test")[-1][-1]
    ahead = slice(origin, origin + data.horizon)
    last = requests_of(data, "test", np.array([data.sizes["test"] - 1]))
    request = {name: x[-1].tolist() for name, x in last.items()}
    if "times" in request:
        request["times"] = [time.decode() for time in request["times"]]
    return {
        **request,
        "future": series.values[ahead].tolist(),
        "future_times": series.times[ahead].astype(str).tolist(),
    }


def requests_of(data: SeriesData, split: str, chosen: np.ndarray) -> dict[str, np.ndarray]:
    """Returns requests for windows of a split, int [windows]."""
    both = data.history + data.horizon
    pairs = [
        (one, origins - data.history)
        for one, origins in zip(data.series, data.origins(split), strict=True)
    ]
    found = {"history": data.histories(split)[chosen]}
    if data.covariates.columns:
        whole = [covariates.windows(one.covariates, starts, both) for one, starts in pairs]
        found["covariates"] = np.concatenate(whole)[chosen]
    if data.covariates.calendar:
        texts = [
            covariates.windows(_texts(one.times)[:, np.newaxis], starts, both)[..., 0]
            for one, starts in pairs
        ]
        whole = np.concatenate(texts)[chosen]
        found["times"] = np.array([[x.encode() for x in row] for row in whole], object)
    return found


def _texts(times: np.ndarray) -> np.ndarray:
    """Returns times as texts, object [...]: days alone where they are whole days."""
    unit = "D" if np.all(times.astype("datetime64[D]") == times) else "m"
    return np.datetime_as_string(times.astype(f"datetime64[{unit}]")).astype(object)
