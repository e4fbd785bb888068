"""The reader of grammars that other tests trust, against texts judged by hand."""

import random

import pytest
from gbnf_reader import Gbnf, GrammarError

SUMS = """
# sums like 1+(23+4)
root ::= term ("+" term)*
term ::= [0-9]{1,3} |   # a number
  "(" root ")"
"""


@pytest.mark.parametrize(
    ("rule", "let_through", "refused"),
    [
        ('"a"', ["a"], ["", "b", "aa"]),
        ('"a" "b"?', ["a", "ab"], ["b", "abb"]),
        ('"a"* "a"', ["a", "aaaa"], ["", "ab"]),
        ('("a" | "b")+', ["a", "abba"], ["", "c"]),
        ('"a"{2}', ["aa"], ["a", "aaa"]),
        ('"a"{2,}', ["aa", "aaaa"], ["a"]),
        ('"a"{1,2}', ["a", "aa"], ["", "aaa"]),
        ('"" | "x"', ["", "x"], ["xx"]),
        ('("" | "x")* "y"', ["y", "xxy"], ["x"]),
        ("[a-cX]", ["a", "b", "X"], ["d", "x"]),
        ("[^a-c]", ["d", "\n"], ["b", ""]),
        ("[a-]", ["a", "-"], ["b"]),
        (r"[\-\]\\]", ["-", "]", "\\"], ["["]),
        (r'"\x41é\U0001F98A\"\\\n"', ['Aé🦊"\\\n'], ["A"]),
    ],
)
def test_what_a_rule_lets_through(rule: str, let_through: list[str], refused: list[str]) -> None:
    grammar = Gbnf(f"root ::= {rule}\n")
    assert [text for text in let_through if not grammar.matches(text)] == []
    assert [text for text in refused if grammar.matches(text)] == []
    for seed in range(20):
        assert grammar.matches(grammar.draw(random.Random(seed)))


def test_rules_refer_to_each_other_over_several_lines() -> None:
    sums = Gbnf(SUMS)
    assert sums.matches("1+(23+4)+567") and sums.matches("((1))")
    assert not sums.matches("1+") and not sums.matches("(1") and not sums.matches("1234")
    drawn = {sums.draw(random.Random(seed)) for seed in range(200)}
    assert len(drawn) > 50 and all(sums.matches(text) for text in drawn)


def test_a_beginning_is_known_as_one() -> None:
    sums = Gbnf(SUMS)
    assert all(sums.begins(text) for text in ["", "1", "1+", "(1+(2", "12"])
    assert not any(sums.begins(text) for text in ["+", "1234", "1)", "()"])


def test_a_long_text_is_read_quickly() -> None:
    assert Gbnf('root ::= ("a" | "b" | "ab")* "!"\n').matches("ab" * 3000 + "!")


@pytest.mark.parametrize(
    "text",
    [
        "root ::= missing\n",
        "other ::= [a]\n",
        "root ::= [a]\nroot ::= [b]\n",
        'root ::= root "a" | "b"\n',
        'root ::= "x"? loop\nloop ::= root | "y"\n',
        'root ::= "a" root\n',
        'root ::= "a"{0,2000}\n',
        'under_score ::= "a"\n',
        'root ::= "\\q"\n',
        "root ::= *\n",
        'root ::= "a" )\n',
        'root ::= ("a"\n',
    ],
)
def test_what_llama_cpp_would_refuse_is_refused(text: str) -> None:
    with pytest.raises((GrammarError, IndexError)):
        Gbnf(text)
