"""What a person is told when an endpoint can't be asked, or says no."""

import errno
import logging
import socket
import ssl
import threading
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from chat_server import (
    Reply,
    as_json,
    chat_server,
    chunk,
    plain,
    raw,
    refusal,
    stream,
)

from memagent.endpoints.failures import Endpoint
from memagent.endpoints.refusals import read
from memagent.errors import (
    BackendError,
    ConfigError,
    ContextOverflow,
    LLMConnectionError,
    LLMError,
    LocalLLMError,
    MemagentError,
    NotFound,
    UserError,
)
from memagent.llm import Heard, Pause, Request, Restarted
from memagent.llm.openai import OpenAILLM
from memagent.messages import user_message

QUESTION = Request([user_message("Hello", datetime(2026, 11, 21, 3, 0, tzinfo=UTC))])
CANARY = "sk-canary-0123456789abcdef"


def failing(url: str, heard: list[Heard] | None = None, **settings: Any) -> MemagentError:
    """The error that asking there ends with."""
    model = OpenAILLM(
        "m", 8000, **{"api_key": CANARY, "base_url": url, "retries": 0, "sleep": lambda _: None} | settings
    )
    try:
        for item in model.ask(QUESTION):
            if heard is not None:
                heard.append(item)
    except MemagentError as error:
        return error
    finally:
        model.close()
    raise AssertionError("it did not fail")


def failure_of(*replies: Reply, **settings: Any) -> MemagentError:
    with chat_server(*replies) as server:
        return failing(server.url, **settings)


# --- a prompt that is too long, in the words of many -----------------------------------------------------------------

