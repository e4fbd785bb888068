"""Loading a source: what is new is read, embedded and stored, what is there is passed over, what is gone is removed."""

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loads import NOW, OWNER, Letters, Thing, Things, all_embedded, counts, document, load, stored, write

from memagent.embeddings import packed
from memagent.errors import ConfigError, NotFound, SourceBusy, StorageError, UserError
from memagent.loading import Came, Embedded
from memagent.loading.hold import Hold
from memagent.loading.load import Load, Order
from memagent.memory.archival import ArchivalMemory
from memagent.memory.sources import Sources
from memagent.sources.directory import Directory
from memagent.storage.sqlite import SqliteDatabase

FILES: dict[str, str | bytes] = {
    "a.md": "# Apples\n\nThey are red.\n\n# Pears\n\nThey are green.",
    "b/c.txt": "Lisbon lies on the Tejo.",
    "b/d.md": "The sea is wide.",
}


@pytest.fixture
def database(tmp_path):
    database = SqliteDatabase(tmp_path / "memagent.db")
    yield database
    database.close()


@pytest.fixture
def tree(tmp_path):
    return write(tmp_path / "tree", FILES)


@pytest.fixture
def embedder():
    return Letters()


def agent_with(database, *sources):
    """An agent that can search these sources."""
    from memagent.roster import Roster

    with database.write() as tx:
        agent = Roster(database, OWNER).make(tx, f"Ada {len(Roster(database, OWNER).all())}", {}, "", NOW)
        for name in sources:
            assert Sources(database, OWNER).attach(tx, Sources(database, OWNER).find(name).id, agent, NOW)
    return agent


# What is new, and what is not -----------------------------------------------------------------------------------------


def test_a_folder_is_loaded_embedded_and_found(database, tree, embedder):
    tally = load(database, tree, embedder)
    assert counts(tally) == {"new": 3}
    assert tally.passages == tally.embedded == 3 and tally.tokens > 10
    assert all_embedded(database, embedder)
    assert stored(database)["b/c.txt"] == ["Lisbon lies on the Tejo."]
    found = ArchivalMemory(database, agent_with(database, "papers"), embedder).search("Lisbon")
    assert (found.results[0].text, found.results[0].source) == ("Lisbon lies on the Tejo.", "papers")
    assert found.results[0].place == "b/c.txt"


def test_what_has_not_changed_is_not_even_read(database, tree, embedder, monkeypatch):
    load(database, tree, embedder)
    embedder.asked.clear()
    monkeypatch.setattr("memagent.sources.directory.FileItem.read", lambda self: pytest.fail("it was read"))
    assert counts(load(database, tree, embedder)) == {"unchanged": 3}
    assert embedder.asked == []


def test_a_file_that_was_only_touched_is_not_embedded_again(database, tree, embedder):
    load(database, tree, embedder)
    embedder.asked.clear()
    os.utime(tree / "a.md", (1, 1))
    assert counts(load(database, tree, embedder)) == {"unchanged": 3}
    assert embedder.asked == []
    assert (
        Sources(database, OWNER)
        .documents(Sources(database, OWNER).find("papers").id)["a.md"]
        .stamp.split("-")[0]
        .endswith(" 1000000000")
    )


def test_a_changed_file_is_brought_up_to_date(database, tree, embedder):
    before = stored(database) if load(database, tree, embedder) else {}
    write(tree, {"b/c.txt": "Porto lies on the Douro."})
    embedder.asked.clear()
    assert counts(load(database, tree, embedder)) == {"changed": 1, "unchanged": 2}
    assert embedder.asked == ["Porto lies on the Douro."]
    assert stored(database) == {**before, "b/c.txt": ["Porto lies on the Douro."]}
    archive = ArchivalMemory(database, agent_with(database, "papers"), None)
    assert archive.search("Lisbon").total == 0 and archive.search("Porto").total == 1


