"""Holds the scripted cases of bench/facts.yaml and bench/facts_fresh.yaml to what they claim: that a perfect extractor
passes them all, and that one which takes nothing, or everything, does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, get_args

import pytest

from bench.facts_cases import KINDS, Half, Perfect, load, play
from memagent.facts import Draft, Fact, Said

CASES = load()
OF_KIND = {kind: [case for case in CASES if case.kind == kind] for kind in KINDS}


class Blind(Perfect):
    """Takes nothing."""

    def extract(self, _talk: Sequence[Said], _known: Sequence[Fact]) -> Sequence[Draft]:
        return []


class Greedy(Perfect):
    """Takes every word for a fact about the user."""

    def extract(self, talk: Sequence[Said], _known: Sequence[Fact]) -> Sequence[Draft]:
        return [Draft(said.text, message=said.seq) for said in talk]


def test_there_are_enough_cases_of_each_kind_and_in_each_half() -> None:
    assert len(CASES) >= 120 and len({case.id for case in CASES}) == len(CASES)
    assert min(Counter(case.kind for case in CASES).values()) >= 10
    assert min(Counter((case.kind, case.half) for case in CASES if case.half != "fresh").values()) >= 5
    assert min(Counter(case.kind for case in CASES if case.half == "fresh").values()) >= 2


@pytest.mark.parametrize("half", [half for half in get_args(Half) if half != "given"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_extracted_perfectly_is_answered_rightly_in_another_session(kind: str, half: Half) -> None:
    played = [play(case, Perfect(case)) for case in OF_KIND[kind] if case.half == half]
    assert [(p.case.id, p.answer) for p in played if not p.right] == []
    assert [(p.case.id, p.false) for p in played if p.false] == []
    assert not any(p.forgotten_returned for p in played)


@pytest.mark.parametrize("kind", ["state", "list"])
def test_who_takes_nothing_answers_nothing(kind: str) -> None:
    assert not any(play(case, Blind(case)).right for case in OF_KIND[kind][::2])


@pytest.mark.parametrize("kind", ["joke", "change"])
def test_who_takes_everything_is_told_apart(kind: str) -> None:
    played: list[Any] = [play(case, Greedy(case)) for case in OF_KIND[kind][::2]]
    assert sum(p.right for p in played) < len(played) / 2
    assert all(p.false for p in played if kind == "joke")


def test_it_remembers_among_many_other_facts() -> None:
    for case in OF_KIND["state"][:3]:
        assert play(case, Perfect(case), among=60).right
