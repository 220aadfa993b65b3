"""The client of TensorFlow Serving's gRPC API, for threads and for asyncio, without TensorFlow."""

from serving.client.async_client import AsyncClient
from serving.client.calls import ModelConfig, Signature, TensorInfo, VersionStatus
from serving.client.channel import TLS
from serving.client.client import Client
from serving.client.traffic import Split
from serving.errors import ServingError
from serving.protocol.examples import example, image

__all__ = [
    "TLS",
    "AsyncClient",
    "Client",
    "ModelConfig",
    "ServingError",
    "Signature",
    "Split",
    "TensorInfo",
    "VersionStatus",
    "example",
    "image",
]
