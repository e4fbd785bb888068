"""Pre-computed embeddings come along with their texts, checked, and nothing in a file is ever run."""

import json
import struct
import subprocess
import sys
import zipfile

import pytest
from postgres_server import drop, new_database

from memagent.embeddings import packed
from memagent.errors import BackendError, NotFound, UserError
from memagent.sources import Unreadable
from memagent.sources.chunk import passages_of
from memagent.sources.index import SavedIndex
from memagent.sources.vectors import VectorDatabase

np = pytest.importorskip("numpy")

TEXTS = ["One text.", "Another text, with more words.", "Ünï 文字"]
VECTORS = [[3.0, 4.0, 0.0], [0.0, 0.0, 2.0], [1.0, 1.0, 1.0]]


@pytest.fixture
def reads():
    made = []

    def reads(*args, kind=VectorDatabase, **options):
        options = {"model": "m", **options}
        made.append(kind(*args, **options))
        return list(made[-1].items())

    yield reads
    for reader in made:
        reader.close()


def check(items, name, headings=None, model="m"):
    """All three texts are there, in one block, with their vectors at length 1."""
    (item,) = items
    document = item.read()
    assert item.place == f"{name}, rows 1–3"
    assert [part.text for part in document.parts] == TEXTS
    assert document.model == model
    assert [struct.unpack("<3f", vector) for vector in document.vectors] == [
        pytest.approx(struct.unpack("<3f", packed(vector))) for vector in VECTORS
    ]
    if headings:
        assert [part.heading for part in document.parts] == [(heading,) for heading in headings]
    found = passages_of(document, item.place)
    assert [passage.text for passage in found] == TEXTS and found[0].place.startswith(f"{name}, rows 1–3")


# NumPy ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["jsonl", "json", "txt", "npy"])
def test_an_array_with_its_texts_beside_it(tmp_path, reads, form):
    np.save(tmp_path / "v.npy", np.array(VECTORS))
    if form == "npy":
        np.save(tmp_path / "v_texts.npy", np.array(TEXTS))
    else:
        records = [{"id": f"k{n}", "text": text} for n, text in enumerate(TEXTS)]
        lines = {"jsonl": "\n".join(map(json.dumps, records)), "json": json.dumps(records), "txt": "\n".join(TEXTS)}
        (tmp_path / f"v.{form}").write_text(lines[form], "utf-8")
    check(reads(tmp_path / "v.npy"), "v.npy", ["k0", "k1", "k2"] if form.startswith("json") else ["1", "2", "3"])


def test_arrays_in_one_file(tmp_path, reads):
    np.savez_compressed(tmp_path / "v.npz", embeddings=np.array(VECTORS, "f4"), texts=np.array(TEXTS))
    check(reads(tmp_path / "v.npz"), "v.npz")


def test_places_and_pages_are_kept(tmp_path, reads):
    np.save(tmp_path / "v.npy", np.array(VECTORS[:1]))
    record = {"page_content": "Text.", "metadata": {"source": "guide.pdf", "page": 7}}
    (tmp_path / "mine.jsonl").write_text(json.dumps(record))
    (item,) = reads(tmp_path / "v.npy", texts=tmp_path / "mine.jsonl")
    (passage,) = passages_of(item.read(), item.place)
    assert passage.place == "v.npy, rows 1–1, p. 7 › guide.pdf"


@pytest.mark.parametrize(
    ("texts", "why"),
    [(TEXTS[:2], "3 vectors, but there are 2 texts"), ([*TEXTS, "x"], "3 vectors, but there are more")],
)
def test_as_many_texts_as_vectors(tmp_path, reads, texts, why):
    np.save(tmp_path / "v.npy", np.array(VECTORS))
    (tmp_path / "v.txt").write_text("\n".join(texts), "utf-8")
    with pytest.raises(UserError, match=why):
        reads(tmp_path / "v.npy")


