"""Files that were sent and wait to be loaded, on the disk: so a server that stops, or dies, goes on with them later.

Each source has a folder of its own in home, with what is to be done with them (`order.json`), those that are whole
(`files`) and those that are still coming. Knows nothing of how they are loaded.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Self

from memagent.errors import StorageError, UserError
from memagent.server.problems import Refused
from memagent.sources import Unreadable
from memagent.sources.decode import HEAD
from memagent.sources.directory import LARGEST
from memagent.sources.formats import kind_of

FOLDER = "incoming"
MOST_FILES = 500
MOST_BYTES = 1_000_000_000
"""So many files of one user wait at once, and bytes of them."""
FREE = 200_000_000
"""So many bytes of the disk are left free: what agents remember must find its place."""
LONGEST_NAME = 200
STALE = 3600.0
"""Seconds after which nobody is sending any more what has not grown."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass
class Incoming:
    """The files that wait to be loaded into one source of one user; `agents` can search it then."""

    folder: Path
    owner: str
    source: str
    agents: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, home: Path, owner: str, source: str) -> Self:
        """Those for a source."""
        name = sha256(f"{owner}\0{source}".encode()).hexdigest()[:32]
        return cls(home / FOLDER / name, owner, source)

    @classmethod
    def all(cls, home: Path) -> Iterator[Self]:
        """What an earlier server has left."""
        for order in sorted((home / FOLDER).glob("*/order.json")):
            with suppress(OSError, ValueError, LookupError, TypeError):  # a folder of which nothing can be told stays
                told = json.loads(order.read_text())
                yield cls(order.parent, str(told["owner"]), str(told["source"]), [str(each) for each in told["agents"]])

    @property
    def files(self) -> Path:
        """Where those are that are whole."""
        return self.folder / "files"

    @property
    def coming(self) -> Path:
        """Where those are that are still being sent."""
        return self.folder / "coming"

    def waiting(self) -> dict[str, os.stat_result]:
        """The files that are whole, by name, in their order."""
        found: dict[str, os.stat_result] = {}
        with suppress(FileNotFoundError), os.scandir(self.files) as listed:
            for entry in sorted(listed, key=lambda entry: entry.name):
                found[entry.name] = entry.stat()
        return found

    def expect(self, name: str, size: int, agent: str) -> Parcel:
        """Begin to take a file in, with which an agent is to be helped. Raises `Refused` where there is no room."""
        check_file(name, size)
        home = self.folder.parents[1]
        others = [stat.st_size for each in Incoming.all(home) for stat in each.owned(self.owner)]
        if len(others) >= MOST_FILES or sum(others) + size > MOST_BYTES:
            raise Refused(429, "So many files wait to be loaded already. Send more when those are done.")
        with explained(name):
            if shutil.disk_usage(home).free < size + FREE:
                raise OSError(errno.ENOSPC, "no room")
            for folder in (self.files, self.coming):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._keep_order(agent)
            parcel = Parcel(self, name, size, self.coming / uuid.uuid4().hex)
            parcel.path.touch(mode=0o600)
            os.truncate(parcel.path, size)  # takes no room yet, and counts as what it will take
            return parcel

    def owned(self, owner: str) -> Sequence[os.stat_result]:
        """The files here, if they are of that user; those that are coming among them."""
        if self.owner != owner:
            return ()
        with suppress(FileNotFoundError), os.scandir(self.coming) as coming:
            return [*self.waiting().values(), *(entry.stat() for entry in coming)]
        return list(self.waiting().values())

    def _keep_order(self, agent: str) -> None:
        """Keep for whom this is, so that it is known after a restart."""
        order = self.folder / "order.json"
        with suppress(OSError, ValueError, LookupError):
            self.agents = json.loads(order.read_text())["agents"]
        if agent not in self.agents:
            self.agents.append(agent)
        fresh = self.folder / f"order-{uuid.uuid4().hex}"
        fresh.write_text(json.dumps({"owner": self.owner, "source": self.source, "agents": self.agents}))
        fresh.replace(order)

    def drop(self, done: dict[str, os.stat_result]) -> None:
        """Let files go that are loaded; one that was sent again meanwhile stays."""
        for name, before in done.items():
            with suppress(FileNotFoundError):
                now = (self.files / name).stat()
                if (now.st_mtime_ns, now.st_ino) == (before.st_mtime_ns, before.st_ino):
                    (self.files / name).unlink()

    def clear(self) -> None:
        """Let all of it go."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def clear_if_empty(self) -> None:
        """Let the folder go when nothing waits there, and nothing comes."""
        for each in self.coming.glob("*"):
            with suppress(FileNotFoundError):
                if time.time() - each.stat().st_mtime > STALE:
                    each.unlink()
        with suppress(OSError):  # something is in one of them
            with suppress(FileNotFoundError):
                self.coming.rmdir()  # first: what is coming needs the other one when it is there
            self.files.rmdir()
            self.clear()


@dataclass
class Parcel:
    """A file that is being sent."""

    to: Incoming
    name: str
    size: int
    path: Path
    written: int = 0

    def write(self, data: bytes) -> None:
        """Keep more of it."""
        with explained(self.name), self.path.open("r+b") as file:  # not made anew, once it was let go
            file.seek(self.written)
            file.write(data)
        self.written += len(data)

    def arrive(self) -> None:
        """All of it is there: it waits to be loaded from now on. Raises `UserError` if it is nothing that is read."""
        if self.written != self.size:
            raise UserError(f"{self.name} did not come whole: {self.written:,} of {self.size:,} bytes.")
        with explained(self.name):
            with self.path.open("rb") as file:
                head = file.read(HEAD)
                os.fsync(file.fileno())
            try:
                kind_of(self.name, head)
            except Unreadable as error:
                raise UserError(f"{self.name} {error.message}.") from error
            self.path.replace(self.to.files / self.name)

    def drop(self) -> None:
        """It does not come after all."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def check_file(name: str, size: int) -> None:
    """Refuse a file that can't be read, before it is sent."""
    if not name.strip(" .") or not name.isprintable() or "/" in name or "\\" in name:
        raise UserError(f"{name[:80]!r} can't be the name of a file.", hint="Rename it, and send it again.")
    if len(name.encode("utf-8", "replace")) > LONGEST_NAME:
        raise UserError(f"The name {name[:40]!r}… is too long.", hint="Give it a shorter one, and send it again.")
    if not size:
        raise UserError(f"{name} is empty.")
    if size > LARGEST:
        raise Refused(413, f"{name} is too large: {size / 1e6:,.0f} MB, of at most {LARGEST // 1_000_000} MB.")


@contextmanager
def explained(name: str) -> Iterator[None]:
    """What goes wrong on the disk is told in words."""
    try:
        yield
    except FileNotFoundError as error:
        raise Refused(409, f"Loading was stopped, so {name} was not kept.") from error
    except OSError as error:
        if error.errno in FULL:
            raise Refused(507, f"The server's disk is full, so {name} was not kept.") from error
        raise StorageError(f"{name} could not be kept: {error.strerror or error}.") from error
