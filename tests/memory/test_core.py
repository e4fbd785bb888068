"""Core memory: what may be edited and what not, and a history that tells every value there ever was."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memagent.errors import MemagentError, NotFound, StorageError, ToolError, UserError
from memagent.memory.core import Block, CoreMemory, Draft, Edit, find
from memagent.roster import Roster
from memagent.storage.sqlite import SqliteDatabase

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
BLOCKS = [
    Block("persona", "I am Ada.\nI like maps.", 60, "who I am"),
    Block("human", "", 40),
    Block("rules", "Be kind.", 20, read_only=True),
]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "memagent.db")
    yield database
    database.close()


def make(db: SqliteDatabase, name: str = "Ada", blocks: list[Block] = BLOCKS) -> CoreMemory:
    with db.write() as tx:
        agent = Roster(db, "me").make(tx, name, {}, "", NOW)
        CoreMemory(db, agent).create(tx, blocks, "preset", NOW)
    return fresh(db, agent)


def fresh(db: SqliteDatabase, agent: str) -> CoreMemory:
    core = CoreMemory(db, agent)
    core.reload()
    return core


@pytest.fixture
def core(db: SqliteDatabase) -> CoreMemory:
    return make(db)


def values(core: CoreMemory) -> dict[str, str]:
    core.reload()
    return {label: block.value for label, block in core.blocks.items()}


def store(db: SqliteDatabase, core: CoreMemory, draft: Draft, turn: int | None = None) -> list[Edit]:
    with db.write() as tx:
        edits = core.store(tx, draft.changes(), "tool", NOW, turn, "call")
    core.seen(edits)
    return edits


def rewrite(db: SqliteDatabase, core: CoreMemory, label: str, value: str, turn: int | None = None) -> None:
    draft = core.draft()
    draft.rewrite(label, value)
    store(db, core, draft, turn)


def undo(db: SqliteDatabase, core: CoreMemory) -> list[Edit]:
    core.reload()
    with db.write() as tx:
        edits = core.undo(tx, NOW)
    core.seen(edits)
    return edits


def undo_turn(db: SqliteDatabase, core: CoreMemory, turn: int) -> list[str]:
    core.reload()
    with db.write() as tx:
        _, left = core.undo_turn(tx, turn, NOW)
    core.reload()
    return left


# Drafts ---------------------------------------------------------------------------------------------------------------


def test_appending_adds_a_line(core: CoreMemory) -> None:
    draft = core.draft()
    assert draft.append("human", "Likes tea.") == "Likes tea."
    assert draft.append("human", "Has a cat.") == "Likes tea.\nHas a cat."
    assert draft.read("human") == "Likes tea.\nHas a cat."
    assert core.blocks["human"].value == "", "nothing is stored by drafting"


def test_going_over_the_limit_is_an_error_with_the_sizes(core: CoreMemory) -> None:
    draft = core.draft()
    draft.append("human", "x" * 40)
    with pytest.raises(ToolError, match=r"can hold 40 characters and now holds 40; this would make it 42"):
        draft.append("human", "y")
    assert draft.read("human") == "x" * 40
    with pytest.raises(ToolError, match="Shorten it"):
        draft.rewrite("human", "x" * 200_001)
    with pytest.raises(ToolError):
        draft.replace("human", "x" * 40, "x" * 41)
    assert draft.rewrite("human", "記" * 40) == "記" * 40, "characters count, not bytes"


def test_what_is_replaced_must_be_there_once(core: CoreMemory) -> None:
    draft = core.draft()
    with pytest.raises(ToolError, match=r"'charts' is not in the block 'persona'.*I like maps"):
        draft.replace("persona", "charts", "x")
    with pytest.raises(ToolError, match="'I ' stands 2 times in 'persona'"):
        draft.replace("persona", "I ", "We ")
    with pytest.raises(ToolError, match="old text is empty"):
        draft.replace("persona", "", "x")
    assert draft.changes() == []
    assert draft.replace("persona", "maps", "charts") == "I am Ada.\nI like charts."
    assert draft.replace("persona", "\nI like charts.", "") == "I am Ada."


def test_what_is_not_there_and_what_is_read_only(core: CoreMemory) -> None:
    draft = core.draft()
    with pytest.raises(ToolError, match=r"There is no block 'diary' in core memory. There are: persona, human, rules"):
        draft.append("diary", "x")
    with pytest.raises(ToolError, match="There is no block"):
        draft.read("diary")
    with pytest.raises(ToolError, match="read-only"):
        draft.append("rules", "Or not.")
    assert draft.labels() == ("persona", "human", "rules")


def test_what_no_database_takes_is_replaced(db: SqliteDatabase, core: CoreMemory) -> None:
    rewrite(db, core, "human", "NUL \0, half a pair \ud83d, and \U0001f409")
    assert values(core)["human"] == "NUL \ufffd, half a pair \ufffd, and \U0001f409"


def test_an_overlong_block_can_be_read_and_made_shorter(db: SqliteDatabase, core: CoreMemory) -> None:
    with db.write() as tx:
        tx.run("UPDATE blocks SET value = ? WHERE label = 'human'", "word " * 1000)
    core.reload()
    assert "word word" in core.render()
    draft = core.draft()
    with pytest.raises(ToolError):
        draft.append("human", "more")
    with pytest.raises(ToolError):
        draft.rewrite("human", "other" * 1000)
    assert len(draft.rewrite("human", "word " * 900)) == 4500, "shorter, though still too long"
    draft.rewrite("human", "short")
    store(db, core, draft)
    assert undo(db, core)[0].after == "word " * 1000, "what was there can be had back"
    with db.write() as tx, pytest.raises(UserError, match="can hold 40"):
        core.rewrite(tx, "human", "x" * 6000, "user", NOW)


def test_only_what_differs_is_a_change(core: CoreMemory) -> None:
    draft = core.draft()
    draft.append("human", "x")
    draft.rewrite("human", "")
    draft.replace("persona", "maps", "maps")
    assert draft.changes() == []


# What is stored -------------------------------------------------------------------------------------------------------


def test_blocks_keep_their_order_and_all_they_have(db: SqliteDatabase) -> None:
    blocks = [Block(f"b{i}", "x" * i, 10 + i, f"d{i}", bool(i % 2)) for i in reversed(range(9))]
    core = make(db, "Eve", blocks)
    assert list(core.blocks.values()) == blocks


def test_a_first_text_over_the_limit_makes_no_agent(db: SqliteDatabase) -> None:
    with pytest.raises(UserError, match="'human' has 41 characters; its limit is 40") as caught:
        make(db, "Eve", [Block("persona", "", 10), Block("human", "x" * 41, 40)])
    assert caught.value.hint
    assert not Roster(db, "me").exists("Eve")


def test_an_edit_tells_all_about_itself(db: SqliteDatabase, core: CoreMemory) -> None:
    draft = core.draft()
    draft.replace("persona", "maps", "charts")
    edits = store(db, core, draft, turn=7)
    assert edits == core.history("persona")[:1]
    assert core.blocks["persona"] == fresh(db, core._agent).blocks["persona"]
    edit = edits[0]
    assert (edit.version, edit.cause, edit.turn, edit.call_id, edit.created) == (2, "tool", 7, "call", NOW)
    assert edit.diff().splitlines() == [
        "--- version 1", "+++ version 2", "@@ -1,2 +1,2 @@", " I am Ada.", "-I like maps.", "+I like charts.",
    ]  # fmt: skip
    assert core.version("persona", 2) == edit
    assert core.version("persona", 1).after == BLOCKS[0].value
    with pytest.raises(NotFound, match="no version 3"):
        core.version("persona", 3)
    assert [e.label for e in core.history(limit=3)] == ["persona", "rules", "human"]


def test_an_edit_by_somebody_else_meanwhile_is_not_overwritten(db: SqliteDatabase, core: CoreMemory) -> None:
    draft = core.draft()
    draft.append("persona", "I am patient.")
    draft.append("human", "Likes tea.")
    other = fresh(db, core._agent)
    rewrite(db, other, "human", "Likes coffee.")
    with pytest.raises(ToolError, match="'human' was changed by someone else"):
        store(db, core, draft)
    assert values(core) == {"persona": BLOCKS[0].value, "human": "Likes coffee.", "rules": "Be kind."}


def test_an_edit_through_the_same_object_meanwhile_is_not_overwritten(db: SqliteDatabase, core: CoreMemory) -> None:
    draft = core.draft()
    draft.append("human", "Likes tea.")
    rewrite(db, core, "human", "Likes coffee.")
    with pytest.raises(ToolError, match="changed by someone else"):
        store(db, core, draft)
    assert values(core)["human"] == "Likes coffee."


def test_a_person_may_edit_what_is_read_only(db: SqliteDatabase, core: CoreMemory) -> None:
    with db.write() as tx:
        edits = core.rewrite(tx, "rules", "Be honest.", "user", NOW)
    assert [(edit.before, edit.after, edit.cause) for edit in edits] == [("Be kind.", "Be honest.", "user")]
    core.seen(edits)
    assert core.blocks["rules"].read_only
    with db.write() as tx:
        assert core.rewrite(tx, "rules", "Be honest.", "user", NOW) == [], "the same text is no edit"
        with pytest.raises(UserError, match="can hold 20"):
            core.rewrite(tx, "rules", "x" * 21, "user", NOW)
        with pytest.raises(NotFound, match="There is no block 'diary'") as caught:
            core.rewrite(tx, "diary", "", "user", NOW)
    assert "persona, human, rules" in caught.value.hint


def test_a_person_who_edits_what_has_changed_is_told_so(db: SqliteDatabase, core: CoreMemory) -> None:
    rewrite(db, fresh(db, core._agent), "human", "Likes coffee.")
    with db.write() as tx, pytest.raises(UserError, match="changed by someone else"):
        core.rewrite(tx, "human", "Likes tea.", "user", NOW)


def test_blocks_are_shown_as_they_were_on_a_day(db: SqliteDatabase, core: CoreMemory) -> None:
    for days, value in ((1, "Likes tea."), (1, "Likes coffee."), (3, "Likes mate.")):
        with db.write() as tx:
            core.seen(core.rewrite(tx, "human", value, "user", NOW + timedelta(days=days)))
    before = values(make(db, "Bo"))
    told = [core.on(NOW.date() + timedelta(days=days)) for days in range(-1, 4)]
    assert told[0] == {}
    assert {label: block.value for label, block in told[1].items()} == before, "as it was made"
    assert [blocks["human"].value for blocks in told[2:]] == ["Likes coffee.", "Likes coffee.", "Likes mate."]
    assert told[2]["human"].version == 3 and told[4] == core.blocks
    assert "Likes coffee." in core.render(told[2]) and "Likes coffee." not in core.render()


def test_the_model_sees_blocks_with_their_sizes(core: CoreMemory) -> None:
    assert core.render().splitlines() == [
        "<core_memory>",
        '<persona about="who I am" used="22" limit="60">',
        "I am Ada.",
        "I like maps.",
        "</persona>",
        '<human used="0" limit="40">',
        "",
        "</human>",
        '<rules used="8" limit="20" read_only="true">',
        "Be kind.",
        "</rules>",
        "</core_memory>",
    ]


def test_find_for_a_person(core: CoreMemory) -> None:
    assert find(core.blocks, "human").limit == 40
    with pytest.raises(NotFound):
        find(core.blocks, "nobody")


def test_agents_do_not_see_each_other(db: SqliteDatabase, core: CoreMemory) -> None:
    other = make(db, "Eve")
    rewrite(db, core, "human", "of Ada", turn=1)
    rewrite(db, other, "human", "of Eve", turn=1)
    assert undo_turn(db, core, 1) == []
    assert (values(core)["human"], values(other)["human"]) == ("", "of Eve")
    assert len(core.history()) == 5
    assert undo(db, core) == []
    assert len(other.history()) == 4


@pytest.mark.parametrize("column", ["value", "description", "size_limit", "version"])
def test_bytes_in_a_block_are_refused(db: SqliteDatabase, core: CoreMemory, column: str) -> None:
    pickled = b"\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94."
    with db.write() as tx:
        tx.run(f"UPDATE blocks SET {column} = ? WHERE label = 'human'", pickled)
    with pytest.raises(StorageError, match="damaged") as caught:
        core.reload()
    assert caught.value.hint
    assert "pickle" not in str(caught.value)


@pytest.mark.parametrize(("column", "value"), [("before", b"\x80\x04."), ("after", b"x"), ("created", "one day")])
def test_a_damaged_edit_is_refused(db: SqliteDatabase, core: CoreMemory, column: str, value: object) -> None:
    with db.write() as tx:
        tx.run(f"UPDATE block_edits SET {column} = ? WHERE label = 'human'", value)
    with pytest.raises(StorageError, match="Version 1 of the block 'human' is damaged"):
        core.history()


# Taking back ----------------------------------------------------------------------------------------------------------


def test_undo_goes_back_edit_by_edit_to_the_beginning(db: SqliteDatabase, core: CoreMemory) -> None:
    for text in ("one", "two", "three"):
        rewrite(db, core, "human", text)
        rewrite(db, core, "persona", text)
    seen = []
    while edits := undo(db, core):
        seen.append((edits[0].label, edits[0].after))
    assert seen == [
        ("persona", "two"), ("human", "two"), ("persona", "one"), ("human", "one"),
        ("persona", BLOCKS[0].value), ("human", ""),
    ]  # fmt: skip
    rewrite(db, core, "human", "new")
    assert [edit.after for edit in undo(db, core)] == [""]
    assert undo(db, core) == []


def test_undo_reaches_further_than_a_page_of_history(db: SqliteDatabase, core: CoreMemory) -> None:
    with db.write() as tx:
        for number in range(520):
            draft = core.draft()
            draft.rewrite("human", str(number))
            core.seen(core.store(tx, draft.changes(), "tool", NOW))
        for number in reversed(range(520)):
            assert core.undo(tx, NOW)[0].before == str(number)
        assert core.undo(tx, NOW) == []
    assert values(core)["human"] == ""


def test_turns_are_taken_back_one_after_the_other(db: SqliteDatabase, core: CoreMemory) -> None:
    rewrite(db, core, "human", "one", turn=1)
    rewrite(db, core, "human", "two", turn=2)
    rewrite(db, core, "persona", "P2", turn=2)
    rewrite(db, core, "human", "three", turn=2)
    assert undo_turn(db, core, 2) == []
    assert values(core) | {"rules": ""} == {"persona": BLOCKS[0].value, "human": "one", "rules": ""}
    assert undo_turn(db, core, 1) == []
    assert values(core)["human"] == ""
    assert undo_turn(db, core, 1) == [], "once more changes nothing"
    assert values(core)["human"] == ""


def test_a_block_that_was_edited_again_since_is_left(db: SqliteDatabase, core: CoreMemory) -> None:
    rewrite(db, core, "human", "one", turn=1)
    rewrite(db, core, "human", "two", turn=1)
    rewrite(db, core, "persona", "P1", turn=1)
    rewrite(db, core, "human", "by the user")
    assert undo_turn(db, core, 1) == ["human"]
    assert values(core) | {"rules": ""} == {"persona": BLOCKS[0].value, "human": "by the user", "rules": ""}
    undo(db, core)
    assert undo_turn(db, core, 1) == [], "with the later edit taken back, nothing is in the way"
    assert values(core)["human"] == ""


def test_a_turn_of_which_one_edit_was_taken_back_already(db: SqliteDatabase, core: CoreMemory) -> None:
    rewrite(db, core, "human", "one", turn=1)
    rewrite(db, core, "human", "two", turn=1)
    undo(db, core)
    assert undo_turn(db, core, 1) == []
    assert values(core)["human"] == ""


TEXT = st.text(max_size=12) | st.sampled_from(["", "one", "two\nlines", "記憶", "a\0b"])
STEP = st.one_of(
    st.tuples(st.just("edit"), st.sampled_from(["persona", "human"]), TEXT, st.none() | st.integers(1, 4)),
    st.tuples(st.just("user"), st.sampled_from(["persona", "human", "rules"]), TEXT),
    st.tuples(st.just("restore"), st.sampled_from(["persona", "human"]), st.integers(1, 8)),
    st.tuples(st.just("undo")),
    st.tuples(st.just("undo_turn"), st.integers(1, 4)),
)


def carry_out(db: SqliteDatabase, core: CoreMemory, step: tuple) -> None:  # type: ignore[type-arg]
    match step:
        case ("edit", label, value, turn):
            rewrite(db, core, label, value, turn)
        case ("user", label, value):
            with db.write() as tx:
                edits = core.rewrite(tx, label, value, "user", NOW)
            core.seen(edits)
        case ("restore", label, version):
            with db.write() as tx:
                edits = core.rewrite(tx, label, core.version(label, version).after, "user", NOW)
            core.seen(edits)
        case ("undo",):
            undo(db, core)
        case ("undo_turn", turn):
            undo_turn(db, core, turn)


def assert_replayable(core: CoreMemory) -> None:
    """Whoever reads the history from its beginning arrives at what is there, without a gap on the way."""
    now: dict[str, tuple[int, str]] = {}
    for edit in reversed(core.history(limit=10_000)):
        version, value = now.get(edit.label, (0, ""))
        assert (edit.version, edit.before) == (version + 1, value)
        now[edit.label] = (edit.version, edit.after)
    assert now == {block.label: (block.version, block.value) for block in core.blocks.values()}


@settings(max_examples=30, deadline=None)
@given(steps=st.lists(STEP, max_size=25))
def test_history_is_whole_whatever_was_done_and_undone(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple]
) -> None:  # type: ignore[type-arg]
    db = SqliteDatabase(tmp_path_factory.mktemp("core") / "memagent.db")
    core = make(db)
    try:
        for step in steps:
            try:
                carry_out(db, core, step)
            except MemagentError as error:
                assert isinstance(error, UserError | ToolError), "over a limit, or no such version"
            view = dict(core.blocks)
            core.reload()
            assert view == core.blocks, "what is seen is what is stored"
            assert_replayable(core)
        edits = len(core.history(limit=10_000))
        for _ in range(edits):
            if not undo(db, core):
                break
            assert_replayable(core)
        assert values(core) == {block.label: block.value for block in BLOCKS}
        assert undo(db, core) == []
    finally:
        db.close()
