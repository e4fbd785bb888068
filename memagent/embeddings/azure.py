"""Embedding models deployed at Azure OpenAI: the same at another address, with the deployment's name for the model.

Knows only what differs from `openai.py`. An Azure address that ends in /openai/v1 needs none of this.
"""

from __future__ import annotations

from urllib.parse import quote

from memagent.config import Settings
from memagent.embeddings import Embedder
from memagent.embeddings.asked import Manner
from memagent.embeddings.cache import kept
from memagent.embeddings.openai import DIMENSIONS, OpenAIEmbedder, amounts
from memagent.embeddings.served import endpoint_of
from memagent.endpoints.failures import Endpoint
from memagent.errors import ConfigError

API_VERSION = "2024-10-21"


class AzureEmbedder(OpenAIEmbedder):
    """The deployment of an embedding model, named as its model."""

    key_header = "api-key"
    fetch = "Is there a deployment of that name in the resource? A new one takes minutes to appear."

    def __init__(self, endpoint: Endpoint, manner: Manner, version: str, **more: int) -> None:
        super().__init__(endpoint, manner, **more)
        version = quote(version, safe="")
        self.path = f"/openai/deployments/{quote(endpoint.model, safe='')}/embeddings?api-version={version}"


def reached(settings: Settings, manner: Manner) -> Endpoint:
    """Where the deployment is asked that the settings name; nothing is sent to it yet."""
    if not settings.embedding_endpoint and (settings.provider != "azure" or not settings.endpoint):
        hint = "Set embedding_endpoint to that of your resource, https://NAME.openai.azure.com"
        raise ConfigError("Azure has no address of its own.", hint=hint)
    return endpoint_of(settings, manner, "azure", "")


def opened(settings: Settings, manner: Manner) -> Embedder:
    """A deployment at Azure OpenAI."""
    endpoint = reached(settings, manner)
    version = settings.azure_api_version or API_VERSION
    usual = 0 if settings.embedding_dimension else DIMENSIONS.get(endpoint.model, 0)
    return kept(
        settings, endpoint, manner,
        lambda known: AzureEmbedder(endpoint, manner, version, **amounts(settings, known)), usual,
    )  # fmt: skip
