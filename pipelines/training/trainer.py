"""Training: building, fitting and device placement; the same for every task."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from pipelines import distiller
from pipelines.datasets.dataset import Dataset
from pipelines.progress import stage
from pipelines.task import Network, Task
from pipelines.training import batching, strategies
from pipelines.training.callbacks import Epochs, Log, Samples
from pipelines.training.optimizers import optimizer


def build(task: Task, data: Dataset) -> Network:
    """Builds and compiles a network, seeded, in its precision and on every GPU there is."""
    recipe = task.config.recipe
    keras.utils.set_random_seed(recipe.seed)
    steps = batching.steps_per_epoch(data, recipe.batch_size)
    keras.config.set_dtype_policy(recipe.precision)
    try:
        with strategies.strategy().scope():
            network = untrained(task, data)
            network.model.compile(
                optimizer=optimizer(recipe.optimizer, steps * recipe.epochs),
                loss=task.loss(data),
                weighted_metrics=task.metrics(data),
                # XLA would compile again for every length.
                jit_compile=False if batching.is_sequence(data.train) else "auto",
            )
    finally:
        keras.config.set_dtype_policy("float32")
    return network


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

    With `patience`, its weights are those of the epoch with the lowest validation loss. With
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
    steps += -(-data.sizes["validation"] // recipe.batch_size)
    with stage(title, recipe.epochs) as bar:
        callbacks: list[keras.callbacks.Callback] = []
        if recipe.optimizer.average:
            callbacks.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
        callbacks.append(Epochs(log, bar, recipe, data.sizes["train"], steps))
        if sample := task.sampler(network, data):
            callbacks.append(Samples(log, sample))
        stopping = keras.callbacks.EarlyStopping(
            patience=recipe.patience, restore_best_weights=True
        )
        if recipe.patience:
            callbacks.append(stopping)
        fitted = model
        if task.teacher:
            with strategies.strategy().scope():
                fitted = distiller.training_model(
                    task.teacher, model, loss=task.loss(data), metrics=task.metrics(data)
                )
        history = fitted.fit(
            batching.training_batches(task, data),
            validation_data=batching.evaluation_batches(task, data.validation, recipe.batch_size),
            epochs=recipe.epochs,
            callbacks=[*callbacks, *watchers],
            shuffle=False,  # The batches come shuffled.
            verbose=0,
        )
        if recipe.patience:
            kept = "averaged weights" if recipe.optimizer.average else "weights"
            best = stopping.best_epoch + 1
            bar.finish(f"keeps the {kept} of epoch {best}, with the lowest validation loss")
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
