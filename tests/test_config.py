"""Settings: every one under every source, what is said about wrong ones, and what happens to the files."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from memagent import config
from memagent.config import SETTINGS, Setting, Settings
from memagent.errors import ConfigError

OTHER_THAN_TEXT = {
    "endpoint": "http://127.0.0.1:8080/v1",
    "embedding_endpoint": "https://vectors.example/v1",
    "telemetry_endpoint": "http://collector.example:4318",
    "compact_to": 0.25,
    "compact_at": 0.95,
    "warn_at": 0.5,
    "azure_api_version": "2024-10-21",
    "allowed_hosts": ("localhost:8080", "10.0.0.7"),
    "sampling": ("top_k=40", "grammar=root ::= x", "dry_sequence_breakers=null"),
    "stop": (r"\nUser:", "###", "</s>"),
}


def another(setting: Setting) -> object:
    """A right value that is not the default."""
    if setting.name in OTHER_THAN_TEXT:
        return OTHER_THAN_TEXT[setting.name]
    if setting.choices:
        return next((choice for choice in setting.choices if choice != setting.default), setting.default)
    if setting.kind == "yes or no":
        return not setting.default
    if setting.kind in ("whole number", "number"):
        number = setting.low + (setting.high - setting.low) / 2
        return int(number) if setting.kind == "whole number" else number
    return "Zürich: # 5 'null' \"x\" °"


def written(value: object) -> str:
    """A value as a person writes it into the environment."""
    return ",".join(value) if isinstance(value, tuple) else str(value)


class Place:
    """A home and a current directory, both empty."""

    def __init__(self, root: Path) -> None:
        self.home, self.cwd = root / "home", root / "here"
        self.cwd.mkdir()
        self.environ = {"MEMAGENT_HOME": str(self.home)}

    def load(self, flags: dict | None = None, agent: dict | None = None, **environ: str) -> Settings:
        return config.load(flags or {}, agent, {**self.environ, **environ}, self.cwd)

    def write(self, name: str, text: str) -> None:
        self.home.mkdir(exist_ok=True)
        (self.home / name).write_text(text, encoding="utf-8")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda s: s.name)
@pytest.mark.parametrize("source", ["flag", "environment", ".env here", ".env in home", "agent", "saved", "yaml"])
def test_every_setting_is_read_from_every_source_and_says_so(place: Place, setting: Setting, source: str) -> None:
    value, text = another(setting), written(another(setting))
    line = f"\n# a comment\nexport {setting.variable}='{text}'\n".replace("'null'", "null")
    value_in_env = value.replace("'null'", "null") if isinstance(value, str) else value
    if setting.secret and source in ("agent", "saved", "yaml"):
        with pytest.raises(ConfigError, match="secret"):
            if source == "agent":
                place.load(agent={setting.name: value})
            elif source == "saved":
                config.save(place.load(), {setting.name: value})
            else:
                place.write("config.yaml", f"{setting.name}: abc\n")
                place.load()
        assert source == "yaml" or not place.home.exists()
        return
    expected, settings = value, None
    if source == "flag":
        settings, origin = place.load({setting.name: value}), f"the flag {setting.flag}"
    elif source == "environment":
        settings, origin = place.load(**{setting.variable: text}), f"{setting.variable} in the environment"
    elif source == ".env here":
        (place.cwd / ".env").write_text(line, encoding="utf-8")
        expected, origin = value_in_env, f"{setting.variable} in {place.cwd / '.env'}, line 3"
    elif source == ".env in home":
        place.write(".env", line)
        expected, origin = value_in_env, f"{setting.variable} in {place.home / '.env'}, line 3"
    elif source == "agent":
        stored = json.loads(json.dumps({setting.name: value}))
        settings, origin = place.load(agent=stored), "the agent's own settings"
    elif source == "saved":
        config.save(place.load(), {setting.name: value})
        origin = f"{place.home / 'config.yaml'}, line 2"
    else:
        content = list(value) if isinstance(value, tuple) else value
        place.write("config.yaml", "# mine\n\n" + yaml.safe_dump({setting.name: content}, allow_unicode=True))
        origin = f"{place.home / 'config.yaml'}, line 3"
    settings = settings or place.load()
    assert getattr(settings, setting.name) == expected
    assert type(getattr(settings, setting.name)) is type(expected)
    assert settings.origin(setting.name) == origin
    others = [name for name in SETTINGS if name != setting.name]
    assert all(getattr(settings, name) == SETTINGS[name].default for name in others)
    assert all(settings.origin(name) == "default" for name in others)


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda s: s.name)
def test_every_setting_is_explained_and_its_default_is_right(setting: Setting) -> None:
    assert len(setting.help) > 10
    assert setting.default is None or setting.read(setting.default) == setting.default


def test_the_nearest_source_wins(place: Place) -> None:
    place.write("config.yaml", "model: from-file\ntimeout: 1\nretries: 1\npreset: one\npersona: one\nhuman: one")
    place.write(".env", "MEMAGENT_RETRIES=3\nMEMAGENT_PRESET=three\nMEMAGENT_PERSONA=three\nMEMAGENT_HUMAN=three")
    (place.cwd / ".env").write_text("MEMAGENT_PRESET=four\nMEMAGENT_PERSONA=four\nMEMAGENT_HUMAN=four")
    agent = {"timeout": 2, "retries": 2, "preset": "two", "persona": "two", "human": "two"}
    settings = place.load({"human": "six"}, agent, MEMAGENT_PERSONA="five", MEMAGENT_HUMAN="five")
    assert (settings.model, settings.timeout, settings.retries) == ("from-file", 2, 3)
    assert (settings.preset, settings.persona, settings.human) == ("four", "five", "six")


def test_names_that_other_programs_use_too(place: Place) -> None:
    names = {"OPENAI_API_KEY": "sk-theirs", "OPENAI_BASE_URL": "http://theirs", "OPENAI_MODEL": "theirs"}
    azure = {"AZURE_OPENAI_API_KEY": "azure-key", "AZURE_OPENAI_ENDPOINT": "https://azure"}
    settings = place.load(**names, **azure)
    assert (settings.api_key, settings.endpoint, settings.model) == ("sk-theirs", "http://theirs", "theirs")
    assert settings.origin("model") == "OPENAI_MODEL in the environment"
    (place.cwd / ".env").write_text("MEMAGENT_API_KEY=ours\nMEMAGENT_MODEL=ours")
    settings = place.load(**names, **azure)
    assert (settings.api_key, settings.endpoint, settings.model) == ("ours", "http://theirs", "ours")
    place.write("config.yaml", "provider: azure")
    settings = place.load(**names, **azure)
    assert (settings.api_key, settings.endpoint, settings.model) == ("ours", "https://azure", "ours")
    assert place.load({"provider": "scripted"}, **names).endpoint == ""


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("temperature", "hot"), ("temperature", "nan"), ("temperature", "2.5"), ("retries", "1.5"), ("retries", "-1"),
        ("retries", "9" * 5000), ("timeout", "inf"), ("provider", "openia"), ("thoughts", "maybe"), ("model", "a\nb"),
        ("endpoint", "localhost:8080"), ("endpoint", "file:///etc/passwd"), ("context_window", ""), ("user", "\udcff"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_its_place_and_what_is_right(place: Place, setting: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        place.load({setting: value})
    assert setting in caught.value.message and f"--{setting.replace('_', '-')}" in caught.value.message
    assert len(caught.value.message) < 200
    assert caught.value.hint.startswith("It must be ")
    if value and value.isprintable():
        with pytest.raises(ConfigError, match=rf"MEMAGENT_{setting.upper()} in the environment"):
            place.load(**{f"MEMAGENT_{setting.upper()}": value})


@pytest.mark.parametrize(
    "yaml_text", ["retries: [1, 2]", "retries: {a: 1}", "model: [a]", "allowed_hosts: {a: b}", "allowed_hosts: [[a]]"]
)
def test_a_value_of_the_wrong_shape(place: Place, yaml_text: str) -> None:
    place.write("config.yaml", yaml_text)
    with pytest.raises(ConfigError, match="line 1 says"):
        place.load()


def test_settings_that_contradict_each_other(place: Place) -> None:
    with pytest.raises(ConfigError) as caught:
        place.load({"compact_to": 0.6}, MEMAGENT_COMPACT_AT="0.5", MEMAGENT_WARN_AT="0.4")
    assert "the flag --compact-to" in caught.value.message and "MEMAGENT_COMPACT_AT" in caught.value.message


@pytest.mark.parametrize("source", ["flag", "environment", "agent", "yaml", ".env"])
def test_an_unknown_name_is_refused_with_the_closest_one(place: Place, source: str) -> None:
    flags, agent, environ = {}, {}, {}
    if source == "flag":
        flags = {"modle": "x"}
    elif source == "agent":
        agent = {"modle": "x"}
    elif source == "environment":
        environ = {"MEMAGENT_MODLE": "x"}
    elif source == "yaml":
        place.write("config.yaml", "modle: x")
    else:
        place.write(".env", "MEMAGENT_MODLE=x")
    with pytest.raises(ConfigError) as caught:
        place.load(flags, agent, **environ)
    assert "model" in caught.value.hint.lower()


def test_variables_that_are_empty_or_none_count_as_not_given(place: Place) -> None:
    place.write("config.yaml", "model: theirs\npersona:\ntemperature: null\n")
    settings = place.load({"model": None}, {"persona": None}, MEMAGENT_MODEL="")
    assert (settings.model, settings.persona, settings.temperature) == ("theirs", "", None)
    assert settings.origin("persona") == "default"


def test_foreign_lines_of_an_env_file_are_passed_over(place: Place) -> None:
    (place.cwd / ".env").write_text("not a line at all !\nOTHER=${HOME}\nMEMAGENT_MODEL='a ${HOME} b'\n")
    assert place.load().model == "a ${HOME} b"
    (place.cwd / ".env").write_text("\nMEMAGENT_MODEL gpt\n")
    with pytest.raises(ConfigError, match="line 2"):
        place.load()
    (place.cwd / ".env").unlink()
    (place.cwd / ".env").mkdir()  # some keep a virtual environment there
    assert place.load().model == ""


# Home ----------------------------------------------------------------------------------------------------------------


def test_where_home_is(tmp_path: Path) -> None:
    def home(**environ: str) -> Path:
        return config.load({}, None, environ, tmp_path).home

    assert home(HOME="/h") == Path("/h/.memagent")
    assert home(USERPROFILE="/u", HOME="") == Path("/u/.memagent")
    assert home(HOME="/h", MEMAGENT_HOME="~/x") == Path("/h/x")
    assert home(HOME="/h", MEMAGENT_HOME="rel") == tmp_path / "rel"
    assert home(HOME="/h", MEMAGENT_HOME="") == Path("/h/.memagent")
    (tmp_path / ".env").write_text("MEMAGENT_HOME=fromenv")
    assert home(HOME="/h") == tmp_path / "fromenv"
    assert home(MEMAGENT_HOME="/m") == Path("/m")


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"MEMAGENT_HOME": "~/x"}, {"MEMAGENT_HOME": "", "HOME": ""}])
def test_without_a_home_it_is_said_what_to_set(tmp_path: Path, environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="MEMAGENT_HOME"):
        config.load({}, None, environ, tmp_path)


def test_home_is_made_private_and_only_when_it_is_written_to(place: Place) -> None:
    settings = place.load()
    assert not place.home.exists()
    old = os.umask(0)
    try:
        config.ensure_home(settings)
        config.save(settings, {"model": "m"})
    finally:
        os.umask(old)
    assert stat.S_IMODE(place.home.stat().st_mode) == 0o700
    assert stat.S_IMODE((place.home / "config.yaml").stat().st_mode) == 0o600
    assert [path.name for path in place.home.iterdir()] == ["config.yaml"]


def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    place = Place(tmp_path)
    place.environ["MEMAGENT_HOME"] = "/proc/nowhere"
    for action in (config.ensure_home, lambda settings: config.save(settings, {"model": "m"})):
        with pytest.raises(ConfigError, match="MEMAGENT_HOME"):
            action(place.load())
    place.environ["MEMAGENT_HOME"] = str(tmp_path / "file")
    with pytest.raises(ConfigError, match="Not a directory"):
        place.load()


def test_paths_and_windows_that_follow_from_settings(place: Place) -> None:
    assert place.load().database_path == place.home / "memagent.db"
    assert place.load({"database": "other.db"}).database_path == place.home / "other.db"
    assert place.load({"database": "/d/x.db"}).database_path == Path("/d/x.db")
    assert place.load({"model": "gpt-4o-mini"}).window == 128_000
    assert place.load({"model": "my-own"}).window == 8192
    assert place.load({"model": "gpt-4o", "context_window": 1000}).window == 1000
    assert place.load(MEMAGENT_CRASH_AT="7").crash_at == 7


def test_in_a_directory_that_was_deleted(tmp_path: Path) -> None:
    code = (
        "import os, sys; os.chdir(sys.argv[1]); os.rmdir(sys.argv[1])\n"
        "from memagent import config; print(config.load({}).home)"
    )
    gone = tmp_path / "gone"
    gone.mkdir()
    environ = {**os.environ, "MEMAGENT_HOME": str(tmp_path / "home")}
    run = subprocess.run([sys.executable, "-c", code, str(gone)], capture_output=True, text=True, env=environ)
    assert run.stdout.strip() == str(tmp_path / "home"), run.stderr


def test_without_files_neither_yaml_nor_dotenv_is_loaded(tmp_path: Path) -> None:
    code = "from memagent import config; config.load({}); import sys; print({'yaml', 'dotenv'} & set(sys.modules))"
    environ = {**os.environ, "MEMAGENT_HOME": str(tmp_path / "home")}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, cwd=tmp_path)
    assert run.stdout.strip() == "set()", run.stderr


# Saving --------------------------------------------------------------------------------------------------------------

MINE = """\
# What I like
model: gpt-4o   # the good one

