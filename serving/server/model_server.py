"""The model server in one process: models, monitoring, gRPC and REST, set up from flags.

Counterpart: tensorflow_serving/model_servers/server.cc.
"""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
import threading
from collections.abc import Callable

import grpc
from tensorflow.core.protobuf import config_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.errors import ServingError, UserError
from serving.server import config_files, encryption
from serving.server.batching import parameters
from serving.server.core import Core
from serving.server.flags import Flags, channel_options, serves_rest
from serving.server.grpc_services import Listeners
from serving.server.grpc_services import serve as serve_grpc
from serving.server.lifecycle import model_configs
from serving.server.lifecycle.loader import Loader
from serving.server.lifecycle.manager import Manager
from serving.server.monitoring import metrics
from serving.server.monitoring.access_log import AccessLog
from serving.server.monitoring.metrics import Metrics
from serving.server.monitoring.request_log import RequestLog
from serving.server.monitoring.shared_metrics import SharedMetrics
from serving.server.peers import Peers
from serving.server.rest.app import serve as serve_rest
from serving.server.rest.converter import Converter
from serving.server.rest.protocol import Limits
from serving.server.servables.sandbox import Sandbox
from serving.server.servables.session_options import session_config
from serving.server.suspects import Suspects
from serving.server.zygote import Zygote

log = logging.getLogger("serving.server")

DRAIN_SECONDS = 10
# The supervisor's time limit is meant for requests in flight.
_JOIN_SECONDS = 2
_BATCHING_THREADS = 128


def serve(
    flags: Flags,
    peers: Peers,
    stop: threading.Event,
    ready: Callable[[], None],
    zygote: Zygote,
) -> None:
    """Loads the models, then answers requests until `stop` is set.

    Args:
        flags: The command line.
        peers: The processes of this server, including this one.
        stop: Ends the server, or its start.
        ready: Called when all models are available and requests are answered.
        zygote: Starts the processes that help this one.

    Raises:
        ServingError: A model cannot be loaded, or the configuration is invalid.
        UserError: A file cannot be read, or an address cannot be bound.
    """
    options = _options(flags)
    counts = Metrics()
    prometheus = _prometheus(flags)
    tls, rest_tls = _tls(flags), _rest_tls(flags)
    with contextlib.ExitStack() as stack:
        sandbox = Sandbox(zygote, _tags(flags), options)
        stack.callback(sandbox.close)
        reloaded = peers.config()
        config = reloaded or model_configs.config_of(flags)
        suspects = Suspects(peers.folder, peers.index)
        manager = _manager(flags, config, _loader(flags, sandbox, suspects, options, counts))
        stack.callback(manager.stop)
        observers = []
        page = None
        if prometheus:
            observers.append(counts.observe)
            shared = SharedMetrics(counts, peers.folder, peers.index)
            stack.callback(shared.stop)
            page = (prometheus, shared.page)
        if flags.access_log:
            access_log = AccessLog(flags.access_log)
            stack.callback(access_log.close)
            observers.append(access_log.write)
        request_log = RequestLog(flags.request_log, flags.request_log_sampling_rate)
        request_log.check(config)
        stack.callback(request_log.close)
        # Labels that were in use before are accepted.
        check_labels = reloaded is None and not peers.was_ready()
        try:
            if not _until(stop, lambda: manager.start(check_labels=check_labels)):
                return
        except ServingError as error:
            # The other workers, too, serve the models of it that can be loaded.
            if reloaded is None or error.code is not grpc.StatusCode.UNKNOWN:
                raise
            log.error("%s", error)
        request_log.update(config)
        core = Core(
            manager,
            peers,
            check_method_name=flags.enable_signature_method_name_check,
            tensor_content=flags.enable_serialization_as_tensor_content,
            observers=observers,
            request_log=request_log,
        )
        if flags.model_config_file and flags.model_config_file_poll_wait_seconds > 0:
            # Before gRPC and REST start, as they stop in reverse order: they must not wait for it.
            _poll_config(stack, flags, core, stop)
        server = _start_grpc(stack, flags, peers, core, tls)
        _start_rest(stack, flags, core, page, zygote, rest_tls)
        _catch_up(peers, core, reloaded, stop)
        peers.record_ready()
        ready()
        stop.wait()
        log.info("Stopping: requests in flight have %d s to end", DRAIN_SECONDS)
        server.stop(DRAIN_SECONDS)  # Does not wait; REST stops at the same time.