def test_what_is_gone_is_removed(database, tree):
    load(database, tree)
    (tree / "b/c.txt").unlink()
    assert counts(load(database, tree)) == {"unchanged": 2, "gone": 1}
    assert sorted(stored(database)) == ["a.md", "b/d.md"]


def test_what_is_gone_can_be_kept(database, tree):
    load(database, tree)
    (tree / "b/c.txt").unlink()
    assert counts(load(database, tree, remove=False)) == {"unchanged": 2}
    assert len(stored(database)) == 3


def test_nothing_is_removed_when_not_all_could_be_listed(database):
    load(database, Things([Thing("a", document("one")), Thing("b", document("two"))]))
    half = Things([Thing("a", document("one")), Thing("sub/", "can't be opened: Permission denied")])
    tally = load(database, half)
    assert counts(tally) == {"unchanged": 1, "unreadable": 1}
    assert "1 documents are missing, but sub/ could not be listed" in tally.told[0]
    assert sorted(stored(database)) == ["a", "b"]
    assert counts(load(database, half, remove=True))["gone"] == 1
    assert sorted(stored(database)) == ["a"]


def test_a_folder_that_is_suddenly_empty_removes_nothing(database, tree):
    load(database, tree)
    for path in tree.rglob("*.*"):
        path.unlink()
    tally = load(database, tree)
    assert "nothing at all is there now" in tally.told[0] and len(stored(database)) == 3
    assert counts(load(database, tree, remove=True)) == {"gone": 3}


def test_a_listing_that_fails_removes_nothing_and_keeps_what_came_before(database):
    load(database, Things([Thing("a", document("one")), Thing("b", document("two"))]))
    with pytest.raises(UserError, match="lost"):
        load(database, Things([Thing("c", document("three"))], ends_with=UserError("The connection was lost.")))
    assert sorted(stored(database)) == ["a", "b"], "what has not filled a transaction yet is loaded the next time"
    assert counts(load(database, Things([Thing("c", document("three"))]), remove=False)) == {"new": 1}


def test_only_what_the_same_recipe_has_loaded_is_removed(database, tmp_path):
    one, two = write(tmp_path / "one", {"a.md": "one"}), write(tmp_path / "two", {"b.md": "two"})
    load(database, one)
    assert counts(load(database, two)) == {"new": 1}, "another folder is added"
    assert sorted(stored(database)) == ["a.md", "b.md"]
    (one / "a.md").unlink()
    write(one, {"c.md": "three"})
    assert counts(load(database, one)) == {"gone": 1, "new": 1}
    assert sorted(stored(database)) == ["b.md", "c.md"]


def test_what_other_options_have_loaded_is_kept_and_told(database, tree):
    load(database, tree, options={"include": []})
    reader = Directory(tree, include=["*.md"])
    tally = load(database, reader, options={"path": str(tree), "include": ["*.md"]})
    assert counts(tally) == {"unchanged": 2}
    assert "1 documents that were loaded with other options are kept" in tally.told[0]
    tally = load(database, reader, options={"path": str(tree), "include": ["*.md"]}, remove=True)
    assert counts(tally) == {"unchanged": 2, "gone": 1}


def test_other_sizes_of_passages_cut_everything_anew(database, tmp_path, embedder):
    tree = write(tmp_path / "tree", {"a.txt": "A sentence of some words. " * 60})
    load(database, tree, embedder)
    before = len(stored(database)["a.txt"])
    assert counts(load(database, tree, embedder, tokens=60)) == {"changed": 1}
    assert len(stored(database)["a.txt"]) > before
    assert counts(load(database, tree, embedder, tokens=60)) == {"unchanged": 1}


def test_a_place_that_is_listed_twice_is_there_once(database):
    assert counts(load(database, Things([Thing("a", document("one")), Thing("a", document("two"))]))) == {"new": 1}
    assert stored(database) == {"a": ["one"]}


