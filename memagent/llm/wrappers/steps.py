"""For models that are too small to do everything at once: they are asked one small thing after the other.

A prompt of its own asks what the user's message tells that should be remembered, or what it asks for; where there are
functions beside memory's, another one whether the message asks for one of them. Then the model only has to say
something, as in any chat. The answers are put together into the calls that a larger model would have made. What is
asked stands in steps.yaml. Knows nothing of servers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from memagent.llm import Answer, Piece, Request, Schema, Usage
from memagent.llm.gbnf import Grammar, either, literal
from memagent.llm.grammars import value_of
from memagent.llm.wrappers import Complete, Question, Said, Turn, excerpts, heard, parted
from memagent.llm.wrappers.chatml import ChatML
from memagent.llm.wrappers.describing import as_signatures
from memagent.llm.wrappers.form import speaks_by_call
from memagent.llm.wrappers.likeness import alike, known, mentioned
from memagent.llm.wrappers.telling import told
from memagent.messages import SPEAK, Message, ToolCall, storable

APPEND, REPLACE, KEEP = "core_memory_append", "core_memory_replace", "archival_memory_insert"
SEARCHES = ("conversation_search", "archival_memory_search")
SOURCES, SAID, QUOTE = "search_sources", "search_conversations", "answer_with_quotes"
LOOKED_UP = (SOURCES, SAID)
MEMORY = (
    SPEAK, APPEND, REPLACE, KEEP, *SEARCHES, "conversation_search_date", "pause_heartbeats",
    *LOOKED_UP, QUOTE, "read_around", "list_sources",
)  # fmt: skip
"""The functions that are not offered by name: what they do follows from what is said."""
NOTHING = "Nothing was found."
ACKNOWLEDGED = "Noted."
"""A thought, which nobody hears."""
LONGEST_REMINDER = 400
LONGEST_QUERY = 200
MOST_PAGES = 2
"""Pages of passages that are read before it is said that the sources don't tell."""
SHORT = 2
"""Words of an answer that is not to be understood without what was asked."""

_LINE = r"root ::= [^\x00-\x20] [^\n\x00]*" + "\n"
_SAY = r"root ::= [^\x00-\x20] [^\x00]*" + "\n"
_NOTES = r"""root ::= "{\"" (asks | "new\": [" facts? "]" | "changed\": [" facts "]" | "keep\": true") "}"
asks ::= "asks\": \"" [^"\\\n\x00]{2,60} "\""
facts ::= fact (", " fact){0,3}
fact ::= "\"" [^"\\\n\x00]{2,160} "\""
"""
_FRAME = re.compile(r'<(\w+)(?: about="[^"]*")? used="\d+" limit="\d+"(?: read_only="true")?>')


