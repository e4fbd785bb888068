"""Many requests at once: limits that hold, retries, waiting together, and when it is better to stop."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from batch_server import Asked, BatchServer, Said, batch_server, chat, echo
from hypothesis import given
from hypothesis import strategies as st

from memagent.config import Settings
from memagent.endpoints.address import trusted
from memagent.endpoints.retry import Backoff
from memagent.errors import ConfigError, LLMConnectionError, LLMError, MemagentError
from memagent.llm.batch import Call, Ending, Limits, Outcome, UnfitCall, call_from, door_to, run_batch

KEY = "sk-canary/0123456789abcdef"
QUICK = Backoff(first=0.01, longest=0.05, bound=0.3)


def asks(*texts: str, **more: Any) -> list[Call]:
    return [call_from({"model": "m", "messages": [{"role": "user", "content": t}], **more}, tag=t) for t in texts]


def numbered(count: int, **more: Any) -> list[Call]:
    return asks(*(f"q{n}" for n in range(count)), **more)


def run(
    server: BatchServer | str, calls: Iterable[Call], limits: Limits | None = None, **more: Any
) -> tuple[dict[str, Outcome], Ending]:
    """All outcomes by their tags, of which no two are the same."""
    url = server if isinstance(server, str) else server.url
    heard: dict[str, Outcome] = {}

    def keep(outcome: Outcome) -> None:
        assert outcome.call.tag not in heard
        heard[outcome.call.tag] = outcome

    door = door_to(Settings(endpoint=url, api_key=KEY, timeout=more.pop("timeout", 20.0)))
    ending = run_batch(calls, door, limits or Limits(), keep, **{"backoff": QUICK, **more})
    return heard, ending


def said(outcome: Outcome) -> str:
    assert outcome.answer, outcome.failure
    return str(outcome.answer["choices"][0]["message"]["content"])


def failing(times: int, said: Said) -> Callable[[Asked], Said]:
    """Each text fails so often, and is then echoed."""
    left: dict[str, int] = {}
    guard = threading.Lock()

    def answer(asked: Asked) -> Said:
        text = asked.body["messages"][0]["content"]
        with guard:
            left[text] = left.get(text, times) - 1
            return said if left[text] >= 0 else echo(asked)

    return answer


# Answers --------------------------------------------------------------------------------------------------------------


def test_each_is_answered_once_and_many_at_a_time() -> None:
    with batch_server(lambda asked: Said(body=echo(asked).body, after=0.02)) as server:
        heard, ending = run(server, iter(numbered(60)), Limits(parallel=20))
    assert ending == Ending()
    assert {tag: said(outcome) for tag, outcome in heard.items()} == {f"q{n}": f"Q{n}" for n in range(60)}
    assert len(server.asked) == 60
    assert 5 < server.most_at_once <= 20
    assert heard["q1"].tokens == 7 and json.loads(heard["q1"].raw) == heard["q1"].answer


def test_embeddings_go_to_their_own_address() -> None:
    calls = [call_from({"input": ["a", "bcd"]}, "two", model="e"), call_from({"model": "x", "input": "hello"}, "one")]
    with batch_server() as server:
        heard, _ = run(server, [*calls, *asks("hi")])
    assert [item["embedding"][0] for item in (heard["two"].answer or {})["data"]] == [1.0, 3.0]
    assert {(a.path, a.body["model"]) for a in server.asked} == {
        ("/v1/embeddings", "e"), ("/v1/embeddings", "x"), ("/v1/chat/completions", "m"),
    }  # fmt: skip
    assert all(asked.headers["Authorization"] == f"Bearer {KEY}" for asked in server.asked)


def test_at_azure_a_model_has_its_own_address() -> None:
    with batch_server() as server:
        address = server.url.removesuffix("/v1")
        settings = Settings(provider="azure", endpoint=address, api_key=KEY, azure_api_version="2024-10-21")
        heard: list[Outcome] = []
        run_batch(asks("hi"), door_to(settings), Limits(), heard.append)
    assert said(heard[0]) == "HI"
    assert server.asked[0].path == "/openai/deployments/m/chat/completions?api-version=2024-10-21"
    assert server.asked[0].headers["api-key"] == KEY and "Authorization" not in server.asked[0].headers


def test_nothing_asked_is_nothing_answered() -> None:
    with batch_server() as server:
        assert run(server, []) == ({}, Ending())


def test_the_endless_are_read_as_they_are_needed() -> None:
    read = 0

    def endless() -> Iterator[Call]:
        nonlocal read
        for n in itertools.count():
            read = n
            yield asks(f"q{n}")[0]

    heard: list[Outcome] = []

    def keep(outcome: Outcome) -> None:
        heard.append(outcome)
        if len(heard) == 50:
            raise InterruptedError("enough")

    with batch_server() as server, pytest.raises(InterruptedError, match="enough"):
        run_batch(endless(), door_to(Settings(endpoint=server.url)), Limits(parallel=4), keep)
    assert len(heard) == 50
    assert read < 100


def test_what_reading_raises_is_raised() -> None:
    def broken() -> Iterator[Call]:
        yield from numbered(3)
        raise KeyError("lost")

    with batch_server() as server, pytest.raises(KeyError, match="lost"):
        run(server, broken())


# Limits ---------------------------------------------------------------------------------------------------------------


def most_in(window: float, arrivals: list[tuple[float, int]]) -> int:
    """The most that came in any such time."""
    return max(sum(n for at, n in arrivals if start <= at < start + window) for start, _ in arrivals)


def test_no_more_requests_than_allowed_in_any_window() -> None:
    with batch_server() as server:
        began = time.monotonic()
        heard, _ = run(server, numbered(16), Limits(parallel=16, rpm=5, window=0.4))
        passed = time.monotonic() - began
    assert len(heard) == 16
    assert most_in(0.36, [(asked.at, 1) for asked in server.asked]) <= 5
    assert passed >= 3 * 0.4, "three windows had to pass"


def test_no_more_tokens_than_allowed_in_any_window() -> None:
    calls = numbered(10, max_tokens=100)
    each = calls[0].tokens
    assert 100 < each < 110
    with batch_server(lambda asked: Said(body=chat("x", total=each))) as server:
        heard, _ = run(server, calls, Limits(parallel=10, tpm=3 * each + 5, window=0.4))
    assert len(heard) == 10
    assert most_in(0.36, [(asked.at, each) for asked in server.asked]) <= 3 * each + 5


def test_what_was_counted_corrects_what_was_estimated() -> None:
    cheap = numbered(8, max_tokens=1000)
    with batch_server(lambda asked: Said(body=chat("x", total=10))) as server:
        began = time.monotonic()
        heard, _ = run(server, cheap, Limits(parallel=1, tpm=1100, window=30))
        assert time.monotonic() - began < 10, "by the estimates alone, each would wait half a minute"
    assert len(heard) == 8
    with batch_server(lambda asked: Said(body=chat("x", total=900))) as server:
        run(server, numbered(3, max_tokens=10), Limits(parallel=1, tpm=1000, window=0.3))
    times = [asked.at for asked in server.asked]
    assert times[2] - times[1] >= 0.27, "two of them took more than all"


def test_what_is_larger_than_the_limit_is_told_so() -> None:
    calls = [*asks("word " * 1000), *asks("hi", max_tokens=5)]
    with batch_server() as server:
        heard, _ = run(server, calls, Limits(tpm=500))
    failure = heard["word " * 1000].failure
    assert failure and failure.type == "too_large" and "the limit is 500 a minute" in failure.message
    assert said(heard["hi"]) == "HI" and len(server.asked) == 1


# Retries --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [
        Said(500, {"error": {"message": "oops"}}),
        Said(503, b"<html>busy</html>"),
        Said(hang_up=True),
        Said(200, b""),
        Said(200, {"error": {"message": "overloaded", "code": 503}}),
    ],
    ids=["500", "503 in a web page", "hung up", "empty", "an error within the answer"],
)
def test_what_passes_is_tried_again(trouble: Said) -> None:
    with batch_server(failing(2, trouble)) as server:
        heard, ending = run(server, numbered(6))
    assert ending == Ending() and all(said(outcome) == tag.upper() for tag, outcome in heard.items())
    assert len(server.asked) == 18


def test_a_server_that_says_nothing_is_asked_again() -> None:
    with batch_server(failing(1, Said(body={}, after=0.6))) as server:
        heard, _ = run(server, numbered(2), timeout=0.2)
    assert {tag: said(outcome) for tag, outcome in heard.items()} == {"q0": "Q0", "q1": "Q1"}


@pytest.mark.parametrize(
    ("trouble", "kind", "tries"),
    [
        (Said(400, {"error": {"message": "messages: too short"}}), "refused", 1),
        (Said(404, {"error": {"message": "The model `m` does not exist", "code": "model_not_found"}}), "model", 1),
        (Said(400, {"error": {"code": "context_length_exceeded", "message": "too long"}}), "overflow", 1),
        (Said(500, {"error": {"message": f"oops {KEY}"}}), "failed", 3),
    ],
)
def test_what_does_not_pass_is_a_failure_of_that_one_alone(trouble: Said, kind: str, tries: int) -> None:
    with batch_server(lambda asked: trouble if "bad" in str(asked.body) else echo(asked)) as server:
        heard, ending = run(server, asks("a", "bad", "c"), retries=2)
    failure = heard["bad"].failure
    assert ending == Ending() and len(heard) == 3 and said(heard["c"]) == "C"
    assert failure and (failure.type, failure.status, failure.tries) == (kind, trouble.status, tries)
    assert KEY not in failure.message


def test_a_rate_limit_holds_all_of_them() -> None:
    held: list[tuple[float, str]] = []
    refused = threading.Event()

    def answer(asked: Asked) -> Said:
        if len(server.asked) == 5 and not refused.is_set():
            refused.set()
            return Said(429, {"error": {"message": "Slow down"}}, {"Retry-After": "0.25"})
        return echo(asked)

    with batch_server(answer) as server:
        heard, _ = run(server, numbered(20), Limits(parallel=1), on_hold=lambda *told: held.append(told))
    assert len(heard) == 20 and not any(outcome.failure for outcome in heard.values())
    times = [asked.at for asked in server.asked]
    assert times[5] - times[4] >= 0.24
    assert len(held) == 1 and 0.2 < held[0][0] <= 0.3 and "Slow down" in held[0][1]


def test_many_that_hear_of_the_same_limit_wait_once() -> None:
    """All are under way when the limit is told: that is one limit, not as many as there are requests."""

    def answer(asked: Asked) -> Said:
        if len(server.asked) <= 16:
            return Said(429, {"error": {"message": "Slow down"}}, {"Retry-After": "0.2"}, after=0.3)
        return echo(asked)

    with batch_server(answer) as server:
        heard, ending = run(server, numbered(16), Limits(parallel=16), retries=1)
    assert ending == Ending() and len(heard) == 16 and not any(outcome.failure for outcome in heard.values())
    assert server.asked[16].at >= 0.5


def test_an_endpoint_that_takes_few_at_once_is_asked_fewer_at_once() -> None:
    def answer(asked: Asked) -> Said:
        if server.at_once > 4:
            return Said(429, {"error": {"message": "too many at once"}}, {"Retry-After": "0.02"})
        return Said(body=echo(asked).body, after=0.02)

    with batch_server(answer) as server:
        heard, ending = run(server, numbered(80), Limits(parallel=32), retries=4)
    assert ending == Ending() and len(heard) == 80 and not any(outcome.failure for outcome in heard.values())
    assert len(server.asked) < 80 + 3 * 32, "not all of them ran against the wall each time"


def test_retry_after_is_honoured_within_bounds() -> None:
    with batch_server(failing(1, Said(429, {}, {"Retry-After": "3600"}))) as server:
        began = time.monotonic()
        heard, _ = run(server, asks("a"))
    assert said(heard["a"]) == "A"
    assert 0.29 <= time.monotonic() - began < 5


# When it is better to stop --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trouble", "error", "words"),
    [
        (Said(401, {"error": {"message": f"Incorrect API key: {KEY}"}}), ConfigError, "refused the API key"),
        (Said(429, {"error": {"code": "insufficient_quota", "message": "pay"}}), LLMError, "no credit"),
        (Said(302, b"", {"Location": "http://127.0.0.1:9/"}), LLMError, "redirects"),
        (Said(404, b"<html>nothing here</html>"), LLMError, "not an OpenAI-compatible endpoint"),
        (Said(200, b"<html>Log in</html>"), LLMError, "not JSON"),
        (Said(200, {"hello": "world"}), LLMError, "no choices"),
        (Said(429, {"error": {"message": "per day"}}), LLMError, "per day"),
    ],
    ids=["key", "credit", "redirect", "path", "web page", "another service", "a limit that does not lift"],
)
def test_what_would_fail_for_all_ends_all(trouble: Said, error: type[MemagentError], words: str) -> None:
    with batch_server(lambda asked: trouble) as server:
        heard, ending = run(server, numbered(100), Limits(parallel=3), retries=2)
    assert heard == {}, "nothing is put down as failed"
    assert isinstance(ending.stopped, error) and words in ending.stopped.message
    assert KEY not in str(ending.stopped)
    assert len(server.asked) <= 12


def test_nobody_there() -> None:
    heard, ending = run("http://127.0.0.1:9/v1", numbered(50), retries=1)
    assert heard == {}
    assert isinstance(ending.stopped, LLMConnectionError) and "Nothing answers" in ending.stopped.message


@pytest.mark.parametrize(("name", "value"), [("HTTP_PROXY", "nonsense://x"), ("SSL_CERT_FILE", "/nowhere.pem")])
def test_what_is_wrong_around_us_is_told(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    trusted.cache_clear()
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="can't be asked"):
        run("http://memagent.test/v1", numbered(3))


def test_a_server_that_is_out_of_order_is_given_up() -> None:
    with batch_server(lambda asked: Said(500, {})) as server:
        heard, ending = run(server, numbered(500), Limits(parallel=8), retries=0)
    assert ending.stopped and "have all failed" in ending.stopped.message
    assert 25 <= len(heard) < 50


def test_ctrl_c_lets_those_under_way_end() -> None:
    def answer(asked: Asked) -> Said:
        if len(server.asked) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return Said(body=echo(asked).body, after=0.3)

    with batch_server(answer) as server:
        heard, ending = run(server, numbered(40), Limits(parallel=4))
    assert ending == Ending(interrupted=True)
    assert 1 <= len(heard) <= 8 and len(server.asked) == len(heard)


def test_ctrl_c_does_not_wait_for_ever() -> None:
    def answer(asked: Asked) -> Said:
        if len(server.asked) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return Said(body=echo(asked).body, after=2)

    with batch_server(answer) as server:
        began = time.monotonic()
        heard, ending = run(server, numbered(40), Limits(parallel=2), grace=0.2)
        assert time.monotonic() - began < 1.5
    assert (heard, ending) == ({}, Ending(interrupted=True))


def test_ctrl_c_while_all_wait() -> None:
    def answer(asked: Asked) -> Said:
        threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]).start()
        return Said(429, {}, {"Retry-After": "30"})

    with batch_server(answer) as server:
        began = time.monotonic()
        _, ending = run(server, numbered(4), Limits(parallel=1), backoff=Backoff())
        assert time.monotonic() - began < 5
    assert ending == Ending(interrupted=True)


# Calls ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, '"messages"'),
        ({"messages": []}, "names no model"),
        ({"model": 3, "messages": []}, "names no model"),
        ({"model": "m", "messages": [], "stream": True}, "stream"),
        ({"model": "m", "input": float("nan")}, "not JSON"),
    ],
)
def test_what_can_not_be_asked(body: dict[str, Any], words: str) -> None:
    with pytest.raises(UnfitCall, match=words):
        call_from(body)


def test_what_a_call_costs() -> None:
    def cost(**body: Any) -> int:
        return call_from({"model": "m", **body}).tokens

    assert cost(input="x" * 400) == 100
    assert cost(input=["x" * 400, "y" * 400]) == 200
    assert cost(input=[1, 2, 3]) == 3
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x," + "A" * 100_000}}]}]
    assert 800 < cost(messages=picture, max_tokens=1) < 900
    assert cost(messages=[], max_tokens=500, n=3) == 1500
    assert cost(messages=[], max_completion_tokens=700) == 700


words = st.text('a {"é\ud800', max_size=6)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
)


@given(st.dictionaries(st.sampled_from(["messages", "input", "model", "max_tokens", "n", "tools", "x"]), json_values))
def test_any_body_is_sent_as_it_is_or_refused(body: dict[str, Any]) -> None:
    try:
        call = call_from(body)
    except UnfitCall:
        return
    assert json.loads(call.body) == body and call.tokens >= 0


def test_a_provider_without_an_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="scripted"):
        door_to(Settings(provider="scripted"))
    with pytest.raises(ConfigError, match="no key for OpenAI"):
        door_to(Settings())
