"""What `check` does to one stretch of a file: faults row by row, and keys for the whole set."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tunescope.errors import SHOWN_PROBLEMS
from tunescope.family import members
from tunescope.rows import Rejected, Row, RowFile, containers
from tunescope.rows.records import Span
from tunescope.text.near_duplicates import Sketches, join, sketch
from tunescope.text.words import hash_words, words
from tunescope.verbs.check import faults
from tunescope.verbs.check.overlap import BenchmarkIndex

if TYPE_CHECKING:
    from tunescope.verbs.check import CheckSettings

BATCH = 4096
FAULTS = members(faults)
FINDERS = [(fault.NAME, fault.find) for fault in FAULTS]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A shard: one span of one file (None: all of it)."""

    file: RowFile
    span: Span | None


@dataclass(slots=True)
class State:
    """What every stretch needs: settings and the benchmark index."""

    settings: CheckSettings
    benchmarks: BenchmarkIndex | None


@dataclass(slots=True)
class Found:
    """Columns of the rows read so far, the faults with their details, and the benchmark items seen."""

    ids: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    words: list[int] = field(default_factory=list)
    question: list[int] = field(default_factory=list)
    answer: list[int] = field(default_factory=list)
    faults: list[tuple[int, str, str]] = field(default_factory=list)
    sketches: list[Sketches] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    items: set[int] = field(default_factory=set)


def check_stretch(state: State, stretch: Stretch, folder: Path) -> None:
    """Check the rows of one stretch; write `rows.npz`, `faults.jsonl` and `rejected.jsonl`."""
    found = Found()
    rows = _accepted(stretch, found, state.settings.on_bad == "skip")
    gc.disable()  # rows hold no cycles, and looking for some costs a tenth of the time
    try:
        while batch := list(islice(rows, BATCH)):
            _check_batch(state, batch, found)
    finally:
        gc.enable()
    sketches = join(found.sketches) if found.sketches else sketch(*hash_words([]))
    np.savez(
        folder / "rows.npz",
        ids=np.array([int(ident, 16) for ident in found.ids], np.uint64),
        lines=np.array(found.lines, np.int64),
        words=np.array(found.words, np.int64),
        question=np.array(found.question, np.uint64),
        answer=np.array(found.answer, np.uint64),
        items=np.array(sorted(found.items), np.int64),
        shingles=sketches.shingles,
        offsets=sketches.offsets,
    )
    np.save(folder / "bands.npy", sketches.bands)
    _write(folder / "faults.jsonl", found.faults)
    _write(folder / "rejected.jsonl", [item.as_json() for item in found.rejected])


def _write(path: Path, records: list[Any]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def _accepted(stretch: Stretch, found: Found, skip: bool) -> Iterator[Row]:
    for item in stretch.file.rows(stretch.span):
        if not isinstance(item, Rejected):
            yield item
        elif not skip or item.problem.found != containers.BOM_FOUND:
            found.rejected.append(item)
            if not skip and len(found.rejected) > SHOWN_PROBLEMS:
                return


def _check_batch(state: State, batch: list[Row], found: Found) -> None:
    base = len(found.ids)
    for number, row in enumerate(batch, base):
        answers = [message for message in row.messages if message.role == "assistant"]
        for name, find in FINDERS:
            detail = find(row, answers, state.settings)
            if detail is not None:
                found.faults.append((number, name, detail))
    texts = ["\n".join([m.content for m in row.messages if m.content]) for row in batch]
    flat, offsets = hash_words(texts)
    found.sketches.append(sketch(flat, offsets))
    if state.benchmarks is not None:
        overlaps = state.benchmarks.find(flat, offsets)
        found.items |= overlaps.items
        for at, item, start, n in overlaps.rows:
            shared = " ".join(words(texts[at])[start : start + n])
            detail = f"{n} words of {state.benchmarks.places[item]}: {shared!r}"
            found.faults.append((base + at, "benchmark_overlap", detail))
    for row in batch:
        question, answer = _exchange_keys(row)
        found.ids.append(row.id)
        found.lines.append(row.line)
        found.question.append(question)
        found.answer.append(answer)
    found.words.extend(np.diff(offsets).tolist())


def _exchange_keys(row: Row) -> tuple[int, int]:
    """Hash everything before the first answer, and that answer; case and blanks don't count."""
    before: list[str] = []
    answer = ""
    for message in row.messages:
        text = " ".join((message.content or "").lower().split())
        if message.role == "assistant":
            answer = text
            break
        before.append(f"{message.role}\n{text}")
    return _hash("\n".join(before)), _hash(answer)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
