"""Embeddings made on this machine, without a network or a download: small, quick, and good enough to find by meaning.

The model is WordLlama's: one vector for each of 32,000 tokens, averaged over a text. Its two files come inside the
wheel of `wordllama` and are read straight from there: its own loader looks for one of them in the wrong folder,
downloads what it does not find, and sets up logging for the whole process. Knows nothing of where vectors are kept.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from memagent.errors import EmbeddingError, MissingExtra

NEEDED = ("wordllama", "numpy", "safetensors", "tokenizers")
BATCH = 256


class LocalEmbedder:
    """WordLlama's vectors of 256 numbers. The files are read when the first text comes."""

    model = "wordllama-l2-supercat-256"
    dimension = 256

    def __init__(self) -> None:
        if any(find_spec(name) is None for name in NEEDED):
            raise MissingExtra("The local embedding model", "embeddings")
        self._guard = threading.Lock()

    def embed(self, texts: Sequence[str]) -> list[bytes]:
        """One vector for each text; a text without any known token gets zeros, which are near to nothing."""
        with self._guard:
            table, tokenizer = self._loaded
        vectors: list[bytes] = []
        for start in range(0, len(texts), BATCH):
            for tokens in tokenizer.encode_batch(list(texts[start : start + BATCH]), add_special_tokens=False):
                vectors.append(_average(table, tokens.ids))
        return vectors

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from safetensors import safe_open
        from tokenizers import Tokenizer

        spec = find_spec("wordllama")
        folder = Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else Path()
        weights = folder / "weights" / "l2_supercat_256.safetensors"
        words = folder / "tokenizers" / "l2_supercat_tokenizer_config.json"
        for path in (weights, words):
            if not path.is_file():
                raise EmbeddingError(
                    f"The local embedding model is not whole: {path} is missing.",
                    hint="Install it again with: pip install --force-reinstall 'memagent[embeddings]'",
                )
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
