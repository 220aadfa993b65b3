"""Measurements against references taken in the same run: `python -m benchmarks`."""

BENCHMARKS = {
    "serving": "the model server, compared with TensorFlow in process, a gRPC echo and MLflow",
    "score": "scoring files offline, compared with requests one by one and MLflow's command",
    "training": "pipelines, compared with a bare Keras loop",
    "builders": "training steps of networks, compared with the same ones of Keras and KerasHub",
    "input": "input of training, compared with decoding alone and with a batch from memory",
    "text": "texts in buckets by length, compared with other ways of padding",
    "inference": "signatures, compared with the network in Python; variants, with what was trained",
    "decoding": "tokens from caches, compared with recomputation, a Python loop and KerasHub",
    "setup": "imports, help and MLflow's pages, compared with TensorFlow's import and `mlflow ui`",
    "growth": "start-up, memory and time per example, compared with smaller data sets",
    "drawing": "figures of each pipeline, compared with its whole run",
    "diagnosis": "training with --diagnose, compared with training without",
    "memory": "recurrent cells on the adding and the copy problem, compared with no memory",
    "defaults": "the default run of every pipeline, compared with its strongest baseline",
    "augmentation": "each kind of augmentation of images, compared with none",
    "gpu": "training, decoding and serving on a GPU, compared with its peak",
    "all": "all of these but defaults and gpu; writes docs/performance.md",
}
