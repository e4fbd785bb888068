"""How the tables came to be: numbered steps that run when a database is opened, forward only.

Step n turns version n-1 into version n, in one transaction with its number. A released step is never changed: add one.
Knows nothing of what the rows mean to an agent.
"""

from __future__ import annotations

# Owners: a row of `agents` belongs to a user (`owner`); every other row belongs to an agent, and every query names it.
# Order is by `seq` (per agent, gapless) and never by time. Times are ISO 8601 with offset, for people and for filters.
# AUTOINCREMENT stands where somebody remembers the last number that he saw: a number must never come back.
FIRST = """
CREATE TABLE agents (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, created TEXT NOT NULL,
    settings TEXT NOT NULL, system TEXT NOT NULL, last_login TEXT, quiet_until TEXT,
    fence INTEGER NOT NULL DEFAULT 0, holder TEXT, lease_until INTEGER, UNIQUE (owner, name));

CREATE TABLE turns (
    agent TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE, turn INTEGER NOT NULL, state TEXT NOT NULL,
    steps INTEGER NOT NULL DEFAULT 0, prompt_tokens INTEGER NOT NULL DEFAULT 0,
    completion_tokens INTEGER NOT NULL DEFAULT 0, started TEXT NOT NULL, ended TEXT,
    PRIMARY KEY (agent, turn)) WITHOUT ROWID;

CREATE TABLE messages (
    id INTEGER PRIMARY KEY, agent TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL, turn INTEGER NOT NULL, role TEXT NOT NULL, kind TEXT NOT NULL, content TEXT NOT NULL,
    calls TEXT, call_id TEXT, name TEXT, said TEXT NOT NULL DEFAULT '', created TEXT NOT NULL, undone TEXT,
    UNIQUE (agent, seq));
CREATE INDEX messages_summaries ON messages (agent, seq) WHERE kind = 'summary' AND undone IS NULL;
CREATE INDEX messages_said ON messages (agent, created, seq) WHERE said <> '' AND undone IS NULL;
CREATE VIRTUAL TABLE messages_words USING fts5 (
    agent, said, content = 'messages', content_rowid = 'id', columnsize = 1,
    tokenize = 'porter unicode61 remove_diacritics 2');
CREATE TRIGGER messages_in AFTER INSERT ON messages WHEN new.said <> '' AND new.undone IS NULL BEGIN
    INSERT INTO messages_words (rowid, agent, said) VALUES (new.id, new.agent, new.said); END;
CREATE TRIGGER messages_undo AFTER UPDATE OF undone ON messages
    WHEN new.said <> '' AND new.undone IS NOT NULL AND old.undone IS NULL BEGIN
    INSERT INTO messages_words (messages_words, rowid, agent, said) VALUES ('delete', old.id, old.agent, old.said); END;
CREATE TRIGGER messages_out AFTER DELETE ON messages WHEN old.said <> '' AND old.undone IS NULL BEGIN
    INSERT INTO messages_words (messages_words, rowid, agent, said) VALUES ('delete', old.id, old.agent, old.said); END;

CREATE TABLE calls (
    agent TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE, call_id TEXT NOT NULL, state TEXT NOT NULL,
    idempotency_key TEXT NOT NULL, digest TEXT NOT NULL, created TEXT NOT NULL, PRIMARY KEY (agent, call_id)) WITHOUT
    ROWID;

CREATE TABLE blocks (
    agent TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE, label TEXT NOT NULL, position INTEGER NOT NULL,
    value TEXT NOT NULL, size_limit INTEGER NOT NULL, description TEXT NOT NULL, read_only INTEGER NOT NULL,
    version INTEGER NOT NULL, PRIMARY KEY (agent, label)) WITHOUT ROWID;
CREATE TABLE block_edits (
    id INTEGER PRIMARY KEY, agent TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE, label TEXT NOT NULL,
    version INTEGER NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, cause TEXT NOT NULL, turn INTEGER,
    call_id TEXT, created TEXT NOT NULL, UNIQUE (agent, label, version));
CREATE INDEX block_edits_turn ON block_edits (agent, turn);

CREATE TABLE passages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, agent TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    note INTEGER NOT NULL, part INTEGER NOT NULL, text TEXT NOT NULL, tags TEXT NOT NULL DEFAULT '[]',
    source TEXT NOT NULL DEFAULT '', turn INTEGER, created TEXT NOT NULL, undone TEXT,
    UNIQUE (agent, note, part));
CREATE INDEX passages_turn ON passages (agent, turn) WHERE turn IS NOT NULL;
CREATE INDEX passages_beginnings ON passages (agent, substr(text, 1, 60)) WHERE part = 0;
CREATE VIRTUAL TABLE passages_words USING fts5 (
    agent, text, content = 'passages', content_rowid = 'id', columnsize = 1,
    tokenize = 'porter unicode61 remove_diacritics 2');
CREATE TRIGGER passages_in AFTER INSERT ON passages WHEN new.undone IS NULL BEGIN
    INSERT INTO passages_words (rowid, agent, text) VALUES (new.id, new.agent, new.text); END;
CREATE TRIGGER passages_undo AFTER UPDATE OF undone ON passages WHEN new.undone IS NOT NULL AND old.undone IS NULL BEGIN
    INSERT INTO passages_words (passages_words, rowid, agent, text) VALUES ('delete', old.id, old.agent, old.text); END;
CREATE TRIGGER passages_out AFTER DELETE ON passages WHEN old.undone IS NULL BEGIN
    INSERT INTO passages_words (passages_words, rowid, agent, text) VALUES ('delete', old.id, old.agent, old.text); END;
CREATE TABLE vectors (
    id INTEGER PRIMARY KEY AUTOINCREMENT, passage INTEGER NOT NULL UNIQUE REFERENCES passages (id) ON DELETE CASCADE,
    agent TEXT NOT NULL, model TEXT NOT NULL, vector BLOB NOT NULL);
CREATE INDEX vectors_of ON vectors (agent, model);
"""

