"""Training: building, fitting and device placement; the same for every task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import keras
import tensorflow as tf

from pipelines import distiller, interruption
from pipelines.datasets.dataset import Dataset
from pipelines.errors import DivergenceError, UserError
from pipelines.progress import Stage, console, stage
from pipelines.task import Network, Task
from pipelines.training import (
    batching,
    diagnosis,
    freezing,
    losses,
    monitor,
    multi_worker,
    saving,
    strategies,
)
from pipelines.training.callbacks import Epochs, Log, Samples
from pipelines.training.checkpoints import Checkpoint, Checkpoints, State
from pipelines.training.cluster import workers_of
from pipelines.training.optimizers import optimizer

# `--on_nan restore` goes back to a checkpoint at most this often.
_MAX_RESTORES = 3


def build(task: Task, data: Dataset) -> Network:
    """Builds and compiles a network, seeded, in its precision and on every GPU there is."""
    recipe = task.config.recipe
    if recipe.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(recipe.precision)
    try:
        strategy = strategies.strategy(task.config)
        with strategy.scope():
            network = untrained(task, data)
            _compile(task, data, network.model, strategy)
    finally:
        keras.config.set_dtype_policy("float32")
    return network


def _compile(
    task: Task, data: Dataset, model: keras.Model, strategy: tf.distribute.Strategy
) -> None:
    """Compiles a network as its recipe says, with its frozen layers."""
    recipe = task.config.recipe
    size, is_sequence = data.sizes["train"], batching.is_sequence(data.train)
    steps = batching.steps_per_epoch(data, recipe.batch_size)
    monitor.monitor(task, data)  # An unknown one is an error before training.
    losses.penalize(model, recipe.l1, recipe.l2)
    rates = freezing.rates(model, recipe.layer_decay)
    freezing.freeze(model, recipe.freeze)
    # XLA does not synchronize replicas.
    several = strategy.num_replicas_in_sync > 1
    if several and recipe.jit_compile == "true":
        raise UserError("--jit_compile true does not go with several devices")
    skips = several or (is_sequence and not strategies.compiles(task.config))
    model.compile(
        optimizer=optimizer(
            recipe.optimizer,
            steps,
            epochs=recipe.epochs,
            last_batch=1.0 if is_sequence else _share(size, recipe.batch_size),
            rates=rates,
        ),
        loss=multi_worker.global_means(losses.loss(task, data, model), strategy),
        weighted_metrics=task.metrics(data),
        # Batches of one call are all of the same epoch.
        steps_per_execution=max(
            number for number in range(1, recipe.steps_per_execution + 1) if steps % number == 0
        ),
        jit_compile={"auto": False if skips else "auto", "true": True, "false": False}[
            recipe.jit_compile
        ],
    )
    if recipe.unfreeze_every:
        freezing.build_for_all(model)


def fit(
    task: Task,
    network: Network,
    data: Dataset,
    log: Log,
    checkpoints: Checkpoints | None = None,
    *,
    title: str = "train",
    watchers: Sequence[keras.callbacks.Callback] = (),
) -> Network:
    """Trains a built network and returns it in float32.

    With `keep` best, or `patience`, its weights are those of the epoch with the best `monitor`.
    With `average`, they are averages, of that epoch if it is chosen; validation after each epoch
    already uses the averages, so its values are those of the weights that are kept.

    Args:
        task: The task.
        network: What `build` returned.
        data: The data set.
        log: Metrics of each epoch are logged to it.
        checkpoints: The state of training is saved there, and training goes on from the newest
            one; None trains from the beginning and saves nothing.
        title: What the progress bar shows beside it, in ten characters.
        watchers: Callbacks that see each epoch's values after they are logged.

    Raises:
        TrainingError: The loss became infinite or no number, or the disk is full.
        UserError: The checkpoint is of another network.
        KeyboardInterrupt: A signal came; the state is saved.
    """
    recipe, model = task.config.recipe, network.model
    start = checkpoints.newest() if checkpoints else None
    if start:
        start.check(saving.described(model))
    signals = interruption.deferred() if checkpoints else nullcontext(lambda: False)
    with stage(title, recipe.epochs) as bar, signals as interrupted:
        if start and start.state.trained:
            saving.restore_trained(start, model)
            history = start.state.history
            for watcher in watchers:
                if isinstance(watcher, keras.callbacks.History):
                    watcher.history = {name: list(values) for name, values in history.items()}
            bar.finish("trained before")
        else:
            unfreezing = (
                [freezing.Unfreezing(model, recipe.unfreeze_every)] if recipe.unfreeze_every else []
            )
            session = Session(
                task, network, data, log, bar, checkpoints, interrupted, [*unfreezing, *watchers]
            )
            history = session.train(start)
            if checkpoints:
                saving.save_trained(checkpoints, model, history)
    kept = monitor.kept_epoch(task, data, history)
    log.history(history, kept=kept, better=monitor.directions(task, data))
    replicas = strategies.strategy(task.config).num_replicas_in_sync
    if recipe.precision == "float32" and replicas == 1:
        return network
    # Mixed precision and replicas are for training: the exported model computes in float32, on one
    # device.
    exported = untrained(task, data)
    exported.model.set_weights(model.get_weights())
    return exported


@dataclass(frozen=True)
class Session:
    """The training of a network, which may begin more than once.

    Attributes:
        task: The task.
        network: A compiled network.
        data: The data set.
        log: What is logged to.
        bar: The progress, a step for each epoch.
        checkpoints: Where the state is saved, if it is.
        interrupted: Whether training has to save its state and end.
        watchers: More callbacks, which follow what they see alone.
    """

    task: Task
    network: Network
    data: Dataset
    log: Log
    bar: Stage
    checkpoints: Checkpoints | None
    interrupted: Callable[[], bool]
    watchers: Sequence[keras.callbacks.Callback]

    def train(self, start: Checkpoint | None) -> Mapping[str, Sequence[float]]:
        """Trains from a checkpoint on, and returns the learning curves.

        With `--on_nan restore` a divergence goes back to the newest checkpoint, from which it goes
        on at half the learning rate.
        """
        fitted, rate = (
            fitted_model(self.task, self.network, self.data),
            saving.schedule(self.network.model.optimizer),
        )
        while True:
            try:
                return self._fit(fitted, start, rate)
            except DivergenceError as error:
                restores = (start.state.restores if start else 0) + 1
                if not self.checkpoints or self.task.config.recipe.on_nan == "stop":
                    raise
                if restores > _MAX_RESTORES:
                    message = f"{error}, after {_MAX_RESTORES} times --on_nan restore"
                    raise DivergenceError(message) from error
                newest = self.checkpoints.newest()
                assert newest is not None  # Session._fit has begun with one.
                start = replace(newest, state=replace(newest.state, restores=restores))
                console.print(
                    f"note: {str(error).partition(';')[0]}; training goes back to "
                    f"{start.state.place} and on at {0.5**restores:g} times the learning rate",
                    soft_wrap=True,
                )

    def _fit(
        self, fitted: keras.Model, start: Checkpoint | None, rate: Any
    ) -> Mapping[str, Sequence[float]]:
        """Fits from a checkpoint to the end of training."""
        recipe, data = self.task.config.recipe, self.data
        state = start.state if start else State()
        steps = batching.steps_per_epoch(data, recipe.batch_size)
        callbacks, stopping = self._callbacks(fitted, steps, start)
        self.bar.begin(state.epoch)
        strategy, batches = strategies.strategy(self.task.config), self._batches(steps, state)
        pad = batching.padding(self.task, data)
        validation = batching.evaluation_batches(self.task, data.validation, recipe.batch_size, pad)
        if batching.is_small(data):
            validation = validation.cache()  # Each epoch reads it.
        last = recipe.on_nan == "stop" or state.restores == _MAX_RESTORES
        with (
            multi_worker.cured(fitted, batches.element_spec),
            diagnosis.concluded(callbacks, at_divergence=last),
        ):
            saving.build_optimizer(fitted)
            saving.slow_down(fitted, rate, 0.5**state.restores)
            if start:
                saving.prepare(fitted, start, validation)
            fitted.fit(
                multi_worker.distributed(batches, strategy, endless=True),
                validation_data=multi_worker.distributed(validation, strategy),
                epochs=recipe.epochs,
                initial_epoch=state.epoch,
                steps_per_epoch=steps,
                validation_steps=-(-data.sizes["validation"] // recipe.batch_size),
                callbacks=saving.Continued(
                    callbacks, model=fitted, epochs=recipe.epochs, steps=steps, done=state.step
                ),
                shuffle=False,  # The batches come shuffled.
                verbose=0,
            )
        if stopping and stopping.restore_best_weights:
            kept = "averaged weights" if recipe.optimizer.average else "weights"
            best = stopping.best_epoch + 1
            watched = monitor.monitor(self.task, data)
            self.bar.finish(f"keeps the {kept} of epoch {best}, with {watched}")
        return fitted.history.history

    def _batches(self, steps: int, state: State) -> tf.data.Dataset:
        """Returns the training batches that are left."""
        epochs, epoch, step = self.task.config.recipe.epochs, state.epoch, state.step
        if step == steps:  # Only a validation is left of this epoch, maybe of all.
            epoch, step = min(epoch + 1, epochs - 1), 0
        batches = batching.training_batches(self.task, self.data, epoch=epoch, step=step)
        # Their number is hidden from Keras, which counts from the beginning of the epoch and would
        # end too early, and which would build the input again after the last one.
        return batches.take_while(lambda *batch: True)

    def _callbacks(
        self, fitted: keras.Model, steps: int, start: Checkpoint | None
    ) -> tuple[list[keras.callbacks.Callback], keras.callbacks.EarlyStopping | None]:
        recipe, data = self.task.config.recipe, self.data
        watched = monitor.monitor(self.task, data)
        averaging = stopping = None
        callbacks: list[keras.callbacks.Callback] = []
        if recipe.optimizer.average:
            averaging = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
            callbacks.append(averaging)
        callbacks.append(
            Epochs(
                self.log,
                self.bar,
                recipe,
                examples=data.sizes["train"],
                steps=steps,
                validation_steps=-(-data.sizes["validation"] // recipe.batch_size),
                restores=start.state.restores if start else 0,
            )
        )
        if sample := self.task.sampler(self.network, data):
            callbacks.append(Samples(self.log, sample))
        if recipe.patience or recipe.keep == "best":
            stopping = keras.callbacks.EarlyStopping(
                watched.name,
                patience=recipe.patience or recipe.epochs,  # The latter is never reached.
                mode=watched.mode,
                restore_best_weights=recipe.keep != "last",
            )
            callbacks.append(stopping)
        look = diagnosis.diagnosis(self.task, self.network, fitted, data, self.log)
        callbacks += [look] if look else []
        callbacks += self.watchers
        if self.checkpoints:
            saver = saving.Saver(
                self.checkpoints,
                self.network.model,
                saving.Callbacks(stopping, averaging, look),
                start=start,
                steps=steps,
                every=recipe.checkpoint_every,
                always=recipe.on_nan == "restore",
                within=len(workers_of(self.task.config.strategy).workers) == 1,
                interrupted=self.interrupted,
            )
            callbacks.append(saver)
        return callbacks, stopping


def fitted_model(task: Task, network: Network, data: Dataset) -> keras.Model:
    """Returns the compiled model that is fitted: the network, or a student with its teacher."""
    model = network.model
    if not task.teacher:
        return model
    with strategies.strategy(task.config).scope():
        return distiller.training_model(
            task.teacher, model, loss=model.loss, metrics=task.metrics(data)
        )


def untrained(task: Task, data: Dataset) -> Network:
    """Returns a network as it is before training; a student's is adapted to its teacher."""
    network = task.network(data)
    return distiller.adapt(task.teacher, network) if task.teacher else network


def _share(size: int, batch_size: int) -> float:
    """Returns the size of the last batch of `size` examples, as a fraction of `batch_size`."""
    return ((size - 1) % batch_size + 1) / batch_size
