"""`python -m serving.server.worker INDEX FOLDER --flag=value …`: a process that answers.

The supervisor starts it, reads "ready" from its standard output when it answers, and holds its
standard input open: when that ends, so does the worker.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from serving.errors import ServingError, UserError
from serving.server.__main__ import set_up_logging
from serving.server.flags import Flags, channel_options, parse
from serving.server.session_options import session_config, set_environment
from serving.server.supervisor import DRAIN_SECONDS

if TYPE_CHECKING:
    from serving.server.core import Core

log = logging.getLogger("serving.server")


def main(arguments: Sequence[str]) -> int:
    """Answers until SIGTERM or the supervisor's end; returns the exit code."""
    index, folder, *rest = arguments
    # The supervisor has named what it does not know, once for all workers.
    logging.getLogger("serving.server.flags").setLevel(logging.CRITICAL)
    flags = parse(rest)
    set_up_logging(f"worker {index} " if flags.workers > 1 else "")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The supervisor passes it on as SIGTERM.
    threading.Thread(target=_until_orphaned, args=[stop], name="orphan", daemon=True).start()
    try:
        return _serve(flags, int(index), Path(folder), stop)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ServingError as error:
        print(f"Failed to start server. Error: {error}", file=sys.stderr)
        return 1


def _serve(flags: Flags, index: int, folder: Path, stop: threading.Event) -> int:
    set_environment(flags)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # TensorFlow takes seconds to import: not before the flags are known to be right.
    from tensorflow.core.protobuf import config_pb2

    from serving.server import (
        batching_parameters,
        configuration,
        grpc_front,
        model_configs,
        rest_front,
    )
    from serving.server.access_log import AccessLog
    from serving.server.core import Core
    from serving.server.loader import Loader
    from serving.server.manager import Manager
    from serving.server.metrics import DEFAULT_PATH, Metrics
    from serving.server.peers import Peers
    from serving.server.sandbox import Sandbox
    from serving.server.shared_metrics import SharedMetrics

    base = config_pb2.ConfigProto()
    if flags.tensorflow_session_config_file:
        base = configuration.read(flags.tensorflow_session_config_file, config_pb2.ConfigProto)
    config = session_config(flags, base)
    credentials = None
    if flags.ssl_config_file:
        ssl = configuration.read(flags.ssl_config_file, configuration.SSLConfig)
        credentials = grpc_front.credentials(ssl)
    monitoring = configuration.MonitoringConfig().prometheus_config
    if flags.monitoring_config_file:
        monitoring = configuration.read(
            flags.monitoring_config_file, configuration.MonitoringConfig
        ).prometheus_config
    metrics = Metrics()
    access_log = AccessLog(flags.access_log) if flags.access_log else None
    peers = Peers(folder, index, flags.workers)

    tags = tuple(flags.saved_model_tags.split(","))
    sandbox = Sandbox(tags, config)
    loader = Loader(
        sandbox,
        tags,
        config,
        batching_parameters.common(flags),
        batching_per_model=flags.enable_per_model_batching_parameters,
        warmup_iterations=max(1, flags.num_request_iterations_for_warmup)
        * flags.enable_model_warmup,
        check_method_name=flags.enable_signature_method_name_check,
        observe=metrics.batched,
        warmed_up=metrics.warmed_up,
        tflite_interpreters=flags.prefer_tflite_model
        * flags.num_tflite_pools
        * flags.num_tflite_interpreters_per_pool,
    )
    manager = Manager(
        model_configs.models_of(peers.config() or model_configs.config_of(flags)),
        loader,
        poll_seconds=flags.file_system_poll_wait_seconds,
        load_retries=flags.max_num_load_retries,
        retry_seconds=flags.load_retry_interval_micros / 1e6,
        load_threads=flags.num_load_threads or os.cpu_count() or 1,
        unload_threads=flags.num_unload_threads or 1,
        labels_for_unavailable=flags.allow_version_labels_for_unavailable_models,
    )
    with contextlib.ExitStack() as stack:
        if access_log:
            stack.callback(access_log.close)
        stack.callback(sandbox.close)
        stack.callback(manager.stop)
        if not _until(stop, manager.start):
            return 0
        core = Core(
            manager,
            peers,
            check_method_name=flags.enable_signature_method_name_check,
            tensor_content=flags.enable_serialization_as_tensor_content,
            observers=[metrics.observe, *([access_log.write] if access_log else [])],
        )
        prometheus = None
        if monitoring.enable:
            shared = SharedMetrics(metrics, folder, index)
            stack.callback(shared.stop)
            prometheus = (monitoring.path or DEFAULT_PATH, shared.page)
            if not flags.rest_api_port:
                log.warning("Prometheus' page is on the REST port: --rest_api_port is missing")
        server, port = grpc_front.serve(
            core,
            grpc_front.Listeners(
                flags.port or None,
                flags.grpc_socket_path if index == 0 else "",
                peers.socket_path(),
                reuse_port=True,
            ),
            threads=flags.grpc_max_threads,
            credentials=credentials,
            options=channel_options(flags.grpc_channel_arguments),
            health=flags.enable_grpc_healthcheck_service,
        )
        stack.callback(lambda: server.stop(DRAIN_SECONDS).wait())
        if flags.grpc_socket_path and index == 0:
            log.info("Running gRPC ModelServer at UNIX socket %s ...", flags.grpc_socket_path)
        if port:
            log.info("Running gRPC ModelServer at 0.0.0.0:%d ...", port)
        if flags.rest_api_port and flags.rest_api_port == flags.port:
            log.error("--rest_api_port must differ from --port; the REST API is left out")
        elif flags.rest_api_port:
            rest = rest_front.serve(
                core,
                flags.rest_api_port,
                threads=flags.rest_api_num_threads,
                timeout_seconds=flags.rest_api_timeout_in_ms / 1000,
                cors=flags.rest_api_enable_cors_support,
                prometheus=prometheus,
                reuse_port=True,
            )
            stack.callback(rest.stop, DRAIN_SECONDS)
            log.info("Exporting HTTP/REST API at:localhost:%d ...", rest.port)
        if flags.model_config_file and flags.model_config_file_poll_wait_seconds:
            stack.callback(_polled_config(flags, core, stop).join)
        print("ready", flush=True)
        stop.wait()
        log.info("Stopping: requests in flight have %d s to end", DRAIN_SECONDS)
    return 0


