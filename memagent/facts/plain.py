"""Takes facts from talk without a model: plain statements of the user about themselves.

Knows nothing of how facts are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from memagent.facts import Draft, Fact, Said

_SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")
_STATEMENT = re.compile(r"\s*(I(?:'m| am| have| like| love| use| work| live| prefer| hate)|My)\b", re.IGNORECASE)
_NEGATED = re.compile(r"\s*I (?:don't|do not|no longer) \w+ .*", re.IGNORECASE)


class PlainExtractor:
    """Finds what the user says of themselves in the first person."""

    def extract(self, talk: Sequence[Said], known: Sequence[Fact]) -> Sequence[Draft]:  # noqa: ARG002
        """Each such sentence as it stands."""
        return list(_found(talk))


def _found(talk: Sequence[Said]) -> Iterator[Draft]:
    for said in talk:
        for sentence in _SENTENCE.findall(said.text) if said.who == "user" else ():
            if sentence.rstrip().endswith("?"):
                continue
            if _NEGATED.match(sentence):
                yield Draft(sentence.strip(), holds=False, quote=sentence.strip(), message=said.seq)
            elif _STATEMENT.match(sentence):
                yield Draft(sentence.strip(), quote=sentence.strip(), message=said.seq)
