"""Embeddings made on this machine, without a network or a download: small, quick, and good enough to find by meaning.

The model is WordLlama's: one vector for each of 32,000 tokens, averaged over a text. Its two files come inside the
wheel of `wordllama` and are read straight from there: its own loader looks for one of them in the wrong folder,
downloads what it does not find, and sets up logging for the whole process. Knows nothing of where vectors are kept.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from memagent.errors import EmbeddingError, MissingExtra

NEEDED = ("wordllama", "numpy", "safetensors", "tokenizers")
BATCH = 256
_AGAIN = "Install it again with: pip install --force-reinstall 'memagent[embeddings]'"
_guard = threading.Lock()


class LocalEmbedder:
    """WordLlama's vectors of 256 numbers. The files are read when the first text comes, once for all embedders."""

    model = "wordllama-l2-supercat-256"
    dimension = 256

    def __init__(self) -> None:
        specs = [find_spec(name) for name in NEEDED]
        folders = specs[0].submodule_search_locations if specs[0] and all(specs) else None
        if not folders:
            raise MissingExtra("The local embedding model", "embeddings")
        self._folder = Path(folders[0])

    def embed(self, texts: Sequence[str]) -> list[bytes]:
        """One vector for each text; a text without any known token gets zeros, which are near to nothing."""
        with _guard:
            table, tokenizer = _load(self._folder)
        vectors: list[bytes] = []
        for start in range(0, len(texts), BATCH):
            for tokens in tokenizer.encode_batch(list(texts[start : start + BATCH]), add_special_tokens=False):
                vectors.append(_average(table, tokens.ids))
        return vectors


@cache
def _load(folder: Path) -> tuple[Any, Any]:
    weights = folder / "weights" / "l2_supercat_256.safetensors"
    words = folder / "tokenizers" / "l2_supercat_tokenizer_config.json"
    for path in (weights, words):
        if not path.is_file():
            raise EmbeddingError(f"The local embedding model is not whole: {path} is missing.", hint=_AGAIN)
    try:
        from safetensors import safe_open
        from tokenizers import Tokenizer
    except ImportError as error:
        raise EmbeddingError(f"The local embedding model can't be used here: {error}", hint=_AGAIN) from error
    with safe_open(weights, framework="np") as file:
        table = file.get_tensor("embedding.weight")
    tokenizer = Tokenizer.from_file(str(words))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return table, tokenizer


def _average(table: Any, tokens: list[int]) -> bytes:
    import numpy as np

    mean = np.zeros(table.shape[1], "<f4")
    if tokens:
        mean = table[np.minimum(tokens, len(table) - 1)].mean(axis=0, dtype="<f4")
    length = float(np.linalg.norm(mean))
    vector: bytes = (mean / length if length else mean).astype("<f4").tobytes()
    return vector
