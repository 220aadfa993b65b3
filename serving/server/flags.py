"""The command line flags of tensorflow_model_server.

Every flag of the original is known; one that this server does not support is named in a log line,
or refused where ignoring it would be unsafe.

Counterparts: tensorflow_serving/model_servers/main.cc and server.h.
"""

from __future__ import annotations

import difflib
import ipaddress
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from serving.errors import UserError

log = logging.getLogger(__name__)

_CPUS = os.cpu_count() or 1


@dataclass(frozen=True)
class Flags:
    """The supported flags, with the original's defaults."""

    port: int = 8500
    """TCP port for gRPC; 0 for none."""
    grpc_socket_path: str = ""
    """UNIX socket for gRPC, in addition to the port or instead of it."""
    rest_api_port: int = 0
    """TCP port for REST; 0 for none."""
    rest_api_num_threads: int = 4 * _CPUS
    """Number of REST requests processed at the same time."""
    rest_api_timeout_in_ms: int = 30_000
    """Milliseconds that a model may take for a REST request; 0 or less for any time."""
    rest_api_enable_cors_support: bool = False
    """Whether browsers may send requests from pages of other origins."""
    model_name: str = "default"
    """Name of the model to serve."""
    model_base_path: str = ""
    """Folder that holds one folder per version of the model."""
    model_config_file: str = ""
    """File with a ModelServerConfig in text format: many models, instead of the one above."""
    model_config_file_poll_wait_seconds: int = 0
    """Seconds between two reads of that file; 0 or less reads it once."""
    file_system_poll_wait_seconds: int = 1
    """Seconds between two polls of the base paths; 0 polls once, a negative number never."""
    max_num_load_retries: int = 5
    """Number of further attempts to load a version that failed."""
    load_retry_interval_micros: int = 60_000_000
    """Microseconds between two attempts."""
    num_load_threads: int = 0
    """Number of versions loaded at the same time; 0 for the number of processors."""
    num_unload_threads: int = 0
    """Number of versions unloaded at the same time; 0 for one."""
    allow_version_labels_for_unavailable_models: bool = False
    """Whether a new label may name a version that is not available yet."""
    saved_model_tags: str = "serve"
    """Tags of the graph to load, separated by commas."""
    enable_model_warmup: bool = True
    """Whether recorded requests are run before a version becomes available."""
    num_request_iterations_for_warmup: int = 0
    """Number of times that each of them is run; 0 or less for once."""
    enable_signature_method_name_check: bool = False
    """Whether Classify and Regress require the method names of TensorFlow 1."""
    enable_serialization_as_tensor_content: bool = False
    """Whether Predict answers with `tensor_content` instead of typed fields."""
    enable_batching: bool = False
    """Whether requests are batched."""
    batching_parameters_file: str = ""
    """File with BatchingParameters in text format."""
    enable_per_model_batching_parameters: bool = False
    """Whether a version's own `batching_params.pbtxt` is used."""
    tensorflow_session_parallelism: int = 0
    """Threads within and between operations; 0 leaves them to TensorFlow."""
    tensorflow_intra_op_parallelism: int = 0
    """Threads within an operation."""
    tensorflow_inter_op_parallelism: int = 0
    """Threads between operations."""
    tensorflow_session_config_file: str = ""
    """File with a ConfigProto in text format, which the other flags override."""
    per_process_gpu_memory_fraction: float = 0.0
    """Fraction of a GPU's memory to allocate at the start; 0 leaves it to TensorFlow."""
    xla_cpu_compilation_enabled: bool = False
    """Whether graphs are compiled by XLA on a CPU."""
    xla_gpu_compilation_enabled: bool = False
    """Whether graphs are compiled by XLA on a GPU."""
    mixed_precision: str = ""
    """Precision of matrix products and convolutions: `bfloat16` or `float16`; empty as saved."""
    prefer_tflite_model: bool = False
    """Whether `model.tflite` is served if a version has it."""
    num_tflite_interpreters_per_pool: int = 1
    """Number of interpreters in a pool of a TFLite model."""
    num_tflite_pools: int = 1
    """Number of pools."""
    monitoring_config_file: str = ""
    """File with a MonitoringConfig in text format: Prometheus on the REST port."""
    ssl_config_file: str = ""
    """File with an SSLConfig in text format: TLS for gRPC."""
    grpc_channel_arguments: str = ""
    """Options of gRPC, as KEY=VALUE, separated by commas."""
    grpc_max_threads: int = 0
    """gRPC requests processed at the same time; 0 for 4 per processor, with batching 128."""
    enable_grpc_healthcheck_service: bool = False
    """Whether grpc.health.v1.Health is served."""
    use_alts_credentials: bool = False
    """Refused: this server has no ALTS. TLS is set by --ssl_config_file."""
    help: bool = False
    """Print the flags and exit."""
    version: bool = False
    """Print the versions and exit."""
    host: str = "0.0.0.0"
    """IP address to listen on; 0.0.0.0 for all interfaces. Not a flag of the original."""
    rest_api_ssl_config_file: str = ""
    """File with an SSLConfig in text format: TLS for REST. Not a flag of the original."""
    rest_api_max_body_bytes: int = 2**31 - 1
    """Bytes of a REST request's body, also once unpacked. Not a flag of the original."""
    rest_api_max_connections: int = 1000
    """Open connections to REST; further ones are refused. Not a flag of the original."""
    workers: int = 1
    """Number of processes that answer on the same ports. Not a flag of the original."""
    access_log: str = ""
    """File for one line of JSON per request, "-" for the log. Not a flag of the original."""
    request_log: str = ""
    """Prefix of files for requests with their responses. Not a flag of the original."""
    request_log_sampling_rate: float = 1.0
    """Fraction of requests that it gets. Not a flag of the original."""


