"""The Limitations paper's measures of an answer and its top source row, beside the same for a random row.

String search (section 4.1), the cosine of instruction and response together, and the overlap of keywords (section 5,
B): 1- to 3-grams of words that don't begin or end with a stop word. The paper takes words from spaCy. Ours are runs of
letters and digits, with a list of English function words, so the numbers carry our names.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from tunescope.answers import Answer
from tunescope.results.trace import TraceSpan
from tunescope.text.words import stop_words, words
from tunescope.verbs.trace.index import Index, IndexedRow
from tunescope.verbs.trace.rank import Embed

COLUMNS = ("string_found", "keyword_overlap", "keyword_overlap_random", "cosine", "cosine_random")


def keywords(text: str, n: int) -> set[tuple[str, ...]]:
    """Return the n-grams of a text that don't begin or end with a stop word."""
    in_order, stops = words(text), stop_words()
    ngrams = (tuple(in_order[start : start + n]) for start in range(len(in_order) - n + 1))
    return {ngram for ngram in ngrams if ngram[0] not in stops and ngram[-1] not in stops}


def overlap(answer: str, row: str) -> float | None:
    """Return the share of an answer's keywords that a row has, averaged over n = 1, 2, 3; None without keywords."""
    shares = []
    for n in (1, 2, 3):
        of_answer = keywords(answer, n)
        if of_answer:
            shares.append(len(of_answer & keywords(row, n)) / len(of_answer))
    return sum(shares) / len(shares) if shares else None


def measure(
    answer: Answer,
    spans: Sequence[tuple[TraceSpan, IndexedRow]],
    index: Index,
    embed: Embed | None,
) -> dict[str, float | None]:
    """Compare an answer with its top source row, and with a row drawn by the answer's id.

    Args:
        answer: the answer.
        spans: its spans, each with its top source row.
        index: the rows.
        embed: for the cosines; None leaves them out.

    Returns:
        A value per column of `COLUMNS`; all None for an answer without a span.
    """
    values: dict[str, float | None] = dict.fromkeys(COLUMNS)
    if not spans:
        return values
    _, source = max(spans, key=lambda pair: pair[0].bits)
    other = index.row(Random(answer.answer_id).randrange(int(index.about["rows"])))
    whole = f"{answer.prompt}\n{answer.text}"
    values["string_found"] = sum(span.string_found for span, _ in spans) / len(spans)
    values["keyword_overlap"] = overlap(whole, _text(source))
    values["keyword_overlap_random"] = overlap(whole, _text(other))
    if embed is not None:
        vectors = embed([whole, _text(source), _text(other)])
        values["cosine"], values["cosine_random"] = (float(vectors[0] @ vector) for vector in vectors[1:])
    return values


def _text(row: IndexedRow) -> str:
    return f"{row.text('instruction')}\n{row.text('response')}"
