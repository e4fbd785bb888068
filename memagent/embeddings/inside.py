"""An embedding model that runs inside this process: a GGUF file, by llama.cpp, through `xllamacpp`.

Knows nothing of where model files come from.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from memagent.config import Settings
from memagent.embeddings import Embedder, packed
from memagent.embeddings.asked import AskedEmbedder, Manner, Unfit
from memagent.embeddings.cache import kept
from memagent.embeddings.rest import rest_of
from memagent.endpoints import refusals
from memagent.endpoints.failures import Endpoint, Setback
from memagent.errors import ConfigError, EmbeddingError, MissingExtra, NotFound

WINDOW = 512
"""Tokens that it looks at together: what all models of this kind can, and many can no more."""
SUFFIX = ".gguf"
HEAD = 64_000_000
"""Bytes in which all that a file says of its model stands, with its list of tokens."""


class EmbeddedEmbedder(AskedEmbedder):
    """The embedding model in a file; it is loaded when it is first asked."""

    def __init__(self, path: Path, endpoint: Endpoint, manner: Manner, threads: int, **amounts: int) -> None:
        defaults = {"count": 32, "tokens": 8_000, "longest": WINDOW * 3 // 4}
        super().__init__(endpoint, rest_of(endpoint.url, endpoint.model, ""), manner, **defaults | amounts)
        self._path = path
        self._threads = threads or max(1, (os.cpu_count() or 1) - 1)
        self._loading = threading.Lock()
        self._server: Any = None

    def _vectors(self, texts: Sequence[str], /) -> list[bytes]:
        answer = self._loaded().handle_embeddings({"input": list(texts)})
        if "error" in answer:
            raise self._refused(refusals.read(int(answer["error"].get("code", 0)), answer))
        numbers = [item["embedding"] for item in answer["data"]]
        self._dimension = self._dimension or len(numbers[0])
        if len(numbers[0]) != self._dimension:
            message = f"{self._path} gives vectors of dimension {len(numbers[0])}, and not of {self._dimension}."
            raise Setback(EmbeddingError(message, hint=f"Set embedding_dimension to {len(numbers[0])}, or to 0."))
        try:
            return [packed(found) for found in numbers]
        except EmbeddingError as error:
            raise Unfit(error) from None

    def _refused(self, said: refusals.Refusal) -> Setback:
        message = f"The embedding model {self.model!r} failed: {said.words.rstrip('.')}."
        return Setback(EmbeddingError(message, hint="Is it a model for embeddings?"), refusal=said)

    def _loaded(self) -> Any:
        """The engine. It is started apart, for one that is let go before it runs never ends: no Ctrl-C may do that."""
        with self._loading:
            if self._server is None:
                starting = threading.Thread(target=self._start, name="loading a model", daemon=True)
                starting.start()
                while starting.is_alive():
                    starting.join(0.2)  # in slices, so that Ctrl-C is heard
            if self._server is None:
                message = f"{self._path} can't be loaded."
                raise Setback(EmbeddingError(message, hint="Is it a whole GGUF file, and is there memory for it?"))
            return self._server

    def _start(self) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(self._path)
        params.embedding = True
        if not _says_how_to_pool(self._path):
            params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        params.n_ctx = params.n_batch = params.n_ubatch = WINDOW
        params.n_parallel = 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self._threads
        params.cpuparams.poll = params.cpuparams_batch.poll = 0  # threads that wait leave the core to others
        params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [secrets.token_urlsafe(24)]
        params.warmup = params.ui = False
        params.verbosity = 0
        try:
            server = xllamacpp.Server(params)
        except RuntimeError:
            return
        server.handle_embeddings({"input": ["?"]})  # it runs from here on
        self._server = server


def _says_how_to_pool(path: Path) -> bool:
    """Whether the file tells how the vectors of a text's tokens are made into one. A model for chats does not: they are
    averaged. It is looked up here since the engine tells only when it is asked, and may never end when it is dropped.
    """
    with path.open("rb") as file:
        return b".pooling_type" in file.read(HEAD)


def opened(settings: Settings, manner: Manner) -> Embedder:
    """The GGUF file that is named as the embedding model: by its path, or by its name in `models` in home."""
    from importlib.util import find_spec

    if find_spec("xllamacpp") is None:
        raise MissingExtra("xllamacpp, which runs an embedded model,", "local")
    name = settings.embedding_model
    if not name:
        raise ConfigError(
            "No embedding model is chosen.", hint="Name a GGUF file: memagent configure --set embedding_model=PATH"
        )
    # Unlike Path.expanduser, it never fails.
    named = Path(os.path.expanduser(name))  # noqa: PTH111
    places = [named, *(settings.home / "models" / file for file in (name, f"{name}{SUFFIX}"))]
    path = next((place.absolute() for place in places if place.is_file()), None)
    if path is None:
        raise NotFound(f"There is no model file {name!r}.", hint=f"Looked for: {', '.join(map(str, places))}.")
    endpoint = Endpoint(f"file://{path}", path.stem, "", "", manner.timeout)
    amounts = {"asked_dimension": settings.embedding_dimension}
    if settings.embedding_batch:
        amounts["count"] = settings.embedding_batch
    return kept(
        settings, endpoint, manner,
        lambda known: EmbeddedEmbedder(path, endpoint, manner, settings.threads, known=known, **amounts),
    )  # fmt: skip
