"""How any embedding model that is slow, or far away, is asked: many texts at once, again where that helps, and none of
them at the cost of the others.

A text that is longer than the model takes is cut into pieces, whose vectors are averaged by their lengths: so all of it
can be found. How long that is, is learned from the model's refusals. A text that the model can't make sense of (it
refuses it alone, or answers with NaN) gets zeros, which are near to nothing. After a failure the model is left alone
for a while, so that one that is down does not slow every turn. Knows nothing of how the model is reached.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from memagent.embeddings import averaged, batches
from memagent.embeddings.rest import Rest
from memagent.endpoints.failures import Endpoint, Setback
from memagent.endpoints.retry import Backoff, retry_after
from memagent.errors import EmbeddingError
from memagent.messages import estimate

log = logging.getLogger(__name__)

PROBE = "dimension"
"""A text that every model can take."""
LEAST = 16
"""A model that refuses so few tokens as too many has another reason."""


def _untold(_seconds: float, _why: str) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True)
class Manner:
    """How patiently a model is asked: how often again after a failure, waiting how many seconds in all, and how long it
    may be silent. This is for somebody who waits; `patient` is for a whole library, and also asks a model that has just
    failed. `anew` does not go by what is known of it from earlier, for another model may be behind its name now.
    `told` hears of every wait.
    """

    retries: int = 1
    longest_wait: float = 2.0
    timeout: float = 30.0
    patient: bool = False
    anew: bool = False
    told: Callable[[float, str], None] = _untold
    sleep: Callable[[float], None] = time.sleep
    backoff: Backoff = field(default_factory=Backoff)


class AskedEmbedder:
    """An embedding model that must be asked. `asked_dimension` is what it is told to give, `known` what it gave before.

    `count` texts with `tokens` tokens together are asked for at once, `parallel` times at the same time.
    """

    def __init__(
        self, endpoint: Endpoint, rest: Rest, manner: Manner, *, asked_dimension: int = 0, known: int = 0,
        count: int = 128, tokens: int = 50_000, longest: int = 7_000, parallel: int = 1,
    ) -> None:  # fmt: skip
        self.model = endpoint.model
        self.endpoint = endpoint
        self._rest = rest
        self._manner = manner
        self._asked_dimension = asked_dimension
        self._dimension = asked_dimension or known
        self._count = count
        self._tokens = tokens
        self._longest = longest
        self._parallel = parallel
        self._proven = False
        self._said = ""

    @property
    def dimension(self) -> int:
        """How many numbers a vector has. It is found out by asking once; 0 while the model can't be asked."""
        if not self._dimension:
            try:
                self.embed([PROBE])
            except EmbeddingError as error:
                if self._said != str(error):  # who needs it asks again and again
                    self._said = str(error)
                    log.warning("It is not known yet how many dimensions %s has: %s", self.model, error)
        return self._dimension

    def embed(self, texts: Sequence[str]) -> list[bytes]:
        """One vector for each text; zeros for one without any words, and for one that the model can't take."""
        if not self._manner.patient:
            self._rest.refuse()
        found: dict[str, bytes] = {}
        try:
            self._find(found, [text for text in dict.fromkeys(texts) if text.strip()])
        except Setback as setback:
            raise EmbeddingError(setback.error.message, hint=setback.error.hint) from None
        if texts and not self._dimension:
            self.embed([PROBE])
        nothing = bytes(4 * self._dimension)
        return [found.get(text, nothing) for text in texts]

    def _vectors(self, texts: Sequence[str], /) -> list[bytes]:
        """Ask once: one vector of length 1 for each text, or a `Setback`. What is not a vector is `Unfit`."""
        raise NotImplementedError

    def _concedes(self, _setback: Setback, /) -> bool:
        """Whether the same can be asked in a way that is not refused."""
        return False

    def _find(self, found: dict[str, bytes], texts: Sequence[str]) -> None:
        short = [text for text in texts if estimate(text) <= self._longest]
        waiting = list(batches(short, self._count, estimate, self._tokens))
        if self._parallel > 1 and len(waiting) > 1:
            pool = ThreadPoolExecutor(self._parallel, "embedding")
            try:
                for _ in pool.map(lambda batch: self._find_batch(found, batch), waiting):
                    pass
            finally:
                pool.shutdown(cancel_futures=True)
        else:
            for batch in waiting:
                self._find_batch(found, batch)
        for text in texts:
            if text not in found:  # it is too long, as was known or has just been learned
                found[text] = self._average(text)

    def _find_batch(self, found: dict[str, bytes], batch: Sequence[str]) -> None:
        try:
            vectors = self._asked(batch)
        except Setback as setback:
            why = setback.refusal.why if setback.refusal else ""
            tokens = estimate(batch[0])
            if len(batch) > 1 and (why == "overflow" or (self._proven and _concerns_texts(setback))):
                middle = len(batch) // 2
                for half in (batch[:middle], batch[middle:]):
                    if fitting := [text for text in half if estimate(text) <= self._longest]:
                        self._find_batch(found, fitting)
            elif why == "overflow" and tokens > LEAST:
                self._longest = min(self._longest, tokens // 2)
            elif self._proven and _concerns_texts(setback) and self._still_works():
                log.warning("A text can't be embedded by %s, and is found by its words alone: %s", self.model, setback)
                found[batch[0]] = bytes(4 * self._dimension)
            else:
                raise
        else:
            self._proven = True
            found.update(zip(batch, vectors, strict=True))

    def _still_works(self) -> bool:
        """Whether it is for this text alone that it fails, and not for every one."""
        try:
            self._vectors([PROBE])
        except Setback:
            return False
        return True

    def _average(self, text: str) -> bytes:
        """The vector of a text that is too long: the average of its pieces', each by its length."""
        pieces = cut(text, self._longest)
        found: dict[str, bytes] = {}
        self._find(found, [piece for piece in dict.fromkeys(pieces) if piece.strip()])
        return averaged([(found[piece], len(piece)) for piece in pieces if piece in found])

    def _asked(self, texts: Sequence[str]) -> list[bytes]:
        """The vectors of some texts, asked for until they come or there is no use in it."""
        manner, failures, waited = self._manner, 0, 0.0
        while True:
            try:
                vectors = self._vectors(texts)
            except Setback as caught:
                setback = caught
            else:
                self._rest.over()
                return vectors
            if self._concedes(setback):
                continue
            failures += 1
            headers = setback.refusal.headers if setback.refusal else {}
            wait = manner.backoff.wait(failures, headers)
            if not setback.again or failures > manner.retries or waited + wait > manner.longest_wait:
                setback.error = setback.after(failures)
                if not _concerns_texts(setback):
                    self._rest.begin(setback.error, retry_after(headers))
                raise setback
            manner.told(wait, setback.reason)
            manner.sleep(wait)
            waited += wait


class Unfit(Setback):
    """What came is not the vectors of these texts."""


def _concerns_texts(setback: Setback) -> bool:
    """Whether it may be for what is in the texts, and not for who asks, or where."""
    said = setback.refusal
    if said is None:
        return isinstance(setback, Unfit)
    return said.why in ("refused", "overflow") or (said.why == "failed" and said.names("NaN"))


def cut(text: str, tokens: int) -> list[str]:
    """The text in pieces of about so many tokens, cut between words where there are any near."""
    step = max(1, len(text) * tokens // max(1, estimate(text)))
    pieces, start = [], 0
    while start < len(text):
        end = start + step
        if end < len(text):
            space = text.rfind(" ", end - step // 8, end)
            end = space + 1 if space > start else end
        pieces.append(text[start:end])
        start = end
    return pieces
