"""`trace`: which rows taught a model these words (paper 2, sections 4 and 5; docs/trace.md)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tunescope import runs
from tunescope.errors import RunError, SettingsError
from tunescope.models.embedded import EMBEDDERS
from tunescope.runs import INPUT, NOT_IN_KEY, Outcome, Run, RunFolder
from tunescope.settings import RowsSettings

if TYPE_CHECKING:
    from tunescope.rows import RowSet
    from tunescope.verbs.trace.index import Index

VERSION = 1
INDEX = "index.json"


@dataclass(frozen=True, kw_only=True)
class IndexSettings(RowsSettings):
    """Index rows for tracing: their words, a suffix array, and what they share with each other by chance."""

    out: str | None = runs.out_field()
    """The run folder; runs/trace-index-KEY by default."""


@dataclass(frozen=True, kw_only=True)
class TraceSettings(RowsSettings):
    """Find the rows that a text's words come from."""

    rows: tuple[str, ...] = field(metadata=INPUT)
    """Row files (paths, globs, - for a pipe, a Hugging Face data set), or the folder of a `trace index` run."""

    text: str | None = field(default=None, metadata={**INPUT, "hyphen": True})
    """A sentence to trace, or - for a pipe."""

    answers: str | None = field(default=None, metadata=INPUT)
    """Answers to trace: a run folder of `answer` or `shift`, or a file of answers (ours or AlpacaEval's)."""

    reference: str | None = field(default=None, metadata=INPUT)
    """Answers (or rows) that never saw the rows; by default the base model's own answers where a run has them."""

    shift: str | None = field(default=None, metadata=INPUT)
    """A run folder of `shift` on the same answers: its tokens are joined to the spans."""

    flagged: float = 0.01
    """Share of the words of texts that never saw the rows that may be flagged; it sets the threshold."""

    top: int = 5
    """Rows per span."""

    embedder: str | None = field(default=None, metadata=INPUT)
    """Rank rows by meaning too, with this embedder (an embedded name, a folder or a sentence-transformers id)."""

    stream: bool = field(default=False, metadata=NOT_IN_KEY)
    """Read all rows once for all answers instead of looking each answer up: the same result, without a suffix array."""

    out: str | None = runs.out_field()
    """The run folder; runs/trace-KEY by default."""


def index_rows(settings: IndexSettings) -> Run:
    """Index rows; return the run, whose folder `trace --rows` takes.

    Raises:
        InputError, SettingsError: in one sentence each.
        MissingPackageError: numba or pydivsufsort isn't installed.
    """
    from tunescope.rows import open_rows

    rows = open_rows(settings.rows, settings.format, settings.columns, settings.on_bad)
    return runs.execute("trace index", VERSION, settings, rows.inputs, partial(_write_index, settings, rows))


def _write_index(settings: IndexSettings, rows: RowSet, folder: RunFolder) -> Outcome:
    from tunescope.verbs.trace import null, view
    from tunescope.verbs.trace.index import Index, write

    write(folder, rows, rows.inputs)
    if rows.rejected:
        folder.records("rejected", (item.as_json() for item in rows.rejected))
    made = Index(folder.path)
    chance = null.leave_one_out(made)
    null.save(folder, chance)
    return view.indexed(settings, made, chance)


def trace(settings: TraceSettings) -> Run:
    """Trace a text or answers; return the run with `spans.jsonl`.

    A run on answers has also `answers.jsonl`, `rows.jsonl` (the rows named) and the tables `answers` and `rows`.

    Raises:
        InputError, SettingsError, RunError: in one sentence each: answers or rows that can't be read, rows that changed
            since the index was built, an index of another version.
        MissingPackageError: numba or pydivsufsort (or with --embedder, sentence-transformers) isn't installed.
    """
    _refuse_nonsense(settings)
    if settings.text is not None:
        from tunescope.verbs.trace.single import read, trace_text

        text = read(settings.text, sys.stdin.buffer)
        found, inputs = _index(settings)
        inputs = {**inputs, "text": text}
        return runs.execute("trace", VERSION, settings, inputs, partial(trace_text, settings, text, found))
    from tunescope.verbs.trace.answers import Sources, trace_answers

    sources = Sources.of(settings)
    found, inputs = _index(settings)
    inputs = {**inputs, **sources.inputs}
    return runs.execute("trace", VERSION, settings, inputs, partial(trace_answers, settings, sources, found))


def _refuse_nonsense(settings: TraceSettings) -> None:
    if (settings.text is None) == (settings.answers is None):
        raise SettingsError('nothing to trace, or two things; type --text "a sentence" or --answers FILE')
    if settings.text == "-" and "-" in settings.rows:
        raise SettingsError("the rows and the text are both a pipe; write one of them to a file")
    if not 0 < settings.flagged < 1:
        raise SettingsError(f"--flagged {settings.flagged:g}: expected a share between 0 and 1, such as 0.01")
    if settings.top < 1:
        raise SettingsError(f"--top {settings.top}: expected at least 1")
    if settings.text is not None:
        for name in ("reference", "shift", "embedder"):
            if getattr(settings, name) is not None:
                raise SettingsError(f"--{name} goes with --answers; a single --text is traced without it")
    if settings.embedder is not None and not settings.embedder.strip():
        raise SettingsError(f"--embedder is empty; there is {', '.join(EMBEDDERS)}")


def _index(settings: TraceSettings) -> tuple[Index, Mapping[str, str]]:
    """Open the index of the rows, made now where there is none; return it and what it is known by."""
    from tunescope.rows import open_rows
    from tunescope.verbs.trace.index import Index

    if len(settings.rows) == 1 and (Path(settings.rows[0]) / INDEX).is_file():
        for option, given in (("format", settings.format), ("columns", settings.columns)):
            if given:
                raise SettingsError(f"--{option} with an index: it was read when the index was made; leave it out")
        made = Run(Path(settings.rows[0]))
        found = Index(made.path)
        found.refuse_changed()
        return found, {**found.about["inputs"], "index": made.key}
    rows = open_rows(settings.rows, settings.format, settings.columns, settings.on_bad)
    asked = IndexSettings(rows=settings.rows, format=settings.format, columns=settings.columns, on_bad=settings.on_bad)
    done = runs.find_finished("trace index", VERSION, asked, rows.inputs)
    if done is None:
        done = runs.execute("trace index", VERSION, asked, rows.inputs, partial(_write_index, asked, rows))
    found = Index(done.path)
    return found, {**rows.inputs, "index": done.key}


def folder_of(name: str, file: str) -> Path:
    """Return the file that a setting means: `file` in a run folder, or the path itself.

    Raises:
        RunError: a run folder without such a file.
    """
    path = Path(name)
    if not path.is_dir():
        return path
    if (path / file).is_file():
        return path / file
    raise RunError(f"{path}: found no {file}; expected a run folder that has one, or a file")
