"""A tiny GPT-2 in a Hugging Face directory, with byte pairs of the tiny speeches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.text import byte_pair_files, byte_pairs
from tests.architectures import gpt2_files
from tests.pipelines.tasks.language_modeling import examples

# One id more than there are tokens, as in vocabularies that are padded.
SIZE = 300
END = 298
MODEL = {**gpt2_files.SIZES, "dropout": 0.1}


def write(folder: Path, **changes: Any) -> Path:
    """Writes random weights and a trained tokenizer; `changes` are those of the configuration."""
    gpt2_files.write(folder, **{"vocab_size": SIZE, "eos_token_id": END, **changes})
    texts = examples.speeches()["train"]
    tokenizer = byte_pairs.train(texts, SIZE - 1, max_characters=1e6)
    byte_pair_files.write(tokenizer, folder)
    return folder
