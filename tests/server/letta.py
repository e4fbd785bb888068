"""What the tests of the REST door share: the published client, and agents made with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from letta_client import Letta
from letta_client.types import AgentState
from serving import Serving


@contextmanager
def client_of(server: Serving, key: str | None = None) -> Iterator[Letta]:
    """The published client, as anybody would make it."""
    with Letta(base_url=server.address, api_key=key, max_retries=0, timeout=20) as client:
        yield client


def made(client: Letta, name: str = "ada", **more: Any) -> AgentState:
    """An agent that was made with it."""
    blocks = [{"label": "human", "value": "Bo."}, {"label": "persona", "value": "I am Ada."}]
    return client.agents.create(name=name, **{"memory_blocks": blocks, **more})
