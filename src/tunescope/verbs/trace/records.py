"""The record of a borrowed span: one shape for one text and for many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunescope.verbs.trace.find import Found
from tunescope.verbs.trace.index import Index
from tunescope.verbs.trace.rank import Candidate, own_text, record
from tunescope.verbs.trace.spans import Span

CLOSING = ".,;:!?)]}"
Spots = list[tuple[int, int]]
"""Where each word of a text begins and ends, in characters."""


@dataclass(frozen=True, slots=True)
class Known:
    """What all spans of a run share: the rows, the null, and the settings that decide what is flagged."""

    index: Index
    null_source: str
    settings: dict[str, Any]


def span_record(
    known: Known,
    answer_id: str | None,
    text: str,
    spots: Spots,
    found: Found,
    span: Span,
    p: float,
    ranked: Sequence[Candidate],
    top: int,
    shift: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a span's record, its first `top` rows in it."""
    chains, best = found.chains, span.chains[0]
    first = span.begin
    while first < span.end - 1 and text[spots[first][0]] in CLOSING:  # the end of what is before
        first += 1
    begin, end = spots[first][0], spots[span.end - 1][1]
    stretch = text[begin:end]
    kind = "near" if chains.edits[best] else "verbatim"
    evidence = [kind]
    if found.ref_bits is not None:
        evidence.append("contrast")
    if shift is not None and shift["above_average"]:
        evidence.append("shift")
    if any(candidate.prompt_bm25 for candidate in ranked[:1]):
        evidence.append("prompt")
    return {
        "answer_id": answer_id,
        "char_start": begin,
        "char_end": end,
        "text": stretch,
        "kind": kind,
        "words": span.end - first,
        "shared_words": int(chains.words[best]),
        "bits": round(float(chains.bits[best]), 2),
        "ref_bits": None if found.ref_bits is None else round(float(found.ref_bits[best]), 2),
        "contrast_bits": None if found.ref_bits is None else round(float(found.score[best]), 2),
        "count": len(set(known.index.owners[chains.text[list(span.chains)]].tolist())),
        "n_row_groups": len(ranked),
        "p_null": p,
        "shift": shift,
        "score": 1 - p,
        "rows": [record(known.index, chains, candidate, stretch, spots) for candidate in ranked[:top]],
        "string_found": any(stretch in own_text(known.index, candidate) for candidate in ranked),
        "evidence": evidence,
        "dataset_fingerprint": known.index.fingerprint,
        "null_source": known.null_source,
        "settings": known.settings,
    }
