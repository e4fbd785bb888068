"""What an agent says in a run, as one text that grows: for forms that know a single answer.

Words are told as the model writes them. What turns out not to hold can't be taken back there; the answer begins anew
below it. Knows nothing of how it is sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from memagent.events import ApprovalAsked, Delta, Discarded, Event, Failed, Reply, TurnEnded
from memagent.server.openai_api.asked import question

BETWEEN = "\n\n"


@dataclass
class Heard:
    """What was heard so far: `text` is all that was told, `failed` why the turn came to no good end."""

    text: str = ""
    failed: Failed | None = None
    ended: TurnEnded | None = None
    usage: dict[str, int] = field(default_factory=dict)
    _open: str = ""

    def pieces(self, event: Event) -> Iterator[str]:
        """What an event adds to the text."""
        if isinstance(event, Delta) and event.kind == "reply":
            yield from self._told(event.text, more=bool(self._open))
            self._open += event.text
        elif isinstance(event, Discarded):
            self._open = ""
        elif isinstance(event, Reply):
            if event.text != self._open:
                known = event.text.startswith(self._open) and bool(self._open)
                yield from self._told(event.text[len(self._open) :] if known else event.text, more=known)
            self._open = ""
        elif isinstance(event, ApprovalAsked):
            yield from self._told(question(event), more=False)
        elif isinstance(event, Failed):
            self.failed = event
        elif isinstance(event, TurnEnded):
            self.ended, self.usage = event, event.usage

    def _told(self, text: str, *, more: bool) -> Iterator[str]:
        if not text:
            return
        piece = text if more or not self.text else f"{BETWEEN}{text}"
        self.text += piece
        yield piece