OVERFLOWS = {
    "OpenAI": (400, {"error": {"message": "Input tokens exceed the limit", "code": "context_length_exceeded"}}),
    "OpenAI, in words": (
        400,
        {"error": {"message": "This model's maximum context length is 8192 tokens. However, your messages resulted in "
                              "9000 tokens. Please reduce the length of the messages."}},
    ),
    "OpenAI, more than a minute's worth": (
        429,
        {"error": {"message": "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 50000.",
                   "code": "rate_limit_exceeded"}},
    ),
    "llama.cpp": (
        400,
        {"error": {"code": 400, "message": "the request exceeds the available context size, try increasing it",
                   "type": "exceed_context_size_error", "n_prompt_tokens": 9000, "n_ctx": 8192}},
    ),
    "llama.cpp, earlier": (500, {"error": {"code": 500, "message": "the request exceeds the available context size"}}),
    "vLLM": (
        400,
        {"object": "error", "message": "This model's maximum context length is 4096 tokens. However, you asked for 500",
         "type": "BadRequestError", "code": 400},
    ),
    "vLLM, another": (
        400,
        {"error": {"message": "The decoder prompt (length 9000) is longer than the maximum model length of 8192."}},
    ),
    "Ollama": (400, {"error": {"message": "prompt too long; exceeded max context length by 5 tokens"}}),
    "Ollama, another": (400, {"error": {"message": "the input length exceeds the context length"}}),
    "LM Studio": (
        400,
        {"error": "Trying to keep the first 15857 tokens when context the overflows. However, the model is loaded with "
                  "context length of only 4096 tokens, which is not enough."},
    ),
    "LM Studio, MLX": (400, {"error": "Context size has been exceeded."}),
    "LM Studio, n_keep": (
        400,
        {"error": "The number of tokens to keep from the initial prompt is greater than the context length."},
    ),
    "Anthropic": (400, {"error": {"type": "invalid_request_error", "message": "prompt is too long: 20831 > 20000"}}),
    "Anthropic, by size": (413, {"error": {"type": "request_too_large", "message": "Request exceeds the limit"}}),
    "Groq": (400, {"error": {"message": "Please reduce the length of the messages or completion."}}),
    "Mistral": (
        400,
        {"object": "error", "message": "Prompt contains 65673 tokens and 0 draft, too large for model with 32768 "
                                       "maximum context length", "type": "invalid_request_prompt"},
    ),
    "Together": (
        422,
        {"error": {"message": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097. Given: 5"}},
    ),
    "Gemini": (
        400,
        [{"error": {"code": 400, "message": "The input token count (1200) exceeds the maximum number of tokens "
                                            "allowed (1048).", "status": "INVALID_ARGUMENT"}}],
    ),
    "xAI": (
        400,
        {"code": "invalid-argument", "error": "This model's maximum prompt length is 131072 but the request has 53781"},
    ),
    "OpenRouter": (
        400,
        {"error": {"message": "Provider returned error", "code": 400,
                   "metadata": {"raw": '{"message":"This endpoint\'s maximum context length is 32768 tokens."}'}}},
    ),
    "SGLang": (400, {"message": "The input (9000 tokens) is longer than the model's context length (8192 tokens)."}),
    "FastAPI": (422, {"detail": "Requested tokens (9000) exceed context window of 8192"}),
    "Cohere": (400, {"message": "too many tokens: total number of tokens in the prompt cannot exceed 4081"}),
    "MiniMax": (400, {"error": {"message": "invalid params, context window exceeds limit"}}),
    "nginx": (413, "<html><h1>413 Request Entity Too Large</h1></html>"),
}  # fmt: skip


@pytest.mark.parametrize("vendor", OVERFLOWS)
def test_a_prompt_that_is_too_long_is_recognised(vendor: str) -> None:
    status, body = OVERFLOWS[vendor]
    endpoint = Endpoint("http://host/v1", "m", "", "KEY", 9, 9)
    setback = endpoint.refused(read(status, body))
    assert isinstance(setback.error, ContextOverflow)
    assert not setback.again
    # The same, as the error event with which some servers break off a stream of status 200.
    assert isinstance(endpoint.refused(read(0, body), midway=True).error, ContextOverflow) or status in (413, 429)


def test_a_prompt_that_is_too_long_on_the_wire() -> None:
    status, body = OVERFLOWS["llama.cpp"]
    assert isinstance(failure_of(as_json(status, body)), ContextOverflow)
    assert isinstance(failure_of(as_json(*OVERFLOWS["Gemini"])), ContextOverflow)
    assert isinstance(failure_of(as_json(*OVERFLOWS["LM Studio"])), ContextOverflow)
    assert isinstance(failure_of(as_json(200, body)), ContextOverflow)
    assert isinstance(failure_of(stream(chunk(content="Hal"), body)), ContextOverflow)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (429, "Too many tokens, please wait before trying again."),
        (429, "Rate limit reached: Limit 30000 tokens per min, Used 29000."),
        (429, "This request exceeds the maximum number of tokens per minute."),
        (400, "max_tokens is too large: 99999. This model supports at most 16384 completion tokens."),
        (400, "The context of this conversation is not valid."),
        (500, "The server had an error processing your request."),
    ],
)
def test_other_refusals_are_no_overflow(status: int, words: str) -> None:
    assert read(status, {"error": {"message": words}}).why != "overflow"


# --- other refusals ------------------------------------------------------------------------------------------------


def test_a_wrong_key() -> None:
    error = failure_of(refusal(401, f"Incorrect API key provided: {CANARY}."), key_name="MY_KEY")
    assert isinstance(error, ConfigError)
    assert "refused the API key" in error.message
    assert "MY_KEY" in error.hint
    assert "memagent configure" in error.hint


def test_no_key() -> None:
    error = failure_of(refusal(401, "no"), api_key=None)
    assert isinstance(error, UserError)
    assert "wants an API key, and none is set" in error.message


def test_a_key_that_may_not() -> None:
    error = failure_of(refusal(403, "Country not supported"))
    assert isinstance(error, ConfigError)
    assert "Country not supported" in error.message


def test_no_credit() -> None:
    assert "no credit left: Insufficient Balance" in failure_of(refusal(402, "Insufficient Balance")).message


