"""From flags to TensorFlow's options."""

from __future__ import annotations

import pytest
from tensorflow.core.protobuf import config_pb2

from serving.server.flags import Flags
from serving.server.servables.session_options import session_config

BASE = config_pb2.ConfigProto(intra_op_parallelism_threads=7, inter_op_parallelism_threads=8)


@pytest.mark.parametrize(
    ("both", "intra", "inter", "threads"),
    [
        (0, 0, 0, (7, 8)),
        (3, 0, 0, (3, 3)),
        (0, 1, 2, (1, 2)),
        (0, 1, 0, (1, 8)),
        # One of the two comes before the flag for both, as in TensorFlow Serving.
        (3, 1, 0, (1, 8)),
        (3, 0, 2, (7, 2)),
    ],
)
def test_threads_come_from_the_flags_and_else_from_the_file(both, intra, inter, threads):
    flags = Flags(
        tensorflow_session_parallelism=both,
        tensorflow_intra_op_parallelism=intra,
        tensorflow_inter_op_parallelism=inter,
    )
    config = session_config(flags, BASE)
    assert (config.intra_op_parallelism_threads, config.inter_op_parallelism_threads) == threads
