"""What a new statement means for what is known: it says the same, says more, contradicts it, or ends it.

Decided by words and meaning alone, without a model, unless the extractor has told what is replaced. Knows nothing of
how facts are kept or found.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from memagent.facts import Draft, Fact
from memagent.facts.finding import Match

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Verdict:
    """What becomes of known facts: which, and whether that is `doubtful`, so that facts by hand are left alone."""

    what: Literal["learned", "confirmed", "refined", "contradicted", "ended"]
    facts: Sequence[Fact] = ()
    doubtful: bool = True


def decide(draft: Draft, known: Sequence[Match]) -> Verdict:
    """What a draft means for the facts that are nearest to it, the nearest first."""
    facts = [match.fact for match in known if match.fact.about == draft.about and match.fact.kind == draft.kind]
    named = [fact for fact in facts if fact.text in draft.replaces]
    if not draft.holds:
        return Verdict("ended", named or facts[:1], doubtful=False)
    same = next((fact for fact in facts if _words(fact.text) == _words(draft.text)), None)
    if same:
        return Verdict("confirmed", [same])
    if named:
        return Verdict("contradicted", named)
    return Verdict("learned")


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