MISSING = [
    (404, {"error": {"message": "The model `m` does not exist", "code": "model_not_found"}}),
    (404, {"object": "error", "message": "The model `m` does not exist.", "type": "NotFoundError", "code": 404}),
    (404, {"error": {"message": "model 'm' not found", "type": "not_found_error"}}),
    (400, {"error": {"message": "m is not a valid model ID", "code": 400}}),
    (400, {"object": "error", "message": "Invalid model: m", "type": "invalid_model"}),
    (400, {"error": "No models loaded. Please load a model in the developer page."}),
]


@pytest.mark.parametrize(("status", "body"), MISSING)
def test_a_model_that_is_not_there_and_those_that_are(status: int, body: object) -> None:
    error = failure_of(as_json(status, body), as_json(200, {"data": [{"id": "llama"}, {"id": "qwen"}]}))
    assert isinstance(error, NotFound)
    assert "no model named 'm'" in error.message
    assert error.hint == "It has: llama, qwen."


@pytest.mark.parametrize("listing", [refusal(500, "no"), as_json(200, {"data": []}), plain(200, "hi"), raw()])
def test_a_model_that_is_not_there_where_none_are_listed(listing: Reply) -> None:
    error = failure_of(as_json(*MISSING[0]), listing)
    assert isinstance(error, NotFound)
    assert "memagent configure" in error.hint


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "registry.ollama.ai/library/gemma does not support tools"),
        (500, "tools param requires --jinja flag"),
        (400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
    ],
)
def test_a_model_that_can_not_call_functions(status: int, words: str) -> None:
    error = failure_of(refusal(status, words))
    assert "can't call functions as it is set up" in error.message
    assert words in error.message


@pytest.mark.parametrize(
    "reply",
    [
        plain(200, "<!doctype html><title>Log in</title>", kind="text/html"),
        plain(200, "\n\n  <html>", kind="text/event-stream"),
        plain(200, "Ollama is running"),
        plain(200, '{"choices": [', kind="application/json"),
        plain(200, '{"message": "hello"}', kind="application/json"),
        plain(200, '{"a":' * 50_000, kind="application/json"),
        plain(200, b"\xff\xfe\x00\x01", kind="application/octet-stream"),
        plain(404, "404 page not found"),
        as_json(404, {"detail": "Not Found"}),
        refusal(404, "File Not Found", type="not_found_error", code=404),
        plain(405, "Method Not Allowed"),
    ],
)
def test_an_endpoint_that_is_none(reply: Reply) -> None:
    with chat_server(reply) as server:
        error = failing(server.url.removesuffix("/v1"))
        assert isinstance(error, LLMError)
        assert f"not an OpenAI-compatible endpoint: {server.url.removesuffix('/v1')} (" in error.message
        assert "forget /v1" in error.hint


def test_an_endpoint_that_sends_nothing_at_all() -> None:
    error = failure_of(plain(200, ""), plain(200, "", kind="application/json"))
    assert "not an OpenAI-compatible endpoint" in error.message
    assert "it sent nothing" in error.message
    assert "forget /v1" not in error.hint


def test_a_web_page_as_refusal_is_not_shown() -> None:
    error = failure_of(plain(502, "<html><h1>502 Bad Gateway</h1></html>", kind="text/html"))
    assert isinstance(error, LocalLLMError)
    assert error.message.endswith("failed (502 Bad Gateway).")


def test_a_refusal_is_shown_on_one_short_line() -> None:
    error = failure_of(refusal(400, "\x1b[31mbad\r\n" + "word " * 1000))
    assert "\x1b" not in error.message
    assert "\n" not in error.message
    assert "[31mbad word word" in error.message
    assert len(error.message) < 400


# --- no answer at all ----------------------------------------------------------------------------------------------


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = failing(f"http://127.0.0.1:{port}/v1")
    assert isinstance(error, LLMConnectionError)
    assert f"Nothing answers at 127.0.0.1:{port}" in error.message
    assert "Is the server running?" in error.hint


