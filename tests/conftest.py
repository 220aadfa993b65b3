"""Settings of all tests: a quiet TensorFlow, no store of the user's, a repeatable Hypothesis."""

import os

from hypothesis import settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# `make test` and users set it; what a test runs uses a store of its own.
os.environ.pop("MLFLOW_TRACKING_URI", None)

settings.register_profile("foundry", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("foundry")
