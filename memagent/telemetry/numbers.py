"""What is counted: tokens, how long models take, how long requests do. By the conventions' names and boundaries.

Knows nothing of spans.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from memagent import __version__
from memagent.llm import Usage

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.util.types import AttributeValue

SECONDS = tuple(0.01 * 2**n for n in range(14))
TOKENS = tuple(4**n for n in range(14))
REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


class Numbers:
    """The instruments."""

    def __init__(self, meters: MeterProvider) -> None:
        meter = meters.get_meter("memagent", __version__)
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage", "{token}", "Tokens that models read and wrote.",
            explicit_bucket_boundaries_advisory=TOKENS,
        )  # fmt: skip
        self._seconds = meter.create_histogram(
            "gen_ai.client.operation.duration", "s", "How long a model took.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )  # fmt: skip
        self._first = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk", "s", "How long it took until a model began to answer.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )  # fmt: skip
        self._requests = meter.create_histogram(
            "http.server.request.duration", "s", "How long requests took.",
            explicit_bucket_boundaries_advisory=REQUEST_SECONDS,
        )  # fmt: skip

    def operation(
        self, about: Mapping[str, AttributeValue], seconds: float, *, first: float | None = None,
        usage: Usage | None = None,
    ) -> None:  # fmt: skip
        """A model was asked."""
        self._seconds.record(seconds, about)
        if first is not None:
            self._first.record(first, about)
        for kind, tokens in (("input", usage.prompt), ("output", usage.completion)) if usage else ():
            self._tokens.record(tokens, {**about, "gen_ai.token.type": kind})

    def request(self, about: Mapping[str, AttributeValue], seconds: float) -> None:
        """A request was answered."""
        self._requests.record(seconds, about)
