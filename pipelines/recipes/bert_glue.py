"""BERT base fine-tuned on a task of GLUE: SST-2 by default, others by --dataset.

    python -m pipelines text_classification --recipe bert_glue --encoder DIRECTORY
    python -m pipelines text_classification --recipe bert_glue --encoder DIRECTORY \\
        --dataset glue/mrpc

`--encoder` is a Hugging Face directory of BERT base, uncased. Expect on GLUE's validation split,
which is reported as test as GLUE keeps the labels of its own: SST-2 92.3 % accuracy, MNLI 83.9 %
matched. Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding", 2019: 3 epochs of batches of 32 with Adam, a linear decay after a warmup of a tenth,
and the best of the learning rates 2e-5, 3e-5, 4e-5 and 5e-5. Tasks with a class for each text or
pair: cola, sst2, mrpc, qqp, mnli, qnli, rte, wnli; stsb is a regression, and no class.

Hardware: one GPU of 16 GB, half an hour for SST-2, three hours for MNLI.
"""

from __future__ import annotations

from pipelines.recipe import Optimizer, Recipe
from pipelines.tasks.text_classification.config import TextClassificationConfig

CONFIG = TextClassificationConfig(
    dataset="glue/sst2",
    architecture="bert_base",
    max_length=128,
    recipe=Recipe(
        epochs=3,
        batch_size=32,
        optimizer=Optimizer(
            learning_rate=2e-5, schedule="linear", warmup=0.1, weight_decay=0.01, clip_norm=1.0
        ),
    ),
)
