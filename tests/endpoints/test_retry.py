"""How long is waited before a service is asked again, and for what."""

import math
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from chat_server import Reply, chat_server, plain, raw, refusal, speak, stream, then_silence
from hypothesis import given
from hypothesis import strategies as st

from memagent.endpoints.retry import Backoff, retry_after
from memagent.errors import LLMConnectionError, LLMError, LocalLLMError
from memagent.llm import Answer, Heard, Pause, Request
from memagent.llm.openai import OpenAILLM
from memagent.messages import user_message

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
EVEN = Backoff(chance=lambda: 0.5, now=NOW.timestamp)
OK = stream(*speak("ok"))
QUESTION = Request([user_message("Hello", NOW)])


def ask(*replies: Reply, **settings: Any) -> tuple[list[Heard], list[float]]:
    """What is heard but for the pieces, and how long it slept in between."""
    slept: list[float] = []
    with chat_server(*replies) as server:
        given_settings = {"api_key": "k", "base_url": server.url, "sleep": slept.append, "backoff": EVEN}
        model = OpenAILLM("m", 8000, **given_settings | settings)
        try:
            return [item for item in model.ask(QUESTION) if isinstance(item, Pause | Answer)], slept
        finally:
            model.close()


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_asked_again(status: int) -> None:
    heard, slept = ask(refusal(status, "not now"), refusal(status, "not now"), OK)
    assert slept == [0.5, 1.0]
    pauses, last = heard[:-1], heard[-1]
    assert [pause.seconds for pause in pauses if isinstance(pause, Pause)] == slept
    assert all(isinstance(pause, Pause) and "not now" in pause.reason for pause in pauses)
    assert isinstance(last, Answer)
    assert last.text == "ok"


def test_each_wait_is_told_before_it_is_slept() -> None:
    slept: list[float] = []
    with chat_server(refusal(503, "loading model"), OK) as server:
        model = OpenAILLM("m", 8000, api_key="k", base_url=server.url, sleep=slept.append, backoff=EVEN)
        heard = model.ask(QUESTION)
        assert isinstance(next(heard), Pause)
        assert slept == []
        next(heard)
        assert slept == [0.5]
        list(heard)
        model.close()


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 413, 422, 501])
def test_what_will_not_pass_is_not_asked_again(status: int) -> None:
    with chat_server(refusal(status, "no"), OK) as server:
        model = OpenAILLM("m", 8000, api_key="k", base_url=server.url, sleep=lambda _: pytest.fail("slept"))
        with pytest.raises(Exception) as caught:
            list(model.ask(QUESTION))
        model.close()
        assert "asked" not in str(caught.value)
        assert [asked.method for asked in server.asked] == ["POST"]


def test_a_quota_used_up_is_not_asked_again() -> None:
    with pytest.raises(LLMError, match="no credit left: You exceeded your current quota"):
        ask(refusal(429, "You exceeded your current quota.", code="insufficient_quota"))


def test_given_up_it_says_how_often_it_asked() -> None:
    with pytest.raises(LocalLLMError, match=r"failed \(500 Internal Server Error\): boom. It was asked 5 times."):
        ask(*[refusal(500, "boom")] * 9)
    with pytest.raises(LLMError, match=r"failed \(502 Bad Gateway\)\. It was asked 2 times."):
        ask(*[plain(502, "<html><h1>Bad gateway", kind="text/html")] * 9, retries=1)
    with pytest.raises(LLMError, match=r"can't answer now \(429 Too Many Requests\): slow down."):
        ask(refusal(429, "slow down"), retries=0)


def test_a_server_that_hangs_up_without_a_word_is_asked_again() -> None:
    heard, slept = ask(raw(), raw(b"HTTP/1.1 200"), raw(b"SSH-2.0-OpenSSH_9\r\n"), OK)
    assert slept == [0.5, 1.0, 2.0]
    assert isinstance(heard[-1], Answer)


def test_silence_is_asked_again() -> None:
    _, slept = ask(then_silence(raw()), OK, timeout=0.1)
    assert slept == [0.5]
    with pytest.raises(LLMConnectionError, match=r"sent nothing for 0\.1 s"):
        ask(then_silence(raw()), timeout=0.1, retries=0)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Retry-After: 7", 7.0),
        ("Retry-After: 0.25", 0.25),
        ("Retry-After: 1000000000", 60.0),
        ("Retry-After: 1e999", 60.0),
        ("Retry-After-Ms: 1500", 1.5),
        ("Retry-After-Ms: 1500\r\nRetry-After: 9", 1.5),
        (f"Retry-After: {format_datetime(NOW.replace(second=20), usegmt=True)}", 20.0),
        ("Retry-After: Fri, 31 Dec 9999 23:59:59 GMT", 60.0),
        # The service's clock counts, not ours.
        ("Date: Sat, 01 Jan 2000 00:00:00 GMT\r\nRetry-After: Sat, 01 Jan 2000 00:00:09 GMT", 9.0),
        # Nothing sensible in it: as if it were not there.
        ("Retry-After: soon", 0.5),
        ("Retry-After: -3", 0.5),
        ("Retry-After: 0", 0.5),
        ("Retry-After: nan", 0.5),
        ("Retry-After: Sat, 01 Jan 2000 00:00:00 GMT", 0.5),
    ],
)
def test_what_the_service_asks_for_is_honoured_within_bounds(header: str, seconds: float) -> None:
    heard, slept = ask(refusal(429, "slow down", header), OK)
    assert slept == [pytest.approx(seconds)]
    assert heard[0] == Pause(slept[0], heard[0].reason if isinstance(heard[0], Pause) else "")


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_waits_grow_and_stay_bounded(failures: int, chance: float) -> None:
    backoff = Backoff(chance=lambda: chance)
    wait = backoff.wait(failures, {})
    assert 0 < wait <= 1.25 * backoff.longest
    assert wait >= 0.75 * min(backoff.first * 2.0 ** min(failures - 1, 30), backoff.longest)


@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date"]), st.text()), st.integers(1, 9))
def test_no_header_makes_it_fail_or_wait_long(headers: dict[str, str], failures: int) -> None:
    asked = retry_after(headers, NOW.timestamp)
    assert asked is None or not math.isnan(asked)
    assert 0 < EVEN.wait(failures, headers) <= EVEN.bound
