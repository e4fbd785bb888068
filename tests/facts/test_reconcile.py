"""What a new statement means for what is known, by words and meaning alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from memagent.facts import Draft, Fact
from memagent.facts.finding import Match
from memagent.facts.reconcile import Verdict, decide

NOW = datetime(2026, 5, 31, 12, tzinfo=UTC)


def known(*texts: str, about: str = "user") -> list[Match]:
    return [Match(Fact(text, NOW, about=about, id=number), "") for number, text in enumerate(texts, 1)]


def told(text: str, *facts: str, holds: bool = True, since: str | None = None) -> Verdict:
    return decide(Draft(text, holds, since=since), known(*facts))


@pytest.mark.parametrize(
    ("new", "old"),
    [
        ("The user lives in Lisbon", "The user lives in Porto"),
        ("The user moved to Lisbon", "The user lives in Porto"),
        ("The user works at Canonical", "The user works at Google"),
        ("The user works as a nurse at the clinic", "The user works as a teacher at the college"),
        ("The user works as a nurse", "The user works as a teacher"),
        ("The user is a nurse now", "The user is a teacher"),
        ("The user is 35 years old", "The user is 34 years old"),
        ("The user's birthday is on 4 May", "The user's birthday is on 3 May"),
        ("The user is married to Eva", "The user is married to Ana"),
        ("The user is divorced", "The user is married"),
        ("Is married to Paula", "Is engaged to Paula"),
        ("The user's favourite color is green", "The user's favorite color is blue"),
        ("The user's name is Ada", "The user's name is Adele"),
        ("The user's phone number is 555-1234", "The user's phone number is 555-9876"),
        ("The user eats meat", "The user is vegetarian"),
        ("The user is a vegetarian", "The user eats meat"),
        ("The user hates coffee", "The user likes coffee"),
        ("The user does not like coffee", "The user likes coffee"),
        ("The user has three children", "The user has two children"),
        ("The user runs 10 km every morning", "The user runs 5 km every morning"),
        ("The user doesn't have a car", "The user has a car"),
        ("The user's sister lives in Faro", "The user's sister lives in Porto"),
        ("The user's meeting with Anna is on Tuesday", "The user's meeting with Anna is on Monday"),
        ("The user now takes the train to work", "The user takes the bus to work"),
        ("The user only drinks tea", "The user drinks coffee"),
        ("Lives in Lisbon", "Lives in Porto"),
        ("Lives in Lisbon", "The user lives in Porto"),
        ("Birthday is on 14 May", "Birthday is on 4 May"),
        ("Boss is Ms Okafor", "Boss is Mr Keller"),
        ("Has four children", "Has three children"),
        ("Favourite colour is green", "Favourite colour is blue"),
        ("I live in Lisbon", "The user lives in Porto"),
        ("I am 35 years old", "Is 34 years old"),
    ],
)
def test_what_can_not_hold_beside_it_is_contradicted(new: str, old: str) -> None:
    verdict = told(new, "The user likes chess", old, "The user's brother is called Tom")
    assert (verdict.what, [fact.text for fact in verdict.facts]) == ("contradicted", [old])


@pytest.mark.parametrize(
    ("new", "old"),
    [
        ("The user likes coffee", "The user likes tea"),
        ("The user uses Magnet", "The user uses Shram"),
        ("The user uses Magnet as a productivity tool", "The user uses Shram as a productivity tool"),
        ("The user has a cat", "The user has a dog"),
        ("The user has a cat named Tom", "The user has a dog named Rex"),
        ("The user's friend is called Bob", "The user's friend is called Tim"),
        ("The user speaks French", "The user speaks English"),
        ("The user plays the violin", "The user plays the piano"),
        ("The user's sister lives in Faro", "The user lives in Porto"),
        ("The user's sister lives in Faro", "The user's brother lives in Porto"),
        ("The user visited Rome in 2021", "The user visited Rome in 2019"),
        ("The user works at Canonical", "The user lives in Porto"),
        ("The user's sister is a nurse", "The user's sister is kind"),
        ("The user's favourite color is green", "The user's favourite food is rice"),
        ("The user is allergic to peanuts", "The user is allergic to cats"),
        ("The user wants to learn to sail", "The user wants to learn Italian"),
        ("The user works at Canonical", "The user works as a teacher"),
        ("The user likes green apples", "The user hates red apples"),
        ("Likes coffee", "The user likes tea"),
        ("Speaks French", "Speaks English"),
        ("Best friend is Tim", "Boss is Bob"),
        ("Hobby is chess", "Hobby is golf"),
    ],
)
def test_what_can_hold_beside_it_is_left_alone(new: str, old: str) -> None:
    assert told(new, old).what == "learned"


@pytest.mark.parametrize(
    ("new", "old"),
    [
        ("The user likes tea.", "the user likes Tea"),
        ("Likes tea", "The user likes tea"),
        ("The user has a dog", "The user has a dog named Rex"),
        ("The user lives in Porto", "The user lives in Porto, Portugal"),
        ("The user's sister is called Anna", "The user's sister is Anna"),
    ],
)
def test_the_same_or_less_confirms(new: str, old: str) -> None:
    verdict = told(new, "The user likes chess", old)
    assert (verdict.what, [fact.text for fact in verdict.facts]) == ("confirmed", [old])


@pytest.mark.parametrize(
    ("new", "old"),
    [
        ("The user has a dog named Rex", "The user has a dog"),
        ("The user lives in Porto, Portugal", "The user lives in Portugal"),
        ("The user flies to Rome on Tuesday", "The user flies to Rome"),
    ],
)
def test_what_says_more_refines(new: str, old: str) -> None:
    verdict = told(new, "The user likes chess", old)
    assert (verdict.what, [fact.text for fact in verdict.facts]) == ("refined", [old])


@pytest.mark.parametrize(
    ("ending", "old"),
    [
        ("The user uses Magnet", "The user uses Magnet as a productivity tool"),
        ("The user does not use Magnet anymore", "The user uses Magnet as a productivity tool"),
        ("The user no longer uses Magnet", "The user uses Magnet"),
        ("The user stopped smoking", "The user smokes"),
        ("The user quit smoking", "The user smokes cigarettes"),
        ("The user no longer works at Google", "The user works at Google as an engineer"),
        ("The user no longer lives there", "The user lives in Porto"),
        ("The user sold the red car", "The user has a red car"),
        ("The user gave up the piano", "The user plays the piano"),
        ("The user is no longer vegetarian", "The user is a vegetarian"),
        ("The user used to play chess", "The user plays chess"),
        ("Uses Magnet", "Uses Magnet as a productivity tool"),
        ("Stopped smoking", "Smokes a pack a day"),
        ("No longer has a gym membership", "Has a gym membership at FitHub"),
    ],
)
def test_an_ending_ends_exactly_what_it_names(ending: str, old: str) -> None:
    others = ["The user uses Shram as a productivity tool", "The user has a blue bicycle", "The user studies Italian"]
    verdict = told(ending, *others[:2], old, others[2], holds=False)
    assert (verdict.what, [fact.text for fact in verdict.facts], verdict.left) == ("ended", [old], "")


@pytest.mark.parametrize(
    ("old", "left"),
    [
        ("The user uses Shram and Magnet as productivity tools", "The user uses Shram as productivity tools"),
        ("The user uses Magnet, Shram and Vim", "The user uses Shram and Vim"),
        ("The user likes green tea and Magnet", "The user likes green tea"),
    ],
)
def test_of_several_things_only_one_is_over(old: str, left: str) -> None:
    verdict = told("The user does not use Magnet anymore", old, holds=False)
    assert (verdict.what, [fact.text for fact in verdict.facts], verdict.left) == ("ended", [old], left)


def test_an_ending_of_what_nobody_knows_ends_nothing() -> None:
    verdict = told("The user does not use Magnet anymore", "The user uses Shram", "The user likes tea", holds=False)
    assert (verdict.what, list(verdict.facts)) == ("ended", [])


def test_what_the_extractor_says_is_replaced_is_replaced() -> None:
    draft = Draft("The user prefers mornings", replaces=["The user is a night owl"])
    verdict = decide(draft, known("The user likes tea", "The user is a night owl."))
    assert (verdict.what, [fact.id for fact in verdict.facts], verdict.doubtful) == ("contradicted", [2], False)


@pytest.mark.parametrize(
    ("quote", "new", "old"),
    [
        ("Sorry, my cat is called Mimi, not Momo.", "Has a cat called Mimi", "Has a cat called Momo"),
        ("I replaced Magnet with Rectangle.", "Uses Rectangle as a tool", "Uses Magnet as a tool"),
        ("I switched my browser to Vivaldi.", "Uses Vivaldi as browser", "Uses Firefox as browser"),
    ],
)
def test_the_words_that_it_was_taken_from_tell_what_is_over(quote: str, new: str, old: str) -> None:
    others = ("Uses Shram as a productivity helper", "Has a cat called Tim", "Uses Vim as an editor")
    verdict = decide(Draft(new, quote=quote), known(*others, old))
    assert (verdict.what, [fact.text for fact in verdict.facts]) == ("contradicted", [old])
    assert decide(Draft(new, quote=f"{new}, too."), known(*others, old)).what == "learned"


def test_what_is_replaced_by_a_vaguer_word_is_replaced_all_the_same() -> None:
    draft = Draft("The user has a dog", replaces=["The user has a dog named Rex"])
    verdict = decide(draft, known("The user has a dog named Rex"))
    assert (verdict.what, [fact.id for fact in verdict.facts]) == ("contradicted", [1])


def test_facts_about_somebody_else_are_not_touched() -> None:
    for holds in (True, False):
        verdict = decide(Draft("The user lives in Lisbon", holds), known("Anna lives in Lisbon", about="Anna"))
        assert not verdict.facts


def test_the_same_of_two_days_are_two_facts() -> None:
    fact = Fact("The user flies to Rome", NOW, since="2026-06-01", id=1)
    verdict = decide(Draft("The user flies to Rome", since="2026-07-01"), [Match(fact, "")])
    assert verdict.what == "learned"


def test_people_with_names() -> None:
    facts = known(
        "Nora Fishel is fluent in Spanish.",
        "Nora Fishel and Joren Sullivar collaborated on a documentary about coral reefs.",
        "Joren Sullivar enjoys hiking.",
        about="them",
    )
    new = "Nora Fishel and Joren Sullivar collaborated on a documentary about old trains."
    verdict = decide(Draft(new, about="them"), facts)
    assert (verdict.what, [fact.id for fact in verdict.facts]) == ("contradicted", [2])
    assert decide(Draft("Joren Sullivar plays chess.", about="them"), facts).what == "learned"
