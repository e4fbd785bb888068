"""The process in which risky files are read: takes one after the other, and writes what became of each.

It is started as a file, by apart.py, which knows why. It limits its own memory, and ends when the process that asked is
gone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO


def main() -> None:
    """Read files until there are no more."""
    files, answers = _channels()
    start = json.loads(files.readline())
    sys.path[:] = start["path"]
    _limit(start["memory"])
    answers.write(b"{}\n")
    answers.flush()
    while line := files.readline():
        asked = json.loads(line)
        data = files.read(asked["length"])
        if len(data) < asked["length"]:
            return
        if sys.platform != "win32":
            signal.alarm(start["seconds"])  # if the one who asked is gone meanwhile
        answer, hungry = _answer(asked, data)
        del data
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()
        if sys.platform != "win32":
            signal.alarm(0)
        if hungry:  # nobody knows what is left half done
            return


def _answer(asked: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bool]:
    from memagent.errors import MissingExtra
    from memagent.sources import Unreadable
    from memagent.sources.formats import format_of

    try:
        document = format_of(asked["kind"])(data, asked["name"])
        return {
            "title": document.title,
            "parts": [[part.text, part.heading, part.page] for part in document.parts],
            "when": document.when.isoformat() if document.when else None,
        }, False
    except Unreadable as error:
        return {"unreadable": error.message}, False
    except MissingExtra as error:
        return {"missing": [error.what, error.extra]}, False
    except MemoryError:
        return {"unreadable": "needs too much memory to read"}, True
    except RecursionError:
        return {"unreadable": "is nested too deeply"}, False
    except Exception as error:  # noqa: BLE001 - the outermost door of this process; what a library trips over is one file's
        return {
            "unreadable": f"is broken in a way that was not foreseen ({type(error).__name__}: {error})"[:300]
        }, False


def _channels() -> tuple[BinaryIO, BinaryIO]:
    """The pipes from and to the one who asked, out of reach of whatever else reads and prints here."""
    files, answers = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
    return os.fdopen(files, "rb"), os.fdopen(answers, "wb")


def _limit(memory: int) -> None:
    if sys.platform == "win32":
        return
    import resource

    for limit, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):  # macOS knows no limit of memory
            hard = resource.getrlimit(limit)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(limit, (most, most))
    with suppress(OSError):  # Linux: when memory runs out, it's this process that is ended
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    main()
