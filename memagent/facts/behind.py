"""Reading while nobody waits: in a thread of its own, which is called away at once when somebody does.

A model that is being asked then is left in the middle of its answer. Knows nothing of what is read.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from typing import Any

from memagent.errors import LLMError, MemagentError
from memagent.facts.reading import FactReader
from memagent.llm import LLM, Heard, Request, Weighing

log = logging.getLogger(__name__)

MOMENT = 0.003
"""Seconds that whoever calls the thread away waits for it to hear that."""

IDLE = 1.0
"""Seconds of silence before a model is asked: what is begun and left costs as much as what is of use."""
PATIENCE, SHORT_PATIENCE = 2.0, 0.5
"""Seconds that letting an agent go may wait for the thread: to its end, where no model is asked, or until it hears."""


class CalledAway(Exception):  # nothing is wrong, so it is no error
    """Somebody needs the model more; what was asked is left."""

    is_error = False


class Leaving:
    """A model that can be left in the middle of an answer, from another thread; opened when it is first needed."""

    def __init__(self, opened: Callable[[], LLM]) -> None:
        self.model = ""
        self.window = 0
        self.wrapper: Any = None
        self._llm: LLM | None = None
        self._open = opened
        self._left = threading.Event()

    def opened(self) -> LLM:
        """The same model, open."""
        if self._llm is None:
            self._llm = self._open()
            self.model, self.window = self._llm.model, self._llm.window
            self.wrapper = getattr(self._llm, "wrapper", None)  # which prompt fits depends on it
        return self

    def ask(self, request: Request) -> Iterator[Heard]:
        """The same as the model says, until it is left."""
        self._check()
        self.opened()
        assert self._llm
        with closing(self._llm.ask(request)) as heard:  # type: ignore[type-var]
            try:
                for each in heard:
                    self._check()
                    yield each
            except LLMError:
                self._check()
                raise

    def weigh(self, request: Request, words: Sequence[str]) -> Sequence[float]:
        """The same as the model says, until it is left; nothing, if it does not tell that."""
        self._check()
        self.opened()
        try:
            found = self._llm.weigh(request, words) if isinstance(self._llm, Weighing) else ()
        except LLMError:
            self._check()
            raise
        self._check()
        return found

    def leave(self) -> None:
        """Leave whatever it is asked now, and all that it would be asked until `come_back`."""
        self._left.set()
        hang_up: Any = getattr(self._llm, "hang_up", None)
        if hang_up is not None:
            hang_up()

    def close(self) -> None:
        """Let its connections go."""
        close: Any = getattr(self._llm, "close", None)
        if close is not None:
            close()

    def come_back(self) -> None:
        """Let it be asked again."""
        self._left.clear()

    def _check(self) -> None:
        if self._left.is_set():
            raise CalledAway


class ReadingBehind:
    """Reads what an agent has not read yet, while its user types. `llm` is the model that is asked, if one is; without
    a reader, nothing is ever read. A model is asked after so many seconds of silence (`idle`).
    """

    def __init__(self, reader: FactReader | None = None, llm: Leaving | None = None, idle: float = IDLE) -> None:
        self.reader = reader
        self._idle = idle
        self._llm = llm
        self._left = threading.Event()
        self._again = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def quick(self) -> bool:
        """Whether what waits is read without a model."""
        return self.reader is not None and self.reader.quick

    @property
    def busy(self) -> bool:
        """Whether it reads now."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def start(self) -> None:
        """Begin to read, if it does not yet. A thread that was called away, and has not heard that yet, comes back
        when what it was asked has come to its end.
        """
        if self.reader is None:
            return
        with self._lock:
            if self.busy:
                self._again = self._left.is_set()
                return
            self._begin()
            self._thread = threading.Thread(target=self._run, args=(self.reader,), name="reading facts", daemon=True)
            self._thread.start()

    def leave(self, patience: float = MOMENT) -> None:
        """Somebody needs the agent now: what is not read yet waits."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            return
        with self._lock:
            self._again = False
            self._left.set()
        if self._llm:
            self._llm.leave()
        thread.join(patience)

    def finish(self) -> None:
        """The agent is let go: what is read without a model is read to its end, as long as patience lasts; what a model
        would have to be asked for waits until the agent is there again.
        """
        if self.quick and (thread := self._thread):
            thread.join(PATIENCE)
        self.leave(SHORT_PATIENCE)
        if self._llm:
            self._llm.close()

    def _begin(self) -> None:
        self._left.clear()
        if self._llm:
            self._llm.come_back()

    def _run(self, reader: FactReader) -> None:
        while True:
            self._read(reader)
            with self._lock:
                if not self._again:
                    self._thread = None
                    return
                self._again = False
                self._begin()

    def _read(self, reader: FactReader) -> None:
        if self._llm and self._left.wait(self._idle):
            return
        with suppress(CalledAway):
            try:
                for _ in reader.read(self._left.is_set):
                    pass
            except MemagentError as error:
                log.warning("reading what was said stopped, and goes on later: %s", error)
