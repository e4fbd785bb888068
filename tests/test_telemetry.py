"""Telemetry where nobody wants it, where a program has its own, and where the collector is not there."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from memagent import config, telemetry, watching
from memagent.assemble import make_agent, open_database
from memagent.events import Reply
from memagent.telemetry import sending

PROGRAM = """
import io, json, sys
from memagent.cli.app import main

sys.argv, sys.stdin = ["memagent", "run", "--agent", "ada", "--provider", "scripted"], io.StringIO("Hello!\\n")
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
unwanted = [name for name in sys.modules if name.startswith("opentelemetry")]

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from memagent import Memory, config
from memagent.assemble import load_agent, open_database

told, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(told))
trace.set_tracer_provider(provider)
settings = config.load({"provider": "scripted", "telemetry_endpoint": "http://127.0.0.1:9"})
with provider.get_tracer("theirs").start_as_current_span("theirs") as theirs:
    agent = load_agent(settings, open_database(settings), "ada")
    events = list(agent.turn("And again!"))
    with Memory(user="bo") as memory:
        memory.add("I live in Oslo")
        memory.forget(memory.search("Oslo")[0])
agent.close()
ours = [span for span in told.get_finished_spans() if span.name != "theirs"]
within = {span.name for span in ours if span.context.trace_id == theirs.get_span_context().trace_id}
sender = "memagent.telemetry.sending" in sys.modules
print(json.dumps([unwanted, sorted(within), sender]))
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith(("MEMAGENT_", "OPENAI_", "OTEL_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MEMAGENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MEMAGENT_EMBEDDER", "off")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.mark.slow
def test_without_a_wish_nothing_is_loaded_and_a_program_that_has_its_own_is_told(home: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    unwanted, within, sender = json.loads(done.stdout.splitlines()[-1])
    assert unwanted == [] and not sender
    assert {"invoke_agent ada", "chat scripted", "execute_tool send_message"} <= set(within)
    assert {"upsert_memory", "search_memory", "delete_memory"} <= set(within)


def test_a_collector_that_does_not_answer_delays_no_turn_and_costs_one_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sending, "FAREWELL", 0.1)
    with socket.socket() as deaf:  # it takes what comes, and never says a word
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        settings = config.load(
            {"provider": "scripted", "telemetry_endpoint": f"http://127.0.0.1:{deaf.getsockname()[1]}"}
        )
        with closing(open_database(settings)) as database, caplog.at_level(logging.WARNING):
            agent = make_agent(settings, database, "ada")
            assert any(isinstance(event, Reply) for event in agent.turn("Hello!"))
            agent.close()
            telemetry.end()
    assert [record.name for record in caplog.records] == ["memagent.telemetry.sending"]
    assert watching.watcher is None


def test_what_opentelemetry_is_told_holds_here_too(home: Path) -> None:
    environ = {"MEMAGENT_HOME": str(home), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://there:4318"}
    environ["OTEL_EXPORTER_OTLP_HEADERS"] = "Authorization=Basic%20c2VjcmV0LWhlYWRlcg,x-scope=one"
    settings = config.load({}, environ=environ)
    assert (settings.telemetry, settings.telemetry_content) == ("auto", False)
    assert settings.telemetry_header_values == {"authorization": "Basic c2VjcmV0LWhlYWRlcg", "x-scope": "one"}
    assert "c2VjcmV0LWhlYWRlcg" not in config.mask("It said Basic c2VjcmV0LWhlYWRlcg.", settings)
    assert config.load({}, environ={**environ, "OTEL_SDK_DISABLED": "true"}).telemetry == "off"
