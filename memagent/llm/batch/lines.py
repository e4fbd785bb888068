"""Requests from a file of JSON Lines, as calls.

A line is the body of a request, with a `custom_id` and `metadata` that are not sent if they are there; or a line as
OpenAI's Batch API takes it. What can't be understood becomes a call with a problem. Knows nothing of results.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, BinaryIO, NoReturn

from memagent.errors import UserError
from memagent.llm.batch.call import HOLDS, Call, UnfitCall, call_from

LONGEST_LINE = 32_000_000
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Line:
    """Where a request came from. `key` is made of its content: another content, another key."""

    number: int
    key: int
    custom_id: Any = None
    metadata: Any = None


class Lines:
    """The calls in a file; their tag is their `Line`. `model` is for those that name none.

    Left out is what is `done`: it is asked with the number and key of a line. `number` is how many lines were read,
    `complete` whether that was all.
    """

    def __init__(self, file: BinaryIO, name: str, model: str, done: Callable[[int, int], bool]) -> None:
        self.number = 0
        self.complete = False
        self._file = file
        self._name = name
        self._model = model
        self._done = done

    def __iter__(self) -> Iterator[Call]:
        try:
            while line := self._file.readline(LONGEST_LINE):
                self.number += 1
                call = self._endless(line) if len(line) == LONGEST_LINE and line[-1:] != b"\n" else self._plain(line)
                if call is not None:
                    yield call
        except OSError as error:
            raise UserError(f"{self._name} can't be read any further: {error.strerror or error}.") from error
        self.complete = True

    def _plain(self, line: bytes) -> Call | None:
        line = line.removeprefix(_BOM).strip()
        if not line:
            return None
        key = blake2b(line, digest_size=8)
        plain = _number(key.digest())
        key.update(b"\0" + self._model.encode("utf-8", "replace"))
        with_model = _number(key.digest())  # for a line that names none: another model, another request
        if self._done(self.number, plain) or self._done(self.number, with_model):
            return None
        return _call(line, Line(self.number, plain), with_model, self._name, self._model)

    def _endless(self, line: bytes) -> Call | None:
        key = blake2b(digest_size=8)
        while line:
            key.update(line)
            line = b"" if line.endswith(b"\n") else self._file.readline(LONGEST_LINE)
        tag = Line(self.number, _number(key.digest()))
        if self._done(self.number, tag.key):
            return None
        return _unfit(self._name, tag, f"it is longer than {LONGEST_LINE // 1_000_000} MB")


def _number(digest: bytes) -> int:
    """A key that is never 0, and whose last bit is free."""
    return int.from_bytes(digest) & ~1 | 2


def _unfit(name: str, tag: Line, why: str) -> Call:
    return Call("", "", b"", 0, tag, f"{name}, line {tag.number}: {why}.")


def _call(line: bytes, tag: Line, with_model: int, name: str, model: str) -> Call:
    try:
        given = _object(line)
        tag = replace(tag, custom_id=given.get("custom_id"), metadata=given.get("metadata"))
        if "body" in given:
            body, path = _batched(given)
            sent = None
        else:
            body, path = {key: value for key, value in given.items() if key not in ("custom_id", "metadata")}, ""
            sent = line if len(body) == len(given) and b"\r" not in line else None
        if not body.get("model"):
            tag = replace(tag, key=with_model)
        call = call_from(body, model=model, as_sent=sent)
    except UnfitCall as unfit:
        return _unfit(name, tag, str(unfit))
    if path and path != call.path:
        return _unfit(name, tag, f'its body does not fit its "url": {path} takes "{HOLDS[path][0]}"')
    return replace(call, tag=tag)


def _object(line: bytes) -> dict[str, Any]:
    try:
        given = json.loads(line.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise UnfitCall(f"it is not UTF-8 text (byte {error.start + 1})") from None
    except json.JSONDecodeError as error:
        raise UnfitCall(f"it is not JSON ({error.msg}, column {error.colno})") from None
    except (ValueError, RecursionError):
        raise UnfitCall("it is not JSON") from None
    if not isinstance(given, dict):
        raise UnfitCall("it is not a JSON object")
    return given


def _batched(given: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Body and path of a line as OpenAI's Batch API takes it. Only the path counts: the key goes nowhere else."""
    body, url, method = given["body"], given.get("url", ""), given.get("method", "POST")
    if not isinstance(body, dict):
        raise UnfitCall('its "body" is not a JSON object')
    if method != "POST":
        raise UnfitCall('its "method" is not POST')
    path = url.removeprefix("/v1") if isinstance(url, str) else None
    if (path and path not in HOLDS) or path is None:
        raise UnfitCall(f'its "url" is none of {", ".join(f"/v1{known}" for known in HOLDS)}')
    return body, path


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
