"""The vector index of SQLite: as exact as looking at every vector, or nearly; and never believed when it is wrong."""

import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memagent.errors import StorageError
from memagent.storage import nearest, shelf, signs_file
from memagent.storage.closeness import Vectors
from memagent.storage.nearest import SqliteVectors
from memagent.storage.sqlite import SqliteDatabase

MODEL = "testing"
FEW = 40  # so many are kept as they are, in most of these tests
posix = pytest.mark.skipif(os.name == "nt", reason="file modes and limits are POSIX matters")


def unit(vectors: Any) -> Any:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype("<f4")


def some(count: int, dimension: int = 48, seed: int = 0) -> Any:
    """Vectors in clumps, as those of texts are."""
    random = np.random.default_rng(seed)
    middles = random.standard_normal((max(1, count // 50), dimension))
    return unit(middles[random.integers(0, len(middles), count)] + 0.7 * random.standard_normal((count, dimension)))


class Store:
    """A database with vectors in it, and an index of them."""

    def __init__(self, path: Path, dimension: int = 48, exact_most: int = FEW) -> None:
        self.path, self.dimension = path, dimension
        self.folder = path.with_name(path.name + ".vectors")
        self.database = SqliteDatabase(path)
        self.index = self.opened(exact_most)

    def opened(self, exact_most: int = FEW) -> SqliteVectors:
        """An index that knows nothing yet, as in another process."""
        return SqliteVectors(self.database, "passages", MODEL, self.dimension, self.folder, exact_most=exact_most)

    def add(self, vectors: Any, on: str = "ada", tx: Any = None) -> list[int]:
        if tx is None:
            with self.database.write() as own:
                return self.add(vectors, on, own)
        note = tx.rows("SELECT coalesce(max(note), 0) FROM passages WHERE shelf = ?", on)[0][0]
        items: list[int] = tx.add_many(
            "INSERT INTO passages (shelf, note, part, text, created) VALUES (?, ?, 0, 'text', '2026-01-01')",
            [(on, note + number) for number in range(1, len(vectors) + 1)],
        )
        self.give(items, vectors, on, tx)
        return items

    def give(self, items: list[int], vectors: Any, on: str = "ada", tx: Any = None) -> None:
        """Vectors of items that have none."""
        if tx is None:
            with self.database.write() as own:
                return self.give(items, vectors, on, own)
        tx.add_many(
            "INSERT INTO passages_vectors (item, shelf, model, vector) VALUES (?, ?, ?, ?)",
            [(item, on, MODEL, vector.tobytes()) for item, vector in zip(items, vectors, strict=True)],
        )
        return None

    def run(self, sql: str, *values: Any) -> None:
        with self.database.write() as tx:
            tx.run(sql, *values)

    def delete(self, items: list[int]) -> None:
        self.run(f"DELETE FROM passages WHERE id IN ({', '.join(map(str, items))})")

    def exact(self, query: Any, count: int, shelves: list[str], among: list[int] | None = None) -> dict[int, float]:
        rows = self.database.rows("SELECT item FROM passages_vectors WHERE model = ?", MODEL)
        items = [row[0] for row in rows if among is None or row[0] in among]
        vectors = Vectors(self.database, "passages", MODEL, self.dimension)
        near = vectors.closeness([query.tobytes()], items, shelves)[0]
        return dict(sorted(near.items(), key=lambda each: (-each[1], -each[0]))[:count])

    def check(
        self, query: Any, count: int = 5, shelves: tuple[str, ...] = ("ada",), index: SqliteVectors | None = None,
        among: list[int] | None = None,
    ) -> None:  # fmt: skip
        """The index answers what looking at every vector answers."""
        found = (index or self.index).near(query.tobytes(), count, list(shelves), among)
        wanted = self.exact(query, count, list(shelves), among)
        assert list(found.values()) == pytest.approx(list(wanted.values()), abs=1e-5)
        least = min(wanted.values(), default=0.0)  # of those that are as near as the last, any may be there
        assert {i for i in wanted if wanted[i] > least + 1e-5} <= found.keys()

    @property
    def file(self) -> Path:
        """The one file that there is."""
        (path,) = self.folder.iterdir()
        return path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "memagent.db")
    yield made
    made.database.close()


@pytest.fixture
def filed(store: Store) -> Store:
    """With so many vectors that there is a file."""
    store.items = store.add(some(100))  # type: ignore[attr-defined]
    store.check(some(1, seed=1)[0])
    assert store.file.stat().st_size
    return store


def recall(store: Store, vectors: Any, items: list[int], queries: Any, among: list[int] | None = None) -> float:
    """Of the ten nearest, how many are found; all that is found must be among those that count, the nearest first."""
    shares, counts = [], np.ones(len(items), bool) if among is None else np.isin(items, among)
    for query in queries:
        scores = np.where(counts, vectors @ query, -2)
        wanted = {items[at] for at in np.argsort(-scores)[:10]}
        found = store.index.near(query.tobytes(), 10, ["ada"], among)
        assert list(found.values()) == sorted(found.values(), reverse=True) and len(found) == 10
        assert among is None or set(found) <= set(among)
        shares.append(len(wanted & found.keys()) / 10)
    return float(np.mean(shares))


# What is found --------------------------------------------------------------------------------------------------------


STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "delete", "undo", "again", "search", "reopen"]), st.integers(0, 10_000)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, exact_most=st.sampled_from([1, 20, 10_000]), dimension=st.sampled_from([1, 7, 64, 100]))
def test_it_finds_what_looking_at_every_vector_finds(
    tmp_path: Path, steps: list[tuple[str, int]], exact_most: int, dimension: int
) -> None:
    store = Store(tmp_path / f"{time.monotonic_ns()}.db", dimension, exact_most)
    items: list[int] = []
    for step, number in [("add", 0), *steps, ("search", 1)]:
        random = np.random.default_rng(number)
        if step == "add":
            items += store.add(unit(random.standard_normal((1 + number % 25, dimension))), f"shelf {number % 3}")
        elif step == "delete" and items:
            store.delete([items.pop(number % len(items))])
        elif step == "undo" and items:
            store.run("UPDATE passages SET undone = 'now' WHERE id = ?", items.pop(number % len(items)))
        elif step == "again" and items:
            item = items[number % len(items)]
            on = store.database.rows("SELECT shelf FROM passages WHERE id = ?", item)[0][0]
            store.run("DELETE FROM passages_vectors WHERE item = ?", item)
            store.give([item], unit(random.standard_normal((1, dimension))), on)
        elif step == "reopen":
            store.index = store.opened(exact_most)
        elif step == "search":
            among = [n for n in items if n % 2] if number % 2 else None
            shelves = tuple(f"shelf {n}" for n in range(number % 4))
            store.check(unit(random.standard_normal(dimension)), 1 + number % 7, shelves, among=among)
    store.database.close()


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [96, 384])
def test_beyond_what_is_kept_as_it_is_nearly_all_are_found(tmp_path: Path, dimension: int) -> None:
    store = Store(tmp_path / "memagent.db", dimension)
    vectors = some(20_000, dimension)
    items = store.add(vectors)
    queries = unit(vectors[:30] + 0.5 * unit(np.random.default_rng(5).standard_normal((30, dimension))))
    assert recall(store, vectors, items, queries) >= 0.95
    assert recall(store, vectors, items, some(30, dimension, seed=9)) >= 0.95  # near to nothing
    # Filters hold inside the search: what they leave is found, however far it is and however little.
    for share in (2, 11, 30):
        assert recall(store, vectors, items, queries, items[::share]) >= 0.95
    far = np.argsort(vectors @ queries[0])[:3000]
    found = store.index.near(queries[0].tobytes(), 10, ["ada"], [items[at] for at in far])
    assert min(found.values()) > np.sort(vectors[far] @ queries[0])[-10] - 0.01
    store.database.close()


