"""Presets, prompts, personas and humans are found, checked, added and deleted; the shipped ones are sound."""

import os
import re
import stat
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memagent.errors import MemagentError, NotFound, UserError
from memagent.library import (
    Kind,
    Library,
    check_name,
    get_human_text,
    get_persona_text,
    get_system_text,
)
from memagent.messages import estimate
from memagent.preset import BLOCK_KEYS, BOOT_KEYS, KEYS, RULE_KEYS, SETTING_KEYS, Boot, Preset, StartBlock, parse
from memagent.settings import SETTINGS
from memagent.tools import Rules
from memagent.tools.loader import link

DOCS = Path(__file__).parent.parent / "docs"
MINIMAL = "system: chat\nfunctions: base\n"
KINDS: list[Kind] = ["presets", "prompts", "personas", "humans", "grammars"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def put(home: Path, where: str, content: str | bytes) -> Path:
    path = home / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(home: Path, yaml: str) -> str:
    """What is said about a preset that is refused."""
    put(home, "presets/mine.yaml", yaml)
    with pytest.raises(UserError) as caught:
        Library(home).preset("mine")
    assert "mine.yaml" in caught.value.message
    return str(caught.value)


# What is shipped


def test_every_shipped_preset_loads_and_its_functions_are_there(home: Path) -> None:
    library = Library(home)
    names = [item.name for item in library.names("presets")]
    assert {"chat", "chat_plain", "documents", "extras"} <= set(names)
    for name in names:
        preset = library.preset(name)
        tools = link(preset.functions, [], preset.rules)
        assert preset.description
        assert ("send_message" in tools) == (preset.speech == "send_message")
        assert library.system_text(preset)


def test_the_system_prompts_name_only_functions_that_their_presets_have(home: Path) -> None:
    library = Library(home)
    known = set(link(["base", "extras", "documents"], [], {}))
    for item in library.names("presets"):
        preset = library.preset(item.name)
        named = set(re.findall(r"\w+", library.system_text(preset))) & known
        assert named <= set(link(preset.functions, [], preset.rules)), item.name


def test_the_prompts_are_short(home: Path) -> None:
    for item in Library(home).names("prompts"):
        assert estimate(Library(home).text("prompts", item.name)) <= 900, item.name


def test_the_summary_prompt_has_a_place_for_the_word_limit(home: Path) -> None:
    assert get_system_text("summary", home).count("{words}") == 1


def test_there_are_personas_and_humans_worth_talking_to(home: Path) -> None:
    library = Library(home)
    short = library.text("personas", library.preset("small").persona)
    personas = [library.text("personas", item.name) for item in library.names("personas")]
    assert 25 <= len(short.split()) <= 60  # small models read slowly, and lose themselves in long descriptions
    personas.remove(short)
    humans = [library.text("humans", item.name) for item in library.names("humans")]
    assert len(personas) >= 6
    assert len(humans) >= 3
    for text in personas:
        assert 80 <= len(text.split()) <= 180
        assert re.search(r"\bI\b", text)
    assert all(len(text) <= StartBlock().limit for text in personas + humans)


def test_the_defaults_of_a_preset_are_shipped(home: Path) -> None:
    preset = Preset("x", ("chat",), ("base",))
    assert get_persona_text(preset.persona, home)
    assert get_human_text(preset.human, home)


def test_the_wheel_takes_the_shipped_files_from_where_the_checkout_has_them() -> None:
    text = (DOCS.parent / "pyproject.toml").read_text()
    for kind in KINDS:
        assert f'{kind} = "memagent/shipped/{kind}"' in text


# Finding


def test_your_own_comes_before_the_shipped_one(home: Path) -> None:
    library = Library(home)
    shipped = library.text("personas", "companion")
    put(home, "personas/companion.txt", "I am mine.")
    assert library.text("personas", "companion") == "I am mine."
    (item,) = [item for item in library.names("personas") if item.name == "companion"]
    assert (item.origin, item.path) == ("yours", home / "personas/companion.txt")
    library.delete("personas", "companion")
    assert library.text("personas", "companion") == shipped


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_missing_is_answered_with_what_there_is(home: Path, kind: Kind) -> None:
    there = [item.name for item in Library(home).names(kind)]
    with pytest.raises(NotFound) as caught:
        Library(home).text(kind, there[0] + "x")
    assert f"Did you mean {there[0]!r}?" in caught.value.hint
    assert all(name in caught.value.hint for name in there)


def test_the_three_getters_tell_of_their_own_kind(home: Path) -> None:
    for kind, get in (("prompt", get_system_text), ("persona", get_persona_text), ("human", get_human_text)):
        with pytest.raises(NotFound, match=f"no {kind} 'qqq'"):
            get("qqq", home)


@pytest.mark.parametrize("written", [b"\xef\xbb\xbfHello\r\nthere\r\n", b"Hello\rthere\n\n  \n", b"Hello\nthere"])
def test_texts_are_the_same_whatever_editor_wrote_them(home: Path, written: bytes) -> None:
    put(home, "humans/me.txt", written)
    assert get_human_text("me", home) == "Hello\nthere"


@pytest.mark.parametrize("written", ["Grüße".encode("utf-16"), b"caf\xe9", b"x" * 1_000_001])
def test_a_file_that_is_no_text_for_an_agent_is_named(home: Path, written: bytes) -> None:
    put(home, "humans/me.txt", written)
    with pytest.raises(UserError, match=r"me\.txt"):
        get_human_text("me", home)


def test_two_files_of_one_name_are_not_chosen_between(home: Path) -> None:
    put(home, "humans/me.txt", "a")
    put(home, "humans/me.md", "b")
    with pytest.raises(UserError, match=r"me\.md.*me\.txt"):
        get_human_text("me", home)


def test_what_is_no_file_of_ours_is_passed_over(home: Path) -> None:
    for name in (".hidden.txt", "notes.bak", "a😀.txt"):
        put(home, f"humans/{name}", "x")
    (home / "humans/folder.txt").mkdir()
    assert [item for item in Library(home).names("humans") if item.origin == "yours"] == []


# Names


@pytest.mark.parametrize("name", ["sam", "Ada Lovelace", "v1.2", "zoë", "玲", "Иван", "a-b_c", "console", "com10"])
def test_good_names(name: str) -> None:
    assert check_name(name) == name


BAD = ["", " ", "..", ".", "../../x", "a/b", "a\\b", "CON", "con.txt", "nul", "COM1", "LPT9.yaml", "x" * 65,
       "x" * 10_000, "😀", "a😀", "1️⃣", "%2e%2e", "a\nb", "a\0b", "a\u202eb", "a\u200bb", "-x", ".hidden", "a.",
       "a ", "ﷺ" * 30, "a:b", "a*", "~root", "\ud800", "\u3164", "COM¹", "／etc"]  # fmt: skip


@pytest.mark.parametrize("name", BAD, ids=range(len(BAD)))
def test_bad_names(home: Path, name: str) -> None:
    with pytest.raises(UserError) as caught:
        check_name(name)
    assert len(str(caught.value)) < 300
    for act in (lambda: Library(home).text("humans", name), lambda: Library(home).add("humans", name, "x")):
        with pytest.raises(UserError):
            act()
    assert not home.exists()


@given(st.text(max_size=80))
def test_a_name_that_passes_is_one_plain_file_name(name: str) -> None:
    try:
        good = check_name(name)
    except UserError:
        return
    assert check_name(good) == good
    assert Path(good).name == good
    assert len(os.fsencode(good + ".yaml")) <= 255
    assert good.isprintable()


def test_one_name_has_one_spelling(home: Path) -> None:
    Library(home).add("humans", "Zoe\u0308", "x")
    assert get_human_text("Zo\u00eb", home) == "x"


# Adding and deleting


def test_added_texts_are_private_whole_and_not_overwritten(home: Path) -> None:
    library = Library(home)
    path = library.add("personas", "Sam", "I am Sam.\n\n")
    assert library.text("personas", "Sam") == "I am Sam."
    for again in ("Sam", "sam"):
        with pytest.raises(UserError, match="already"):
            library.add("personas", again, "I am another.")
    assert library.add("personas", "sam", "I am another.", overwrite=True) == path
    assert library.text("personas", "Sam") == "I am another."
    assert [p.name for p in path.parent.iterdir()] == ["Sam.txt"]
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_cannot_be_written_leaves_what_was_there(home: Path) -> None:
    library = Library(home)
    library.add("personas", "sam", "I am Sam.")
    with pytest.raises(UserError, match="can't be written"):
        library.add("personas", "sam", "I am \ud800.", overwrite=True)
    assert library.text("personas", "sam") == "I am Sam."
    assert len(list((home / "personas").iterdir())) == 1


def test_a_home_that_is_a_file_is_explained(tmp_path: Path) -> None:
    home = put(tmp_path, "home", "x")
    with pytest.raises(UserError, match="can't be written"):
        Library(home).add("personas", "sam", "I am Sam.")
    assert Library(home).names("personas")


def test_a_bad_preset_is_not_added(home: Path) -> None:
    with pytest.raises(UserError, match="systen"):
        Library(home).add("presets", "mine", "systen: chat\n")
    assert not home.exists()
    Library(home).add("presets", "mine", MINIMAL)
    assert Library(home).preset("mine").name == "mine"


def test_only_what_is_yours_can_be_deleted(home: Path) -> None:
    with pytest.raises(UserError, match="comes with memagent"):
        Library(home).delete("personas", "companion")
    with pytest.raises(NotFound):
        Library(home).delete("personas", "qqq")


# Presets


def test_a_preset_with_everything(home: Path) -> None:
    put(home, "presets/rules.md", "No politics.")
    put(
        home,
        "presets/mine.yml",
        """
        description: All of it.
        system: [chat, extras]
        functions: [base, extras.http_request, read_from_text_file]
        speech: send_message
        persona: tutor
        human: basic
        blocks:
          human: {limit: 4000, description: The pupil}
          house: {file: rules.md, read_only: true}
          goals: {value: None yet.}
        rules:
          http_request: {approval: true, time_limit: 2.5, after_cut: ask}
        settings: {context_window: 16000, temperature: 0.7, compact_to: 0.5}
        boot: {message: Hello., thought: Say hello.}
    """,
    )
    preset = Library(home).preset("mine")
    assert preset == Preset(
        "mine", ("chat", "extras"), ("base", "extras.http_request", "read_from_text_file"), "All of it.",
        persona="tutor",
        blocks={
            "human": StartBlock(limit=4000, description="The pupil"),
            "house": StartBlock("No politics.", read_only=True),
            "goals": StartBlock("None yet."),
        },
        rules={"http_request": {"approval": True, "time_limit": 2.5, "after_cut": "ask"}},
        settings={"context_window": 16000, "temperature": 0.7, "compact_to": 0.5},
        boot=Boot("Hello.", "Say hello."),
    )  # fmt: skip
    link(preset.functions, [], preset.rules)


@pytest.mark.parametrize(("yaml", "told"), [
    ("", "must be keys with values"),
    ("just words", "must be keys with values"),
    ("system: chat\n", "'functions' is missing"),
    ("functions: base\n", "'system' is missing"),
    (MINIMAL + "sistem: x\n", "line 3: 'sistem' is no key here. Did you mean 'system'?"),
    (MINIMAL + "speech: morse\n", "line 3: 'speech' must be send_message or plain, not 'morse'"),
    (MINIMAL + "description: 12\n", "line 3: 'description' must be text"),
    (MINIMAL + "system: documents\n", "line 1: 'system' stands here and again on line 3"),
    ("system: chat\nfunctions: [base, base]\n", "line 2: 'functions' must be a list in which every name stands once"),
    ("system: chat\nfunctions: [base, 3]\n", "line 2: 'functions' must be a name, or a list of names"),
    ("system: chatt\nfunctions: base\n", "'system': There is no prompt 'chatt'. Did you mean 'chat'?"),
    (MINIMAL + "persona: compenion\n", "'persona': There is no persona 'compenion'. Did you mean 'companion'?"),
    (MINIMAL + "human: ../../x\n", "'human': '../../x' can't be used"),
    (MINIMAL + "blocks: [a]\n", "line 3: 'blocks' must be keys with values"),
    (MINIMAL + "blocks:\n  Big Label: {}\n", "line 4: 'blocks.Big Label' is no label"),
    (MINIMAL + "blocks:\n  a: {limit: 0}\n", "line 4: 'blocks.a.limit' must be a whole number from 1 to 100000, not 0"),
    (MINIMAL + "blocks:\n  a: {limit: yes}\n", "'blocks.a.limit' must be a whole number"),
    (MINIMAL + "blocks:\n  a:\n    value: aaaa\n    limit: 3\n", "line 4: 'blocks.a' has 4 characters; its limit is 3"),
    (MINIMAL + "blocks:\n  a: {value: x, file: y}\n", "both value and file"),
    (MINIMAL + "blocks:\n  persona: {value: x}\n", "'blocks.persona' takes its text from elsewhere"),
    (MINIMAL + "blocks:\n  a: {file: ../../etc/passwd}\n", "'blocks.a.file' names '../../etc/passwd', which is"),
    (MINIMAL + "blocks:\n  a: {file: /etc/passwd}\n", "which is no file in"),
    (MINIMAL + 'blocks:\n  a: {file: "a\\0b"}\n', "which is no file in"),
    (MINIMAL + "rules:\n  f: {aproval: true}\n", "line 4: 'rules.f.aproval' is no key here. Did you mean 'approval'?"),
    (MINIMAL + "rules:\n  f: {inside: true}\n", "'rules.f.inside' is no key here"),
    (MINIMAL + "rules:\n  f: {time_limit: .nan}\n", "'rules.f.time_limit' must be a number from 0.1"),
    (MINIMAL + "settings: {compact_to: 0.5, compact_at: 0.4}\n", "'settings.compact_to' must be smaller"),
    (MINIMAL + "boot: {thought: hm}\n", "'boot' needs a message"),
    (MINIMAL + "\tx: 1\n", "line 3 is not valid YAML"),
    (MINIMAL + "x: !!python/object/apply:os.system [echo]\n", "is not valid YAML"),
    (MINIMAL + "x: 2024-13-45\n", "is not valid YAML"),
    (MINIMAL + "? [a]\n: b\n", "has a key that is not a word"),
    ("[" * 5000, "nested too deeply"),
    ("x" * 100_001, "100001 characters"),
])  # fmt: skip
def test_a_bad_preset_is_told_with_file_line_and_key(home: Path, yaml: str, told: str) -> None:
    assert told in refused(home, yaml)


def test_a_file_of_a_preset_is_not_read_through_a_link(home: Path, tmp_path: Path) -> None:
    secret = put(tmp_path, "secret.txt", "key")
    (home / "presets").mkdir(parents=True)
    (home / "presets/link.txt").symlink_to(secret)
    assert "which is no file in" in refused(home, MINIMAL + "blocks:\n  a: {file: link.txt}\n")


def test_aliases_cannot_blow_a_preset_up(home: Path) -> None:
    laughs = "".join(f"k{i}: &k{i} {{" + ", ".join(f"b{j}: *k{i - 1}" for j in range(9)) + "}\n" for i in range(1, 30))
    assert "'k0' is no key here" in refused(home, MINIMAL + "k0: &k0 {a: 1}\n" + laughs)


def test_a_preset_may_set_every_rule_but_those_that_only_a_function_itself_can_know() -> None:
    assert set(RULE_KEYS) == {field.name for field in fields(Rules)} - {"inside", "blocks", "lines"}
    defaults = {key: getattr(Rules(), key) for key in RULE_KEYS}
    assert link(["base"], [], {"send_message": defaults})["send_message"].rules.inside


_PIECES = st.sampled_from([*"{}[]:,&*!|>'\"#\n -", "system", "chat", "functions", "base", "blocks", "rules", ": ",
                           "\n  ", "<<", "1", "~", "true", "0x", "2024-01-01", "\0", "é", "- "])  # fmt: skip


@given(st.lists(_PIECES, max_size=30).map("".join), st.booleans())
def test_any_text_is_a_preset_or_a_clear_refusal(text: str, begun: bool) -> None:
    try:
        parse((MINIMAL if begun else "") + text, "x", Path("/nowhere/x.yaml"), Path.read_text)
    except MemagentError as error:
        assert "x.yaml" in error.message


# What the documentation says

_PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
_SAVED = re.compile(r"Save this as `([^`]+)`[^\n]*\n+```\w*\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("page", ["presets.md", "personas.md"])
def test_the_files_in_the_documentation_work_as_they_stand(home: Path, page: str) -> None:
    saved = _SAVED.findall((DOCS / page).read_text())
    assert saved
    for where, content in saved:
        put(home, where, content)
    for where, _ in saved:
        kind, name = where.split("/")[0], Path(where).stem
        if kind == "presets" and where.endswith(".yaml"):
            preset = Library(home).preset(name)
            assert Library(home).system_text(preset)
        elif kind in KINDS and kind != "presets":
            assert Library(home).text(kind, name)


def test_the_python_in_the_documentation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = _PYTHON.findall((DOCS / "personas.md").read_text())
    exec(compile(code, "docs/personas.md", "exec"), {})


def test_the_settings_of_a_preset_are_settings() -> None:
    assert set(SETTING_KEYS) <= set(SETTINGS)


def test_the_documentation_names_every_key_of_a_preset() -> None:
    page = (DOCS / "presets.md").read_text()
    for key in [*KEYS, *BLOCK_KEYS, *RULE_KEYS, *SETTING_KEYS, *BOOT_KEYS]:
        assert f"`{key}`" in page, key


def test_the_documentation_names_every_shipped_preset_and_persona(home: Path) -> None:
    for page, kind in (("presets.md", "presets"), ("personas.md", "personas"), ("personas.md", "humans")):
        text = (DOCS / page).read_text()
        for item in Library(home).names(kind):  # type: ignore[arg-type]
            assert f"`{item.name}`" in text, item.name
