"""Image classification.

    python -m pipelines image_classification

trains `convnet` (99,754 parameters) on 1,157 handwritten digits and reports accuracy on 397 of
writers it was not trained on. Measured on a busy machine, about a minute of processor time in all:

| | validation accuracy | test accuracy |
|---|---|---|
| logistic regression on pixels | .955 | .904 |
| support vector machine on pixels (scikit-learn's defaults), the strongest baseline | .971 | .942 |
| `convnet`, seeds 0 to 4, mean ± deviation | .995 ± .002 | .983 ± .004 |

On test, the 95 % intervals of the difference begin at .015 to .028.

Any set of labeled images works: `--dataset fashion_mnist` (a TFDS name), `--dataset ./my_images`
(folders of classes, or a table; see `own.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from pipelines import figures
from pipelines.baselines import Baseline, scored
from pipelines.export.signature import Signature
from pipelines.image import signatures as image_signatures
from pipelines.image.augmentation import of_labeled_images
from pipelines.image.config import ImageConfig
from pipelines.image.cropping import of_batches
from pipelines.image.examples import (
    augmented,
    encode_png,
    first_images,
    image_requests,
    images_at,
)
from pipelines.image.preprocessing import decode, scale
from pipelines.image.weights import build, record
from pipelines.predictions import Predictions, Scores
from pipelines.task import Augment, ByClass, Network, Task
from pipelines.tasks import classification
from pipelines.tasks.image_classification.baselines import (
    logistic_regression,
    support_vector_machine,
)
from pipelines.tasks.image_classification.data import LabeledImages, load
from pipelines.training.losses import CrossEntropy

# Training images that are shown augmented.
_AUGMENTED = 24


class ImageClassification(Task[ImageConfig, LabeledImages]):
    """Image classification: from uint8 images to a probability for each class."""

    metric = "accuracy"

    def load(self) -> LabeledImages:
        return load(self.config)

    def network(self, data: LabeledImages) -> Network:
        classes = len(data.class_names)
        return build(
            self.config,
            data,
            "does not classify images",
            lambda model: model.output.shape == (None, classes),
        )

    def loss(self, data: LabeledImages) -> keras.Loss:
        return CrossEntropy() if self.config.augmentation.mixes else classification.loss()

    def metrics(self, data: LabeledImages) -> list[keras.Metric]:
        return [classification.accuracy()]

    def preprocess(self, inputs: tf.Tensor) -> tf.Tensor:
        """Scales uint8 images 0-255 to what the network reads."""
        return scale(inputs)

    def augment(self, data: LabeledImages) -> Augment | None:
        options = of_batches(self.config.augmentation, data.crops)
        return of_labeled_images(options, len(data.class_names))

    def postprocess(self, outputs: tf.Tensor, data: LabeledImages) -> dict[str, tf.Tensor]:
        return classification.probabilities(outputs)

    def scores(self, predictions: Predictions, data: LabeledImages) -> Scores:
        return classification.scores(predictions)

    def baselines(self, data: LabeledImages) -> list[Baseline]:
        classes = len(data.class_names)
        classifiers = {
            "logistic regression": logistic_regression(data.train, classes),
            "support vector machine": support_vector_machine(data.train, classes),
        }
        return [
            scored(name, classification.scores, partial(_predict, data, predict))
            for name, predict in classifiers.items()
            if predict
        ]

    def figures(
        self,
        network: Network,
        data: LabeledImages,
        test: Predictions,
        baselines: Sequence[Baseline],
    ) -> Iterator[tuple[str, Figure]]:
        """Yields augmented images, confusion matrix, reliability, and the worst mistakes."""
        names = data.class_names
        if self.config.augmentation.active:
            images, targets = augmented(self, data, _AUGMENTED)
            yield (
                "augmented_examples",
                figures.image_grid(
                    list(images),
                    [_caption(target, names) for target in targets],
                    title="Training images, augmented, as the network sees them",
                ),
            )
        yield from classification.figures(test, names, counted="images")
        truth, probabilities = test.examples["target"], test.predicted["probabilities"]
        wrong = np.flatnonzero(probabilities.argmax(-1) != truth)
        worst = wrong[np.argsort(probabilities[wrong, truth[wrong]])][:24]
        yield (
            "worst_mistakes",
            figures.image_grid(
                images_at(data.test, test.rows[worst]),
                [
                    f"{names[row.argmax()]} {row.max():.2f}\ntrue {names[label]} {row[label]:.2f}"
                    for row, label in zip(probabilities[worst], truth[worst], strict=True)
                ],
                title="Worst mistakes on the test split" if len(worst) else "No mistakes on test",
            ),
        )

    def by_class(self, test: Predictions, data: LabeledImages) -> ByClass:
        return classification.by_class(test, data.class_names, "images")

    def signatures(self, network: Network, data: LabeledImages) -> list[Signature]:
        names, shape, model = data.class_names, data.image_shape, network.model

        def classify(images: tf.Tensor) -> tf.Tensor:
            return self.postprocess(model(scale(images), training=False), data)["probabilities"]

        def classify_files(encoded: tf.Tensor) -> tf.Tensor:
            return classify(decode(encoded, shape, data.preprocessing))

        images = first_images(data.test, 256)
        encoded = encode_png(images)
        logits = model.predict(scale(tf.constant(images)), verbose=0)
        probabilities = keras.ops.softmax(logits).numpy()
        expected = classification.named_arrays(probabilities, names)
        return [
            image_signatures.of_tensors(
                lambda images: classification.named(classify(images), names), images, expected
            ),
            image_signatures.of_files(
                lambda files: classification.named(classify_files(files), names), encoded, expected
            ),
            classification.classify(classify_files, "image/encoded", encoded, probabilities, names),
        ]

    def requests(
        self, data: LabeledImages, split: str, count: int
    ) -> Mapping[str, Mapping[str, np.ndarray]]:
        return image_requests(data.split(split), data.sizes[split], count)

    def examples(self, data: LabeledImages) -> dict[str, bytes]:
        """Returns eight test images as CLASS/NUMBER.png, to try a served model with."""
        # "T-shirt/top" must be one folder; readers unquote the folder's name.
        folders = [n.replace("%", "%25").replace("/", "%2F") for n in data.class_names]
        labels = [label for _, label in data.test.take(8).as_numpy_iterator()]
        files = encode_png(first_images(data.test, 8))
        return {
            f"{folders[label]}/{number}.png": file
            for number, (label, file) in enumerate(zip(labels, files, strict=True))
        }

    def artifacts(self, network: Network, data: LabeledImages) -> dict[str, Callable[[Path], None]]:
        """Returns how images are preprocessed, for runs that start from this one's weights."""
        return record(self.config, network, data)


def _caption(target: np.ndarray, names: Sequence[str]) -> str:
    """Returns the class of a label, or those of the two largest probabilities."""
    if not target.ndim:
        return names[int(target)]
    first, second = np.argsort(-target, kind="stable")[:2]
    if target[first] > 0.995:
        return names[first]
    return f"{names[first]} {target[first]:.2f}\n{names[second]} {target[second]:.2f}"


def _predict(
    data: LabeledImages, predict: Callable[[tf.data.Dataset], Predictions], split: str
) -> Predictions:
    return predict(data.split(split))
