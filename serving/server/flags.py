"""The command line of tensorflow_model_server.

Source: tensorflow_serving/model_servers/main.cc and server.h. Every flag of the original is
known; those that this server does not act on yet are named in one log line.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields

from serving.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Flags:
    """The flags that this server acts on, with the original's defaults."""

    port: int = 8500
    """TCP port for gRPC."""
    model_name: str = "default"
    """Name of the model to serve."""
    model_base_path: str = ""
    """Folder that holds one folder per version of the model."""
    file_system_poll_wait_seconds: int = 1
    """Seconds between two looks at the base path; 0 looks once."""
    max_num_load_retries: int = 5
    """Further attempts to load a version that failed."""
    load_retry_interval_micros: int = 60_000_000
    """Microseconds between two attempts."""
    saved_model_tags: str = "serve"
    """Tags of the graph to load, separated by commas."""
    enable_model_warmup: bool = True
    """Whether recorded requests are run before a version becomes available."""
    grpc_max_threads: int = 4 * (os.cpu_count() or 1)
    """Requests worked on at the same time."""
    version: bool = False
    """Print the versions and exit."""


_RANGES = {"port": (0, 2**16 - 1), "grpc_max_threads": (1, 2**31 - 1)}

# Flags of the original that are read and then left alone.
_OTHERS = frozenset(
    """
    allow_version_labels_for_unavailable_models batching_parameters_file enable_batching
    enable_grpc_healthcheck_service enable_per_model_batching_parameters enable_profiler
    enable_serialization_as_tensor_content enable_signature_method_name_check
    flush_filesystem_caches grpc_channel_arguments grpc_socket_path mixed_precision
    model_config_file model_config_file_poll_wait_seconds monitoring_config_file
    num_load_threads num_request_iterations_for_warmup num_tflite_interpreters_per_pool
    num_tflite_pools num_unload_threads per_process_gpu_memory_fraction platform_config_file
    prefer_tflite_model remove_unused_fields_from_bundle_metagraph rest_api_enable_cors_support
    rest_api_num_threads rest_api_port rest_api_timeout_in_ms skip_initialize_tpu
    ssl_config_file tensorflow_inter_op_parallelism tensorflow_intra_op_parallelism
    tensorflow_session_config_file tensorflow_session_parallelism thread_pool_factory_config_file
    use_alts_credentials xla_cpu_compilation_enabled xla_gpu_compilation_enabled
    """.split()
)


def parse(arguments: Sequence[str]) -> Flags:
    """Reads `--flag=value`; a boolean may stand alone. An unknown argument is logged, no more.

    Raises:
        UserError: A value is not of its flag's type, or out of its range.
    """
    types = {field.name: type(field.default) for field in fields(Flags)}
    values: dict[str, object] = {}
    for argument in arguments:
        name, given, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or (name not in types and name not in _OTHERS):
            log.error("unknown argument: %s\n%s", argument, usage())
        elif name in _OTHERS:
            log.warning("--%s is not supported by this server and is ignored", name)
        else:
            values[name] = _value(name, types[name], value, bool(given))
    return Flags(**values)  # type: ignore[arg-type]


def usage() -> str:
    """Returns one line per flag that this server acts on."""
    return "usage: python -m serving.server [--flag=value …]\n" + "\n".join(
        f"  --{field.name}={field.default}" for field in fields(Flags)
    )


def _value(name: str, kind: type, text: str, given: bool) -> object:
    if kind is bool:
        choices = {"": True, "true": True, "1": True, "false": False, "0": False}
        if text.lower() in choices:
            return choices[text.lower()]
        raise UserError(f"--{name} must be true or false, not {text!r}")
    if not given:
        raise UserError(f"--{name} needs a value, as --{name}=VALUE")
    if kind is int:
        try:
            number = int(text)
        except ValueError as error:
            raise UserError(f"--{name} must be an integer, not {text!r}") from error
        smallest, largest = _RANGES.get(name, (-(2**63), 2**63 - 1))
        if not smallest <= number <= largest:
            raise UserError(f"--{name} must be from {smallest} to {largest}, not {number}")
        return number
    return text
