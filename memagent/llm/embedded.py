"""The model that runs inside this process: llama.cpp, through `xllamacpp`, with what it has read kept on disk.

llama.cpp's own server is started on a port of this machine that only this process has the key to, and is asked like any
other (see completion.py). What a model has read is a state of many megabytes; a start with the same beginning takes it
up again instead of reading anew. Knows nothing of where model files come from.
"""

from __future__ import annotations

import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from memagent.endpoints.failures import Setback
from memagent.endpoints.line import Line
from memagent.errors import LocalLLMError, MissingExtra
from memagent.llm import Request
from memagent.llm.completion import CompletionLLM
from memagent.llm.reading import objects
from memagent.llm.servers import inside, whole_number
from memagent.llm.servers.llamacpp import LlamaCpp
from memagent.llm.states import States
from memagent.llm.wrappers import Question, Said, Wrapper

if TYPE_CHECKING:
    import httpx2

WINDOW = 4096
"""Tokens, where nobody says otherwise: more would take more memory, and minutes to read after each summary."""
SAMPLING: Mapping[str, Any] = {"dry_multiplier": 0.8, "dry_allowed_length": 6, "dry_penalty_last_n": 512}
"""Small models fall into saying the same again and again."""
MOST_WORDS = 320
SLOTS = ("say", "notes", "function", "form", "word")
"""The parts of which it keeps what it has read, each by itself (see wrappers/steps.py)."""
ASIDE = 4096
"""Tokens beside the window, for all but the first of them."""
ENOUGH = 256
"""Tokens read anew that are worth being kept at once, and not only at the end."""
MOST_WEIGHED = 40
"""Of so many words that an answer may begin with it is told how likely they are …"""
UNLIKELY = -12.0
"""… and the others are as good as never."""
_SAMPLE = "Once upon a time there was a little house at the edge of a wood, and in it lived an old woman. " * 3
_PATIENCE = 120.0


@dataclass(frozen=True)
class Threads:
    """How many threads write, and how many read."""

    write: int
    read: int


class Engine:
    """llama.cpp with one model loaded, until it is closed."""

    def __init__(self, path: Path, window: int, threads: Threads, states: Path) -> None:
        xllamacpp = _xllamacpp()
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = window + ASIDE
        params.n_parallel, params.kv_unified = len(SLOTS), True
        params.cpuparams.n_threads, params.cpuparams_batch.n_threads = threads.write, threads.read
        params.cpuparams.poll = params.cpuparams_batch.poll = 0  # threads that wait leave the core to others
        params.n_batch = 128  # so often it looks whether anybody still listens
        params.cache_ram_mib, params.cache_idle_slots = 0, False  # what was read stays where it was read
        params.slot_save_path = f"{states}{os.sep}"
        params.hostnames, params.port = ["127.0.0.1"], 0
        params.warmup = params.ui = False
        params.verbosity = 0
        self.key = secrets.token_urlsafe(24)
        params.api_keys = [self.key]
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise LocalLLMError(
                f"{path} can't be loaded: {str(error).rstrip('.')}.",
                hint="Is it a whole GGUF file, and is there memory for it?",
            ) from None
        self.url = str(self._server.listening_address)

    def wait_until_ready(self) -> None:
        """Return when it answers."""
        where = urlsplit(self.url)
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            connection = HTTPConnection(where.hostname or "", where.port, timeout=5)
            with suppress(OSError, HTTPException):
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            connection.close()
            time.sleep(0.05)

    def close(self) -> None:
        """Give its memory back."""
        del self._server


def _xllamacpp() -> Any:
    try:
        import xllamacpp
    except ImportError:
        raise MissingExtra("xllamacpp, which runs the embedded model,", "local") from None
    return xllamacpp


def engine_version() -> str:
    """Which llama.cpp it is: what one has read, another can't take up."""
    try:
        return version("xllamacpp")
    except PackageNotFoundError:
        return ""


class Starting(threading.Thread):
    """Starts an engine apart from whoever waits for it: an engine that is let go before it runs never ends, so no
    Ctrl-C may fall between.
    """

    def __init__(self, start: Callable[[], Engine]) -> None:
        super().__init__(daemon=True)
        self._start_engine = start
        self._deciding = threading.Lock()
        self._unwanted = False
        self.engine: Engine | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            engine = self._start_engine()
            engine.wait_until_ready()
        except BaseException as error:  # noqa: BLE001  # it is raised again where it is waited for
            self.error = error
            return
        with self._deciding:
            if not self._unwanted:
                self.engine = engine

    def let_go(self) -> None:
        """Close the engine, now or as soon as it runs."""
        with self._deciding:
            self._unwanted = True
            engine, self.engine = self.engine, None
        if engine is not None:
            engine.close()


