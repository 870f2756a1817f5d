"""What `trace` shows of copies, before what the null distribution says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tunescope.results.trace import WHOLE_RESPONSE, TraceSpan, VerbatimCopy
from tunescope.verbs.trace.copies import MIN_WORDS, Copies
from tunescope.views import Table, counted, shorten

_SHOWN = 5
"""Copies that a view shows, the longest first; `copies.jsonl` has all."""
_MAX_CHARS = 100
"""Characters of a copy that a table shows."""


def describe_copies(copies: Sequence[VerbatimCopy]) -> Iterator[str]:
    """Say what a single text copies; nothing where it copies nothing."""
    if not copies:
        return
    first = copies[0].rows[0]
    others = copies[0].n_rows - 1
    place = f"row {first.row_id} ({first.location}, {first.field}{f', and {others} more' if others else ''})"
    if copies[0].kind == WHOLE_RESPONSE:
        yield f"This text is the whole response of {place}, word for word."
    elif len(copies) == 1:
        yield f"One sentence of this text (underlined) appears word for word in {place}."
    else:
        yield f"{len(copies)} sentences of this text (underlined) appear word for word in rows, the first in {place}."


def describe_answers_copies(copies: Copies, n_answers: int) -> Iterator[str]:
    """Say how many answers copy rows or sentences of them."""
    whole = sum(copy.kind == WHOLE_RESPONSE for copy in copies.records)
    sentences = len(copies.records) - whole
    if not copies.records:
        yield f"No answer contains a sentence of {MIN_WORDS} words or more that appears word for word in a row."
        return
    yield (
        f"{len(copies.words):,} of {counted(n_answers, 'answer')} copy {counted(len(copies.rows), 'row')} word for "
        f"word: {counted(whole, 'whole response')} and {counted(sentences, 'sentence')} of {MIN_WORDS} words or more."
    )


def copies_table(copies: Copies) -> Iterator[Table]:
    """Yield the table of the longest copies, where there are any."""
    if not copies.records:
        return
    cells = tuple(
        (
            copy.kind,
            copy.words,
            copy.n_rows,
            copy.rows[0].row_id,
            str(copy.rows[0].location),
            shorten(copy.text, _MAX_CHARS),
        )
        for copy in sorted(copies.records, key=lambda copy: -copy.words)[:_SHOWN]
    )
    in_prompt = sum(copy.in_prompt for copy in copies.records)
    note = (
        f"{counted(len(copies.records), 'copy') if len(copies.records) == 1 else f'{len(copies.records):,} copies'} in "
        f"all, in copies.jsonl; {in_prompt:,} of them also appear in the answer's prompt. Copies don't depend on "
        "chance."
    )
    yield Table("Copied word for word", ("what", "words", "rows", "first row", "place", "text"), cells, note)


def join_stretches(stretches: Sequence[VerbatimCopy | TraceSpan]) -> tuple[tuple[int, int], ...]:
    """Return stretches of a text in order, those that overlap as one."""
    joined: list[tuple[int, int]] = []
    for begin, end in sorted((stretch.char_start, stretch.char_end) for stretch in stretches):
        if joined and begin <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((begin, end))
    return tuple(joined)
