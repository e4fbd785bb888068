"""What embedding costs, about: to be told before a lot of it is done. Knows nothing of what is embedded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from memagent.config import Settings
from memagent.embeddings import Embedder

TABLE = Path(__file__).with_name("prices.yaml")
_HOME = ("localhost", "::1", "host.docker.internal")


@dataclass(frozen=True)
class Price:
    """What a model costs: dollars for a million tokens, where that is known, and when it was."""

    model: str
    dollars: float | None
    as_of: str

    def of(self, tokens: int) -> str:
        """What so many tokens cost, in words."""
        if self.dollars is None:
            return f"about {tokens:,} tokens; what {self.model} costs is not known here"
        cost = tokens * self.dollars / 1_000_000
        shown = f"${cost:.2f}" if cost >= 0.01 else "less than a cent"
        return f"about {tokens:,} tokens, {shown} with {self.model} (${self.dollars:g} for a million, {self.as_of})"


def price(settings: Settings, embedder: Embedder) -> Price | None:
    """What the embedder costs; None when it runs on a machine of yours, as far as that can be told."""
    if settings.embedder not in ("openai", "azure"):
        return None
    host = urlsplit(settings.embedding_endpoint or settings.endpoint).hostname or ""
    if host in _HOME or host.startswith("127."):
        return None
    import yaml

    table = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return Price(embedder.model, table["dollars"].get(embedder.model), str(table["as_of"]))
