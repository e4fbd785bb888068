"""Scripts for a model that answers as it is told: which reply fits a request, and what it consists of.

A script is a list of entries; the first that fits answers. How they are written stands in docs/testing-agents.md. What
fits depends on the request alone (but for `times`), so a turn that is cut and taken up again gets the answer it would
have got. Knows nothing of how a reply gets to whoever asked: that is for `scripted` and `script_server`.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from memagent.errors import LLMError
from memagent.llm import Piece, Schema, Usage
from memagent.messages import estimate

KINDS = ("user", "login", "result", "heartbeat", "alert", "summary", "facts")
_FACTS = {"kind": "kind", "ok": "ok", "after_calls": "results", "first": "first", "forced": "forced"}
_PATTERNS = ("system", "result", "said", "reminder")


@dataclass(frozen=True)
class Seen:
    """What of a request can decide which reply fits."""

    kind: str
    said: str = ""
    result: str = ""
    reminder: str = ""
    ok: bool = True
    answers: int = 0
    results: int = 0
    first: bool = True
    system: str = ""
    tools: Mapping[str, Schema] = field(default_factory=dict)
    forced: str | None = None
    tokens: int = 0


@dataclass(frozen=True)
class Call:
    """A call, with its arguments as text, broken or not."""

    name: str
    arguments: str


@dataclass(frozen=True)
class Fault:
    """How a reply fails. `after` pieces of it, an error is sent; or the connection is `cut`."""

    status: int = 500
    message: str = ""
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    after: int | None = None
    cut: bool = False


@dataclass(frozen=True)
class Reply:
    """One answer of the model, made ready: what it says and calls, how fast, and whether it fails."""

    text: str = ""
    thoughts: str = ""
    calls: Sequence[Call] = ()
    finish: str | None = "stop"
    usage: Usage | None = None
    delay: float = 0.0
    pace: float = 0.0
    done: bool = True
    close: bool = False
    fault: Fault | None = None

    def pieces(self) -> Iterator[Piece]:
        """The answer as a model would write it, a little at a time; many small pieces only where they are paced."""
        yield from (Piece("thought", part) for part in self._parts(self.thoughts))
        yield from (Piece("text", part) for part in self._parts(self.text))
        for index, call in enumerate(self.calls):
            yield Piece("arguments", "", index, call.name)
            yield from (Piece("arguments", part, index, call.name) for part in self._parts(call.arguments))

    def _parts(self, text: str) -> Iterator[str]:
        size = 6 if self.pace else max(16, len(text) // 100)
        return (text[at : at + size] for at in range(0, len(text), size))


@dataclass(frozen=True)
class Entry:
    """One entry of a script: when it fits, how often it may be used, and what it answers, step by step."""

    when: Mapping[str, Any]
    steps: Sequence[Mapping[str, Any]]
    by_step: bool
    times: int | None

    def match(self, seen: Seen) -> Mapping[str, str] | None:
        """The words that its patterns found, by name and number; None if it does not fit."""
        if (seen.kind == "facts") != (self.when.get("kind") == "facts"):
            return None  # nobody who writes of a conversation means what is asked about it aside
        if self.by_step and seen.answers >= len(self.steps):
            return None
        if any(self.when[key] != getattr(seen, fact) for key, fact in _FACTS.items() if key in self.when):
            return None
        if "tool" in self.when and self.when["tool"] not in seen.tools:
            return None
        found: dict[str, str] = {}
        for key in _PATTERNS:
            if key in self.when:
                match = re.search(self.when[key], getattr(seen, key), re.IGNORECASE)
                if not match:
                    return None
                groups = {str(number): group or "" for number, group in enumerate(match.groups(), 1)}
                found |= {**groups, "0": match[0], **match.groupdict("")}
        return found

    def reply(self, seen: Seen, found: Mapping[str, str]) -> Reply:
        """What it answers to this request."""
        return _filled(self.steps[seen.answers if self.by_step else 0], seen, found)


class Script:
    """A list of entries. Only `times` is remembered from request to request."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._left = [entry.times for entry in entries]
        self._lock = threading.Lock()

    def reply(self, seen: Seen) -> Reply:
        """The reply of the first entry that fits and is not used up."""
        with self._lock:
            for number, entry in enumerate(self._entries):
                left = self._left[number]
                if left == 0 or (found := entry.match(seen)) is None:
                    continue
                self._left[number] = None if left is None else left - 1
                return entry.reply(seen, found)
        if seen.kind == "facts":
            return _filled({"facts": []}, seen, {})
        raise LLMError(
            f"The script has no reply for this: kind {seen.kind}, the user said {seen.said[:60]!r}, "
            f"{seen.answers} answers and {seen.results} results since.",
            hint="Add an entry for it, or one with `when: {}` at the end that always fits.",
        )


# --- what a request shows ------------------------------------------------------------------------------------------


