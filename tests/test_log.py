"""The log: what is in it, what must not be, and what happens when it can't be written."""

import json
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memagent import log
from memagent.log import harmless, plain_to_see, start_log
from memagent.settings import Settings

CANARY = "sk-canary-0123456789abcdefWXYZ"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("memagent")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    yield
    root.handlers = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def started(home: Path, level: str = "info") -> logging.Logger:
    logging.getLogger().handlers = []  # what pytest keeps of a record it hands to its other workers: no surrogates
    start_log(Settings(home=home, api_key=CANARY, log_level=level))
    return logging.getLogger("memagent.somewhere")


def lines(home: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (home / "logs" / "memagent.log").read_text().splitlines()]


def test_one_record_is_one_line_that_only_the_owner_can_read(tmp_path: Path) -> None:
    home = tmp_path / "home"
    old = os.umask(0)
    try:
        logger = started(home)
        assert not home.exists()
        logger.info("two\nlines of %s", "text")
    finally:
        os.umask(old)
    (line,) = lines(home)
    assert line["message"] == "two\nlines of text"
    assert (line["level"], line["name"], line["process"]) == ("info", "memagent.somewhere", os.getpid())
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (home, home / "logs", home / "logs" / "memagent.log")]
    assert modes == [0o700, 0o700, 0o600]


def test_no_secret_gets_into_it_not_even_by_a_traceback(tmp_path: Path) -> None:
    logger = started(tmp_path)
    try:
        raise ValueError(f"wrong key {CANARY}")
    except ValueError:
        logger.exception("asked with %s", {"Authorization": f"Bearer {CANARY}"})
    assert "canary" not in (tmp_path / "logs" / "memagent.log").read_text()
    (line,) = lines(tmp_path)
    assert "Traceback" in str(line["error"]) and "ValueError: wrong key …WXYZ" in str(line["error"])


def test_a_terminal_that_shows_it_is_left_alone(tmp_path: Path) -> None:
    logger = started(tmp_path)
    text = "\x1b]0;title\x07\x1b[2J\rover\u202eevil\x9b31m\x7f\ud800 Grüße 中"
    logger.warning(text)
    raw = (tmp_path / "logs" / "memagent.log").read_text().removesuffix("\n")
    assert raw.isprintable()
    assert "Grüße 中" in raw
    assert lines(tmp_path)[0]["message"] == text


def test_levels(tmp_path: Path) -> None:
    logger = started(tmp_path, "warning")
    logger.info("not this")
    logging.getLogger("other").info("nor this")
    logging.getLogger("other").warning("but this")
    logger = started(tmp_path, "debug")  # started twice, written once
    logger.debug("and this")
    assert [line["message"] for line in lines(tmp_path)] == ["but this", "and this"]


def test_a_full_log_is_set_aside_and_the_oldest_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "LARGEST", 300)
    logger = started(tmp_path)
    for number in range(40):
        logger.info("number %d", number)
    files = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert files == ["memagent.log", "memagent.log.1", "memagent.log.2", "memagent.log.3"]
    newest_first = [(tmp_path / "logs" / name).read_text() for name in files]
    numbers = [json.loads(line)["message"] for text in reversed(newest_first) for line in text.splitlines()]
    assert numbers == [f"number {n}" for n in range(40)][-len(numbers) :]


def test_what_can_not_be_written_stops_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    logger = started(tmp_path / "file")
    logger.error("nowhere to go")
    logger = started(Path("/proc/nowhere"))
    logger.error("nowhere to go")
    logger = started(tmp_path)
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if isinstance(handler, log.LogFile)]
    logger.error("%d %d", "too few")
    assert capfd.readouterr() == ("", "")


ACTING = "\x00\x07\x08\x0b\x1b\x7f\x85\x9b\u200e\u200f\u061c\u2028\u202a\u202e\u2066\u2069\ud800\U000e0041"


@pytest.mark.parametrize("char", ACTING)
def test_what_a_terminal_would_act_on_is_made_visible(char: str) -> None:
    assert json.loads(f'"{harmless(char)}"') == char
    assert harmless(char).isascii() and harmless(char).isprintable()
    assert harmless(f"a{char}b") == f"a{harmless(char)}b"


def test_line_breaks_stay_but_nothing_is_written_over() -> None:
    assert harmless("a\r\nb\tc\n") == "a\nb\tc\n"
    assert harmless("safe\revil") == "safe\\revil"
    assert harmless("👩‍👩‍👧 नमस्ते می‌خواهم 5\xa0€ 🇨🇭") == "👩‍👩‍👧 नमस्ते می‌خواهم 5\xa0€ 🇨🇭"


@given(st.text())
def test_nothing_hides_on_a_plain_line(text: str) -> None:
    shown = plain_to_see(text)
    assert shown.isprintable()
    assert plain_to_see(shown) == shown
    quoted = json.dumps(text, ensure_ascii=False)
    assert json.loads(plain_to_see(quoted)) == text
    assert json.loads(harmless(quoted)) == text


@pytest.mark.parametrize("char", "\xa0\u200b\u200d\u2060\ufeff\xad\u3164\u2800\ufe0f\U000e0100\u034f")
def test_what_takes_no_ink_is_seen_on_a_plain_line(char: str) -> None:
    assert plain_to_see(char) != char
