"""Semantic segmentation: a class for each pixel of an image.

    python -m pipelines image_segmentation

trains `unet` (8 filters, "same" padding and batch normalization: 487,890 parameters) on 78 slices
through a head and reports intersection over union on 20 from other blocks of the same head. All
are of one subject, and a tool made the masks: a good score says nothing about other heads.
Measured on two CPU cores, 100 to 142 s of processor time in all:

| | test mean IoU | IoU of brain |
|---|---|---|
| majority class | .327 | .000 |
| logistic regression on each pixel's patch and position, the strongest baseline | .942 | .924 |
| `unet`, seeds 0 to 4, mean ± deviation | .977 ± .002 | .970 ± .002 |

On test, the 95 % intervals of the difference in mean IoU begin at .022 to .027.

With `--dataset digits_canvas --batch_size 32` (11 classes), seed 0: .150 by logistic regression,
.818 by `unet`, 290 s of processor time.

Any TFDS data set with an image and a mask works: `--dataset oxford_iiit_pet --image_size 128`, and
so do folders of your own images and masks (`own.py`). Void pixels, which have no class,
count neither in the loss nor in scores.

Served masks have the network's image size. Image files may have any size, and so have the overlays
that are returned for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from pipelines.baselines import Baseline, scored
from pipelines.errors import UserError
from pipelines.export.signature import Signature
from pipelines.image.augmentation import of_segmented_images
from pipelines.image.cropping import of_batches
from pipelines.image.examples import augmented, encode_png, first_images, image_requests
from pipelines.image.preprocessing import scale
from pipelines.image.weights import build, record
from pipelines.predictions import Predictions, Scores
from pipelines.task import Augment, ByClass, Network, Task
from pipelines.tasks.image_segmentation import baselines, losses, metrics, signatures
from pipelines.tasks.image_segmentation.config import SegmentationConfig
from pipelines.tasks.image_segmentation.data import IGNORE_ID, SegmentedImages, load
from pipelines.tasks.image_segmentation.figures import augmented_masks, figures

# Training images that are shown augmented.
_AUGMENTED = 8


class ImageSegmentation(Task[SegmentationConfig, SegmentedImages]):
    """Semantic segmentation: from uint8 images to a class for each pixel."""

    metric = "mean_iou"

    def load(self) -> SegmentedImages:
        return load(self.config)

    def network(self, data: SegmentedImages) -> Network:
        classes = len(data.class_names)
        try:
            return build(
                self.config,
                data,
                "does not predict a class for each pixel; unet does, with --model.padding same",
                lambda model: model.output.shape == (None, *data.image_shape[:2], classes),
                segments=True,
            )
        except UserError as error:
            if "do not divide evenly" in str(error):
                raise UserError(f"{error}; choose such a side as --image_size") from error
            raise

    def loss(self, data: SegmentedImages) -> keras.Loss:
        return losses.loss(self.config.loss)

    def metrics(self, data: SegmentedImages) -> list[keras.Metric]:
        classes = len(data.class_names)
        return [
            keras.metrics.MeanIoU(
                classes, ignore_class=IGNORE_ID, sparse_y_pred=False, name="mean_iou"
            )
        ]

    def preprocess(self, inputs: tf.Tensor) -> tf.Tensor:
        """Scales uint8 images 0-255 to what the network reads."""
        return scale(inputs)

    def augment(self, data: SegmentedImages) -> Augment | None:
        options = of_batches(self.config.augmentation, data.crops)
        return of_segmented_images(options, IGNORE_ID)

    def postprocess(self, outputs: tf.Tensor, data: SegmentedImages) -> dict[str, tf.Tensor]:
        return {"mask": signatures.most_probable(outputs)}

    def reduce(self, predictions: Predictions, data: SegmentedImages) -> Predictions:
        return metrics.reduce(predictions, len(data.class_names))

    def scores(self, predictions: Predictions, data: SegmentedImages) -> Scores:
        return metrics.scores(predictions.total("pixels"), data.class_names)

    def baselines(self, data: SegmentedImages) -> list[Baseline]:
        classifiers = {
            "majority class": baselines.majority_class(data.train),
            "logistic regression on pixels": baselines.logistic_regression(
                data.train, data.sizes["train"]
            ),
        }
        return [
            scored(
                name,
                partial(self.scores, data=data),
                partial(_predict, data, classifier),
                partial(self.reduce, data=data),
            )
            for name, classifier in classifiers.items()
        ]

    def figures(
        self,
        network: Network,
        data: SegmentedImages,
        test: Predictions,
        baselines: Sequence[Baseline],
    ) -> Iterator[tuple[str, Figure]]:
        if self.config.augmentation.active:
            examples = augmented(self, data, _AUGMENTED)
            yield "augmented_examples", augmented_masks(*examples, data.class_names)
        yield from figures(test, data.test, data.class_names)

    def by_class(self, test: Predictions, data: SegmentedImages) -> ByClass:
        counts = metrics.total_confusion(
            test.examples["target"], test.predicted["mask"], len(data.class_names)
        )
        scores, pixels = metrics.iou(metrics.by_class(counts)), counts.sum(1)
        return ByClass(
            "IoU",
            "pixels",
            {
                name: (float(scores[index]), int(pixels[index]))
                for index, name in enumerate(data.class_names)
                if pixels[index]
            },
        )

    def signatures(self, network: Network, data: SegmentedImages) -> list[Signature]:
        return signatures.signatures(network.model, data)

    def requests(
        self, data: SegmentedImages, split: str, count: int
    ) -> Mapping[str, Mapping[str, np.ndarray]]:
        return image_requests(data.split(split), data.sizes[split], count)

    def examples(self, data: SegmentedImages) -> dict[str, bytes]:
        """Returns eight test images as NUMBER.png, to try a served model with."""
        files = encode_png(first_images(data.test, 8))
        return {f"{number}.png": file for number, file in enumerate(files)}

    def artifacts(
        self, network: Network, data: SegmentedImages
    ) -> dict[str, Callable[[Path], None]]:
        """Returns how images are preprocessed, for runs that start from this one's weights."""
        return record(self.config, network, data)


def _predict(
    data: SegmentedImages, classifier: baselines.Predict, split: str
) -> Iterator[Predictions]:
    return baselines.predictions(data.split(split), classifier)
