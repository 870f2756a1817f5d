"""`trace --text`: trace one text, without a model and without compiling."""

from __future__ import annotations

import numpy as np

from tunescope.matching.word_ids import word_offsets
from tunescope.results.estimates import ALPHA
from tunescope.results.trace import TraceSpan, VerbatimCopy
from tunescope.runs import Outcome, RunFolder
from tunescope.verbs.trace import null
from tunescope.verbs.trace.copies import SearchedText, find_copies
from tunescope.verbs.trace.find import Finder
from tunescope.verbs.trace.index import Index
from tunescope.verbs.trace.rank import rank
from tunescope.verbs.trace.records import TraceContext, TracedText, row_record, span_record
from tunescope.verbs.trace.settings import TraceSettings
from tunescope.verbs.trace.spans import select_spans
from tunescope.verbs.trace.view import RowMatch, show_text

COMPILE_ABOVE = 400
"""Words above which compiling the loops pays off."""
_RANKED_PER_LISTED = 10
"""Chains that are ranked for each row that is listed."""


def trace_text(settings: TraceSettings, text: str, index: Index, folder: RunFolder) -> Outcome:
    """Write the spans of one text; show them, and the rows that share most with it, flagged or not."""
    query = index.numbering.look_up(text)
    distribution = null.load(index.path).distribution()
    matches = Finder(index, compile=len(query) > COMPILE_ABOVE).find(query)
    traced = TracedText(None, text, word_offsets(text), matches)
    p_values = distribution.p_values(matches.score, len(query))
    significant = matches.score[p_values <= ALPHA]
    context = TraceContext(index, distribution.sample.source, {"alpha": ALPHA, "top": settings.top}, settings.top)
    records = []
    for span in select_spans(matches, float(significant.min()) if len(significant) else np.inf):
        candidates = rank(index, matches.chains, span.chains, "", text)
        records.append(span_record(context, traced, span, float(p_values[span.chains[0]]), candidates))
    folder.records(TraceSpan.NAME, (record.as_json() for record in records))
    copies = find_copies(index, [SearchedText(None, text, query, query[:0])], settings.top).records
    folder.records(VerbatimCopy.NAME, (copy.as_json() for copy in copies))
    most_bits = np.argsort(-matches.chains.bits, kind="stable")[: _RANKED_PER_LISTED * settings.top]
    rows = []
    for candidate in rank(index, matches.chains, most_bits.tolist(), "", text)[: settings.top]:
        chain = candidate.chain
        passage = traced.stretch(matches.chains.begin[chain], matches.chains.end[chain])
        record = row_record(index, traced, candidate, passage, float(p_values[chain]))
        rows.append(RowMatch(candidate.row, record))
    return show_text(settings, text, len(query), copies, records, rows, distribution.sample, index.about["rows"], ALPHA)
