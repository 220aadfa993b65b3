"""GPUs: which one Keras' backend has, and what it can compute."""

from __future__ import annotations

from collections.abc import Mapping

PEAK_TERAFLOPS: Mapping[str, float] = {
    "NVIDIA A100-SXM4-40GB": 312,
    "NVIDIA A100-SXM4-80GB": 312,
    "NVIDIA A100-PCIE-40GB": 312,
    "NVIDIA A100 80GB PCIe": 312,
    "NVIDIA H100 80GB HBM3": 989,
    "NVIDIA H100 PCIe": 756,
    "NVIDIA H200": 989,
    "NVIDIA L4": 121,
    "NVIDIA L40S": 362,
}
"""Dense bfloat16 with sums in float32, 10^12 operations a second, from NVIDIA's data sheets."""


def backend() -> str:
    """Returns the name of Keras' backend."""
    import keras

    return keras.backend.backend()


def gpu() -> str | None:
    """Returns the name of the first GPU that the backend has, or None without one."""
    if backend() == "jax":
        import jax

        kinds = [device.device_kind for device in jax.devices() if device.platform == "gpu"]
        return kinds[0] if kinds else None
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    if not devices:
        return None
    return tf.config.experimental.get_device_details(devices[0]).get("device_name", "GPU")