def test_what_no_database_takes_is_replaced(database):
    load(database, Things([Thing("a\0\ud800", document("one\0\udfff", tags=("x\0",)), stamp="s\0")]))
    assert stored(database) == {"a\ufffd\ufffd": ["one\ufffd\ufffd"]}
    same = Things([Thing("a\0\ud800", document("one\0\udfff", tags=("x\0",)), stamp="s\0")])
    assert counts(load(database, same)) == {"unchanged": 1}


def test_an_empty_file_is_a_document_without_passages(database, tmp_path):
    tree = write(tmp_path / "tree", {"a.txt": "", "b.txt": " \n\n ", "c.txt": "text"})
    assert counts(load(database, tree)) == {"new": 3}
    assert stored(database) == {"a.txt": [], "b.txt": [], "c.txt": ["text"]}
    assert counts(load(database, tree)) == {"unchanged": 3}


# Copies ---------------------------------------------------------------------------------------------------------------


def test_the_same_content_twice_has_its_passages_once(database, tmp_path, embedder):
    tree = write(tmp_path / "tree", {"a.txt": "The same.", "b.txt": "The same.", "c.txt": "Another."})
    assert counts(load(database, tree, embedder)) == {"copy": 1, "new": 2}
    assert embedder.asked == ["The same.", "Another."]
    assert stored(database) == {"a.txt": ["The same."], "b.txt": [], "c.txt": ["Another."]}
    assert counts(load(database, tree, embedder)) == {"unchanged": 3}


def test_a_copy_takes_over_when_the_first_changes_or_goes(database, tmp_path, embedder):
    tree = write(tmp_path / "tree", {"a.txt": "The same.", "b.txt": "The same.", "c.txt": "The same."})
    load(database, tree, embedder)
    write(tree, {"a.txt": "Now it differs."})
    assert counts(load(database, tree, embedder)) == {"changed": 1, "unchanged": 2}
    assert stored(database) == {"a.txt": ["Now it differs."], "b.txt": ["The same."], "c.txt": []}
    (tree / "b.txt").unlink()
    load(database, tree, embedder)
    assert stored(database) == {"a.txt": ["Now it differs."], "c.txt": ["The same."]}
    assert embedder.asked == ["The same.", "Now it differs."] and all_embedded(database, embedder)


def test_a_renamed_file_is_not_embedded_again(database, tmp_path, embedder):
    tree = write(tmp_path / "tree", {"old name.md": "# Head\n\nText.\n\n# Tail\n\n" + "More text. " * 200})
    load(database, tree, embedder)
    before, asked = stored(database)["old name.md"], len(embedder.asked)
    (tree / "old name.md").rename(tree / "new.md")
    assert counts(load(database, tree, embedder)) == {"copy": 1, "gone": 1}
    assert stored(database) == {"new.md": before} and len(before) > 1
    assert len(embedder.asked) == asked and all_embedded(database, embedder)
    places = [row[0] for row in database.rows("SELECT place FROM passages ORDER BY part")]
    assert places[0] == "new.md › Head", places


# What can't be read ---------------------------------------------------------------------------------------------------


def test_what_can_not_be_read_is_told_and_passed_over(database, tree, embedder):
    write(tree, {"picture.png": b"\x89PNG", "data.dat": bytes(range(256)), "other.png": b"\x89PNG"})
    tally = load(database, tree, embedder)
    assert counts(tally) == {"new": 3, "unreadable": 3}
    assert tally.reasons == {"is an image": 2, "is not text": 1}
    assert tally.examples == {"is an image": "other.png", "is not text": "data.dat"}
    assert not tally.in_vain


def test_what_was_loaded_stays_when_it_can_not_be_read_any_more(database, tree):
    load(database, tree)
    write(tree, {"b/c.txt": bytes(range(256))})
    tally = load(database, tree)
    assert counts(tally) == {"unchanged": 2, "unreadable": 1}
    assert stored(database)["b/c.txt"] == ["Lisbon lies on the Tejo."]


