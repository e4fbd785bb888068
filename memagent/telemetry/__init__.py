"""Traces and metrics by OpenTelemetry's conventions for generative AI: told to whom the program has set up for that, or
sent to a collector that the settings name.

Where neither is the case, nothing of OpenTelemetry is ever loaded. Knows nothing of what is done where it is watched.
"""

from __future__ import annotations

import atexit
import logging
import sys
import threading
from typing import TYPE_CHECKING, Any

from memagent import watching
from memagent.errors import MissingExtra

if TYPE_CHECKING:
    from memagent.llm import LLM
    from memagent.settings import Settings
    from memagent.telemetry.sending import Sending

log = logging.getLogger(__name__)

_guard = threading.Lock()
_sending: Sending | None = None
_told: Any = None
"""The program's own provider of tracers, if it is told."""
_missing = False


def begin(settings: Settings) -> None:
    """Watch from now on, if somebody wants to know. What the first settings say that wish for it holds for the whole
    process.
    """
    if settings.telemetry == "off" or _sending is not None:
        return
    theirs = _programs_own()
    if theirs is None and not settings.telemetry_endpoint:
        return
    with _guard:
        if theirs is not None:
            _tell(theirs, settings)
        elif _sending is None and not _missing:
            _send(settings)


def watched(llm: LLM, provider: str = "", address: str = "") -> LLM:
    """The same model, watched if somebody watches; once only, however often it is handed on."""
    if watching.watcher is None or bool(getattr(llm, "watched", "")):
        return llm
    from memagent.telemetry.models import watched_model
    from memagent.telemetry.watcher import Telemetry

    assert isinstance(watching.watcher, Telemetry)
    own = type(llm).__name__.removesuffix("LLM").lower()
    return watched_model(watching.watcher.spans, llm, provider or own, address)


def end() -> None:
    """Send what was not sent yet, in a moment, and watch no more."""
    global _sending, _told
    watching.watch(None)
    with _guard:
        ending, _sending, _told = _sending, None, None
    if ending is not None:
        ending.end()


def _programs_own() -> Any:
    """The provider of tracers that the program has set up; none if it has loaded nothing of OpenTelemetry yet."""
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return None
    provider = api.get_tracer_provider()
    return None if isinstance(provider, api.ProxyTracerProvider | api.NoOpTracerProvider) else provider


def _tell(provider: Any, settings: Settings) -> None:
    global _told
    if provider is _told:
        return
    from opentelemetry import metrics

    from memagent.telemetry.spans import Spans
    from memagent.telemetry.watcher import Telemetry

    watching.watch(Telemetry(Spans(provider, metrics.get_meter_provider(), settings)))
    _told = provider


def _send(settings: Settings) -> None:
    global _sending, _missing
    try:
        from memagent.telemetry.sending import Sending
    except ImportError as error:
        missing = MissingExtra("What sends traces and metrics", "otel")
        if not settings.origin("telemetry_endpoint").startswith("OTEL_"):
            raise missing from error
        _missing = True  # the variable is meant for all programs: no reason not to work
        log.warning("%s %s", missing.message, missing.hint)
        return
    from memagent.telemetry.spans import Spans
    from memagent.telemetry.watcher import Telemetry

    _sending = Sending(settings)
    atexit.register(end)
    watching.watch(Telemetry(Spans(_sending.traces, _sending.metrics, settings)))
