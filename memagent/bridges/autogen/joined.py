"""All steps of a turn in one message: the agent's words, and what was chosen to be shown beside them.

Knows nothing of AutoGen.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from memagent.events import Called, Event, Failed, Notice, Reply, Returned, Thought, TurnEnded
from memagent.messages import SPEAK

NO_ANSWER = "[no answer]"
"""With this begins what a message says of a turn that failed."""

Heard = tuple[str, str]
"""Who said it, and what."""


@dataclass(frozen=True)
class Show:
    """What is shown beside the agent's words. `heard` is what it was told, `notices` what a person at a terminal would
    read beside the chat, such as that the context window is nearly full.
    """

    thoughts: bool = False
    calls: bool = False
    results: bool = False
    heard: bool = False
    notices: bool = False


@dataclass(frozen=True)
class Denied(Notice):
    """A call was not carried out, since nobody said yes to it. That is always told."""


class Joined:
    """One message made of what happens in a turn."""

    def __init__(self, name: str, show: Show, heard: Sequence[Heard]) -> None:
        self.failed: Failed | None = None
        self.ended: TurnEnded | None = None
        self._name = name
        self._show = show
        self._parts = [f"[heard] {who}: {said}" for who, said in heard] if show.heard else []
        self._spoke = False

    def take(self, event: Event) -> None:
        """Take in what has happened."""
        if isinstance(event, Failed):
            self.failed = event
        elif isinstance(event, TurnEnded):
            self.ended = event
        if text := self._told(event):
            self._parts.append(text)
            self._spoke |= isinstance(event, Reply | Failed)

    @property
    def text(self) -> str:
        """The whole message."""
        silent = [] if self._spoke else [f"[{self._name} says nothing]"]
        return "\n\n".join([*self._parts, *silent])

    def _told(self, event: Event) -> str:
        show = self._show
        if isinstance(event, Reply):
            return event.text.strip()
        if isinstance(event, Failed):
            return " ".join(filter(None, [NO_ANSWER, event.message, event.hint]))
        if isinstance(event, Denied):
            return f"[denied] {event.text}"
        if isinstance(event, Notice):
            return f"[notice] {event.text}" if show.notices else ""
        if isinstance(event, Thought):
            return f"[thinks] {event.text.strip()}" if show.thoughts else ""
        if isinstance(event, Called) and show.calls and event.name != SPEAK:
            given = ", ".join(
                f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in event.arguments.items()
            )
            return f"[calls] {event.name}({given})"
        if isinstance(event, Returned) and show.results and not (event.name == SPEAK and event.ok):
            return f"[{'result' if event.ok else 'failed'}] {event.name}: {event.text.strip()}"
        return ""
