"""What a collector is told of a server: spans that hang together, numbers, and no word of what was said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from collector import Collector, collecting
from serving import served, until

from memagent import telemetry

KEY = "sk-canary-0123456789abcdefWXYZ"
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
BREAKS = '''
def break_glass(agent) -> str:
    """Break."""
    agent.recall.search("a canary in it")
    raise LookupError("a canary in an error")
'''
PRESET = """
system: chat
functions: [base, glass]
"""


@pytest.fixture
def collector(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that the environment names."""
    (home / "functions").mkdir()
    (home / "functions" / "glass.py").write_text(BREAKS)
    (home / "presets").mkdir()
    (home / "presets" / "glass.yaml").write_text(PRESET)
    with collecting() as collector:
        more = {"MEMAGENT_FACTS": "on", "MEMAGENT_FACTS_PROVIDER": "plain", "MEMAGENT_API_KEY": KEY}
        more |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.address, "OTEL_EXPORTER_OTLP_HEADERS": f"x-team={KEY}"}
        for name, value in more.items():
            monkeypatch.setenv(name, value)
        yield collector
        telemetry.end()


def said(home: Path, *texts: str) -> str:
    """Say something to a new agent, each in a turn of its own, and send what is told of that; returns its id."""
    from memagent.llm.script_file import load_script

    script = home / "script.yaml"
    broken = "- when: {said: '^break', after_calls: 0}\n  call: break_glass\n  heartbeat: true\n"
    script.write_text(broken + script.read_text())
    load_script(script)
    with served(home) as serving:
        agent = serving.agent(preset="glass")
        http = serving.http(traceparent=f"00-{TRACE}-{CALLER}-01")
        for text in texts:
            body = {"messages": [{"role": "user", "content": text}]}
            http.post(f"/v1/agents/{agent}/messages?search=canary", json=body)
        until(lambda: not serving.house.residents.agent(serving.entry()).behind.busy)
        http.get("/health/ready")
    telemetry.end()
    return agent


def test_a_turn_is_told_span_by_span_and_without_its_words(home: Path, collector: Collector) -> None:
    agent = said(home, f"note canary {KEY}")
    request, turn = collector.one("POST /v1/agents/{agent_id}/messages"), collector.one("invoke_agent")
    assert (request.trace, request.parent, request.kind) == (TRACE, CALLER, 2)
    assert request.about["http.response.status_code"] == 200
    assert (turn.trace, turn.parent, turn.name) == (TRACE, request.id, "invoke_agent ada")
    told = {"gen_ai.agent.id": agent, "gen_ai.conversation.id": agent, "memagent.turn": 1, "memagent.ending": "done"}
    assert turn.about["memagent.run"].startswith("run-")
    assert told.items() <= turn.about.items()
    asked = collector.named("chat")
    assert [span.parent for span in asked] == [turn.id] * 2
    about = asked[0].about
    assert (about["gen_ai.provider.name"], about["gen_ai.request.model"]) == ("scripted", "scripted")
    assert about["gen_ai.response.finish_reasons"] == ["tool_calls"] and about["gen_ai.usage.input_tokens"] > 0
    assert about["gen_ai.request.stream"] and about["gen_ai.response.time_to_first_chunk"] > 0
    tool, edit = collector.one("execute_tool core_memory_append"), collector.one("update_memory")
    assert (tool.parent, edit.parent) == (turn.id, tool.id)
    assert edit.about["gen_ai.memory.store.id"] == "core" and edit.about["gen_ai.memory.record.id"] == "human"
    reading = collector.one("upsert_memory")
    assert (reading.parent, reading.links) == ("", (turn.id,)) and reading.trace != TRACE
    assert collector.resource["service.name"] == "memagent" and collector.headers[0]["x-team"] == KEY
    tokens = {each["gen_ai.token.type"]: each["sum"] for each in collector.numbers["gen_ai.client.token.usage"]}
    assert tokens == {kind: turn.about[f"gen_ai.usage.{kind}_tokens"] for kind in ("input", "output")}
    assert {"gen_ai.client.operation.duration", "gen_ai.client.operation.time_to_first_chunk"} <= set(collector.numbers)
    assert b"canary" not in collector.raw


def test_what_fails_says_how_and_in_whose_turn_and_words_are_told_only_where_they_are_wished_for(
    home: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    said(home, f"break this {KEY}", "fail")
    tool, search = collector.one("execute_tool break_glass"), collector.one("search_memory")
    assert tool.failed and tool.about["error.type"] == "LookupError"
    assert search.parent == tool.id and search.about["gen_ai.memory.query.text"] == "a canary in it"
    assert "a canary in an error" in tool.about["gen_ai.tool.call.result"]
    model = [span for span in collector.named("chat") if span.failed]
    assert [span.about["error.type"] for span in model] == ["LLMError"]
    assert [span.failed for span in collector.named("invoke_agent")] == [False, True]
    assert "break this" in collector.named("chat")[0].about["gen_ai.input.messages"]
    assert KEY.encode() not in collector.raw and KEY[3:].encode() not in collector.raw
