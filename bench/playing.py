"""Plays a scripted conversation through the real product: an agent in a home of its own, in a real database.

A restart closes all of it and loads the agent from disk; only the model stays open, and small talk is written into the
log as finished turns, so that no model must make it. Every answer of the model is overheard. Knows nothing of how
results are counted or shown.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.talks import Heard, Memory, Past, Setup, Talk, Turn

if TYPE_CHECKING:
    from memagent.agent import Agent
    from memagent.config import Settings
    from memagent.llm import LLM, Answer, Request
    from memagent.persistence import PersistenceManager
    from memagent.tools import Tool

TODAY = datetime(2026, 3, 12, 10, tzinfo=timezone(timedelta(hours=1)))  # the same each time, so that prompts are too
LONG_AGO = timedelta(days=30)
VISIBLE = 2
"""Exchanges that a summary in a conversation's past leaves in view."""
FUNCTIONS = Path(__file__).with_name("functions")
OF_THE_USER = ("presets", "prompts", "personas", "humans", "functions")


@dataclass(frozen=True)
class Asked:
    """One request that was answered: what it cost, and what was wrong with each call in the answer ("" for nothing)."""

    prompt: int | None
    cached: int
    completion: int
    seconds: float
    calls: Sequence[tuple[str, str]] = ()
    summary: bool = False
    written: str = ""


@dataclass(frozen=True)
class Judged:
    """A rule, and whether it held."""

    rule: str
    measure: str
    ok: bool


@dataclass(frozen=True)
class TurnPlayed:
    """What came of one turn."""

    say: str
    replies: str
    calls: Sequence[tuple[str, Mapping[str, Any], str]]
    new_memory: str
    seconds: float
    asked: Sequence[Asked]
    judged: Sequence[Judged]
    failed: str = ""
    compacted: bool = False


@dataclass(frozen=True)
class Played:
    """One conversation as it went."""

    arm: str
    talk: str
    kind: str
    turns: Sequence[TurnPlayed] = field(default_factory=list)


class Overheard:
    """The model, shared by all conversations; keeps what it was asked and answered."""

    def __init__(self, llm: LLM) -> None:
        self.model, self.window = llm.model, llm.window
        self.tools: Mapping[str, Tool] = {}
        self.asked: list[Asked] = []
        self._llm = llm

    def __getattr__(self, name: str) -> Any:
        return getattr(self._llm, name)

    def ask(self, request: Request) -> Iterator[Any]:
        """Ask, and keep the answer."""
        from memagent.llm import Answer

        start = time.perf_counter()
        for heard in self._llm.ask(request):
            if isinstance(heard, Answer):
                self.asked.append(self._kept(request, heard, time.perf_counter() - start))
            yield heard

    def _kept(self, request: Request, answer: Answer, seconds: float) -> Asked:
        usage, summary = answer.usage, not request.tools
        numbers = (usage.prompt, usage.cached, usage.completion) if usage else (None, 0, 0)
        calls = [] if summary else list(_calls_in(answer, self.tools))
        written = json.dumps([answer.text, *([call.name, call.arguments] for call in answer.calls)], ensure_ascii=False)
        return Asked(*numbers, round(seconds, 3), calls, summary, written)


def _calls_in(answer: Answer, tools: Mapping[str, Tool]) -> Iterator[tuple[str, str]]:
    """Each call of an answer as the agent understands it, and what is wrong with it.

    Answers that the agent refuses are looked at too. A text that seems to be a call, and can't be read as one, counts.
    """
    from memagent.errors import ToolError
    from memagent.listen import UNREADABLE, readable, with_calls
    from memagent.tools.schema import read_arguments

    found = with_calls(answer, tools)
    if not found.calls and "{" in found.text and (named := [name for name in tools if name in found.text]):
        yield named[0], "this was text, and no call"
    for call in found.calls:
        arguments, problem = readable(call.arguments), ""
        if call.name not in tools:
            problem = "there is no such function"
        elif unreadable := json.loads(arguments).get(UNREADABLE):
            problem = str(unreadable)
        else:
            try:
                read_arguments(tools[call.name], arguments)
            except ToolError as error:
                problem = str(error)
        yield call.name, problem


def play(talk: Talk, filler: Sequence[tuple[str, str]], settings: Settings, llm: LLM, arm: str = "") -> Played:
    """One conversation from beginning to end, in a new home, with the preset that the settings name."""
    with tempfile.TemporaryDirectory(prefix="memagent-talk-") as home:
        furnished = _furnished(talk.setup, replace(settings, home=Path(home), database=""), settings.home)
        house = _House(furnished, talk.setup.notes, Overheard(llm))
        try:
            house.live_through(talk.setup.past, filler)
            turns = [house.turn(turn, number, filler) for number, turn in enumerate(talk.turns)]
        finally:
            house.close()
    return Played(arm, talk.id, talk.kind, turns)


