"""Where every setting gets its value from, and the directory (home) in which everything of yours is kept.

A value is looked for in this order; the first one found holds: flags of the command, the environment, `.env` in the
current directory, `.env` in home, what the agent was made with, `config.yaml` in home, the default. This is the only
file that reads the environment. Knows nothing of what the settings are used for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from memagent.config_file import Written, changed, page, write_whole
from memagent.errors import ConfigError
from memagent.settings import PREFIX, SETTINGS, Setting, Settings

__all__ = [
    "SETTINGS", "Setting", "Settings", "clean_environment", "ensure_home", "environment_of_pip", "home", "load",
    "mask", "masked", "save",
]  # fmt: skip

FILE = "config.yaml"
MOST_BYTES = 1_000_000
HIDDEN = {"MEMAGENT_HOME", "MEMAGENT_CRASH_AT"}
ALIASES = {
    "azure": {
        "AZURE_OPENAI_API_KEY": "api_key",
        "AZURE_OPENAI_ENDPOINT": "endpoint",
        "OPENAI_API_VERSION": "azure_api_version",
    },
    "openai": {"OPENAI_API_KEY": "api_key", "OPENAI_BASE_URL": "endpoint", "OPENAI_MODEL": "model"},
}
"""Variables that other programs use too, by the provider for which they are read; MEMAGENT_* wins over them."""

OTEL = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "telemetry_endpoint",
    "OTEL_EXPORTER_OTLP_HEADERS": "telemetry_headers",
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "telemetry_content",
    "OTEL_SDK_DISABLED": "telemetry",
}
"""Variables of OpenTelemetry's that decide whether anything is told, where, and what; it reads all others itself."""
_OTEL_WORDS = {
    "telemetry": {"true": "off"},
    "telemetry_content": {"true": "yes", "span_only": "yes", "span_and_event": "yes"},
}

ADDRESSES = ("endpoint", "embedding_endpoint", "telemetry_endpoint")
SHORTEST_SECRET = 6
"""A shorter key, such as the `none` that local servers are given, would be found in harmless words."""

_KEYLIKE = re.compile(r"((?:\bBearer\s+|\b(?=sk-)|\bapi[-_]key['\"]?\s*[:=]\s*['\"]?))([\w.+/=-]{16,})", re.IGNORECASE)
_LOGIN = re.compile(r"(\w://[^\s/@:]*:)([^\s/@]+)(?=@)")

HARMLESS = re.compile(
    "PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_[A-Z]+|TZ|TMPDIR|TEMP|TMP|VIRTUAL_ENV|PYTHONHOME|PYTHONUTF8"
    "|(?:DY)?LD_LIBRARY_PATH|SSL_CERT_(?:FILE|DIR)"
    "|SYSTEMROOT|SYSTEMDRIVE|WINDIR|COMSPEC|PATHEXT|USERPROFILE|USERNAME|(?:LOCAL)?APPDATA|PROGRAM(?:DATA|FILES)"
)
"""The variables that programs need to run at all, on any system, and that hold no secrets."""

_FOR_PIP = re.compile(
    "PIP_.*|(?:HTTPS?|ALL|NO)_PROXY|NETRC|(?:REQUESTS|CURL)_CA_BUNDLE|XDG_(?:CONFIG|DATA)_(?:HOME|DIRS)",
    re.IGNORECASE,
)


class Given(NamedTuple):
    """A value as it was given, by the name it was given under, and where."""

    key: str
    value: object
    where: str


def load(
    flags: Mapping[str, Any],
    agent: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    place: Path | None = None,
) -> Settings:
    """The settings that hold now. `flags` are those of the command (`None`: not given), `agent` those of its agent;
    `place` is home, where it is known already.
    """
    environ = os.environ if environ is None else environ
    cwd = cwd or _current()
    here = list(_dotenv(cwd / ".env"))
    home = cwd / place if place else _home(environ, here, cwd)
    outside = [Given(key, value, "the environment") for key, value in environ.items() if value]
    variables = [*_dotenv(home / ".env"), *here, *outside]
    found = dict(_settled(_file(home / FILE)))
    found.update(_settled(_typed(agent or {}, "the agent's own settings", secrets=False)))
    ours = dict(_settled(_ours(variables)))
    chosen = dict(_settled(_typed(flags, "the flag")))
    provider = ({"provider": ("openai",)} | found | ours | chosen)["provider"][0]
    names = ALIASES.get(provider, {})
    found.update(_settled(Given(names[g.key], g.value, f"{g.key} in {g.where}") for g in variables if g.key in names))
    found.update(_settled(_otel(variables)))
    found |= ours | chosen
    settings = Settings(
        **{name: value for name, (value, _) in found.items()},
        home=home, crash_at=int(environ.get("MEMAGENT_CRASH_AT") or 0),
        origins={name: where for name, (_, where) in found.items()},
    )  # fmt: skip
    _check_together(settings)
    _check_errand(settings, str(cwd / ".env"))
    return settings


