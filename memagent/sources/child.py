"""The process in which risky files are read: takes one after the other, and writes what became of each.

It is started as a file, by apart.py, which knows why. It limits its own memory, and ends when the process that asked is
gone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any, BinaryIO

HUNGRY = 3
"""The exit code when there was not enough memory: what is left of this process is not to be trusted."""


def main() -> None:
    """Read files until there are no more."""
    files, answers = _channels()
    start = json.loads(files.readline())
    sys.path[:] = start["path"]
    from memagent.confine import limit_memory

    limit_memory(start["memory"])
    answers.write(b"{}\n")
    answers.flush()
    while line := files.readline():
        if sys.platform != "win32":
            signal.alarm(start["seconds"])  # if the one who asked is gone meanwhile
        try:
            asked = json.loads(line)
            data = files.read(asked["length"])
            if len(data) < asked["length"]:
                return
            answers.write(json.dumps(_answer(asked["kind"], data, asked["name"])).encode() + b"\n")
            answers.flush()
        except MemoryError:
            os._exit(HUNGRY)
        if sys.platform != "win32":
            signal.alarm(0)


def _answer(kind: str, data: bytes, name: str) -> dict[str, Any]:
    from memagent.errors import MissingExtra
    from memagent.sources import Unreadable
    from memagent.sources.formats import format_of

    try:
        document = format_of(kind)(data, name)
    except MemoryError:
        raise
    except Unreadable as error:
        return {"unreadable": error.message}
    except MissingExtra as error:
        return {"missing": [error.what, error.extra]}
    except RecursionError:
        return {"unreadable": "is nested too deeply"}
    except Exception as error:  # noqa: BLE001 - the outermost door of this process
        return {"unreadable": f"is broken in a way that was not foreseen ({type(error).__name__}: {error})"[:300]}
    return {
        "title": document.title,
        "parts": [[part.text, part.heading, part.page] for part in document.parts],
        "when": document.when.isoformat() if document.when else None,
    }


def _channels() -> tuple[BinaryIO, BinaryIO]:
    """The pipes from and to the one who asked, out of reach of whatever else reads and prints here."""
    files, answers = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
    return os.fdopen(files, "rb"), os.fdopen(answers, "wb")


if __name__ == "__main__":
    main()
