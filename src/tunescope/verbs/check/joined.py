"""The results of all chunks, joined in file order, and the two tables that they become."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tunescope.errors import Problem
from tunescope.rows import Rejected, RowSet
from tunescope.runs import RunFolder
from tunescope.text.near_duplicates import Sketches, join_offsets
from tunescope.verbs.check.evidence import GRADES, Evidence
from tunescope.verbs.check.shard import RowFault

_COLUMNS = ("ids", "lines", "records", "words", "characters", "questions", "answers", "benchmark_items")


@dataclass(slots=True)
class JoinedRows:
    """What is known of all rows, in file order.

    Attributes:
        ids: row ids, exact repeats with their ordinals.
        repeats: how many times each row has come up to there, from 1 [rows].
        files: the names of the files.
        file_numbers: which of them each row is from [rows].
        lines: line of each row in its file [rows].
        records: its number there, 0 where the line tells it from other rows [rows].
        words: words of each row [rows].
        characters: how many of them are characters of scripts without spaces between words [rows].
        questions: hash of what stands before each row's first answer [rows].
        answers: hash of that answer [rows].
        sketches: what near-duplicates are found by.
        faults: all faults, row by row once `sort_faults` was called.
        benchmark_items: numbers of the benchmark items of which a run of words was seen.
    """

    ids: list[str]
    repeats: NDArray[np.int64]
    files: list[str]
    file_numbers: NDArray[np.int32]
    lines: NDArray[np.int64]
    records: NDArray[np.int64]
    words: NDArray[np.int64]
    characters: NDArray[np.int64]
    questions: NDArray[np.uint64]
    answers: NDArray[np.uint64]
    sketches: Sketches
    faults: list[RowFault]
    benchmark_items: set[int]

    def add_faults(self, fault: str, evidence: Iterable[tuple[int, Evidence]]) -> None:
        """Add one fault's (position, evidence) pairs."""
        self.faults.extend(RowFault(position, fault, *seen) for position, seen in evidence)

    def sort_faults(self, names: Sequence[str]) -> dict[str, list[int]]:
        """Sort the faults by row, then in the order of `names`; return the rows' positions by fault."""
        order = {name: number for number, name in enumerate(names)}
        self.faults.sort(key=lambda item: (item.position, order[item.fault]))
        positions: dict[str, list[int]] = {name: [] for name in names}
        for item in self.faults:
            positions[item.fault].append(item.position)
        return positions

    def write_tables(self, folder: RunFolder, rows_by_fault: Mapping[str, Sequence[int]]) -> None:
        """Write the tables `rows` and `faults`."""
        faulty, surely_wrong = (self._flag(self.faulty_rows(sure)) for sure in (False, True))
        flags = {"faulty": faulty, "surely_wrong": surely_wrong}
        flags |= {name: self._flag(rows) for name, rows in rows_by_fault.items()}
        file_names = pa.DictionaryArray.from_arrays(pa.array(self.file_numbers), pa.array(self.files))
        places = {
            "row_id": pa.array(self.ids),
            "file": file_names.cast(pa.string()),
            "line": pa.array(self.lines),
            "record": pa.array(self.records, mask=self.records == 0),
        }
        sizes = {"words": pa.array(self.words), "characters": pa.array(self.characters)}
        columns = {**places, **sizes, **{name: pa.array(flag) for name, flag in flags.items()}}
        folder.table("rows", pa.table(columns))
        folder.table("faults", self._fault_table())

    def faulty_rows(self, only_sure: bool) -> set[int]:
        """Return the positions of the rows with a fault; `only_sure`: with one that is surely wrong."""
        return {item.position for item in self.faults if item.is_sure or not only_sure}

    def count_sure(self) -> dict[str, int]:
        """Return, for each fault, how many rows are surely wrong by it."""
        rows = {(item.fault, item.position) for item in self.faults if item.is_sure}
        return dict(Counter(fault for fault, _ in rows))

    def _flag(self, positions: Iterable[int]) -> NDArray[np.bool_]:
        flags = np.zeros(len(self.ids), bool)
        flags[list(positions)] = True
        return flags

    def _fault_table(self) -> pa.Table:
        positions = [item.position for item in self.faults]
        return pa.table(
            {
                "row_id": pa.array([self.ids[row] for row in positions], pa.string()),
                "fault": pa.array([item.fault for item in self.faults], pa.string()),
                "grade": pa.array([GRADES[item.is_sure] for item in self.faults], pa.string()),
                "detail": pa.array([item.detail for item in self.faults], pa.string()),
                "file": pa.array([self.files[self.file_numbers[row]] for row in positions], pa.string()),
                "line": pa.array(self.lines[positions], pa.int64()),
                "record": pa.array(self.records[positions], pa.int64(), mask=self.records[positions] == 0),
            }
        )


