"""`python -m benchmarks.echo PORT THREADS`: a gRPC server that returns the request.

The upper limit of any model server in Python on grpcio: the transport without messages, tensors
or a model.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from concurrent import futures

import grpc


class Echo(grpc.GenericRpcHandler):
    """Answers every method."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(lambda request, context: request)


def main(arguments: Sequence[str]) -> None:
    """Serves until SIGTERM."""
    port, threads = map(int, arguments)
    server = grpc.server(futures.ThreadPoolExecutor(threads))
    server.add_generic_rpc_handlers((Echo(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    signal.signal(signal.SIGTERM, lambda *_: server.stop(None))
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(sys.argv[1:])
