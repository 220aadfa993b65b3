"""The encoder `builtin:bert_tiny_sotu`: a tiny BERT pre-trained on State of the Union addresses.

    python -m pipelines bert_pretraining --recipe bert_tiny_sotu

`python -m pipelines.text.make_encoder bert_tiny_sotu runs:/ID COMMAND` then puts its encoder into
the package. Expect a perplexity of 25.5 of masked tokens on test, where counts of four neighbors
have 41.4, and an accuracy of .387, where they have .332. After half the epochs the network has 36.2
and .332.

Hardware: one core of a CPU, an hour.
"""

from __future__ import annotations

from pipelines.recipe import Optimizer, Recipe
from pipelines.tasks.pretraining.config import BertPretrainingConfig

CONFIG = BertPretrainingConfig(
    dataset="sotu_sentences",
    architecture="bert_tiny",
    model={"heads": 4, "dropout": 0.0},
    name="bert",
    vocabulary=2000,
    max_length=128,
    masked=0.3,
    sentence_task="none",
    initialization="local",
    recipe=Recipe(
        epochs=32,
        batch_size=8,
        optimizer=Optimizer(learning_rate=3e-3, warmup=0.02, clip_norm=1.0),
    ),
)
