"""A model is tried: what it can and can't do is found out, in bounded time, and what to do about it is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from memagent.config import Settings
from memagent.errors import ContextOverflow, LLMConnectionError
from memagent.llm import Answer, Heard, Piece, Request, Usage, trial
from memagent.llm.script_file import load_script
from memagent.llm.script_server import serve
from memagent.llm.scripted import ScriptedLLM
from memagent.llm.trial import Finding, Trial, calls_a_function, told_window
from memagent.messages import ToolCall, estimate

NOTE = '{"title": "He said \\"hi\\"", "tags": ["red", "green"], "count": 3}'


class Model:
    """A model that can do as much as a test wants."""

    model, window = "tried", 8192

    def __init__(self, calls: bool = True, note: str = NOTE, sees: int = 10**9, wait: float = 0.0) -> None:
        self.calls, self.note, self.sees, self.wait = calls, note, sees, wait
        self.asked: list[Request] = []

    def ask(self, request: Request) -> Iterator[Heard]:
        self.asked.append(request)
        time.sleep(self.wait)
        words = request.messages[-1].content
        usage = Usage(estimate(words), 12)
        if self.calls and request.tools:
            name = request.tools[0]["name"]
            yield Answer(
                calls=(ToolCall("c1", name, '{"word": "ready"}' if name == "say" else self.note),), usage=usage
            )
            return
        if "secret word is" in words:
            words = words[-4 * self.sees :]
            secret = words.split("secret word is ")[1].split(".")[0] if "secret word is " in words else "what word?"
            yield Answer(secret, usage=usage)
            return
        yield Piece("text", "The")
        time.sleep(0.05)
        yield Answer("The river.", usage=usage)


def tried(llm: Any, told: int = 0, presets: tuple[str, ...] = ("chat", "small"), **settings: Any) -> dict[str, Finding]:
    return {finding.what: finding for finding in Trial(llm, Settings(**settings), told, presets).run()}


def test_a_good_model() -> None:
    found = tried(Model())
    assert list(found) == ["functions", "JSON", "speed", "window", "advice"]
    assert {finding.state for finding in found.values()} == {"ok"}
    assert found["JSON"].text == "3 of 3 whole"
    assert found["speed"].facts["reads"] > 1000 and 100 < found["speed"].facts["writes"] < 300
    assert found["window"].facts == {"window": 32000} and "at least 32,000" in found["window"].text
    assert found["advice"].text == "memagent configure --set preset=chat --set context_window=32000"


def test_a_model_that_calls_nothing() -> None:
    found = tried(Model(calls=False), told=8192)
    assert found["functions"].state == "note" and "does not call functions" in found["functions"].text
    assert "JSON" not in found
    assert found["advice"].facts == {"preset": "chat_plain"}


@pytest.mark.parametrize(("wrapper", "other"), [("native", "chatml"), ("chatml", "native")])
def test_a_text_server_that_brings_no_calls_is_told_the_conversation_another_way(wrapper: str, other: str) -> None:
    found = tried(Model(calls=False), told=8192, provider="llamacpp", model="any", wrapper=wrapper)
    assert found["advice"].text == f"memagent configure --set wrapper={other}, and try it again"
    assert "wrapper" not in tried(Model(), told=8192, provider="llamacpp", wrapper=wrapper)["advice"].facts


@pytest.mark.parametrize(
    ("note", "text"),
    [
        ('{"title": "x", "tags": ["red", "green"], "count": 3}', "3 of 3 whole, but not always what was asked for"),
        (NOTE[:-1], "0 of 3 whole, 3 that can be mended"),
        ("[[[", "0 of 3 whole"),
    ],
)
def test_json_that_is_not_kept_is_counted(note: str, text: str) -> None:
    found = tried(Model(note=note), told=8192)["JSON"]
    assert (found.state, found.text) == ("note", text)


def test_a_window_that_nobody_tells_is_found_by_asking() -> None:
    found = tried(Model(sees=3000))
    assert found["window"].facts == {"window": 2000}
    assert "at least 2,000 tokens, and less than 4,000" in found["window"].text
    assert found["advice"].facts == {"preset": "small", "context_window": 2000}
    assert tried(Model(sees=1))["window"].facts == {}


def test_a_window_that_is_told_is_not_tried() -> None:
    model = Model()
    assert tried(model, told=4096)["window"].text == "4,096 tokens, as its server says"
    assert not any("secret" in request.messages[-1].content for request in model.asked)


def test_what_it_takes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SECONDS", 0.6)
    began = time.monotonic()
    found = tried(Model(wait=30))
    assert time.monotonic() - began < 3
    assert list(found) == ["functions"] and "too slow" in found["functions"].text


@pytest.mark.parametrize("error", [LLMConnectionError("Nothing answers.", hint="Start it."), ContextOverflow("Full.")])
def test_what_fails_is_told(error: Exception) -> None:
    class Failing(Model):
        def ask(self, request: Request) -> Iterator[Heard]:
            yield Piece("text", "x")
            raise error

    found = tried(Failing())
    assert list(found) == ["functions"]
    assert (found["functions"].state, found["functions"].text) == ("wrong", str(error))


def test_what_should_not_happen_is_no_finding() -> None:
    class Wrong(Model):
        def ask(self, request: Request) -> Iterator[Heard]:
            raise NotImplementedError

    with pytest.raises(NotImplementedError):
        tried(Wrong())


def test_any_model_can_be_tried() -> None:
    scripted = ScriptedLLM(load_script(None))
    assert calls_a_function(scripted)[1].answer is not None
    assert told_window(Settings(provider="scripted"), scripted) == 8192
    server = serve(load_script(None))
    try:
        from memagent.assemble import open_model

        settings = Settings(endpoint=server.url, model="scripted")
        found = tried(open_model(settings), told_window(settings, open_model(settings)))
        assert list(found)[-1] == "advice"
    finally:
        server.close()


def test_openai_needs_not_be_asked_for_what_is_known() -> None:
    assert told_window(Settings(model="gpt-4.1-mini"), Model()) == 1_047_576
