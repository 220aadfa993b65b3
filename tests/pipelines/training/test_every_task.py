"""Every pipeline trains on several devices."""

from __future__ import annotations

import math

import pytest

from pipelines.catalog import PIPELINES
from tests.pipelines.training.every_task import cases, loss

# Outputs of one tensor, of several, and a teacher; the others do nothing that these do not.
QUICK = ("bert_pretraining", "token_classification", "distillation")


@pytest.mark.parametrize(
    "pipeline",
    [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in PIPELINES],
)
def test_a_pipeline_trains_on_two_devices(pipeline, tmp_path):
    assert math.isfinite(loss(*cases(tmp_path)[pipeline]()))
