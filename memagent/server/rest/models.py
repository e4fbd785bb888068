"""`/v1/models/`: the model that agents here are made with, and the one that finds meaning.

Knows nothing of agents.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from memagent.assemble import open_embedder
from memagent.server.problems import Refused
from memagent.server.rest.asking import Reader, house_of
from memagent.server.rest.shapes import EmbeddingModelShown, ModelShown
from memagent.settings import SETTINGS, Settings

router = APIRouter(tags=["REST: models"])


def handle_of(settings: Settings) -> str:
    """What the client's world calls the model: who runs it, and its name there."""
    if settings.provider == "scripted" and "/" in settings.model:
        return settings.model  # the script plays whatever model was named
    return f"{settings.provider}/{settings.model or settings.provider}"


def given_by(settings: Settings, handle: str) -> dict[str, Any]:
    """The settings that a handle means; only those of whoever runs models here. The scripted model plays any."""
    if handle == handle_of(settings):
        return {}
    provider, slash, name = handle.partition("/")
    if settings.provider == "scripted":
        name = handle
    elif slash and provider != settings.provider:
        raise Refused(
            400, f"The model {handle[:80]!r} can't be had: models here are run by {settings.provider!r}. "
            f"Name one as {settings.provider}/NAME, such as {handle_of(settings)}."
        )  # fmt: skip
    try:
        return {"model": SETTINGS["model"].read(name if slash else handle)}
    except ValueError as error:
        raise Refused(400, f"{handle[:80]!r} is no name of a model.") from error


def llm_config(settings: Settings) -> dict[str, Any]:
    """The model in the older form; where it is, is nobody's business."""
    return {
        "handle": handle_of(settings), "model": settings.model or settings.provider,
        "model_endpoint_type": settings.provider, "context_window": settings.window,
        "put_inner_thoughts_in_kwargs": False, "temperature": settings.temperature,
    }  # fmt: skip


@router.get("/v1/models/", response_model=list[ModelShown])
def models(request: Request, caller: Reader) -> list[ModelShown]:
    """The model that a new agent has if none is named."""
    settings = house_of(request).residents.settings_of(caller.owner)
    name, handle = settings.model or settings.provider, handle_of(settings)
    return [
        ModelShown(
            handle=handle, name=name, display_name=name, model=name, provider_type=settings.provider,
            provider_name=settings.provider, model_endpoint_type=settings.provider, context_window=settings.window,
            max_context_window=settings.window,
        )
    ]  # fmt: skip


@router.get("/v1/models/embedding", response_model=list[EmbeddingModelShown])
def embedding_models(request: Request, caller: Reader) -> list[EmbeddingModelShown]:
    """The model that finds meaning in what is remembered; none if only words are looked for."""
    settings = house_of(request).residents.settings_of(caller.owner)
    embedder = open_embedder(settings)
    if embedder is None:
        return []
    provider = "local" if settings.embedder == "auto" else settings.embedder
    return [
        EmbeddingModelShown(
            handle=f"{provider}/{embedder.model}", name=embedder.model, display_name=embedder.model,
            embedding_model=embedder.model, provider_type=provider, provider_name=provider,
            embedding_endpoint_type=provider, embedding_dim=embedder.dimension,
        )
    ]  # fmt: skip
