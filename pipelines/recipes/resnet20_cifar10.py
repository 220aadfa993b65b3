"""ResNet-20 on CIFAR-10 in 200 epochs.

    python -m pipelines image_classification --recipe resnet20_cifar10

Expect about 91.25 % test accuracy: He et al., "Deep Residual Learning for Image Recognition", 2015,
section 4.2 and table 6, after 64,000 updates, which are 182 epochs of 45,000 images. Keras' example
of the same network has 92.16 % after 200 epochs with Adam. The learning rate falls by 10 at half
and at three quarters of the epochs, as in the paper. Weight decay 1e-4 in the paper's sense is `l2`
5e-5 here. Images are moved by up to four pixels and flipped.

Hardware: one GPU, about an hour; two CPU cores, about a day.
"""

from __future__ import annotations

from pipelines.image.config import Augmentation, ImageConfig
from pipelines.recipe import Optimizer, Recipe

CONFIG = ImageConfig(
    dataset="cifar10",
    architecture="resnet20",
    recipe=Recipe(
        epochs=200,
        batch_size=128,
        l2=5e-5,
        optimizer=Optimizer(
            name="sgd",
            learning_rate=0.1,
            momentum=0.9,
            schedule="step",
            milestones=[100, 150],
            warmup=0.0,
            weight_decay=0.0,
        ),
    ),
    augmentation=Augmentation(crop_padding=4, flip=True),
)
