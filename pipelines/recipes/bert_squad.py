"""BERT base fine-tuned on SQuAD 1.1.

    python -m pipelines question_answering --recipe bert_squad --encoder DIRECTORY

`--encoder` is a Hugging Face directory of BERT base, uncased. Expect F1 88.4 on the validation
split, which is reported as test: Devlin et al., "BERT: Pre-training of Deep Bidirectional
Transformers for Language Understanding", 2019, with 3 epochs of batches of 32 at 5e-5. Passages
longer than 384 tokens are truncated here, where the paper slides a window over them, and an answer
that is cut off counts as wrong.

Hardware: one GPU of 16 GB, about two hours.
"""

from __future__ import annotations

from pipelines.recipe import Optimizer, Recipe
from pipelines.tasks.question_answering.config import QuestionAnsweringConfig

CONFIG = QuestionAnsweringConfig(
    dataset="squad",
    architecture="bert_base",
    max_length=384,
    recipe=Recipe(
        epochs=3,
        batch_size=32,
        optimizer=Optimizer(
            learning_rate=5e-5, schedule="linear", warmup=0.1, weight_decay=0.01, clip_norm=1.0
        ),
    ),
)
