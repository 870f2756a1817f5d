"""`trace`: which rows taught a model these words (the Limitations paper, sections 4 and 5; docs/how-to/trace.md)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tunescope import runs
from tunescope.errors import SettingsError
from tunescope.runs import Outcome, Run, RunFolder
from tunescope.verbs.trace.settings import IndexSettings, TraceSettings, validate

if TYPE_CHECKING:
    from tunescope.rows import RowSet
    from tunescope.verbs.trace.index import Index

VERSION = 3


def index_rows(settings: IndexSettings) -> Run:
    """Index rows; return the run. `trace --rows` takes its folder.

    Raises:
        InputError, SettingsError: in one sentence each.
        MissingPackageError: numba or pydivsufsort isn't installed.
    """
    from tunescope.rows import open_rows

    rows = open_rows(settings.rows, settings.format, settings.columns, settings.on_bad)
    return runs.execute("trace index", VERSION, settings, rows.inputs, partial(_write_index, settings, rows))


def _write_index(settings: IndexSettings, rows: RowSet, folder: RunFolder) -> Outcome:
    from tunescope.verbs.trace import null, view
    from tunescope.verbs.trace.index import Index, write_index

    write_index(folder, rows, rows.inputs)
    if rows.rejected:
        folder.records("rejected", (item.as_json() for item in rows.rejected))
    index = Index(folder.path)
    sample = null.leave_one_out(index)
    null.save(folder, sample)
    return view.show_index(settings, index, sample)


def trace(settings: TraceSettings) -> Run:
    """Trace a text or answers; return the run with `spans.jsonl`.

    A run on answers also has `answers.jsonl`, `rows.jsonl` (the rows named) and the tables `answers` and `rows`.

    Raises:
        InputError, SettingsError, RunError: in one sentence each: answers or rows that can't be read, rows that changed
            since the index was built, an index of another version.
        MissingPackageError: numba or pydivsufsort (or with --embedder, sentence-transformers) isn't installed.
    """
    validate(settings)
    if settings.text is not None:
        from tunescope.answers import read_typed
        from tunescope.verbs.trace.single import trace_text

        text = read_typed(settings.text, "--text", sys.stdin.buffer)
        index, inputs = _open_index(settings)
        inputs = {**inputs, "text": text}
        return runs.execute("trace", VERSION, settings, inputs, partial(trace_text, settings, text, index))
    from tunescope.verbs.trace.answers import trace_answers
    from tunescope.verbs.trace.sources import Sources

    sources = Sources.read(settings)
    index, inputs = _open_index(settings)
    inputs = {**inputs, **sources.inputs}
    return runs.execute("trace", VERSION, settings, inputs, partial(trace_answers, settings, sources, index))


def _open_index(settings: TraceSettings) -> tuple[Index, Mapping[str, str]]:
    """Open the index of the rows, or build it if there is none; return it and its inputs, name → hash."""
    from tunescope.rows import open_rows
    from tunescope.verbs.trace.index import Index, is_index

    if len(settings.rows) == 1 and is_index(Path(settings.rows[0])):
        for option, value in (("format", settings.format), ("columns", settings.columns)):
            if value:
                raise SettingsError(f"--{option} doesn't apply to an index, whose rows are read already; leave it out")
        run = Run(Path(settings.rows[0]))
        index = Index(run.path)
        index.validate_unchanged()
        return index, {**index.about["inputs"], "index": run.key}
    rows = open_rows(settings.rows, settings.format, settings.columns, settings.on_bad)
    of_index = IndexSettings(
        rows=settings.rows, format=settings.format, columns=settings.columns, on_bad=settings.on_bad
    )
    finished = runs.find_finished("trace index", VERSION, of_index, rows.inputs)
    if finished is None:
        work = partial(_write_index, of_index, rows)
        finished = runs.execute("trace index", VERSION, of_index, rows.inputs, work)
    return Index(finished.path), {**rows.inputs, "index": finished.key}