def _tags(flags: Flags) -> tuple[str, ...]:
    return tuple(flags.saved_model_tags.split(","))


def _options(flags: Flags) -> config_pb2.ConfigProto:
    base = config_pb2.ConfigProto()
    if flags.tensorflow_session_config_file:
        base = config_files.read(flags.tensorflow_session_config_file, config_pb2.ConfigProto)
    return session_config(flags, base)


def _prometheus(flags: Flags) -> str:
    """Returns the path of the metrics page; empty for none."""
    if not flags.monitoring_config_file or not serves_rest(flags):
        return ""
    config = config_files.read(flags.monitoring_config_file, config_files.MonitoringConfig)
    if not config.prometheus_config.enable:
        return ""
    return config.prometheus_config.path or metrics.DEFAULT_PATH


def _tls(flags: Flags) -> grpc.ServerCredentials | None:
    if not flags.ssl_config_file:
        return None
    return encryption.credentials(config_files.read(flags.ssl_config_file, config_files.SSLConfig))


def _rest_tls(flags: Flags) -> ssl.SSLContext | None:
    file = flags.rest_api_ssl_config_file
    if not file or not serves_rest(flags):
        return None
    return encryption.context(config_files.read(file, config_files.SSLConfig))


def _loader(
    flags: Flags,
    sandbox: Sandbox,
    suspects: Suspects,
    options: config_pb2.ConfigProto,
    counts: Metrics,
) -> Loader:
    interpreters = flags.num_tflite_pools * flags.num_tflite_interpreters_per_pool
    iterations = max(1, flags.num_request_iterations_for_warmup)
    return Loader(
        sandbox,
        suspects,
        _tags(flags),
        options,
        parameters.common(flags),
        batching_per_model=flags.enable_per_model_batching_parameters,
        warmup_iterations=iterations if flags.enable_model_warmup else 0,
        check_method_name=flags.enable_signature_method_name_check,
        tflite_interpreters=interpreters if flags.prefer_tflite_model else 0,
        observe=counts.batched,
        warmed_up=counts.warmed_up,
    )


def _manager(
    flags: Flags, config: model_server_config_pb2.ModelServerConfig, loader: Loader
) -> Manager:
    return Manager(
        model_configs.models_of(config),
        loader,
        poll_seconds=flags.file_system_poll_wait_seconds,
        load_retries=flags.max_num_load_retries,
        retry_seconds=flags.load_retry_interval_micros / 1e6,
        load_threads=flags.num_load_threads or os.cpu_count() or 1,
        unload_threads=flags.num_unload_threads or 1,
        labels_for_unavailable=flags.allow_version_labels_for_unavailable_models,
    )


def _grpc_threads(flags: Flags) -> int:
    """Returns the number of requests processed at the same time; a batch queue counts as well."""
    if flags.grpc_max_threads:
        return flags.grpc_max_threads
    return _BATCHING_THREADS if flags.enable_batching else 4 * (os.cpu_count() or 1)


