"""A decoder of ten million parameters on the characters of Shakespeare.

    python -m pipelines language_modeling --recipe char_gpt_shakespeare

Expect a validation loss of 1.47 nats per character: Karpathy, nanoGPT, `train_shakespeare_char`,
after 5,000 updates of 64 windows of 256 characters; 41 epochs of windows that overlap by half are
as many. It overfits soon after, so the weights with the lowest validation loss are kept.

Hardware: one GPU, some minutes; `--architecture char_gpt_small --context 64` for two CPU cores, an
hour, and 1.88.
"""

from __future__ import annotations

from pipelines.recipe import Optimizer, Recipe
from pipelines.tasks.language_modeling.config import LanguageModelingConfig

CONFIG = LanguageModelingConfig(
    dataset="tiny_shakespeare",
    architecture="char_gpt",
    tokens="characters",
    context=256,
    recipe=Recipe(
        epochs=41,
        batch_size=64,
        patience=10,
        optimizer=Optimizer(
            learning_rate=1e-3, beta_2=0.99, warmup=0.02, weight_decay=0.1, clip_norm=1.0
        ),
    ),
)
