"""Settings of all tests: a quiet TensorFlow and a repeatable Hypothesis."""

import os

from hypothesis import settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

settings.register_profile("foundry", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("foundry")