def test_only_those_among_which_it_should_look(filed: Store) -> None:
    query = some(1, seed=2)[0]
    items = filed.items  # type: ignore[attr-defined]
    for among in ([], items[:3], items[50:], [*items, 10**12], [10**12], list(reversed(items)), items[:2] * 2):
        filed.check(query, among=among)
    with pytest.MonkeyPatch.context() as patch:  # all the ways a filter goes, whatever its size
        patch.setattr(nearest, "FEW", 0)
        filed.add(some(10, seed=3))
        for among in (items[:3], items[50:], [*items, 10**12], [10**12]):
            filed.check(query, among=among)


def test_nothing_from_another_shelf(filed: Store) -> None:
    query = some(1, seed=2)[0]
    filed.add(np.repeat(query[None], 60, axis=0), "bob")
    for shelves in (("ada",), ("bob",), ("ada", "bob"), ("ada", "ada"), ("nobody",), ()):
        filed.check(query, 70, shelves)
    # Not even when a file says so.
    bobs = filed.folder / shelf.Which("passages", "bob", MODEL, 48).file_name
    found = signs_file.load(bobs, shelf.Which("passages", "bob", MODEL, 48).about)
    assert found
    about = {**shelf.Which("passages", "ada", MODEL, 48).about, "mean_of": 60}
    adas = filed.folder / shelf.Which("passages", "ada", MODEL, 48).file_name

    def fill(signs: Any) -> int:
        signs.mean[:] = found[0].mean
        signs.put_all(found[0])
        return len(found[0])

    signs_file.written(adas, about, len(found[0]), fill)
    filed.check(query, 70, index=filed.opened())


