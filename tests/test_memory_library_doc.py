"""The examples in docs/memory-library.md are carried out, and print what stands there."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

import memagent
from memagent.remembering import Memory

TEXT = (Path(__file__).parents[1] / "docs" / "memory-library.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(python|text)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


class OnMonday(Memory):
    """A memory on the day on which the page was written."""

    def __init__(self, *given: object, **named: object) -> None:
        super().__init__(*given, clock=lambda: datetime(2026, 6, 1, 12, tzinfo=UTC), **named)  # type: ignore[arg-type]


def test_the_examples_print_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MEMAGENT_HOME", str(tmp_path))
    monkeypatch.setattr(memagent, "Memory", OnMonday, raising=False)
    names: dict[str, object] = {}
    assert [kind for kind, _ in BLOCKS] == ["python", "text"] * 6
    for (_, code), (_, shown) in zip(BLOCKS[::2], BLOCKS[1::2], strict=True):
        exec(compile(code, "docs/memory-library.md", "exec"), names)
        assert capsys.readouterr().out == shown


def test_every_call_of_the_table_exists() -> None:
    table = TEXT.split("| call | does |")[1].split("\n\n")[0]
    calls = re.findall(r"`(\w+)\(", table)
    assert len(calls) > 10
    assert all(callable(getattr(Memory, name)) for name in calls)
