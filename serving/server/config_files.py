"""Configuration files: TensorFlow Serving's messages in protobuf's text format.

The table describes the messages that tensorflow-serving-api lacks. Sources:
tensorflow_serving/servables/tensorflow/session_bundle_config.proto, config/ssl_config.proto and
config/monitoring_config.proto.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeVar

from google.protobuf import text_format
from google.protobuf.message import Message

from serving.errors import UserError
from serving.protocol import schema
from serving.server.flags import local_path

_SCHEMA = """
message google.protobuf.Int64Value
  int64 value = 1
message google.protobuf.BoolValue
  bool value = 1
message google.protobuf.StringValue
  string value = 1
message tensorflow.serving.BatchingParameters
  google.protobuf.Int64Value max_batch_size = 1
  google.protobuf.Int64Value batch_timeout_micros = 2
  google.protobuf.Int64Value max_enqueued_batches = 3
  google.protobuf.Int64Value num_batch_threads = 4
  google.protobuf.StringValue thread_pool_name = 5
  repeated int64 allowed_batch_sizes = 6
  bool pad_variable_length_inputs = 7
  google.protobuf.Int64Value max_execution_batch_size = 8
  google.protobuf.BoolValue enable_large_batch_splitting = 9
message tensorflow.serving.SSLConfig
  string server_key = 1
  string server_cert = 2
  string custom_ca = 3
  bool client_verify = 4
message tensorflow.serving.PrometheusConfig
  bool enable = 1
  string path = 2
message tensorflow.serving.MonitoringConfig
  tensorflow.serving.PrometheusConfig prometheus_config = 1
"""

_CLASSES = schema.classes(_SCHEMA)
BatchingParameters = _CLASSES["BatchingParameters"]
SSLConfig = _CLASSES["SSLConfig"]
MonitoringConfig = _CLASSES["MonitoringConfig"]

AnyMessage = TypeVar("AnyMessage", bound=Message)

_COMMENT_OR_STRING = re.compile(
    r"""\#[^\n]* | "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*'""", re.VERBOSE | re.DOTALL
)


def read(path: Path | str, message_class: type[AnyMessage]) -> AnyMessage:
    """Returns the message in a file of protobuf's text format.

    Args:
        path: The file.
        message_class: A class of this module or any other: `ModelServerConfig`, `ConfigProto`.

    Raises:
        UserError: The file cannot be read, or is not such a message.
    """
    name = message_class.DESCRIPTOR.name
    try:
        text = local_path(str(path)).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}, a {name}, cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a {name} in protobuf's text format: not UTF-8") from error
    try:
        return text_format.Parse(_COMMENT_OR_STRING.sub(_on_one_line, text), message_class())
    except text_format.ParseError as error:
        line = error.GetLine()
        what = str(error)
        if line is not None:
            what = what.removeprefix(f"{line}:{error.GetColumn()} : ")
        where = f"{path}, line {line}" if line is not None else str(path)
        raise UserError(
            f"{where}: Error parsing text-format {message_class.DESCRIPTOR.full_name}: "
            f"{' '.join(what.split())}"
        ) from error


def _on_one_line(match: re.Match[str]) -> str:
    """Returns a string of several lines on one, which is all that the parser in Python takes.

    The line breaks follow it, so that later lines keep their numbers.
    """
    piece = match[0]
    if piece.startswith("#"):
        return piece
    return piece.replace("\n", "\\n") + "\n" * piece.count("\n")
