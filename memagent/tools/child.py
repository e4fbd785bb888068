"""The process that a function with the rule `apart` runs in: reads one call, carries it out, writes what came of it.

It is started as a file, by apart.py, with an environment that says nothing of where modules are: that comes with the
call. It limits its own memory, and ends, with all that it has started, when the process that asked is gone.
"""

from __future__ import annotations

import faulthandler
import json
import math
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

RULES_HERE = {"apart": False, "time_limit": math.inf}
"""The function is where it belongs already, and the clock is with the one who asked."""


def main() -> None:
    """Carry out the call that stands on the first line of the standard input."""
    asked = json.loads(sys.stdin.buffer.readline())
    sys.path[:] = asked["path"]
    asker, answers = _channels()
    threading.Thread(target=_end_with, args=(asker,), daemon=True).start()
    _limit(asked["memory"], asked["seconds"], answers)
    result = json.dumps(_outcome(asked, answers)).encode()
    answers.write(result + b"\n")
    answers.flush()


def _outcome(asked: dict[str, Any], answers: BinaryIO) -> dict[str, Any]:
    """What comes of the call; an empty line is written as soon as the time of the function itself begins."""
    from memagent.errors import MemagentError
    from memagent.tools.loader import load_file
    from memagent.tools.run import run

    try:
        tools = load_file(Path(asked["file"]))
        answers.write(b"\n")
        answers.flush()
        if asked["name"] not in tools:
            return {"ok": False, "text": f"There is no function {asked['name']!r} in {asked['file']} any more."}
        tool = tools[asked["name"]].ruled(asked["rules"] | RULES_HERE)
        return vars(run(tool, asked["arguments"]))
    except MemagentError as error:
        return {"ok": False, "text": str(error)}


def _channels() -> tuple[int, BinaryIO]:
    """The pipes from and to the one who asked, out of reach: whatever else is read and printed here leads nowhere."""
    asker, answers = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
    return asker, os.fdopen(answers, "wb", closefd=False)  # open until the very end, which is how that is noticed


def _end_with(asker: int) -> None:
    """Wait until the one who asked closes the pipe, or dies; then nobody needs this process any more."""
    os.read(asker, 1)
    if sys.platform != "win32":
        with suppress(ProcessLookupError):  # not 0: that would be the group of the one who asked, if this has none
            os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _limit(memory: int, seconds: int, answers: BinaryIO) -> None:
    """Before any code of the function set runs: limits that the system itself keeps, and words for a crash."""
    faulthandler.enable(answers, all_threads=False)
    if sys.platform == "win32":
        return
    from memagent.confine import limit_memory

    limit_memory(memory)
    signal.alarm(seconds)  # if the one who asked is gone and the function holds up even `_end_with`

    def forked() -> None:
        faulthandler.disable()
        os.close(answers.fileno())  # else the end of this process would not be seen

    os.register_at_fork(after_in_child=forked)


if __name__ == "__main__":
    main()
