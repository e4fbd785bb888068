"""Passages with their vectors in a file of JSON Lines: a vector is there as soon as it is known, and is never asked for
again.

A line begins with the passage's id, the model's name and the vector; what else the passage tells follows. Knows
nothing of how vectors are made.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from memagent.errors import UserError
from memagent.llm.batch.appended import Appended

_LINE = re.compile(rb'\{"id":"([0-9a-f]{16})(?:-\d+)?","model":("(?:[^"\\]|\\.)*"),("vector":\[[^]]*\]),')
_BEGIN = b'{"id":"'


class Passage(Protocol):
    """A passage that gets a vector: what its text is known by, and all that it tells, its id among that."""

    @property
    def key(self) -> str: ...
    @property
    def fields(self) -> Mapping[str, Any]: ...


class VectorFile(Appended):
    """A file of vectors of one model that is open for writing; `with` closes it."""

    holds = "vectors"

    def __init__(self, path: Path, model: str) -> None:
        self._model = json.dumps(model, ensure_ascii=False).encode()
        self._places: dict[str, int] = {}
        super().__init__(path)
        self.before = len(self._places)
        """How many texts had their vectors already."""

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def add(self, passages: Sequence[Passage], vectors: Iterable[bytes]) -> None:
        """Write down the vectors of some passages, as little-endian float32."""
        lines: list[bytes] = []
        places: dict[str, int] = {}
        end = self._end
        for passage, vector in zip(passages, vectors, strict=True):
            places[passage.key] = end
            lines.append(self._line(passage, _numbers(vector)))
            end += len(lines[-1])
        self._append(b"".join(lines))
        self._places |= places

    def tidy(self, passages: Iterable[Passage]) -> int:
        """Leave a line for each of these passages, in their order, and nothing else; returns how many they are."""
        count = end = 0
        places: dict[str, int] = {}
        with self._replaced_by() as new, self.path.open("rb") as old, new.open("wb") as kept:
            for passage in passages:
                old.seek(self._places[passage.key])
                found = _LINE.match(old.readline())
                assert found, "all were read or written before"
                line = self._line(passage, found[3])
                places.setdefault(passage.key, end)
                end += kept.write(line)
                count += 1
            kept.flush()
            os.fsync(kept.fileno())
        self._places, self._end = places, end
        return count

    def _line(self, passage: Passage, vector: bytes) -> bytes:
        fields = json.dumps({k: v for k, v in passage.fields.items() if k != "id"}, ensure_ascii=False)
        name = json.dumps(passage.fields["id"]).encode()
        return b'{"id":%s,"model":%s,%s,%s\n' % (name, self._model, vector, fields[1:].encode("utf-8", "replace"))

    def _read(self) -> int:
        end = 0
        with open(os.dup(self._file), "rb") as file:  # noqa: PTH123
            file.seek(0)
            for number, raw in enumerate(file, 1):
                found = _LINE.match(raw) if raw.endswith(b"}\n") else None
                if found is None:
                    if b"\0" in raw or (not raw.endswith(b"\n") and raw[: len(_BEGIN)] == _BEGIN[: len(raw)]):
                        break  # what a kill or a power cut leaves behind
                    raise UserError(
                        f"{self.path}, line {number} is no passage with its vector.", hint="Give another --output."
                    )
                if found[2] != self._model:
                    raise UserError(
                        f"{self.path} holds vectors of the model {found[2].decode()}.",
                        hint="Give another --output, or take that model again.",
                    )
                self._places.setdefault(found[1].decode(), end)
                end += len(raw)
        return end


def _numbers(vector: bytes) -> bytes:
    """A vector as JSON, with as many digits as its numbers have."""
    numbers = struct.unpack(f"<{len(vector) // 4}f", vector)
    return b'"vector":[%s]' % ",".join(f"{number:.9g}" for number in numbers).encode()
