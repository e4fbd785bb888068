"""Who has an agent for a turn: one holder at a time, known by host and process, so that a dead one can be told at once.

Knows nothing of what is done while an agent is held.
"""

from __future__ import annotations

import itertools
import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from weakref import WeakSet

from memagent.errors import MemagentError, NotFound, TakenOver
from memagent.storage import Database, Row, Transaction

LEASE_SECONDS = 600
"""How long a lease holds, by the database's clock: it must not depend on the clocks of those who hold leases."""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Holder:
    """A process on a host, and which of its agents objects."""

    host: str
    process: int
    born: str
    number: int

    @classmethod
    def new(cls) -> Holder:
        """A holder in this process, for as long as somebody keeps it."""
        holder = cls(_host(), os.getpid(), _born(os.getpid()), next(_numbers))
        _kept.add(holder)
        return holder

    @classmethod
    def parse(cls, text: str) -> Holder:
        host, process, born, number = text.rsplit("/", 3)
        return cls(host, int(process), born, int(number))

    def __str__(self) -> str:
        return f"{self.host}/{self.process}/{self.born}/{self.number}"

    def elsewhere(self) -> bool:
        """Whether it is on another host."""
        return self.host != _host()

    def alive(self) -> bool:
        """Whether the process may still run; of other hosts nothing is known."""
        if self.elsewhere():
            return True
        if not _runs(self.process) or _born(self.process) != self.born:
            return False
        return self.process != os.getpid() or self in _kept

    def let_go(self) -> None:
        """Hold nothing any more, whatever is stored."""
        _kept.discard(self)


_kept: WeakSet[Holder] = WeakSet()
"""Those of this process: an agent that was dropped without an end of its turn holds nothing any more."""


def held_by_another(row: Row, ours: Holder) -> str:
    """Who else has the agent, in words; empty when it is free or ours. The row begins: holder, lease_until, now."""
    text, until, now = row[:3]
    if text is None or text == str(ours):
        return ""
    # A lease that ends later than one taken now could was taken before the clock was set back.
    if not isinstance(until, int) or not now <= until <= now + LEASE_SECONDS:
        return ""
    try:
        holder = Holder.parse(text)
    except (ValueError, TypeError):
        return "a process that can't be told"  # until its lease is over
    if not holder.alive():
        return ""
    return f"process {holder.process} on {holder.host}" if holder.elsewhere() else f"process {holder.process}"


def holders(database: Database) -> dict[str, str]:
    """What somebody works on now, of all owners, such as "agent ada" or "source papers"; and who that is, in words."""
    held: dict[str, str] = {}
    for what in ("agent", "source"):
        rows = database.rows(
            f"SELECT holder, lease_until, {database.dialect.now}, name FROM {what}s WHERE holder IS NOT NULL"
        )
        held |= {f"{what} {row[3]}": held_by_another(row, Holder("", 0, "", 0)) for row in rows}
    return {name: holder for name, holder in held.items() if holder}


def lost(tx: Transaction, agent: str, name: str) -> MemagentError:
    """Why an agent that somebody held is not his any more."""
    if not tx.rows("SELECT 1 FROM agents WHERE id = ?", agent):
        return NotFound(f"The agent {name!r} has been deleted.")
    return TakenOver(f"Another process has taken over the agent {name!r}.", hint="Open it again to go on.")


@cache
def _host() -> str:
    return socket.gethostname().replace("/", "-") or "localhost"


def _runs(process: int) -> bool:
    if os.name == "nt":
        return _runs_on_windows(process)
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass
    return True


def _runs_on_windows(process: int) -> bool:
    import ctypes

    windows = ctypes.windll.kernel32  # type: ignore[attr-defined]
    handle = windows.OpenProcess(0x1000, False, process)
    if handle:
        windows.CloseHandle(handle)
    return bool(handle)


def _born(process: int) -> str:
    """When a process began, where the system tells, so that a reused number is not taken for it."""
    try:
        state, *fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        return "dead" if state in "ZX" else fields[18]  # a dead one stays listed until its parent looks
    except (OSError, ValueError, IndexError):
        return "0"
