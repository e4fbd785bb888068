"""What comes to an agent's mind in a turn, such as entries of a lore book: told near the end of the context, within a
budget of tokens, and stored nowhere.

A kind of reminder is an object with `remind`; whoever puts an agent together hands it to `Reminders`. What is told
stands before the first message of the turn: so what is far above stays the same for caches, and what the user said
stays last, which is what weak models answer. Knows nothing of where reminders come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Protocol

from memagent.messages import Message, estimate, reminder

MOST_TOKENS = 500
SHARE = 8
"""Of a small window, reminders fill no more than one part in so many."""


class Reminding(Protocol):
    """Knows something that an agent may be reminded of."""

    def remind(self, talk: Sequence[Message], room: int) -> Sequence[str]:
        """What is worth knowing now, as lines of text, what matters most first; together no more than `room` tokens.

        `talk` is what the agent sees of the conversation, up to what came in with this turn, the newest message last;
        it is never empty. Asked before each step of the turn, it should be quick, and say the same as long as nothing
        changed. What does not fit is left out, line by line.
        """
        ...


class Reminders:
    """All that one agent is reminded of. Each kind gets its share of the room, and what those before it left."""

    def __init__(self, kinds: Sequence[Reminding] = (), most: int = MOST_TOKENS) -> None:
        self._kinds = kinds
        self._most = most
        self._found: tuple[tuple[int, ...], list[str]] = ((), [])

    def placed(self, window: Sequence[Message], turn: Sequence[Message], tokens: int) -> list[Message]:
        """The window, of a context of so many tokens, with the reminder in its place if there is one."""
        begun = turn[0].seq if turn else window[-1].seq + 1 if window else 0
        earlier = [message for message in window if message.seq < begun]
        came = takewhile(lambda message: message.kind != "answer", turn)
        talk = [*earlier, *(message for message in came if message.kind != "summary")]
        lines = self._lines(talk, (*window, *turn)[-1].seq, min(self._most, tokens // SHARE)) if talk else []
        if not lines:
            return list(window)
        own = (i for i, message in enumerate(window) if message.seq >= begun and message.kind != "summary")
        at = next(own, len(window))
        before = window[at - 1] if at else talk[0]
        return [*window[:at], reminder("\n".join(lines), before.created), *window[at:]]

    def _lines(self, talk: Sequence[Message], newest: int, room: int) -> list[str]:
        """What is told at this step; it is asked for once, however often the window is looked at."""
        step = (newest, len(talk), room)
        if step != self._found[0]:
            self._found = (step, self._gathered(talk, room))
        return self._found[1]

    def _gathered(self, talk: Sequence[Message], room: int) -> list[str]:
        lines: list[str] = []
        for number, kind in enumerate(self._kinds):
            share = room // (len(self._kinds) - number)
            for line in kind.remind(talk, share):
                tokens = estimate(line) + 1
                if line.strip() and tokens <= share:
                    lines.append(line)
                    share, room = share - tokens, room - tokens
        return lines
