"""Words have the class of the token that they begin in, and are sorted as the page says."""

from __future__ import annotations

from tunescope.rows import Message, Row
from tunescope.verbs.shift.words import TokenPlace, Word, frequent, in_vocabulary, style_words, vocabulary, words_of


def tokens(*parts):
    """Return the places of tokens for (piece, class, sentence)."""
    out, place = [], 0
    for piece, kind, sentence in parts:
        place += len(piece)
        out.append(TokenPlace(place, kind, sentence))
    return out


def test_a_word_has_the_class_of_its_first_token():
    text = "How-ever, Brew coffee. Yes"
    found = words_of(
        7,
        text,
        tokens(
            ("How", "shifted", 0),
            ("-ever,", "unshifted", 0),
            (" Br", "marginal", 0),
            ("ew", "shifted", 0),
            (" coffee.", "unshifted", 0),
            (" Yes", "shifted", 1),
        ),
    )
    assert found == [
        Word(7, "how", "shifted", True),
        Word(7, "ever", "unshifted", False),
        Word(7, "brew", "marginal", False),
        Word(7, "coffee", "unshifted", False),
        Word(7, "yes", "shifted", True),
    ]


def test_openers_style_and_content():
    found = [
        *[Word(0, "however", "shifted", True)] * 3,
        Word(1, "however", "marginal", False),
        *[Word(1, "typically", "marginal", False)] * 2,
        *[Word(1, "brew", "shifted", opens) for opens in (True, False)],
        *[Word(1, "brew", "unshifted", True)] * 5,
        Word(2, "zebra", "unshifted", False),
    ]
    assert [record.as_json() for record in frequent(found)] == [
        {"word": "however", "count": 4, "shifted": 3, "marginal": 1, "group": "opener"},
        {"word": "brew", "count": 2, "shifted": 2, "marginal": 0, "group": "content"},
        {"word": "typically", "count": 2, "shifted": 0, "marginal": 2, "group": "style"},
    ]
    assert [record.word for record in frequent(found, most=1)] == ["however"]


def test_the_list_of_style_words():
    assert {"however", "typically", "the", "sorry"} <= style_words()
    assert all(word == word.lower() for word in style_words())


def test_words_in_rows():
    rows = [Row("1", "1", (Message("user", "Brew it?"), Message("assistant", "No."), Message("assistant", None)))]
    known = vocabulary(rows)
    assert known == ({"brew", "it", "no"}, 3)
    assert vocabulary(rows * 3, most=4).read == 6
    assert vocabulary(rows * 3, most=3) == known
    found = [
        Word(0, "brew", "shifted", False),
        Word(0, "tea", "shifted", False),
        Word(1, "no", "shifted", True),
        Word(1, "no", "unshifted", True),
    ]
    share = in_vocabulary(found, "shifted", known.words, 3)
    assert (share.mean, share.n, share.words) == (2 / 3, 2, 3)
    assert in_vocabulary(found, "marginal", known.words, 3).mean is None