def _settled(given: Iterable[Given]) -> Iterator[tuple[str, tuple[Any, str]]]:
    """Each value checked, with where it comes from; what comes later wins."""
    for key, value, where in given:
        setting = SETTINGS[key]
        try:
            right = setting.read(value)
        except (ValueError, OverflowError):
            raise _wrong(setting, value, where) from None
        if key in ADDRESSES and right and not re.match(r"https?://[^/\s]", right):
            raise _wrong(setting, value, where, "an address that begins with http:// or https://")
        yield key, (right, where)


def _wrong(setting: Setting, value: object, where: str, allowed: str = "") -> ConfigError:
    text = "a secret" if setting.secret else re.sub(r"//[^/@]*@", "//…@", repr(value))
    shown = text if len(text) <= 60 else f"{text[:60]}…"
    return ConfigError(
        f"{setting.name} can't be {shown}, as {where} says.", hint=f"It must be {allowed or setting.allowed}."
    )


def _unknown(key: str, where: str, known: Iterable[str]) -> ConfigError:
    from difflib import get_close_matches

    known = list(known)
    near = get_close_matches(key, known, 1)
    hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(known)}."
    return ConfigError(f"There is no setting {key!r}, which is in {where}.", hint=hint)


def _typed(values: Mapping[str, Any], where: str, *, secrets: bool = True) -> Iterator[Given]:
    """Values that are data already; `None` means: not given."""
    for key, value in values.items():
        if key not in SETTINGS:
            raise _unknown(key, where, SETTINGS)
        if SETTINGS[key].secret and not secrets:
            raise _misplaced(SETTINGS[key], where)
        if value is not None:
            yield Given(key, value, f"{where} {SETTINGS[key].flag}" if where == "the flag" else where)


def _ours(variables: Iterable[Given]) -> Iterator[Given]:
    """The variables that are named after settings."""
    names = {setting.variable: setting.name for setting in SETTINGS.values()}
    for key, value, where in variables:
        if key in names:
            yield Given(names[key], value, f"{key} in {where}")
        elif key.startswith(PREFIX) and key not in HIDDEN:
            raise _unknown(key, where, names)


def _otel(variables: Iterable[Given]) -> Iterator[Given]:
    """OpenTelemetry's variables, in our words; those that say what holds anyway are left."""
    for key, value, where in variables:
        if (name := OTEL.get(key)) is not None:
            meant = _OTEL_WORDS[name].get(str(value).lower()) if name in _OTEL_WORDS else value
            if meant:
                yield Given(name, meant, f"{key} in {where}")


def _misplaced(setting: Setting, where: str) -> ConfigError:
    return ConfigError(
        f"{setting.name} is a secret and must not be in {where}.",
        hint=f"Put it into the environment, or into .env in home: {setting.variable}=…",
    )


def _check_together(settings: Settings, among: Collection[str] = SETTINGS) -> None:
    """What is right alone can be wrong together. Only these are looked at, with what belongs to them."""
    for low, high in (("compact_to", "compact_at"), ("warn_at", "compact_at")):
        if low not in among and high not in among:
            continue
        least, most = getattr(settings, low), getattr(settings, high)
        if least > most or (low == "compact_to" and least == most):
            raise ConfigError(
                f"{low} is {least} ({settings.origin(low)}), but {high} is {most} ({settings.origin(high)}).",
                hint=f"{low} must be the smaller one.",
            )


def _check_errand(settings: Settings, file: str) -> None:
    """A directory that was only downloaded must not send a key of the user's to an address of its own."""
    pairs = [(f"{kind}endpoint", f"{kind}api_key") for kind in ("", "embedding_", "facts_")]
    pairs.append(("telemetry_endpoint", "telemetry_headers"))
    for address, key in pairs:
        if file in settings.origin(address) and getattr(settings, key) and file not in settings.origin(key):
            raise ConfigError(
                f"{file} would send your key, from {settings.origin(key)}, to {getattr(settings, address)}",
                hint="If that is right, write the key into the same file, or the endpoint into .env in home.",
            )


# Home --------------------------------------------------------------------------------------------------------------


def _current() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:  # it was deleted while a shell stood in it
        return Path("/")


def home() -> Path:
    """Home, found without a look at the settings: they may be what must be mended."""
    cwd = _current()
    return _home(os.environ, list(_dotenv(cwd / ".env")), cwd)


def _home(environ: Mapping[str, str], dotenv: Iterable[Given], cwd: Path) -> Path:
    given = [*(str(g.value) for g in dotenv if g.key == "MEMAGENT_HOME"), environ.get("MEMAGENT_HOME", "")]
    person = environ.get("HOME") or environ.get("USERPROFILE") or ""
    chosen = next((text for text in reversed(given) if text), "~/.memagent")
    if re.match(r"~(?=[/\\]|$)", chosen):
        chosen = person and person + chosen[1:]
    if not chosen:
        raise ConfigError(
            "There is no place to keep anything in: neither MEMAGENT_HOME nor HOME is set.",
            hint="Set MEMAGENT_HOME to a directory of yours.",
        )
    return cwd / chosen


