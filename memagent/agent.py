"""The loop: a message comes in, the model is asked, its calls are carried out, until the agent rests. Read this first.

`Agent.turn` yields what happens as events (see events.py), each after it was stored. What a turn needs next is
decided in verdict.py from its stored messages alone, so a turn that was cut at any instant goes on from there. Knows
nothing of who listens, of how a model is reached, or of how anything is stored.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from memagent import events, watching
from memagent.act import act
from memagent.context import Gauge, Limits, system_message, tool_tokens
from memagent.errors import BackendError, ContextOverflow, LLMError, MemagentError, NotFound
from memagent.events import Ending, Happening
from memagent.facts.behind import ReadingBehind
from memagent.listen import Ear, calls_of, first_answer_due, problem_with, with_calls
from memagent.llm import LLM, Answer, Pause, Piece, Request, Restarted
from memagent.messages import Message, alert, answer, heartbeat, login, user_message
from memagent.persistence import PersistenceManager
from memagent.relief import relieve
from memagent.reminders import Reminders
from memagent.tools import Tool
from memagent.verdict import Speech, first_due, next_move, open_calls
from memagent.waking import Waking

log = logging.getLogger(__name__)

TRIES = 3
PRESSURE = (
    "Your context window is nearly full. Older messages will soon be summarised: keep what matters in core or archival "
    "memory now."
)


class Agent:
    """A character that lasts: its durable state, a model, and tools."""

    def __init__(
        self, state: PersistenceManager, llm: LLM, tools: Mapping[str, Tool], *, system: str, summary_prompt: str,
        speech: Speech = "send_message", limits: Limits | None = None, max_steps: int = 20, verify_first: bool = True,
        location: str = "", patience: float = 30.0, turn_limit: float = 1800.0, steady: bool = False,
        reminders: Reminders | None = None, waking: Waking | None = None, behind: ReadingBehind | None = None,
    ) -> None:  # fmt: skip
        self.state, self.llm = state, llm
        self.tools: Mapping[str, Tool] = dict(tools)
        self.system, self.summary_prompt = system, summary_prompt
        self.speech: Speech = speech
        self.limits = limits or Limits(window=llm.window)
        self.max_steps, self.verify_first = max_steps, verify_first
        self.location = location
        self.gauge = Gauge()
        self.schemas = [tool.schema for tool in self.tools.values()]
        self.patience, self.turn_limit = patience, turn_limit
        self.steady, self.waking = steady, waking
        self.reminders, self.behind = reminders or Reminders(), behind or ReadingBehind()
        self._fixed = tool_tokens(self.schemas)
        self._deadline = 0.0
        self._turning: dict[str, object] = {}  # who has the one turn at a time that this object takes

    def close(self) -> None:
        """Let go of the model, which keeps what it has read if it is in this process, and of what functions hold."""
        self.behind.finish()
        for part in (self.llm, *(tool.function for tool in self.tools.values())):
            if (close := getattr(part, "close", None)) is not None:
                close()

    # Turns -----------------------------------------------------------------------------------------------------------

    def turn(self, message: str | Message | Sequence[Message], *, arriving: bool = False) -> Happening[None]:
        """From a message in, or several, until the agent rests. `arriving`: the user has just opened the chat."""
        return self._turn(lambda: self.state.begin(self._incoming(message, arriving)))

    def greet(self) -> Happening[None]:
        """The user has opened the chat and says nothing yet: the agent speaks first."""
        return self._turn(lambda: self.state.begin(self._incoming((), True)))

    def _incoming(self, message: str | Message | Sequence[Message], arriving: bool) -> list[Message]:
        now = self.state.clock()
        hello = [login(now, self.state.last_login(), self.location)] if arriving else []
        if isinstance(message, str):
            message = user_message(message, now, self.location)
        return [*hello, message] if isinstance(message, Message) else [*hello, *message]

    def resume(self) -> Happening[None]:
        """Go on with a turn that was cut; what it said already is said again."""
        return self._turn(self.state.take_up, again=True)

    def decide(self, call_id: str, digest: str, approve: bool) -> Happening[None]:
        """Answer `ApprovalAsked`, and go on with the turn."""
        return self._turn(lambda: self.state.take_up([(call_id, digest, approve)]))

    def summarize(self) -> Happening[None]:
        """Compact the context window now."""
        return self._turn(lambda: self.state.begin([]), work=lambda: relieve(self, force=True))

    @watching.turn
    def _turn(
        self, take: Callable[[], str], *, again: bool = False, work: Callable[[], Happening[None]] | None = None
    ) -> Happening[None]:
        ending: Ending = "interrupted"
        taken = ended = False
        me = object()
        self.behind.leave()
        try:
            until = time.monotonic() + self.patience
            yield from self._wait_for(
                lambda: "" if self._turning.setdefault("turn", me) is me else "another turn", until
            )
            yield from self._wait_for(take, until)
            taken = True
            self._deadline = time.monotonic() + self.turn_limit
            so_far = self.state.turn_log
            yield events.TurnStarted(self.state.turn, so_far[-1].seq if so_far else 0)
            if again:
                yield from (events.Reply(m.said) for m in so_far if m.role != "user" and m.said)
            ending = yield from self._finish_work(work()) if work else self._work()
            self.state.end(ending)
            ended = True
        except MemagentError as error:
            ending, ended = "failed", True
            refused = taken and isinstance(error, ContextOverflow) and self._too_long_alone()
            if taken:
                self._close(ending, refused=refused)
            hint = f"{error.hint} It was not kept." if refused else error.hint
            yield events.Failed(error.message, hint, type(error).__name__)
        finally:
            try:
                if taken and not ended:
                    self._close(ending)
            finally:
                if self._turning.get("turn") is me:
                    self._turning.clear()
        yield events.TurnEnded(ending, *self._spent())

    def _finish_work(self, work: Happening[None]) -> Happening[Ending]:
        yield from work
        return "done"

    def _close(self, ending: Ending, *, refused: bool = False) -> None:
        try:
            self.state.end(ending, refused=refused)
        except (BackendError, NotFound):
            log.warning("the end of a turn could not be stored; it is settled when the agent is opened again")

    def _spent(self) -> tuple[int, dict[str, int]]:
        try:
            return self.state.spent()
        except BackendError:
            return 0, {}

    def _wait_for(self, take: Callable[[], str], until: float) -> Happening[None]:
        """Take the agent; wait while another turn of it is running."""
        while holder := take():
            if time.monotonic() > until:
                raise self.state.busy(holder)
            yield events.Waiting(0.25, f"{self.state.entry.name} is busy ({holder})")
            time.sleep(0.25)

    def _check_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise LLMError(
                f"The turn took more than {self.turn_limit:g} seconds and was ended.",
                hint="Say something to let it go on, or set turn_limit higher.",
            )

    def _work(self) -> Happening[Ending]:
        """Step after step, as the verdict on the turn says."""
        state = self.state
        while True:
            self._check_time()
            if calls := open_calls(state.turn_log):
                if (yield from act(self, calls)):
                    return "waiting"
                continue
            verdict = next_move(state.turn_log, self.tools, self.speech, self.max_steps)
            if verdict.move == "stop":
                yield events.Failed(verdict.reason, verdict.hint, "ModelError")
                return "failed"
            if self._under_pressure() and (verdict.move == "ask" or self.speech != "plain"):
                state.note(alert(PRESSURE, state.clock()))
                yield events.Notice("The context window is nearly full; the agent is told to keep what matters.")
            elif verdict.move == "rest":
                return "done"
            elif verdict.reason:
                state.note(heartbeat(verdict.reason, state.clock()))
                yield events.Heartbeat(verdict.reason)
            if (yield from self.step()):
                return "waiting"

    # Steps -----------------------------------------------------------------------------------------------------------

    def step(self) -> Happening[bool]:
        """One call of the model, and the function calls that it asks for. True when one of them waits for a person."""
        if self.used() > self.limits.compact_at * self.limits.window:
            yield from relieve(self)
        heard = yield from self._ask()
        calls, dropped = calls_of(heard, self.state.next_call_id)
        said = heard.text if self.speech == "plain" else ""
        message = answer(heard.text, calls, said, self.state.clock(), heard.thoughts)
        self.state.answer(message, heard.usage)
        if heard.thoughts:
            yield events.Thought(heard.thoughts)
        if heard.text:
            yield events.Reply(heard.text) if said else events.Thought(heard.text)
        if dropped:
            yield events.Notice(
                f"The model asked for {dropped} more calls than one answer may have; they were dropped."
            )
        return (yield from act(self, calls))

    def used(self) -> int:
        """About how many tokens the next request fills."""
        return self.gauge.of(self.compiled(), self._fixed)

    def compiled(self) -> list[Message]:
        """What the model sees."""
        state = self.state
        seen = self.reminders.placed(state.window, state.turn_log, self.limits.window)
        return [system_message(self.system, self.core_in_view(), state.entry.created, self.wakes_with()), *seen]

    def core_in_view(self) -> str:
        """Core memory as the model sees it. A `steady` one does not change while the calls that edited it are in view:
        so the model need not read everything after it again.
        """
        core, window = self.state.core, self.state.window
        return core.render(core.before({call.id for m in window for call in m.calls}) if self.steady else None)

    def wakes_with(self) -> str:
        """What the agent knew when this conversation began; the same from call to call until something changes."""
        return self.waking.text(self.state.turn, self.limits.window) if self.waking else ""

    def _too_long_alone(self) -> bool:
        """Whether what came in, and was not answered yet, is more than the window could ever hold."""
        came = self.state.turn_log
        free = self.limits.window - self.used() + self.gauge.of(self.state.window)
        return free > 0 and self.gauge.of(came) > free and not any(m.kind == "answer" for m in came)

    def _under_pressure(self) -> bool:
        """Whether the agent must be warned that the window fills up: once between two compactions."""
        since = max((m.seq for m in self.state.window if m.kind == "summary"), default=0)
        steps = sum(m.kind == "answer" for m in self.state.turn_log)
        if steps >= self.max_steps or any(m.seq > since and m.kind == "alert" for m in self.state.window):
            return False
        return self.limits.warn_at < self.used() / self.limits.window <= self.limits.compact_at

    def _ask(self) -> Happening[Answer]:
        """Ask until there is an answer that can be used; what can't be used is not stored."""
        problem = ""
        for attempt in range(TRIES):
            nudge = [heartbeat(problem, self.state.clock())] if problem else []
            heard = yield from self._listen([*self.compiled(), *nudge])
            due = self.verify_first and self.speech != "plain" and attempt < TRIES - 1
            must_speak = due and first_answer_due(heard, self.state.window, self.state.turn_log)
            problem = problem_with(heard, must_speak, first_due(self.state.turn_log, self.tools))
            if not problem:
                return heard
            yield events.Discarded("that answer was of no use; the model is asked again")
        raise LLMError(
            f"{self.llm.model} gave no usable answer, {TRIES} times: {problem}",
            hint="Try /retry, or another model. `memagent doctor` tests what a model can do.",
        )

    def _listen(self, messages: Sequence[Message], *, may_shrink: bool = True) -> Happening[Answer]:
        request = self._request(messages)
        ear = Ear(self.speech)
        try:
            for heard in self.llm.ask(request):
                if isinstance(heard, Answer):
                    if heard.usage:
                        told = heard.usage.prompt - heard.usage.aside
                        self.gauge.learn(sum(m.tokens for m in messages) + self._fixed, told)
                    return with_calls(heard, self.tools)
                self._check_time()
                if isinstance(heard, Piece):
                    yield from ear.hear(heard)
                elif isinstance(heard, Pause):
                    yield events.Waiting(heard.seconds, heard.reason)
                elif isinstance(heard, Restarted):
                    ear = Ear(self.speech)
                    yield events.Discarded(heard.reason)
        except ContextOverflow:
            if not may_shrink:
                raise
            yield events.Discarded("The prompt did not fit into the model's context window.")
            yield from relieve(self, force=True)
            return (yield from self._listen(self.compiled(), may_shrink=False))
        raise LLMError(f"{self.llm.model} ended without an answer.")

    def _request(self, messages: Sequence[Message]) -> Request:
        core, rules = self.state.core, {name: tool.rules for name, tool in self.tools.items()}
        choices = {(name, key): core.open_labels() for name, of in rules.items() for key in of.blocks}
        choices |= {(name, key): core.open_lines() for name, of in rules.items() for key in of.lines}
        quiet = [name for name, of in rules.items() if of.quiet]
        first = first_due(self.state.turn_log, self.tools)
        blocks = {label: core.blocks[label].value for label in core.open_labels()}
        return Request(messages, self.schemas, first, quiet=quiet, choices=choices, blocks=blocks)
