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
from typing import TYPE_CHECKING, Any

from memagent.embeddings import batches
from memagent.errors import EmbeddingError, MissingExtra

if TYPE_CHECKING:
    from memagent.config import Settings
    from memagent.embeddings.asked import Manner

NEEDED = ("wordllama", "numpy", "safetensors", "tokenizers")
BATCH = 256
LETTERS = 1 << 15
"""So many letters are looked at together, also of a single text: one may cost some thousand bytes meanwhile."""
FEW = 4
"""So few texts are taken apart one by one: it would take longer to wake a thread on each core for them."""
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
        for batch in batches(texts, BATCH, len, LETTERS):
            vectors += _averages(table, tokenizer, batch)
        return vectors


def opened(_settings: Settings, _manner: Manner) -> LocalEmbedder:
    """The model that comes with the extra `embeddings`."""
    return LocalEmbedder()


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
        table = file.get_tensor("embedding.weight").astype("<f4")  # read as half of that, which is three times slower
    tokenizer = Tokenizer.from_file(str(words))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return table, tokenizer


def _averages(table: Any, tokenizer: Any, texts: Sequence[str]) -> list[bytes]:
    import numpy as np

    sums = np.zeros((len(texts), table.shape[1]), "<f4")
    if len(texts) == 1 and len(texts[0]) > LETTERS:
        for start in range(0, len(texts[0]), LETTERS):
            sums[0] += _sum(table, tokenizer, [texts[0][start : start + LETTERS]])[0]
    else:
        sums = _sum(table, tokenizer, texts)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    sums /= np.where(lengths > 0, lengths, 1)
    size = sums.itemsize * table.shape[1]
    packed: bytes = sums.tobytes()
    return [packed[start : start + size] for start in range(0, len(packed), size)]


def _sum(table: Any, tokenizer: Any, texts: Sequence[str]) -> Any:
    """The sum of the vectors of each text's tokens, which points where their average does."""
    import numpy as np

    sums = np.zeros((len(texts), table.shape[1]), "<f4")
    together = [list(texts)] if len(texts) > FEW else [[text] for text in texts]
    each = [found for some in together for found in tokenizer.encode_batch_fast(some, add_special_tokens=False)]
    for row, found in zip(sums, each, strict=True):
        if found.ids:
            table.take(found.ids, axis=0, mode="clip").sum(axis=0, out=row)
    return sums