def ensure_home(settings: Settings) -> Path:
    """Home, made if it is not there, so that only you can look into it. Called before anything is written."""
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{settings.home} can't be made: {error.strerror}.", hint="Set MEMAGENT_HOME to a directory of yours."
        ) from error
    return settings.home


def _read(path: Path) -> str:
    """A file's text; empty when there is no such file."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise ConfigError(f"{path} is too large for a file of settings.")
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}).", hint="Save it as UTF-8.") from error
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}.", hint="Check it, or set MEMAGENT_HOME.") from error


def _dotenv(path: Path) -> Iterator[Given]:
    """The variables in an .env file. What others left unfinished in it is no concern of ours."""
    if not os.path.isfile(path):  # noqa: PTH113  # unlike Path.is_file, it never fails
        return
    from io import StringIO

    from dotenv.parser import parse_stream

    for binding in parse_stream(StringIO(_read(path))):
        text = binding.original.string
        line = binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")
        if (binding.error or binding.value is None) and text.strip().removeprefix("export ").startswith(PREFIX):
            raise ConfigError(f"{path}, line {line} can't be read.", hint="A line must look like NAME=value.")
        if binding.key and binding.value:
            yield Given(binding.key, binding.value, f"{path}, line {line}")


def _file(path: Path) -> Iterator[Given]:
    """The settings in config.yaml."""
    for key, place in page(path, _read(path)).items():
        where = f"{path}, line {place.line}"
        if not _belongs(key):
            error = _misplaced(SETTINGS[key], where) if key in SETTINGS else _unknown(key, where, SETTINGS)
            error.hint += f" This takes it out of the file: memagent configure --unset {key}"
            raise error
        if place.value is not None:
            yield Given(key, place.value, where)


def save(settings: Settings, changes: Mapping[str, Any]) -> Path:
    """Change settings in config.yaml, and nothing else in it; `None` takes one back. Returns the file.

    What is wrong in the file already stays, and hinders nobody from mending it one after the other.
    """
    path = settings.home / FILE
    where = "the change asked for"
    text = _read(path)
    there = page(path, text)
    foreign = [key for key, value in changes.items() if value is None and key in there and not _belongs(key)]
    wanted = {key: value for key, value in changes.items() if key not in foreign}
    right = dict.fromkeys(wanted) | {key: value for key, (value, _) in _settled(_typed(wanted, where, secrets=False))}
    new = changed(path, text, {key: _as_text(value) for key, value in right.items()}, foreign)
    known: dict[str, Any] = {}
    for key, place in page(path, new).items():
        if _belongs(key) and place.value:
            with suppress(ConfigError):
                known.update((name, value) for name, (value, _) in _settled([Given(key, place.value, where)]))
    _check_together(Settings(**known), right)
    if new != text:
        ensure_home(settings)
        write_whole(path, new)
    return path


def _belongs(key: str) -> bool:
    """Whether a key is one that the file may have."""
    return key in SETTINGS and not SETTINGS[key].secret


def _as_text(value: Any) -> Written:
    if value is None or isinstance(value, tuple):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)


# Secrets -----------------------------------------------------------------------------------------------------------


def masked(settings: Settings) -> dict[str, Any]:
    """All settings as they may be shown: of a secret only its end."""
    return {name: _unsecret(getattr(settings, name), settings) for name in SETTINGS}


def _unsecret(value: Any, settings: Settings) -> Any:
    if isinstance(value, str) and value in settings.secrets:
        return hidden(value)
    return mask(value, settings) if isinstance(value, str) else list(value) if isinstance(value, tuple) else value


def clean_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a process that must not learn any secrets: only what is known to be harmless."""
    environ = os.environ if environ is None else environ
    return {key: value for key, value in environ.items() if HARMLESS.fullmatch(key)}


def named_variables(home: Path, names: Collection[str]) -> dict[str, str]:
    """Variables that the user has named for a program of theirs: from the environment, else from .env in home."""
    found = {given.key: str(given.value) for given in _dotenv(home / ".env") if given.key in names}
    return found | {name: os.environ[name] for name in names if os.environ.get(name)}


def environment_of_pip(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for pip: what is harmless, and what it needs to reach its index as its user set it up."""
    environ = os.environ if environ is None else environ
    return {key: value for key, value in environ.items() if HARMLESS.fullmatch(key) or _FOR_PIP.fullmatch(key)}


def hidden(secret: str) -> str:
    """What may be seen of a secret: its last four characters, when that is a small part of it."""
    return f"…{secret[-4:]}" if len(secret) >= 16 else "…"


def mask(text: str, settings: Settings) -> str:
    """Text for a log, without the secrets of these settings and without whatever else looks like a key."""
    for secret in settings.secrets:
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, hidden(secret))
    text = _LOGIN.sub(lambda found: found[1] + hidden(found[2]), text)  # one that is too short to look for everywhere
    return _KEYLIKE.sub(lambda found: found[1] + hidden(found[2]), text)