_RANGES = {
    "request_log_sampling_rate": (0, 1),
    **dict.fromkeys(("port", "rest_api_port"), (0, 2**16 - 1)),
    "load_retry_interval_micros": (-(2**63), 2**63 - 1),
    **dict.fromkeys(
        (
            *("rest_api_num_threads", "workers"),
            *("rest_api_max_body_bytes", "rest_api_max_connections"),
            *("num_tflite_pools", "num_tflite_interpreters_per_pool"),
        ),
        (1, 2**31 - 1),
    ),
    **dict.fromkeys(
        (
            *("grpc_max_threads", "num_load_threads", "num_unload_threads"),
            *("tensorflow_session_parallelism", "tensorflow_intra_op_parallelism"),
            *("tensorflow_inter_op_parallelism", "per_process_gpu_memory_fraction"),
        ),
        (0, 2**31 - 1),
    ),
}
_CHOICES = {"mixed_precision": ("", "bfloat16", "float16")}

# Flags of the original that are ignored.
IGNORED = frozenset(
    """
    enable_profiler flush_filesystem_caches platform_config_file
    remove_unused_fields_from_bundle_metagraph skip_initialize_tpu
    thread_pool_factory_config_file
    """.split()
)


def parse(arguments: Sequence[str]) -> Flags:
    """Parses `--flag=value`; a boolean may stand alone. Unknown arguments are only logged.

    Raises:
        UserError: A value has the wrong type or is out of range.
    """
    types = {field.name: type(field.default) for field in fields(Flags)}
    values: dict[str, object] = {}
    for argument in arguments:
        name, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or (name not in types and name not in IGNORED):
            near = difflib.get_close_matches(name.lstrip("-"), [*types, *IGNORED], 1)
            hint = f"did you mean --{near[0]}?" if near else "--help lists the flags"
            log.error("unknown argument: %s (%s)", argument, hint)
        elif name in IGNORED:
            log.warning("--%s is not supported by this server and is ignored", name)
        else:
            values[name] = _value(name, types[name], value if equals else None)
    return Flags(**values)  # type: ignore[arg-type]


