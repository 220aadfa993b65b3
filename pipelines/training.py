"""Training: optimizer and schedule, strategy, callbacks; the same for every task."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from pipelines.progress import stage
from pipelines.recipe import Config, Optimizer, Recipe

if TYPE_CHECKING:
    from pipelines.pipeline import Data, Task
    from pipelines.tracking import TrackedRun

# Decoded examples up to this size are kept in memory after the first epoch.
_CACHE_BYTES = 1 << 30
_SHUFFLE_BUFFER = 10_000


def build(task: Task, data: Data, config: Config) -> keras.Model:
    """Builds and compiles the model, seeded, in its precision and on every GPU there is."""
    recipe = config.recipe
    keras.utils.set_random_seed(recipe.seed)
    steps = -(-data.sizes["train"] // recipe.batch_size)
    keras.config.set_dtype_policy(recipe.precision)
    try:
        with strategy().scope():
            model = task.model(config, data)
            model.compile(
                optimizer=optimizer(recipe.optimizer, steps * recipe.epochs),
                loss=task.loss(),
                metrics=task.metrics(),
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
            _Epochs(tracked, bar, data.sizes["train"], task.metric)
        ]
        if recipe.patience:
            callbacks.append(
                keras.callbacks.EarlyStopping(patience=recipe.patience, restore_best_weights=True)
            )
        history = model.fit(
            batches(task, data, recipe),
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


def evaluate(task: Task, model: keras.Model, data: Data, batch_size: int) -> dict[str, float]:
    """Returns each metric as `validation_NAME` and `test_NAME`; the only look at test."""
    model.compile(loss=task.loss(), metrics=task.metrics())
    values: dict[str, float] = {}
    with stage("evaluate", 2) as bar:
        for split, examples in (("validation", data.validation), ("test", data.test)):
            scores = model.evaluate(
                _evaluated(task, examples, batch_size), verbose=0, return_dict=True
            )
            values |= {f"{split}_{name}": float(value) for name, value in scores.items()}
            bar.advance(f"{split} {task.metric} {scores[task.metric]:.4f}")
    return values


def optimizer(choice: Optimizer, steps: int) -> keras.Optimizer:
    """Returns AdamW under linear warmup and cosine decay over `steps` updates."""
    warmup = int(choice.warmup * steps)
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
    )
    adamw.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return adamw


def batches(task: Task, data: Data, recipe: Recipe) -> tf.data.Dataset:
    """Returns shuffled, augmented training batches, the same ones for the same seed."""
    examples = data.train
    if data.sizes["train"] * data.example_bytes <= _CACHE_BYTES:
        examples = examples.cache()
    augment = task.augment(recipe.augmentation, recipe.seed)

    def prepare(inputs, target):
        return augment(task.preprocess(inputs), training=True), target

    # The augmentation draws from one seeded stream, hence one map at a time.
    return (
        examples.shuffle(min(data.sizes["train"], _SHUFFLE_BUFFER), seed=recipe.seed)
        .batch(recipe.batch_size)
        .map(prepare)
        .prefetch(tf.data.AUTOTUNE)
    )


def _evaluated(task: Task, examples: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    return (
        examples.batch(batch_size)
        .map(lambda inputs, target: (task.preprocess(inputs), target))
        .prefetch(tf.data.AUTOTUNE)
    )


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

    def __init__(self, tracked: TrackedRun, bar: Any, examples: int, metric: str) -> None:
        super().__init__()
        self._tracked, self._bar, self._examples, self._metric = tracked, bar, examples, metric
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
        self._bar.advance(
            f"loss {values['train_loss']:.4f}, "
            f"validation {self._metric} {values[f'val_{self._metric}']:.4f}"
        )
