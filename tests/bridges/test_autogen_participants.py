"""What the bridges to AutoGen have in common, whether AutoGen is installed or not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from memagent.bridges import autogen
from memagent.bridges.autogen import NO_ANSWER, Show, chat_agent, conversable_agent
from memagent.bridges.autogen.joined import Denied, Joined
from memagent.bridges.autogen.opening import seated
from memagent.bridges.autogen.participant import ANEW, Participant, deny
from memagent.config import Settings
from memagent.errors import MissingExtra, NotFound, UserError
from memagent.events import Called, Event, Failed, Notice, Reply, Returned, Thought
from memagent.llm.scripted import ScriptedLLM
from memagent.loading.opening import without_secrets

PAPER = "# Tides\n\nThe tide at Brixham turns at 4:17 in the morning on the ninth of May.\n"
WHOLE: list[Event] = [
    Thought("Better look."),
    Called("1", "archival_memory_search", {"query": "tides"}),
    Returned("1", "archival_memory_search", True, "Nothing."),
    Called("2", "send_message", {"message": "I don't know."}),
    Returned("2", "send_message", True, "Sent."),
    Reply("I don't know."),
    Notice("The context window is nearly full."),
    Denied("delete would need a person's word, and is not done."),
    Reply("Ask Ben."),
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, embedder="off", facts="off", verify_first=False, provider="scripted")


@pytest.fixture
def ada(settings: Settings) -> Iterator[Participant]:
    llm = ScriptedLLM([{"when": {}, "say": "Yes."}])
    with closing(seated("ada", "", "I am Ada, a diver.", "user", settings=settings, database=None, llm=llm)) as seat:
        yield seat


def joined(show: Show, *events: Event) -> str:
    made = Joined("ada", show, [("user", "When is high tide?")])
    for event in events:
        made.take(event)
    return made.text


def test_all_steps_are_one_message_and_what_else_is_in_it_is_a_choice() -> None:
    assert joined(Show(), *WHOLE) == (
        "I don't know.\n\n[denied] delete would need a person's word, and is not done.\n\nAsk Ben."
    )
    assert joined(Show(thoughts=True, calls=True, results=True, heard=True, notices=True), *WHOLE) == "\n\n".join(
        [
            "[heard] user: When is high tide?",
            "[thinks] Better look.",
            '[calls] archival_memory_search(query="tides")',
            "[result] archival_memory_search: Nothing.",
            "I don't know.",
            "[notice] The context window is nearly full.",
            "[denied] delete would need a person's word, and is not done.",
            "Ask Ben.",
        ]
    )


def test_who_says_nothing_or_can_not_answer_is_not_silent() -> None:
    assert joined(Show(), WHOLE[0]) == "[ada says nothing]"
    assert joined(Show(), Failed("The model is away.", "Start it.")) == f"{NO_ANSWER} The model is away. Start it."


def test_a_new_agent_is_who_the_system_message_says_and_the_same_the_next_time(
    ada: Participant, settings: Settings
) -> None:
    assert ada.agent.state.core.blocks["persona"].value == "I am Ada, a diver."
    list(ada.turn([("user", "My dog is called Rex.")], deny))
    llm = ScriptedLLM([{"when": {}, "say": "Yes."}])
    with closing(seated("diver", "ada", "Somebody else.", "user", settings=settings, database=None, llm=llm)) as again:
        assert again.agent.state.core.blocks["persona"].value == "I am Ada, a diver."
        assert again.agent.state.recall.search("Rex").total == 1
        again.check_state(json.loads(json.dumps(ada.state())))


def test_the_state_of_another_agent_is_refused(ada: Participant, settings: Settings) -> None:
    with (
        closing(seated("ben", "", "", "user", settings=settings, database=None, llm=ScriptedLLM([]))) as ben,
        pytest.raises(UserError, match="another agent"),
    ):
        ben.check_state(ada.state())


def test_another_conversation_is_told_once(ada: Participant) -> None:
    ada.begin_anew()
    list(ada.turn([("user", "Hello")], deny))
    list(ada.turn([("user", "Hello")], deny))
    window = [message.content for message in ada.agent.state.window]
    assert sum(ANEW in content for content in window) == 1


def test_a_name_that_no_chat_could_use_is_refused(settings: Settings) -> None:
    with pytest.raises(UserError, match="can't be a name"):
        seated("Ada Lovelace", "", "", "user", settings=settings, database=None, llm=ScriptedLLM([]))


def test_sources_are_loaded_once_attached_and_detached(ada: Participant, settings: Settings, tmp_path: Path) -> None:
    papers = tmp_path / "papers"
    papers.mkdir()
    (papers / "tides.md").write_text(PAPER)
    given = {"name": "papers", "kind": "directory", "tokens": 200, "remove": None, "options": {"path": papers}}
    assert ada.load(**given).outcomes == {"new": 1}
    assert ada.load(**given).outcomes == {"unchanged": 1}
    ada.attach(["papers"])
    assert ada.agent.state.archival.search("Brixham").results[0].text.endswith("ninth of May.")
    ada.detach(["papers"])
    assert not ada.agent.state.archival.search("Brixham").results
    with pytest.raises(NotFound, match="no source 'paper'"):
        ada.attach(["paper"])
    with pytest.raises(UserError, match="no source"):
        ada.load("talk", "conversation", 200, None, {})


def test_no_password_is_kept_with_a_source() -> None:
    url = "postgresql://ada:s3cret@db.example:5433/rows"
    for given in ({"url": url}, {"url": f"{url}?password=s3cret"}, {"host": "db.example", "password": "s3cret"}):
        kept = without_secrets(given)
        assert "s3cret" not in str(kept) and "db.example" in str(kept) and kept["secret"]
    assert without_secrets({"path": Path("rows.db"), "tables": ["tides"]}) == {
        "path": str(Path.cwd() / "rows.db"), "tables": ["tides"],
    }  # fmt: skip


@pytest.mark.parametrize("make", [chat_agent, conversable_agent])
def test_what_is_not_installed_is_named(make: object, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr(autogen, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"memagent\[autogen\]"):
        make("ada", settings=settings)  # type: ignore[operator]
    assert not list(settings.home.iterdir())
