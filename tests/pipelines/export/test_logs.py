"""Logs of requests: what is written can be read."""

from __future__ import annotations

from pipelines.export.logs import read_logs, write_logs
from tests.pipelines import samples


def test_logs_are_read_as_they_were_written(tmp_path):
    signatures = samples.linear_signatures(samples.linear())
    logs = [signature.log(0, size) for signature in signatures for size in (1, 3)]
    write_logs(tmp_path / "logs", logs)
    assert list(read_logs(tmp_path / "logs")) == logs
