"""Training: optimizer and schedule, strategy, callbacks; the same for every task."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from pipelines import evaluation
from pipelines.config import Config, Optimizer, Recipe
from pipelines.evaluation import Predictions, Scores
from pipelines.progress import stage

if TYPE_CHECKING:
    from pipelines.run import Data, Task
    from pipelines.tracking import TrackedRun

# Decoded examples up to this size are kept in memory after the first epoch.
_CACHE_BYTES = 1 << 30
_SHUFFLE_BUFFER = 10_000
# Lengths at which batches of sequences are cut into buckets.
_BUCKETS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)


def build(task: Task, data: Data, config: Config) -> keras.Model:
    """Builds and compiles the model, seeded, in its precision and on every GPU there is."""
    recipe = config.recipe
    keras.utils.set_random_seed(recipe.seed)
    steps = _steps(data, recipe.batch_size)
    keras.config.set_dtype_policy(recipe.precision)
    try:
        with strategy().scope():
            model = task.model(config, data)
            model.compile(
                optimizer=optimizer(recipe.optimizer, steps * recipe.epochs),
                loss=task.loss(),
                weighted_metrics=task.metrics(),
                # XLA would compile anew for every length.
                jit_compile=False if _is_sequence(data.train) else "auto",
            )
    finally:
        keras.config.set_dtype_policy("float32")
    return model


def fit(
    task: Task, model: keras.Model, data: Data, config: Config, tracked: TrackedRun
) -> keras.Model:
    """Trains a built model and returns it in float32, with its best weights if it stops early."""
    recipe = config.recipe
    with stage("train", recipe.epochs) as bar:
        callbacks: list[keras.callbacks.Callback] = [
            _Epochs(tracked, bar, data.sizes["train"]),
            _Samples(tracked, lambda: task.samples(model, data)),
        ]
        if recipe.patience:
            callbacks.append(
                keras.callbacks.EarlyStopping(patience=recipe.patience, restore_best_weights=True)
            )
        with strategy().scope():
            learner = task.learner(model)
        history = learner.fit(
            batches(task, data, config),
            validation_data=_evaluated(task, data.validation, recipe.batch_size),
            epochs=recipe.epochs,
            callbacks=callbacks,
            shuffle=False,  # The batches come shuffled.
            verbose=0,
        )
    tracked.history(history.history)
    if recipe.precision == "float32":
        return model
    # Mixed precision is for training: what is exported computes in float32.
    rebuilt = task.model(config, data)
    rebuilt.set_weights(model.get_weights())
    return rebuilt


def evaluate(
    task: Task, model: keras.Model, data: Data, recipe: Recipe
) -> tuple[Scores, dict[str, tuple[float, float]], Predictions]:
    """Scores the model on validation and, the only look at it, on test.

    Returns:
        Each score as `validation_NAME` and `test_NAME`, the 95 % intervals of test's by NAME, and
        the predictions on test.
    """
    values: Scores = {}
    with stage("evaluate", 2) as bar:
        for split in ("validation", "test"):
            predictions = evaluation.predict(task, model, data, split, recipe.batch_size)
            scores = task.scores(predictions)
            values |= {f"{split}_{name}": value for name, value in scores.items()}
            bar.advance(f"{split} {task.metric} {scores[task.metric]:.4f}")
        intervals = evaluation.intervals(task.scores, predictions, seed=recipe.seed)
    return values, intervals, predictions


def optimizer(choice: Optimizer, steps: int) -> keras.Optimizer:
    """Returns AdamW under linear warmup and what follows it, over `steps` updates.

    Averaging weights over the updates: Polyak & Juditsky, "Acceleration of Stochastic Approximation
    by Averaging", 1992.
    """
    warmup = int(choice.warmup * steps)
    schedule: keras.optimizers.schedules.LearningRateSchedule
    if choice.schedule == "inverse_sqrt":
        schedule = InverseSquareRoot(choice.learning_rate, max(1, warmup))
    else:
        schedule = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup else choice.learning_rate,
            decay_steps=max(1, steps - warmup),
            warmup_target=choice.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    adamw = keras.optimizers.AdamW(
        schedule,
        weight_decay=choice.weight_decay,
        global_clipnorm=choice.clip_norm or None,
        use_ema=choice.average > 0,
        # Started from the untrained weights, it must not outlast a short run.
        ema_momentum=min(choice.average, max(0.0, 1 - 4 / steps)),
    )
    adamw.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return adamw


@keras.saving.register_keras_serializable(package="pipelines")
class InverseSquareRoot(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warmup to a peak, then decay with the inverse square root of the step.

    Vaswani et al., "Attention Is All You Need", 2017, equation 3, where the peak follows from the
    width and the warmup: (width * warmup_steps) ** -0.5.
    """

    def __init__(self, learning_rate: float, warmup_steps: int) -> None:
        """Takes the peak and the step, from 1 on, that it is reached at."""
        super().__init__()
        self.learning_rate, self.warmup_steps = learning_rate, warmup_steps

    def __call__(self, step):
        share = (ops.cast(step, "float32") + 1) / self.warmup_steps
        return self.learning_rate * ops.minimum(share, ops.rsqrt(share))

    def get_config(self) -> dict[str, Any]:
        return {"learning_rate": self.learning_rate, "warmup_steps": self.warmup_steps}


