"""What the tests of the whole road share: MLflow stores of their own."""

from tests.pipelines.conftest import at_once, store, store_template, workplace

__all__ = ["at_once", "store", "store_template", "workplace"]
