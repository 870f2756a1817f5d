"""What a text copies word for word: a whole response of a row, or sentences that stand in rows.

It is looked for beside the null distribution and whatever that says: a copy is a fact about the rows. Words are
compared as everywhere: case, composed forms, quotes and invisible characters don't count. Marks inside a sentence
count, those around it don't.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.matching.verbatim import find_runs
from tunescope.matching.word_ids import Query, word_offsets
from tunescope.results.trace import SENTENCE, WHOLE_RESPONSE, CopiedRow, VerbatimCopy
from tunescope.text.sentences import sentence_spans
from tunescope.text.words import count_characters, word_spans
from tunescope.verbs.trace.index import Index

MIN_WORDS = 6
"""Words of a copy at least."""
_CHARACTERS_PER_WORD = 3
"""Characters of scripts without spaces between words that count as one word here."""


class SearchedText(NamedTuple):
    """A text, and the numbers of its words and of its prompt's."""

    answer_id: str | None
    text: str
    query: Query
    prompt: Query


class _Passage(NamedTuple):
    """A stretch of a text: its kind, its words without the marks around it (begin:end), and how many aren't marks."""

    kind: str
    begin: int
    end: int
    words: int


@dataclass(slots=True)
class Copies:
    """The copies of all texts.

    Attributes:
        records: the copies, text by text.
        words: by answer id, how many words they have.
        rows: by row id, how many copies of it there are.
    """

    records: list[VerbatimCopy] = field(default_factory=list)
    words: Counter[str | None] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)


def find_copies(index: Index, texts: Sequence[SearchedText], top: int) -> Copies:
    """Find what texts copy from the rows of an index word for word, with up to `top` rows each."""
    offsets = [word_offsets(text.text) for text in texts]
    passages = [list(_passages(*pair)) for pair in zip((text.text for text in texts), offsets, strict=True)]
    runs = [text.query[p.begin : p.end] for text, own in zip(texts, passages, strict=True) for p in own]
    places = iter(find_runs(runs, index.ids, index.counts))
    copies = Copies()
    for text, of_text, own in zip(texts, offsets, passages, strict=True):
        copied = [(passage, begins) for passage in own if len(begins := _keep_copies(index, passage, next(places)))]
        whole = [copy for copy in copied if copy[0].kind == WHOLE_RESPONSE]
        for passage, begins in whole or copied:
            _add(copies, index, text, of_text, passage, begins, top)
    return copies


def _add(
    copies: Copies,
    index: Index,
    text: SearchedText,
    offsets: Sequence[tuple[int, int]],
    passage: _Passage,
    begins: NDArray[np.int64],
    top: int,
) -> None:
    """Add a passage that stands in the rows at the places `begins`."""
    owners = index.owners[_texts_at(index, begins)]
    first_of_row = np.sort(np.unique(owners, return_index=True)[1])
    copies.rows.update(index.row(owner).row_id for owner in owners[first_of_row].tolist())
    copies.words[text.answer_id] += passage.words
    begin, end = offsets[passage.begin][0], offsets[passage.end - 1][1]
    copies.records.append(
        VerbatimCopy(
            answer_id=text.answer_id,
            kind=passage.kind,
            char_start=begin,
            char_end=end,
            text=text.text[begin:end],
            words=passage.words,
            in_prompt=_contains(text.prompt, text.query[passage.begin : passage.end]),
            n_rows=len(first_of_row),
            rows=tuple(_row(index, place, passage) for place in begins[first_of_row][:top].tolist()),
        )
    )


def _passages(text: str, offsets: Sequence[tuple[int, int]]) -> Iterator[_Passage]:
    """Yield the whole text and its sentences, those of enough words."""
    starts = np.array([begin for begin, _ in offsets], np.int64)
    is_word = np.isin(starts, [begin for begin, _ in word_spans(text)])
    sentences = ((SENTENCE, *span) for span in sentence_spans(text))
    for kind, begin, end in ((WHOLE_RESPONSE, 0, len(text)), *sentences):
        first, last = np.searchsorted(starts, [begin, end])
        places = first + np.flatnonzero(is_word[first:last])
        characters = count_characters(text[begin:end])
        if len(places) - characters + characters // _CHARACTERS_PER_WORD >= MIN_WORDS:
            yield _Passage(kind, int(places[0]), int(places[-1]) + 1, len(places))


def _keep_copies(index: Index, passage: _Passage, begins: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places of a sentence, or those where a whole text is a whole response."""
    if passage.kind == SENTENCE:
        return begins
    texts = _texts_at(index, begins).tolist()
    return begins[
        [_is_response(index, text, place, passage) for text, place in zip(texts, begins.tolist(), strict=True)]
    ]


def _is_response(index: Index, number: int, place: int, passage: _Passage) -> bool:
    """Tell whether a passage at a place of the index is all of a text, but for marks, and that text a response."""
    text = index.field(number)[1]
    if not re.fullmatch(r"response( \d+)?", text.field):
        return False
    whole = next(_passages(text.text, word_offsets(text.text)))
    begin = place - int(index.starts[number])
    return (whole.begin, whole.end) == (begin, begin + passage.end - passage.begin)


def _texts_at(index: Index, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of the texts that have the places of an index."""
    return np.searchsorted(index.starts, places, side="right") - 1


def _row(index: Index, place: int, passage: _Passage) -> CopiedRow:
    """Return the row that has a passage at a place of the index."""
    number = int(_texts_at(index, np.array([place]))[0])
    row, text = index.field(number)
    offsets = word_offsets(text.text)
    begin = place - int(index.starts[number])
    return CopiedRow(
        row_id=row.row_id,
        file=row.location.file,
        line=row.location.line or 0,
        record=row.location.record,
        field=text.field,
        char_start=offsets[begin][0],
        char_end=offsets[begin + passage.end - passage.begin - 1][1],
    )


def _contains(query: Query, run: Query) -> bool:
    """Tell whether a run of words stands in a text."""
    starts = np.flatnonzero(query == run[0])
    return any(np.array_equal(query[start : start + len(run)], run) for start in starts.tolist())
