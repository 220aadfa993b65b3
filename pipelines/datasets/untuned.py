"""Input without the thread by which tf.data tunes it.

tf.data looks for the best numbers of parallel calls and of batches ahead in a thread that sleeps
ever longer, up to a minute. An iterator that ends wakes the thread and waits for it, but the call
is lost now and then (TensorFlow 2.21, `Model::OptimizeLoop`): a training of 40 seconds then ended
after 43 to 115, in which nothing was computed. Without the thread there are as many parallel calls
as CPUs, and buffers that grow whenever they are found empty.
"""

from __future__ import annotations

import tensorflow as tf


def untuned(examples: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the same elements; what is made of them is not tuned either."""
    if examples.options().autotune.enabled is False:
        return examples
    options = tf.data.Options()
    options.autotune.enabled = False
    return examples.with_options(options)
