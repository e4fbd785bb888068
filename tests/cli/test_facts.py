"""What is known, seen and changed from the command line and inside a chat."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import SCRIPT, Memagent

pytest.importorskip("pty", reason="it needs a pseudo-terminal")
from terminal import Terminal

from memagent import config
from memagent.storage.sqlite import SqliteDatabase

FACTS = """
- when: {kind: facts, said: "don't use (\\\\w+)"}
  facts: [{text: "The user uses {1}.", holds: false}]
- when: {kind: facts, said: '(?s).*use (\\w+)'}
  facts: ["The user uses {1}."]
- when: {forced: answer_question, said: 'Shram'}
  call: answer_question
  arguments: {answer: You use Shram.}
- when: {reminder: 'uses Shram', said: what do I use}
  say: "You use Shram."
"""


@pytest.fixture(autouse=True)
def script(home: Path) -> None:
    (home / "script.yaml").write_text(FACTS + SCRIPT)


def known(memagent: Memagent, *more: str) -> list[dict[str, object]]:
    done = memagent("facts", "list", "--json", *more)
    assert done.code == 0, done.err
    return list(json.loads(done.out))


def test_facts_are_added_found_and_taken_back(memagent: Memagent) -> None:
    assert memagent("facts", "list").out == "Nothing is known yet.\n"
    done = memagent("facts", "add", "I use Shram")
    assert done.code == 0 and "Learned: 1  The user uses Shram" in done.out
    memagent("facts", "add", "I use Magnet")
    assert "The user uses Magnet" in memagent("facts", "search", "Magnet").out
    assert "Ended" in memagent("facts", "add", "I don't use Magnet").out
    assert [fact["text"] for fact in known(memagent)] == ["The user uses Shram"]
    assert {fact["state"] for fact in known(memagent, "--past")} == {"holds", "past"}
    assert memagent("facts", "search", "Magnet").out == "Nothing is known of that.\n"
    assert "ended 20" in memagent("facts", "search", "Magnet", "--past").out
    assert "T" in str(known(memagent)[0]["said"])  # as ISO 8601 has it


def test_a_fact_by_hand_is_corrected_ended_forgotten_and_restored(memagent: Memagent) -> None:
    memagent("facts", "add", "--exactly", "My dog is Rex", "--about", "Rex")
    assert [(fact["text"], fact["about"]) for fact in known(memagent)] == [("My dog is Rex", "Rex")]
    assert "Corrected: 2  Rex: My dog is Max" in memagent("facts", "correct", "1", "My dog is Max").out
    assert memagent("facts", "forget", "2").code == 2  # nobody is there to be asked
    assert memagent("facts", "forget", "2", "--yes").code == 0
    assert known(memagent) == [] and [fact["number"] for fact in known(memagent, "--forgotten")] == [2]
    assert "already" in memagent("facts", "forget", "2", "--yes").err
    history = memagent("facts", "history", "Max").out
    assert "learned" not in history and "corrected" in history and "forgotten" in history
    assert "My dog is Rex" in memagent("facts", "history", "2").out  # they are versions of one another
    assert memagent("facts", "restore", "2").code == 0
    assert "already" in memagent("facts", "restore", "2").err
    assert memagent("facts", "end", "2", "--until", "2020-05-31", "--yes").code == 0
    (fact,) = [fact for fact in known(memagent, "--past") if fact["number"] == 2]
    assert (fact["until"], fact["state"]) == ("2020-05-31", "past")
    assert "does not hold" in memagent("facts", "correct", "2", "Something else").err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("why", "77"), "There is no fact 77."),
        (("forget", "77", "--yes"), "There is no fact 77."),
        (("correct", "1", " "), "What is right?"),
        (("add", " "), "What is there to learn?"),
        (("add", "Something", "--about", "Rex"), "--about goes with --exactly."),
        (("end", "1", "--until", "soon", "--yes"), "is not a day"),
        (("list", "--agent", "nobody"), "There is no agent 'nobody'."),
    ],
)
def test_mistakes_are_told(memagent: Memagent, words: tuple[str, ...], told: str) -> None:
    done = memagent("facts", *words)
    assert done.code == 2 and told in done.err


def test_questions_are_answered_from_what_is_known(memagent: Memagent) -> None:
    assert memagent("facts", "ask", "What do I use?").out == "I don't know that.\n"
    memagent("facts", "add", "I use Shram")
    assert memagent("facts", "ask", "Do I use Shram?").out == "You use Shram.\n"


def test_without_a_model_statements_are_understood(memagent: Memagent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMAGENT_PROVIDER", "openai")
    assert "The user uses Shram" in memagent("facts", "add", "I use Shram").out
    assert memagent("facts", "ask", "What about Shram?").out == "You use Shram.\n"


def test_each_user_has_facts_of_their_own(memagent: Memagent) -> None:
    memagent("facts", "add", "I use Shram")
    assert known(memagent, "--user", "bob") == []
    assert "There is no fact 1." in memagent("facts", "why", "1", "--user", "bob").err


def test_facts_can_be_off_or_each_agents_own(memagent: Memagent, monkeypatch: pytest.MonkeyPatch) -> None:
    memagent("ask", "--agent", "one", "I use Shram", "--yes")
    monkeypatch.setenv("MEMAGENT_FACTS", "own")
    assert "Name one with --agent" in memagent("facts", "list").err
    assert memagent("facts", "add", "I use Magnet", "--agent", "one").code == 0
    assert len(known(memagent, "--agent", "one")) == 1
    monkeypatch.setenv("MEMAGENT_FACTS", "off")
    assert "the setting facts is off" in memagent("facts", "list").err
    monkeypatch.setenv("MEMAGENT_FACTS", "on")
    assert known(memagent) == []


def test_what_was_asked_is_read_later(memagent: Memagent) -> None:
    memagent("ask", "--agent", "one", "I use Shram", "--yes")
    assert known(memagent) == []  # nobody waits for a model there
    done = memagent("facts", "read")
    assert "Learned: 1  The user uses Shram" in done.out and done.code == 0
    again = memagent("facts", "read")
    assert (again.code, again.out, again.err) == (0, "", "one: nothing waits.\n")
    assert memagent("facts", "read", "one", "--loaded").err == "one: nothing waits.\n"
    why = memagent("facts", "why", "1").out
    assert "from talk with one, message" in why and '"I use Shram"' in why
    assert "learned" in json.loads(memagent("facts", "why", "1", "--json").out)["changes"][0]["what"]
    memagent("facts", "read", "one", "--all")
    assert known(memagent)[0]["confirmed"] == 1  # the same message says nothing new


def test_without_a_model_it_is_read_at_once(memagent: Memagent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMAGENT_FACTS_PROVIDER", "plain")
    memagent("ask", "--agent", "one", "I use Shram", "--yes")
    assert [fact["text"] for fact in known(memagent)] == ["The user uses Shram"]


def test_an_instruction_is_shown_as_what_was_said(memagent: Memagent) -> None:
    memagent("facts", "add", "--exactly", "Always answer \x1b[2Jin French")
    shown = memagent("facts", "list").out
    assert "in French" in shown and "\x1b" not in shown


def wait_until(done: Callable[[], bool]) -> None:
    for _ in range(200):
        if done():
            return
        time.sleep(0.05)
    raise AssertionError("it never came")


@pytest.mark.slow
def test_a_chat_learns_while_one_types_and_tells_why(environment: dict[str, str], memagent: Memagent) -> None:
    with Terminal(["run", "--agent", "one", "--yes"], environment) as chat:
        chat.say("I use Shram")
        chat.expect("echo I use Shram")
        path = config.load({}).database_path

        def learned() -> bool:
            database = SqliteDatabase(path)
            try:
                return bool(database.rows("SELECT 1 FROM facts"))
            finally:
                database.close()

        wait_until(learned)
        chat.say("what do I use?")
        chat.expect("You use Shram.")
        chat.say("/facts")
        chat.expect("The user uses Shram")
        chat.say("/why 1")
        chat.expect("from talk with one")
        chat.say("/forget 1")
        chat.expect("It can be brought back")
        chat.say("/facts Shram")
        chat.expect("Nothing is known yet.")
        chat.say("/exit")
    assert [fact["text"] for fact in known(memagent, "--forgotten")] == ["The user uses Shram"]


def test_pop_takes_back_what_was_learned(environment: dict[str, str], memagent: Memagent) -> None:
    memagent("ask", "--agent", "one", "I use Shram", "--yes")
    memagent("facts", "read")
    assert len(known(memagent)) == 1
    done = memagent("run", "--agent", "one", stdin=b"/pop\n/exit\n")
    assert "Taken back: I use Shram" in done.out
    assert known(memagent) == []


def test_doctor_tells_what_waits_to_be_read(memagent: Memagent, home: Path) -> None:
    def told() -> str:
        return next(line for line in memagent("doctor").out.splitlines() if " facts: " in line)

    assert "none yet" in told()
    memagent("ask", "--agent", "one", "I use Shram", "--yes")
    assert "waiting: 2 messages are not read yet" in told()
    script = home / "script.yaml"
    working = script.read_text()
    script.write_text("- when: {kind: facts}\n  error: {status: 400, message: too tired}\n")
    left = memagent("facts", "read")
    assert "still wait" in left.err and left.code == 3
    assert "the last trouble: " in told() and "too tired" in told()
    script.write_text(working)
    memagent("facts", "read")
    assert told().endswith("facts: 1 hold, 0 are past")


@pytest.mark.parametrize("command", ["facts why", "facts list -n", "memories show", "journal one show"])
def test_a_number_that_nothing_can_have_is_no_accident(memagent: Memagent, command: str) -> None:
    memagent("ask", "--agent", "one", "hello", "--yes")
    done = memagent(*command.split(), "9" * 20)
    assert (done.code, "too large" in done.err) == (2, True), done.err


def test_a_fact_stands_on_one_line_and_is_told_whole_where_it_is_asked_for(memagent: Memagent, home: Path) -> None:
    memagent("facts", "add", "--exactly", "I use Shram")
    text = "Short.\n   9  The user is a liar" + " and so on" * 900
    database = SqliteDatabase(home / "memagent.db")
    with database.write() as tx:
        tx.run("UPDATE facts SET text = ?", text)
    database.close()
    for command in (("list",), ("history", "1")):
        (line,) = memagent("facts", *command).out.splitlines()
        assert len(line) < 500 and "Short. 9 The user is a liar and so on" in line
    assert text in memagent("facts", "why", "1").out
    assert known(memagent)[0]["text"] == text


def test_whom_facts_are_about_may_be_named_as_one_types(memagent: Memagent) -> None:
    memagent("facts", "add", "Anna lives in Graz", "--exactly", "--about", "Anna")
    assert "Anna lives in Graz" in memagent("facts", "list", "--about", "anna").out
    assert "Anna lives in Graz" in memagent("facts", "search", "Graz", "--about", "my Anna").out
    wrong = memagent("facts", "list", "--about", "Ann")
    assert (wrong.code, wrong.out) == (2, "") and "There are some about Anna." in wrong.err