class Steps(ChatML):
    """Models that were trained on ChatML, and are small."""

    name = "steps"
    about = "small models in ChatML: what to say and what to note are asked apart"
    fits = ""
    terse = True

    def asked(self, request: Request, complete: Complete, constraint: str) -> Generator[Piece, None, Answer]:
        if constraint == "gbnf" and request.force and not speaks_by_call(request.tools):
            return (yield from self._filled(request, request.force, complete))
        if constraint != "gbnf" or not speaks_by_call(request.tools):
            whole = ChatML()
            whole.terse = True
            return (yield from whole.asked(request, complete, constraint))
        return (yield from _Asking(self, request, complete).answer())

    def _filled(self, request: Request, name: str, complete: Complete) -> Generator[Piece, None, Answer]:
        """What was asked for by one function alone, as a form: nothing but its arguments is written."""
        tool = next(tool for tool in request.tools if tool["name"] == name)
        grammar = Grammar()
        root = grammar.text(value_of(grammar, tool["parameters"], "form"))
        prompt = self.prompt(replace(request, tools=()))
        question = Question(
            prompt, root, part="form", stop=self.stop, most=request.max_tokens, copied=True, weighed=request.weighed
        )
        words: list[str] = []

        def hear(text: str) -> Iterator[Piece]:
            words.append(text)
            yield Piece("arguments", text, 0, name)

        said = yield from heard(complete(question), hear, lambda: False)
        usage = replace(said.usage, aside=said.usage.prompt) if said.usage else None
        call = ToolCall("", name, storable("".join(words)))
        return Answer("", "", (call,), said.finish, usage, written=said.written)

    def beginnings(self, request: Request) -> list[Question]:
        return [Question(self.prompt(request)), Question(self.small("notes", ""), part="notes")]

    def laid_out(self, system: str, _described: str, turns: Sequence[Turn], /) -> Iterator[str]:
        yield self.message("system", _FRAME.sub(r"<\1>", system))
        for role, text in turns:
            yield self.message("user" if role == "tool" else role, text)

    def describe(self, _request: Request, functions: str, /) -> str:
        return functions

    def _turns(self, messages: Sequence[Message]) -> Iterator[Turn]:
        """The conversation as people see it: what was said, what was searched for and found."""
        before: Message | None = None
        for message in messages:
            text = self._plain(message, before)
            if text:
                yield message.role, self.guard.text(text)
            before = message

    def _plain(self, message: Message, before: Message | None) -> str:
        if message.role == "assistant":
            return "\n".join(filter(None, map(_spoken, message.calls))) if message.calls else message.content
        text = told(message, before, terse=True)
        if message.role == "tool":
            quiet = message.name in MEMORY and (message.name not in SEARCHES or text == NOTHING)
            return "" if quiet and not text.startswith("Failed") else f"[{message.name}: {text}]"
        follows = message.kind == "heartbeat" and before is not None and before.role != "user"
        return "" if follows else text

    def prompt_with(self, request: Request, asides: Sequence[str], reminder: str = "") -> str:
        """The prompt for an answer to the user's last message, with what helps to answer it put before its words: small
        models answer what stands last, and overlook what stands far above.
        """
        messages = request.messages
        at = max((i for i, message in enumerate(messages) if message.kind == "user"), default=len(messages))
        turn = [message for message in messages[at:] if message.role == "tool"]
        told_first = [*asides, *filter(None, (self._plain(message, None) for message in turn))]
        if not told_first or at == len(messages) or any(message.name not in MEMORY for message in turn):
            return self.prompt(request)  # what a function of the user's own returned is best told last
        head = self.prompt(replace(request, messages=messages[:at])).removesuffix(self.answer_begins())
        question = told(messages[at], messages[at - 1], terse=True)
        text = self.guard.text("\n".join(filter(None, [*told_first, question, reminder])))
        return head + self.message("user", text) + self.answer_begins()

    def small(self, part: str, text: str) -> str:
        """The prompt of a small question."""
        asked = _asked()[part]
        examples = [
            self.message("user", said) + self.message("assistant", answer) for said, answer in asked["examples"]
        ]
        head = self.message("system", asked["instruction"]) + "".join(examples)
        return head + (self.message("user", self.guard.text(text)) + self.answer_begins() if text else "")