def test_broken_rows_are_told_of_and_the_others_are_read(tmp_path, reads):
    rows = [[1, 0, 0], [0, 0, 0], [float("nan"), 0, 0], [0, 1, 0], [0, 0, 1]]
    np.save(tmp_path / "v.npy", np.array(rows, "f4"))
    (tmp_path / "v.txt").write_text("a\nb\nc\n\ne\n")
    items = reads(tmp_path / "v.npy")
    why = {}
    for item in items[:-1]:
        with pytest.raises(Unreadable) as told:
            item.read()
        why[item.place] = told.value.message
        assert item.stamp
    assert list(why) == ["v.npy, row 2 (2)", "v.npy, row 3 (3)", "v.npy, row 4 (4)"]
    assert why["v.npy, row 4 (4)"] == "has no text" and "direction" in why["v.npy, row 2 (2)"]
    assert [part.text for part in items[-1].read().parts] == ["a", "e"]


class Evil:
    def __reduce__(self):
        return (open, ("/tmp/never", "w"))


def test_arrays_of_objects_are_refused(tmp_path, reads):
    np.save(tmp_path / "v.npy", np.array([Evil(), Evil()], dtype=object), allow_pickle=True)
    (tmp_path / "v.txt").write_text("a\nb\n")
    with pytest.raises(UserError, match="Python objects, which are not read"):
        reads(tmp_path / "v.npy")


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("v.npy", b"no array", "can't be read"),
        ("v.npz", b"PK\x03\x04", "can't be read"),
        ("v.npy", b"", "can't be read"),
        ("v.xyz", b"", "no store of vectors"),
    ],
)
def test_files_that_are_none_are_told(tmp_path, reads, name, data, why):
    (tmp_path / name).write_bytes(data)
    (tmp_path / "v.txt").write_text("a\n")
    with pytest.raises(UserError, match=why):
        reads(tmp_path / name)


def test_an_archive_that_unpacks_to_too_much(tmp_path, reads, monkeypatch):
    monkeypatch.setattr("memagent.sources.arrays.LARGEST", 1000)
    with zipfile.ZipFile(tmp_path / "v.npz", "w") as archive:
        archive.writestr("embeddings.npy", bytes(2000))
    with pytest.raises(UserError, match="unpacks to more"):
        reads(tmp_path / "v.npz")


def test_the_model_must_be_known(tmp_path, reads):
    np.save(tmp_path / "v.npy", np.array(VECTORS))
    (tmp_path / "v.txt").write_text("\n".join(TEXTS), "utf-8")
    with pytest.raises(UserError, match="Which model"):
        reads(tmp_path / "v.npy", model="")
    (item,) = reads(tmp_path / "v.npy", model="", texts_only=True)
    document = item.read()
    assert document.vectors == () and [part.text for part in document.parts] == TEXTS
    with pytest.raises(NotFound):
        reads(tmp_path / "none.npy")
    with pytest.raises(UserError, match="No store"):
        reads()


# Parquet, LanceDB, Chroma, pgvector ----------------------------------------------------------------------------------


def test_parquet(tmp_path, reads):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    for kind in (pa.list_(pa.float32()), pa.list_(pa.float64(), 3)):
        table = pa.table({"id": [1, 2, 3], "content": TEXTS, "emb": pa.array(VECTORS, kind), "n": [1, 2, 3]})
        parquet.write_table(table, tmp_path / "v.parquet")
        check(reads(tmp_path / "v.parquet"), "v.parquet", ["1", "2", "3"])
    two = pa.table({"a": TEXTS, "b": TEXTS, "v": pa.array(VECTORS)})
    parquet.write_table(two, tmp_path / "two.parquet")
    with pytest.raises(UserError, match="which column holds the texts"):
        reads(tmp_path / "two.parquet")
    check(reads(tmp_path / "two.parquet", text="b"), "two.parquet")
    with pytest.raises(UserError, match="no column 'c'"):
        reads(tmp_path / "two.parquet", text="c")
    (tmp_path / "x.parquet").write_bytes(b"PAR1" + bytes(100))
    with pytest.raises(UserError, match="can't be read"):
        reads(tmp_path / "x.parquet")


