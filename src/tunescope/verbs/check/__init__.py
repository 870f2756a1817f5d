"""`check`: what is wrong with rows, found without a model."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunescope import runs
from tunescope.runs import INPUT, NOT_IN_KEY, Outcome, Run, RunFolder
from tunescope.settings import RowsSettings, typed
from tunescope.views import Table, View, interval, percent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tunescope.rows import RowSet
    from tunescope.verbs.check.overlap import BenchmarkIndex

VERSION = 1
SHOWN_ROWS = 2
SMALL = 2**24
"""Bytes of row files up to which starting a second process takes longer than it saves."""


@dataclass(frozen=True, kw_only=True)
class CheckSettings(RowsSettings):
    """Find faults in rows without a model."""

    against: tuple[str, ...] = field(default=(), metadata=INPUT)
    """Benchmark files, folders or globs to look for in the rows (.json, .jsonl, .csv, .txt, .parquet)."""

    max_words: int = 1500
    """Rows with more words than this are very long."""

    near_duplicate_at: float = 0.8
    """Jaccard similarity of word 3-grams from which two rows are near-duplicates."""

    workers: int | None = field(default=None, metadata=NOT_IN_KEY)
    """Processes to read with; one per core by default, one for small files."""

    out: str | None = runs.out_field()
    """The run folder; runs/check-KEY by default."""


def check(settings: CheckSettings) -> Run:
    """Check rows; return the run with tables `rows` (a record per row) and `faults`.

    `rows` has row_id, file, line, words, faulty (any of them) and a true/false column per fault;
    `faults` has row_id, fault, detail, file and line.

    Raises:
        InputError: rows or benchmarks that can't be read.
        SettingsError: a similarity outside (0, 1], or less than one word or worker.
    """
    from tunescope.errors import SettingsError
    from tunescope.rows import open_rows

    if not 0 < settings.near_duplicate_at <= 1:
        raise SettingsError(f"--near-duplicate-at {settings.near_duplicate_at}: expected a number above 0, up to 1")
    for name, number in (("max-words", settings.max_words), ("workers", settings.workers)):
        if number is not None and number < 1:
            raise SettingsError(f"--{name} {number}: expected at least 1")
    rows = open_rows(settings.rows, settings.format, settings.columns, settings.on_bad)
    inputs = dict(rows.inputs)
    paths: list[Path] = []
    if settings.against:
        from tunescope.rows.containers import content_hash
        from tunescope.verbs.check.overlap import expand

        paths = expand(settings.against)
        # told apart from rows, so that rows A against B isn't rows A and B
        inputs |= {f"against {path}": f"against {content_hash(path)}" for path in paths}
    return runs.execute("check", VERSION, settings, inputs, partial(_work, settings, rows, paths))


def _work(settings: CheckSettings, rows: RowSet, against: list[Path], folder: RunFolder) -> Outcome:
    from tunescope.engine import cores, map_shards
    from tunescope.verbs.check.shard import Stretch, check_stretch

    benchmarks = None
    if against:
        from tunescope.verbs.check.overlap import build

        benchmarks = build(against)
    stretches = [Stretch(file, span) for file in rows.files for span in file.spans()]
    size = sum(file.path.stat().st_size for file in rows.files if file.path.is_file())
    workers = settings.workers or (cores() if size > SMALL else 1)
    shards = map_shards(
        check_stretch,
        stretches,
        partial(_set_up, settings, benchmarks),
        folder.scratch / "stretches",
        workers,
        "stretches",
    )
    merged = _Merged.read(shards, [stretch.file.name for stretch in stretches], rows)
    return _finish(settings, merged, benchmarks, folder, rows)


def _set_up(settings: CheckSettings, benchmarks: BenchmarkIndex | None) -> Any:
    from tunescope.verbs.check.shard import State

    return State(settings, benchmarks)


@dataclass(slots=True)
class _Merged:
    """The stretches' results, joined in file order."""

    file: NDArray[np.int32]
    files: list[str]
    lines: NDArray[np.int64]
    words: NDArray[np.int64]
    names: list[str]
    repeat: NDArray[np.int64]
    question: NDArray[np.uint64]
    answer: NDArray[np.uint64]
    sketches: Any
    found: list[tuple[int, str, str]]
    items: set[int]

    @classmethod
    def read(cls, shards: list[Path], files: list[str], rows: RowSet) -> _Merged:
        """Load every stretch; refuse the input if rows were refused."""
        import numpy as np

        from tunescope.errors import Problem
        from tunescope.rows import Rejected
        from tunescope.text.near_duplicates import Sketches, join
        from tunescope.verbs.check.whole_set import ordinals

        rows.rejected = []
        for shard in shards:
            for record in _lines(shard / "rejected.jsonl"):
                raw = record.pop("raw")
                rows.reject(Rejected(Problem(**record), raw))
        rows.raise_if_refused()
        arrays = [np.load(shard / "rows.npz") for shard in shards]
        whole = ("ids", "lines", "words", "question", "answer", "items")
        columns = {name: np.concatenate([a[name] for a in arrays]) for name in whole}
        counts = [len(a["ids"]) for a in arrays]
        bands = [np.load(shard / "bands.npy") for shard in shards]
        sketches = join([Sketches(b, a["shingles"], a["offsets"]) for b, a in zip(bands, arrays, strict=True)])
        repeat = ordinals(columns["ids"])
        names = [
            f"{ident:016x}" if count == 1 else f"{ident:016x}.{count}"
            for ident, count in zip(columns["ids"].tolist(), repeat.tolist(), strict=True)
        ]
        starts = np.concatenate([[0], np.cumsum(counts)]).tolist()
        found = [
            (starts[number] + row, fault, detail)
            for number, shard in enumerate(shards)
            for row, fault, detail in _lines(shard / "faults.jsonl")
        ]
        distinct = list(dict.fromkeys(files))
        owner = np.repeat([distinct.index(name) for name in files], counts).astype(np.int32)
        return cls(
            owner, distinct, columns["lines"], columns["words"], names, repeat,
            columns["question"], columns["answer"], sketches, found, set(columns["items"].tolist()),
        )  # fmt: skip


