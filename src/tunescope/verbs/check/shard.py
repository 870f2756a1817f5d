"""What `check` does to one chunk of a file: faults row by row, and keys for the whole set."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tunescope.errors import SHOWN_PROBLEMS
from tunescope.family import members
from tunescope.rows import Rejected, Row, RowFile
from tunescope.rows.content import all_text, exchange_keys, structure_key
from tunescope.rows.records import Chunk
from tunescope.text.near_duplicates import Sketches, join, sketch
from tunescope.text.words import count_characters, fold, hash_words, words
from tunescope.verbs.check import faults, overlap
from tunescope.verbs.check.evidence import Evidence, look_at
from tunescope.verbs.check.overlap import BenchmarkIndex, Overlaps
from tunescope.verbs.check.settings import CheckSettings

BATCH = 4096
FAULTS = members(faults)
_FINDERS = [(fault.NAME, fault.find) for fault in FAULTS]


class RowFault(NamedTuple):
    """A fault of a row: the row's position from 0, the fault's name, what was seen, and whether that settles it."""

    position: int
    fault: str
    detail: str
    is_sure: bool


@dataclass(frozen=True, slots=True)
class FileChunk:
    """A shard: one chunk of one file (None: all of it)."""

    file: RowFile
    chunk: Chunk | None


@dataclass(slots=True)
class CheckContext:
    """What every chunk needs: settings and the benchmark index."""

    settings: CheckSettings
    benchmarks: BenchmarkIndex | None


@dataclass(slots=True)
class _ChunkResult:
    """Columns of the rows read so far, their faults, what was rejected, and the benchmark items seen."""

    ids: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    records: list[int] = field(default_factory=list)
    words: list[int] = field(default_factory=list)
    characters: list[int] = field(default_factory=list)
    questions: list[int] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    faults: list[RowFault] = field(default_factory=list)
    sketches: list[Sketches] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    benchmark_items: set[int] = field(default_factory=set)


def check_chunk(context: CheckContext, chunk: FileChunk, folder: Path) -> None:
    """Check the rows of one chunk; write `rows.npz`, `bands.npy`, `faults.jsonl` and `rejected.jsonl`."""
    result = _ChunkResult()
    rows = _readable_rows(chunk, result.rejected, context.settings.on_bad == "skip")
    gc.disable()  # rows hold no cycles, and looking for some costs a tenth of the time
    try:
        while batch := list(islice(rows, BATCH)):
            _check_batch(context, batch, result)
    finally:
        gc.enable()
    _write_result(result, folder)


def _readable_rows(chunk: FileChunk, rejected: list[Rejected], skip: bool) -> Iterator[Row]:
    """Yield the rows and collect the records that aren't; stop when the report of these is full."""
    for item in chunk.file.rows(chunk.chunk):
        if not isinstance(item, Rejected):
            yield item
        else:
            rejected.append(item)
            if not skip and len(rejected) > SHOWN_PROBLEMS:
                return


def _check_batch(context: CheckContext, batch: Sequence[Row], result: _ChunkResult) -> None:
    start = len(result.ids)
    result.faults += _find_faults(batch, context.settings, start)
    texts = [all_text(row) for row in batch]
    flat, offsets = hash_words(texts)
    result.sketches.append(sketch(flat, offsets, np.array([structure_key(row) for row in batch], np.uint64)))
    result.words += np.diff(offsets).tolist()
    result.characters += map(count_characters, texts)
    if context.benchmarks is not None:
        overlaps = context.benchmarks.find_overlaps(flat, offsets)
        result.benchmark_items |= overlaps.items
        result.faults += _describe_overlaps(overlaps, texts, context.benchmarks, start)
    for row in batch:
        question, answer = exchange_keys(row, fold)
        result.ids.append(row.id)
        result.lines.append(row.line)
        result.records.append(row.record or 0)
        result.questions.append(question)
        result.answers.append(answer)


def _find_faults(batch: Sequence[Row], settings: CheckSettings, start: int) -> Iterator[RowFault]:
    """Ask every fault's `find` about every row; the first row has the position `start`."""
    for position, row in enumerate(batch, start):
        answers = [message for message in row.messages if message.role == "assistant"]
        for fault, find in _FINDERS:
            evidence = find(row, answers, settings)
            if evidence is None and row.rejected:
                evidence = _find_in_rejected(row.rejected_row, find, settings)
            if evidence is not None:
                yield RowFault(position, fault, *evidence)


def _find_in_rejected(row: Row, find: Any, settings: CheckSettings) -> Evidence | None:
    """Ask a fault's `find` about the other side of a preference row, which may be bad on purpose."""
    evidence = find(row, [message for message in row.messages if message.role == "assistant"], settings)
    return None if evidence is None else look_at(f"in the rejected conversation: {evidence.detail}")


def _describe_overlaps(
    overlaps: Overlaps, texts: Sequence[str], benchmarks: BenchmarkIndex, start: int
) -> Iterator[RowFault]:
    for row, item, first_word, n in overlaps.rows:
        shared = " ".join(words(texts[row])[first_word : first_word + n])
        yield RowFault(start + row, overlap.NAME, *look_at(f"{n} words of {benchmarks.places[item]}: {shared!r}"))


def _write_result(result: _ChunkResult, folder: Path) -> None:
    sketches = join(result.sketches) if result.sketches else sketch(*hash_words([]))
    np.savez(
        folder / "rows.npz",
        ids=np.array([int(row_id, 16) for row_id in result.ids], np.uint64),
        lines=np.array(result.lines, np.int64),
        records=np.array(result.records, np.int64),
        words=np.array(result.words, np.int64),
        characters=np.array(result.characters, np.int64),
        questions=np.array(result.questions, np.uint64),
        answers=np.array(result.answers, np.uint64),
        benchmark_items=np.array(sorted(result.benchmark_items), np.int64),
        shingles=sketches.shingles,
        offsets=sketches.offsets,
    )
    np.save(folder / "bands.npy", sketches.bands)
    _write_json_lines(folder / "faults.jsonl", result.faults)
    _write_json_lines(folder / "rejected.jsonl", [item.as_json() for item in result.rejected])


def _write_json_lines(path: Path, records: Sequence[Any]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
