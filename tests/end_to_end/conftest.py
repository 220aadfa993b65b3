"""What the tests of the whole road share: MLflow stores of their own."""

from tests.pipelines.conftest import store, store_template, workplace

__all__ = ["store", "store_template", "workplace"]