def test_a_source_into_which_nothing_came_is_not_left_behind(database):
    with pytest.raises(UserError):
        load(database, Things([], ends_with=UserError("Nobody answers.")))
    assert Sources(database, OWNER).all() == []
    assert load(database, Things([Thing("a", "is broken")])).in_vain


@pytest.mark.parametrize("name", ["", "a/b", "../x", "x" * 200, "conversation\0"])
def test_a_name_must_be_fit_for_a_source(database, name):
    with pytest.raises(UserError, match="name of a source"):
        load(database, Things([]), name=name)


# Embedding ------------------------------------------------------------------------------------------------------------


def test_while_the_embedder_is_away_passages_wait_for_their_vectors(database, tmp_path, embedder):
    tree = write(tmp_path / "tree", {f"{n}.txt": f"Text {n} of many." for n in range(600)})
    embedder.away_at = "Text 5 "
    tally = load(database, tree, embedder)
    assert counts(tally) == {"new": 600}
    assert [text for text in tally.told if "without vectors for now: The embedding service is away" in text]
    assert "passages have no vectors yet" in tally.told[-1] and len(tally.told) == 2
    assert ArchivalMemory(database, agent_with(database, "papers"), None).search("Text").total == 600
    embedder.away_at = ""
    tally = load(database, tree, embedder)
    assert counts(tally) == {"unchanged": 600} and not tally.told
    assert all_embedded(database, embedder) and len(set(embedder.asked)) == 600


def test_an_embedder_that_comes_back_is_used_at_the_end(database, tmp_path):
    class Moody(Letters):
        def embed(self, texts):
            self.away_at, away = ("", self.away_at)
            return super().embed(texts) if not away else Letters(away_at=texts[0]).embed(texts)

    embedder = Moody(away_at="now")
    tally = load(database, write(tmp_path / "tree", FILES), embedder)
    assert len(tally.told) == 1 and all_embedded(database, embedder)


def test_without_an_embedder_all_is_found_by_words_and_embedded_when_there_is_one(database, tree, embedder):
    assert load(database, tree).embedded == 0
    assert counts(load(database, tree, embedder)) == {"unchanged": 3}
    assert all_embedded(database, embedder)


def with_vectors(**more):
    return document("one", "two", vectors=(packed([1, 0, 0, 0]), packed([0, 1, 0, 0])), **more)


def test_vectors_that_come_along_are_kept_and_nothing_is_embedded(database, embedder):
    load(database, Things([Thing("a", with_vectors(model="letters")), Thing("b", document("text"))]), embedder)
    assert embedder.asked == ["text"] and all_embedded(database, embedder)
    rows = database.rows("SELECT p.text, v.vector FROM passages p JOIN passages_vectors v ON v.item = p.id")
    assert dict(rows)["two"] == packed([0, 1, 0, 0])


