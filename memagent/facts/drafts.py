"""What an extractor found, made fit to be kept: a model can answer anything, or a thousand times the same.

Knows nothing of what is known already.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from memagent.facts import USER, Draft
from memagent.memory.days import iso_day
from memagent.messages import storable

MOST = 64
"""Of what is found at once, no more is kept."""
LONGEST_TEXT, LONGEST_NAME, LONGEST_QUOTE = 500, 80, 1000

_LETTER = re.compile(r"\w")


def checked(drafts: Sequence[Draft]) -> Iterator[Draft]:
    """Those of use, in their order, each once: with texts on one line and of a length that is read, dates that are
    dates, and a confidence from 0 to 1.
    """
    seen: set[tuple[object, ...]] = set()
    for draft in drafts:
        if len(seen) >= MOST:
            return
        text = _line(draft.text)
        key = (text.casefold(), draft.holds, draft.about, draft.kind, draft.message)
        if not _LETTER.search(text) or len(text) > LONGEST_TEXT or key in seen:
            continue
        seen.add(key)
        yield replace(
            draft, text=text, kind=_name(draft.kind) or "fact", about=_name(draft.about) or USER,
            subject=_name(draft.subject), since=iso_day(draft.since), until=iso_day(draft.until),
            confidence=_share(draft.confidence), quote=storable(str(draft.quote))[:LONGEST_QUOTE],
        )  # fmt: skip


def _line(text: object) -> str:
    return " ".join(storable(text).split()) if isinstance(text, str) else ""


def _name(text: object) -> str:
    return _line(text)[:LONGEST_NAME].strip()


def _share(value: object) -> float:
    known = isinstance(value, int | float) and math.isfinite(value)
    return min(1.0, max(0.0, float(value))) if known and isinstance(value, int | float) else 0.5