def check(flags: Flags) -> None:
    """Checks that flags fit together and that their files exist.

    Raises:
        UserError: They do not.
    """
    if not flags.port and not flags.grpc_socket_path:
        raise UserError(
            "At least one of server_options.grpc_port or server_options.grpc_socket_path must be "
            "set: give --port or --grpc_socket_path"
        )
    if flags.use_alts_credentials:
        raise UserError(
            "--use_alts_credentials is not supported, and the port would not be encrypted without "
            "it; give --ssl_config_file for TLS"
        )
    if flags.batching_parameters_file and not flags.enable_batching:
        raise UserError(
            "server_options.batching_parameters_file is set without setting "
            "server_options.enable_batching to true: add --enable_batching"
        )
    if (
        flags.tensorflow_session_parallelism
        and flags.tensorflow_intra_op_parallelism
        and flags.tensorflow_inter_op_parallelism
    ):
        raise UserError(
            "--tensorflow_session_parallelism sets both --tensorflow_intra_op_parallelism and "
            "--tensorflow_inter_op_parallelism: give either the first or the other two"
        )
    channel_options(flags.grpc_channel_arguments)
    try:
        ipaddress.ip_address(flags.host)
    except ValueError as error:
        raise UserError(f"--host must be an IP address, not {flags.host!r}") from error
    if not flags.model_config_file and not flags.model_base_path:
        raise UserError(
            "--model_base_path is missing: the folder of the model's versions; or give "
            "--model_config_file"
        )
    of_rest = {"monitoring_config_file", "rest_api_ssl_config_file"}
    unread = set() if serves_rest(flags) else of_rest
    for field in fields(Flags):
        path = getattr(flags, field.name)
        is_file = field.name.endswith("_file") and field.name not in unread
        if is_file and path and not local_path(path).is_file():
            raise UserError(f"--{field.name} names {path}, which is no file")


def serves_rest(flags: Flags) -> bool:
    """Whether there is a REST port; it must differ from the one of gRPC."""
    return flags.rest_api_port not in (0, flags.port)


def local_path(text: str) -> Path:
    """Returns the path of `file://` addresses, which TensorFlow takes as well, and of others."""
    match = re.fullmatch(r"file://[^/]*(/.*)", text, re.DOTALL)
    return Path(match[1] if match else text)


def channel_options(text: str) -> list[tuple[str, int | str]]:
    """Returns the options of `--grpc_channel_arguments`, integers as such.

    Raises:
        UserError: An option is not of the form KEY=VALUE.
    """
    options: list[tuple[str, int | str]] = []
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not key or not equals:
            raise UserError(f"--grpc_channel_arguments must be KEY=VALUE,KEY=VALUE, not {part!r}")
        options.append((key, int(value) if re.fullmatch(r"-?[0-9]{1,9}", value) else value))
    return options


def usage() -> str:
    """Returns each flag with its default and what its docstring says."""
    from docstring_parser import parse_from_object  # Slow to import, and needed only here.

    lines = ["usage: python -m serving.server [--flag=value …]", ""]
    texts = {each.arg_name: each.description or "" for each in parse_from_object(Flags).params}
    for field in fields(Flags):
        default = str(field.default)
        shown = default.lower() if isinstance(field.default, bool) else default
        lines += [f"  --{field.name}={shown}", f"      {' '.join(texts[field.name].split())}"]
    lines += [
        "  " + ", ".join(f"--{name}" for name in sorted(IGNORED)),
        "      Of the original; ignored by this server.",
    ]
    return "\n".join(lines)


def _value(name: str, kind: type, text: str | None) -> object:
    """Returns the value of a flag; `text` is None if it stands alone."""
    if kind is bool:
        choices = {"": True, "true": True, "1": True, "false": False, "0": False}
        if (text or "").lower() in choices:
            return choices[(text or "").lower()]
        raise UserError(f"--{name} must be true or false, not {text!r}")
    if text is None:
        raise UserError(f"--{name} needs a value, as --{name}=VALUE")
    if kind is str:
        if text not in _CHOICES.get(name, (text,)):
            allowed = " or ".join(filter(None, _CHOICES[name]))
            raise UserError(f"--{name} must be {allowed}, not {text!r}")
        return text
    try:
        number = kind(text)
    except ValueError as error:
        what = "an integer" if kind is int else "a number"
        raise UserError(f"--{name} must be {what}, not {text!r}") from error
    smallest, largest = _RANGES.get(name, (-(2**31), 2**31 - 1))
    if not smallest <= number <= largest:
        raise UserError(f"--{name} must be from {smallest} to {largest}, not {text}")
    return number