def test_a_query_of_another_dimension_is_refused(store: Store) -> None:
    store.add(some(3))
    with pytest.raises(StorageError, match="dimension 3"):
        store.index.near(b"\0" * 12, 5, ["ada"])


def test_vectors_that_are_none_are_never_found(filed: Store) -> None:
    items = filed.add(some(2, seed=4))
    broken = [np.full(48, np.nan, "<f4").tobytes(), np.full(48, np.inf, "<f4").tobytes()]
    for item, vector in zip(items, broken, strict=True):
        filed.run("UPDATE passages_vectors SET vector = ? WHERE item = ?", vector, item)
    short = filed.add(some(1, seed=5))
    filed.run("UPDATE passages_vectors SET vector = x'00' WHERE item = ?", short[0])
    for index in (filed.index, filed.opened(), filed.opened(exact_most=1)):
        filed.check(some(1, seed=2)[0], 200, index=index)


# What changes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exact_most", [FEW, 1000])
@pytest.mark.parametrize(
    "change", ["DELETE FROM passages WHERE id = ?", "UPDATE passages SET undone = '' WHERE id = ?"]
)
def test_what_is_gone_is_gone_at_once(store: Store, exact_most: int, change: str) -> None:
    store.add(some(100))
    index, query = store.opened(exact_most), some(1, seed=2)[0]
    other = SqliteDatabase(store.path)
    for _ in range(90):  # by another connection, always the very nearest
        (first, *_) = index.near(query.tobytes(), 3, ["ada"])
        with other.write() as tx:
            tx.run(change, first)
        store.check(query, index=index)
    other.close()


@pytest.mark.parametrize("sure", [False, True])
def test_how_near_some_are_is_told_from_memory_as_from_the_database(store: Store, sure: bool) -> None:
    vectors = some(40)
    items = store.add(vectors)
    store.check(vectors[7])  # now they are in memory
    store.delete(items[:3])
    store.run("DELETE FROM passages_vectors WHERE item IN (?, ?)", items[3], items[4])
    store.give(items[4:5], vectors[30:31])  # made again
    later = store.add(vectors[:2])
    queries = [vectors[7].tobytes(), vectors[30].tobytes()]
    kept = store.index.closeness(queries, [*items, *later], ["ada"], sure=sure)
    read = Vectors(store.database, "passages", MODEL, store.dimension).closeness(queries, [*items, *later], ["ada"])
    assert kept == [pytest.approx(near, abs=1e-6) for near in read]
    assert kept[0].keys() == {*items[4:], *later} and kept[1][items[4]] == pytest.approx(1.0, abs=1e-6)


