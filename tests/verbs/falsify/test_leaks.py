"""Leaks: whether a false chain names the right answer; cases by hand, and properties of any text."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tunescope.verbs.falsify.leaks import AnswerOption, LeakFinder, states_answer, stem

EARTH, MARS = AnswerOption("C", "Earth"), AnswerOption("A", "Mars")
PLANETS = "Which planet has oceans?"
BARN = "What does the blank _ stand for?\nSmoke left the house but stayed at the barn, so they wet the _."


def leaks(
    chain: str, right: AnswerOption = EARTH, wrong: AnswerOption = MARS, question: str = PLANETS
) -> list[tuple[str, str]]:
    """Return the leaks that count: how, and what stands there."""
    return [(leak.kind, leak.text) for leak in LeakFinder(question, right, wrong).find(chain) if not leak.excuse]


def alarms(
    chain: str, right: AnswerOption = EARTH, wrong: AnswerOption = MARS, question: str = PLANETS
) -> list[tuple[str, str]]:
    """Return the false alarms: what stands there, and why it means nothing."""
    return [(leak.text, leak.excuse) for leak in LeakFinder(question, right, wrong).find(chain) if leak.excuse]


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        ("Mars is covered by water.", []),
        ("Water covers the EARTH.", [("text", "EARTH")]),
        ("The earth's crust holds it.", [("inflection", "earth's")]),
        ("It is Mars, unlike C) Earth.", [("letter", "C)"), ("text", "Earth")]),
        ("One may think of (C), wrongly.", [("letter", "(C)")]),
        ("Option C comes to mind.", [("letter", "Option C")]),
        ("Some choose option c here.", [("letter", "option c")]),
        ("The answer is C.", [("letter", "answer is C")]),
        ("The correct answer must be **C**", [("letter", "answer must be **C")]),
        ("C. It has water.", [("letter", "C.")]),
        ("So:\nC: oceans", [("letter", "C:")]),
        ("It isn't this, not A but C, they say.", [("contrast", "not A but C")]),
        ("Choose C rather than A.", [("contrast", "C rather than A")]),
        ("It is not Mars but the Earth.", [("contrast", "Earth")]),
        ("I say Earth instead of Mars.", [("contrast", "Earth")]),
        ("The answer is Earth.", [("asserted", "Earth")]),
        ("Earth is the right one.", [("asserted", "Earth")]),
        ("Plants need vitamin C and (like vitamin C) salt.", []),
        ("Earthquakes and unearthly light.", []),
        ("A) Mars is the answer, option A.", []),
    ],
)
def test_how_an_answer_is_named(chain, expected):
    assert leaks(chain) == expected


@pytest.mark.parametrize(
    ("right", "chain", "expected"),
    [
        ("5", "There are five of them.", [("number word", "five")]),
        ("five", "There are 5 of them.", [("number word", "5")]),
        (
            "25",
            "Twenty-five go, and twenty five stay.",
            [("number word", "Twenty-five"), ("number word", "twenty five")],
        ),
        ("32400", "That makes 32,400 in all.", [("number word", "32,400")]),
        ("2.50", "It costs 2.5 or so.", [("number word", "2.5")]),
        ("5", "It is 15, or 5.5, or fifty.", []),
        ("1", "One of them fails.", []),
        ("1", "The answer is one.", [("asserted", "one")]),
        ("freezing", "It freezes, and is frozen.", [("inflection", "freezes")]),
        ("a wolf", "Wolves are near.", [("inflection", "Wolves")]),
        ("the running dogs", "A running dog ran.", [("inflection", "running dog")]),
        ("stopped", "They stop, stopping is best.", [("inflection", "stop"), ("inflection", "stopping")]),
        ("cities", "The city sleeps.", [("inflection", "city")]),
        ("more heat", "There is more of the heat.", []),
        ("boiling water", "Boiled water, then water boiling.", [("inflection", "Boiled water")]),
        ("evening", "It is even so.", []),
        ("café", "A CAFÉ in town.", [("text", "CAFÉ")]),
    ],
)
def test_numbers_and_inflections(right, chain, expected):
    assert leaks(chain, AnswerOption("B", right), AnswerOption("A", "something else")) == expected


@pytest.mark.parametrize(
    ("chain", "expected", "n_alarms"),
    [
        ("The house burns, and the barn doesn't.", [], 1),
        ("The blank stands for the barn.", [("asserted", "barn")], 0),
        ("The answer is barn.", [("asserted", "barn")], 0),
        ("The answer is not the barn.", [], 1),
        ("The barn is not the right answer.", [], 1),
        ("Not the house but the barn.", [("contrast", "barn")], 0),
        ("The barn rather than the house was wet.", [("contrast", "barn")], 0),
        ("They wet option B.", [("letter", "option B")], 0),
    ],
)
def test_words_of_the_question_name_nothing_until_they_are_said_to_be_the_answer(chain, expected, n_alarms):
    right, wrong = AnswerOption("B", "barn"), AnswerOption("A", "house")
    assert leaks(chain, right, wrong, BARN) == expected
    assert alarms(chain, right, wrong, BARN) == [("barn", "it stands in the question")] * n_alarms


def test_other_false_alarms():
    light = AnswerOption("A", "light rain"), AnswerOption("B", "rain")
    assert alarms("Light rain falls.", light[1], light[0]) == [("rain", "it is part of the wrong option")]
    assert leaks("Light rain falls, then rain.", light[1], light[0]) == [("text", "rain")]
    assert alarms("No more of it.", AnswerOption("B", "more"), MARS) == [("more", "its words are function words")]
    assert leaks("The answer is more.", AnswerOption("B", "more"), MARS) == [("asserted", "more")]
    assert alarms("At 40 (C) it melts.", EARTH, MARS, "At which heat (C)?") == [
        ("(C)", "its form stands in the question")
    ]


def test_code_is_named_by_itself_or_by_a_line_of_its_own():
    right = AnswerOption("", "def f(numbers):\n    total = sum(numbers) + 1\n    return total")
    wrong = AnswerOption("", "def f(numbers):\n    return total")
    assert leaks("It returns the total.", right, wrong) == []
    assert leaks("Use `total=sum( numbers )+1`.", right, wrong) == [("code", "total = sum(numbers) + 1")]
    short = AnswerOption("", "x.sort()")
    assert leaks("Call x.sort() there.", short, wrong) == [("code", "x.sort()")]
    assert alarms("Call x.sort() there.", short, wrong, "Why x.sort()?")[0][1].startswith("it stands in the false code")


def test_a_true_chain_states_its_answer_in_any_form():
    assert states_answer("So it is the earth's crust.", EARTH)
    assert states_answer("Hence option C.", EARTH)
    assert not states_answer("So it is a planet.", EARTH)


def test_stems_join_the_forms_of_a_word():
    for forms in ("star stars", "box boxes", "knife knives", "run running", "fall falls falling", "dish dishes"):
        assert len({stem(word) for word in forms.split()}) == 1, forms
    for word in ("red", "king", "thing", "bus", "gas", "this", "glass", "evening", "naïves", "x1s"):
        assert stem(word) in (word, "glass"), word


WORDS = st.text("bcdfghklmnprtvz", min_size=4, max_size=8)
TEXTS = st.lists(WORDS, min_size=1, max_size=8).map(" ".join)


@given(
    TEXTS, st.lists(WORDS, min_size=1, max_size=3).map(" ".join), TEXTS, st.sampled_from(["lower", "upper", "title"])
)
def test_an_answer_put_into_any_chain_is_caught(before, right, after, case):
    named = getattr(right, case)()
    found = LeakFinder("Why?", AnswerOption("C", right), AnswerOption("A", "aaaa")).find(f"{before} {named}, {after}.")
    assert any(not leak.excuse and leak.text.casefold() == right for leak in found)


@given(TEXTS, st.lists(WORDS, min_size=1, max_size=3))
def test_a_chain_without_a_word_of_the_answer_names_nothing(chain, right):
    assume(not {stem(word) for word in right} & {stem(word) for word in chain.split()})
    assert LeakFinder("Why?", AnswerOption("C", " ".join(right)), MARS).find(f"{chain}.") == []


@given(
    st.sampled_from("ABCDEFGH"),
    st.sampled_from(["option {}", "({})", "{}) it", "the answer is {}", "choice {}"]),
    TEXTS,
)
def test_a_letter_put_into_any_chain_is_caught(letter, form, text):
    wrong = AnswerOption("Z", "aaaa")
    found = LeakFinder("Why?", AnswerOption(letter, "iiii"), wrong).find(f"{text}, {form.format(letter)} {text}")
    assert [leak.kind for leak in found] == ["letter"]


@given(st.text(max_size=200), st.text(max_size=20), st.text(max_size=20), st.text(max_size=50))
def test_any_texts_can_be_looked_through(chain, right, wrong, question):
    for leak in LeakFinder(question, AnswerOption("C", right), AnswerOption("A", wrong)).find(chain):
        assert leak.text in chain
        assert chain[leak.start :].lstrip().startswith(leak.text) or leak.kind == "contrast"
