"""Distribution strategies: the devices and machines that a network is trained on."""

from __future__ import annotations

import functools

import tensorflow as tf

from pipelines.config import Config
from pipelines.errors import UserError
from pipelines.training.cluster import cluster, workers_of


def strategy(config: Config) -> tf.distribute.Strategy:
    """Returns the strategy that a config chooses, the same one whenever it is asked for.

    That of several workers connects to them. It has to be asked for before TensorFlow computes
    anything, as must one that splits the CPU.

    Raises:
        UserError: This machine has too few devices, or the other workers cannot be reached.
    """
    if len(workers_of(config.strategy, config.devices).workers) > 1:
        return _multi_worker()
    return _local(config.strategy, config.devices)


def device(config: Config) -> str:
    """Returns what is trained on, as "CPU", "2 x NVIDIA H100" or "3 workers, each 1 x CPU"."""
    replicas = strategy(config).num_replicas_in_sync
    workers = len(workers_of(config.strategy, config.devices).workers)
    gpus = tf.config.list_physical_devices("GPU")
    name = "CPU"
    if gpus:
        name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    local = name if not gpus and replicas == workers else f"{replicas // workers} x {name}"
    return local if workers == 1 else f"{workers} workers, each {local}"


def compiles(config: Config) -> bool:
    """Returns whether XLA compiles the steps of a training on sequences.

    It compiles again for every length, which on a CPU takes longer than it gains.
    """
    if config.recipe.jit_compile != "auto":
        return config.recipe.jit_compile == "true"
    gpus = tf.config.list_physical_devices("GPU")
    return bool(gpus) and strategy(config).num_replicas_in_sync == 1


@functools.cache
def _multi_worker() -> tf.distribute.Strategy:
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{cluster()} cannot connect to the others: {reason}") from error


@functools.cache
def _local(choice: str, count: int) -> tf.distribute.Strategy:
    gpus = len(tf.config.list_physical_devices("GPU"))
    if count > max(gpus, 1) and gpus:
        raise UserError(f"--devices must be at most {gpus}, the GPUs of this machine, not {count}")
    count = count or gpus
    if choice == "one" or (choice == "auto" and count < 2):
        return tf.distribute.get_strategy()
    if count < 2:
        raise UserError(
            f"--strategy mirrored needs several GPUs, but this machine has {gpus}; --strategy one "
            "trains without, and --devices 2 splits the CPU, to try it out"
        )
    kind = "GPU" if gpus else "CPU"
    if not gpus:
        _split_cpu(count)
    return tf.distribute.MirroredStrategy([f"{kind}:{index}" for index in range(count)])


def _split_cpu(count: int) -> None:
    (cpu, *_) = tf.config.list_physical_devices("CPU")
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
        )
    except RuntimeError as error:  # TensorFlow has begun with other devices.
        if len(tf.config.list_logical_devices("CPU")) < count:
            raise UserError("--devices must be known before TensorFlow computes") from error