@pytest.mark.slow
def test_lancedb(tmp_path, reads):
    lancedb = pytest.importorskip("lancedb")
    database = lancedb.connect(tmp_path)
    rows = [{"id": f"k{n}", "text": t, "vector": v} for n, (t, v) in enumerate(zip(TEXTS, VECTORS, strict=True))]
    database.create_table("notes", rows)
    check(reads(tmp_path), "notes", ["k0", "k1", "k2"])
    check(reads(tmp_path / "notes.lance"), "notes")
    many = [{"text": f"t{n}", "vector": [1.0, n, 0.0]} for n in range(450)]
    database.create_table("many", many)
    with pytest.raises(NotFound, match="not clear"):
        reads(tmp_path)
    items = reads(tmp_path, table="many")
    assert [item.place for item in items] == ["many, rows 1–200", "many, rows 201–400", "many, rows 401–450"]
    assert [part.text for item in items for part in item.read().parts] == [f"t{n}" for n in range(450)]
    with pytest.raises(NotFound, match="can't be opened"):
        reads(tmp_path, table="none")


@pytest.mark.slow
def test_chroma(tmp_path, reads):
    chromadb = pytest.importorskip("chromadb")
    client = chromadb.PersistentClient(tmp_path, chromadb.config.Settings(anonymized_telemetry=False))
    about = {"model": "told"}
    collection = client.create_collection("notes", metadata=about, embedding_function=None)
    collection.add(["a", "b", "c"], VECTORS, [{"source": "x.md"}, None, None], TEXTS)
    check(reads(tmp_path, model=""), "notes", ["x.md", "b", "c"], model="told")
    with pytest.raises(UserError, match="'told' made its vectors, not 'other'"):
        reads(tmp_path, model="other")
    with pytest.raises(NotFound, match="no collection 'none'"):
        reads(tmp_path, table="none")


@pytest.fixture
def postgres():
    url = new_database()
    yield url
    drop(url)


def test_pgvector(postgres, reads):
    import psycopg

    with psycopg.connect(postgres) as connection:
        connection.execute("CREATE EXTENSION vector")
        connection.execute("CREATE TABLE plain (id int)")
        connection.execute("CREATE TABLE notes (id int PRIMARY KEY, note text, v vector(3), metadata jsonb)")
        for n, (text, vector) in enumerate(zip(TEXTS, VECTORS, strict=True)):
            connection.execute("INSERT INTO notes VALUES (%s, %s, %s, %s)", (n, text, str(vector), '{"title": "T"}'))
    check(reads(url=postgres), "notes", ["T", "T", "T"])
    check(reads(url=postgres.replace("postgresql://", "postgresql+psycopg://"), table="public.notes"), "notes")
    with pytest.raises(NotFound, match="no table with vectors 'plain'"):
        reads(url=postgres, table="plain")


def test_no_password_is_shown():
    pytest.importorskip("psycopg")
    with pytest.raises(BackendError) as told:
        VectorDatabase(url="postgresql://ann:s3cret@127.0.0.1:1/x?password=s3cret")
    assert "s3cret" not in str(told.value) and "ann" in str(told.value)


# Saved indexes -------------------------------------------------------------------------------------------------------


def llama_index(folder, texts=TEXTS, vectors=VECTORS):
    relations = {"1": {"node_id": "doc-1", "node_type": "4"}}
    nodes = {}
    for n, text in enumerate(texts):
        about = {"file_name": "guide.pdf", "page_label": str(n + 1)} if n < 2 else {}
        data = {"id_": f"n{n}", "metadata": about, "relationships": relations, "text": text, "class_name": "TextNode"}
        nodes[f"n{n}"] = {"__data__": data, "__type__": "1"}
    folder.mkdir(exist_ok=True)
    (folder / "docstore.json").write_text(json.dumps({"docstore/data": nodes, "docstore/metadata": {}}))
    embedded = {f"n{n}": vector for n, vector in enumerate(vectors)}
    (folder / "default__vector_store.json").write_text(json.dumps({"embedding_dict": embedded, "metadata_dict": {}}))


def test_a_folder_of_llama_index(tmp_path, reads):
    llama_index(tmp_path / "storage")
    items = reads(tmp_path / "storage", kind=SavedIndex)
    check(items, "storage", ["guide.pdf", "guide.pdf", "doc-1"])
    assert [part.page for part in items[0].read().parts] == [1, 2, None]


def test_a_vector_whose_text_is_gone_is_told_of(tmp_path, reads):
    llama_index(tmp_path / "storage", texts=TEXTS[:2])
    broken, whole = reads(tmp_path / "storage", kind=SavedIndex)
    assert (broken.place, broken.broken, len(whole.read().parts)) == ("storage, row 3 (n2)", "has no text", 2)


