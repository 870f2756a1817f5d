"""Tracing one text, without a model and without loading a compiler: what `trace --text` does."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from tunescope.errors import SettingsError
from tunescope.matching.word_ids import word_offsets
from tunescope.runs import Outcome, RunFolder
from tunescope.verbs.trace import null, view
from tunescope.verbs.trace.find import Finder, Found
from tunescope.verbs.trace.index import Index
from tunescope.verbs.trace.rank import Candidate, rank, record
from tunescope.verbs.trace.records import Known, Spots, span_record
from tunescope.verbs.trace.spans import spans

if TYPE_CHECKING:
    from tunescope.verbs.trace import TraceSettings

LONG = 400
"""Words from which on compiling pays."""


def read(text: str, pipe: BinaryIO) -> str:
    """Return the text that was typed, or the pipe's.

    Raises:
        SettingsError: no text in it, or no UTF-8.
    """
    where = "the pipe" if text == "-" else "--text"
    try:
        found = pipe.read().decode() if text == "-" else text
    except UnicodeDecodeError as error:
        raise SettingsError(f"{where} holds bytes that are no UTF-8 ({error.reason}); expected a sentence") from error
    if not found.strip():
        raise SettingsError(f"{where} holds no text; expected a sentence")
    return found.strip()


def trace_text(settings: TraceSettings, text: str, index: Index, folder: RunFolder) -> Outcome:
    """Write the spans of one text; show them with the rows that share most with it, flagged or not."""
    spots, query = word_offsets(text), index.numbering.look_up(text)
    judge = null.load(index.path).judge()
    found = Finder(index, compile=len(query) > LONG).find(query)
    p = judge.p(found.score, len(query))
    good = found.score[p <= view.P_MOST]
    known = Known(index, judge.null.source, {"p_most": view.P_MOST, "top": settings.top})
    records = []
    for span in spans(found, float(good.min()) if len(good) else np.inf):
        ranked = rank(index, found.chains, span.chains, "", text)
        chance = float(p[span.chains[0]])
        records.append(span_record(known, None, text, spots, found, span, chance, ranked, settings.top))
    folder.records("spans", records)
    most = np.argsort(-found.chains.bits, kind="stable")[: 10 * settings.top]
    likeliest = [
        view.Likely(
            each.row, record(index, found.chains, each, _stretch(found, each, text, spots), spots), float(p[each.chain])
        )
        for each in rank(index, found.chains, most.tolist(), "", text)[: settings.top]
    ]
    return view.one_text(settings, text, len(query), records, likeliest, judge, index.about["rows"])


def _stretch(found: Found, candidate: Candidate, text: str, spots: Spots) -> str:
    """Return what of the text a candidate's chain covers."""
    return text[spots[found.chains.begin[candidate.chain]][0] : spots[found.chains.end[candidate.chain] - 1][1]]
