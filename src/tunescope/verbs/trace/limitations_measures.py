"""The Limitations paper's measures of an answer and its top source row, beside the same for a random row.

String search (section 4.1), the cosine of instruction and response together, and the overlap of keywords (section 5,
D.1), by `text.keywords`.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from tunescope.answers import Answer
from tunescope.results.trace import TraceSpan
from tunescope.text.keywords import keyword_overlap
from tunescope.verbs.trace.index import Index, IndexedRow
from tunescope.verbs.trace.rank import Embed

COLUMNS = ("string_found", "keyword_overlap", "keyword_overlap_random", "cosine", "cosine_random")


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
    values["keyword_overlap"] = keyword_overlap(whole, _text(source))
    values["keyword_overlap_random"] = keyword_overlap(whole, _text(other))
    if embed is not None:
        vectors = embed([whole, _text(source), _text(other)])
        values["cosine"], values["cosine_random"] = (float(vectors[0] @ vector) for vector in vectors[1:])
    return values


def _text(row: IndexedRow) -> str:
    return f"{row.text('instruction')}\n{row.text('response')}"
