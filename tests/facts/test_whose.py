"""The word that a small model puts behind what it notes: whose it is, or that it is not meant; and how sure it was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import pytest

from memagent.facts import Said
from memagent.facts.extract import NAME, ModelExtractor, Prompt
from memagent.facts.wording import in_short
from memagent.llm import Answer, Heard, Request, Written
from memagent.llm.servers import Completion
from memagent.llm.servers.llamacpp import LlamaCpp
from memagent.messages import ToolCall

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
CHANCES = {"me": 0.9, "other": 0.05, "j": 0.03, "now": 0.02}


class Sure:
    """Notes these statements, each with the chances of the word behind it; it tells them if it is asked for them."""

    model, window = "small", 4096

    def __init__(self, noted: Sequence[tuple[str, Mapping[str, float]]], tells: bool = True) -> None:
        self.noted, self.tells = noted, tells

    def ask(self, request: Request) -> Iterator[Heard]:
        form = json.dumps({"new": [text for text, _ in self.noted]})
        yield Answer("", calls=(ToolCall("", NAME, form),), written=self._written() if request.weighed else ())

    def _written(self) -> list[Written]:
        pieces = [Written('{"new": [', {})] if self.tells else []
        for text, chances in self.noted:
            head, _, word = text.removesuffix(")").rpartition("(")
            pieces += [Written(f'"{head}(', {}), Written(word, chances), Written(')"', {})]
        return pieces if self.tells else pieces[:-1]


def taken(said: str, *noted: tuple[str, Mapping[str, float]], tells: bool = True) -> list[str]:
    """What is taken of it, without its subject."""
    found = ModelExtractor(Sure(noted, tells), Prompt("", [], terse=True)).extract([Said("user", said, NOW, 1)], [])
    return [in_short(draft.text) for draft in found]


def test_what_is_not_meant_or_passes_is_left_out_and_no_word_is_kept() -> None:
    said = "I work in Bath, I could eat a horse, I feel great."
    noted = [("Works in Bath (me)", {}), ("Could eat a horse (joke)", {}), ("Feels great (now)", {})]
    assert taken(said, *noted, tells=False) == ["Works in Bath"]


@pytest.mark.parametrize(
    ("word", "chances", "kept"),
    [
        ("me", CHANCES, True),
        ("me", {"me": 0.6, "j": 0.4}, False),
        ("me", {"me": 0.4, "n": 0.6}, False),
        ("me", {"me": 0.42, "other": 0.4, "now": 0.18}, False),
        ("other", {"me": 0.2, "other": 0.8}, False),
    ],
)
def test_a_statement_that_the_model_was_not_sure_of_is_left_out(
    word: str, chances: Mapping[str, float], kept: bool
) -> None:
    noted = (f"Failed the test ({word})", chances)
    assert taken("I laughed at the test, it was a pity that so many failed.", noted) == (
        ["Failed the test"] if kept else []
    )


def test_words_of_others_do_not_make_it_theirs_where_the_model_is_certain() -> None:
    said, noted = "They've raised the rent again, it's 910 euros.", "Pays 910 euros rent (me)"
    assert taken(said, (noted, {"me": 0.97, "other": 0.03})) == ["Pays 910 euros rent"]
    assert taken(said, (noted, {"me": 0.8, "other": 0.2})) == taken(said, (noted, {}), tells=False) == []


def test_of_a_bare_thing_it_is_kept_what_its_sentence_says() -> None:
    said = "The twins, Juno and Pia, are my brother's."
    found = taken(said, ("Twin Juno (me)", CHANCES), ("Twin Pia (me)", CHANCES))
    assert found == ["The twins, Juno and Pia, are their brother's"]


def test_what_somebody_else_does_is_told_of_them() -> None:
    said = "The guy upstairs practises the trumpet."
    noted = ("Practises the trumpet (other)", {"me": 0.1, "other": 0.9})
    [draft] = ModelExtractor(Sure([noted]), Prompt("", [], terse=True)).extract([Said("user", said, NOW, 1)], [])
    assert (draft.text, draft.about) == ("The guy upstairs practises the trumpet", "guy")


def test_llama_cpp_tells_what_else_might_have_been_written() -> None:
    asked = Completion("Once", "small", 4096, weighed=True)
    assert LlamaCpp().asked(asked)[1]["n_probs"] > 3 and "n_probs" not in LlamaCpp().asked(Completion("", "", 1))[1]
    likely = [{"token": "me", "logprob": 0.0}, {"token": "now", "logprob": -50.0}, {"token": 7}]
    event = {"content": "me", "completion_probabilities": [{"token": "me", "top_logprobs": likely}]}
    part = LlamaCpp().heard(event)
    assert part and [piece.text for piece in part.written] == ["me"]
    assert part.written[0].chances["me"] == 1.0 and part.written[0].chances["now"] < 0.001
