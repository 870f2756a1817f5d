"""The index of a set of rows: their words as postings, their texts, and where they are.

Its files: the arrays of `matching.bm25.Postings`, the texts in a `matching.block_store`, `ROWS_PER_BLOCK` rows at a
time, the table `places`, `lengths.npy` (the words of each row), and `null.npy` (how alike in words rows are).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.errors import RunError
from tunescope.locations import Location
from tunescope.matching.block_store import BlockStore, write_blocks
from tunescope.matching.bm25 import Postings, PostingsBuilder
from tunescope.results.attribute import AttributeIndexResult, RowPlaces

if TYPE_CHECKING:
    import pyarrow as pa

    from tunescope.rows import Row
    from tunescope.runs import Run, RunFolder

ROWS_PER_BLOCK = 64
"""Rows that are compressed together; listing a row reads its block."""
ROWS_AT_A_TIME = 64 * ROWS_PER_BLOCK
"""Rows that are read at a time."""
_PLACE = ("row_id", "origin", "file", "line", "record")
"""Columns of the table `places`."""
_N_QUERIES, _N_OTHERS = 150, 1_500
"""Rows that stand for answers in the null distribution, and rows that these are compared with, at most."""


class StoredRow(NamedTuple):
    """A row as the index keeps it: its id, its place, and its messages as (role, text)."""

    row_id: str
    location: Location
    texts: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """All texts, a line each."""
        return "\n".join(text for _, text in self.texts)


def row_text(texts: Iterable[tuple[str, str]]) -> str:
    """Return the whole text of a row: that of all its messages."""
    return "\n".join(text for _, text in texts)


def texts_of(row: Row) -> list[tuple[str, str]]:
    """Return the role and text of a row's messages, thinking before the content."""
    texts = []
    for message in row.messages:
        for role, text in ((f"{message.role} thinking", message.thinking), (message.role, message.content)):
            if text:
                texts.append((role, text))
    return texts


def write_index(folder: RunFolder, rows: Iterable[Row]) -> AttributeIndexResult:
    """Index rows into a run folder.

    Raises:
        InputError: rows that can't be read.
    """
    postings, columns = PostingsBuilder(), [list[Any]() for _ in _PLACE]
    write_blocks(folder, _add_blocks(rows, postings, columns))
    lengths = np.array(postings.lengths, np.int32)
    folder.array("lengths", lengths)
    vocabulary = postings.write(folder)
    places = RowPlaces(**dict(zip(_PLACE, columns, strict=True)))
    folder.table(RowPlaces.NAME, places.table())
    _write_null(folder, lengths)
    size = sum(path.stat().st_size for path in folder.path.iterdir() if path.is_file())
    return AttributeIndexResult(
        rows=len(lengths),
        without_text=int((lengths == 0).sum()),
        words=int(lengths.sum()),
        vocabulary=vocabulary,
        bytes=size,
    )


def _add_blocks(rows: Iterable[Row], postings: PostingsBuilder, columns: Sequence[list[Any]]) -> Iterator[list[Any]]:
    """Note the words and the places of rows; yield their records in blocks."""
    stream = iter(rows)
    while batch := list(islice(stream, ROWS_AT_A_TIME)):
        records = [(row.id, row.location, texts_of(row)) for row in batch]
        postings.add([row_text(texts) for _, _, texts in records])
        for row in batch:
            for column, value in zip(columns, (row.id, row.origin, row.file, row.line, row.record), strict=True):
                column.append(value)
        for start in range(0, len(records), ROWS_PER_BLOCK):
            yield records[start : start + ROWS_PER_BLOCK]


def _read_record(record: Any) -> StoredRow:
    row_id, place, texts = record
    return StoredRow(row_id, Location(*place), tuple((role, text) for role, text in texts))


def _write_null(folder: RunFolder, lengths: NDArray[np.int32]) -> None:
    """Write how alike in words some rows are to others: scores of rows as if they were answers [pairs]."""
    store = _RowStore(folder.path, lengths)
    queries, others = sample_pairs(np.flatnonzero(lengths > 0))
    found = []
    for number in queries.tolist():
        scores = store.relative_scores(store.row(number).text)
        found.append(scores[others[others != number]])
    folder.array("null", np.concatenate([*found, np.zeros(0)]).astype(np.float32))


def sample_pairs(numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw rows that stand for answers, and rows that these are compared with, from the numbers of rows."""
    rng = np.random.default_rng(0)
    queries, others = (
        np.sort(rng.choice(numbers, min(most, len(numbers)), replace=False)) for most in (_N_QUERIES, _N_OTHERS)
    )
    return queries, others


class _RowStore:
    """The texts of rows, and their words, in a folder that `write_index` fills.

    Attributes:
        path: the folder.
        postings: the words of the rows.
        lengths: the words of each row [rows].
    """

    def __init__(self, path: Path, lengths: NDArray[np.int32]) -> None:
        """Open the files; raises OSError or ValueError where that can't be done."""
        self.path, self.lengths = path, lengths
        self.postings = Postings(path)
        self._rows = BlockStore(path, ROWS_PER_BLOCK, _read_record)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.lengths)

    def relative_scores(self, text: str) -> NDArray[np.float64]:
        """Return the BM25 score of every row for a text, over the one that the text would have for itself [rows]."""
        mean = float(np.mean(self.lengths)) if len(self) else 0.0
        own = self.postings.score_itself(text, len(self), mean)
        scores = self.postings.score(text, len(self))
        return scores / own if own > 0 else scores

    def row(self, number: int) -> StoredRow:
        """Return a row by its number, from 0."""
        with _reporting_damage(self.path):
            return self._rows[number]

    def rows(self, start: int = 0, end: int | None = None) -> Iterator[StoredRow]:
        """Yield the rows from `start` to before `end`, in order."""
        with _reporting_damage(self.path):
            yield from self._rows.values(start, end)


class RowIndex(_RowStore):
    """An open index.

    Attributes:
        run: the run that wrote it.
        about: its result.
        null: how alike in words rows are to other rows, as `relative_scores` has it [pairs].
    """

    def __init__(self, run: Run) -> None:
        """Open the run of `attribute index`; raises `RunError` where its files are damaged."""
        self.run = run
        self.about = AttributeIndexResult.read(run)
        with _reporting_damage(run.path):
            super().__init__(run.path, np.load(run.path / "lengths.npy", mmap_mode="r"))
            self.null: NDArray[np.float32] = np.load(run.path / "null.npy", mmap_mode="r")

    @cached_property
    def places(self) -> pa.Table:
        """The table of all rows: their ids and where they are."""
        return self.run.tables[RowPlaces.NAME]


@contextmanager
def _reporting_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, IndexError, OSError, ValueError, zlib.error) as error:
        raise RunError(
            f"{path}: found a damaged index ({error}); expected what tunescope wrote; remove the folder and type the "
            "same command again"
        ) from error
