"""Which words tuning put there: those that start with a shifted or marginal token (the Limitations paper, Figure 12).

A word has the class of the token that holds its first character. Words are those of `text.words`, folded.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tunescope.results.shift import FrequentWord, WordShare
from tunescope.text.words import fold, word_spans, words

if TYPE_CHECKING:
    from tunescope.rows import Row

MOST = 125
"""Words that Figure 12 shows."""
GROUPS = ("opener", "style", "content")


class Word(NamedTuple):
    """A word of an answer: the answer's number, the class of its first token, and whether it opens a sentence."""

    answer: int
    word: str
    token_class: str
    opens: bool


class TokenPlace(NamedTuple):
    """Where a token ends in its answer, its class, and the number of its sentence."""

    char_end: int
    token_class: str
    sentence: int


def words_of(answer: int, text: str, tokens: Sequence[TokenPlace]) -> list[Word]:
    """Return an answer's words in order, given its tokens."""
    ends = [token.char_end for token in tokens]
    in_order = []
    last_sentence = -1
    for begin, end in word_spans(text):
        place = bisect_right(ends, begin)
        if place == len(tokens):
            break  # behind the last token: blanks that a template took away
        token = tokens[place]
        in_order.append(Word(answer, fold(text[begin:end]), token.token_class, token.sentence != last_sentence))
        last_sentence = token.sentence
    return in_order


@cache
def style_words() -> frozenset[str]:
    """Return the words of `style_words.txt`."""
    lines = Path(__file__).with_name("style_words.txt").read_text("utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def frequent(words_in_answers: Iterable[Word], most: int = MOST) -> tuple[FrequentWord, ...]:
    """Return the most frequent words at shifted and marginal tokens, each with its counts and its group.

    opener: more than half of those places begin a sentence of a response; style: in the list; content: the rest.
    """
    counts: dict[str, Counter[str]] = {}
    for word in words_in_answers:
        if word.token_class != "unshifted":
            counts.setdefault(word.word, Counter()).update([word.token_class, *(["opens"] if word.opens else [])])
    records = []
    for text, count in counts.items():
        both = count["shifted"] + count["marginal"]
        group = "opener" if 2 * count["opens"] > both else "style" if text in style_words() else "content"
        records.append(
            FrequentWord(word=text, count=both, shifted=count["shifted"], marginal=count["marginal"], group=group)
        )
    return tuple(sorted(records, key=lambda record: (-record.count, record.word))[:most])


class _Vocabulary(NamedTuple):
    """The different words of rows, of whatever role, and how many words they were read from."""

    words: frozenset[str]
    read: int


def vocabulary(rows: Iterable[Row], most: int | None = None) -> _Vocabulary:
    """Return the words of rows, reading whole rows until `most` words are read: more text has more different words."""
    different: set[str] = set()
    read = 0
    for row in rows:
        if most is not None and read >= most:
            break
        in_row = [word for message in row.messages for word in words(message.content or "")]
        different.update(in_row)
        read += len(in_row)
    return _Vocabulary(frozenset(different), read)


def in_vocabulary(
    words_in_answers: Iterable[Word], token_class: str, known_words: frozenset[str], answers: int
) -> WordShare:
    """Return the share of words of a class that are in a vocabulary, with an interval over answers."""
    from tunescope.stats import share_pooled

    hits, counts = [0] * answers, [0] * answers
    for word in words_in_answers:
        if word.token_class == token_class:
            counts[word.answer] += 1
            hits[word.answer] += word.word in known_words
    return WordShare.of(share_pooled(hits, counts), words=sum(counts))
