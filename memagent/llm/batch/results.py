"""The results of a batch in a file of JSON Lines: each is there as soon as it is known, and what is there is not asked
again.

For each line of the requests, 16 bytes are kept in memory. Knows nothing of how results come about.
"""

from __future__ import annotations

import json
import os
import re
from array import array
from pathlib import Path
from typing import Any, NamedTuple

from memagent.errors import UserError
from memagent.llm.batch.appended import Appended
from memagent.llm.batch.call import Failure, Outcome
from memagent.llm.batch.lines import Line

MOST_LINES = 1 << 32
_BEGIN = b'{"line":'
_RECORD = re.compile(rb'\{"line":(\d{1,10}),"key":"([0-9a-f]{16})","error":(null|\{)')


class _Record(NamedTuple):
    line: int
    key: int
    ok: bool


class Results(Appended):
    """A file of results that is open for writing; `with` closes it.

    `retry_failed`: what has failed before is not done. `requests`: each result holds its request, too.
    """

    holds = "results"

    def __init__(self, path: Path, *, retry_failed: bool = False, requests: bool = False) -> None:
        self.before = self.failed_before = 0
        """How many of the lines that were asked about were done before, well or not."""
        self._retry_failed = retry_failed
        self._requests = requests
        self._keys = array("Q")  # by line; the last bit tells a failure
        self._places = array("Q")  # where in the file, from 1
        self._untidy = False
        super().__init__(path)

    def done(self, line: int, key: int) -> bool:
        """Whether there is a result for this line, made of the same content."""
        known = self._keys[line - 1] if line <= len(self._keys) else 0
        if not known or known & ~1 != key:
            return False
        if known & 1 and self._retry_failed:
            return False
        self.before += not known & 1
        self.failed_before += known & 1
        return True

    def add(self, outcome: Outcome) -> None:
        """Write down what came of a line."""
        tag: Line = outcome.call.tag
        record = self._written(tag, outcome)
        place = self._end
        self._append(record)
        self._note(_Record(tag.number, tag.key, outcome.failure is None), place)

    def tidy(self, lines: int | None = None) -> None:
        """Leave one result for each line. `lines` is how many there are, if that is known.

        Answers to what a line was before are not thrown away: they go to a file beside.
        """
        beyond = lines is not None and any(self._places[lines:])
        if not self._untidy and not beyond:
            return
        with self._replaced_by() as new:
            try:
                with (
                    self.path.open("rb") as old,
                    open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as kept,  # noqa: PTH123
                    self.replaced.open("ab") as replaced,
                ):
                    place = 1
                    for raw in old:
                        record = _record(raw)
                        assert record is not None, "all were read before"
                        stays = self._places[record.line - 1] == place and (lines is None or record.line <= lines)
                        if stays:
                            kept.write(raw)
                        elif record.ok:
                            replaced.write(raw)
                        place += len(raw)
                    for file in (replaced, kept):
                        file.flush()
                        os.fsync(file.fileno())
            finally:
                if self.replaced.stat().st_size == 0:
                    self.replaced.unlink()
        self._untidy = False

    @property
    def replaced(self) -> Path:
        """Where answers go whose line has changed since."""
        return self.path.with_name(f"{self.path.stem}.replaced{self.path.suffix}")

    def _written(self, tag: Line, outcome: Outcome) -> bytes:
        record = {
            "line": tag.number,
            "key": f"{tag.key:016x}",
            "error": _told(outcome.failure),
            "custom_id": tag.custom_id,
            "metadata": tag.metadata,
            "usage": outcome.usage,
        }
        request = b',"request":' + (outcome.call.body or b"null") if self._requests else b""
        return _dumped(record)[:-1] + request + b',"response":' + (outcome.raw or b"null") + b"}\n"

    def _note(self, record: _Record, place: int) -> None:
        missing = record.line - len(self._keys)
        if missing > 0:
            zeros = bytes(8 * (missing + len(self._keys) // 8))
            self._keys.frombytes(zeros)
            self._places.frombytes(zeros)
        index = record.line - 1
        self._untidy = self._untidy or self._places[index] > 0
        self._keys[index] = record.key | (not record.ok)
        self._places[index] = place + 1

    def _read(self) -> int:
        end = number = 0
        with open(os.dup(self._file), "rb") as file:  # noqa: PTH123
            file.seek(0)
            for raw in file:
                number += 1
                record = _record(raw)
                if record is not None and not raw.endswith(b"\n"):
                    record = record if _whole(raw) else None
                    if record is not None:
                        os.write(self._file, b"\n")
                        raw += b"\n"
                if record is None:
                    if not _torn(raw):
                        raise UserError(
                            f"{self.path}, line {number} is not a result of memagent batch.",
                            hint="Give another --output, or mend that line.",
                        )
                    break
                self._note(record, end)
                end += len(raw)
        return end


def _told(failure: Failure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {"type": failure.type, "message": failure.message, "status": failure.status, "tries": failure.tries}


def _dumped(data: object) -> bytes:
    try:
        return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # half of a character
        return json.dumps(data, separators=(",", ":")).encode()


def _record(raw: bytes) -> _Record | None:
    """The result on a line: known by how it begins, or, if something else has rewritten it, by its content."""
    if found := _RECORD.match(raw):
        line, key, ok = int(found[1]), int(found[2], 16), found[3] == b"null"
    else:
        try:
            data = json.loads(raw)
            line, key, ok = data["line"], int(data["key"], 16), data["error"] is None
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
    fits = isinstance(line, int) and 0 < line < MOST_LINES and 0 < key < 1 << 64
    return _Record(line, key & ~1, ok) if fits else None


def _whole(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return True


def _torn(raw: bytes) -> bool:
    """Whether a line is what a kill or a power cut leaves behind of a result."""
    if b"\0" in raw:
        return True
    return not raw.endswith(b"\n") and (raw.startswith(_BEGIN) or _BEGIN.startswith(raw))
