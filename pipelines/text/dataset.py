"""The data set of a task on text."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.datasets.dataset import Dataset
from pipelines.text.tokenizers import Tokenizer


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenizedDataset(Dataset):
    """Texts as token ids: inputs are {"token_ids": int32 [tokens], "padding_mask": …, …}.

    Attributes:
        tokenizer: From texts to token ids; its vocabulary is that of the training split, or of a
            pre-trained encoder.
    """

    tokenizer: Tokenizer