@pytest.mark.parametrize(("number", "again"), [(socket.EAI_NONAME, False), (socket.EAI_AGAIN, True)])
def test_a_name_that_can_not_be_found(monkeypatch: pytest.MonkeyPatch, number: int, again: bool) -> None:
    def unknown(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(number, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    heard: list[Heard] = []
    error = failing("https://api.exmaple.com/v1", heard, retries=2)
    assert isinstance(error, LLMConnectionError)
    assert "The name of api.exmaple.com can't be found" in error.message
    assert "typo" in error.hint
    assert len(heard) == (2 if again else 0)


def test_a_connection_that_does_not_come_about(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: object, **__: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", late)
    error = failing("https://api.example.com/v1")
    assert "api.example.com did not answer within 10 s" in error.message


def test_an_unreachable_network_in_the_systems_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", unreachable)
    error = failing("https://user:secret@api.example.com/v1")
    assert error.message == "Nothing answers at api.example.com (Network is unreachable)."
    assert "Is the server running" not in error.hint


def test_a_certificate_that_nobody_vouches_for() -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(Path(__file__).parent / "localhost.pem")
    with chat_server(tls=tls) as server:
        heard: list[Heard] = []
        error = failing(server.url, heard, retries=3)
    assert isinstance(error, LLMConnectionError)
    assert "certificate of 127.0.0.1" in error.message
    assert "not trusted" in error.message
    assert heard == [], "asking again does not help"


def test_an_endpoint_without_tls() -> None:
    def refuse(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse, args=[listener], daemon=True)
        thread.start()
        error = failing(f"https://127.0.0.1:{listener.getsockname()[1]}/v1", retries=3)
        thread.join()
    assert "does not speak TLS" in error.message
    assert "http://" in error.hint


# --- keys ----------------------------------------------------------------------------------------------------------

ECHOES = [
    refusal(401, f"Incorrect API key provided: {CANARY}"),
    refusal(400, "the password canary-password is wrong"),
    refusal(403, f"{CANARY} may not"),
    refusal(400, f"bad header Authorization: Bearer {CANARY}"),
    refusal(500, f"upstream said {CANARY}"),
    refusal(429, f"{CANARY} is too fast"),
    refusal(404, f"model {CANARY} not found"),
    refusal(402, f"{CANARY} is out of credit"),
    refusal(400, f"prompt is too long for {CANARY}"),
    plain(500, f"Bearer {CANARY}"),
    as_json(500, {"detail": [{"loc": ["header", CANARY], "msg": "no"}]}),
    as_json(200, {"error": {"message": f"{CANARY}"}}),
    stream(chunk(content="Hal"), {"error": {"message": f"lost {CANARY}"}}),
    plain(200, f"{CANARY}"),
]


@pytest.mark.parametrize("reply", ECHOES)
def test_a_key_is_never_shown(reply: Reply, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Heard] = []
    with caplog.at_level(logging.DEBUG), chat_server(reply, reply, as_json(200, {"data": [{"id": CANARY}]})) as server:
        error = failing(server.url.replace("//", "//sam:canary-password@"), heard, retries=1)
    shown = "".join(traceback.format_exception(error)) + repr(error) + str(error) + error.hint + caplog.text
    shown += "".join(item.reason for item in heard if isinstance(item, Pause | Restarted))
    assert "canary" not in shown
    assert isinstance(error, UserError | BackendError)


def test_a_key_of_no_known_shape_is_masked_too() -> None:
    assert "hunter22" not in failure_of(refusal(500, "key hunter22 is bad"), api_key="hunter22").message


def test_keys_of_others_are_masked() -> None:
    error = failure_of(refusal(400, "gateway key sk-proj-abcdefghij1234567890 is over its limit"))
    assert "abcdefghij" not in error.message