class _House:
    """A home with one agent, who has just been made."""

    def __init__(self, settings: Settings, notes: Sequence[str], model: Overheard) -> None:
        from memagent.assemble import make_agent, open_database

        self._settings, self._model = settings, model
        self.now = TODAY - LONG_AGO
        self._database = open_database(self._settings)
        self.agent: Agent = make_agent(self._settings, self._database, "talk", llm=model, clock=lambda: self.now)
        model.tools = self.agent.tools
        for note in notes:
            prepared = self.agent.state.archival.prepare(note)
            with self._database.write() as tx:
                self.agent.state.archival.store(tx, prepared, turn=None, now=self.now)
        self.at_first = _memory_of(self.agent)

    def close(self) -> None:
        """End the process, as far as the agent can tell."""
        self._database.close()

    def restart(self) -> None:
        """The next day: the agent is loaded from disk."""
        from memagent.assemble import load_agent, open_database

        self.close()
        self.now += timedelta(days=1)
        self._database = open_database(self._settings)
        self.agent = load_agent(self._settings, self._database, "talk", llm=self._model, clock=lambda: self.now)
        self._model.tools = self.agent.tools

    def live_through(self, past: Past, filler: Sequence[tuple[str, str]]) -> None:
        """What was said long ago; then it is today."""
        self._chat([*past.said, *filler[: past.filler]])
        state = self.agent.state
        if past.summary:
            from memagent.messages import summary

            first = [message.seq for message in state.window if message.kind == "user"][-VISIBLE]
            _done(state.begin([]))
            state.note(summary(past.summary, first - 1, first, self.now))
            state.end("done")
        self.now = TODAY - timedelta(days=1)  # the restart makes it today
        self.restart()

    def _chat(self, exchanges: Sequence[tuple[str, str]]) -> None:
        """Turns that were had before, stored as the agent stores them."""
        from memagent.messages import user_message

        for said, reply in exchanges:
            self.now += timedelta(minutes=1)
            _done(self.agent.state.begin([user_message(said, self.now)]))
            _answered(self.agent.state, self.agent.speech, reply)
            self.agent.state.end("done")

    def turn(self, turn: Turn, number: int, filler: Sequence[tuple[str, str]]) -> TurnPlayed:
        """One turn, judged. The user opens the chat with the first, and after each restart."""
        if turn.restart:
            self.restart()
        self._chat(filler[: turn.filler])
        self.now += timedelta(minutes=1)
        failed = _failure(list(self.agent.summarize())) if turn.compact else ""
        before, self._model.asked = _memory_of(self.agent), []
        start = time.perf_counter()
        events = list(self.agent.turn(turn.say, arriving=turn.restart or number == 0))
        seconds = time.perf_counter() - start
        after = _memory_of(self.agent)
        calls, replies = _carried_out(events), "\n".join(e.text for e in events if type(e).__name__ == "Reply")
        heard = Heard([(name, given) for name, given, _ in calls], replies, self.at_first, before, after)
        judged = [Judged(str(rule), rule.measure, rule.holds(heard)) for rule in turn.rules]
        return TurnPlayed(
            turn.say, replies, calls, after.beyond(before).of("anywhere"), round(seconds, 3), self._model.asked, judged,
            failed or _failure(events), turn.compact,
        )  # fmt: skip


def _furnished(setup: Setup, settings: Settings, users: Path) -> Settings:
    """The settings of a home that has what the conversation needs, and the user's own presets and texts."""
    import yaml

    from memagent.library import Library

    for folder in OF_THE_USER:
        if (users / folder).is_dir():
            shutil.copytree(users / folder, settings.home / folder)
    library = Library(settings.home)
    if setup.persona:
        library.add("personas", "given", setup.persona, overwrite=True)
    if setup.human:
        library.add("humans", "given", setup.human, overwrite=True)
    if setup.functions:
        written = yaml.safe_load(library.text("presets", settings.first_preset))
        sets = written["functions"]
        written["functions"] = [*([sets] if isinstance(sets, str) else sets), setup.functions]
        library.add("presets", "given", yaml.safe_dump(written), overwrite=True)
        (settings.home / "functions").mkdir(exist_ok=True)
        shutil.copy(FUNCTIONS / f"{setup.functions}.py", settings.home / "functions")
    return replace(
        settings,
        preset="given" if setup.functions else settings.first_preset,
        persona="given" if setup.persona else settings.persona,
        human="given" if setup.human else settings.human,
    )


def _answered(state: PersistenceManager, speech: str, reply: str) -> None:
    """Store an answer of the agent, in the way in which it speaks."""
    from memagent.messages import ToolCall, answer

    now = state.clock()
    if speech == "plain":
        state.answer(answer(reply, (), reply, now), None)
        return
    call = ToolCall(state.next_call_id(0), "send_message", json.dumps({"message": reply}, ensure_ascii=False))
    state.answer(answer("", (call,), "", now), None)
    stage = state.stage(call, lambda text: text)
    stage.say(reply)
    state.finish(call, True, "Sent.", stage)


def _done(holder: str) -> None:
    assert not holder, holder


def _failure(events: Sequence[Any]) -> str:
    return "; ".join(event.message for event in events if type(event).__name__ == "Failed")


def _carried_out(events: Sequence[Any]) -> list[tuple[str, Mapping[str, Any], str]]:
    """Each call with its arguments and what it returned."""
    returned = {event.call_id: event for event in events if type(event).__name__ == "Returned"}
    calls = []
    for event in events:
        if type(event).__name__ == "Called":
            back = returned.get(event.call_id)
            text = f"{'OK' if back.ok else 'Failed'}: {back.text}" if back else "no result"
            calls.append((event.name, event.arguments, text))
    return calls


def _memory_of(agent: Agent) -> Memory:
    """What an agent remembers now beside its messages."""
    state = agent.state
    state.core.reload()
    notes = [found.text for found in state.archival.all(size=500).results]
    return Memory({label: block.value for label, block in state.core.blocks.items()}, notes)