# What is searched together is a shelf: the messages of an agent, its notes (both named by the agent's id), or the
# passages of a source, which many agents can be attached to. So a shelf has no single table to refer to, and goes by
# triggers. `note` is a note of an agent, or the document that a passage of a source is from.
SOURCES = """
CREATE TABLE sources (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, about TEXT NOT NULL,
    created TEXT NOT NULL, updated TEXT NOT NULL, holder TEXT, lease_until INTEGER, UNIQUE (owner, name));
CREATE TABLE recipes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL REFERENCES sources (id) ON DELETE CASCADE,
    kind TEXT NOT NULL, about TEXT NOT NULL, options TEXT NOT NULL, tokens INTEGER NOT NULL, loaded TEXT,
    UNIQUE (source, kind, options));
CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL REFERENCES sources (id) ON DELETE CASCADE,
    place TEXT NOT NULL, stamp TEXT NOT NULL, digest TEXT NOT NULL, title TEXT NOT NULL, passages INTEGER NOT NULL,
    loaded TEXT NOT NULL, recipe INTEGER REFERENCES recipes (id), UNIQUE (source, place));
CREATE INDEX documents_same ON documents (source, digest);
CREATE INDEX documents_recipe ON documents (recipe);
CREATE TABLE attachments (
    agent TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    source TEXT NOT NULL REFERENCES sources (id) ON DELETE CASCADE, since TEXT NOT NULL,
    PRIMARY KEY (agent, source)) WITHOUT ROWID;
CREATE INDEX attachments_source ON attachments (source);

DROP TRIGGER passages_in;
DROP TRIGGER passages_undo;
DROP TRIGGER passages_out;
DROP TABLE passages_words;
ALTER TABLE passages RENAME TO passages_before;
CREATE TABLE passages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, shelf TEXT NOT NULL, note INTEGER NOT NULL, part INTEGER NOT NULL,
    text TEXT NOT NULL, tags TEXT NOT NULL DEFAULT '[]', place TEXT NOT NULL DEFAULT '', turn INTEGER,
    created TEXT NOT NULL, undone TEXT, UNIQUE (shelf, note, part));
INSERT INTO sqlite_sequence (name, seq) SELECT 'passages', seq FROM sqlite_sequence WHERE name = 'passages_before';
INSERT INTO passages (id, shelf, note, part, text, tags, place, turn, created, undone)
    SELECT id, agent, note, part, text, tags, source, turn, created, undone FROM passages_before;
CREATE TABLE passages_vectors (
    id INTEGER PRIMARY KEY AUTOINCREMENT, item INTEGER NOT NULL UNIQUE REFERENCES passages (id) ON DELETE CASCADE,
    shelf TEXT NOT NULL, model TEXT NOT NULL, vector BLOB NOT NULL);
INSERT INTO passages_vectors (item, shelf, model, vector) SELECT passage, agent, model, vector FROM vectors ORDER BY id;
DROP TABLE vectors;
DROP TABLE passages_before;
CREATE INDEX passages_vectors_of ON passages_vectors (shelf, model);
CREATE INDEX passages_turn ON passages (shelf, turn) WHERE turn IS NOT NULL;
CREATE INDEX passages_beginnings ON passages (shelf, substr(text, 1, 60)) WHERE part = 0;
CREATE VIRTUAL TABLE passages_words USING fts5 (
    shelf, text, content = 'passages', content_rowid = 'id', columnsize = 1,
    tokenize = 'porter unicode61 remove_diacritics 2');
INSERT INTO passages_words (rowid, shelf, text) SELECT id, shelf, text FROM passages WHERE undone IS NULL;
CREATE TRIGGER passages_in AFTER INSERT ON passages WHEN new.undone IS NULL BEGIN
    INSERT INTO passages_words (rowid, shelf, text) VALUES (new.id, new.shelf, new.text); END;
CREATE TRIGGER passages_undo AFTER UPDATE OF undone ON passages WHEN new.undone IS NOT NULL AND old.undone IS NULL BEGIN
    INSERT INTO passages_words (passages_words, rowid, shelf, text) VALUES ('delete', old.id, old.shelf, old.text); END;
CREATE TRIGGER passages_out AFTER DELETE ON passages WHEN old.undone IS NULL BEGIN
    INSERT INTO passages_words (passages_words, rowid, shelf, text) VALUES ('delete', old.id, old.shelf, old.text); END;
CREATE TRIGGER agents_out AFTER DELETE ON agents BEGIN
    DELETE FROM passages WHERE shelf = old.id; END;
CREATE TRIGGER sources_out AFTER DELETE ON sources BEGIN
    DELETE FROM passages WHERE shelf = old.id; END;

ALTER TABLE messages ADD COLUMN place TEXT NOT NULL DEFAULT '';
CREATE INDEX messages_places ON messages (agent, place) WHERE place <> '';
CREATE TABLE messages_vectors (
    id INTEGER PRIMARY KEY AUTOINCREMENT, item INTEGER NOT NULL UNIQUE REFERENCES messages (id) ON DELETE CASCADE,
    shelf TEXT NOT NULL, model TEXT NOT NULL, vector BLOB NOT NULL);
CREATE INDEX messages_vectors_of ON messages_vectors (shelf, model);
"""

