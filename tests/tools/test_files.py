"""Whatever name a model gives, only files of one directory are read and written, and only so much of them."""

from __future__ import annotations

import os
import socket
import stat
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memagent.errors import ToolError
from memagent.tools import files

posix = pytest.mark.skipif(os.name != "posix", reason="needs links, pipes and modes as POSIX has them")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The directory that may be used, beside one that may not."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("secret\n")
    (outside / "folder").mkdir()
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "notes.txt").write_text("one\ntwo\nthree\n")
    return inside


@pytest.fixture(params=["step by step", "checked"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of opening: the one of POSIX and the one for systems that can't open from a directory."""
    if request.param == "checked":
        monkeypatch.setattr(os, "supports_dir_fd", set())
    elif os.open not in os.supports_dir_fd:
        pytest.skip("this system can't")


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(p): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


# Reading


@pytest.mark.parametrize(
    ("start", "count", "lines", "more"),
    [
        (1, 1, ["one"], True), (2, 1, ["two"], True), (3, 1, ["three"], False), (1, 3, ["one", "two", "three"], False),
        (2, 99, ["two", "three"], False), (1, 10**30, ["one", "two", "three"], False),
    ],
)  # fmt: skip
def test_the_lines_asked_for_are_read(root: Path, start: int, count: int, lines: list[str], more: bool) -> None:
    assert files.read_lines(root, "notes.txt", start, count) == files.Lines(start, lines, more, cut=False)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"a\r\nb\r\n", ["a", "b"]), (b"a\n\nb", ["a", "", "b"]), (b"\n", [""]), (b"\xef\xbb\xbfa", ["a"]),
        ("é\u2028ü\x0b".encode(), ["é\u2028ü\x0b"]), (b"caf\xe9\nb", ["caf\ufffd", "b"]),
    ],
)  # fmt: skip
def test_lines_end_where_an_editor_ends_them(root: Path, content: bytes, lines: list[str]) -> None:
    (root / "f").write_bytes(content)
    assert list(files.read_lines(root, "f", 1, 9).lines) == lines