@pytest.mark.parametrize(
    ("embedder", "told"),
    [
        (Letters(model="others"), "dimension 4, made by 'letters'.*'others', of dimension 4"),
        (Letters(dimension=8), "dimension 4.*of dimension 8"),
        (None, "no embedder"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(database, embedder, told):
    with pytest.raises(ConfigError, match=told) as refused:
        load(database, Things([Thing("a", with_vectors(model="letters"))]), embedder)
    assert "--texts-only" in refused.value.hint
    assert Sources(database, OWNER).all() == []


# Many, at once, and cut off -------------------------------------------------------------------------------------------


def test_what_is_told_is_stored(database, tmp_path, embedder):
    tree = write(tmp_path / "tree", {f"{n}.txt": f"Text {n}. " * 900 for n in range(120)})
    order = Order("papers", {})
    events = Load(database, OWNER, Directory(tree), order, embedder=embedder, clock=lambda: NOW).run()
    told = set()
    for event in events:
        if isinstance(event, Came):
            told.add(event.place)
            assert set(stored(database)) >= told
        else:
            assert isinstance(event, Embedded) and event.passages
        if len(told) > 40:
            events.close()
    assert 40 < len(stored(database)) < 120
    assert threading.active_count() < 10
    tally = load(database, tree, embedder, options={"again": True})
    assert tally.outcomes["unchanged"] > 40 and tally.outcomes["new"] + tally.outcomes["unchanged"] == 120


def test_ctrl_c_keeps_what_was_stored_and_lets_go_of_the_source(database, tmp_path, embedder):
    tree = write(tmp_path / "tree", {f"{n:03}.txt": f"Text {n}. " * 900 for n in range(120)})

    class Stopped(Letters):
        def embed(self, texts):
            if len(self.asked) > 300:
                raise KeyboardInterrupt
            return super().embed(texts)

    with pytest.raises(KeyboardInterrupt):
        load(database, tree, Stopped())
    kept = len(stored(database))
    assert 0 < kept < 120
    assert counts(load(database, tree, embedder)) == {"new": 120 - kept, "unchanged": kept}


def test_two_loads_into_one_source_at_once(database, tree, embedder):
    first = Load(database, OWNER, Things([Thing("x", document("y"))]), Order("papers", {}), embedder=None,
                 clock=lambda: NOW).run()  # fmt: skip
    next(first)
    with pytest.raises(SourceBusy, match=r"being loaded into the source 'papers' \(process") as busy:
        load(database, tree, embedder)
    assert "same command again" in busy.value.hint
    assert counts(load(database, tree, embedder, name="others")) == {"new": 3}, "another source is free"
    first.close()
    assert counts(load(database, tree, embedder)) == {"new": 3}


def test_a_source_that_is_deleted_or_taken_meanwhile_is_told(database, tree):
    def interrupted(what):
        things = [Thing("x", document("y")), Thing("z", document("w"))]
        running = Load(database, OWNER, Things(things), Order("papers", {"n": what}), embedder=None, clock=lambda: NOW)
        events = running.run()
        assert isinstance(next(events), Came)
        with database.write() as tx:
            tx.run(what)
        return list(events)

    with pytest.raises(SourceBusy, match="taken over"):
        interrupted("UPDATE sources SET holder = 'other/1/2/3'")
    with database.write() as tx:
        tx.run("UPDATE sources SET holder = NULL")
    with pytest.raises(NotFound, match="deleted"):
        interrupted("DELETE FROM sources")


def test_the_hold_of_a_process_that_is_dead_holds_nobody_up(database, tree):
    load(database, tree)
    source = Sources(database, OWNER).find("papers").id
    with database.write() as tx:
        Hold(database, "papers").take(tx, source)  # dropped at once
    assert counts(load(database, tree)) == {"unchanged": 3}


# Sharing --------------------------------------------------------------------------------------------------------------


def test_ten_agents_with_one_source_cost_one(database, tree, embedder):
    load(database, tree, embedder)
    tables = ("passages", "passages_vectors", "documents", "passages_words_docsize")
    before = {table: database.rows(f"SELECT count(*) FROM {table}") for table in tables}
    agents = [agent_with(database, "papers") for _ in range(10)]
    for agent in agents:
        assert ArchivalMemory(database, agent, embedder).search("Lisbon").results[0].text == FILES["b/c.txt"]
    assert {table: database.rows(f"SELECT count(*) FROM {table}") for table in tables} == before
    write(tree, {"b/c.txt": "Changed."})
    load(database, tree, embedder)
    assert all(ArchivalMemory(database, agent, None).search("Changed").total == 1 for agent in agents)


def test_attaching_twice_changes_nothing_and_others_sources_can_not_be_had(database, tree):
    load(database, tree)
    mine, others = Sources(database, OWNER), Sources(database, "somebody else")
    agent = agent_with(database, "papers")
    with database.write() as tx:
        assert not mine.attach(tx, mine.find("papers").id, agent, NOW)
        assert not others.attach(tx, mine.find("papers").id, agent, NOW)
    assert ArchivalMemory(database, agent, None).search("Lisbon").total == 1
    with pytest.raises(NotFound):
        others.find("papers")
    stranger = agent_with(database)
    assert ArchivalMemory(database, stranger, None).search("Lisbon").total == 0
    with database.write() as tx:
        assert mine.detach(tx, mine.find("papers").id, agent) and not mine.detach(tx, mine.find("papers").id, agent)
    assert ArchivalMemory(database, agent, None).search("Lisbon").total == 0


def test_a_deleted_source_is_gone_for_all_and_a_deleted_agent_leaves_its_sources(database, tree):
    from memagent.roster import Roster

    load(database, tree)
    agent, other = agent_with(database, "papers"), agent_with(database, "papers")
    Roster(database, OWNER).delete("Ada 0")
    assert ArchivalMemory(database, other, None).search("Lisbon").total == 1
    with database.write() as tx:
        Sources(database, OWNER).delete(tx, Sources(database, OWNER).find("papers").id)
    assert ArchivalMemory(database, other, None).search("Lisbon").total == 0
    for table in ("passages", "passages_vectors", "documents", "recipes", "attachments"):
        assert database.rows(f"SELECT count(*) FROM {table}") == [(0,)], table
    assert agent != other


# Whatever happens to a folder -----------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a.txt", "b.md", "c/d.txt", "c/e.md", "f.txt"])
CONTENTS = st.sampled_from(["", "one", "two", "one\n\ntwo", "# one\n\nthree", "long words here. " * 120])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), NAMES, CONTENTS),
        st.tuples(st.just("remove"), NAMES),
        st.tuples(st.just("rename"), NAMES, NAMES),
        st.tuples(st.just("touch"), NAMES),
        st.tuples(st.just("load")),
        st.tuples(st.just("cut off"), st.integers(1, 12)),
        st.tuples(st.just("embedder"), st.booleans()),
    ),
    max_size=14,
)


