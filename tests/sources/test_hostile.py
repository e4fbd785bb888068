"""Files that mean harm, or are only broken: each is told of with a reason, and the next one is read all the same."""

import io
import os
import random
import signal
import sys
import threading
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import W, docx, paragraph, pdf, table

from memagent.sources import Unreadable, directory
from memagent.sources.apart import Apart
from memagent.sources.directory import Directory


@pytest.fixture(scope="module")
def apart():
    made = Apart()
    yield made
    made.close()


def reads(apart):
    return apart.read("pdf", pdf(["Still here."]), "x").parts[0].text == "Still here."


ENTITIES = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("kind", "data", "why"),
    [
        ("docx", docx("", document=f"{ENTITIES}<w:document {W}>&b;</w:document>".encode()), "document type"),
        ("docx", docx("", document=b"<a>" * 5000), "nested too deeply"),
        ("docx", docx("", document=b"<a><b>"), "broken XML"),
        ("docx", docx("", document=b"\xff\xfe\x00"), "broken XML"),
        ("docx", docx(""), "no text"),
        ("docx", docx(paragraph("x"))[:-30], "broken"),
        ("docx", b"PK\x03\x04", "broken"),
        ("docx", b"", "broken"),
        ("pdf", b"%PDF-1.4\n" + b"0" * 1000, "broken PDF"),
        ("pdf", pdf(["x"]).replace(b"/Kids [10 0 R]", b"/Kids [2 0 R ]"), "no pages|pictures|broken"),
        ("pdf", pdf(["x"]).replace(b"/Root 1 0 R", b"/Root 9 0 R"), "broken PDF|no pages"),
        ("json", b"[" * 1_000_000, "nested too deeply"),
        ("json", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        ("json", b"{", "not JSON"),
        ("jsonl", b"no json\n" * 100, "not JSON in lines"),
        ("csv", b'a,b\n1,"' + b"x" * 11_000_000, "field larger"),
        ("mail", b"\xff\xfe\xfd", "no e-mail"),
        ("mailbox", b"hello", "no mailbox"),
        ("html", b"", "empty|no readable text"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_hostile_file_is_told_why(apart, kind, data, why):
    with pytest.raises(Unreadable, match=why):
        apart.read(kind, data, "x")
    assert reads(apart)


def test_a_word_document_that_unpacks_to_too_much(apart):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("word/document.xml", bytes(101_000_000))
    assert len(packed.getvalue()) < 1_000_000
    with pytest.raises(Unreadable, match="unpacks to more than 100 MB"):
        apart.read("docx", packed.getvalue(), "x")


def test_tables_in_tables(apart):
    inner = "x"
    for _ in range(150):
        inner = f"<w:tbl><w:tr><w:tc>{inner}</w:tc></w:tr></w:tbl>"
    body = inner.replace("x", paragraph("deep")) + table([["a", "b"]])
    text = apart.read("docx", docx(body), "x").parts[0].text
    assert "deep" in text and "| a | b |" in text


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        ("html", b"<p>NUL\x00 here" + b"<b>" * 2000 + b"deep", "deep"),
        ("html", b"<table>" * 500 + b"in it", "in it"),
        ("csv", b"a,b\n1,\x00\n" + "1,\ud800".encode("utf-8", "surrogatepass"), "a: 1"),
        ("json", b'{"a": "\\ud800 lone", "b": NaN, "c": 1e999}', "lone"),
        ("json", b'{"a": ' + b"[" * 500 + b'"deep"' + b"]" * 500 + b"}", "deep"),
        ("mail", b"Subject: =?utf-8?b?!!!?=\nDate: 99 Foo\nContent-Type: text/plain; charset=no-such\n\nbody", "body"),
        ("mail", b"Subject: a\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\nbody\n", "Subject: a"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_what_is_only_strange_is_read(apart, kind, data, words):
    document = apart.read(kind, data, "x")
    assert words in "\n".join(part.text for part in document.parts)


@given(st.sampled_from(["pdf", "docx", "html", "csv", "json", "jsonl", "mail", "mailbox"]), st.binary(max_size=300))
def test_no_bytes_break_a_reader(apart, kind, data):
    try:
        apart.read(kind, data, "x")
    except Unreadable as error:
        assert "not foreseen" not in error.message


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_are_read_or_told_of(apart, seed):
    chance = random.Random(seed)
    whole = {"pdf": pdf(["One.", "Two."], [("A", 0), ("B", 1)]), "docx": docx(paragraph("x") * 20)}
    for kind, sound in whole.items():
        for _ in range(15):
            data = bytearray(sound)
            for _ in range(chance.randrange(1, 20)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            try:
                apart.read(kind, bytes(data), "x")
            except Unreadable as error:
                assert "not foreseen" not in error.message
    assert reads(apart)


def test_a_file_that_takes_too_long_is_given_up():
    apart = Apart(seconds=1.0)
    try:
        assert reads(apart)
        with pytest.raises(Unreadable, match="more than 1 seconds"):
            apart.read("html", b"<div>" * 200_000, "x")
        assert reads(apart)
    finally:
        apart.close()


@pytest.mark.skipif(sys.platform != "linux", reason="no limit of memory elsewhere")
def test_a_file_that_needs_too_much_memory_is_given_up():
    apart = Apart(memory=60 << 20)
    try:
        with pytest.raises(Unreadable, match="memory"):
            apart.read("json", b"[" + b"{}," * 1_000_000 + b"1]", "x")
        assert reads(apart)
    finally:
        apart.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL"])
def test_a_crash_is_one_file_s(name):
    apart = Apart()
    try:
        assert reads(apart)
        process = apart._process
        threading.Timer(0.3, lambda: os.kill(process.pid, getattr(signal, name))).start()
        with pytest.raises(Unreadable, match=r"crashed|killed"):
            apart.read("html", b"<div>" * 50_000, "x")
        assert reads(apart)
    finally:
        apart.close()


def test_nothing_stays_behind():
    apart = Apart()
    assert reads(apart)
    process = apart._process
    apart.close()
    assert process.poll() is not None
    apart.close()


@pytest.mark.parametrize("line", ["word " * 30 + "\n", "endless"])
def test_a_very_large_text_is_read_piece_by_piece(tmp_path, monkeypatch, line):
    monkeypatch.setattr(directory, "LARGEST", 5_000)
    monkeypatch.setattr(directory, "PIECE", 2_000)
    text = "".join(f"{n} {line}" for n in range(2000))
    (tmp_path / "big.log").write_text(text)
    items = list(Directory(tmp_path).items())
    assert len(items) == -(-len(text) // 2000) and items[0].place == "big.log, part 1"
    read = ["".join(part.text for part in item.read().parts) for item in items]
    assert "".join(read) == text
    assert max(map(len, read)) <= 4_000


def test_a_very_large_table_keeps_the_names_of_its_columns(tmp_path, monkeypatch):
    monkeypatch.setattr(directory, "LARGEST", 2_000)
    monkeypatch.setattr(directory, "PIECE", 1_000)
    (tmp_path / "big.csv").write_text("name,age\n" + "".join(f"Person {n},{n}\n" for n in range(300)))
    reader = Directory(tmp_path)
    try:
        rows = [part.text for item in reader.items() for part in item.read().parts]
    finally:
        reader.close()
    assert rows == [f"name: Person {n}; age: {n}" for n in range(300)]


def test_a_file_of_holes_costs_nothing(tmp_path):
    with (tmp_path / "big.txt").open("wb") as file:
        file.truncate(1 << 30)
    with (tmp_path / "big.pdf").open("wb") as file:
        file.write(pdf(["x"]))
        file.truncate(1 << 30)
    for item in Directory(tmp_path).items():
        with pytest.raises(Unreadable, match=r"not text|larger than 100 MB"):
            item.read()
