"""Other chat programs' exports: who said what and when, along the branch that was shown last."""

import json
import tracemalloc
import zipfile
from datetime import UTC, datetime

import pytest

from memagent.errors import NotFound
from memagent.sources import Said, Unreadable
from memagent.sources.conversation import Conversations

NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)


def node(key, parent, role="user", text="", children=(), **more):
    content = more.pop("content", {"content_type": "text", "parts": [text]})
    message = {"id": key, "author": {"role": role}, "content": content, "create_time": NOON.timestamp(), **more}
    return key, {"id": key, "parent": parent, "children": list(children), "message": message}


CHATGPT = {
    "title": "About  cats",
    "conversation_id": "c-1",
    "update_time": 1704200000.5,
    "current_node": "f",
    "mapping": dict(
        [
            ("root", {"id": "root", "parent": None, "children": ["s"], "message": None}),
            node("s", "root", "system", "Be nice.", ["a"]),
            node("a", "s", "user", "Hello", ["b", "x"]),
            node("x", "a", "assistant", "An answer that was thrown away"),
            node("b", "a", "assistant", "", ["c"], recipient="python", content={"content_type": "code", "text": "1+1"}),
            node("c", "b", "tool", "2", ["d"]),
            node("d", "c", "assistant", "Hi!", ["e"]),
            node(
                "e", "d", "user", children=["f"],
                content={"content_type": "multimodal_text", "parts": [{"content_type": "image_asset_pointer"}, "Look"]},
            ),
            node("f", "e", "assistant", "A cat \ud800."),
        ]
    ),
}  # fmt: skip
CLAUDE = {
    "uuid": "k-1",
    "name": "Plans",
    "updated_at": "2024-01-03T10:00:00Z",
    "chat_messages": [
        {"uuid": "1", "sender": "human", "text": "old", "content": [{"type": "text", "text": "Plan my day"}],
         "created_at": "2024-01-02T12:00:00.000000Z", "attachments": [{"file_name": "week.pdf"}], "files": []},
        {"uuid": "2", "sender": "assistant", "text": "Sleep.", "content": [{"type": "thinking", "thinking": "hm"}],
         "created_at": "2024-01-02T12:00:00Z"},
    ],
}  # fmt: skip


def read(path, **options):
    return [talk.read() for talk in Conversations(path, **options).conversations()]


def told(conversation):
    return [(said.role, said.text) for said in conversation.said]


@pytest.mark.parametrize("packed", [False, True])
def test_chatgpt(tmp_path, packed):
    text = json.dumps([CHATGPT])
    path = tmp_path / ("export.zip" if packed else "conversations.json")
    if packed:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("conversations.json", text)
            archive.writestr("user.json", "{}")
    else:
        path.write_text(text)
    (talk,) = Conversations(path).conversations()
    assert (talk.place, talk.stamp) == ("c-1", "1704200000.5")
    conversation = talk.read()
    assert (conversation.id, conversation.title) == ("c-1", "About cats")
    assert told(conversation) == [
        ("user", "Hello"),
        ("assistant", "Hi!"),
        ("user", "[image]\n\nLook"),
        ("assistant", "A cat \ufffd."),
    ]
    assert conversation.said[0] == Said("user", "Hello", when=NOON, place="a")


def test_chatgpt_without_a_current_node_shows_the_newest_branch(tmp_path):
    mapping = dict(
        [
            node("a", None, text="Hi", children=["b", "c"]),
            node("b", "a", "assistant", "newer"),
            node("c", "a", "assistant", "older"),
        ]
    )
    mapping["c"]["message"]["create_time"] -= 10
    (tmp_path / "conversations.json").write_text(json.dumps([{"mapping": mapping}]))
    (conversation,) = read(tmp_path / "conversations.json")
    assert told(conversation) == [("user", "Hi"), ("assistant", "newer")]


def test_a_circle_in_a_tree_ends(tmp_path):
    mapping = dict([node("a", "b", text="Hi", children=["b"]), node("b", "a", "assistant", "Ho", ["a"])])
    (tmp_path / "conversations.json").write_text(json.dumps([{"mapping": mapping, "current_node": "b"}]))
    assert told(read(tmp_path)[0]) == [("user", "Hi"), ("assistant", "Ho")]


def test_claude(tmp_path):
    (tmp_path / "conversations.json").write_text(json.dumps([CLAUDE]))
    (conversation,) = read(tmp_path)
    assert (conversation.id, conversation.title) == ("k-1", "Plans")
    assert told(conversation) == [("user", "Plan my day\n\n[attached: week.pdf]"), ("assistant", "Sleep.")]
    assert conversation.said[1].when == NOON


def test_claude_with_branches(tmp_path):
    texts = [("1", "0", "human", "Hi"), ("2", "1", "assistant", "gone"), ("3", "1", "assistant", "kept")]
    messages = [{"uuid": u, "parent_message_uuid": p, "sender": s, "text": t} for u, p, s, t in texts]
    (tmp_path / "conversations.json").write_text(json.dumps([{"uuid": "k", "name": "", "chat_messages": messages}]))
    assert told(read(tmp_path)[0]) == [("user", "Hi"), ("assistant", "kept")]