class Cut(Exception):
    """The load dies here."""


@pytest.mark.slow
@settings(max_examples=40)
@given(STEPS)
def test_whatever_happens_a_load_makes_it_as_if_loaded_at_once(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("any")
    tree, database, embedder = write(folder / "tree", {"z.txt": "always"}), SqliteDatabase(folder / "a.db"), Letters()
    for moment, (what, *rest) in enumerate(steps):
        if what == "load":
            load(database, tree, embedder)
        elif what == "cut off":
            cut_off(folder / "a.db", tree, embedder, rest[0])
        elif what == "embedder":
            embedder.away_at = "o" if rest[0] else ""
        else:
            change(tree, what, rest, moment)
    embedder.away_at = ""
    load(database, tree, embedder)
    fresh = SqliteDatabase(folder / "fresh.db")
    load(fresh, tree, Letters())
    was, wanted = stored(database), stored(fresh)
    assert was.keys() == wanted.keys()
    assert sorted(map(str, was.values())) == sorted(map(str, wanted.values())), "but for which copy has the passages"
    assert all_embedded(database, embedder)
    assert counts(load(database, tree, embedder)) == {"unchanged": len(wanted)}
    database.close()
    fresh.close()


def cut_off(path, tree, embedder, number):
    """A load that ends at the n-th commit boundary, without a last word."""
    passed = 0

    def watch(moment):
        nonlocal passed
        passed += moment in ("commit", "committed")
        if passed >= number:
            raise Cut

    dying = SqliteDatabase(path, watch=lambda moment: None)
    dying._watch = watch
    try:
        load(dying, tree, embedder)
    except (Cut, StorageError):
        pass
    finally:
        dying.close()


def change(tree, what, rest, moment):
    path = tree / rest[0]
    if what == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(rest[1])
    elif path.exists():
        target: Path = tree / rest[-1]
        target.parent.mkdir(exist_ok=True)
        if what == "remove":
            path.unlink()
        elif what == "rename":
            path.replace(target)
    if path.exists():
        os.utime(path, (moment, moment))
