"""The vectors of what was said to and by one agent: made after the fact, so that a turn never waits for them.

What has none yet is embedded after each turn and before a search, a bounded number at a time. Knows nothing of how a
search uses them.
"""

from __future__ import annotations

import logging
from time import monotonic

from memagent.embeddings import Embedder, embedded
from memagent.errors import EmbeddingError, StorageError
from memagent.storage import Database

log = logging.getLogger(__name__)

BATCH = 256
SOON = 1.0
"""Seconds that a search may take to embed what is missing; the next one goes on."""


class MessageVectors:
    """The vectors of one agent's messages."""

    def __init__(self, database: Database, agent: str, embedder: Embedder | None) -> None:
        self._database = database
        self._agent = agent
        self._embedder = embedder
        self._caught_up = 0  # all messages up to this number have vectors

    def catch_up(self, limit: int = BATCH) -> int:
        """Embed some messages that have no vector of this model yet; returns how many, 0 when there are no more."""
        if not self._embedder:
            return 0
        rows = self._database.rows(
            "SELECT t.id, t.said FROM messages t LEFT JOIN messages_vectors v "
            "ON v.item = t.id AND v.model = ? AND length(v.vector) = ? "
            "WHERE t.agent = ? AND t.id > ? AND t.said <> '' AND t.undone IS NULL AND v.id IS NULL "
            "ORDER BY t.id LIMIT ?",
            self._embedder.model, 4 * self._embedder.dimension, self._agent, self._caught_up, limit,
        )  # fmt: skip
        if not rows:
            return 0
        vectors = embedded(self._embedder, [row[1] for row in rows])
        with self._database.write(self._agent) as tx:
            here = {row[0] for row in tx.rows(
                f"SELECT id FROM messages WHERE id IN ({', '.join('?' for _ in rows)}) AND agent = ? "
                "AND undone IS NULL",
                *(row[0] for row in rows), self._agent,
            )}  # fmt: skip
            kept = [
                (row[0], self._agent, self._embedder.model, vector)
                for row, vector in zip(rows, vectors, strict=True)
                if row[0] in here
            ]
            marks = ", ".join("?" for _ in kept)
            # A vector always comes in as a new row, which is how it is noticed.
            tx.run(f"DELETE FROM messages_vectors WHERE item IN ({marks})", *(row[0] for row in kept))
            tx.add_many("INSERT INTO messages_vectors (item, shelf, model, vector) VALUES (?, ?, ?, ?)", kept)
        self._caught_up = rows[-1][0]
        return len(rows)

    def catch_up_soon(self) -> None:
        """Embed what is missing, if that is soon done; a search goes on without it otherwise."""
        end = monotonic() + SOON
        try:
            while monotonic() < end and self.catch_up():
                pass
        except EmbeddingError as error:
            log.warning("What was said last is found by its words alone for now: %s", error)
        except StorageError as error:  # a file that can only be read, or is in use for long
            log.warning("What was said last could not be embedded: %s", error)
