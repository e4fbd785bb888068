"""Asks a model whether a new statement and a known one go together, where words leave it open.

A small model picks no number from a list rightly, and no letter; but to a plain question about two statements, how
near it is to yes and to no tells more than what it would say. Its word is one more thing to be weighed, and no more.
Knows nothing of how statements are weighed, or of how facts are kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from memagent.errors import LLMError
from memagent.facts.extract import asked_in_steps
from memagent.llm import LLM, Request, Weighing
from memagent.messages import Message, storable, unmarked

log = logging.getLogger(__name__)

MOST = 4.0
"""However sure a model is of itself, it counts no more than this."""
LONGEST = 400
"""Of a statement so many characters are shown."""
_SYSTEM = "You are a careful editor."
_ASKED = "Can both statements be true? Answer yes or no."


class ModelChooser:
    """Asks a model about each pair by itself, for one word; `opened` gives it when it is first needed. `asked` counts
    the calls. Only of small models it is known how much their word weighs, so no other is asked.
    """

    def __init__(self, opened: Callable[[], LLM]) -> None:
        self._opened = opened
        self.asked = 0

    def against(self, statement: str, known: Sequence[str]) -> Sequence[float]:
        """How far the statement takes the place of each known one: above nothing, it rather does. No answer at all
        where the model can't be had, or can't tell.
        """
        found = []
        try:
            llm = self._opened()
            if not (isinstance(llm, Weighing) and asked_in_steps(llm)):
                return ()
            for text in known:
                odds = llm.weigh(_request(statement, text), ("no", "yes"))
                if len(odds) != 2:
                    return ()
                self.asked += 1
                found.append(max(-MOST, min(MOST, odds[0] - odds[1])))
        except LLMError as error:
            log.info("which fact a statement ends is decided by words alone: %s", error)
            return ()
        return found


def _request(statement: str, known: str) -> Request:
    told = f"Statement 1: {known[:LONGEST]}\nStatement 2: {statement[:LONGEST]}\n{_ASKED}"
    when = datetime.min
    return Request([
        Message("system", "boot", _SYSTEM, when),
        Message("user", "user", unmarked(storable(told)), when),
    ])  # fmt: skip