allowed_hosts:  # at home
  - localhost:8080   # llama
  - 10.0.0.7
# not yet:
# retries: 7
persona:
"temperature": 0.5
from_the_future: {a: [1, 2]}
location: >
  Zürich,
  Switzerland

thoughts: yes # always
"""


def test_saving_changes_nothing_else(place: Place) -> None:
    place.write("config.yaml", MINE.replace("from_the_future: {a: [1, 2]}\n", ""))
    settings = place.load()
    assert settings.location == "Zürich, Switzerland"
    place.write("config.yaml", MINE)
    config.save(settings, {"model": "my model: #1", "persona": "sam", "retries": 9, "temperature": None})
    expected = MINE.replace("model: gpt-4o ", 'model: "my model: #1" ').replace("persona:", "persona: sam")
    assert (place.home / "config.yaml").read_text() == expected.replace(" 0.5", " ") + "retries: 9\n"
    config.save(settings, {"allowed_hosts": ("a", "b c"), "location": "Bern", "thoughts": False})
    text = (place.home / "config.yaml").read_text()
    assert 'allowed_hosts:  # at home\n  [a, "b c"]\n# not yet:\n# retries: 7\n' in text
    assert "location: Bern\n\nthoughts: false # always\n" in text
    assert "from_the_future: {a: [1, 2]}\n" in text


def test_what_was_saved_is_read_again(place: Place) -> None:
    changes = {name: another(s) for name, s in SETTINGS.items() if not s.secret}
    config.save(place.load(), changes)
    settings = place.load()
    assert {name: getattr(settings, name) for name in changes} == changes
    config.save(settings, dict.fromkeys(changes))
    assert all(place.load().origin(name) == "default" for name in SETTINGS)


RIGHT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=30).map(str.strip)


@settings(max_examples=60, deadline=None)
@given(
    before=st.dictionaries(st.sampled_from(["model", "persona", "human", "location"]), RIGHT),
    after=st.dictionaries(st.sampled_from(["model", "persona", "user"]), RIGHT, min_size=1),
    style=st.sampled_from([None, '"', "'", "|", ">"]),
)
def test_any_text_can_be_saved_over_any_other(
    tmp_path_factory: pytest.TempPathFactory, before: dict[str, str], after: dict[str, str], style: str | None
) -> None:
    place = Place(tmp_path_factory.mktemp("any"))
    place.write(
        "config.yaml", "# top\n" + (yaml.safe_dump(before, default_style=style, allow_unicode=True) if before else "")
    )
    config.save(place.load(), after)
    loaded = place.load()
    for name in ("model", "persona", "human", "location", "user"):
        assert getattr(loaded, name) == (before | after).get(name, SETTINGS[name].default)
    assert (place.home / "config.yaml").read_text().startswith("# top\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model: [unclosed", "not valid YAML"), ("- a\n- b\n", "must have lines"), ("model: a\nmodel: b\n", "again on"),
        ("just words", "must have lines"), ("{model: a}", "only an editor"), ("model: a\n...\n", "only an editor"),
        ("a: " + "[" * 1000, "not valid YAML"), ("model: \x00", "not valid YAML"),
        ("persona: &p x\nhuman: *p", "only an editor"),
    ],
)  # fmt: skip
def test_what_can_not_be_understood_is_not_written_over(place: Place, text: str, says: str) -> None:
    place.write("config.yaml", text)
    with pytest.raises(ConfigError, match=says) as caught:
        config.save(Settings(home=place.home), {"persona": "sam", "retries": 3})
    assert str(place.home / "config.yaml") in caught.value.message
    assert (place.home / "config.yaml").read_text() == text
    assert [path.name for path in place.home.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("content", [b"model: \xff", b"#" * 1_000_001])
def test_what_is_no_text_is_refused(place: Place, content: bytes) -> None:
    place.home.mkdir()
    (place.home / "config.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        place.load()


def test_wrong_changes_are_not_saved(place: Place) -> None:
    place.write("config.yaml", "compact_at: 0.8\n")
    settings = place.load()
    for changes in ({"retries": 99}, {"modle": "x"}, {"compact_to": 0.85}, {"api_key": "sk-1"}):
        with pytest.raises(ConfigError):
            config.save(settings, changes)
    assert (place.home / "config.yaml").read_text() == "compact_at: 0.8\n"


def test_a_link_to_the_file_stays_a_link(place: Place, tmp_path: Path) -> None:
    (tmp_path / "dotfiles.yaml").write_text("model: a\n")
    place.home.mkdir()
    (place.home / "config.yaml").symlink_to(tmp_path / "dotfiles.yaml")
    config.save(place.load(), {"model": "b"})
    assert (place.home / "config.yaml").is_symlink()
    assert (tmp_path / "dotfiles.yaml").read_text() == "model: b\n"


# Secrets -------------------------------------------------------------------------------------------------------------

CANARY = "sk-canary-0123456789abcdefWXYZ"


def test_a_secret_is_nowhere_to_be_seen(place: Place) -> None:
    settings = place.load({"endpoint": "https://me:hunter2hunter2@host/v1"}, OPENAI_API_KEY=CANARY)
    shown = json.dumps(config.masked(settings)) + repr(settings) + str(settings)
    assert settings.api_key == CANARY
    assert config.masked(settings)["api_key"] == "…WXYZ"
    assert config.masked(place.load(MEMAGENT_EMBEDDING_API_KEY=CANARY))["embedding_api_key"] == "…WXYZ"
    assert "canary" not in shown.replace("…WXYZ", "")
    assert "hunter2" not in json.dumps(config.masked(settings))
    assert config.masked(settings).keys() == SETTINGS.keys()


@pytest.mark.parametrize(
    "text",
    [
        f"key {CANARY} in {CANARY}", f"Authorization: Bearer {CANARY}", f"{{'api-key': '{CANARY}'}}", CANARY,
        "sk-proj-other-canary-key-000", "authorization: bearer canarycanarycanary", 'api_key="canary/canary+nary=="',
        "https://me:canarypass@host/v1",
    ],
)  # fmt: skip
def test_secrets_are_masked_in_any_text(place: Place, text: str) -> None:
    settings = place.load({"endpoint": "https://me:canarypass@host/v1", "api_key": CANARY})
    shown = config.mask(text, settings)
    assert "canary" not in shown.replace("nary==", "")
    assert len(shown) < len(text)


def test_short_keys_are_hidden_whole_and_harmless_words_stay(place: Place) -> None:
    settings = place.load(MEMAGENT_API_KEY="none")
    assert config.masked(settings)["api_key"] == "…"
    text = "there is none of it; a bearer of news; sk-8; risk-averse people-of-good-will-everywhere"
    assert config.mask(text, settings) == text


def test_a_wrong_secret_is_not_shown_in_the_error(place: Place) -> None:
    with pytest.raises(ConfigError) as caught:
        place.load(MEMAGENT_API_KEY="sk-canary\x01canary")
    assert "canary" not in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        place.load(MEMAGENT_ENDPOINT="ftp://me:canary@host")
    assert "canary" not in str(caught.value)


def test_a_foreign_directory_does_not_get_the_key(place: Place) -> None:
    """A cloned repository with an .env must not send a key from elsewhere to an address that it names."""
    file = place.cwd / ".env"
    file.write_text("MEMAGENT_ENDPOINT=http://thief.example/v1\n")
    with pytest.raises(ConfigError, match="would send your key") as caught:
        place.load(MEMAGENT_API_KEY="sk-mine-1234567890")
    assert "sk-mine" not in str(caught.value)
    file.write_text("OPENAI_BASE_URL=http://thief.example/v1\n")
    with pytest.raises(ConfigError, match="would send your key"):
        place.load(OPENAI_API_KEY="sk-mine-1234567890")
    file.write_text("MEMAGENT_ENDPOINT=http://mine.example/v1\nMEMAGENT_API_KEY=sk-theirs\n")
    assert place.load().endpoint == "http://mine.example/v1"
    assert place.load({"endpoint": "http://chosen.example/v1"}, MEMAGENT_API_KEY="sk-mine").api_key == "sk-mine"
    file.write_text("MEMAGENT_EMBEDDING_ENDPOINT=http://thief.example/v1\n")
    with pytest.raises(ConfigError, match="would send your key"):
        place.load(MEMAGENT_EMBEDDING_API_KEY="sk-mine-1234567890")