@cache
def _asked() -> Mapping[str, Any]:
    import yaml

    found: Mapping[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return found


def _spoken(call: ToolCall) -> str:
    """What the user heard of a call."""
    if call.name not in (SPEAK, QUOTE):
        return ""
    given = json.loads(call.arguments)
    quotes = [f"> {quote}" for quote in given.get("quotes", ())]
    return "\n".join([str(given.get("message", "")), *quotes])


class _Asking:
    """The small questions about one request, and the answer that they make."""

    def __init__(self, steps: Steps, request: Request, complete: Complete) -> None:
        self._steps = steps
        self._request = request
        self._complete = complete
        self._tools = {str(tool["name"]): tool for tool in request.tools}
        self._usage: Usage | None = None
        _, self._messages = parted(request.messages)
        newest = next((m for m in reversed(self._messages) if m.role != "system"), None)
        self._new = newest if newest is not None and newest.kind == "user" else None

    def answer(self) -> Generator[Piece, None, Answer]:
        """What to note, what to do, and what to say."""
        if self._only_alerted():
            return Answer(ACKNOWLEDGED, "", (), "stop", None)
        if pages := self._found():
            return (yield from self._from_passages(pages))
        notes: Mapping[str, Any] = {}
        if self._new is not None:
            notes = json.loads((yield from self._small("notes", self._understood(), _NOTES)) or "{}")
        calls = self._noted(notes)
        if call := (yield from self._function()):
            return Answer("", "", (*calls, call), "stop", self._usage)
        if notes.get("keep") and self._new is not None and "?" in self._new.said:  # to look something up, that is
            notes = {"asks": self._new.said}
        if SOURCES in self._tools and self._new is not None and (notes.get("asks") or "?" in self._new.said):
            query = {"query": self._new.said[:LONGEST_QUERY]}
            looks = [_call(name, query) for name in LOOKED_UP if name in self._tools]
            return Answer("", "", (*calls, *looks), "stop", self._usage)
        if searches := self._searches(str(notes.get("asks", ""))):
            return Answer("", "", (*calls, *searches), "stop", self._usage)
        finish, words = yield from self._say(reminded=self._new is None or "asks" in notes)
        said = [_call(SPEAK, {"message": words})] if words else []
        return Answer("", "", (*calls, *said), "stop" if words else finish, self._usage)

    def _only_alerted(self) -> bool:
        """Whether nobody waits for words: the user was answered, and then came an alert. Asked what to say to that, a
        small model tells the user whatever comes to its mind.
        """
        newest = self._messages[-1] if self._messages else None
        at = max((i for i, message in enumerate(self._messages) if message.kind in ("user", "login")), default=-1)
        spoken = any(message.said for message in self._messages[at + 1 :])
        return newest is not None and newest.kind == "alert" and spoken

    def _say(self, *, reminded: bool) -> Generator[Piece, None, tuple[str, str]]:
        """What to say. With a question, what is known of the user is told again: core memory may be shown as it was
        before the last edits.
        """
        words: list[str] = []

        def hear(text: str) -> Iterator[Piece]:
            begin = "" if words else '{"message": "'
            words.append(text)
            yield Piece("arguments", begin + json.dumps(storable(text), ensure_ascii=False)[1:-1], 0, SPEAK)

        known_lines = "; ".join(self._about_user()[1])[:LONGEST_REMINDER] if reminded else ""
        asides = [f"[What you know about the user: {known_lines}]"] if known_lines else []
        prompt = self._steps.prompt_with(self._request, asides)
        question = Question(prompt, _SAY, stop=self._steps.stop)
        said = yield from heard(self._complete(question), hear, lambda: False)
        self._count(said, aside=False)
        return said.finish, storable("".join(words).strip())

    # Answers out of passages -----------------------------------------------------------------------------------------

    def _found(self) -> list[list[Message]]:
        """What was looked up in this turn, page by page, if that is what was done last."""
        at = max((i for i, message in enumerate(self._messages) if message.kind == "user"), default=-1)
        pages: list[list[Message]] = []
        for message in self._messages[at + 1 :]:
            if message.role == "assistant":
                pages.append([])
            elif message.role == "tool" and pages:
                pages[-1].append(message)
        done = [name for page in pages for name in (message.name for message in page)]
        if QUOTE not in self._tools or not done or done[-1] not in LOOKED_UP:
            return []
        return [found for page in pages if (found := [message for message in page if message.name in LOOKED_UP])]

    def _from_passages(self, pages: Sequence[Sequence[Message]]) -> Generator[Piece, None, Answer]:
        """An answer out of what was found last, with the sentence that it is from; else the next page. After those, the
        sentence that is nearest to the question, or that the sources don't tell.
        """
        asked = next(m.said for m in reversed(self._messages) if m.kind == "user")
        found = [told(message, None, terse=True) for message in pages[-1]]
        passages = excerpts.read(found)
        words = quote = ""
        if choices := excerpts.sentences(passages):
            asides = [f"{_asked()['quote']['before']}\n{passages}"]
            prompt = self._steps.prompt_with(self._request, asides, _asked()["quote"]["after"])
            words = storable(
                (yield from self._unheard(Question(prompt, _LINE, stop=self._steps.stop, copied=True))).strip()
            )
            quote = excerpts.source_of(words, asked, choices)
        if quote:
            given = {"message": words, "quotes": [quote], "passages": [choices[quote].number]}
            return Answer("", "", (_call(QUOTE, given),), "stop", self._usage)
        nexts = [(message.name, excerpts.next_page(text)) for message, text in zip(pages[-1], found, strict=True)]
        query = asked[:LONGEST_QUERY]
        calls = [_call(str(name), {"query": query, "page": page}) for name, page in nexts if page is not None]
        if not calls or len(pages) >= MOST_PAGES:
            calls = [self._nearest(asked, [told(message, None, terse=True) for message in pages[0]])]
        return Answer("", "", tuple(calls), "stop", self._usage)

    def _nearest(self, asked: str, found: Sequence[str]) -> ToolCall:
        """What is said where the model has no answer that stands in what was found."""
        choices = excerpts.sentences(excerpts.read(found))
        if not (nearest := excerpts.source_of("", asked, choices)):
            return _call(SPEAK, {"message": _asked()["quote"]["nothing"]})
        given = {"quotes": [nearest], "passages": [choices[nearest].number]}
        return _call(QUOTE, {"message": _asked()["quote"]["nearest"], **given})

    # What to note, and what to look for ------------------------------------------------------------------------------

    def _noted(self, notes: Mapping[str, Any]) -> list[ToolCall]:
        """The calls that keep what the user told."""
        if self._new is None:
            return []
        if notes.get("keep") and KEEP in self._tools and "?" not in self._new.said:
            return [_call(KEEP, {"content": self._new.said})]
        label, lines = self._about_user()
        changed = notes.get("changed", [])
        facts = [fact for fact in changed or notes.get("new", []) if not known(fact, lines)]
        if not facts or not label or APPEND not in self._tools:
            return []
        old = alike(f"{self._new.said} {' '.join(facts)}", lines) if changed else ""
        if old and REPLACE in self._tools:
            return [_call(REPLACE, {"name": label, "old_content": old, "new_content": "; ".join(facts)})]
        return [_call(APPEND, {"name": label, "content": "\n".join(facts)})]

    def _searches(self, topic: str) -> list[ToolCall]:
        """The calls that look for what the user asks about, if nothing of it is in view."""
        said = [message.said for message in self._messages if message is not self._new]
        spoken = [_spoken(call) for message in self._messages for call in message.calls]
        if self._new is None or not topic or mentioned(topic, [*self._about_user()[1], *said, *spoken]):
            return []
        query = self._new.said[:LONGEST_QUERY]  # more of its words may be found than those of the topic
        return [_call(name, {"query": query}) for name in SEARCHES if name in self._tools]

    def _understood(self) -> str:
        """What the user wrote; a short answer together with the question that it answers."""
        said = self._new.said if self._new else ""
        before = next((m for m in reversed(self._messages) if m.role == "assistant"), None)
        asked = "".join(_spoken(call) for call in before.calls) if before else ""
        if len(said.split()) > SHORT or not asked.endswith("?"):
            return said
        return f"{re.split(r'(?<=[.!?]) ', asked)[-1]} {said}"

    def _about_user(self) -> tuple[str, list[str]]:
        """The block that tells of the user, and its lines."""
        blocks = self._request.blocks
        label = "human" if "human" in blocks else next(iter(blocks), "")
        return label, [line for line in blocks.get(label, "").splitlines() if line.strip()]

    # Functions beside memory's ---------------------------------------------------------------------------------------

    def _function(self) -> Generator[Piece, None, ToolCall | None]:
        own: list[Schema] = [tool for name, tool in self._tools.items() if name not in MEMORY]
        if self._new is None or not own:
            return None
        grammar = Grammar()
        call = self._steps.form.call(grammar, own, self._request.choices)
        text = f"Functions:\n{as_signatures(own)}\n\nMessage: {self._new.said}"
        found = yield from self._small("function", text, grammar.text(either(literal("none"), call)))
        _, calls = self._steps.form.read(found, list(self._tools))
        return calls[0] if calls else None

    def _small(self, part: str, text: str, grammar: str) -> Generator[Piece, None, str]:
        """A small question and its answer; nothing of it is shown. One that was cut off is none."""
        question = Question(self._steps.small(part, text), grammar, part=part, stop=self._steps.stop)
        return (yield from self._unheard(question, aside=True))

    def _unheard(self, question: Question, *, aside: bool = False) -> Generator[Piece, None, str]:
        words: list[str] = []

        def hear(text: str) -> Iterator[Piece]:
            words.append(text)
            yield from ()

        said = yield from heard(self._complete(question), hear, lambda: False)
        self._count(said, aside=aside)
        return "".join(words) if said.finish == "stop" else ""

    def _count(self, said: Said, *, aside: bool) -> None:
        if said.usage is not None:
            self._usage = added(self._usage, said.usage, aside=aside)


def added(so_far: Usage | None, usage: Usage, *, aside: bool) -> Usage:
    """What several questions cost together; `aside` those that are not the conversation itself."""
    before = so_far or Usage(0, 0)
    return Usage(
        before.prompt + usage.prompt,
        before.completion + usage.completion,
        before.cached + usage.cached,
        before.aside + (usage.prompt if aside else 0),
    )


def _call(name: str, arguments: Mapping[str, Any]) -> ToolCall:
    return ToolCall("", name, json.dumps(arguments, ensure_ascii=False))