@given(st.binary(max_size=60).map(lambda b: b.replace(b"\0", b"\n")), st.integers(1, 12), st.integers(1, 12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_reading_agrees_with_splitting_the_whole(root: Path, content: bytes, start: int, count: int) -> None:
    (root / "f").write_bytes(content)
    lines = content.split(b"\n")
    if not lines[-1]:
        lines.pop()
    wanted = [line.removesuffix(b"\r").decode("utf-8", "replace") for line in lines[start - 1 :][:count]]
    if not wanted:
        with pytest.raises(ToolError, match=r"is empty|has only"):
            files.read_lines(root, "f", start, count)
        return
    found = files.read_lines(root, "f", start, count)
    assert [line.removeprefix("\ufeff") for line in found.lines] == [line.removeprefix("\ufeff") for line in wanted]
    assert found.more == (len(lines) > start - 1 + count)


def test_a_file_is_searched_for_its_lines_in_pieces(root: Path) -> None:
    (root / "long.txt").write_text("".join(f"line {n}\n" for n in range(1, 400_001)))
    assert files.read_lines(root, "long.txt", 399_999, 5).lines == ["line 399999", "line 400000"]
    page = files.read_lines(root, "long.txt", 1, 400_000)
    assert page.more
    assert len("\n".join(page.lines)) <= files.SHOWN_LIMIT
    after = files.read_lines(root, "long.txt", len(page.lines), 1)
    assert after.lines[0].startswith(page.lines[-1])
    assert page.cut == (after.lines[0] != page.lines[-1])


def test_a_page_that_ends_with_a_line_is_not_called_cut(root: Path) -> None:
    (root / "even.txt").write_text(("x" * 63 + "\n") * 2000)
    page = files.read_lines(root, "even.txt", 1, 2000)
    assert (len(page.lines), page.more, page.cut) == (files.SHOWN_LIMIT // 64, True, False)


@pytest.mark.parametrize(("start", "says"), [(4, "has only 3 lines"), (999, "has only 3 lines")])
def test_after_the_end_the_number_of_lines_is_told(root: Path, start: int, says: str) -> None:
    with pytest.raises(ToolError, match=says):
        files.read_lines(root, "notes.txt", start)
    (root / "open.txt").write_text("one\ntwo\nthree")
    with pytest.raises(ToolError, match=says):
        files.read_lines(root, "open.txt", start)


def test_an_empty_file_says_so(root: Path) -> None:
    (root / "empty").touch()
    with pytest.raises(ToolError, match="'empty' is empty"):
        files.read_lines(root, "empty", 1)


@pytest.mark.parametrize(("start", "count"), [(0, 1), (-1, 1), (1, 0), (1, -5)])
def test_lines_are_counted_from_one(root: Path, start: int, count: int) -> None:
    with pytest.raises(ToolError, match="counted from 1"):
        files.read_lines(root, "notes.txt", start, count)


def test_a_missing_file_lists_what_there_is(root: Path) -> None:
    with pytest.raises(ToolError, match=r"There is no file 'note.txt'. There are: notes.txt\."):
        files.read_lines(root, "note.txt", 1)
    for n in range(25):
        (root / f"a{n:02}").touch()
    with pytest.raises(ToolError, match=r"a00, a01, .*a19 and 6 more\."):
        files.read_lines(root, "note.txt", 1)
    with pytest.raises(ToolError, match="There are no files yet"):
        files.read_lines(root / "not made", "note.txt", 1)


# Big files


def peak_memory() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@posix
def test_a_gigabyte_is_not_read_for_some_lines_of_it(root: Path) -> None:
    with (root / "big.log").open("wb") as big:
        big.write(b"first\nsecond\n" + b"x" * 200_000)
        big.truncate(1_000_000_000)
    before = peak_memory()
    assert files.read_lines(root, "big.log", 1, 2).lines == ["first", "second"]
    third = files.read_lines(root, "big.log", 3)
    assert (third.lines, third.cut, third.more) == (["x" * files.SHOWN_LIMIT], True, True)
    with pytest.raises(ToolError, match="too far inside"):
        files.read_lines(root, "big.log", 4)
    assert peak_memory() - before < 100_000_000


def test_a_line_that_is_too_long_is_cut_at_a_letter(root: Path) -> None:
    (root / "long").write_text("a" + "é" * 100_000)
    found = files.read_lines(root, "long", 1)
    assert found.cut
    assert found.lines[0] == "a" + "é" * ((files.SHOWN_LIMIT - 1) // 2)


def test_what_is_not_text_is_not_shown(root: Path) -> None:
    (root / "data.bin").write_bytes(b"\x7fELF\0\0\0")
    with pytest.raises(ToolError, match="not a text file"):
        files.read_lines(root, "data.bin", 1)


# Writing


@pytest.mark.usefixtures("both_ways")
def test_what_is_appended_becomes_lines(root: Path) -> None:
    assert files.append(root, "new/diary.txt", "Dear diary") == 11
    assert files.append(root, "./new//diary.txt", "two\nlines\n") == 21
    assert (root / "new" / "diary.txt").read_bytes() == b"Dear diary\ntwo\nlines\n"


def test_a_line_that_was_left_open_is_ended_first(root: Path) -> None:
    (root / "open.txt").write_text("one")
    assert files.append(root, "open.txt", "two") == 8
    assert (root / "open.txt").read_text() == "one\ntwo\n"


def test_text_that_no_file_can_hold_is_made_storable(root: Path) -> None:
    files.append(root, "odd.txt", "a\ud800b\0c")
    assert files.read_lines(root, "odd.txt", 1).lines == ["a\ufffdb\ufffdc"]


@posix
@pytest.mark.usefixtures("both_ways")
def test_only_the_owner_can_read_what_is_written(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        files.append(tmp_path / "files", "deep/er/diary.txt", "x")
    finally:
        os.umask(before)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "files").rglob("*")}
    assert modes["diary.txt"] == 0o600
    assert stat.S_IMODE((tmp_path / "files").stat().st_mode) == 0o700
    if os.open in os.supports_dir_fd:
        assert modes["deep"] == modes["er"] == 0o700


def test_a_file_has_a_quota(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ToolError, match="over the limit of 10000000"):
        files.append(root, "new.txt", "x" * files.FILE_LIMIT)
    assert not (root / "new.txt").exists()
    monkeypatch.setattr(files, "FILE_LIMIT", 20)
    files.append(root, "notes.txt", "four.")
    with pytest.raises(ToolError, match=r"'notes\.txt' has 20 bytes; 2 more"):
        files.append(root, "notes.txt", "5")
    assert (root / "notes.txt").read_text() == "one\ntwo\nthree\nfour.\n"


@posix
def test_a_full_disk_leaves_the_file_as_it_was(root: Path) -> None:
    # A limit of the system on the size of files: it writes what fits and then fails, as a full disk does.
    import resource
    import signal

    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(ToolError, match="too large"):
            files.append(root, "notes.txt", "x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert (root / "notes.txt").read_text() == "one\ntwo\nthree\n"


# Out of the directory

ODD = [
    "../outside/secret.txt", "..", ".", "", "/", "a/../../outside/secret.txt", "sub/../notes.txt",
    "./../outside/secret.txt", "/etc/passwd", "//etc/passwd", "~", "~/x", "~root/x", "sub/~/x", "notes.txt\0", "\0",
    "notes.txt\0.png", "a\nb", "a\tb", "..\\outside\\secret.txt", "a\\b", "C:\\x", "C:x", "c:/x",
    "\\\\server\\share", "notes.txt:stream", "notes.txt::$DATA", "CON", "con", "nul", "NUL.txt", "aux.tar.gz",
    "sub/PRN", "COM1", "com9.log", "LPT1", "lpt¹", "CONIN$", "nul ", "nul .txt", "notes.txt.", "notes.txt ", "...",
    "sub/... ", "notes.txt/", "a*", "a?", "a<b", 'a"b', "a|b", "\ud800", "\u202etxt.exe", "/dev/zero", "/dev/stdin",
    "/proc/self/environ", "\u200b",
]  # fmt: skip


@pytest.mark.parametrize("name", ODD)
@pytest.mark.usefixtures("both_ways")
def test_a_name_that_is_not_plain_is_refused(root: Path, name: str) -> None:
    before = everything(root.parent)
    for use in (lambda: files.read_lines(root, name, 1), lambda: files.append(root, name, "x")):
        with pytest.raises(ToolError, match="Give a plain name such as"):
            use()
    assert everything(root.parent) == before


@pytest.mark.usefixtures("both_ways")
def test_a_name_that_is_too_long_is_refused(root: Path) -> None:
    for name in ("a" * 300, "é" * 200, "a/" * 5000 + "a"):
        with pytest.raises(ToolError):
            files.read_lines(root, name, 1)
    with pytest.raises(ToolError, match="too long"):
        files.append(root, "a" * 300, "x")


@pytest.mark.parametrize(
    "name", ["notes.txt", "a b.txt", "été/наши заметки.md", ".hidden", "console.log", "a..b", "null", "😀.txt"]
)
@pytest.mark.usefixtures("both_ways")
def test_a_plain_name_is_fine(root: Path, name: str) -> None:
    files.append(root, name, "last")
    assert files.read_lines(root, name, 1, 99).lines[-1] == "last"


@given(st.lists(st.sampled_from(["..", "/", "\\", ".", "~", "outside", "secret.txt", "a", " "]) | st.text(max_size=3)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_the_name_nothing_outside_is_touched(root: Path, pieces: list[str]) -> None:
    outside = everything(root.parent / "outside")
    for use in (lambda: files.read_lines(root, "".join(pieces), 1), lambda: files.append(root, "".join(pieces), "x")):
        with suppress(ToolError):
            use()
    assert everything(root.parent / "outside") == outside
    assert sorted(p.name for p in root.parent.iterdir()) == ["inside", "outside"]


@posix
@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    ("link", "target", "name"),
    [
        ("out.txt", "../outside/secret.txt", "out.txt"),
        ("abs.txt", "{outside}/secret.txt", "abs.txt"),
        ("new.txt", "../outside/made.txt", "new.txt"),
        ("dir", "../outside", "dir/secret.txt"),
        ("dir", "../outside", "dir/folder/made.txt"),
        ("dir", "..", "dir/outside/secret.txt"),
        ("null", "/dev/null", "null"),
        ("zero", "/dev/zero", "zero"),
        ("loop", "loop", "loop"),
        ("within", "notes.txt", "within"),
    ],
)
def test_no_link_is_followed(root: Path, link: str, target: str, name: str) -> None:
    (root / link).symlink_to(target.replace("{outside}", str(root.parent / "outside")))
    before = everything(root.parent / "outside")
    for use in (lambda: files.read_lines(root, name, 1), lambda: files.append(root, name, "x")):
        with pytest.raises(ToolError, match="leads through a link"):
            use()
    assert everything(root.parent / "outside") == before
    assert (root / "notes.txt").read_text() == "one\ntwo\nthree\n"


@posix
@pytest.mark.usefixtures("both_ways")
def test_the_directory_itself_may_be_reached_by_a_link(root: Path) -> None:
    home = root.parent / "home"
    home.symlink_to(root)
    assert files.read_lines(home, "notes.txt", 1).lines == ["one"]
    assert files.append(home, "new.txt", "x") == 2


@posix
@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("swapped", ["sub", "sub/secret.txt"])
@pytest.mark.parametrize("nth", range(4))
def test_a_link_put_there_at_the_last_moment_is_not_followed(
    root: Path, swapped: str, nth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was checked before, at the n-th opening the directory or the file becomes a link to outside."""
    (root / "sub").mkdir()
    (root / "sub" / "secret.txt").write_text("harmless\n")
    real, calls = os.open, iter(range(99))

    def swapping(path, *args, **kwargs):
        if next(calls) == nth:
            (root / swapped).rename(root / "aside")
            (root / swapped).symlink_to(root.parent / "outside" / ("secret.txt" if "/" in swapped else ""))
        return real(path, *args, **kwargs)

    supported = os.supports_dir_fd | {swapping} if real in os.supports_dir_fd else set()
    monkeypatch.setattr(os, "open", swapping)
    monkeypatch.setattr(os, "supports_dir_fd", supported)
    try:
        assert files.read_lines(root, "sub/secret.txt", 1).lines == ["harmless"]
    except ToolError as refused:
        assert "leads through a link" in refused.message


@posix
@pytest.mark.usefixtures("both_ways")
def test_a_hard_link_is_not_written_to(root: Path) -> None:
    os.link(root.parent / "outside" / "secret.txt", root / "hard.txt")
    with pytest.raises(ToolError, match="hard link"):
        files.append(root, "hard.txt", "x")
    assert (root.parent / "outside" / "secret.txt").read_text() == "secret\n"


@posix
@pytest.mark.timeout(10)
@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("kind", ["fifo", "socket", "directory", "device"])
def test_what_is_not_a_regular_file_is_refused_at_once(root: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)  # a socket's path must be short
    if kind == "fifo":
        os.mkfifo("thing")
    elif kind == "socket":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("thing")
        listener.close()
    elif kind == "directory":
        Path("thing").mkdir()
    else:
        try:
            os.mknod("thing", 0o600 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero
        except PermissionError:
            pytest.skip("only root can make devices")
    for use in (lambda: files.read_lines(root, "thing", 1), lambda: files.append(root, "thing", "x")):
        with pytest.raises(ToolError, match="not a regular file"):
            use()


@posix
@pytest.mark.usefixtures("both_ways")
def test_no_file_stays_open(root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "link").symlink_to("../outside")
    before = len(os.listdir("/dev/fd"))
    for name in ("notes.txt", "pipe", "link/secret.txt", "missing", "notes.txt/x"):
        for use in (lambda: files.read_lines(root, name, 1), lambda: files.append(root, name, "x")):
            with suppress(ToolError):
                use()
    assert len(os.listdir("/dev/fd")) == before
