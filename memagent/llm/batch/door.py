"""Where the requests of a batch go, and with which key.

Knows how OpenAI's and Azure's addresses differ, and nothing of what is asked there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from memagent import __version__
from memagent.endpoints.failures import Endpoint
from memagent.errors import ConfigError

if TYPE_CHECKING:
    from memagent.config import Settings


@dataclass(frozen=True)
class Door:
    """An endpoint that many requests go to. `model` is asked where a request names none.

    `azure_version` is the version of Azure's API; without one, the endpoint speaks as OpenAI's does.
    """

    endpoint: Endpoint
    model: str = ""
    azure_version: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """What every request says of itself, the key among it."""
        headers = {"Content-Type": "application/json", "User-Agent": f"memagent/{__version__}"}
        if self.azure_version:
            headers["api-key"] = self.endpoint.key
        elif self.endpoint.login:
            headers["Authorization"] = "Basic " + self.endpoint.login_as_sent
        elif self.endpoint.key:
            headers["Authorization"] = "Bearer " + self.endpoint.key
        return headers

    def url(self, path: str, model: str) -> str:
        """The address of a kind of request, for this model."""
        if not self.azure_version:
            return self.endpoint.url + path
        return (
            f"{self.endpoint.url}/openai/deployments/{quote(model, safe='')}{path}"
            f"?api-version={quote(self.azure_version, safe='')}"
        )


def door_to(settings: Settings) -> Door:
    """The endpoint that the settings name; nothing is sent to it yet."""
    from memagent.llm.azure import API_VERSION, AzureLLM
    from memagent.llm.openai import OpenAILLM

    model = settings.model
    if settings.provider == "azure":
        azure = AzureLLM(model, 0, endpoint=settings.endpoint, api_key=settings.api_key, timeout=settings.timeout)
        return Door(azure.endpoint, model, settings.azure_api_version or API_VERSION)
    if settings.provider != "openai":
        raise ConfigError(
            f"The provider {settings.provider!r} has no address that many requests could be sent to.",
            hint="Choose provider openai, and the endpoint of any server that speaks as OpenAI does.",
        )
    if not settings.api_key and not settings.endpoint:
        raise ConfigError(
            "There is no key for OpenAI.",
            hint="Set OPENAI_API_KEY, or another endpoint; `memagent configure` asks for what is needed.",
        )
    openai = OpenAILLM(model, 0, api_key=settings.api_key, base_url=settings.endpoint or None, timeout=settings.timeout)
    return Door(openai.endpoint, model)
