"""Models deployed at Azure OpenAI: the same conversation at another address, with the deployment's name for the model.

Knows only what differs from `openai.py`. An Azure address that ends in /openai/v1 needs none of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memagent.endpoints.failures import Setback
from memagent.errors import ConfigError, MemagentError, NotFound
from memagent.llm.openai import OpenAILLM

if TYPE_CHECKING:
    import openai

API_VERSION = "2024-10-21"


class AzureLLM(OpenAILLM):
    """The deployment `model` of the resource at `endpoint`, which looks like https://<resource>.openai.azure.com.

    What else can be set is what `OpenAILLM` takes.
    """

    def __init__(
        self,
        model: str,
        window: int,
        *,
        api_key: str | None,
        endpoint: str,
        api_version: str = API_VERSION,
        key_name: str = "AZURE_OPENAI_API_KEY",
        **settings: Any,
    ) -> None:
        if not endpoint:
            raise ConfigError("Azure has no address of its own.", hint="Set the endpoint of your resource.")
        super().__init__(model, window, api_key=api_key, base_url=endpoint, key_name=key_name, **settings)
        self._api_version = api_version

    def _open(self) -> openai.OpenAI:
        import openai

        return openai.AzureOpenAI(
            azure_endpoint=self.endpoint.url,
            azure_deployment=self.model,
            api_version=self._api_version,
            **self._client_settings(),
        )

    def _given_up(self, setback: Setback, tries: int) -> MemagentError:
        if isinstance(setback.error, NotFound):  # its list of models is not a list of what is deployed
            message = f"{self.endpoint.where} has no deployment named {self.model!r}."
            return NotFound(message, hint="Look at the deployments of the resource; a new one takes minutes to appear.")
        return setback.after(tries)
