"""What paper 2 measures between an answer and its cause row, beside the same for a row drawn at random.

String search (section 4.1), cosine of instruction and response together, and the overlap of keywords (section 5, B):
1- to 3-grams of words that neither begin nor end in a stop word. The paper takes spaCy's words; ours are a plain run of
letters and digits and a list of English function words, so the numbers are named as ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from tunescope.answers import Answer
from tunescope.text.words import stop_words, words
from tunescope.verbs.trace.index import Index, IndexedRow

if TYPE_CHECKING:
    from tunescope.verbs.trace.rank import Candidate, Embed

COLUMNS = ("string_found", "keyword_overlap", "keyword_overlap_random", "cosine", "cosine_random")


def keywords(text: str, n: int) -> set[tuple[str, ...]]:
    """Return the n-grams of a text that neither begin nor end in a stop word."""
    found, stops = words(text), stop_words()
    grams = (tuple(found[start : start + n]) for start in range(len(found) - n + 1))
    return {gram for gram in grams if gram[0] not in stops and gram[-1] not in stops}


def overlap(answer: str, row: str) -> float | None:
    """Return the share of an answer's keywords that a row has, the mean over n = 1, 2, 3; None without keywords."""
    shares = []
    for n in (1, 2, 3):
        own = keywords(answer, n)
        if own:
            shares.append(len(own & keywords(row, n)) / len(own))
    return sum(shares) / len(shares) if shares else None


def compare(
    answer: Answer,
    spans: Sequence[Mapping[str, Any]],
    named: Mapping[str, Candidate],
    index: Index,
    embed: Embed | None,
) -> dict[str, float | None]:
    """Compare an answer with its likeliest row and with a row drawn by the answer's id; all None without a span."""
    found: dict[str, float | None] = dict.fromkeys(COLUMNS)
    if not spans:
        return found
    best = max(spans, key=lambda span: float(span["bits"]))
    cause = named[best["rows"][0]["row_id"]].row
    other = index.row(Random(answer.answer_id).randrange(int(index.about["rows"])))
    whole = f"{answer.prompt}\n{answer.text}"
    found["string_found"] = sum(span["string_found"] for span in spans) / len(spans)
    found["keyword_overlap"], found["keyword_overlap_random"] = (overlap(whole, _text(row)) for row in (cause, other))
    if embed is not None:
        vectors = embed([whole, _text(cause), _text(other)])
        found["cosine"], found["cosine_random"] = (float(vectors[0] @ vector) for vector in vectors[1:])
    return found


def _text(row: IndexedRow) -> str:
    return f"{row.text('instruction')}\n{row.text('response')}"
