"""The process in which files that were sent are loaded into a source; it tells what comes of each, a line of JSON each.

So whatever is in them, and however much there is to embed, the server goes on as before; and to end it at any instant
loses nothing that was told. It ends when the server is gone. Knows nothing of who sent them.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from memagent import config
from memagent.confine import limit_memory
from memagent.errors import MemagentError, SourceBusy
from memagent.loading import Came, Embedded, Event, Told
from memagent.loading.load import Load, Order
from memagent.log import start_log
from memagent.parts import local_time, open_embedder
from memagent.sources.sent import Sent
from memagent.storage.opening import opened

MEMORY = 6 << 30
"""Bytes of address space that it may have; the models of embedders are a part of that."""


def main() -> None:
    """Load what the line on the standard input names."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else is printed here leads nowhere
    order = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    limit_memory(MEMORY)
    if sys.platform != "win32":
        os.nice(5)  # who talks goes first
    for line in _lines(order):
        answers.write(json.dumps(line) + "\n")
        answers.flush()
    os._exit(0)  # at once: the server takes the end of the answers for the end, and closes its pipe


def _lines(order: dict[str, Any]) -> Iterator[dict[str, Any]]:
    try:
        for event in _loaded(order):
            yield _line(event)
    except SourceBusy:
        yield {"busy": True}
    except MemagentError as error:
        yield {"failed": str(error)}


def _loaded(order: dict[str, Any]) -> Iterator[Event]:
    settings = replace(config.load(order["flags"], place=Path(order["home"])), user=order["owner"])
    start_log(settings)
    with closing(opened(settings)) as database, closing(Sent(Path(order["files"]))) as reader:
        wanted = Order(order["source"], {}, remove=False)
        embedder = open_embedder(settings)
        yield from Load(database, settings.user, reader, wanted, embedder=embedder, clock=local_time).run()


def _line(event: Event) -> dict[str, Any]:
    if isinstance(event, Came):
        return {"place": event.place, "outcome": event.outcome, "passages": event.passages, "reason": event.reason}
    if isinstance(event, Embedded):
        return {"embedded": event.passages}
    return {"told": event.text} if isinstance(event, Told) else {"left": event.passages}


def _end_with_the_server() -> None:
    """Wait until the server closes the pipe, or dies; then nobody waits for this process any more."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main()