def _polled_config(flags: Flags, core: Core, stop: threading.Event) -> threading.Thread:
    """Starts to load the configuration file again and again; one that is wrong changes nothing."""

    from serving.server import model_configs

    def poll() -> None:
        said = ""
        while not stop.wait(flags.model_config_file_poll_wait_seconds):
            try:
                core.configure(model_configs.config_of(flags))
                said = ""
            except (UserError, ServingError) as error:
                if str(error) != said:
                    log.error("Reloading %s failed: %s", flags.model_config_file, error)
                said = str(error)

    thread = threading.Thread(target=poll, name="config", daemon=True)
    thread.start()
    return thread


def _until(stop: threading.Event, start: Callable[[], None]) -> bool:
    """Runs `start` and raises what it raises; returns False if a signal came before its end."""
    failure: list[Exception] = []
    settled = threading.Event()

    def run() -> None:
        try:
            start()
        except Exception as error:
            failure.append(error)
        finally:
            settled.set()

    threading.Thread(target=run, name="start", daemon=True).start()
    while not settled.wait(0.05):
        if stop.is_set():
            return False
    if failure:
        raise failure[0]
    return True


def _until_orphaned(stop: threading.Event) -> None:
    while os.read(0, 1024):  # Not through sys.stdin, whose lock would be held at the end.
        pass
    stop.set()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
