"""gRPC server reflection, by which `grpcurl list` learns what a server can be asked.

Counterpart: the plugin of gRPC that TensorFlow Serving links. Source of the protocol:
src/proto/grpc/reflection/v1/reflection.proto of gRPC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message_factory import GetMessageClass

from serving.protocol import schema

# One protocol of two names.
_PACKAGES = ("grpc.reflection.v1alpha", "grpc.reflection.v1")
_SCHEMA = """
message PACKAGE.ExtensionRequest
  string containing_type = 1
  int32 extension_number = 2
message PACKAGE.ServerReflectionRequest
  string host = 1
  message_request: string file_by_filename = 3
  message_request: string file_containing_symbol = 4
  message_request: PACKAGE.ExtensionRequest file_containing_extension = 5
  message_request: string all_extension_numbers_of_type = 6
  message_request: string list_services = 7
message PACKAGE.FileDescriptorResponse
  repeated bytes file_descriptor_proto = 1
message PACKAGE.ExtensionNumberResponse
  string base_type_name = 1
  repeated int32 extension_number = 2
message PACKAGE.ServiceResponse
  string name = 1
message PACKAGE.ListServiceResponse
  repeated PACKAGE.ServiceResponse service = 1
message PACKAGE.ErrorResponse
  int32 error_code = 1
  string error_message = 2
message PACKAGE.ServerReflectionResponse
  string valid_host = 1
  PACKAGE.ServerReflectionRequest original_request = 2
  message_response: PACKAGE.FileDescriptorResponse file_descriptor_response = 4
  message_response: PACKAGE.ExtensionNumberResponse all_extension_numbers_response = 5
  message_response: PACKAGE.ListServiceResponse list_services_response = 6
  message_response: PACKAGE.ErrorResponse error_response = 7
"""
# Streams that are open at the same time; each holds a thread, which must be none of the pool that
# answers requests.
_STREAMS = 4


def handlers(services: Sequence[str]) -> list[grpc.GenericRpcHandler]:
    """Returns the handlers of the reflection service, under both of its names.

    Args:
        services: Full names of the other services, whose descriptors the default pool has.
    """
    own = _own_descriptors()
    names = [*services, *(f"{package}.ServerReflection" for package in _PACKAGES)]
    streams = futures.ThreadPoolExecutor(_STREAMS, thread_name_prefix="reflection")
    return [_handler(package, names, own, streams) for package in _PACKAGES]


def _handler(
    package: str,
    services: Sequence[str],
    own: descriptor_pool.DescriptorPool,
    streams: futures.ThreadPoolExecutor,
) -> grpc.GenericRpcHandler:
    request_class, response_class = (
        GetMessageClass(own.FindMessageTypeByName(f"{package}.ServerReflection{kind}"))
        for kind in ("Request", "Response")
    )

    def answer(requests: Iterable[Any], call: grpc.ServicerContext) -> Iterator[Any]:
        for request in requests:
            response = response_class(valid_host=request.host, original_request=request)
            _fill(response, request, services, own)
            yield response

    answer.experimental_thread_pool = streams  # type: ignore[attr-defined]
    return grpc.method_handlers_generic_handler(
        f"{package}.ServerReflection",
        {
            "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(
                answer, request_class.FromString, response_class.SerializeToString
            )
        },
    )


def _fill(
    response: Any, request: Any, services: Sequence[str], own: descriptor_pool.DescriptorPool
) -> None:
    """Answers one request."""
    asked = request.WhichOneof("message_request")
    value: Any = getattr(request, asked) if asked else None
    try:
        match asked:
            case "list_services":
                for name in services:
                    response.list_services_response.service.add(name=name)
            case "file_by_filename":
                _add(response, _found(own, lambda pool: pool.FindFileByName(value)))
            case "file_containing_symbol":
                _add(response, _found(own, lambda pool: _file_of_symbol(pool, value)))
            case "file_containing_extension":
                _add(response, _found(own, lambda pool: _file_of_extension(pool, value)))
            case "all_extension_numbers_of_type":
                numbers = _found(own, lambda pool: _extension_numbers(pool, value))
                response.all_extension_numbers_response.base_type_name = value
                response.all_extension_numbers_response.extension_number.extend(numbers)
            case _:
                _refuse(response, grpc.StatusCode.UNIMPLEMENTED, "The request asks for nothing")
    except KeyError:
        text = f"Not found: {asked} {str(value).strip()}"
        _refuse(response, grpc.StatusCode.NOT_FOUND, text)


def _found(own: descriptor_pool.DescriptorPool, find: Callable[[Any], Any]) -> Any:
    """Returns what is found in the pool of the APIs, or else in the one of reflection.

    Raises:
        KeyError: It is in neither.
    """
    try:
        return find(descriptor_pool.Default())
    except KeyError:
        return find(own)


def _file_of_symbol(pool: Any, name: str) -> FileDescriptor:
    try:
        return pool.FindFileContainingSymbol(name)
    except KeyError:  # The pool does not count methods.
        return pool.FindMethodByName(name).containing_service.file


def _file_of_extension(pool: Any, request: Any) -> FileDescriptor:
    message = pool.FindMessageTypeByName(request.containing_type)
    return pool.FindExtensionByNumber(message, request.extension_number).file


def _extension_numbers(pool: Any, name: str) -> list[int]:
    message = pool.FindMessageTypeByName(name)
    return sorted(extension.number for extension in pool.FindAllExtensions(message))


def _add(response: Any, file: FileDescriptor) -> None:
    """Adds a file, and those that it imports, each once."""
    files, new = {file.name: file}, [file]
    while new:
        for imported in new.pop().dependencies:
            if imported.name not in files:
                files[imported.name] = imported
                new.append(imported)
    response.file_descriptor_response.file_descriptor_proto.extend(
        each.serialized_pb for each in files.values()
    )


def _refuse(response: Any, code: grpc.StatusCode, text: str) -> None:
    response.error_response.error_code = code.value[0]
    response.error_response.error_message = text


def _own_descriptors() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for package in _PACKAGES:
        [file] = schema.files(_SCHEMA.replace("PACKAGE", package))
        file.service.add(name="ServerReflection").method.add(
            name="ServerReflectionInfo",
            input_type=f".{package}.ServerReflectionRequest",
            output_type=f".{package}.ServerReflectionResponse",
            client_streaming=True,
            server_streaming=True,
        )
        pool.AddSerializedFile(file.SerializeToString())
    return pool
