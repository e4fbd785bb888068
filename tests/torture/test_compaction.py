"""A context window that fills up: what leaves it, what stays, and that nothing is lost."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from talks import again, failure, paired, replies, served, talking

from memagent.agent import PRESSURE, Agent
from memagent.context import tool_tokens
from memagent.errors import ContextOverflow, LLMError
from memagent.events import Compacted, Discarded, Event, Returned, TurnEnded
from memagent.llm import Answer, Heard, Request, Usage
from memagent.messages import ToolCall, estimate

SUMMARY = {"when": {"kind": "summary"}, "text": "We talked, and I remember."}
ECHO = {"when": r"^(\S*)", "say": "I heard {1}."}
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
WORDS = "lorem ipsum dolor sit amet consetetur sadipscing elitr "


def long(tokens: int) -> str:
    return (WORDS * (tokens // 12 + 1))[: tokens * 4]


@dataclass
class Strict:
    """A model that counts for itself, refuses what is too long for it, and answers each message with so many steps.

    `scale` is how many tokens of its own it has for one of our estimate; `counts`: it says how many it counted.
    """

    window: int = 4096
    scale: float = 1.0
    counts: bool = True
    steps: int = 1
    reply: str = "Yes."
    summaries: str | None = "Summary {n}."
    model: str = "strict"
    requests: list[Request] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    refused: int = 0
    looked: int = 0

    def ask(self, request: Request) -> Iterator[Heard]:
        tokens = int(self.scale * (sum(m.tokens for m in request.messages) + tool_tokens(request.tools)))
        if tokens > self.window:
            self.refused += 1
            raise ContextOverflow(f"{tokens} tokens are more than {self.window}.")
        usage = Usage(tokens, 10) if self.counts else None
        if not request.tools:
            self.told.append(request.messages[-1].content)
            if self.summaries is None:
                raise LLMError("no summary today")
            yield Answer(self.summaries.replace("{n}", str(len(self.told))), usage=usage)
            return
        self.requests.append(request)
        if request.messages[-1].kind == "alert":
            yield Answer("I have noted it.", usage=usage)
            return
        if request.messages[-1].kind == "user":
            self.looked = 0
        self.looked += 1
        done = self.looked >= self.steps
        call = (
            ToolCall("", "send_message", json.dumps({"message": self.reply}))
            if done
            else ToolCall("", "lookup", json.dumps({"what": f"part {self.looked}", "request_heartbeat": True}))
        )
        yield Answer(calls=(call,), usage=usage)


LOOKUP = '''
def lookup(what: str) -> str:
    """Look something up.

    Args:
        what: what to look up
    """
    return f"{what}: " + "lorem ipsum dolor " * SIZE
'''


def sound(agent: Agent, model: Strict) -> None:
    """What must hold after every event."""
    window = agent.state.window
    assert window
    assert [m.kind for m in window].count("summary") <= 1
    assert window[0].kind == "summary" or all(m.kind != "summary" for m in window)
    seqs = [m.seq for m in window if m.kind != "summary"]
    assert seqs == sorted(set(seqs))


# --- a long chat -------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    sizes=st.lists(st.integers(1, 900), min_size=8, max_size=20),
    reply=st.integers(1, 400),
    steps=st.integers(1, 4),
    result=st.integers(1, 80),
    scale=st.sampled_from([0.7, 1.0, 1.6]),
    counts=st.booleans(),
)
def test_whatever_the_sizes_the_window_holds_and_nothing_is_lost(
    sizes: list[int], reply: int, steps: int, result: int, scale: float, counts: bool
) -> None:
    model = Strict(scale=scale, counts=counts, steps=steps, reply=long(reply))
    functions = LOOKUP.replace("SIZE", str(result))
    with tempfile.TemporaryDirectory(dir=MEMORY) as home, talking(Path(home), model, functions=functions) as agent:
        said = []
        for number, size in enumerate(sizes):
            said.append(f"message{number}x {long(size)}")
            happened: list[Event] = []
            for event in agent.turn(said[-1]):
                happened.append(event)
                sound(agent, model)
            assert replies(happened) == [model.reply], happened
            assert isinstance(happened[-1], TurnEnded)
            assert happened[-1].ending == "done"
            paired(agent.state.window)
            assert any(m.said == model.reply for m in agent.state.window)  # the last word is always there
        if scale <= 1.0 or counts:  # else it can't be known how it counts: it refuses, and is asked for less
            assert model.refused <= 1  # before it has ever counted
        asked = [m.said for m in agent.state.log.all() if m.kind == "user"]
        assert asked == said
        agent.state.database.close()


def test_the_newest_exchange_core_memory_and_the_chain_of_summaries_stay(tmp_path: Path) -> None:
    model = Strict(summaries="Summary {n}. " + "It went on. " * 20)
    with talking(tmp_path, model) as agent:
        agent.state.edit_block("human", "Name: Ada. Plays the viola.")
        compactions = 0
        for number in range(40):
            question = f"question {number} {long(300)}"
            asked = len(model.requests)
            happened = list(agent.turn(question))
            compactions += sum(isinstance(event, Compacted) for event in happened)
            for request in model.requests[asked:]:
                assert "Plays the viola." in request.messages[0].content
                assert any(m.said == question for m in request.messages)  # what is asked is there in full
                assert sum(m.kind == "summary" for m in request.messages) == (1 if compactions else 0)
        assert compactions >= 4
        summary = json.loads(agent.state.window[0].content)
        assert summary["message"].startswith(f"Summary {len(model.told)}.")
        for number, told in enumerate(model.told[1:], start=1):
            assert f"Earlier summary: Summary {number}." in told  # each takes up the one before
        assert len(agent.state.window) > 3
        assert json.loads(agent.state.window[0].content)["hidden_messages"] == agent.state.window[1].seq - 1


def test_compaction_takes_nothing_from_recall_memory(tmp_path: Path) -> None:
    model = Strict()
    with talking(tmp_path, model) as agent:
        for number in range(30):
            list(agent.turn(f"The {number}th animal is called creature{number}. {long(200)}"))
        assert agent.state.window[0].kind == "summary"
        for number in range(30):
            assert agent.state.recall.search(f"creature{number}").total == 1, number
        assert len([m for m in agent.state.log.all() if m.kind == "user"]) == 30


def test_a_window_mostly_filled_by_the_prompt_still_keeps_the_newest_exchange(tmp_path: Path) -> None:
    """30 % of the window is less than the prompt alone: then it is 30 % of what the prompt leaves."""
    model = Strict()
    with talking(tmp_path, model) as agent:
        agent.system = long(1400)
        for number in range(12):
            happened = list(agent.turn(f"question{number} {long(100)}"))
            assert replies(happened) == ["Yes."]
            if any(isinstance(event, Compacted) for event in happened):
                kept = [m.said.split()[0] for m in agent.state.window if m.kind == "user"]
                assert kept[-1] == f"question{number}"
                assert len(kept) > 1
        assert len(model.told) < 8  # not at every message


# --- the pending question -------------------------------------------------------------------------------------------


def test_a_question_that_leaves_the_window_while_it_is_worked_on_is_still_asked(tmp_path: Path) -> None:
    model = Strict(steps=14, window=4096)
    with talking(tmp_path, model, functions=LOOKUP.replace("SIZE", "250")) as agent:
        agent.limits = replace(agent.limits, warn_at=agent.limits.compact_at)  # no warnings in between
        list(agent.turn("Good morning."))
        happened = list(agent.turn("Which of the fourteen parts is the blue one?"))
        assert sum(isinstance(event, Compacted) for event in happened) >= 4
        assert all(not isinstance(event, Returned) or event.ok for event in happened)
        last = model.requests[-1].messages
        assert all(m.kind != "user" for m in last)  # it has left the window, and long ago
        assert "still waiting for my answer to this: Which of the fourteen parts" in last[1].content
        assert all("Which of the fourteen parts" in "".join(m.content for m in r.messages) for r in model.requests[14:])


def test_a_question_that_was_answered_is_not_said_to_be_open(tmp_path: Path) -> None:
    model = Strict()
    with talking(tmp_path, model) as agent:
        for number in range(30):
            for event in agent.turn(f"question {number} {long(200)}"):
                if isinstance(event, Compacted):
                    assert "still waiting" not in event.summary  # for the question asked is still in the window
        list(agent.summarize())
        assert "still waiting" not in agent.state.window[0].content


# --- too much at once -------------------------------------------------------------------------------------------


def test_a_message_larger_than_the_window_is_a_clear_error_and_the_chat_goes_on(tmp_path: Path) -> None:
    with served(tmp_path, [SUMMARY, ECHO], window=4096) as (agent, server):
        assert replies(list(agent.turn("first things first"))) == ["I heard first."]
        before = len(server.requests)
        failed = failure(list(agent.turn(long(6000))))
        assert failed.kind == "ContextOverflow"
        assert "too long" in failed.message
        assert "4096" in failed.message
        assert "send it in parts" in failed.hint and "It was not kept" in failed.hint
        assert len(server.requests) == before  # nothing was sent, nothing was summarised for nothing
        assert not agent.state.recall.search("lorem").total
        happened = list(agent.turn("second thoughts"))
        assert replies(happened) == ["I heard second."]
        assert not any(isinstance(event, Compacted) for event in happened), "it takes no room in the window"
        assert agent.state.undo_turn()[0] == "second thoughts"
        assert agent.state.undo_turn()[0] == "first things first"
        assert replies(list(agent.turn("third time"))) == ["I heard third."]


def test_results_larger_than_the_window_are_summarised_and_the_question_stays(tmp_path: Path) -> None:
    many = [{"call": "lookup", "arguments": {"what": f"p{n}"}} for n in range(16)]
    script = [SUMMARY, {"when": "^everything", "steps": [{"calls": many}]}, ECHO]
    with served(tmp_path, script, window=4096, functions=LOOKUP.replace("SIZE", "300")) as (agent, server):
        happened = list(agent.turn("everything please"))
        assert replies(happened)
        assert "still waiting for my answer to this: everything please" in server.requests[-1].decode()
        paired(agent.state.window)


def test_plain_results_larger_than_the_window_are_a_clear_error_and_the_chat_goes_on(tmp_path: Path) -> None:
    many = [{"call": "lookup", "arguments": {"what": f"p{n}"}} for n in range(16)]
    script = [SUMMARY, {"when": "^everything", "steps": [{"calls": many}]}, ECHO]
    functions = LOOKUP.replace("SIZE", "300")
    with served(tmp_path, script, window=4096, functions=functions, preset="brief_plain") as (agent, _):
        failed = failure(list(agent.turn("everything please")))
        assert failed.kind == "ContextOverflow"
        assert replies(list(agent.turn("hello again"))) == ["I heard hello."]
        paired(agent.state.window)


def test_a_window_smaller_than_the_prompt_is_a_clear_error(tmp_path: Path) -> None:
    with served(tmp_path, [SUMMARY, ECHO], window=1024, preset="chat") as (agent, server):
        failed = failure(list(agent.turn("Hello?")))
        assert failed.kind == "ContextOverflow"
        assert "core memory" in failed.message
        assert "1024" in failed.message
        assert "context_window" in failed.hint
        assert not server.requests


def test_asking_for_a_summary_of_nothing_is_a_clear_error(tmp_path: Path) -> None:
    with served(tmp_path, [SUMMARY, ECHO]) as (agent, _):
        failed = failure(list(agent.summarize()))
        assert "nothing" in failed.message


# --- the server says that it is too long -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        {"status": 400, "message": "maximum context length is 8192 tokens", "code": "context_length_exceeded"},
        {"status": 400, "message": "the request exceeds the available context size, try increasing it"},
        {"status": 400, "message": "prompt is too long: 9000 tokens > 8192 maximum"},
    ],
)
def test_an_overflow_makes_room_and_is_asked_once_more(tmp_path: Path, error: dict[str, Any]) -> None:
    script = [SUMMARY, {"when": "^big", "times": 1, "error": error}, ECHO]
    with served(tmp_path, script) as (agent, server):
        for number in range(6):
            list(agent.turn(f"talk{number} {long(60)}"))
        happened = list(agent.turn("big question"))
        assert replies(happened) == ["I heard big."]
        assert sum(isinstance(event, Compacted) for event in happened) == 1
        assert any(isinstance(event, Discarded) for event in happened)
        last = json.loads(server.requests[-1])["messages"]
        assert len(last) < len(json.loads(server.requests[-3])["messages"])
        assert "big question" in last[-1]["content"]
        paired(agent.state.window)


def test_an_overflow_that_stays_ends_the_turn_and_not_the_chat(tmp_path: Path) -> None:
    overflow = {"status": 400, "message": "maximum context length is 10 tokens", "code": "context_length_exceeded"}
    script = [SUMMARY, {"when": "^big", "error": overflow}, ECHO]
    with served(tmp_path, script) as (agent, server):
        for number in range(4):
            list(agent.turn(f"talk{number}"))
        before = len(server.requests)
        assert failure(list(agent.turn("big question"))).kind == "ContextOverflow"
        assert len(server.requests) - before == 3  # the question, the summary, the question once more
        assert replies(list(agent.turn("small one"))) == ["I heard small."]


# --- a summariser that fails -----------------------------------------------------------------------------------------

_LONGER = "And then, and then, and then. " * 2000


@pytest.mark.parametrize(
    "summariser",
    [
        {"text": ""},
        {"text": "   \n "},
        {"text": _LONGER},
        {"thoughts": "Let me think about what to write."},
        {"error": {"status": 400, "message": "no"}},
        {"error": {"status": 503, "message": "overloaded"}},
        {"error": {"status": 400, "message": "maximum context length is 10", "code": "context_length_exceeded"}},
        {"text": "half of a summ", "cut": 1},
    ],
    ids=["empty", "blank", "longer", "thoughts", "refused", "down", "overflow", "cut"],
)
def test_a_summariser_that_fails_is_done_without(tmp_path: Path, summariser: dict[str, Any]) -> None:
    script = [{"when": {"kind": "summary"}, **summariser}, ECHO]
    with served(tmp_path, script, window=2048) as (agent, _):
        compactions: list[Compacted] = []
        for number in range(16):
            happened = list(agent.turn(f"topic{number} {long(150)}"))
            assert replies(happened) == [f"I heard topic{number}."]
            compactions += [event for event in happened if isinstance(event, Compacted)]
        assert len(compactions) >= 3
        for event in compactions:
            assert event.summary.strip()
            assert len(event.summary.split()) <= agent.limits.summary_words + 30
            assert event.after < event.before
        assert "topic0" in compactions[0].summary
        assert "topic0" in compactions[1].summary  # what was told before is carried on


def test_a_summary_has_at_most_the_words_that_it_may_have(tmp_path: Path) -> None:
    script = [{"when": {"kind": "summary"}, "text": "word " * 500}, ECHO]
    with served(tmp_path, script, window=4096, summary_words=40) as (agent, server):
        for number in range(12):
            list(agent.turn(f"topic{number} {long(300)}"))
        text = json.loads(agent.state.window[0].content)["message"]
        assert len(text.removesuffix(" …").split()) == 40
        asked = next(body for body in map(json.loads, server.requests) if not body.get("tools"))
        assert "40 words" in asked["messages"][0]["content"]
        assert asked["max_tokens"] == 120


def test_what_is_to_be_summarised_is_given_in_portions_that_fit(tmp_path: Path) -> None:
    model = Strict(window=16000)
    with talking(tmp_path, model) as agent:
        for number in range(25):
            list(agent.turn(f"topic{number} {long(360)}"))
        assert not model.told
        agent.limits = type(agent.limits)(window=4096)  # the same agent with a smaller model
        model.window = 4096
        happened = list(agent.turn("And now?"))
        assert replies(happened) == ["Yes."]
        assert not model.refused
        assert len(model.told) > 2
        assert all(estimate(told) < 4096 for told in model.told)
        everything = "".join(model.told)
        assert all(f"topic{number} " in everything for number in range(20))
        assert all(f"Earlier summary: Summary {n}." in told for n, told in enumerate(model.told[1:], start=1))


# --- pressure -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("usage", [None, {"prompt": 0, "completion": 0}], ids=["no usage", "zeros"])
def test_pressure_is_seen_when_the_server_reports_no_tokens(tmp_path: Path, usage: dict[str, int] | None) -> None:
    script = [
        {**SUMMARY, "usage": usage},
        {**ECHO, "usage": usage},
    ]
    with served(tmp_path, script, window=4096) as (agent, server):
        compacted = 0
        for number in range(60):
            happened = list(agent.turn(f"topic{number} {long(100)}"))
            assert set(replies(happened)) == {f"I heard topic{number}."}
            compacted += sum(isinstance(event, Compacted) for event in happened)
            assert agent.used() <= 4096
        assert compacted >= 2
        assert len([body for body in server.requests if PRESSURE in json.loads(body)["messages"][-1]["content"]]) >= 2


def test_the_agent_is_warned_once_between_two_compactions(tmp_path: Path) -> None:
    model = Strict()
    with talking(tmp_path, model) as agent:
        for number in range(60):
            list(agent.turn(f"topic{number} {long(80)}"))
        kinds = [m.kind for m in agent.state.log.all() if m.kind in ("alert", "summary")]
        assert kinds.count("summary") >= 3
        assert kinds == ["alert", "summary"] * kinds.count("summary") + ["alert"] * (kinds[-1] == "alert")


def test_tokens_are_counted_as_the_provider_counts_them(tmp_path: Path) -> None:
    """A model with twice as many tokens for a text as we think: it is never sent more than it can take."""
    model = Strict(scale=2.0)
    with talking(tmp_path, model) as agent:
        for number in range(30):
            assert replies(list(agent.turn(f"topic{number} {long(60)}"))) == ["Yes."]
        assert agent.gauge.factor == pytest.approx(2.0, rel=0.02)
        assert model.refused == 0
        assert model.told


@pytest.mark.parametrize("prompt", [10**9, 2**60, -5, 1])
def test_absurd_counts_make_no_agent_forget_or_overflow(tmp_path: Path, prompt: int) -> None:
    echo = {**ECHO, "usage": {"prompt": prompt, "completion": 1}}
    with served(tmp_path, [SUMMARY, echo], window=8192) as (agent, _):
        for number in range(8):
            assert replies(list(agent.turn(f"topic{number} {long(50)}"))) == [f"I heard topic{number}."]
        assert any(m.said.startswith("topic6 ") for m in agent.state.window)


# --- what goes over the wire -----------------------------------------------------------------------------------------


def test_requests_begin_with_the_bytes_of_the_one_before(tmp_path: Path) -> None:
    script = [
        {"when": "^look", "steps": [{"call": "conversation_search", "arguments": {"query": "tea"}}, {"say": "Found."}]},
        {"when": "^remember", "steps": [
            {"call": "core_memory_append", "arguments": {"name": "human", "content": "Likes tea."}, "heartbeat": True},
            {"say": "Kept."},
        ]},
        ECHO,
    ]  # fmt: skip
    with served(tmp_path, script) as (agent, server):
        for text in ("one", "look for it", "two", "three ünïcode 😀"):
            list(agent.turn(text))
        bodies = [body.removesuffix(b"]}") for body in server.requests]
        assert len(bodies) >= 5
        for before, after in pairwise(bodies):
            assert after.startswith(before)
        list(agent.turn("remember that"))
        list(agent.turn("four"))
        edited = server.requests[-1]
        assert not edited.startswith(bodies[-1])  # core memory stands at the beginning
        list(agent.turn("five"))
        assert server.requests[-1].startswith(edited.removesuffix(b"]}"))


def test_an_agent_that_is_opened_again_sends_the_same_bytes(tmp_path: Path) -> None:
    with served(tmp_path, [ECHO]) as (agent, server):
        list(agent.turn("one"))
        list(agent.turn("two"))
        list(again(agent).turn("three"))
        assert server.requests[-1].startswith(server.requests[-2].removesuffix(b"]}"))


def test_a_summary_is_found_again_by_the_next_process(tmp_path: Path) -> None:
    with served(tmp_path, [SUMMARY, ECHO], window=2048) as (agent, _):
        for number in range(10):
            list(agent.turn(f"topic{number} {long(150)}"))
        other = again(agent)
        assert other.compiled() == agent.compiled()
        assert other.state.window[0].kind == "summary"
