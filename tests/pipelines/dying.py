"""Runs that are killed at chosen moments and resumed, each in a fork of one process.

`python -m tests.pipelines.dying FOLDER DEVICES MOMENT …` trains once without an interruption and
once through the moments, and prints what both have logged and the difference of their weights, as
JSON. The process imports TensorFlow but uses it in its forks alone, as a used one cannot be forked.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import mlflow
import numpy as np
import tensorflow as tf

from pipelines import evaluation, resuming, store
from pipelines import run as pipeline
from pipelines.catalog import PIPELINES
from pipelines.config import Config
from pipelines.export import comparison, fresh, saved_model
from pipelines.image.config import Augmentation, ImageConfig
from pipelines.recipe import Optimizer, Recipe
from pipelines.tasks.image_classification.task import ImageClassification
from pipelines.training import checkpoints, saving, strategies
from tests.pipelines import samples

NAME = "image_classification"
RECIPE = Recipe(
    epochs=5,
    batch_size=8,
    seed=3,
    patience=2,
    checkpoint_every=3,
    jit_compile="false",  # Compiling takes seconds, in each of the forks.
    optimizer=Optimizer(learning_rate=0.02, average=0.9),
)
CONFIG = ImageConfig(
    dataset="striped",
    architecture="convnet",
    model={"filters": [4], "convolutions": 1, "units": [6], "dropout": 0.3},
    recipe=RECIPE,
    augmentation=Augmentation(shift=0.1, flip=True),
    figures=False,
)
STEPS = 7  # In an epoch of 50 examples.


class Striped(ImageClassification):
    def load(self) -> Any:
        return samples.striped()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, condition: Callable[..., bool] = lambda *_: True) -> None:
    """Dies instead of calling a function."""
    call = getattr(owner, name)

    def dying(*arguments: Any, **options: Any) -> Any:
        if condition(*arguments):
            die()
        return call(*arguments, **options)

    setattr(owner, name, dying)


def at_batch(epoch: int, batch: int) -> None:
    before(
        saving.Saver,
        "on_train_batch_end",
        lambda saver, done, *_: (saver._epoch, done) == (epoch, batch),
    )


def in_validation(epoch: int) -> None:
    before(saving.Saver, "on_test_batch_end", lambda saver, *_: saver._epoch == epoch)


def after_epoch(epoch: int) -> None:
    before(saving.Saver, "on_epoch_begin", lambda saver, begun, *_: begun == epoch + 1)


def while_writing() -> None:
    def part(file: Any, **arrays: Any) -> None:
        file.write(b"the beginning of a checkpoint")
        file.flush()
        die()

    checkpoints.np.savez = part  # type: ignore[assignment]


def after_renaming() -> None:
    before(checkpoints, "_synchronize")


def in_evaluation() -> None:
    before(evaluation, "_batches", lambda graph, task, data, split: split == "test")


def in_export() -> None:
    before(saved_model, "saved_model")


def after_registering() -> None:
    create = mlflow.MlflowClient.create_model_version

    def created(*arguments: Any, **options: Any) -> None:
        create(*arguments, **options)
        die()

    mlflow.MlflowClient.create_model_version = created  # type: ignore[method-assign,assignment]


MOMENTS: tuple[tuple[Callable[..., None], tuple[int, ...]], ...] = (
    (at_batch, (0, 1)),  # Before there is a checkpoint.
    (at_batch, (0, 4)),
    (after_epoch, (0,)),
    (while_writing, ()),
    (in_validation, (1,)),
    (at_batch, (2, 0)),
    (after_renaming, ()),
    (at_batch, (3, 5)),
    (in_evaluation, ()),
    (in_export, ()),
    (after_registering, ()),
)


def forked(work: Callable[[], object]) -> int:
    """Runs a function in a fork and returns how that ended, negative for a signal."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        code = 1
        with contextlib.suppress(SystemExit):
            work()
            code = 0
        sys.stdout.flush()
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def train(folder: Path, config: Config, devices: int, final: str, prepare: Callable = lambda: None):
    """Runs the pipeline and keeps the weights that it ends with."""
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
    if devices > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        logical = [tf.config.LogicalDeviceConfiguration()] * devices
        tf.config.set_logical_device_configuration(cpu, logical)
        mirrored = tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(devices)])
        strategies.strategy = lambda *_: mirrored
    # These networks run for an instant: optimizing their graphs takes longer.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    pipeline.make_task = lambda name, config: Striped(config)  # type: ignore[arg-type]
    write_network = pipeline.write_network

    def kept(model: keras.Model, target: Path) -> None:
        np.savez(folder / final, *model.get_weights())
        write_network(model, target)

    pipeline.write_network = kept  # type: ignore[assignment]

    def compare(module: str, saved: Path, records: Path, contract: Path, *others: Path) -> Any:
        return comparison.report(saved, records, json.loads(contract.read_text()), *others)

    fresh.run = compare  # type: ignore[assignment]
    if config.resume:
        config = resuming.resumed(NAME, config)
    prepare()
    pipeline.run(NAME, config)


def losses(folder: Path) -> None:
    """Writes each run's values of each epoch, in the order in which the runs began."""
    client = mlflow.MlflowClient()
    runs = mlflow.search_runs(
        search_all_experiments=True, order_by=["attributes.start_time"], output_format="list"
    )
    logged = [
        {
            name: sorted((point.step, point.value) for point in history)
            for name in ("train/loss", "train/val_accuracy", "validation/accuracy", "test/log_loss")
            for history in [client.get_metric_history(run.info.run_id, name)]
        }
        for run in runs
    ]
    statuses = [run.info.status for run in runs]
    versions = [version.version for version in client.search_model_versions()]
    found = {"logged": logged, "statuses": statuses, "versions": len(versions)}
    (folder / "logged.json").write_text(json.dumps(found), encoding="utf-8")


def main(folder: Path, devices: int, chosen: list[int]) -> dict[str, Any]:
    """Returns how each fork ended, the largest difference of weights, and what was logged."""
    defaults = PIPELINES[NAME].defaults
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
    resume = replace(defaults, resume="latest")
    gc.freeze()  # Forks need not look at what the imports have made.
    gc.set_threshold(10_000, 10, 10)
    assert forked(store.open_store) == 0
    assert forked(partial(train, folder, CONFIG, devices, "whole.npz")) == 0
    ends = []
    for number, (moment, arguments) in enumerate([MOMENTS[index] for index in chosen]):
        config = resume if number else CONFIG
        prepare = partial(moment, *arguments)
        ends.append(forked(partial(train, folder, config, devices, "died.npz", prepare)))
    ends.append(forked(partial(train, folder, resume, devices, "resumed.npz")))
    forked(partial(losses, folder))
    with np.load(folder / "whole.npz") as whole, np.load(folder / "resumed.npz") as resumed:
        assert whole.files == resumed.files
        gap = max(float(np.abs(whole[name] - resumed[name]).max()) for name in whole.files)
    return {"ends": ends, "gap": gap, **json.loads((folder / "logged.json").read_text())}


if __name__ == "__main__":
    result = main(Path(sys.argv[1]), int(sys.argv[2]), [*map(int, sys.argv[3:])])
    print(json.dumps(result))
