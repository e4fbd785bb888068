"""What the REST door says of itself: each route has its policy and its shapes, and nothing that fits them breaks it."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase, settings
from letta import client_of, made
from serving import Serving, served

from memagent.server.callers import Needs
from memagent.server.rest import router

DRIVEN = tuple(f"/v1/{each}" for each in ("agents", "blocks", "tools", "runs", "conversations", "messages"))


def policies(dependant: Dependant) -> list[object]:
    own = [dependant.call] if isinstance(dependant.call, Needs) else []
    return [*own, *(found for each in dependant.dependencies for found in policies(each))]


def test_every_route_has_one_policy_and_says_what_it_answers() -> None:
    assert len(router.routes) > 50
    for route in router.routes:
        assert isinstance(route, APIRoute)
        assert len(policies(route.dependant)) == 1, f"{route.path} has no policy, or two"
        assert route.response_model is not None, f"{route.path} does not say what it answers"


def test_the_description_is_complete(server: Serving) -> None:
    described = server.http().get("/openapi.json").json()
    ours = {path: each for path, each in described["paths"].items() if path.startswith(("/v1/agents", "/v1/blocks"))}
    assert "/v1/agents/{agent_id}/messages" in ours
    for path, methods in ours.items():
        for method, of in methods.items():
            assert of["responses"]["200"]["content"]["application/json"]["schema"], (path, method)
            assert "404" in of["responses"], (path, method)
            assert of["x-scope"] == ("read" if method == "get" else of["x-scope"]), (path, method)
    scopes = {
        (path, method): of.get("x-scope") for path, every in described["paths"].items() for method, of in every.items()
    }
    assert scopes["/metrics", "get"] == "admin" and scopes["/v1/agents/{agent_id}/messages", "post"] == "chat"
    assert {path for (path, _), scope in scopes.items() if not scope} == {
        "/v1/health/", "/health/ready", "/api/me", "/api/login", "/api/logout",
    }  # fmt: skip
    page = server.http().get("/docs")
    assert "script-src 'self';" in page.headers["content-security-policy"] and "http" not in page.text


def test_the_example_of_the_documentation_runs(server: Serving) -> None:
    page = (Path(__file__).parents[2] / "docs" / "rest.md").read_text()
    code = page.partition("```python\n")[2].partition("```")[0].replace("http://127.0.0.1:8283", server.address)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert "assistant_message echo I like tea." in done.stdout and "echo And I am 40." in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_that_fits_the_description_breaks_it(home: Path) -> None:
    with served(home) as server, client_of(server) as client:
        agent = made(client)
        client.agents.messages.create(agent.id, input="hello")
        block, tool = agent.blocks[0].id, agent.tools[0].id
        known = {
            "agent_id": agent.id, "block_id": block, "tool_id": tool, "run_id": client.runs.list().items[0].id,
            "block_label": "human", "conversation_id": agent.id.replace("agent", "conv"), "tool_name": "send_message",
        }  # fmt: skip
        schema = schemathesis.openapi.from_url(f"{server.address}/openapi.json")
        broken: list[tuple[str, int, str]] = []
        answers: Counter[int] = Counter()

        def tried(case: Any) -> None:
            if case.path_parameters and case.method != "DELETE":
                mine = {name: known[name] for name in case.path_parameters if name in known}
                case.path_parameters = {**case.path_parameters, **mine}
            answer = case.call(base_url=server.address, timeout=30)
            answers[answer.status_code] += 1
            if answer.status_code >= 500 and answer.status_code != 502:
                broken.append((case.formatted_path, answer.status_code, answer.text[:200]))

        for found in schema.get_all_operations():
            operation = found.ok()
            if not operation.path.startswith(DRIVEN):
                continue
            wanted = settings(
                max_examples=12, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            _every(operation, tried, wanted)
        assert not broken
        assert answers[200] > 50 and answers[404] and answers[422], answers


def _every(operation: Any, tried: Any, wanted: settings) -> None:
    from hypothesis import given

    @wanted
    @given(case=operation.as_strategy())
    def run(case: Any) -> None:
        tried(case)

    run()