class EngineLine(Line):
    """The line to an engine that is started when it is first needed."""

    def __init__(self, line: Line, start: Callable[[], Engine]) -> None:
        super().__init__(line.endpoint)
        self._start = start
        self._beginning = threading.Lock()
        self._starting: Starting | None = None

    @property
    def running(self) -> bool:
        """Whether there is an engine."""
        return self._starting is not None and self._starting.engine is not None

    def open(self) -> httpx2.Client:
        with self._beginning:
            if self._starting is None:
                self._starting = Starting(self._start)
                self._starting.start()
            starting = self._starting
        while starting.is_alive():
            starting.join(0.2)  # in slices, so that Ctrl-C is heard
        if starting.error is not None:
            self._starting = None
            raise starting.error
        engine = starting.engine
        if engine is None:  # without it, the endpoint would be whatever else listens at its kind's usual port
            raise LocalLLMError("The embedded model was let go while it was loaded.", hint="Ask it again.")
        if self.endpoint.key != engine.key:
            self.endpoint = replace(self.endpoint, url=engine.url, key=engine.key)
        return super().open()

    def close(self) -> None:
        super().close()
        with self._beginning:
            starting, self._starting = self._starting, None
        if starting is not None:
            starting.let_go()


@dataclass
class Slot:
    """One of the places where the model keeps what it has read: the newest prompt there, how many tokens of it are not
    stored yet, and whether it is stored for good.
    """

    number: int
    read: str = ""
    unkept: int = 0
    lasts: bool = False


def _empty_slots() -> dict[str, Slot]:
    return {part: Slot(number) for number, part in enumerate(SLOTS)}


