"""From data to a served answer in one file, by the public API alone.

    python -m examples.minimal [FOLDER]

trains a small convolutional network on scikit-learn's handwritten digits, compares it with logistic
regression, exports it to FOLDER/digits/VERSION (./models by default), verifies the SavedModel in a
separate process, and queries a model server for eight test images. The pipelines do the same with
tracking, figures and a model registry: `python -m pipelines image_classification`.
"""

import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

import architectures
from pipelines.export.saved_model import saved_model
from pipelines.export.signature import Signature
from pipelines.export.validation import validate
from serving.client import Client

PORT = 8600

# Data: 8x8 images with values 0 to 16.
images, labels = load_digits(return_X_y=True)
images = images.astype("float32").reshape(-1, 8, 8, 1)
train_x, test_x, train_y, test_y = train_test_split(images, labels, test_size=0.2, random_state=0)

# Network, and training.
keras.utils.set_random_seed(0)
model = architectures.build("convnet", classes=10, input_shape=(8, 8, 1), filters=(16, 32))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.AdamW(2e-3), loss, metrics=["accuracy"])
model.fit(train_x / 16, train_y, batch_size=32, epochs=10, verbose=2)

# Baseline.
baseline = LogisticRegression(max_iter=1000).fit(train_x.reshape(-1, 64) / 16, train_y)
logits = model.predict(test_x / 16, verbose=0)
accuracy = np.mean(logits.argmax(-1) == test_y)
linear = baseline.score(test_x.reshape(-1, 64) / 16, test_y)
print(f"test accuracy {accuracy:.3f}, logistic regression {linear:.3f}")


# Export: the served graph scales its inputs itself, and its answers are verified.
def serving_default(images: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"probabilities": tf.nn.softmax(model(images / 16, training=False))}


signature = Signature(
    "serving_default",
    serving_default,
    inputs={"images": tf.TensorSpec([None, 8, 8, 1], tf.float32)},
    examples={"images": test_x[:32]},
    expected={"probabilities": keras.ops.softmax(logits[:32]).numpy()},
)
base = Path(*sys.argv[1:] or ["models"], "digits").absolute()
base.mkdir(parents=True, exist_ok=True)
version = saved_model(model, [signature], base / str(int(time.time())))
validate(version, [signature])

# Served answer.
flags = [f"--port={PORT}", "--model_name=digits", f"--model_base_path={base}"]
server = subprocess.Popen([sys.executable, "-m", "serving.server", *flags])
try:
    with Client(f"localhost:{PORT}") as client:
        client.wait_until_ready("digits", timeout=120)
        answer = client.predict("digits", {"images": test_x[:8]})
    print("served ", answer["probabilities"].argmax(-1))
    print("true   ", test_y[:8])
finally:
    server.terminate()
    server.wait()
