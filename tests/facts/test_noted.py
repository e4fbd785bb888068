"""What is kept of a model's notes: whole statements, each once, of whom they were said, and nothing of the moment."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from memagent.facts import Draft, Fact, Said
from memagent.facts.extract import NAME, ModelExtractor
from memagent.llm.scripted import ScriptedLLM

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def taken(said: str, noted: Sequence[str], known: Sequence[str] = (), ended: Sequence[int] = ()) -> Sequence[Draft]:
    """The drafts taken from a message, where the model notes this."""
    answer = json.dumps({"new": noted, "ended": ended} if known else {"new": noted})
    llm = ScriptedLLM([{"when": {"kind": "facts"}, "calls": [{"call": NAME, "arguments": answer}]}])
    facts = [Fact(text, NOW, id=number) for number, text in enumerate(known, 1)]
    return ModelExtractor(llm).extract([Said("user", said, NOW, 7)], facts)


def texts(said: str, *noted: str) -> list[str]:
    """What is kept, as it is kept."""
    return [draft.text for draft in taken(said, noted)]


@pytest.mark.parametrize(
    ("said", "noted"),
    [
        ("I'm starving and my feet hurt.", "Starving"),
        ("I'm starving and my feet hurt.", "Feet hurt"),
        ("I'm freezing right now, though.", "Freezing right now"),
        ("I've got to run, the bus comes in two minutes.", "Bus comes in two minutes"),
        ("We just had lunch.", "Has lunch"),
        ("I spent the whole day at the shop.", "Spent the day at the shop"),
        ("I'll cook for everybody.", "Cook for everybody"),
        ("I'm going to try it right away.", "Will try it right away"),
        ("The bins go out on Wednesdays. I forgot them again, argh.", "Forgot them again, argh"),
    ],
)
def test_what_is_of_the_moment_is_not_kept(said: str, noted: str) -> None:
    assert texts(said, noted) == []


@pytest.mark.parametrize(
    ("said", "noted", "kept"),
    [
        ("My back hurts every morning.", "Back hurts every morning", "The user's back hurts every morning"),
        ("I have lunch at noon.", "Has lunch at noon", "The user has lunch at noon"),
        ("I'm good at chess.", "Good at chess", "The user is good at chess"),
        ("I'm tired of my job.", "Is tired of my job", "The user is tired of their job"),
        ("I'll become a father in May.", "Become a father in May", "The user becomes a father in May 2026"),
    ],
)
def test_what_lasts_is_kept_though_it_sounds_alike(said: str, noted: str, kept: str) -> None:
    assert texts(said, noted) == [kept]


@pytest.mark.parametrize(
    ("said", "noted", "kept"),
    [
        ("I'm on a low-carb diet.", "On a low-carb diet", "The user is on a low-carb diet"),
        ("We're a family of five.", "Family of five", "The user is a family of five"),
        ("I'm the treasurer of our club.", "Treasurer of our club", "The user is the treasurer of their club"),
        (
            "I have subscriptions to two papers.",
            "Subscriptions to two papers",
            "The user has subscriptions to two papers",
        ),
        ("I've got three budgies.", "Have three budgies", "The user has three budgies"),
        ("I repair bicycles for a living.", "Repaired bicycles for a living", "The user repairs bicycles for a living"),
        (
            "Oh, and my new address is Elm Street 9.",
            "New address is Elm Street 9",
            "The user's address is Elm Street 9",
        ),
        (
            "Our team has its tickets in Linear.",
            "Our team has its tickets in Linear",
            "The user's team has its tickets in Linear",
        ),
        ("I was raised in Mexico.", "Raised in Mexico", "The user was raised in Mexico"),
        ("I get to see my grandchildren.", "See their grandchildren", "The user sees their grandchildren"),
        ("I just watch Friends.", "Just watches Friends", "The user watches Friends"),
        ("My left ear is deaf.", "Left ear is deaf", "The user's left ear is deaf"),
        ("My shoe size is 43, by the way.", "Shoe size is 43, by the way", "The user's shoe size is 43"),
        ("I'm 1.92 m tall, so planes are torture.", "Is 1.92 m tall, so planes are torture", "The user is 1.92 m tall"),
        ("My dad's team is Ajax, mine is PSV.", "Dad's team is Ajax, mine is PSV", "The user's dad's team is Ajax"),
    ],
)
def test_a_statement_is_kept_whole_and_alone(said: str, noted: str, kept: str) -> None:
    assert texts(said, noted) == [kept]


def test_what_is_said_of_somebody_is_not_kept_of_the_user() -> None:
    said = "Yusuf is our caretaker. He is so patient."
    kept = taken(said, ["Is our caretaker", "Patient"])
    assert [(draft.text, draft.about) for draft in kept] == [
        ("Yusuf is the user's caretaker", "Yusuf"),
        ("Yusuf is so patient", "Yusuf"),
    ]


@pytest.mark.parametrize(
    ("said", "noted"),
    [
        ("Unless you see that as a good thing.", "Sees that as a good thing"),
        ("They make such a noise!", "Make such a noise"),
        ("You can take the kids to the zoo.", "Takes the kids to the zoo"),
        ("Good job doing something for yourself!", "Good job doing something for yourself"),
        ("Never heard of him.", "Never heard of him"),
        ("Most cities have a good zoo.", "Has a good zoo"),
        ("Ute and Eva came. She is a dentist.", "Is a dentist"),  # who?
        ("I'm tall, so economy class is torture.", "Economy class is torture"),
    ],
)
def test_what_is_said_of_nobody_who_is_known_is_left_out(said: str, noted: str) -> None:
    assert texts(said, noted) == []


def test_who_somebody_is_to_the_user_is_told_of_nobody_else() -> None:
    said = "My manager Rolf and his wife Ute moved in."
    assert texts(said, "Manager Ute moved in") == ["The user's manager is called Rolf"]


def test_what_a_relative_has_is_not_kept_of_the_user() -> None:
    kept = taken("I'm an only child, but my husband has four sisters.", ["Is an only child", "Has four sisters"])
    assert [draft.text for draft in kept] == ["The user is an only child", "The user's husband has four sisters"]
    kept = taken("I like burgers! My mum sells good ones at her shop.", ["Sells burgers at her shop"])
    assert [(draft.text, draft.about) for draft in kept] == [("The user's mum sells burgers at her shop", "mum")]


def test_who_is_named_behind_is_told_and_a_name_is_nobody_elses() -> None:
    kept = ["The user's neighbour is called Eva"]
    assert texts("Look who rang: Eva, my old neighbour from Bern!", "Is called Eva from Bern") == kept
    assert texts("Sorry, my niece is eight.", "Niece is eight") == ["The user's niece is eight"]
    assert texts("Mr Ode taught me, and now he's my boss.", "Is my boss") == ["Mr Ode is the user's boss"]


def test_friends_are_told_of_together() -> None:
    [draft] = taken(
        "Carla and I have been best friends since school.", ["Carla and I have been best friends since school"]
    )
    assert (draft.text, draft.about) == ("Carla and the user have been best friends since school", "Carla")


def test_a_list_is_kept_once() -> None:
    said = "I play the violin, the cello and the harp."
    assert texts(said, "Plays the violin", "Plays the cello", "Plays the harp") == [
        "The user plays the violin",
        "The user plays the cello",
        "The user plays the harp",
    ]
    assert texts(said, "Plays the violin") == ["The user plays the violin, the cello and the harp"]


def test_nothing_is_kept_that_another_note_says_with_more_words() -> None:
    said = "I have a cat called Miso."
    assert texts(said, "Has a cat", "Has a cat called Miso") == ["The user has a cat called Miso"]


@pytest.mark.parametrize(
    ("known", "said", "noted"),
    [
        ("The user is reading Moby Dick", "Finished Moby Dick, I'm on to Dracula now.", "Finished Moby Dick"),
        ("The user is the treasurer of the club", "Good news, I'm not the treasurer any more!", "Not the treasurer"),
        ("The user's flatmate is Jo", "Jo is not my flatmate any more.", "Jo is not the user's flatmate"),
    ],
)
def test_what_only_denies_what_is_known_ends_it_and_is_nothing_new(known: str, said: str, noted: str) -> None:
    [draft] = taken(said, [noted], [known])
    assert not draft.holds and draft.replaces == [known]


def test_of_a_list_only_what_was_named_ends() -> None:
    known = "The user has subscriptions to the Guardian and to the Economist"
    [draft] = taken("I cancelled the Economist.", [], [known], ended=[1])
    assert (draft.text, draft.replaces) == ("The user has subscriptions to the Guardian", [known])


@pytest.mark.parametrize(
    "said",
    [
        "Even a potato would make a better president than him.",
        "One day I'll win the lottery and never work again.",
        "Thinking about it, I could be a pirate.",
    ],
)
def test_no_model_is_asked_about_what_might_be(said: str) -> None:
    extractor = ModelExtractor(ScriptedLLM([]))
    assert extractor.extract([Said("user", said, NOW, 7)], []) == [] and not extractor.asked