# A card is kept as it came, with the files in it as base64, and with what was made of it: so it can leave as it came.
# Lore is told when it is called; its note in archival memory is there to be read, and it is gone with it.
CARDS = """
CREATE TABLE cards (
    agent TEXT PRIMARY KEY REFERENCES agents (id) ON DELETE CASCADE, document TEXT NOT NULL, files TEXT NOT NULL,
    made TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE lore (
    agent TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE, number INTEGER NOT NULL, note INTEGER NOT NULL,
    called_by TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (agent, number)) WITHOUT ROWID;
"""

# Facts are kept for a user, or for one agent alone. Those that hold are on the shelf that `keepers` names; what ended
# is on the shelf of that name with a p, and what was forgotten on the one with an f: so no search finds what it is not
# asked for, and none looks at the others. The text of a fact never changes: one that does is a new fact, the heir of
# the old one, and of the same line. `fact_changes` tells what became of each, and why. What was said before there were
# facts is not read unasked: that may be years, and a model is asked for each bit of it.
FACTS = """
CREATE TABLE keepers (
    shelf TEXT PRIMARY KEY, owner TEXT NOT NULL, agent TEXT NOT NULL DEFAULT '', created TEXT NOT NULL,
    UNIQUE (owner, agent)) WITHOUT ROWID;
CREATE TRIGGER agents_keepers_out AFTER DELETE ON agents BEGIN
    DELETE FROM keepers WHERE agent = old.id; END;
CREATE TABLE facts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, shelf TEXT NOT NULL, line INTEGER NOT NULL, text TEXT NOT NULL,
    kind TEXT NOT NULL, about TEXT NOT NULL, subject TEXT NOT NULL, details TEXT NOT NULL, said TEXT NOT NULL,
    since TEXT, until TEXT, confidence REAL NOT NULL, confirmed INTEGER NOT NULL, renewed TEXT NOT NULL,
    origin TEXT NOT NULL, agent TEXT, message INTEGER, quote TEXT NOT NULL, ended TEXT, how TEXT, heir INTEGER,
    created TEXT NOT NULL);
CREATE INDEX facts_lines ON facts (line);
CREATE INDEX facts_kinds ON facts (shelf, kind, about);
CREATE INDEX facts_messages ON facts (agent, message) WHERE message IS NOT NULL;
CREATE INDEX facts_until ON facts (shelf, until) WHERE until IS NOT NULL;
CREATE TABLE fact_changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, fact INTEGER NOT NULL REFERENCES facts (id) ON DELETE CASCADE,
    what TEXT NOT NULL, why TEXT NOT NULL, origin TEXT NOT NULL, agent TEXT, message INTEGER, details TEXT NOT NULL,
    created TEXT NOT NULL);
CREATE INDEX fact_changes_of ON fact_changes (fact);
CREATE INDEX fact_changes_messages ON fact_changes (agent, message) WHERE message IS NOT NULL;
CREATE TABLE fact_readers (
    agent TEXT PRIMARY KEY REFERENCES agents (id) ON DELETE CASCADE, seq INTEGER NOT NULL, tries INTEGER NOT NULL,
    failed TEXT, changed TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO fact_readers (agent, seq, tries, changed)
    SELECT agent, max(seq), 0, max(created) FROM messages GROUP BY agent;
CREATE TABLE facts_vectors (
    id INTEGER PRIMARY KEY AUTOINCREMENT, item INTEGER NOT NULL UNIQUE REFERENCES facts (id) ON DELETE CASCADE,
    shelf TEXT NOT NULL, model TEXT NOT NULL, vector BLOB NOT NULL);
CREATE INDEX facts_vectors_of ON facts_vectors (shelf, model);
CREATE VIRTUAL TABLE facts_words USING fts5 (
    shelf, text, content = 'facts', content_rowid = 'id', columnsize = 1,
    tokenize = 'porter unicode61 remove_diacritics 2');
CREATE TRIGGER facts_in AFTER INSERT ON facts BEGIN
    INSERT INTO facts_words (rowid, shelf, text) VALUES (new.id, new.shelf, new.text); END;
CREATE TRIGGER facts_moved AFTER UPDATE OF shelf ON facts WHEN new.shelf <> old.shelf BEGIN
    INSERT INTO facts_words (facts_words, rowid, shelf, text) VALUES ('delete', old.id, old.shelf, old.text);
    INSERT INTO facts_words (rowid, shelf, text) VALUES (new.id, new.shelf, new.text);
    INSERT OR REPLACE INTO facts_vectors (item, shelf, model, vector)
        SELECT item, new.shelf, model, vector FROM facts_vectors WHERE item = new.id; END;
CREATE TRIGGER facts_out AFTER DELETE ON facts BEGIN
    INSERT INTO facts_words (facts_words, rowid, shelf, text) VALUES ('delete', old.id, old.shelf, old.text); END;
CREATE TRIGGER keepers_out AFTER DELETE ON keepers BEGIN
    DELETE FROM facts WHERE shelf IN (old.shelf, old.shelf || 'p', old.shelf || 'f'); END;
CREATE TABLE journal (
    id INTEGER PRIMARY KEY AUTOINCREMENT, agent TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    first INTEGER NOT NULL, last INTEGER NOT NULL, entry TEXT NOT NULL, details TEXT NOT NULL, created TEXT NOT NULL,
    undone TEXT);
CREATE INDEX journal_of ON journal (agent, last);
CREATE TABLE tidyings (
    id INTEGER PRIMARY KEY AUTOINCREMENT, agent TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    run INTEGER NOT NULL, kind TEXT NOT NULL, told TEXT NOT NULL, details TEXT NOT NULL, created TEXT NOT NULL,
    undone TEXT);
CREATE INDEX tidyings_of ON tidyings (agent, run);
"""