def test_what_comes_is_found_at_once_and_goes_to_the_file_by_and_by(filed: Store) -> None:
    query, sizes = some(1, seed=2)[0], set()
    for number in range(30):
        filed.add(some(9, seed=100 + number))
        filed.check(query)
        head = signs_file.about(filed.file)
        assert head
        sizes.add(head["size"])
        assert 100 + 9 * (number + 1) - head["size"] <= FEW
    assert 4 < len(sizes) < 15
    before = filed.file.stat().st_ino
    filed.check(query, index=filed.opened())
    assert filed.file.stat().st_ino == before  # what is there is used


def test_the_mean_is_taken_anew_when_a_shelf_has_grown_much(filed: Store) -> None:
    first = signs_file.about(filed.file)
    filed.add(some(900, seed=3))
    filed.check(some(1, seed=2)[0])
    later = signs_file.about(filed.file)
    assert first and later and (first["mean_of"], later["mean_of"], later["size"]) == (100, 1000, 1000)


def test_when_most_are_gone_the_file_is_made_again(filed: Store) -> None:
    filed.delete(filed.items[:55])  # type: ignore[attr-defined]
    index = filed.opened()
    filed.check(some(1, seed=2)[0], index=index)
    head = signs_file.about(filed.file)
    assert head and head["size"] == 45


def test_a_running_process_reads_again_when_most_are_gone(store: Store) -> None:
    items, query = store.add(some(3000)), some(1, seed=2)[0]
    store.check(query)
    store.delete(items[:-3])
    store.check(query)
    signs, tail = store.index._shelf("ada").parts()
    assert signs is None and tail.size == 3


def test_what_is_rolled_back_is_not_remembered(tmp_path: Path) -> None:
    store = Store(tmp_path / "memagent.db")
    index = store.database.vectors("passages", MODEL, 48)
    assert index is store.database.vectors("passages", MODEL, 48)
    store.add(some(20))
    query = some(1, seed=2)[0]
    with pytest.raises(ZeroDivisionError), store.database.write() as tx:
        (item,) = store.add(query[None], tx=tx)
        assert next(iter(index.near(query.tobytes(), 1, ["ada"]))) == item
        raise ZeroDivisionError
    (again,) = store.add(-query[None])  # gets the same number
    assert again == item and next(iter(index.near((-query).tobytes(), 1, ["ada"]))) == item
    store.database.close()


def test_a_snapshot_sees_its_own_moment(filed: Store) -> None:
    query = some(1, seed=2)[0]
    with filed.database.snapshot():
        before = filed.exact(query, 5, ["ada"])
        other = SqliteDatabase(filed.path)
        adder = Store.__new__(Store)
        adder.database = other
        adder.add(np.repeat(query[None], 60, axis=0))
        reader = threading.Thread(target=filed.index.near, args=(query.tobytes(), 5, ["ada"]))
        reader.start()
        reader.join()
        assert filed.index.near(query.tobytes(), 5, ["ada"]) == pytest.approx(before)
    filed.check(query, 70)
    other.close()


def test_shelves_that_were_not_asked_for_are_let_go(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "IN_MEMORY", 3 * 48 * 4 * 30)
    for name in "abcdefg":
        store.add(some(30, seed=ord(name)), name)
    for name in "abcdefgabc":
        store.check(some(1, seed=2)[0], shelves=(name,))
        assert len(store.index._shelves) <= 3
    store.check(some(1, seed=2)[0], shelves=tuple("abcdefg"))


def test_messages_have_an_index_too(store: Store) -> None:
    add = "INSERT INTO agents (id, owner, name, created, settings, system) VALUES ('ada', 'me', 'Ada', '', '{}', '')"
    store.run(add)
    with store.database.write() as tx:
        items = tx.add_many(
            "INSERT INTO messages (agent, seq, turn, role, kind, content, created) "
            "VALUES ('ada', ?, 1, 'user', 'user', '', '')",
            [(number,) for number in range(60)],
        )
        tx.add_many(
            "INSERT INTO messages_vectors (item, shelf, model, vector) VALUES (?, 'ada', ?, ?)",
            [(item, MODEL, vector.tobytes()) for item, vector in zip(items, some(60), strict=True)],
        )
    index = SqliteVectors(store.database, "messages", MODEL, 48, store.folder, exact_most=FEW)
    assert next(iter(index.near(some(60)[7].tobytes(), 1, ["ada"]))) == items[7]
    store.run("DELETE FROM agents")
    assert index.near(some(60)[7].tobytes(), 1, ["ada"]) == {} and not index.any(["ada"])