def join_chunks(folders: Sequence[Path], file_names: Sequence[str], rows: RowSet) -> JoinedRows:
    """Read what `check_chunk` wrote for each chunk of the files `file_names`.

    Raises:
        InputError: records were rejected, and they aren't to be skipped.
    """
    _collect_rejected(folders, rows)
    chunks = [np.load(folder / "rows.npz") for folder in folders]
    columns = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in _COLUMNS}
    repeats = count_repeats(columns["ids"])
    sizes = [len(chunk["ids"]) for chunk in chunks]
    files = list(dict.fromkeys(file_names))
    return JoinedRows(
        ids=_name_repeats(columns["ids"], repeats),
        repeats=repeats,
        files=files,
        file_numbers=np.repeat([files.index(name) for name in file_names], sizes).astype(np.int32),
        lines=columns["lines"],
        records=columns["records"],
        words=columns["words"],
        characters=columns["characters"],
        questions=columns["questions"],
        answers=columns["answers"],
        sketches=_join_sketches(folders, chunks),
        faults=list(_read_faults(folders, sizes)),
        benchmark_items=set(columns["benchmark_items"].tolist()),
    )


def _collect_rejected(folders: Sequence[Path], rows: RowSet) -> None:
    rows.rejected = []
    for folder in folders:
        for record in _read_json_lines(folder / "rejected.jsonl"):
            raw = record.pop("raw")
            rows.reject(Rejected(Problem(**record), raw))
    rows.raise_if_rejected()


def count_repeats(ids: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Count, for every row, how many times its id has come up to there, from 1 [rows]."""
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    is_first = np.ones(len(ids), bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    start = np.maximum.accumulate(np.where(is_first, np.arange(len(ids)), 0))
    counts = np.empty(len(ids), np.int64)
    counts[order] = np.arange(len(ids)) - start + 1
    return counts


def _name_repeats(ids: NDArray[np.uint64], repeats: NDArray[np.int64]) -> list[str]:
    return [
        f"{row_id:016x}" if count == 1 else f"{row_id:016x}.{count}"
        for row_id, count in zip(ids.tolist(), repeats.tolist(), strict=True)
    ]


def _join_sketches(folders: Sequence[Path], chunks: Sequence[Mapping[str, NDArray[Any]]]) -> Sketches:
    """Read and join one array after the other: only one of them is there twice."""
    bands = np.concatenate([np.load(folder / "bands.npy") for folder in folders], axis=1)
    shingles = np.concatenate([chunk["shingles"] for chunk in chunks])
    return Sketches(bands, shingles, join_offsets([chunk["offsets"] for chunk in chunks]))


def _read_faults(folders: Sequence[Path], sizes: Sequence[int]) -> Iterator[RowFault]:
    """Yield the chunks' faults, their positions counted through all chunks."""
    start = 0
    for folder, size in zip(folders, sizes, strict=True):
        for position, fault, detail, is_sure in _read_json_lines(folder / "faults.jsonl"):
            yield RowFault(start + position, fault, detail, is_sure)
        start += size


def _read_json_lines(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)
