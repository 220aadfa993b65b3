"""Decoding: translations of empty sources, and which architectures translate."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from pipelines.tasks.translation.decoding import blank_where, kind


def test_empty_sources_have_empty_translations():
    found = {
        "translation": tf.constant(["a", "b"]),
        "scores": tf.constant([[-1.0, -2.0], [-3.0, -4.0]]),
    }
    blanked = blank_where(tf.constant([False, True]), found)
    assert blanked["translation"].numpy().tolist() == [b"a", b""]
    np.testing.assert_array_equal(blanked["scores"], [[-1, -2], [0, 0]])


def test_encoder_decoders_translate_and_others_do_not():
    assert kind("transformer_big") == "transformer"
    assert kind("lstm_seq2seq") == "seq2seq"
    assert not kind("gpt2_small")
