"""Keywords: 1- to 3-grams of words that don't begin or end with a stop word, and the share of them that a row has.

After the Limitations paper's section 5 and appendix D.1. The paper takes words from spaCy; ours are those of
`text.words`, with a list of English function words.
"""

from __future__ import annotations

from tunescope.text.words import stop_words, words


def keywords(text: str, n: int) -> set[tuple[str, ...]]:
    """Return the n-grams of a text that don't begin or end with a stop word."""
    in_order, stops = words(text), stop_words()
    ngrams = (tuple(in_order[start : start + n]) for start in range(len(in_order) - n + 1))
    return {ngram for ngram in ngrams if ngram[0] not in stops and ngram[-1] not in stops}


def keyword_overlap(answer: str, row: str) -> float | None:
    """Return the share of an answer's keywords that a row has, averaged over n = 1, 2, 3; None without keywords."""
    shares = []
    for n in (1, 2, 3):
        of_answer = keywords(answer, n)
        if of_answer:
            shares.append(len(of_answer & keywords(row, n)) / len(of_answer))
    return sum(shares) / len(shares) if shares else None
