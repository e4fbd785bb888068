"""`memagent facts`: what is known, from talk and by hand; looked up, put right, taken away and brought back.

Knows nothing of how facts are found in talk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from memagent.cli.light import Commands
from memagent.cli.names import agents
from memagent.errors import UserError

if TYPE_CHECKING:
    from memagent.cli.opened import Opened
    from memagent.config import Settings
    from memagent.facts import Fact, State
    from memagent.facts.behind import Leaving
    from memagent.facts.keeping import FactMemory
    from memagent.library import Library
    from memagent.roster import Entry

AgentName = Annotated[
    str, typer.Option("--agent", "-a", autocompletion=agents, help="What this agent knows; else what all share.")
]
User = Annotated[str, typer.Option("--user", help="Whose facts; else those of the setting user.")]
Json = Annotated[bool, typer.Option("--json", help="For scripts.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Number = Annotated[int, typer.Argument(help="The fact's number, as `facts list` shows it.")]
Kind = Annotated[str, typer.Option("--kind", help="Only facts of this kind.")]
About = Annotated[str, typer.Option("--about", help="Only facts about this person; user is yourself.")]
Past = Annotated[bool, typer.Option("--past", help="What held once, too.")]


STILL_WAITING = 3
"""What waits could not be read, as the exit code tells."""


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = Commands(help="What is known, from talk and by hand.", no_args_is_help=True)
    for command in (add, search, list_, forget, restore, correct, end, history, why, ask, read):
        group.command(command.__name__.rstrip("_"))(command)
    app.add_typer(group, name="facts")


@dataclass
class Knowing:
    """The facts that are meant, with the names of agents, and the model that finds facts if there is one."""

    memory: FactMemory
    agents: dict[str, str]
    llm: Leaving | None
    library: Library


@contextmanager
def knowing(agent: str, user: str) -> Iterator[Knowing]:
    """The facts that all agents of a user share, or those that one agent knows."""
    from memagent import config
    from memagent.cli.fact_lines import names
    from memagent.cli.opened import opened
    from memagent.library import Library
    from memagent.upkeep import open_facts

    flags = {"user": user} if user else {}
    with opened(flags) as home:
        entry = home.roster.find(agent) if agent else None
        settings = config.load(flags, entry.settings["settings"]) if entry else home.settings
        if settings.facts == "own" and not entry:
            raise UserError("Each agent keeps facts of its own.", hint="Name one with --agent.")
        llm = _model(settings)
        memory = open_facts(settings, home.database, entry.id if entry else "", llm=llm)
        if memory is None:
            raise UserError("No facts are kept: the setting facts is off.", hint="memagent configure --set facts=on")
        try:
            yield Knowing(memory, names(home.database, settings.user), llm, Library(settings.home))
        finally:
            if llm:
                llm.close()


def _model(settings: Settings) -> Leaving | None:
    """The model that finds facts, where one is set up."""
    from memagent.assemble import open_model
    from memagent.upkeep import facts_model

    named = settings.model or settings.facts_model or settings.endpoint or settings.facts_endpoint or settings.api_key
    if not named and settings.facts_provider == "auto" and settings.provider == "openai":
        return None
    return facts_model(settings, lambda: open_model(settings))


def add(
    text: Annotated[str, typer.Argument(help="What to learn, in your own words; - reads standard input.")],
    exactly: Annotated[
        bool, typer.Option("--exactly", help="Keep these very words as one fact; ask no model.")
    ] = False,
    about: Annotated[str, typer.Option("--about", help="Whom it is about, with --exactly; else yourself.")] = "",
    agent: AgentName = "",
    user: User = "",
    json: Json = False,
) -> None:
    """Learn from something that you say.

    What it contradicts ends, what it takes back is taken back. Facts by your own hand outrank those from talk.
    """
    from memagent.cli.fact_lines import outcome, row
    from memagent.cli.opened import as_json, piped_in, working
    from memagent.facts import USER, Cause
    from memagent.facts.keeping import Outcome

    words = " ".join((piped_in().decode("utf-8-sig", "replace") if text == "-" else text).split())
    if not words:
        raise UserError("What is there to learn?", hint='Say it: memagent facts add "I use Shram"')
    if about and not exactly:
        raise UserError("--about goes with --exactly.", hint="Else it is found out from what you say.")
    with knowing(agent, user) as known:
        if exactly:
            done = [Outcome("learned", known.memory.state(words, Cause("user"), about=about or USER))]
        else:
            with working("thinking"):
                done = known.memory.add(words, cause=Cause("user"))
    if json:
        as_json([{"what": each.what, "fact": row(each.fact)} for each in done])
        return
    for each in done:
        typer.echo(outcome(each))
    if not done:
        typer.echo("There is nothing in that to be kept. To keep it as it stands: --exactly")


def search(
    query: Annotated[str, typer.Argument(help="Words to look for, or a question.")],
    past: Past = False,
    kind: Kind = "",
    about: About = "",
    page: Annotated[int, typer.Option(min=0, help="Which page, from 0.")] = 0,
    agent: AgentName = "",
    user: User = "",
    json: Json = False,
) -> None:
    """Find facts by words and meaning, best first."""
    states: Sequence[State] = ("holds", "past") if past else ("holds",)
    with knowing(agent, user) as known:
        found = known.memory.search(query, page, states=states, kind=kind, about=_whom(known, about, states))
    _tell([match.fact for match in found.matches], json, "Nothing is known of that.")


def list_(
    past: Past = False,
    forgotten: Annotated[bool, typer.Option("--forgotten", help="What is forgotten, and nothing else.")] = False,
    kind: Kind = "",
    about: About = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest first.")] = 50,
    agent: AgentName = "",
    user: User = "",
    json: Json = False,
) -> None:
    """List facts, the newest first."""
    states: Sequence[State] = ("forgotten",) if forgotten else ("holds", "past") if past else ("holds",)
    with knowing(agent, user) as known:
        about = _whom(known, about, states)
        facts = known.memory.ledger.listed(states, kind=kind, about=about, limit=limit)
        more = known.memory.ledger.count(states, kind=kind, about=about) - len(facts)
    _tell(facts, json, "Nothing is forgotten." if forgotten else "Nothing is known yet.")
    if more and not json:
        typer.echo(f"… and {more:,} more; --limit shows them.", err=True)


def _whom(known: Knowing, about: str, states: Sequence[State]) -> str:
    """Whom facts shall be about, as they call them; all, if nobody is named."""
    from memagent.facts.people import spelled

    return spelled(known.memory.ledger, about, states) if about else ""


def _tell(facts: Sequence[Fact], json: bool, nothing: str) -> None:
    from memagent.cli.fact_lines import line, row
    from memagent.cli.opened import as_json

    if json:
        as_json([row(fact) for fact in facts])
        return
    for fact in facts:
        typer.echo(line(fact))
    if not facts:
        typer.echo(nothing)


def forget(number: Number, yes: Yes = False, agent: AgentName = "", user: User = "") -> None:
    """Forget a fact: no answer shows a trace of it. Its history does, and it can be brought back."""
    from memagent.cli.opened import confirmed
    from memagent.facts import Cause
    from memagent.log import harmless

    with knowing(agent, user) as known:
        fact = known.memory.ledger.get(number)
        if fact.state == "forgotten":
            raise UserError(
                f"Fact {number} is forgotten already.", hint=f"Bring it back: memagent facts restore {number}"
            )
        if not confirmed(harmless(f"Forget this: {fact.text}?"), yes):
            raise typer.Exit(1)
        known.memory.forget(number, Cause("user"))
    typer.echo(f"Forgotten. It can be brought back: memagent facts restore {number}")


def restore(number: Number, agent: AgentName = "", user: User = "") -> None:
    """Bring back a fact that ended or was forgotten."""
    from memagent.cli.fact_lines import line
    from memagent.facts import Cause

    with knowing(agent, user) as known:
        if known.memory.ledger.get(number).state == "holds":
            raise UserError(f"Fact {number} holds already.")
        typer.echo(f"It holds again: {line(known.memory.restore(number, Cause('user'))).strip()}")


def correct(
    number: Number, text: Annotated[str, typer.Argument(help="What is right.")], agent: AgentName = "", user: User = ""
) -> None:
    """Put other words in the place of a fact; the old ones stay in its history."""
    from memagent.cli.fact_lines import line
    from memagent.facts import Cause

    words = " ".join(text.split())
    if not words:
        raise UserError("What is right?", hint=f"To take the fact away: memagent facts forget {number}")
    with knowing(agent, user) as known:
        _holding(known.memory, number)
        typer.echo(f"Corrected: {line(known.memory.correct(number, words, Cause('user'))).strip()}")


def end(
    number: Number,
    until: Annotated[str, typer.Option("--until", help="Until when it held, like 2026-05-31; else until now.")] = "",
    yes: Yes = False,
    agent: AgentName = "",
    user: User = "",
) -> None:
    """End a fact: it held, and does not any more."""
    from memagent.cli.opened import confirmed, day
    from memagent.facts import Cause
    from memagent.log import harmless

    last = day(until)
    with knowing(agent, user) as known:
        fact = _holding(known.memory, number)
        if not confirmed(harmless(f"Does this not hold any more: {fact.text}?"), yes):
            raise typer.Exit(1)
        known.memory.end(number, Cause("user"), last.isoformat() if last else None)
    typer.echo(f"It is past. To bring it back: memagent facts restore {number}")


def _holding(memory: FactMemory, number: int) -> Fact:
    fact = memory.ledger.get(number)
    if fact.state != "holds":
        raise UserError(
            f"Fact {number} does not hold any more.", hint=f"Bring it back: memagent facts restore {number}"
        )
    return fact


def history(
    what: Annotated[str, typer.Argument(help="A fact's number, or words.")],
    agent: AgentName = "",
    user: User = "",
    json: Json = False,
) -> None:
    """Show all that became of a fact, or of those with some words: of forgotten ones too."""
    from memagent.cli.fact_lines import change_row, row
    from memagent.cli.fact_lines import history as lines
    from memagent.cli.opened import as_json

    with knowing(agent, user) as known:
        ledger = known.memory.ledger
        facts = ledger.line(ledger.get(int(what)).id) if what.isdecimal() else _ever(known.memory, what)
        if json:
            as_json([{**row(fact), "changes": [change_row(c) for c in ledger.history(fact.id)]} for fact in facts])
            return
        told = list(lines(ledger, facts, known.agents))
    for each in told:
        typer.echo(each)
    if not told:
        typer.echo("Nothing was ever known of that.")


def _ever(memory: FactMemory, words: str) -> list[Fact]:
    """Facts with some of these words, whatever their state; what was forgotten is found by its words alone."""
    found = [match.fact for match in memory.search(words, size=20, states=("holds", "past")).matches]
    wanted = {word.casefold() for word in words.split() if len(word) > 2}
    gone = memory.ledger.listed(("forgotten",), limit=10_000)
    return [*found, *(fact for fact in gone if any(word in fact.text.casefold() for word in wanted))]


def why(number: Number, agent: AgentName = "", user: User = "", json: Json = False) -> None:
    """Show where a fact comes from: the words, the message and its date, the agent, and each change since."""
    from memagent.cli.fact_lines import change_row, row
    from memagent.cli.fact_lines import why as lines
    from memagent.cli.opened import as_json

    with knowing(agent, user) as known:
        fact = known.memory.ledger.get(number)
        if json:
            changes = [change_row(change) for change in known.memory.ledger.history(number)]
            as_json({**row(fact), "agent": known.agents.get(fact.cause.agent or "", ""), "changes": changes})
            return
        for each in lines(known.memory, fact, known.agents):
            typer.echo(each)


def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")], agent: AgentName = "", user: User = ""
) -> None:
    """Answer a question from what is known."""
    from memagent.cli.opened import working
    from memagent.facts.answer import answered
    from memagent.log import harmless

    with knowing(agent, user) as known, working("thinking"):
        instruction = known.library.text("prompts", "facts_answer")
        model = known.llm.opened() if known.llm else None
        answer = answered(known.memory, question, known.memory.clock().date(), llm=model, instruction=instruction)
    typer.echo(harmless(answer))


def read(
    agent: Annotated[
        str, typer.Argument(help="Only this agent's messages; else those of all.", autocompletion=agents)
    ] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="From the beginning, whatever was read or passed over before.")
    ] = False,
    loaded: Annotated[
        bool, typer.Option("--loaded", help="What was loaded of conversations with other programs, instead.")
    ] = False,
) -> None:
    """Read now what waits to be read for facts.

    A chat does it by itself while you type. What was said before there were facts is only read with --all, what was
    said to other programs only with --loaded.
    """
    from memagent.cli.opened import opened
    from memagent.log import start_log

    with opened() as home:
        start_log(home.settings)
        entries = [home.roster.find(agent)] if agent else home.roster.all()
        if not all([_read(home, entry, everything, loaded) for entry in entries]):
            raise typer.Exit(STILL_WAITING)


def _read(home: Opened, entry: Entry, everything: bool, loaded: bool) -> bool:
    """Read what there is, and tell what came of it; whether nothing is left."""
    from memagent import config
    from memagent.cli.fact_lines import outcome
    from memagent.cli.opened import spun
    from memagent.facts import elsewhere
    from memagent.upkeep import open_behind

    behind = open_behind(config.load({}, entry.settings["settings"]), home.database, entry)
    if behind.reader is None:
        typer.echo(f"No facts are kept of what is said to {entry.name}: the setting facts is off.", err=True)
        return True
    readers = elsewhere.readers(behind.reader.memory, entry.id) if loaded else [behind.reader]
    if everything:
        for reader in readers:
            reader.go_back()
    count, learned = sum(reader.waiting() for reader in readers), 0
    try:
        for reader in readers:
            for outcomes in spun(reader.read(), f"reading what was said to {entry.name}"):
                learned += len(outcomes)
                for each in outcomes:
                    typer.echo(outcome(each))
            if reader.waiting():
                break
    finally:
        behind.finish()
    if left := sum(reader.waiting() for reader in readers):
        failed = reader.progress(home.database.rows).failed
        typer.echo(f"{left:,} messages of {entry.name} still wait. {failed}".strip(), err=True)
        return False
    if not learned:
        typer.echo(
            f"{entry.name}: {f'nothing to be kept in {count:,} messages' if count else 'nothing waits'}.", err=True
        )
    return True