# Characters are agents; here stands what belongs to all of an owner's. The members of a scene are in JSON, each with
# its agent's id, its name, and the number of the last message in its log before the scene: what was said stands there.
CHARACTERS = """
CREATE TABLE templates (
    owner TEXT NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL, created TEXT NOT NULL,
    PRIMARY KEY (owner, name)) WITHOUT ROWID;
CREATE TABLE active_characters (
    owner TEXT PRIMARY KEY, agent TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE) WITHOUT ROWID;
CREATE INDEX active_characters_of ON active_characters (agent);
CREATE TABLE scenes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, topic TEXT NOT NULL, members TEXT NOT NULL,
    holder TEXT, lease_until INTEGER, started TEXT NOT NULL, ended TEXT);
CREATE INDEX scenes_open ON scenes (owner) WHERE ended IS NULL;
"""

# Who may ask a server, and what was asked of it. A run is a turn that somebody asked for, stored before anything else
# is done about it; `told` is what is to be said. Of a key only the digest is kept: its secret is seen once. A block
# of core memory that several agents share has the same id in all of them, and a row in `shared_blocks`, which also is
# there while no agent has it.
SERVER = """
CREATE TABLE keys (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, scopes TEXT NOT NULL,
    limits TEXT NOT NULL, created TEXT NOT NULL, used TEXT, revoked TEXT, UNIQUE (owner, name)) WITHOUT ROWID;
CREATE TABLE runs (
    id TEXT PRIMARY KEY, agent TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE, key TEXT NOT NULL, otid TEXT,
    work TEXT NOT NULL, told TEXT NOT NULL, state TEXT NOT NULL, why TEXT NOT NULL DEFAULT '', turn INTEGER,
    holder TEXT NOT NULL, created TEXT NOT NULL, ended TEXT, UNIQUE (agent, otid)) WITHOUT ROWID;
CREATE INDEX runs_of ON runs (agent, created);
CREATE INDEX runs_open ON runs (created) WHERE state IN ('queued', 'running');
CREATE INDEX runs_keys ON runs (key, created);
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT, created TEXT NOT NULL, owner TEXT NOT NULL, key TEXT NOT NULL,
    address TEXT NOT NULL, what TEXT NOT NULL, target TEXT NOT NULL, outcome TEXT NOT NULL);
CREATE INDEX audit_of ON audit (owner, id);

ALTER TABLE blocks ADD COLUMN id TEXT NOT NULL DEFAULT '';
UPDATE blocks SET id = lower(hex(randomblob(16)));
CREATE INDEX blocks_ids ON blocks (id);
CREATE TABLE shared_blocks (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, label TEXT NOT NULL, value TEXT NOT NULL, size_limit INTEGER NOT NULL,
    description TEXT NOT NULL, read_only INTEGER NOT NULL, about TEXT NOT NULL, created TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX shared_blocks_of ON shared_blocks (owner, created);
"""

