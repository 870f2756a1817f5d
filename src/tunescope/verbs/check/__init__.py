"""`check`: what is wrong with rows, found without a model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tunescope import runs
from tunescope.errors import SettingsError, UsageError
from tunescope.results.check import CheckResult
from tunescope.runs import Outcome, Run, RunFolder
from tunescope.verbs.check.settings import CheckSettings

if TYPE_CHECKING:
    from tunescope.rows import RowSet
    from tunescope.verbs.check.overlap import BenchmarkIndex

__all__ = ["CheckSettings", "check"]

VERSION = 2
_SMALL = 2**24
"""Bytes of row files up to which starting a second process takes longer than it saves."""


def check(settings: CheckSettings) -> Run:
    """Check rows; return the run with tables `rows` (a record per row) and `faults`.

    `rows` has row_id, file, line, record, words, characters, faulty (any of them), surely_wrong and a true/false column
    per fault; `faults` has row_id, fault, grade, detail, file, line and record. `line` is the line on which the row
    begins (the row's number in Parquet and hub data sets), `record` its number in the file where the line doesn't tell
    it from others.

    Raises:
        InputError: rows or benchmarks that can't be read.
        SettingsError: a fault to show that there isn't, or a CSV file that is there with other content.
    """
    if settings.masks:
        from tunescope.verbs.check.masks import check_masks

        return check_masks(settings)
    if not settings.rows:
        raise UsageError("no rows are given; type a file, or --masks with --model or --template")
    from tunescope.rows import open_rows

    rows = open_rows(settings.rows, settings.format, settings.columns, settings.on_bad)
    benchmark_files = _find_benchmarks(settings)
    inputs = rows.inputs | _benchmark_inputs(benchmark_files)
    names = list(meanings(with_benchmarks=bool(benchmark_files)))
    if settings.show is not None and settings.show not in names:
        raise SettingsError(f"--show {settings.show}: no such fault; expected {', '.join(names)}")
    run = runs.execute("check", VERSION, settings, inputs, partial(_work, settings, rows, benchmark_files))
    return _show(settings, rows, run)


def _show(settings: CheckSettings, rows: RowSet, run: Run) -> Run:
    """Return the run with the view that was asked for: all rows of a fault, or what to do that isn't done yet."""
    if settings.show is None and settings.csv is None:
        from tunescope.verbs.check.view import without_what_is_done

        return without_what_is_done(run)
    from tunescope.verbs.check.shown import read_faulty_rows, show_fault, write_csv

    faulty = read_faulty_rows(run, rows, settings.show)
    if settings.csv is not None:
        write_csv(Path(settings.csv), faulty)
    return run if settings.show is None else show_fault(run, settings.show, faulty)


def _find_benchmarks(settings: CheckSettings) -> list[Path]:
    if not settings.against:
        return []
    from tunescope.verbs.check.benchmark_files import find_files

    return find_files(settings.against)


def _benchmark_inputs(paths: list[Path]) -> dict[str, str]:
    """Return name → content hash; both say `against`, so that rows A against B have another key than rows A and B."""
    from tunescope.rows.containers import content_hash

    return {f"against {path}": f"against {content_hash(path)}" for path in paths}


def _work(settings: CheckSettings, rows: RowSet, benchmark_files: list[Path], folder: RunFolder) -> Outcome:
    benchmarks = _index(benchmark_files)
    chunk_folders, file_names = _check_chunks(settings, rows, benchmarks, folder)
    from tunescope.verbs.check.joined import join_chunks  # brings pyarrow, which isn't needed while workers run
    from tunescope.verbs.check.view import build_view
    from tunescope.verbs.check.whole_set import add_whole_set_faults

    joined = join_chunks(chunk_folders, file_names, rows)
    add_whole_set_faults(joined, settings.near_duplicate_at)
    rows_by_fault = joined.sort_faults(list(meanings(with_benchmarks=benchmarks is not None)))
    joined.write_tables(folder, rows_by_fault)
    sure = joined.count_sure()
    if rows.rejected:
        folder.records("rejected", (item.as_json() for item in rows.rejected))
    result = CheckResult(
        rows=len(joined.ids),
        faulty_rows=len(joined.faulty_rows(only_sure=False)),
        rejected=len(rows.rejected),
        rows_in_characters=int((joined.characters > 0).sum()),
        faults={fault: len(set(positions)) for fault, positions in rows_by_fault.items()},
        surely_wrong_rows=len(joined.faulty_rows(only_sure=True)),
        surely_wrong={fault: sure.get(fault, 0) for fault in rows_by_fault},
        benchmarks=None if benchmarks is None else benchmarks.count_items(joined.benchmark_items),
    )
    return Outcome(result.as_json(), build_view(settings, joined, result, rows_by_fault, meanings(), folder, rows))


def _index(benchmark_files: list[Path]) -> BenchmarkIndex | None:
    if not benchmark_files:
        return None
    from tunescope.verbs.check.overlap import build_index

    return build_index(benchmark_files)


def _check_chunks(
    settings: CheckSettings, rows: RowSet, benchmarks: BenchmarkIndex | None, folder: RunFolder
) -> tuple[list[Path], list[str]]:
    """Check every chunk of every file, in one process or several; return a folder and a file name for each."""
    from tunescope.engine import cores, map_shards
    from tunescope.settings import EngineSettings
    from tunescope.verbs.check.shard import CheckContext, FileChunk, check_chunk

    chunks = [FileChunk(file, chunk) for file in rows.files for chunk in file.chunks()]
    size = sum(file.path.stat().st_size for file in rows.files if file.path.is_file())
    folders = map_shards(
        check_chunk,
        chunks,
        partial(CheckContext, settings, benchmarks),
        folder.scratch / "chunks",
        EngineSettings(workers=settings.workers or (cores() if size > _SMALL else 1)),
        "chunks",
    )
    return folders, [chunk.file.name for chunk in chunks]


def meanings(with_benchmarks: bool = True) -> Mapping[str, str]:
    """Return every fault's name and what it means, in the order of the tables."""
    from tunescope.verbs.check import overlap, shard, whole_set

    last = {overlap.NAME: overlap.MEANING} if with_benchmarks else {}
    return {fault.NAME: fault.MEANING for fault in shard.FAULTS} | whole_set.MEANINGS | last