# The file -------------------------------------------------------------------------------------------------------------


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)


def as_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE = {
    "gone": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "header only": lambda path: path.write_bytes(path.read_bytes()[: signs_file.HEAD]),
    "long": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "noise": lambda path: path.write_bytes(bytes(range(256)) * 300),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "magic": lambda path: flip(path, 3),
    "length": lambda path: flip(path, len(signs_file.MAGIC)),
    "header": lambda path: flip(path, 60),
    "mean": lambda path: flip(path, signs_file.HEAD),
    "signs": lambda path: flip(path, signs_file.HEAD + signs_file.PAGE),
    "folder": as_directory,
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_file_is_made_again(filed: Store, how: str) -> None:
    file, whole = filed.file, filed.file.stat().st_size
    DAMAGE[how](file)
    filed.check(some(1, seed=2)[0], index=filed.opened())
    if how != "folder":
        assert file.stat().st_size == whole and signs_file.load(file, {}) is not None


def test_a_bit_at_every_place_of_the_header(filed: Store) -> None:
    content, query = filed.file.read_bytes(), some(1, seed=2)[0]
    told = content[: signs_file.HEAD].rstrip(b"\0")
    for at in range(0, len(told), 7):
        flip(filed.file, at)
        filed.check(query, index=filed.opened())


def test_the_file_of_another_model_table_or_dimension_is_not_taken(filed: Store) -> None:
    which = shelf.Which("passages", "ada", MODEL, 48)
    assert signs_file.load(filed.file, which.about)
    for name, value in {"model": "another", "table": "messages", "dimension": 49, "shelf": "bob"}.items():
        assert signs_file.load(filed.file, {**which.about, name: value}) is None


def test_the_file_of_another_database_is_not_taken(filed: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "other" / "memagent.db")
    other.add(some(150, seed=77))  # the same numbers, other vectors
    other.folder.mkdir()
    shutil.copy(filed.file, other.folder)
    made = other.file.stat().st_ino
    other.check(some(1, seed=2)[0])
    assert other.file.stat().st_ino != made
    other.database.close()


def test_after_an_older_copy_of_the_database_was_put_back(filed: Store, tmp_path: Path) -> None:
    query, copy = some(1, seed=2)[0], tmp_path / "copy.db"
    filed.database.backup(copy)
    filed.add(some(60, seed=3))
    filed.check(query)
    filed.database.close()
    for number, new in enumerate((0, 60, 200)):  # the file is newer than the database; or the numbers came again
        shutil.copytree(filed.folder, tmp_path / f"{number}.db.vectors")
        shutil.copy(copy, tmp_path / f"{number}.db")
        back = Store(tmp_path / f"{number}.db")
        assert back.folder.exists()
        if new:
            back.add(np.concatenate([query[None], some(new - 1, seed=50)]))
        back.check(query)
        back.database.close()


def test_the_file_is_private(filed: Store) -> None:
    if os.name != "nt":
        assert stat.S_IMODE(filed.file.stat().st_mode) == 0o600
        assert stat.S_IMODE(filed.folder.stat().st_mode) == 0o700


def test_files_of_shelves_that_are_gone_are_removed(filed: Store) -> None:
    filed.add(some(60, seed=3), "bob")
    filed.check(some(1, seed=2)[0], shelves=("bob",))
    half, old, strange = (filed.folder / f"passages-{name}" for name in ("1.signs.x.part", "2.signs.x.part", "3.signs"))
    messages = filed.folder / "messages-1.signs"  # not ours to judge
    for path in (half, old, strange, messages):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    filed.run("DELETE FROM passages WHERE shelf = 'ada'")
    filed.opened().near(some(1, seed=2)[0].tobytes(), 3, ["bob"])
    bobs = shelf.Which("passages", "bob", MODEL, 48).file_name
    assert {path.name for path in filed.folder.iterdir()} == {bobs, half.name, messages.name}


def test_where_no_file_can_be_it_works_in_memory(store: Store) -> None:
    store.folder.write_bytes(b"in the way")
    store.add(some(100))
    for _ in range(3):
        store.check(some(1, seed=2)[0])
        store.add(some(30, seed=3))
    assert store.index._shelf("ada").parts()[0] is not None and store.folder.is_file()


LIMITED = """
import resource, sys
from pathlib import Path
from memagent.storage.nearest import SqliteVectors
from memagent.storage.sqlite import SqliteDatabase
database = SqliteDatabase(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
index = SqliteVectors(database, "passages", "testing", 48, Path(sys.argv[1] + ".vectors"), exact_most=40)
print(*index.near(bytes.fromhex(sys.argv[2]), 5, ["ada"]))
"""


@posix
def test_on_a_full_disk_it_works_in_memory(store: Store) -> None:
    store.add(some(100))
    query = some(1, seed=2)[0]
    arguments = [sys.executable, "-c", LIMITED, str(store.path), query.tobytes().hex()]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert [int(item) for item in done.stdout.split()] == list(store.exact(query, 5, ["ada"]))
    assert list(store.folder.iterdir()) == []


# More than one --------------------------------------------------------------------------------------------------------


def test_another_process_has_made_the_file(filed: Store) -> None:
    query, second = some(1, seed=2)[0], filed.opened()
    filed.check(query, index=second)
    filed.add(some(60, seed=3))
    filed.check(query)
    made = filed.file.stat().st_ino
    filed.check(query, index=second)
    assert filed.file.stat().st_ino == made  # the second took over what the first had written


BUSY = """
import sys
from pathlib import Path
import numpy as np
from memagent.storage.nearest import SqliteVectors
from memagent.storage.sqlite import SqliteDatabase
database = SqliteDatabase(Path(sys.argv[1]))
random = np.random.default_rng(int(sys.argv[2]))
for number in range(15):
    index = SqliteVectors(database, "passages", "testing", 48, Path(sys.argv[1] + ".vectors"), exact_most=40)
    mine = [v / np.linalg.norm(v) for v in random.standard_normal((30, 48))]
    with database.write() as tx:
        items = tx.add_many(
            "INSERT INTO passages (shelf, note, part, text, created) VALUES ('ada', ?, 0, '', '')",
            [(int(sys.argv[2]) * 100_000 + 100 * number + n,) for n in range(30)],
        )
        tx.add_many(
            "INSERT INTO passages_vectors (item, shelf, model, vector) VALUES (?, 'ada', 'testing', ?)",
            [(item, v.astype("<f4").tobytes()) for item, v in zip(items, mine)],
        )
    for item, v in zip(items, mine):
        assert next(iter(index.near(v.astype("<f4").tobytes(), 1, ["ada"]))) == item
"""


@pytest.mark.slow
def test_two_processes_at_once(store: Store) -> None:
    both = [subprocess.Popen([sys.executable, "-c", BUSY, str(store.path), str(n)]) for n in (1, 2)]
    assert [each.wait(50) for each in both] == [0, 0]
    store.check(some(1, seed=2)[0], 20)
    assert [path.suffix for path in store.folder.iterdir()] == [".signs"]


def test_many_threads_at_once(store: Store) -> None:
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for round_ in range(6):
                vectors = some(20, seed=100 * number + round_)
                items = store.add(vectors)
                for item, vector in zip(items, vectors, strict=True):
                    assert next(iter(store.index.near(vector.tobytes(), 1, ["ada"]))) == item
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    store.check(some(1, seed=2)[0], 30)


def test_what_was_brought_up_to_date_need_not_be_made_by_the_next_search(store: Store) -> None:
    store.add(some(100))
    store.add(some(30, seed=3), "bob")
    store.index.save()
    made = store.file.stat().st_ino
    store.check(some(1, seed=2)[0], shelves=("ada", "bob"), index=store.opened())
    assert store.file.stat().st_ino == made
