"""Keeps a family's own marks out of what it is told: no text ends the message that it stands in, or begins another.

Knows nothing of which marks a family has.
"""

from __future__ import annotations

import re
from typing import Any

from memagent.messages import as_json, unmarked

_UNSEEN = "\u200b"


class Guard:
    """Beside the marks that no text may have for any model (see messages.py), it finds those of `marks`, a pattern of
    which every match has two characters or more.
    """

    def __init__(self, marks: str = "") -> None:
        self._marks = re.compile(marks) if marks else None

    def text(self, text: str) -> str:
        """The same text to the eye."""
        text = unmarked(text)
        return self._marks.sub(lambda mark: f"{mark[0][0]}{_UNSEEN}{mark[0][1:]}", text) if self._marks else text

    def json(self, data: Any) -> str:
        """The same data as JSON."""
        text = as_json(data)
        # The second character is escaped: the first one may be the end of an escape, as the n of a new line.
        return self._marks.sub(_escaped, text) if self._marks else text


def _escaped(mark: re.Match[str]) -> str:
    return f"{mark[0][0]}\\u{ord(mark[0][1]):04x}{mark[0][2:]}"
