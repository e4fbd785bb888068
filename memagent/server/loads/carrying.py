"""Loads that go on, one at a time for each source, each in a process of its own: what was sent is loaded and attached,
what comes of each file is told, and a load that a stop of the server cut goes on when it is there again.

Knows nothing of who asks, or of how files come in.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from memagent.assemble import local_time
from memagent.errors import MemagentError, NotFound
from memagent.loading.hold import free
from memagent.memory.sources import Sources
from memagent.server.loads.incoming import Incoming, Parcel
from memagent.server.threads import Threads
from memagent.storage import Database

log = logging.getLogger(__name__)

MOST_AT_ONCE = 2
"""So many sources are loaded at once; others wait."""
MOST_KEPT = 50
"""So many loads of a user that are over are told of, until somebody has seen them."""
AGAIN = 2.0
"""Seconds until it is tried again where something else is being loaded into the same source."""
ENDED = "What loads files was ended, perhaps for want of memory. What was stored is kept; try again."
PATIENCE = 10.0
"""Seconds that a process which was ended is waited for."""

State = Literal["waiting", "loading", "failed", "done"]


@dataclass
class File:
    """What came of a file: nothing yet, as long as there is no outcome."""

    name: str
    outcome: str = ""
    passages: int = 0
    reason: str = ""


@dataclass(eq=False)
class Load:
    """What is loaded into one source."""

    incoming: Incoming
    state: State = "waiting"
    why: str = ""
    files: dict[str, File] = field(default_factory=dict)
    passages: int = 0
    embedded: int = 0
    left: int = 0
    told: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    drained: bool = False
    stopped: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    def take(self, line: Mapping[str, Any]) -> None:
        """What the process tells."""
        if place := str(line.get("place", "")):
            file = self.files.setdefault(place, File(place))
            if not (file.outcome and line["outcome"] == "unchanged"):  # it was looked at again, beside others
                file.outcome, file.reason, file.passages = line["outcome"], line["reason"], line["passages"]
            self.passages += line["passages"]
        self.embedded += line.get("embedded", 0)
        self.left = line.get("left", self.left)
        if told := line.get("told"):
            self.told.append(told)

    def shown(self) -> dict[str, Any]:
        """For whoever asks how far it is."""
        return {
            "source": self.incoming.source, "state": self.state, "why": self.why, "passages": self.passages,
            "embedded": self.embedded, "left": self.left, "told": self.told,
            "files": [vars(file) for file in list(self.files.values())],
        }  # fmt: skip


class Loads:
    """All loads of a server. What is here writes or waits, and is called in a thread."""

    def __init__(self, home: Path, database: Database, flags: Mapping[str, Any]) -> None:
        self._home = home
        self._database = database
        self._flags = flags
        self._loads: dict[tuple[str, str], Load] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._threads = Threads(MOST_AT_ONCE, "loads")

    def take_up(self) -> None:
        """Go on with what an earlier server has left."""
        for incoming in Incoming.all(self._home):
            incoming.clear_if_empty()
            for name in incoming.waiting():
                self._come(incoming, name)

    def expect(self, owner: str, source: str, agent: str, name: str, size: int) -> Parcel:
        """Begin to take a file in for a source, which an agent can search then."""
        with self._lock:  # of two that come at once, each counts what the other one takes
            return Incoming.of(self._home, owner, source).expect(name, size, agent)

    def arrive(self, parcel: Parcel) -> None:
        """A file is there: see to it."""
        parcel.arrive()
        self._come(parcel.to, parcel.name)

    def drop(self, parcel: Parcel) -> None:
        """A file is no longer sent; nothing happens to one that has arrived."""
        with self._lock:
            parcel.drop()
            parcel.to.clear_if_empty()

    def of(self, owner: str) -> list[Load]:
        """The loads of a user that go on, or are over and were not seen to yet."""
        with self._lock:
            return [load for (of, _), load in self._loads.items() if of == owner]

    def again(self, owner: str, source: str) -> None:
        """Try again what failed."""
        load = self._find(owner, source)
        for name in load.incoming.waiting():
            self._come(load.incoming, name)

    def end(self, owner: str, source: str) -> None:
        """Load no more of what was sent for a source, and forget of it; what was stored is kept."""
        load = self._find(owner, source)
        with self._lock:
            load.stopped.set()
            running, process = load.drained, load.process
        if process:
            process.kill()
        if running:
            load.over.wait(PATIENCE)
        load.incoming.clear()
        self._forget_if_empty(load)
        with self._lock:
            self._loads.pop((owner, source), None)

    def close(self) -> None:
        """Load nothing more for now; what waits goes on when the server is there again."""
        self._threads.close()
        with self._lock:
            self._closed = True
            loads = [load for load in self._loads.values() if load.drained]
        for load in loads:
            load.stopped.set()
            if process := load.process:
                process.kill()
        for load in loads:
            if load.process:
                load.over.wait(PATIENCE)

    # Inside -----------------------------------------------------------------------------------------------------------

    def _find(self, owner: str, source: str) -> Load:
        with self._lock:
            load = self._loads.get((owner, source))
        if load is None:
            raise NotFound(f"Nothing is being loaded into {source[:80]!r}.")
        return load

    def _come(self, incoming: Incoming, name: str) -> None:
        with self._lock:
            if self._closed:  # it waits on the disk
                return
            load = self._loads.get((incoming.owner, incoming.source))
            if load is None or load.stopped.is_set() or (load.state == "done" and not load.drained):
                load = self._loads[incoming.owner, incoming.source] = Load(incoming)
                self._make_room(incoming.owner)
            load.incoming.agents = list(dict.fromkeys([*load.incoming.agents, *incoming.agents]))
            load.files[name] = File(name)
            if not load.drained:
                load.drained, load.state, load.why = True, "waiting", ""
                load.over.clear()
                self._threads.give(partial(self._drain, load))

    def _make_room(self, owner: str) -> None:
        """Forget those of which nobody ever looked how they ended."""
        over = [key for key, load in self._loads.items() if key[0] == owner and not load.drained]
        for key in over[: max(0, len(over) - MOST_KEPT)]:
            if self._loads[key].state == "done":
                del self._loads[key]

    def _drain(self, load: Load) -> None:
        """Load what waits, until nothing does."""
        try:
            while self._more(load):
                self._carry_out(load)
        except (OSError, MemagentError) as error:
            load.state, load.why = "failed", str(error)
        finally:
            with self._lock:
                load.drained, load.process = False, None
            load.over.set()

    def _more(self, load: Load) -> bool:
        with self._lock:
            if load.stopped.is_set() or load.state == "failed":
                return False
            if load.incoming.waiting():
                return True
            load.drained, load.state = False, "done"  # what comes from now on begins another one
            load.incoming.clear_if_empty()
            return False

    def _carry_out(self, load: Load) -> None:
        waits = load.incoming.waiting()
        load.state, failed, busy = "loading", "", False
        for line in self._lines(load):
            failed, busy = line.get("failed", failed), line.get("busy", busy)
            load.take(line)
        if load.stopped.is_set():
            return
        self._attach(load)
        if busy:
            load.state = "waiting"
            load.stopped.wait(AGAIN)
        elif failed or (load.process and load.process.returncode):
            load.state, load.why = "failed", failed or ENDED
            self._forget_if_empty(load)
        else:
            load.incoming.drop(waits)

    def _lines(self, load: Load) -> Iterator[Mapping[str, Any]]:
        """What the process tells, until it ends."""
        incoming = load.incoming
        order = {
            "home": str(self._home), "flags": dict(self._flags), "owner": incoming.owner, "source": incoming.source,
            "files": str(incoming.files),
        }  # fmt: skip
        with self._lock:
            if load.stopped.is_set():
                return
            load.process = process = _started()
        with process:
            assert process.stdin and process.stdout
            with suppress(OSError):  # it has ended already, which its code tells
                process.stdin.write(json.dumps(order, default=str).encode() + b"\n")
                process.stdin.flush()
            for line in process.stdout:
                with suppress(ValueError):  # the half of a line is left when it is killed
                    yield json.loads(line)

    def _attach(self, load: Load) -> None:
        """Let those search it for whom it was sent; nothing happens if there is nothing in it, or they are gone."""
        sources = Sources(self._database, load.incoming.owner)
        for agent in load.incoming.agents:
            with suppress(NotFound):
                sources.give(agent, [load.incoming.source], local_time())

    def _forget_if_empty(self, load: Load) -> None:
        """A source into which nothing came is none."""
        sources = Sources(self._database, load.incoming.owner)
        with suppress(MemagentError):
            source = sources.find(load.incoming.source)
            with self._database.write() as tx:
                free(self._database, tx, source.id, source.name)
                sources.forget_unloaded(tx, source.id)


def _started() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "memagent.server.loads.child"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )  # fmt: skip