def batches(task: Task, data: Data, config: Config) -> tf.data.Dataset:
    """Returns shuffled, augmented training batches, the same ones for the same seed.

    Sequences come with others of about their length, padded to the longest among them.
    """
    recipe, examples = config.recipe, data.train
    size = data.example_bytes
    if size is not None and data.sizes["train"] * size <= _CACHE_BYTES:
        examples = examples.cache()
    augment = task.augment(config)

    def prepare(inputs, target, *weight):
        inputs = task.preprocess(inputs)
        if augment:
            inputs, target = augment(inputs, target)
        return inputs, target, *weight

    examples = examples.shuffle(min(data.sizes["train"], _SHUFFLE_BUFFER), seed=recipe.seed)
    if _is_sequence(examples):
        batched = examples.bucket_by_sequence_length(
            _length, _BUCKETS, [recipe.batch_size] * (len(_BUCKETS) + 1)
        )
        # Of a number that it does not know, Keras would look for one batch more in every epoch,
        # and count it as an update.
        cardinality = tf.data.experimental.assert_cardinality(_steps(data, recipe.batch_size))
        batched = batched.apply(cardinality)
    else:
        batched = examples.batch(recipe.batch_size)
    # The augmentation draws from one seeded stream, hence one map at a time.
    return batched.map(prepare).prefetch(tf.data.AUTOTUNE)


def buckets(lengths: np.ndarray) -> list[np.ndarray]:
    """Returns int lengths [examples] bucket by bucket, each in its order; empty ones left out."""
    index = np.searchsorted(_BUCKETS, lengths, side="right")
    return [lengths[index == bucket] for bucket in np.unique(index)]


def _steps(data: Data, batch_size: int) -> int:
    """Returns the number of an epoch's batches; each bucket of sequences ends with a short one."""
    if not _is_sequence(data.train):
        return -(-data.sizes["train"] // batch_size)
    lengths = np.fromiter(data.train.map(_length).as_numpy_iterator(), int)
    return sum(-(-len(bucket) // batch_size) for bucket in buckets(lengths))


def _evaluated(task: Task, examples: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    return (
        examples.padded_batch(batch_size)
        .map(lambda inputs, *rest: (task.preprocess(inputs), *rest))
        .prefetch(tf.data.AUTOTUNE)
    )


def _is_sequence(examples: tf.data.Dataset) -> bool:
    return any(None in spec.shape for spec in tf.nest.flatten(examples.element_spec))


def _length(*example):
    """The longest first dimension among the parts of an example."""
    parts = [part for part in tf.nest.flatten(example) if part.shape.rank]
    return tf.reduce_max(tf.stack([tf.shape(part)[0] for part in parts]))


def strategy() -> tf.distribute.Strategy:
    """Returns data parallelism over the GPUs of this machine, if it has several."""
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def device() -> str:
    """Returns what the model is trained on, as "CPU" or "2 x NVIDIA H100"."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "CPU"
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    return f"{len(gpus)} x {name}"


class _Epochs(keras.callbacks.Callback):
    """Logs each epoch's metrics and speed, and moves the progress bar."""

    def __init__(self, tracked: TrackedRun, bar: Any, examples: int) -> None:
        super().__init__()
        self._tracked, self._bar, self._examples = tracked, bar, examples
        self._started = self._trained = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._started = time.perf_counter()

    def on_test_begin(self, logs=None):
        self._trained = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        values = {
            name if name.startswith("val_") else f"train_{name}": float(value)
            for name, value in (logs or {}).items()
        }
        values["learning_rate"] = float(self.model.optimizer.learning_rate)
        if epoch:  # The first epoch's time is mostly tracing.
            values["examples_per_second"] = self._examples / (self._trained - self._started)
        self._tracked.metrics(values, step=epoch + 1)
        watched = [name for name in values if name.startswith("val_")]
        # Metrics say more than losses, where there are any.
        watched.sort(key=lambda name: name.endswith("loss"))
        self._bar.advance(
            f"loss {values['train_loss']:.4f}, "
            f"validation {watched[0].removeprefix('val_')} {values[watched[0]]:.4f}"
        )


class _Samples(keras.callbacks.Callback):
    """Logs what the model writes after each epoch, if it writes."""

    def __init__(self, tracked: TrackedRun, write: Callable[[], str]) -> None:
        super().__init__()
        self._tracked, self._write = tracked, write

    def on_epoch_end(self, epoch, logs=None):
        if text := self._write():
            self._tracked.samples(text, step=epoch + 1)
