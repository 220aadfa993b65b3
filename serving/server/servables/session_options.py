"""TensorFlow's options: from flags to a ConfigProto and environment variables.

Counterpart: the session part of tensorflow_serving/model_servers/server.cc.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import TYPE_CHECKING

from serving.server.flags import Flags

if TYPE_CHECKING:
    from tensorflow.core.protobuf import config_pb2


def set_environment(flags: Flags, environment: MutableMapping[str, str] = os.environ) -> None:
    """Sets the variables that TensorFlow reads when it is imported; those of the user stay."""
    environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if flags.xla_cpu_compilation_enabled:
        xla_flags = environment.get("TF_XLA_FLAGS", "")
        environment["TF_XLA_FLAGS"] = f"{xla_flags} --tf_xla_cpu_global_jit".strip()


def session_config(flags: Flags, base: config_pb2.ConfigProto) -> config_pb2.ConfigProto:
    """Returns the options of a session.

    The processors are divided among the workers, unless flags set each worker's threads.

    Args:
        flags: The command line.
        base: The content of `--tensorflow_session_config_file`.
    """
    from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2

    config = config_pb2.ConfigProto()
    config.CopyFrom(base)
    per_worker = max(1, (os.cpu_count() or 1) // flags.workers) if flags.workers > 1 else 0
    intra, inter = flags.tensorflow_intra_op_parallelism, flags.tensorflow_inter_op_parallelism
    if not intra and not inter:
        intra = inter = flags.tensorflow_session_parallelism
    for field, threads in (
        ("intra_op_parallelism_threads", intra),
        ("inter_op_parallelism_threads", inter),
    ):
        setattr(config, field, threads or getattr(config, field) or per_worker)
    if flags.per_process_gpu_memory_fraction:
        config.gpu_options.per_process_gpu_memory_fraction = flags.per_process_gpu_memory_fraction
    if flags.xla_cpu_compilation_enabled or flags.xla_gpu_compilation_enabled:
        config.graph_options.optimizer_options.global_jit_level = config_pb2.OptimizerOptions.ON_1
    on = rewriter_config_pb2.RewriterConfig.ON
    rewrites = config.graph_options.rewrite_options
    if flags.mixed_precision == "bfloat16":
        rewrites.auto_mixed_precision_onednn_bfloat16 = on
    elif flags.mixed_precision == "float16":
        rewrites.auto_mixed_precision = on
    return config