def test_a_folder_of_llama_index_without_vectors(tmp_path, reads):
    llama_index(tmp_path / "storage")
    (tmp_path / "storage" / "default__vector_store.json").unlink()
    with pytest.raises(UserError, match="no vectors"):
        reads(tmp_path / "storage", kind=SavedIndex)
    (item,) = reads(tmp_path / "storage", kind=SavedIndex, texts_only=True)
    assert [part.text for part in item.read().parts] == TEXTS


@pytest.mark.parametrize(
    "text", ["{", "[" * 200_000, "[]", '{"docstore/data": 7}', '{"docstore/data": {"n0": {"__data__": 7}}}']
)
def test_a_broken_folder_of_llama_index(tmp_path, reads, text):
    llama_index(tmp_path / "storage")
    (tmp_path / "storage" / "docstore.json").write_text(text)
    try:
        items = reads(tmp_path / "storage", kind=SavedIndex)
        assert {item.broken for item in items} == {"has no text"}
    except UserError as error:
        assert "docstore.json" in str(error)


def flat_index(vectors, ids=False):
    """A flat FAISS index, as FAISS itself writes it."""
    rows = np.array(vectors, "<f4")
    header = struct.pack("<iqqqBi", rows.shape[1], len(rows), 1 << 20, 1 << 20, 1, 1)
    flat = b"IxF2" + header + struct.pack("<Q", rows.size) + rows.tobytes()
    if not ids:
        return flat
    return b"IxMp" + header + flat + struct.pack(f"<Q{len(rows)}q", len(rows), *range(len(rows)))


@pytest.mark.parametrize("ids", [False, True])
def test_a_faiss_index_with_its_texts(tmp_path, reads, ids):
    (tmp_path / "index.faiss").write_bytes(flat_index(VECTORS, ids))
    (tmp_path / "index.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in TEXTS))
    check(reads(tmp_path, kind=SavedIndex), "index.faiss")
    check(reads(tmp_path / "index.faiss", kind=SavedIndex, texts=tmp_path / "index.jsonl"), "index.faiss")


def test_the_index_is_read_as_faiss_writes_it(tmp_path, reads):
    faiss = pytest.importorskip("faiss")
    (tmp_path / "texts.json").write_text(json.dumps(TEXTS))
    rows = np.array(VECTORS, "f4")
    with_ids = faiss.IndexIDMap(faiss.IndexFlatIP(3))
    for index in (faiss.IndexFlatL2(3), faiss.IndexFlatIP(3), with_ids, faiss.IndexHNSWFlat(3, 8)):
        index.add_with_ids(rows, np.arange(3)) if isinstance(index, faiss.IndexIDMap) else index.add(rows)
        faiss.write_index(index, str(tmp_path / "index.faiss"))
        check(reads(tmp_path, kind=SavedIndex), "index.faiss")
    assert flat_index(VECTORS)[:37] == faiss.serialize_index(_flat(faiss, rows)).tobytes()[:37]


def _flat(faiss, rows):
    index = faiss.IndexFlatL2(3)
    index.add(rows)
    return index


def test_a_pickle_is_never_read(tmp_path, reads):
    (tmp_path / "index.faiss").write_bytes(flat_index(VECTORS))
    (tmp_path / "index.pkl").write_bytes(b"cos\nsystem\n(S'touch /tmp/never'\ntR.")
    with pytest.raises(UserError, match="pickle can run any program"):
        reads(tmp_path, kind=SavedIndex)


@pytest.mark.parametrize("cut", [3, 30, 50, -4])
def test_a_broken_index_is_told_of(tmp_path, cut):
    (tmp_path / "index.faiss").write_bytes(flat_index(VECTORS)[:cut])
    (tmp_path / "index.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in TEXTS))
    code = (
        "import sys; sys.modules['faiss'] = None\n"
        "from pathlib import Path\nfrom memagent.errors import UserError\n"
        "from memagent.sources.index import SavedIndex\n"
        f"try: SavedIndex(Path({str(tmp_path)!r}), model='m')\nexcept UserError as error: print(error)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "does not hold its vectors as they are" in told and "--texts-only" in told


def test_a_folder_of_something_else(tmp_path, reads):
    with pytest.raises(UserError, match="no saved index"):
        reads(tmp_path, kind=SavedIndex)
