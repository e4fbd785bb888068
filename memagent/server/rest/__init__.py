"""The REST door: the resources and shapes that the published `letta-client` speaks, so that it drives agents unchanged.

What a client sends that there is no place for is kept with the agent, or refused in words. Knows nothing of how turns
run.
"""

from __future__ import annotations

from importlib import import_module

from fastapi import APIRouter

DOORS = (
    "models", "agent_files", "agents", "blocks", "tools", "messages", "passages", "runs", "conversations", "everywhere",
)  # fmt: skip
router = APIRouter()
for door in DOORS:
    router.routes.extend(import_module(f"memagent.server.rest.{door}").router.routes)
