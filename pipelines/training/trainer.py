"""Training: building, fitting and device placement; the same for every task."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from pipelines import distiller
from pipelines.datasets.dataset import Dataset
from pipelines.progress import stage
from pipelines.task import Network, Task
from pipelines.training import batching, diagnosis, freezing, losses, monitor, strategies
from pipelines.training.callbacks import Epochs, Log, Samples
from pipelines.training.optimizers import optimizer


def build(task: Task, data: Dataset) -> Network:
    """Builds and compiles a network, seeded, in its precision and on every GPU there is."""
    recipe = task.config.recipe
    if recipe.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(recipe.precision)
    try:
        with strategies.strategy().scope():
            network = untrained(task, data)
            _compile(task, data, network.model)
    finally:
        keras.config.set_dtype_policy("float32")
    return network


def _compile(task: Task, data: Dataset, model: keras.Model) -> None:
    """Compiles a network as its recipe says, with its frozen layers."""
    recipe = task.config.recipe
    size, is_sequence = data.sizes["train"], batching.is_sequence(data.train)
    monitor.monitor(task, data)  # An unknown one is an error before training.
    losses.penalize(model, recipe.l1, recipe.l2)
    rates = freezing.rates(model, recipe.layer_decay)
    freezing.freeze(model, recipe.freeze)
    # XLA would compile again for every length of sequences.
    automatic = False if is_sequence else "auto"
    model.compile(
        optimizer=optimizer(
            recipe.optimizer,
            batching.steps_per_epoch(data, recipe.batch_size),
            epochs=recipe.epochs,
            last_batch=1.0 if is_sequence else _share(size, recipe.batch_size),
            rates=rates,
        ),
        loss=losses.loss(task, data, model),
        weighted_metrics=task.metrics(data),
        steps_per_execution=recipe.steps_per_execution,
        jit_compile={"auto": automatic, "true": True, "false": False}[recipe.jit_compile],
    )
    if recipe.unfreeze_every:
        freezing.build_for_all(model)


def fit(
    task: Task,
    network: Network,
    data: Dataset,
    log: Log,
    *,
    title: str = "train",
    watchers: Sequence[keras.callbacks.Callback] = (),
) -> Network:
    """Trains a built network and returns it in float32.

    With `patience`, its weights are those of the epoch with the best `monitor`. With
    `average`, they are averages, of that epoch if there is patience too; validation after each
    epoch already uses the averages, so its values are those of the weights that are kept.

    Args:
        task: Has recipe, batches and loss.
        network: As `build` returns it.
        data: The data set.
        log: Where each epoch is logged.
        title: What the progress bar shows beside it, in ten characters.
        watchers: Callbacks that see each epoch's values after they are logged.

    Raises:
        TrainingError: The loss became infinite or no number.
    """
    recipe, model = task.config.recipe, network.model
    steps = batching.steps_per_epoch(data, recipe.batch_size)
    validation_steps = -(-data.sizes["validation"] // recipe.batch_size)
    with stage(title, recipe.epochs) as bar:
        callbacks: list[keras.callbacks.Callback] = []
        if recipe.optimizer.average:
            callbacks.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
        callbacks.append(Epochs(log, bar, recipe, data.sizes["train"], steps + validation_steps))
        if sample := task.sampler(network, data):
            callbacks.append(Samples(log, sample))
        watched = monitor.monitor(task, data)
        stopping = keras.callbacks.EarlyStopping(
            watched.name, patience=recipe.patience, mode=watched.mode, restore_best_weights=True
        )
        if recipe.patience:
            callbacks.append(stopping)
        if recipe.unfreeze_every:
            callbacks.append(freezing.Unfreezing(model, recipe.unfreeze_every))
        fitted = model
        if task.teacher:
            with strategies.strategy().scope():
                fitted = distiller.training_model(
                    task.teacher, model, loss=model.loss, metrics=task.metrics(data)
                )
        callbacks += diagnosis.callbacks(task, network, fitted, data, log)
        history = fitted.fit(
            batching.training_batches(task, data),
            validation_data=batching.evaluation_batches(task, data.validation, recipe.batch_size),
            epochs=recipe.epochs,
            steps_per_epoch=steps,
            callbacks=[*callbacks, *watchers],
            shuffle=False,  # The batches come shuffled.
            verbose=0,
        )
        if recipe.patience:
            kept = "averaged weights" if recipe.optimizer.average else "weights"
            best = stopping.best_epoch + 1
            bar.finish(f"keeps the {kept} of epoch {best}, with {watched}")
    log.history(history.history)
    if recipe.precision == "float32":
        return network
    # Mixed precision is for training: the exported model computes in float32.
    exported = untrained(task, data)
    exported.model.set_weights(model.get_weights())
    return exported


def untrained(task: Task, data: Dataset) -> Network:
    """Returns a network as it is before training; a student's is adapted to its teacher."""
    network = task.network(data)
    return distiller.adapt(task.teacher, network) if task.teacher else network


def _share(size: int, batch_size: int) -> float:
    """Returns the size of the last batch of `size` examples, as a fraction of `batch_size`."""
    return ((size - 1) % batch_size + 1) / batch_size
