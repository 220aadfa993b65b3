"""Images to a class for every pixel.

    python -m pipelines image_segmentation

trains `unet` (8 filters, "same" padding and batch normalisation: 487,890 parameters) on 78 slices
through a head and reports intersection over union on 20 from other blocks of the same head. It is
one subject, and the truth was drawn by a tool: a good score says nothing about other heads.
Measured on two CPU cores, 73 to 84 s of processor time in all:

| | test mean IoU | of brain alone |
|---|---|---|
| majority class | .327 | .000 |
| logistic regression on each pixel's surroundings and place, the strongest baseline | .942 | .924 |
| `unet`, seeds 0 to 2 | .975 .976 .979 | .968 .969 .972 |

With `--dataset digits_canvas --batch_size 32` (11 classes), seed 0: .150 by logistic regression,
.818 by `unet`, 290 s of processor time.

Any TFDS set with an image and a mask works: `--dataset oxford_iiit_pet --image_size 128`. Pixels of
the value 255 belong to no class: nothing is learned from them, nor are they scored.

Served masks have the network's size. Of an image file, which may have any size, the overlay has the
file's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from pipelines import network
from pipelines.baselines import Baseline, scored
from pipelines.errors import UserError
from pipelines.export.signature import Signature
from pipelines.image.config import ImageConfig
from pipelines.predictions import Predictions, Scores
from pipelines.task import Task
from pipelines.tasks.image_classification import data as images
from pipelines.tasks.image_classification.data import augmentation, decode
from pipelines.tasks.image_segmentation import data as masks
from pipelines.tasks.image_segmentation import metrics as segmentation
from pipelines.tasks.image_segmentation.data import VOID, SegmentedImages

# How many test images prove the signatures, and with how many probabilities at most.
_MOST_IMAGES = 32
_MOST_NUMBERS = 1 << 21
# Two probabilities closer than this are equal as far as proofs go.
_UNDECIDED = 1e-4


class ImageSegmentation(Task):
    """The task: uint8 images in, a class for each pixel out."""

    metric = "mean_iou"
    class_names: tuple[str, ...] = ()

    def load(self, config: ImageConfig) -> SegmentedImages:
        data = masks.load(config)
        self.class_names = data.class_names
        return data

    def model(self, config: ImageConfig, data: SegmentedImages) -> keras.Model:
        classes = len(data.class_names)
        try:
            return network.build(
                config,
                "does not answer for every pixel of an image; unet does, with --model.padding same",
                lambda model: model.output.shape == (None, *data.image_shape[:2], classes),
                classes=classes,
                input_shape=data.image_shape,
            )
        except UserError as error:
            if "do not divide evenly" in str(error):
                raise UserError(f"{error}; choose such a side as --image_size") from error
            raise

    def loss(self) -> keras.Loss:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=VOID)

    def metrics(self) -> list[keras.Metric]:
        classes = len(self.class_names)
        return [
            keras.metrics.MeanIoU(classes, ignore_class=VOID, sparse_y_pred=False, name="mean_iou")
        ]

    def preprocess(self, inputs: tf.Tensor) -> tf.Tensor:
        """uint8 images 0-255 to what the network reads."""
        return tf.cast(inputs, tf.float32) / 255.0

    def augment(self, config: ImageConfig):
        change = augmentation(config.augmentation, config.recipe.seed)
        return change and masks.moving_together(change)

    def answers(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"mask": tf.cast(tf.argmax(outputs, -1), tf.uint8)}

    def scores(self, predictions: Predictions) -> Scores:
        return segmentation.scores(self._confusion(predictions), self.class_names)

    def _confusion(self, predictions: Predictions) -> np.ndarray:
        truth, predicted = predictions.examples["target"], predictions.predicted["mask"]
        return segmentation.total(truth, predicted, len(self.class_names))

    def baselines(self, data: SegmentedImages) -> list[Baseline]:
        def answering(predict: Callable[[np.ndarray], np.ndarray]):
            return lambda split: segmentation.answered(getattr(data, split), predict)

        most = segmentation.majority_class(data.train)
        linear = segmentation.logistic_regression(data.train, data.sizes["train"])
        return [
            scored("majority class", self.scores, answering(most)),
            scored("logistic regression on pixels", self.scores, answering(linear)),
        ]

    def figures(
        self, model: keras.Model, data: SegmentedImages, test: Predictions
    ) -> Iterator[tuple[str, Figure]]:
        yield from segmentation.pictures(test, data.test, data.class_names)

    def signatures(self, model: keras.Model, data: SegmentedImages) -> list[Signature]:
        shape, colours = data.image_shape, segmentation.palette(data.class_names)

        def serving_default(images: tf.Tensor) -> dict[str, tf.Tensor]:
            # Model servers do not compare shapes with the signature, and a convolution that is
            # fed another rank can take the whole process down.
            batch = tf.ensure_shape(images, [None, *shape])
            logits = model(self.preprocess(batch), training=False)
            return self.answers(logits) | {"probabilities": tf.nn.softmax(logits)}

        def image_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
            answer = serving_default(decode(image_bytes, shape))
            drawn = tf.map_fn(
                lambda pair: segmentation.drawn(pair[0], pair[1], colours),
                (image_bytes, answer["mask"]),
                fn_output_signature=tf.string,
            )
            return answer | {"overlay": drawn}

        tensors, logits = self._clearest(model, data)
        encoded = np.array([tf.io.encode_png(image).numpy() for image in tensors], object)
        mask = logits.argmax(-1).astype(np.uint8)
        answer = {"mask": mask, "probabilities": keras.ops.softmax(logits).numpy()}
        pictures = [
            segmentation.drawn(*pair, colours).numpy() for pair in zip(encoded, mask, strict=True)
        ]
        return [
            Signature(
                "serving_default",
                serving_default,
                {"images": tf.TensorSpec([None, *shape], tf.uint8)},
                {"images": tensors},
                answer,
            ),
            Signature(
                "image_bytes",
                image_bytes,
                {"image_bytes": tf.TensorSpec([None], tf.string)},
                {"image_bytes": encoded},
                answer | {"overlay": np.array(pictures, object)},
            ),
        ]

    def _clearest(self, model: keras.Model, data: SegmentedImages) -> tuple[np.ndarray, np.ndarray]:
        """Returns test images and the network's logits for them, to prove signatures with.

        Masks are proved pixel by pixel, and where two classes are equally probable up to
        rounding, either is right. So the images are those in which no pixel is so undecided.
        """
        count = _MOST_NUMBERS // math.prod((*data.image_shape[:2], len(data.class_names)))
        count = min(max(count, 1), _MOST_IMAGES)
        tensors = images.first(data.test, 4 * count)
        inputs = self.preprocess(tf.constant(tensors))
        logits = model.predict(inputs, batch_size=count, verbose=0)
        two = np.partition(keras.ops.softmax(logits).numpy(), -2)[..., -2:]
        gap = (two[..., 1] - two[..., 0]).min((1, 2))
        order = np.argsort(-gap)[:count]
        clear = order[gap[order] > _UNDECIDED]
        chosen = clear if len(clear) else order[:1]
        return tensors[chosen], logits[chosen]

    def examples(self, data: SegmentedImages) -> dict[str, bytes]:
        """Returns eight test images as NUMBER.png, to try a served model with."""
        return {
            f"{number}.png": tf.io.encode_png(image).numpy()
            for number, (image, _) in enumerate(data.test.take(8).as_numpy_iterator())
        }
