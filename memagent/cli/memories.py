"""`memagent memories`: persons, events, conversations and memories of your own kinds, listed, shown and edited by hand.

Those of the user, which all agents share, or with --agent those of one agent alone. Knows nothing of how they are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memagent.cli.light import Commands
from memagent.cli.names import agents
from memagent.errors import NotFound, UserError

if TYPE_CHECKING:
    from memagent.facts import Fact
    from memagent.facts.kinds import How, Kind
    from memagent.facts.people import Relation
    from memagent.facts.records import Record, Records

Name = Annotated[str, typer.Argument(help="Its name or number; a person's alias, or like: my sister.")]
Agent = Annotated[
    str, typer.Option("--agent", "-a", autocompletion=agents, help="Those of this agent alone, not those all share.")
]
User = Annotated[str, typer.Option("--user", help="Whose memories; without it, yours.")]
OfKind = Annotated[str, typer.Option("--kind", "-k", help="person, event, fact, conversation, or one of your own.")]
Json = Annotated[bool, typer.Option("--json", help="For scripts.")]

_FIELD = re.compile(r"\s*(\w+)\s*([+-]?)=(.*)", re.DOTALL)
PAGE = 50


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = Commands(help="Persons, events and other typed memories.", no_args_is_help=True)
    group.command("list")(list_memories)
    for command in (show, add, edit, history, undo, forget, restore, kinds):
        group.command()(command)
    app.add_typer(group, name="memories")


@contextmanager
def records_of(agent: str, user: str) -> Iterator[Records]:
    """The typed memories of a user, or of one agent alone."""
    from memagent.assemble import local_time
    from memagent.cli.opened import opened
    from memagent.facts.kinds import Kinds
    from memagent.facts.ledger import Ledger, keeper
    from memagent.facts.records import Records

    with opened({"user": user or None}) as home:
        alone = home.entry(agent).id if agent else None
        own = keeper(home.database, home.settings.user, alone, local_time())
        yield Records(Ledger(home.database, own), Kinds(home.settings.home / "kinds"), local_time)


def list_memories(
    kind: OfKind = "", page: Annotated[int, typer.Option(min=0, help="Which page, from 0.")] = 0,
    agent: Agent = "", user: User = "", json: Json = False,
) -> None:  # fmt: skip
    """List typed memories, the newest first. Plain facts are listed with --kind fact only."""
    from memagent.cli.opened import as_json
    from memagent.cli.rows import print_rows
    from memagent.log import plain_to_see

    with records_of(agent, user) as records:
        found = records.listed(kind, start=page * PAGE, limit=PAGE)
        total = records.count(kind)
    if json:
        as_json({"results": [as_data(one) for one in found], "total": total, "page": page, "size": PAGE})
        return
    rows = [
        {"number": one.number, "kind": one.kind.name, "name": plain_to_see(_short(one.name, 30)),
         "what": plain_to_see(_short(one.fact.text, 80))}
        for one in found
    ]  # fmt: skip
    if rows:
        print_rows(rows)
    if total > PAGE:
        typer.echo(f"{page * PAGE + 1}-{page * PAGE + len(found)} of {total:,}; more with --page {page + 1}")
    elif not rows:
        typer.echo("There are none yet. Add one with: memagent memories add person name=Anna relation=sister")


def show(name: Name, kind: OfKind = "", agent: Agent = "", user: User = "", json: Json = False) -> None:
    """Show a memory with its fields; of a person also whom it is related to, and the facts about it."""
    from memagent.cli.opened import as_json
    from memagent.facts.people import facts_about, related, relations

    facts: Sequence[Fact] = ()
    ties: Sequence[Relation] = ()
    total = 0
    with records_of(agent, user) as records:
        found = records.find(name, kind)
        if found.kind.name == "person":
            people = records.people()
            ties = related(found, relations(people))
            facts, total = facts_about(records.ledger, found, people, limit=PAGE)
        with_whom, said = _talk(records, found)
    if json:
        told = [{"number": fact.id, "text": fact.text, "since": fact.since} for fact in facts]
        more = {"relations": [vars(tie) for tie in ties], "facts": told, "facts_in_all": total} if ties or facts else {}
        as_json({**as_data(found), **more, **({"words": said} if said else {})})
        return
    _print_record(found, {"agent": with_whom} if with_whom else {})
    _print_lines("Relations", [tie_told(tie, found) for tie in ties])
    rest = [f"… and {total - len(facts):,} more"] if total > len(facts) else []
    _print_lines("Facts", [f"{fact.text}  ({fact.id})" for fact in facts] + rest)
    _print_lines("Words", said.splitlines())


def _talk(records: Records, found: Record) -> tuple[str, str]:
    """The name of the agent that a conversation was with, and its words, if they are there still."""
    from memagent.facts.kinds import Conversation
    from memagent.facts.talks import agent_of, words

    if not isinstance(found.value, Conversation):
        return "", ""
    database, owner = records.ledger.database, records.ledger.keeper.owner
    try:
        name = agent_of(database, owner, found.value.agent)[1] if found.value.agent else ""
        return name, words(database, owner, found.value)
    except NotFound:
        return "one that is deleted, with its messages", found.value.transcript


def add(
    kind: Annotated[str, typer.Argument(help="person, event, fact, conversation, or one of your own kinds.")],
    fields: Annotated[list[str], typer.Argument(help="name=Anna relation=sister … Several values: parted by ;")],
    about: Annotated[str, typer.Option("--about", help="Whom it is about; without it, you.")] = "user",
    agent: Agent = "", user: User = "", json: Json = False,
) -> None:  # fmt: skip
    """Add a memory of some kind, field by field."""
    from memagent.facts import Cause

    with records_of(agent, user) as records:
        declared = records.kinds.find(kind)
        changes = _changes(fields, declared)
        if wrong := [name for name, how, _ in changes if how != "set"]:
            raise UserError(f"There is nothing in {wrong[0]} yet.", hint=f"Write: {wrong[0]}=…")
        given = _linked(records, declared, {name: value for name, _, value in changes}, None)
        kept = records.create(declared.name, given, Cause("user", "by hand"), about=about)
    _tell(kept, json)


def edit(
    name: Name,
    fields: Annotated[list[str], typer.Argument(help="field=value, field+=one more, field-=one less.")],
    kind: OfKind = "", agent: Agent = "", user: User = "", json: Json = False,
) -> None:  # fmt: skip
    """Change fields of a memory. What it was before stays in its history."""
    from memagent.facts import Cause
    from memagent.facts.records import differences

    with records_of(agent, user) as records:
        found = records.find(name, kind)
        changes = _changes(fields, found.kind)
        given = _linked(records, found.kind, found.kind.changes(found.value, changes), found)
        kept = records.change(found, given, Cause("user", "by hand"))
        changed = differences(found, kept)
    if json:
        _print_json({**as_data(kept), "changed": {field: list(pair) for field, pair in changed.items()}})
    else:
        _print_changes(kept, changed)


def history(name: Name, kind: OfKind = "", agent: Agent = "", user: User = "", json: Json = False) -> None:
    """Show all that a memory was: from what to what, when, and by whom."""
    from memagent.log import harmless

    with records_of(agent, user) as records:
        steps = records.history(records.find(name, kind))
    if json:
        _print_json(
            [{**as_data(step.record), "changed": {k: list(v) for k, v in step.changed.items()}} for step in steps]
        )
        return
    for step in steps:
        fact = step.record.fact
        ended = f", {fact.how} {fact.ended:%Y-%m-%d %H:%M}" if fact.ended else ""
        head = f"{fact.said:%Y-%m-%d %H:%M}  {step.record.name} ({fact.id})  by {fact.cause.origin}{ended}"
        typer.secho(harmless(head), bold=True)
        if step.changed:
            for field, (before, after) in step.changed.items():
                typer.echo(harmless(f"  {field}: {before or '(nothing)'} → {after or '(nothing)'}"))
        else:
            typer.echo(harmless(f"  {fact.text}"))


def undo(name: Name, kind: OfKind = "", agent: Agent = "", user: User = "", json: Json = False) -> None:
    """Take back the newest change of a memory; again for the one before."""
    from memagent.facts import Cause

    with records_of(agent, user) as records:
        kept = records.undo(records.find(name, kind), Cause("user", "undo by hand"))
    _tell(kept, json)


def forget(name: Name, kind: OfKind = "", agent: Agent = "", user: User = "", json: Json = False) -> None:
    """Forget a memory. No answer shows it any more; `restore` brings it back."""
    from memagent.facts import Cause
    from memagent.log import harmless

    with records_of(agent, user) as records:
        gone = records.forget(records.find(name, kind), Cause("user", "by hand"))
    if json:
        _print_json(as_data(gone))
    else:
        typer.echo(harmless(f"Forgot {gone.name}. It comes back with: memagent memories restore {gone.number}"))


def restore(
    number: Annotated[int, typer.Argument(help="Its number.")], agent: Agent = "", user: User = "", json: Json = False
) -> None:
    """Bring back a memory that was forgotten."""
    from memagent.facts import Cause

    with records_of(agent, user) as records:
        kept = records.restore(number, Cause("user", "by hand"))
    _tell(kept, json)


def kinds(json: Json = False) -> None:
    """List the kinds of memories, with their fields."""
    from memagent import config
    from memagent.facts.kinds import Kinds
    from memagent.log import harmless

    found = Kinds(config.load({}).home / "kinds").all()
    if json:
        data = [
            {"name": one.name, "about": one.about, "from": one.where,
             "fields": {name: form.wants for name, form in one.forms.items()}}
            for one in found
        ]  # fmt: skip
        _print_json(data)
        return
    for one in found:
        typer.secho(one.name + (f"  ({one.where})" if one.where != "memagent" else ""), bold=True)
        typer.echo(harmless(f"  {one.about}"))
        for name, form in one.forms.items():
            typer.echo(f"  {name}: {form.wants}")


# What is told ---------------------------------------------------------------------------------------------------------


def as_data(record: Record) -> dict[str, Any]:
    """A memory for a script."""
    fact = record.fact
    return {
        "number": fact.id, "kind": record.kind.name, "name": record.name, "about": fact.about,
        "fields": record.kind.plain(record.value), "text": fact.text, "said": fact.said, "by": fact.cause.origin,
        "state": fact.state, "ended": fact.ended, "how": fact.how,
    }  # fmt: skip


def tie_told(tie: Relation, person: Record) -> str:
    """A relation as it is told on the page of one of the two."""
    if tie.of == person.name or (tie.of == "user" and person.value.relation == "user"):
        return f"{tie.other}: {tie.what}"
    return f"{tie.what} of {'the user' if tie.of == 'user' else tie.of}"


def _tell(record: Record, json: bool) -> None:
    if json:
        _print_json(as_data(record))
    else:
        _print_record(record)


def _print_json(data: Any) -> None:
    from memagent.cli.opened import as_json

    as_json(data)


def _print_record(record: Record, instead: Mapping[str, str] = MappingProxyType({})) -> None:
    """A memory with its fields; some of them as they are told `instead`."""
    from memagent.facts.fields import told
    from memagent.log import harmless

    fact = record.fact
    typer.secho(harmless(record.name), bold=True)
    state = "" if fact.state == "holds" else f", {fact.how} {fact.ended:%Y-%m-%d}" if fact.ended else f", {fact.state}"
    typer.echo(harmless(f"  {record.kind.name} {fact.id}, since {fact.said:%Y-%m-%d}, by {fact.cause.origin}{state}"))
    for name in list(record.kind.forms)[1:]:
        if getattr(record.value, name) not in (None, "", (), {}):
            typer.echo(harmless(f"  {name}: {instead.get(name) or told(getattr(record.value, name))}"))


def _print_lines(heading: str, lines: Sequence[str]) -> None:
    from memagent.log import harmless

    if lines:
        typer.secho(heading, bold=True)
    for line in lines:
        typer.echo(harmless(f"  {line}"))


def _print_changes(record: Record, changed: dict[str, tuple[str, str]]) -> None:
    from memagent.log import harmless

    if not changed:
        typer.echo("It reads like that already.")
        return
    typer.secho(harmless(f"{record.name} ({record.number})"), bold=True)
    for field, (before, after) in changed.items():
        typer.echo(harmless(f"  {field}: {before or '(nothing)'} → {after or '(nothing)'}"))


# What is given --------------------------------------------------------------------------------------------------------


def _changes(words: Sequence[str], kind: Kind) -> list[tuple[str, How, str]]:
    """Changes of fields, as they are written on the command line."""
    found: list[tuple[str, How, str]] = []
    marks: dict[str, How] = {"": "set", "+": "add", "-": "drop"}
    for word in words:
        match = _FIELD.fullmatch(word)
        if not match:
            raise UserError(f"{word[:60]!r} names no field.", hint=f"Write FIELD=VALUE. {kind.fields_told()}")
        found.append((match[1], marks[match[2]], match[3]))
    return found


def _linked(records: Records, kind: Kind, given: dict[str, Any], before: Record | None) -> dict[str, Any]:
    """The same fields; of a conversation, with the agent by what stays when it is renamed."""
    from memagent.facts.kinds import Conversation
    from memagent.facts.talks import linked

    if kind.made is not Conversation:
        return given
    value = kind.make(given, before.value if before else None)
    keeper = records.ledger.keeper
    return {**given, "agent": linked(records.ledger.database, keeper.owner, value).agent} if value.agent else given


def _short(text: str, most: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