# How far conversations are read that were brought in, each by itself; an agent's own is at no place.
READERS = """
CREATE TABLE readers (
    agent TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE, place TEXT NOT NULL DEFAULT '', seq INTEGER NOT NULL,
    tries INTEGER NOT NULL, failed TEXT, changed TEXT NOT NULL, PRIMARY KEY (agent, place)) WITHOUT ROWID;
INSERT INTO readers (agent, seq, tries, failed, changed) SELECT agent, seq, tries, failed, changed FROM fact_readers;
DROP TABLE fact_readers;
ALTER TABLE readers RENAME TO fact_readers;
"""

# What a model thought by itself before an answer is kept beside it; and the messages of a turn are found at once.
REASONING = """
ALTER TABLE messages ADD COLUMN reasoning TEXT NOT NULL DEFAULT '';
CREATE INDEX messages_turn ON messages (agent, turn);
"""

MIGRATIONS: tuple[str, ...] = (FIRST, SOURCES, CARDS, FACTS + CHARACTERS, SERVER, READERS + REASONING)
VERSION = len(MIGRATIONS)


def statements(script: str) -> list[str]:
    """The single statements of a step; a trigger is one, up to its END."""
    found: list[str] = []
    current = ""
    for line in script.strip().splitlines():
        current += line + "\n"
        done = line.rstrip().endswith("END;") if "CREATE TRIGGER" in current else line.rstrip().endswith(";")
        if done:
            found.append(current.strip())
            current = ""
    return found