def _lines(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def meanings() -> dict[str, str]:
    """Return every fault's name and what it means, in the order of the tables."""
    from tunescope.verbs.check.shard import FAULTS
    from tunescope.verbs.check.whole_set import MEANINGS

    overlap = "a run of 13 words (or a whole text of 8 to 12) from a benchmark item"
    return {fault.NAME: fault.MEANING for fault in FAULTS} | MEANINGS | {"benchmark_overlap": overlap}


def _finish(
    settings: CheckSettings, merged: _Merged, benchmarks: BenchmarkIndex | None, folder: RunFolder, rows: RowSet
) -> Outcome:
    import numpy as np
    import pyarrow as pa

    from tunescope.verbs.check import whole_set

    def note(name: str, found: Iterable[tuple[int, str]]) -> None:
        merged.found.extend((row, name, detail) for row, detail in found)

    names = merged.names
    note("exact_duplicate", whole_set.exact_duplicates(merged.repeat, names))
    first = merged.repeat == 1
    note("near_duplicate", whole_set.near_duplicates(merged.sketches, settings.near_duplicate_at, first, names))
    note("conflicting_answers", whole_set.conflicting_answers(merged.question, merged.answer, names))
    known = [name for name in meanings() if benchmarks is not None or name != "benchmark_overlap"]
    order = {name: number for number, name in enumerate(known)}
    merged.found.sort(key=lambda item: (item[0], order[item[1]]))
    of_fault = {name: [row for row, fault, _ in merged.found if fault == name] for name in known}
    flags = {name: np.zeros(len(names), bool) for name in known}
    for name, found in of_fault.items():
        flags[name][found] = True
    file_names = pa.array(merged.files)
    table = {
        "row_id": pa.array(names),
        "file": pa.DictionaryArray.from_arrays(pa.array(merged.file), file_names).cast(pa.string()),
        "line": pa.array(merged.lines),
        "words": pa.array(merged.words),
    }
    where = [row for row, _, _ in merged.found]
    faulty = np.zeros(len(names), bool)
    faulty[where] = True
    flags = {"faulty": faulty, **flags}
    folder.table("rows", pa.table({**table, **{name: pa.array(flag) for name, flag in flags.items()}}))
    folder.table(
        "faults",
        pa.table(
            {
                "row_id": pa.array([names[row] for row in where], pa.string()),
                "fault": pa.array([fault for _, fault, _ in merged.found], pa.string()),
                "detail": pa.array([detail for _, _, detail in merged.found], pa.string()),
                "file": pa.array([merged.files[merged.file[row]] for row in where], pa.string()),
                "line": pa.array(merged.lines[where], pa.int64()),
            }
        ),
    )
    if rows.rejected:
        folder.records("rejected", (item.as_json() for item in rows.rejected))
    result: dict[str, Any] = {
        "rows": len(names),
        "faulty_rows": int(faulty.sum()),
        "rejected": len(rows.rejected),
        "faults": {name: len(set(found)) for name, found in of_fault.items()},
    }
    if benchmarks is not None:
        result["benchmarks"] = _benchmark_counts(benchmarks, merged.items)
    return Outcome(result, _view(settings, merged, result, of_fault, folder, rows))


def _benchmark_counts(benchmarks: BenchmarkIndex, seen: set[int]) -> list[dict[str, Any]]:
    """Count, per benchmark file, its items, those too short to tell, and those seen in rows."""
    items = Counter(benchmarks.files)
    in_rows = Counter(benchmarks.files[item] for item in seen)
    return [
        {"file": name, "items": items[name], "too_short": short, "items_in_rows": in_rows[name]}
        for name, short in benchmarks.too_short.items()
    ]


def _view(
    settings: CheckSettings,
    merged: _Merged,
    result: dict[str, Any],
    of_fault: dict[str, list[int]],
    folder: RunFolder,
    rows: RowSet,
) -> View:
    from tunescope.stats import proportion_from_counts
    from tunescope.text.near_duplicates import candidate_probability

    n = result["rows"]
    meaning = meanings()
    lines = []
    for name, found in of_fault.items():
        if found:
            share = proportion_from_counts(len(set(found)), n)
            lines.append((name, len(set(found)), percent(share.value), _interval(share), meaning[name]))
    layout = ", ".join(dict.fromkeys(f"{f.layout.format} in {f.container}" for f in rows.files))
    faulty = result["faulty_rows"]
    share = proportion_from_counts(faulty, n)
    sentences = [
        f"{n:,} rows ({layout}): {faulty:,} ({percent(share.value, 1)}) have at least one of "
        f"{len(of_fault)} faults looked for."
    ]
    if result["rejected"]:
        sentences.append(f"{result['rejected']:,} records couldn't be read and are in rejected.jsonl, with the reason.")
    tables = []
    clean = ", ".join(name for name, found in of_fault.items() if not found)
    note = (
        "Share of rows with its Wilson 95 % interval (the rows taken as a sample of their source). "
        + (f"Not found: {clean}. " if clean else "")
        + f"Near-duplicates at {settings.near_duplicate_at}: banding proposes such a pair with probability "
        f"{candidate_probability(settings.near_duplicate_at):.4f}, exact Jaccard decides."
    )
    if lines:
        tables.append(Table("Faults", ("fault", "rows", "share", "95 % interval", "meaning"), tuple(lines), note))
        tables.append(Table("First of each", ("fault", "row id", "place", "found"), tuple(_examples(merged, of_fault))))
    if "benchmarks" in result:
        counts = tuple(tuple(b.values()) for b in result["benchmarks"] if b["items_in_rows"])
        clean_files = sum(not b["items_in_rows"] for b in result["benchmarks"])
        note = (
            f"{clean_files} other files share nothing with the rows. Items too short: no text of 8 words, so nothing "
            "can be said of them."
        )
        tables.append(Table("Benchmarks", ("file", "items", "too short", "items found in rows"), counts, note))
    return View(tuple(sentences), tuple(tables), tuple(_next(settings, of_fault, merged, folder)))


def _examples(merged: _Merged, of_fault: dict[str, list[int]]) -> Iterator[tuple[str, str, str, str]]:
    """Yield the first rows of each fault, with what was found."""
    shown = {(name, row) for name, found in of_fault.items() for row in found[:SHOWN_ROWS]}
    details = {(fault, row): detail for row, fault, detail in reversed(merged.found) if (fault, row) in shown}
    for name, found in of_fault.items():
        for row in dict.fromkeys(found[:SHOWN_ROWS]):
            place = f"line {merged.lines[row]}"
            if len(merged.files) > 1:
                place = f"{merged.files[merged.file[row]]}, {place}"
            yield name, merged.names[row], place, details[name, row]


def _interval(estimate: Any) -> str:
    if estimate.low is None:
        return interval(None, None)
    return f"{100 * estimate.low:.2f} to {100 * estimate.high:.2f} %"


def _next(settings: CheckSettings, of_fault: dict[str, list[int]], merged: _Merged, folder: RunFolder) -> Iterator[str]:
    """Yield the commands that act on what was found."""
    found = [name for name, rows in of_fault.items() if rows]
    if not found:
        return
    source = typed(settings.rows, settings.format, settings.columns, settings.on_bad)
    start = f"tunescope select {source} --from {shlex.quote(str(folder.path))} --where"
    yield f"{start} 'faulty = false'"
    if len(found) > 1:
        for name in found:
            yield f"{start} '{name} = false'"
    if folder.is_under_runs_root:
        yield f"tunescope why {merged.names[of_fault[found[0]][0]]}"
