"""Transformer base on WMT14, from English to German.

    python -m pipelines translation --recipe transformer_wmt14

Expect 27.3 BLEU on newstest2014: Vaswani et al., "Attention Is All You Need", 2017, table 2, after
100,000 updates of about 25,000 tokens of each language; 20 epochs of batches of 1,024 pairs are as
many. As there: a shared vocabulary of 37,000 pieces, Adam with 0.9, 0.98 and 1e-9, the inverse
square root after 4,000 updates with the peak that follows from width and warmup, label smoothing,
beams of 4 with a length penalty of 0.6. In place of the mean of five checkpoints, a moving average.
The paper's BLEU is of tokenized texts, the run's is sacreBLEU's, which is a little lower.

Hardware: 8 GPUs, about half a day; on one, `--optimizer.accumulate 8 --batch_size 128`.
"""

from __future__ import annotations

from pipelines.recipe import Optimizer, Recipe
from pipelines.tasks.translation.config import TranslationConfig

CONFIG = TranslationConfig(
    dataset="wmt14_translate/de-en",
    reverse=True,
    architecture="transformer_base",
    vocabulary=37_000,
    max_length=128,
    beams=4,
    length_penalty=0.6,
    recipe=Recipe(
        epochs=20,
        batch_size=1024,
        label_smoothing=0.1,
        optimizer=Optimizer(
            name="adam",
            learning_rate=7e-4,
            beta_2=0.98,
            epsilon=1e-9,
            schedule="inverse_sqrt",
            warmup=0.04,
            weight_decay=0.0,
            average=0.9995,
        ),
    ),
)
