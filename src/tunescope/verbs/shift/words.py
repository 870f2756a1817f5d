"""Which words tuning put there: those that start with a shifted or marginal token (paper 2, Figure 12).

A word has the class of the token that its first character stands in. Words are `text.words`': lower case.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tunescope.text.words import CJK, words

if TYPE_CHECKING:
    from tunescope.rows import Row

MOST = 125
"""Words that Figure 12 shows."""
GROUPS = ("opener", "style", "content")
WORD = re.compile(rf"{CJK.pattern}|(?:(?!{CJK.pattern})\w)+")


class Word(NamedTuple):
    """A word as it stands in an answer: its number there, its class, and whether it is a sentence's first."""

    answer: int
    word: str
    kind: str
    opens: bool


def words_of(answer: int, text: str, tokens: Sequence[dict[str, Any]]) -> list[Word]:
    """Return an answer's words in order, given its records of `tokens`."""
    ends = [token["char_end"] for token in tokens]
    found = []
    opened = -1
    for match in WORD.finditer(text):
        place = bisect_right(ends, match.start())
        if place == len(tokens):
            break  # behind the last token: blanks that a template took away
        sentence = tokens[place]["sentence"]
        found.append(Word(answer, next(iter(words(match[0])), match[0]), tokens[place]["class"], sentence != opened))
        opened = sentence
    return found


@cache
def style_words() -> frozenset[str]:
    """Return the words of `style_words.txt`."""
    lines = Path(__file__).with_name("style_words.txt").read_text("utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def frequent(found: Iterable[Word], most: int = MOST) -> list[dict[str, Any]]:
    """Return the most frequent words at shifted and marginal tokens, each with its counts and its group.

    opener: more than half of those places begin a sentence of a response; style: in the list; content: the rest.
    """
    counts: dict[str, Counter[str]] = {}
    for one in found:
        if one.kind != "unshifted":
            counts.setdefault(one.word, Counter()).update([one.kind, *(["opens"] if one.opens else [])])
    records: list[dict[str, Any]] = []
    for word, count in counts.items():
        both = count["shifted"] + count["marginal"]
        group = "opener" if 2 * count["opens"] > both else "style" if word in style_words() else "content"
        records.append(
            {"word": word, "count": both, "shifted": count["shifted"], "marginal": count["marginal"], "group": group}
        )
    return sorted(records, key=lambda record: (-record["count"], record["word"]))[:most]


class Vocabulary(NamedTuple):
    """The different words of rows, of whatever role, and how many words they were read from."""

    words: frozenset[str]
    read: int


def vocabulary(rows: Iterable[Row], most: int | None = None) -> Vocabulary:
    """Return the words of rows, from the first row on until `most` words are read: what is larger has more of them."""
    known: set[str] = set()
    read = 0
    for row in rows:
        if most is not None and read >= most:
            break
        found = [word for message in row.messages for word in words(message.content or "")]
        known.update(found)
        read += len(found)
    return Vocabulary(frozenset(known), read)


def in_vocabulary(found: Iterable[Word], kind: str, known: frozenset[str], answers: int) -> dict[str, Any]:
    """Return the share of words of a class that are in a vocabulary, with an interval over answers."""
    from tunescope.stats import mean_pooled

    hits, counts = [0] * answers, [0] * answers
    for one in found:
        if one.kind == kind:
            counts[one.answer] += 1
            hits[one.answer] += one.word in known
    return mean_pooled(hits, counts).as_json() | {"words": sum(counts)}