def _start_grpc(
    stack: contextlib.ExitStack,
    flags: Flags,
    peers: Peers,
    core: Core,
    tls: grpc.ServerCredentials | None,
) -> grpc.Server:
    # Only one process can listen on a path; the port is shared.
    socket_path = flags.grpc_socket_path if peers.index == 0 else ""
    server, port = serve_grpc(
        core,
        Listeners(
            flags.port or None, socket_path, peers.socket_path(), reuse_port=True, host=flags.host
        ),
        threads=_grpc_threads(flags),
        credentials=tls,
        options=channel_options(flags.grpc_channel_arguments),
        health=flags.enable_grpc_healthcheck_service,
    )
    stack.callback(lambda: server.stop(DRAIN_SECONDS).wait(DRAIN_SECONDS + _JOIN_SECONDS))
    if socket_path:
        log.info("Running gRPC ModelServer at UNIX socket %s ...", socket_path)
    if port:
        log.info("Running gRPC ModelServer at %s:%d ...", flags.host, port)
    return server


def _start_rest(
    stack: contextlib.ExitStack,
    flags: Flags,
    core: Core,
    page: tuple[str, Callable[[], str]] | None,
    zygote: Zygote,
    tls: ssl.SSLContext | None,
) -> None:
    if flags.rest_api_port == flags.port != 0:
        log.error("--rest_api_port must differ from --port; the REST API is left out")
    if serves_rest(flags):
        timeout = flags.rest_api_timeout_in_ms
        converter = Converter(zygote)
        stack.callback(converter.close)
        server = serve_rest(
            core,
            flags.rest_api_port,
            threads=flags.rest_api_num_threads,
            timeout_seconds=timeout / 1000 if timeout > 0 else None,
            cors=flags.rest_api_enable_cors_support,
            prometheus=page,
            host=flags.host,
            reuse_port=True,
            convert=converter.call,
            tls=tls,
            limits=Limits(
                connections=flags.rest_api_max_connections,
                body_bytes=flags.rest_api_max_body_bytes,
            ),
        )
        stack.callback(server.stop, DRAIN_SECONDS)
        log.info("Exporting HTTP/REST API at:localhost:%d ...", server.port)


def _catch_up(
    peers: Peers,
    core: Core,
    known: model_server_config_pb2.ModelServerConfig | None,
    stop: threading.Event,
) -> None:
    """Loads the configuration that other workers received before this one could."""
    while not stop.is_set() and (latest := peers.config()) and latest != known:
        known = latest
        try:
            core.configure(latest, is_active=lambda: not stop.is_set(), check_labels=False)
        except ServingError as error:
            if not stop.is_set():
                log.error("The configuration that was loaded meanwhile: %s", error)


def _poll_config(
    stack: contextlib.ExitStack, flags: Flags, core: Core, stop: threading.Event
) -> None:
    """Reloads the configuration file periodically; an invalid one changes nothing."""
    seconds = flags.model_config_file_poll_wait_seconds
    last_error = ""

    def poll() -> None:
        nonlocal last_error
        try:
            core.configure(model_configs.config_of(flags), seconds, lambda: not stop.is_set())
            last_error = ""
        except (UserError, ServingError) as error:
            if str(error) != last_error and not stop.is_set():
                log.error("Reloading %s failed: %s", flags.model_config_file, error)
            last_error = str(error)

    _repeat(stack, stop, seconds, poll)


def _repeat(
    stack: contextlib.ExitStack, stop: threading.Event, seconds: float, work: Callable[[], None]
) -> None:
    """Does the work every `seconds`, in a thread of its own, until the server stops."""

    def run() -> None:
        while not stop.wait(seconds):
            work()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    stack.callback(thread.join, _JOIN_SECONDS)
    stack.callback(stop.set)


def _until(stop: threading.Event, start: Callable[[], None]) -> bool:
    """Runs `start` and raises what it raises; returns False if `stop` was set before its end."""
    failure: list[Exception] = []
    ended = threading.Event()

    def run() -> None:
        try:
            start()
        except Exception as error:
            failure.append(error)
        finally:
            ended.set()

    threading.Thread(target=run, name="start", daemon=True).start()
    while not ended.wait(0.05):
        if stop.is_set():
            return False
    if failure:
        raise failure[0]
    return True
