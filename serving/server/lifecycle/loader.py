"""From a version's folder to what answers for it: session, batching, guard, warmup."""

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
from serving.server.monitoring.batch_statistics import Passage
from serving.server.servables.base import Servable
from serving.server.servables.guard import GuardedSession
from serving.server.servables.sandbox import Sandbox
from serving.server.servables.session import Session
from serving.server.servables.tflite import TFLITE_FILE, TfLiteSession


@dataclass(frozen=True)
class Loader:
    """Loads versions, all in the same way.

    Attributes:
        sandbox: Where requests of unusual shapes are tried; its tags and options are the same.
        tags: Tags of the graph to load.
        config: How TensorFlow computes.
        batching: Common BatchingParameters; None runs each request alone.
        batching_per_model: Whether those in a version's folder count instead.
        warmup_iterations: How often each warmup record is run; 0 for no warmup.
        check_method_name: Whether signatures must be declared for the method that runs them.
        observe: Told of each request that went through a batch.
        warmed_up: Told of each warmup: folder, seconds, name of the status code, records.
        tflite_interpreters: How many requests a TensorFlow Lite model runs at the same time,
            where a version has one beside its SavedModel; 0 takes the SavedModel.
    """

    sandbox: Sandbox
    tags: tuple[str, ...] = ("serve",)
    config: config_pb2.ConfigProto | None = None
    batching: Any = None
    batching_per_model: bool = False
    warmup_iterations: int = 1
    check_method_name: bool = False
    observe: Callable[[Passage], None] = lambda passage: None
    warmed_up: Callable[[Path, float, str, int], None] = lambda *_: None
    tflite_interpreters: int = 0

    def __call__(self, path: Path) -> Servable:
        """Returns what answers for the version in `path`, warmed up.

        Raises:
            ServingError: It is damaged, its parameters cannot be, or its warmup failed.
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
        begun = time.perf_counter()
        try:
            records = warm_up(
                servable, path, self.warmup_iterations, check_method_name=self.check_method_name
            )
        except ServingError as error:
            self.warmed_up(path, time.perf_counter() - begun, error.code.name, 0)
            raise
        if records:
            self.warmed_up(path, time.perf_counter() - begun, "OK", records)

    def _servable(self, path: Path) -> Servable:
        if self.tflite_interpreters and (path / TFLITE_FILE).exists():
            return TfLiteSession(path, self.tflite_interpreters)
        parameters = batching_parameters.parameters_of(
            path, self.batching, per_model=self.batching_per_model
        )
        session = Session(path, self.tags, self.config)
        if parameters is None:
            return GuardedSession(session, self.sandbox, path)
        try:
            batched = BatchingSession(session, parameters, self.observe)
        except ServingError:
            session.close()
            raise
        return GuardedSession(batched, self.sandbox, path)
