"""The loader of versions: session, batching, guard and warmup of the model in a folder.

Counterparts: tensorflow_serving/servables/tensorflow/saved_model_bundle_factory.cc and
bundle_factory_util.cc.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tensorflow.core.protobuf import config_pb2

from serving.errors import ServingError
from serving.server.batching import parameters as batching_parameters
from serving.server.batching.session import BatchingSession
from serving.server.lifecycle.warmup import warm_up
from serving.server.monitoring.batch_statistics import BatchStatistics
from serving.server.servables.base import Servable
from serving.server.servables.guard import GuardedSession
from serving.server.servables.sandbox import Sandbox
from serving.server.servables.session import Session
from serving.server.servables.tflite import TFLITE_FILE, TfLiteSession
from serving.server.servables.tflite_guard import GuardedTfLite
from serving.server.suspects import Suspects


@dataclass(frozen=True)
class Loader:
    """Loads versions with the same options.

    Attributes:
        sandbox: Tries requests of unusual shapes first; it has the same tags and options.
        suspects: What was running when a process of the server crashed.
        tags: Tags of the graph to load.
        config: TensorFlow's options for sessions.
        batching: BatchingParameters for all models; None runs each request alone.
        batching_per_model: Whether the parameters in a version's folder are used instead.
        warmup_iterations: How often each warmup record is run; 0 for no warmup.
        check_method_name: Whether signatures must be declared for the methods that run them.
        observe: Called with the statistics of each request that was batched.
        warmed_up: Called after each warmup: folder, seconds, name of the status code, records.
        tflite_interpreters: Number of requests that a TensorFlow Lite model runs at the same time,
            if a version has one beside its SavedModel; 0 uses the SavedModel.
    """

    sandbox: Sandbox
    suspects: Suspects
    tags: tuple[str, ...] = ("serve",)
    config: config_pb2.ConfigProto | None = None
    batching: Any = None
    batching_per_model: bool = False
    warmup_iterations: int = 1
    check_method_name: bool = False
    observe: Callable[[BatchStatistics], None] = lambda statistics: None
    warmed_up: Callable[[Path, float, str, int], None] = lambda *_: None
    tflite_interpreters: int = 0

    def __call__(self, path: Path) -> Servable:
        """Returns the version in `path`, loaded and warmed up.

        Raises:
            ServingError: It is damaged, its parameters are invalid, or its warmup failed.
        """
        servable = self._servable(path)
        try:
            if self.warmup_iterations:
                self._warm_up(servable, path)
        except Exception:
            servable.close()
            raise
        return servable

    def _warm_up(self, servable: Servable, path: Path) -> None:
        started = time.perf_counter()
        try:
            records = warm_up(
                servable, path, self.warmup_iterations, check_method_name=self.check_method_name
            )
        except ServingError as error:
            self.warmed_up(path, time.perf_counter() - started, error.code.name, 0)
            raise
        if records:
            self.warmed_up(path, time.perf_counter() - started, "OK", records)

    def _servable(self, path: Path) -> Servable:
        if self.tflite_interpreters and (path / TFLITE_FILE).exists():
            lite = TfLiteSession(path, self.tflite_interpreters)
            return GuardedTfLite(lite, self.sandbox, path / TFLITE_FILE)
        parameters = batching_parameters.parameters_of(
            path, self.batching, per_model=self.batching_per_model
        )
        session = Session(path, self.tags, self.config)
        if parameters is None:
            return GuardedSession(session, self.sandbox, path, self.suspects, pools=session.pools)
        try:
            batched = BatchingSession(session, parameters, self.observe)
        except ServingError:
            session.close()
            raise
        return GuardedSession(
            batched, self.sandbox, path, self.suspects, pools=session.pools, check=batched.check
        )
