"""The container images that this project runs, pinned in serving/docker/.env."""

from __future__ import annotations

from pathlib import Path

FILE = Path(__file__).parent.parent / "docker" / ".env"


def read() -> dict[str, str]:
    """Returns images as `repository:tag` by the name of their variable."""
    lines = (line.strip() for line in FILE.read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def tensorflow_serving(*, gpu: bool) -> str:
    """Returns TensorFlow Serving's image, built for GPUs or for CPUs."""
    return read()["TENSORFLOW_SERVING_GPU_IMAGE" if gpu else "TENSORFLOW_SERVING_IMAGE"]