class EmbeddedLLM(CompletionLLM):
    """The model in a GGUF file. It is loaded when it is first needed; `states` is where what it has read is kept."""

    def __init__(
        self, path: Path, wrapper: Wrapper, *, states: Path, window: int = 0, threads: int = 0,
        sampling: Mapping[str, Any] | None = None, max_tokens: int | None = None, **settings: Any,
    ) -> None:  # fmt: skip
        window = window or WINDOW
        super().__init__(
            LlamaCpp(), wrapper, path.stem, window=window, sampling={**SAMPLING, **(sampling or {})},
            max_tokens=max_tokens or MOST_WORDS, **settings,
        )  # fmt: skip
        self.path = path
        self.states = States(states, path, window, engine_version())
        self._given_threads = threads
        self._engine_line = EngineLine(self.line, self._started)
        self.line = self._engine_line
        self.endpoint = replace(self.endpoint, kind="the embedded model")
        self._slots = _empty_slots()

    def read_ahead(self, request: Request, told: Callable[[int, int], None]) -> None:
        """Read the beginnings of all prompts now, and keep them for all that begin like them; `told` how many tokens
        of how many were read.
        """
        for question in self.wrapper.beginnings(request):
            slot = self._taken_up(question)
            body = {"prompt": question.prompt, "n_predict": 0, "cache_prompt": True, "id_slot": slot.number}
            asked = {**body, "stream": True, "return_progress": True}
            response = self.line.send("POST", "/completion", asked, _PATIENCE)
            try:
                for event in objects(self._chunks(response), self.endpoint):
                    done, total = (inside(event, "prompt_progress", key) for key in ("processed", "total"))
                    if whole_number(total):
                        told(whole_number(done), whole_number(total))
            finally:
                response.close()
            slot.unkept = 1
            self._keep(slot, lasting=True)

    def weigh(self, request: Request, words: Sequence[str]) -> list[float]:
        """How likely an answer begins with each of these words, as logarithms."""
        prompt = self.wrapper.prompt(request)
        slot = self._slots["word"].number
        body = {"prompt": prompt, "n_predict": 1, "n_probs": MOST_WEIGHED, "temperature": 0, "cache_prompt": True}
        try:
            found = self.line.get("/completion", {**body, "id_slot": slot}, _PATIENCE)
        except Setback as setback:
            raise setback.error from None
        likely = dict.fromkeys(words, math.exp(UNLIKELY))
        for first in inside(found, "completion_probabilities") or [{}]:
            for each in inside(first, "top_logprobs") or ():
                word, log = inside(each, "token"), inside(each, "logprob")
                word = word.strip().lower() if isinstance(word, str) else ""
                if word in likely and isinstance(log, int | float):
                    likely[word] += math.exp(min(0.0, log))
        return [math.log(likely[word]) for word in words]

    def close(self) -> None:
        """Keep what was read, and let the model go. It can still be asked afterwards."""
        if self._engine_line.running:
            for slot in self._slots.values():
                self._keep(slot)
        self._slots = _empty_slots()
        super().close()

    def _started(self) -> Engine:
        with suppress(OSError):  # where nothing can be kept, it answers all the same
            self.states.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Engine(self.path, self.window, self._threads(), self.states.folder)

    def _threads(self) -> Threads:
        if self._given_threads:
            return Threads(self._given_threads, self._given_threads)
        known = self.states.threads()
        if known is not None:
            return Threads(*known)
        found = quickest(self.path, self.states.folder)
        self.states.keep_threads(found.write, found.read)
        return found

    def _complete(self, question: Question) -> Generator[str, None, Said]:
        slot = self._taken_up(question)
        said = yield from super()._complete(question)
        if said.usage:
            slot.unkept += said.usage.prompt - said.usage.cached + said.usage.completion
        if slot.unkept >= ENOUGH:
            self._keep(slot)
        return said

    def _placed(self, question: Question, /) -> Mapping[str, Any]:
        again = {"dry_multiplier": 0} if question.copied else {}  # it would be kept from repeating what it has read
        return {"id_slot": self._slots[question.part].number, **again}

    def _taken_up(self, question: Question) -> Slot:
        """Where a question is asked. What an earlier process has read of such a prompt is not read again."""
        slot = self._slots[question.part]
        found = "" if slot.read else self.states.nearest(question.prompt)
        slot.read = question.prompt
        if found:
            try:
                self.line.get(f"/slots/{slot.number}?action=restore", {"filename": found}, _PATIENCE)
                slot.lasts = slot.number > 0
            except Setback:
                self.states.drop(found)
        return slot

    def _keep(self, slot: Slot, *, lasting: bool = False) -> None:
        """Store what was read, for the next process. What is asked aside begins alike for ever: once is enough."""
        if not slot.unkept or slot.lasts:
            return
        name = self.states.new()
        try:
            self.line.get(f"/slots/{slot.number}?action=save", {"filename": name}, _PATIENCE)
        except Setback:
            self.states.drop(name)
            return
        self.states.keep(name, slot.read, lasting=lasting or slot.number > 0)
        slot.unkept, slot.lasts = 0, slot.number > 0


def quickest(path: Path, states: Path, told: Callable[[int], None] = lambda _: None) -> Threads:
    """How many threads are quickest here, found out by trying. One core is left to the rest of the machine: threads
    wait for each other in a busy loop, and one that another program keeps waiting makes all of them ten times slower.
    """
    most = max(1, (os.cpu_count() or 1) - 1)
    counts = sorted({1, 2, most // 2, most} & set(range(1, most + 1)))
    if len(counts) == 1:
        return Threads(counts[0], counts[0])
    speeds: dict[int, tuple[float, float]] = {}
    for count in counts:
        told(count)
        speeds[count] = _speeds(path, states, count)
    read = max(speeds, key=lambda count: speeds[count][0])
    write = max(speeds, key=lambda count: speeds[count][1])
    return Threads(write, read)


def _speeds(path: Path, states: Path, count: int) -> tuple[float, float]:
    """Tokens a second, read and written, with so many threads."""
    from memagent.llm.line import line_to

    engine = Engine(path, 512, Threads(count, count), states)
    engine.wait_until_ready()
    line = line_to(LlamaCpp(), path.stem, base_url=engine.url, api_key=engine.key)
    try:
        question = {"prompt": _SAMPLE, "n_predict": 12, "temperature": 0, "ignore_eos": True}
        timings = line.get("/completion", question, _PATIENCE)["timings"]
        return float(timings["prompt_per_second"]), float(timings["predicted_per_second"])
    except Setback as setback:
        raise setback.error from None
    finally:
        line.close()
        engine.close()