def test_sillytavern(tmp_path):
    lines = [
        {"user_name": "Ann", "character_name": "Seraphina", "create_date": "2024-1-2@12h00m00s", "chat_metadata": {}},
        {
            "name": "Seraphina",
            "is_user": False,
            "is_system": False,
            "send_date": "June 25, 2023 4:12pm",
            "mes": "Hello.",
        },
        {"name": "Ann", "is_user": True, "send_date": 1704196800000, "mes": "Hi."},
        {"name": "x", "is_user": False, "is_system": True, "mes": "a note"},
    ]
    (tmp_path / "Seraphina - 2024.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (conversation,) = read(tmp_path)
    assert conversation.title == "Seraphina"
    first, second = conversation.said
    assert (first.role, first.name, first.text) == ("assistant", "Seraphina", "Hello.")
    assert first.when and first.when.replace(tzinfo=None) == datetime(2023, 6, 25, 16, 12)
    assert (second.role, second.name, second.when) == ("user", "Ann", NOON)


@pytest.mark.parametrize(
    "lines",
    [
        [{"role": "user", "content": "Hi", "time": "2024-01-02T12:00:00Z"}, {"role": "assistant", "content": "Ho"}],
        [{"sender": "human", "text": "Hi", "timestamp": 1704196800}, {"sender": "AI", "text": "Ho"}],
        [{"from": "human", "value": "Hi", "created_at": "2024-01-02T12:00:00Z"}, {"from": "gpt", "value": "Ho"}],
        [{"role": "system", "content": "no"}, {"role": "user", "content": [{"text": "Hi"}], "ts": "1704196800"},
         {"author": {"role": "bot"}, "message": "Ho"}],
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["lines", "list", "object", "object in a line"])
def test_plain_messages(tmp_path, lines, form):
    text = {
        "lines": "\n".join(map(json.dumps, lines)),
        "list": json.dumps(lines, indent=1),
        "object": json.dumps({"id": "x", "messages": lines}),
        "object in a line": json.dumps({"conversations": lines}) + "\n",
    }[form]
    path = tmp_path / ("chat.jsonl" if "line" in form else "chat.json")
    path.write_text(text)
    (conversation,) = read(path)
    assert told(conversation) == [("user", "Hi"), ("assistant", "Ho")]
    assert conversation.said[0].when == NOON


def test_lines_of_several_conversations(tmp_path):
    lines = [{"role": "user", "content": f"m{n}", "conversation_id": f"c{n % 2}"} for n in range(4)]
    (tmp_path / "chat.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = read(tmp_path)
    assert [(each.id, [said.text for said in each.said]) for each in found] == [
        ("c0", ["m0", "m2"]),
        ("c1", ["m1", "m3"]),
    ]


def test_names_instead_of_roles(tmp_path):
    lines = [{"speaker": "Ann", "text": "Hi"}, {"speaker": "Bob", "text": "Ho"}]
    (tmp_path / "chat.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(Unreadable, match="'Ann' is the user"):
        read(tmp_path)
    (conversation,) = read(tmp_path, user="ann")
    assert [(said.role, said.name) for said in conversation.said] == [("user", "Ann"), ("assistant", "Bob")]


def test_a_broken_conversation_does_not_stop_the_others(tmp_path):
    (tmp_path / "conversations.json").write_text(json.dumps([CHATGPT, {"mapping": {}}, 7, CLAUDE])[:-1])
    talks = list(Conversations(tmp_path).conversations())
    assert [talk.place for talk in talks] == [
        "c-1",
        "conversations.json, no. 2",
        "conversations.json, no. 3",
        "k-1",
        "conversations.json",
    ]
    why = []
    for talk in talks:
        try:
            talk.read()
        except Unreadable as error:
            why.append(error.message)
    assert why == ["has no messages", "is no conversation of a kind that is known", "is broken JSON: it ends too early"]


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.json", b"[" * 100_000, "nested too deeply"),
        ("a.json", b"", "broken JSON"),
        ("a.json", b"[]", "no conversations"),
        ("a.jsonl", b"no json\n" * 3, "no messages"),
        ("a.zip", b"PK", "broken"),
        ("a.json", b"\x00\xff\xfe" * 9, "broken JSON"),
    ],
)
def test_hostile_files_are_told(tmp_path, name, data, why):
    (tmp_path / name).write_bytes(data)
    (talk,) = Conversations(tmp_path).conversations()
    with pytest.raises(Unreadable, match=why):
        talk.read()


def test_a_zip_that_unpacks_to_too_much(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("conversations.json", b" " * 60_000_000)
    (talk,) = Conversations(tmp_path).conversations()
    with pytest.raises(Unreadable, match="far more"):
        talk.read()


def test_a_zip_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("notes.txt", "x")
    (talk,) = Conversations(tmp_path).conversations()
    with pytest.raises(Unreadable, match=r"no conversations\.json"):
        talk.read()


def test_a_large_export_is_never_in_memory_as_a_whole(tmp_path):
    messages = [{"uuid": str(n), "sender": "human", "text": "word " * 200} for n in range(20)]
    with (tmp_path / "conversations.json").open("w") as file:
        for n in range(400):
            file.write("[" if not n else ",")
            json.dump({"uuid": str(n), "chat_messages": messages}, file)
        file.write("]")
    size = (tmp_path / "conversations.json").stat().st_size
    tracemalloc.start()
    count = sum(len(talk.read().said) for talk in Conversations(tmp_path).conversations())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 8000 and size > 8_000_000 > 8 * peak


def test_nothing_there_is_told(tmp_path):
    with pytest.raises(NotFound):
        Conversations(tmp_path / "none")
