"""`attribute`: which rows taught a model an answer (docs/attribute.md)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tunescope import runs
from tunescope.errors import TunescopeError
from tunescope.runs import Outcome, Run, RunFolder
from tunescope.verbs.attribute.settings import AttributeIndexSettings, AttributeSettings, validate

if TYPE_CHECKING:
    from tunescope.rows import RowSet

VERSION = 1


def index_rows(settings: AttributeIndexSettings) -> Run:
    """Index rows; return the run. `attribute` finds it by the rows' content.

    Raises:
        InputError, SettingsError: rows that can't be read.
    """
    from tunescope.rows import open_rows

    rows = open_rows(settings.rows, settings.format, settings.columns, settings.on_bad)
    return runs.execute("attribute index", VERSION, settings, rows.inputs, partial(_write_index, settings, rows))


def _write_index(settings: AttributeIndexSettings, rows: RowSet, folder: RunFolder) -> Outcome:
    from tunescope.verbs.attribute.row_index import write_index
    from tunescope.verbs.attribute.view import show_index

    result = write_index(folder, rows)
    if not result.words:
        raise TunescopeError(f"none of the {result.rows:,} rows has a word, so there is nothing to attribute to")
    if rows.rejected:
        folder.records("rejected", (item.as_json() for item in rows.rejected))
    return Outcome(result.as_json(), show_index(settings, result, len(rows.rejected)))


def attribute(settings: AttributeSettings) -> Run:
    """Find the rows that taught answers; return the run with the tables `attributions` and `rows`.

    Raises:
        InputError, RunError, SettingsError: in one sentence each: answers or rows that can't be read, options that
            don't go together.
    """
    from tunescope.rows import open_rows
    from tunescope.verbs.attribute.attribution import attribute_answers
    from tunescope.verbs.attribute.row_index import RowIndex
    from tunescope.verbs.attribute.sources import read_sources

    validate(settings)
    sources = read_sources(settings)
    rows = open_rows(settings.rows, settings.format, settings.columns, settings.on_bad)
    index = RowIndex(_open_index(settings, rows))
    inputs = {**rows.inputs, **sources.inputs, "index": index.run.key}
    work = partial(attribute_answers, settings, sources.answers, index)
    return runs.execute("attribute", VERSION, settings, inputs, work)


def _open_index(settings: AttributeSettings, rows: RowSet) -> Run:
    """Return the index of the rows; build it if there is none."""
    of_index = AttributeIndexSettings(
        rows=settings.rows, format=settings.format, columns=settings.columns, on_bad=settings.on_bad
    )
    finished = runs.find_finished("attribute index", VERSION, of_index, rows.inputs)
    if finished is not None:
        return finished
    work = partial(_write_index, of_index, rows)
    return runs.execute("attribute index", VERSION, of_index, rows.inputs, work)
