"""Measurements against references taken in the same run: `python -m benchmarks`."""

BENCHMARKS = {
    "serving": "the model server beside TensorFlow in process, a bare gRPC server and MLflow's",
}
