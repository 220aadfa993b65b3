"""`python -m benchmarks.echo PORT THREADS [messages]`: a gRPC server that returns the request.

The upper limit of any model server in Python on grpcio: the transport without a model, and without
messages, or with the tensors of a PredictRequest decoded and encoded as the outputs of a response.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from concurrent import futures

import grpc

from serving.protocol import messages, tensors


class Echo(grpc.GenericRpcHandler):
    """Answers every method.

    Args:
        answer: Returns the response to a request.
    """

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self._answer = answer

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self._answer(request))


def same(request: bytes) -> bytes:
    """Returns the request."""
    return request


def parsed(content: bytes) -> bytes:
    """Returns a PredictResponse with the tensors of a PredictRequest."""
    request = messages.PredictRequest.FromString(content)
    response = messages.PredictResponse(model_spec=request.model_spec)
    for name, tensor in request.inputs.items():
        tensors.encode(response.outputs[name], tensors.decode(tensor), typed=True)
    return response.SerializeToString()


def main(arguments: Sequence[str]) -> None:
    """Serves until SIGTERM."""
    port, threads = map(int, arguments[:2])
    answer = parsed if "messages" in arguments else same
    server = grpc.server(futures.ThreadPoolExecutor(threads))
    server.add_generic_rpc_handlers((Echo(answer),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    signal.signal(signal.SIGTERM, lambda *_: server.stop(None))
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(sys.argv[1:])
