"""The commands inside a chat, from /exit to /undo: each a small function on the chat, with its line of help.

Knows nothing of how the chat reads and prints.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from memagent.cli.console import KEYS
from memagent.errors import UserError
from memagent.memory.sources import Sources
from memagent.messages import Message, ToolCall, alert, heartbeat

if TYPE_CHECKING:
    from memagent.cli.chat import Chat
    from memagent.facts.keeping import FactMemory
    from memagent.roster import Roster

Command = Callable[["Chat", str], None]


def run(chat: Chat, line: str) -> None:
    """Carry out a line that begins with a slash."""
    name, _, rest = line[1:].partition(" ")
    if name not in COMMANDS:
        from difflib import get_close_matches

        near = get_close_matches(name, COMMANDS, 1)
        hint = f"Did you mean /{near[0]}?" if near else "/help lists them."
        raise UserError(f"There is no command /{name}.", hint=hint)
    COMMANDS[name][0](chat, rest.strip())


def _exit(chat: Chat, _: str) -> None:
    chat.leaving = True


def _save(chat: Chat, _: str) -> None:
    chat.tell("Nothing to do: everything is stored as it happens.")


def _load(chat: Chat, name: str) -> None:
    if not name:
        raise UserError("Load which agent?", hint="/load NAME; `memagent list` names them.")
    chat.switch(name)


def _dump(chat: Chat, count: str) -> None:
    chat.tell_messages(chat.agent.state.log.last(_number(count, 20)))


def _dumpraw(chat: Chat, count: str) -> None:
    for message in chat.agent.state.log.last(_number(count, 20)):
        calls = [[call.name, call.arguments] for call in message.calls]
        chat.tell(json.dumps({**vars(message), "created": str(message.created), "calls": calls}, ensure_ascii=False))


def _memory(chat: Chat, rest: str) -> None:
    state = chat.agent.state
    word, _, label = rest.partition(" ")
    if word == "history":
        for edit in state.core.history(label or None, 20):
            chat.tell(
                f"{edit.created:%Y-%m-%d %H:%M}  {edit.label} version {edit.version}  by {edit.cause}\n{edit.diff()}"
            )
        return
    if word == "restore":
        name, _, version = label.partition(" ")
        edits = state.edit_block(
            name, state.core.version(name, _number(version, 0)).after, f"restore of version {version}"
        )
        chat.tell_edits(edits)
        return
    state.core.reload()
    chat.tell(state.core.render())
    chat.tell(
        "/memory history [BLOCK] shows every edit, /memory restore BLOCK VERSION goes back, /undo takes back the last."
    )


def _journal(chat: Chat, rest: str) -> None:
    from memagent.cli.journal import in_chat

    in_chat(chat, rest)


def _undo(chat: Chat, _: str) -> None:
    chat.tell_edits(chat.agent.state.undo_edit())


def _model(chat: Chat, name: str) -> None:
    if not name:
        chat.tell(f"{chat.agent.llm.model}, window {chat.agent.limits.window} tokens. Another one: /model NAME")
        return
    chat.use_model(name)


def _pop(chat: Chat, count: str) -> None:
    for _ in range(_number(count, 1)):
        words, left = chat.agent.state.undo_turn()
        chat.tell(f"Taken back: {words}" if words else "Taken back: what the agent did by itself.")
        if left:
            chat.tell(f"Left as they are, since they were edited again: {', '.join(left)}")


def _retry(chat: Chat, _: str) -> None:
    newest = chat.agent.state.log.newest_kinds()
    if not newest & {"user", "login"}:
        raise UserError(
            "The newest turn was the agent's own; there is nothing to ask again.", hint="/pop takes it back."
        )
    words, _left = chat.agent.state.undo_turn()
    chat.turn(chat.agent.turn(words) if words else chat.agent.greet())


def _rethink(chat: Chat, text: str) -> None:
    last = _last_answer(chat, "Rethink to what? /rethink THOUGHT", text)
    chat.agent.state.amend(last.seq, lambda m: replace(m, content=text) if m.seq == last.seq else m)
    chat.tell("The agent's last thought is changed.")


def _rewrite(chat: Chat, text: str) -> None:
    plain = chat.agent.speech == "plain"
    last = _last_answer(chat, "Rewrite to what? /rewrite WORDS", text, "" if plain else "send_message")

    def change(message: Message) -> Message:
        if message.seq == last.seq:
            return replace(message, content=text, said=text) if plain else _saying(message, text)
        return replace(message, said=text) if message.role == "tool" and message.said else message

    chat.agent.state.amend(last.seq, change)
    chat.tell("The agent's last reply is changed, in its memory too.")


def _saying(message: Message, text: str) -> Message:
    words = json.dumps({"message": text}, ensure_ascii=False)
    calls = tuple(ToolCall(c.id, c.name, words) if c.name == "send_message" else c for c in message.calls)
    return replace(message, calls=calls)


def _last_answer(chat: Chat, usage: str, text: str, calling: str = "") -> Message:
    if not text:
        raise UserError(usage)
    answers = [m for m in chat.agent.state.window if m.kind == "answer"]
    if calling:
        answers = [m for m in answers if any(call.name == calling for call in m.calls)]
    if not answers:
        raise UserError("The agent has not answered yet.")
    return answers[-1]


def _summarize(chat: Chat, _: str) -> None:
    chat.turn(chat.agent.summarize())


def _context(chat: Chat, _: str) -> None:
    chat.show_context()


def _thoughts(chat: Chat, _: str) -> None:
    chat.printer.thoughts = not chat.printer.thoughts
    chat.tell(f"Thoughts are {'shown' if chat.printer.thoughts else 'hidden'}.")


def _attach(chat: Chat, name: str) -> None:
    from memagent.cli.attaching import attach

    if not name:
        raise UserError("Attach which source?", hint="/attach SOURCE; /sources names them.")
    for line in attach(chat.agent.state.database, chat.agent.state.entry, [name]):
        chat.tell(line)


def _detach(chat: Chat, name: str) -> None:
    from memagent.cli.attaching import detach

    if not name:
        raise UserError("Detach which source?", hint="/detach SOURCE; /sources names them.")
    for line in detach(chat.agent.state.database, chat.agent.state.entry, [name]):
        chat.tell(line)


def _sources(chat: Chat, _: str) -> None:
    from memagent.cli.sources import NONE_YET

    entry = chat.agent.state.entry
    entries = Sources(chat.agent.state.database, entry.owner).all()
    for source in entries:
        mark = "✓" if entry.name in source.agents else " "
        chat.tell(f"  {mark} {source.name} ({source.passages:,} passages)")
    chat.tell("/attach SOURCE lets the agent search one, /detach SOURCE takes it away." if entries else NONE_YET)


def _facts(chat: Chat, words: str) -> None:
    from memagent.cli.fact_lines import line

    memory = _known(chat)
    facts = [match.fact for match in memory.search(words, size=30).matches] if words else memory.ledger.listed(limit=30)
    for fact in facts:
        chat.tell(line(fact))
    chat.tell("/why N shows where one comes from, /forget N forgets it." if facts else "Nothing is known yet.")


def _forget(chat: Chat, number: str) -> None:
    from memagent.facts import Cause

    fact = _known(chat).forget(_number(number, 0), Cause("user"))
    chat.tell(f"Forgotten: {fact.text}\nIt can be brought back: memagent facts restore {fact.id}")


def _why(chat: Chat, number: str) -> None:
    from memagent.cli.fact_lines import names, why

    memory, state = _known(chat), chat.agent.state
    for each in why(memory, memory.ledger.get(_number(number, 0)), names(state.database, state.entry.owner)):
        chat.tell(each)


def _known(chat: Chat) -> FactMemory:
    memory = chat.agent.state.facts
    if memory is None:
        raise UserError("No facts are kept: the setting facts is off.", hint="memagent configure --set facts=on")
    return memory


def _heartbeat(chat: Chat, _: str) -> None:
    chat.turn(chat.agent.turn(heartbeat("The user asked for a heartbeat.", chat.agent.state.clock())))


def _memorywarning(chat: Chat, _: str) -> None:
    from memagent.agent import PRESSURE

    chat.turn(chat.agent.turn(alert(PRESSURE, chat.agent.state.clock())))


def _help(chat: Chat, _: str) -> None:
    for name, (_command, text) in COMMANDS.items():
        chat.tell(f"  /{name.ljust(15)} {text}")
    chat.tell("")
    for keys, text in KEYS.items():
        chat.tell(f"  {keys.ljust(28)} {text}")


def _number(text: str, otherwise: int) -> int:
    if not text:
        return otherwise
    if not text.isdecimal() or int(text) == 0:
        raise UserError(f"{text!r} is not a number.", hint="Write a whole number from 1 on.")
    return int(text)


COMMANDS: dict[str, tuple[Command, str]] = {
    "help": (_help, "this list"),
    "exit": (_exit, "leave; bye, goodbye and Ctrl-D do the same"),
    "thoughts": (_thoughts, "show or hide what the agent thinks"),
    "context": (_context, "what fills the context window"),
    "contextwindow": (_context, "the same"),
    "memory": (_memory, "core memory; also: history [BLOCK], restore BLOCK VERSION"),
    "journal": (_journal, "the journal; also: show N, write"),
    "undo": (_undo, "take back the last edit of core memory"),
    "facts": (_facts, "what is known; /facts WORDS looks for some"),
    "why": (_why, "where a fact comes from: /why 12"),
    "forget": (_forget, "forget a fact: /forget 12"),
    "pop": (_pop, "take back the last exchange, everywhere; /pop 3 takes back three"),
    "retry": (_retry, "take back the last answer and ask again"),
    "rewrite": (_rewrite, "change what the agent said last"),
    "rethink": (_rethink, "change what the agent thought last"),
    "summarize": (_summarize, "summarise older messages now"),
    "sources": (_sources, "what was loaded; ✓ is what the agent can search"),
    "attach": (_attach, "let the agent search a source"),
    "detach": (_detach, "take a source away from the agent"),
    "model": (_model, "which model; /model NAME takes another one"),
    "load": (_load, "go on with another agent"),
    "save": (_save, "not needed: everything is stored as it happens"),
    "dump": (_dump, "the last messages, as a person reads them; /dump 50"),
    "dumpraw": (_dumpraw, "the last messages, as they are stored"),
    "heartbeat": (_heartbeat, "let the agent go on by itself once"),
    "memorywarning": (_memorywarning, "tell the agent that its context window is nearly full"),
}


def completions(roster: Roster, sources: Sources) -> tuple[dict[str, str], dict[str, Callable[[], list[str]]]]:
    """What the console can complete: the commands with their lines of help, and what can follow some of them."""
    arguments: dict[str, Callable[[], list[str]]] = {
        "load": lambda: [entry.name for entry in roster.all()],
        "memory": lambda: ["history", "restore"],
        "journal": lambda: ["show", "write"],
        "attach": lambda: [entry.name for entry in sources.all()],
        "detach": lambda: [entry.name for entry in sources.all() if entry.agents],
    }
    return {name: text for name, (_, text) in COMMANDS.items()}, arguments


LEAVE = ("exit", "quit", "goodbye", "bye", "/quit", "/bye")
"""Words that leave the chat when they stand alone."""
