"""ResNet-50 on ImageNet in 90 epochs.

    python -m pipelines image_classification --recipe resnet50_imagenet --manual_dir DIRECTORY

The network is v1.5, with strides in the 3 x 3 convolutions. Expect 76.1 % top-1 accuracy on the
50,000 validation images, which are reported as test; MLPerf Training's target is 75.9 %. Learning
rate and steps: He et al., "Deep Residual Learning for Image Recognition", 2015, with the warmup of
5 epochs of Goyal et al., "Accurate, Large Minibatch SGD", 2017, for whose linear rule a batch of
256 has 0.1. Weight decay 1e-4 in the papers' sense is `l2` 5e-5 here, without biases and
normalizations. TFDS' `imagenet2012` needs the archives that ImageNet's site gives out, in
`--manual_dir`.

Hardware: 8 GPUs of 16 GB with mixed precision, about a day.
"""

from __future__ import annotations

from pipelines.image.config import Augmentation, ImageConfig
from pipelines.recipe import Optimizer, Recipe

CONFIG = ImageConfig(
    dataset="imagenet2012",
    architecture="resnet50",
    image_size=224,
    recipe=Recipe(
        epochs=90,
        batch_size=256,
        precision="mixed_bfloat16",
        label_smoothing=0.1,
        l2=5e-5,
        optimizer=Optimizer(
            name="sgd",
            learning_rate=0.1,
            momentum=0.9,
            nesterov=True,
            schedule="step",
            milestones=[30, 60, 80],
            warmup=5 / 90,
            weight_decay=0.0,
        ),
    ),
    augmentation=Augmentation(crop=0.08, flip=True),
)
