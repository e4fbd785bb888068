"""memagent: agents that edit their own memory, on any model, in one file on disk."""

__version__ = "0.1.0"
