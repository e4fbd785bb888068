"""Agents as models of OpenAI's API, for any program that speaks it: a model's name is the agent's.

The conversation lives in the agent, so that only the last message of the user counts. Knows nothing of how turns run.
"""

from __future__ import annotations

from fastapi import APIRouter

from memagent.server.openai_api import chat, models, responses

router = APIRouter()
for door in (models, chat, responses):
    router.routes.extend(door.router.routes)
