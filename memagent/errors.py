"""The errors of memagent, named by whom they blame. Knows nothing of the rest of the package.

MemagentError                 never raised itself
├── UserError                 you can mend it; the message says how
│   ├── ConfigError           a setting is missing or wrong
│   ├── NotFound              no agent, preset, persona … of that name; lists what there is
│   ├── NameTaken             there is an agent of that name already
│   ├── AgentBusy             another turn of this agent is running
│   ├── SourceBusy            something else is being loaded into this source
│   ├── MissingExtra          an optional part is not installed; names the extra
│   └── ToolFileError         a function set can't be loaded; names file and line
├── BackendError              a service or the disk failed; says which, and whether it was retried
│   ├── LLMError              the model's endpoint refused or failed
│   │   ├── LLMConnectionError    nothing answers there, or it stopped answering
│   │   ├── ContextOverflow       the prompt does not fit into the model's window
│   │   └── LocalLLMError         a model server on this machine failed
│   ├── EmbeddingError        the embedding endpoint or model failed
│   └── StorageError          the database can't be read or written
│       └── TakenOver         another process has taken this agent over; nothing was written
└── ModelError                the model misbehaved; goes back to the model, never to a person
    ├── JSONParseError        its output is not JSON and could not be mended
    └── ToolError             a call that can't be carried out: unknown, wrong arguments, over a limit …
"""

from __future__ import annotations


class MemagentError(Exception):
    """Something went wrong that memagent foresaw: `message` says what, `hint` what to do next."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UserError(MemagentError):
    """You can mend it: the message says how."""

    exit_code = 2


class ConfigError(UserError):
    """A setting is missing or wrong."""


class NotFound(UserError):
    """There is nothing of that name."""


class NameTaken(UserError):
    """There is an agent of that name already."""


class Outdated(UserError):
    """Somebody else has changed meanwhile what was to be changed."""


class AgentBusy(UserError):
    """Another turn of this agent is running."""

    exit_code = 4


class SourceBusy(UserError):
    """Something else is being loaded into this source."""

    exit_code = 4


class MissingExtra(UserError):
    """An optional part is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed.", hint=f"Install it with: pip install 'memagent[{extra}]'")
        self.what = what
        self.extra = extra


class ToolFileError(UserError):
    """A function set can't be loaded."""


class BackendError(MemagentError):
    """A service, or the disk, failed."""

    exit_code = 3


class LLMError(BackendError):
    """The model's endpoint refused or failed."""


class LLMConnectionError(LLMError):
    """Nothing answers at the model's endpoint, or it stopped answering."""


class ContextOverflow(LLMError):
    """The prompt does not fit into the model's context window."""


class LocalLLMError(LLMError):
    """A model server on this machine failed."""


class EmbeddingError(BackendError):
    """The embedding endpoint or model failed."""


class StorageError(BackendError):
    """The database can't be read or written."""

    exit_code = 5


class TakenOver(StorageError):
    """Another process has taken this agent over; nothing was written."""


class ModelError(MemagentError):
    """The model misbehaved; the message is written for it to read."""


class JSONParseError(ModelError):
    """The model's output is not JSON and could not be mended."""


class ToolError(ModelError):
    """A call that can't be carried out. A function may raise it to tell the model what to do instead."""
