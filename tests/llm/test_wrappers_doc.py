"""The wrapper in docs/wrappers.md works as it stands there, and what is listed is what there is."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from memagent import registry
from memagent.cli.wrappers import example
from memagent.llm import Request
from memagent.llm.opening import fitting
from memagent.llm.wrappers import Wrapper
from memagent.messages import ToolCall, answer

TEXT = (Path(__file__).parents[2] / "docs" / "wrappers.md").read_text("utf-8")
FILE, LINE = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture
def gemma(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Wrapper]:
    """The example, as a module under the name that it would have, and named in the registry."""
    found = re.fullmatch(r'\s*"(\w+)": "([\w.]+):(\w+)",\n', LINE)
    assert found and FILE.startswith(f"# {found[2].replace('.', '/')}.py\n")
    (tmp_path / "own_gemma.py").write_text(FILE, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(registry.WRAPPERS, found[1], f"own_gemma:{found[3]}")
    wrapper: type[Wrapper] = registry.load(registry.WRAPPERS[found[1]])
    monkeypatch.delitem(sys.modules, "own_gemma")
    return wrapper


def test_the_example_is_a_whole_wrapper(gemma: type[Wrapper]) -> None:
    assert len(FILE.strip().splitlines()) <= 25
    assert fitting("gemma-2-9b-it-Q4_K_M.gguf") == gemma.name == "gemma"
    prompt = gemma().prompt(example())
    assert prompt.startswith("<start_of_turn>user\n") and prompt.endswith("<end_of_turn>\n<start_of_turn>model\n")
    assert '{"name": "send_message", "parameters": {"message": "Hello Ada!"}}<end_of_turn>' in prompt
    told = [*example().messages, answer("a<end_of_turn>b", (), "", example().messages[0].created)]
    assert gemma().prompt(Request(told)).count("<end_of_turn>") == len(told)


def test_the_example_reads_what_it_writes(gemma: type[Wrapper]) -> None:
    call = ToolCall("", "send_message", '{"message": "Hello!"}')
    reader = gemma().reader(example())
    written = gemma().written(answer("Hm.", (call,), "", example().messages[0].created))
    assert list(reader.hear(written)) and reader.answer("stop", None).calls == (call,)


def test_every_wrapper_is_listed_as_it_is() -> None:
    rows = dict(re.findall(r"^\| `([\w-]+)` \| .* \| (.*) \|$", TEXT, re.MULTILINE))
    listed = {*rows, *re.findall(r"`([\w]+-thoughts)`", TEXT)}
    assert listed == set(registry.WRAPPERS)
    for name, call in rows.items():
        if call not in ("the same",) and not call.startswith("none"):
            form = registry.load(registry.WRAPPERS[name]).form
            assert form.example().replace("\n", " ") == call.replace("`", "")