def look(messages: Sequence[tuple[str, str]], tools: Sequence[Schema] = (), forced: str | None = None) -> Seen:
    """What a request shows, from the role and content of its messages, whether memagent packaged them or not."""
    kinds: list[str] = []
    said, result, ok, answers, results, at = "", "", True, 0, 0, 0
    for at in range(len(messages) - 1, -1, -1):
        role, content = messages[at]
        if role == "assistant":
            answers += 1
        elif role == "tool":
            if not results:
                fields = _unpacked(content)
                result, ok = str(fields.get("message", content)), fields.get("status") != "Failed"
            results += 1
            kinds += [] if answers else ["result"]
        elif role == "user":
            fields = _unpacked(content)
            kind = _KIND_OF.get(str(fields.get("type")), "user")
            kinds += [] if answers else [kind]
            if kind in ("user", "login"):
                said = "" if kind == "login" else str(fields.get("message", content))
                break
    earlier = [_unpacked(content).get("type") for role, content in messages[:at] if role == "user"]
    reminders = [_unpacked(content) for _, content in messages if content.startswith(_REMINDER)]
    return Seen(
        kind=_kind(kinds, tools, forced),
        said=said,
        result=result,
        ok=ok,
        answers=answers,
        results=results,
        reminder=str(reminders[-1].get("message", "")) if reminders else "",
        first=not any(kind not in ("boot", "reminder") for kind in earlier),
        system="\n".join(content for role, content in messages if role == "system"),
        tools={str(tool["name"]): tool for tool in tools},
        forced=forced,
        tokens=sum(4 + estimate(content) for _, content in messages) + sum(estimate(str(tool)) for tool in tools),
    )


_REMINDER = '{"type": "reminder"'
_KIND_OF = {"user_message": "user", "system_alert": "alert"} | {kind: kind for kind in (*KINDS, "boot", "reminder")}


def _unpacked(content: str) -> Mapping[str, Any]:
    """The fields of a message that memagent packaged; none of one that is just text."""
    try:
        fields = json.loads(content) if content.startswith("{") else {}
    except (ValueError, RecursionError):
        return {}
    ours = isinstance(fields, dict) and (str(fields.get("type")) in _KIND_OF or "status" in fields)
    return fields if ours else {}


# --- from an entry to a reply ----------------------------------------------------------------------------------------

_PLACE = re.compile(r"\{(\w+)\}")


def _filled(step: Mapping[str, Any], seen: Seen, found: Mapping[str, str]) -> Reply:
    words = {"said": seen.said, "result": seen.result, **found}

    def fill(value: Any) -> Any:
        if isinstance(value, str):
            return _PLACE.sub(lambda place: words.get(place[1], place[0]), value)
        if isinstance(value, dict):
            return {key: fill(item) for key, item in value.items()}
        return [fill(item) for item in value] if isinstance(value, list) else value

    calls = [_call(call, seen, fill) for call in step.get("calls", [step] if "call" in step else [])]
    text = fill(step.get("text", ""))
    if "facts" in step:
        calls += [_facts(schema, fill(step["facts"])) for schema in seen.tools.values()]
    if "say" in step and "send_message" in seen.tools:
        calls.append(Call("send_message", json.dumps({"message": fill(step["say"])}, ensure_ascii=False)))
    elif "say" in step:
        text += fill(step["say"])
    thoughts = fill(step.get("thoughts", ""))
    written = estimate(text) + estimate(thoughts) + sum(8 + estimate(call.arguments) for call in calls)
    usage = step.get("usage", {})
    counted = None if usage is None else Usage(**{"prompt": seen.tokens, "completion": written, **usage})
    return Reply(
        text, thoughts, calls,
        finish=step.get("finish", "tool_calls" if calls else "stop"),
        usage=counted,
        fault=_fault(step),
        **{key: step[key] for key in ("delay", "pace", "done", "close") if key in step},
    )  # fmt: skip


def _call(written: Mapping[str, Any], seen: Seen, fill: Any) -> Call:
    arguments = fill(written.get("arguments", {}))
    if isinstance(arguments, dict):
        if "heartbeat" in written and _takes(seen.tools.get(written["call"], {}), "request_heartbeat"):
            arguments = {**arguments, "request_heartbeat": written["heartbeat"]}
        arguments = json.dumps(arguments, ensure_ascii=False)
    return Call(written["call"], arguments)


def _kind(kinds: Sequence[str], tools: Sequence[Schema], forced: str | None) -> str:
    """What kind of request it is. Which facts there are in some talk is asked by one function alone, that must be
    called.
    """
    if forced and "fact" in forced and [tool["name"] for tool in tools] == [forced]:
        return "facts"
    return "summary" if not tools else next((kind for kind in KINDS if kind in kinds), "user")


def _facts(schema: Schema, facts: Sequence[Any]) -> Call:
    """The call that tells of these facts. What one has to have besides, and is not written, is empty or the first of
    what it can be.
    """
    lists = {name: of for name, of in schema["parameters"]["properties"].items() if of.get("type") == "array"}
    name, of = next(iter(lists.items()))
    wanted = of.get("items", {})
    told = [fact if isinstance(fact, dict) else {"text": fact} for fact in facts]
    rest = {key: _empty(wanted["properties"][key]) for key in wanted.get("required", [])}
    return Call(str(schema["name"]), json.dumps({name: [{**rest, **fact} for fact in told]}, ensure_ascii=False))


def _empty(schema: Schema) -> Any:
    empty = {"boolean": True, "array": [], "object": {}, "integer": 0, "number": 0.8}
    return schema["enum"][0] if schema.get("enum") else empty.get(str(schema.get("type")), "")


def _takes(schema: Schema, parameter: str) -> bool:
    return parameter in schema.get("parameters", {}).get("properties", {})


def _fault(step: Mapping[str, Any]) -> Fault | None:
    if "cut" in step:
        return Fault(after=step["cut"], cut=True)
    error = step.get("error")
    return Fault(error) if isinstance(error, int) else Fault(**error) if error else None
