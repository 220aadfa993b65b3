"""U-Net on the Oxford-IIIT pets: pet, background and border of each pixel.

    python -m pipelines image_segmentation --recipe unet_pets

The network of Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image
Segmentation", 2015, with "same" padding and batch normalization, at a quarter of its width, 16 to
256 filters, on images of 160 x 160 pixels. There is no published result for just this: what it has
to beat is the run's own baseline, a logistic regression on pixels. Dice loss beside the
cross-entropy (Milletari et al. 2016) makes up for the thin border.

Hardware: one GPU, about half an hour; two CPU cores, about half a day.
"""

from __future__ import annotations

from pipelines.image.config import Augmentation
from pipelines.recipe import Optimizer, Recipe
from pipelines.tasks.image_segmentation.config import SegmentationConfig

CONFIG = SegmentationConfig(
    dataset="oxford_iiit_pet",
    architecture="unet",
    model={"filters": 16, "padding": "same", "normalize": True},
    image_size=160,
    loss="cross_entropy+dice",
    recipe=Recipe(
        epochs=50,
        batch_size=32,
        patience=10,
        monitor="mean_iou",
        optimizer=Optimizer(learning_rate=1e-3, warmup=0.05),
    ),
    augmentation=Augmentation(shift=0.1, rotation=0.03, zoom=0.1, flip=True),
)
