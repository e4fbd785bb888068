"""When facts lapse by themselves: what was to hold until a day that has passed, and what nobody has said for long.

How sure a fact is fades with its age, by its kind; what was said again and again fades later, what was written by hand
not at all. Nothing is lost: what lapses is in the past, with the rule that did it. Knows nothing of finding facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import log2

from memagent.facts import BY_HAND, Cause, Fact
from memagent.facts.ledger import Ledger
from memagent.memory.days import over

_HALF_LIVES = {"plan": 60.0, "instruction": 180.0, "preference": 730.0, "event": 3650.0}
BATCH = 500


@dataclass(frozen=True)
class Policy:
    """`half_life` tells by kind after how many days a fact is half as sure as when it was said last; `usual` is that
    of all other kinds, 0 means never. What is less sure than `least` lapses.
    """

    half_life: Mapping[str, float] = field(default_factory=lambda: _HALF_LIVES)
    usual: float = 1095.0
    least: float = 0.1

    def confidence(self, fact: Fact, now: datetime) -> float:
        """How sure a fact is now."""
        days = self.half_life.get(fact.kind, self.usual)
        if fact.cause.origin in BY_HAND or days <= 0:
            return fact.confidence
        age = max(0.0, (now - (fact.renewed or fact.said)).total_seconds() / 86400)
        return float(fact.confidence * 0.5 ** (age / (days * (1 + log2(max(1, fact.confirmed))))))

    def lapsed(self, fact: Fact, now: datetime) -> str:
        """Why a fact does not hold any more by itself; empty if it does. What has its day does not fade before it."""
        if fact.until:
            return f"it held until {fact.until}" if over(fact.until, now.date()) else ""
        if self.confidence(fact, now) < self.least:
            return f"nobody has said so since {(fact.renewed or fact.said).date().isoformat()}"
        return ""

    @property
    def soonest(self) -> float:
        """After how many days the first fact may fade, however unsure it was."""
        lives = [days for days in (*self.half_life.values(), self.usual) if days > 0]
        return min(lives, default=0.0)


USUAL = Policy()


def sweep(ledger: Ledger, policy: Policy, now: datetime) -> int:
    """Let all facts lapse that no longer hold by themselves; returns how many."""
    old = now - timedelta(days=policy.soonest) if policy.soonest else None
    return lapse(ledger, policy, now) + (_lapse(ledger, policy, now, ledger.renewed_before(old)) if old else 0)


def lapse(ledger: Ledger, policy: Policy, now: datetime) -> int:
    """Let those lapse whose day has passed, which is quick; returns how many."""
    return _lapse(ledger, policy, now, ledger.until_before(now.date().isoformat()))


def _lapse(ledger: Ledger, policy: Policy, now: datetime, facts: list[Fact]) -> int:
    lapsed = [(fact, why) for fact in facts if (why := policy.lapsed(fact, now))]
    done = 0
    for start in range(0, len(lapsed), BATCH):
        with ledger.database.write(ledger.keeper.shelf) as tx:
            for fact, why in lapsed[start : start + BATCH]:
                still = ledger.seen(tx, fact.id)
                if still and still.state == "holds" and policy.lapsed(still, now):
                    ledger.end(tx, still, "expired", Cause("policy", why), now)
                    done += 1
    return done
