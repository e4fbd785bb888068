"""A model deployed at Azure: another address, the same conversation."""

from datetime import UTC, datetime

import pytest
from chat_server import chat_server, refusal, speak, stream

from memagent.errors import ConfigError, ContextOverflow, NotFound
from memagent.llm import Answer, Request
from memagent.llm.azure import AzureLLM
from memagent.messages import user_message

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
QUESTION = Request([user_message("Hello", NOW)])


def azure(url: str, key: str = "azure-canary") -> AzureLLM:
    return AzureLLM("my-gpt", 8000, api_key=key, endpoint=url.removesuffix("/v1"), api_version="2024-10-21", retries=0)


def test_asked_at_its_deployment() -> None:
    with chat_server(*[stream({"choices": [], "prompt_filter_results": []}, *speak("ok"))] * 2) as server:
        model = azure(server.url)
        for _ in range(2):
            last = list(model.ask(QUESTION))[-1]
            assert isinstance(last, Answer)
            assert last.text == "ok"
        model.close()
        asked = server.asked[0]
        assert asked.path == "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21"
        assert asked.headers["api-key"] == "azure-canary"
        assert "authorization" not in asked.headers
        assert list(asked.json) == ["model", "stream", "stream_options", "messages"]
        assert server.asked[0].body == server.asked[1].body
        assert server.connections == 1


def test_a_deployment_that_is_not_there() -> None:
    missing = refusal(404, "The API deployment for this resource does not exist.", code="DeploymentNotFound")
    with chat_server(missing) as server, pytest.raises(NotFound, match="no deployment named 'my-gpt'"):
        list(azure(server.url).ask(QUESTION))


def test_its_own_words_for_a_prompt_that_is_too_long() -> None:
    words = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
    with chat_server(refusal(400, words, code="context_length_exceeded")) as server, pytest.raises(ContextOverflow):
        list(azure(server.url).ask(QUESTION))


def test_a_wrong_key_names_where_to_put_the_right_one() -> None:
    denied = refusal(401, "Access denied due to invalid subscription key azure-canary")
    with chat_server(denied) as server, pytest.raises(ConfigError, match="AZURE_OPENAI_API_KEY") as caught:
        list(azure(server.url).ask(QUESTION))
    assert "canary" not in str(caught.value)


def test_an_address_is_needed() -> None:
    with pytest.raises(ConfigError, match="Azure"):
        AzureLLM("my-gpt", 8000, api_key="k", endpoint="")
