"""`attribute`: which rows taught a model an answer (docs/how-to/attribute.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tunescope import runs
from tunescope.errors import SettingsError, TunescopeError
from tunescope.runs import Outcome, Run, RunFolder
from tunescope.settings import RowsSettings, as_cli_args
from tunescope.verbs.attribute.settings import (
    AttributeIndexSettings,
    AttributeSettings,
    WordsSettings,
    validate,
    validate_embedder,
)

if TYPE_CHECKING:
    from tunescope.rows import RowSet
    from tunescope.verbs.attribute.evidence.gradients import GradientSettings
    from tunescope.verbs.attribute.sources import AnswersToAttribute

VERSION = 1


def index_rows(settings: AttributeIndexSettings) -> Run:
    """Index rows; return the run of their words. `attribute` finds all parts by the rows' content.

    Raises:
        InputError, SettingsError: rows that can't be read.
        MissingPackageError: what embeds rows isn't installed.
    """
    from tunescope.rows import open_rows
    from tunescope.verbs.attribute.evidence.gradients import choose_models, find_sketches, open_sketches
    from tunescope.verbs.attribute.evidence.meaning import NONE, open_meaning, settings_of
    from tunescope.verbs.attribute.row_index import RowIndex
    from tunescope.verbs.attribute.view import show_parts

    validate_embedder(settings.embedder)
    _refuse_index(settings)
    rows = open_rows(settings.rows, settings.format, settings.columns, settings.on_bad)
    if settings.plan:
        models = [choose_models(settings, None, rows).base] if settings.base is not None else []
        missing = [each for each in models if find_sketches(each, rows) is None]
        embedder = None if settings.embedder == NONE else settings.embedder
        return _plan("attribute index", settings, embedder, missing, rows)
    words = _open_words(settings, rows, settings.out)
    parts = {"words": words}
    if settings.embedder != NONE:
        of_meaning = settings_of(settings, settings.embedder)
        parts["meaning"] = open_meaning(of_meaning, rows, RowIndex(words))
    if settings.base is not None:
        parts["gradients"] = open_sketches(choose_models(settings, None, rows).base, rows, None)
    view = show_parts(words.view, [run for name, run in parts.items() if name != "words"])
    return words.showing(view, parts={name: str(run.path) for name, run in parts.items()})


def attribute(settings: AttributeSettings) -> Run:
    """Find the rows that taught answers; return the run with the tables `attributions` and `rows`.

    With `value`: say which rows harm held-out answers; return the run with the table `values`.

    Raises:
        InputError, RunError, SettingsError: in one sentence each: answers or rows that can't be read, options that
            don't go together.
        TunescopeError: a model that can't be loaded or has no gradients, an answer that is longer than its context.
        MissingPackageError: what embeds rows, or loads models, isn't installed.
    """
    from tunescope.rows import open_rows
    from tunescope.verbs.attribute.attribution import attribute_answers, find_candidates
    from tunescope.verbs.attribute.evidence import AttributionRequest, gradients, meaning, words
    from tunescope.verbs.attribute.row_index import RowIndex
    from tunescope.verbs.attribute.sources import read_sources

    validate(settings)
    _refuse_index(settings)
    if settings.value is not None:
        return _value(settings, settings.value)
    sources = read_sources(settings)
    rows = open_rows(settings.rows, settings.format, settings.columns, settings.on_bad)
    if settings.plan:
        return _plan_answers(settings, sources, rows)
    index = RowIndex(_open_words(settings, rows, None))
    request = AttributionRequest(settings, rows, index, sources.answers, sources.spans)
    prepared = [member.prepare(request) for member in (words, meaning)]
    if settings.base is not None or settings.tuned is not None:
        request = replace(request, candidates=find_candidates(request, prepared))
    prepared.append(gradients.prepare(request))
    inputs = {**rows.inputs, **sources.inputs}
    for each in prepared:
        inputs |= each.inputs
    work = partial(attribute_answers, request, prepared)
    return runs.execute("attribute", VERSION, settings, inputs, work)


def _value(settings: AttributeSettings, held_out: str) -> Run:
    """Return the run that tells which rows it should help most to leave out."""
    from tunescope.rows import open_rows
    from tunescope.verbs.attribute.evidence.gradients import choose_models, find_sketches
    from tunescope.verbs.attribute.row_index import RowIndex
    from tunescope.verbs.attribute.value import ValueRequest, value_rows

    rows, questions = (
        open_rows(names, settings.format, settings.columns, settings.on_bad) for names in (settings.rows, (held_out,))
    )
    if settings.plan:
        models = choose_models(settings, settings.tuned, rows)
        missing = [each for each in (models.base, models.tuned) if each and find_sketches(each, rows) is None]
        return _plan("attribute", settings, None, missing, rows)
    request = ValueRequest(settings, rows, questions, RowIndex(_open_words(settings, rows, None)))
    work = partial(value_rows, request)
    return runs.execute("attribute value", VERSION, settings, request.inputs, work)


def _refuse_index(settings: RowsSettings) -> None:
    """Refuse the folder of an index where rows are expected: it is found by the rows' content."""
    for name in settings.rows:
        run = runs.producing_run(name) if Path(name).is_dir() else None
        if run is not None and run.verb.startswith(("attribute", "trace")):
            rows = as_cli_args(*(run.settings[name] for name in ("rows", "format", "columns", "on_bad")))
            raise SettingsError(f"{name} is an index or a run on rows; expected the rows; type --rows {rows}")


def _plan_answers(settings: AttributeSettings, sources: AnswersToAttribute, rows: RowSet) -> Run:
    """Return the plan for answers. Which rows are candidates is known where their words and meaning are there."""
    from tunescope.verbs.attribute.attribution import find_candidates
    from tunescope.verbs.attribute.evidence import AttributionRequest, gradients, meaning, words
    from tunescope.verbs.attribute.row_index import RowIndex

    embedder, index, candidates = (
        meaning.choose_embedder(settings, rows),
        _find_words(_words_settings(settings), rows),
        None,
    )
    is_embedded = embedder is None or meaning.find_meaning(meaning.settings_of(settings, embedder), rows) is not None
    if index is not None and is_embedded:
        request = AttributionRequest(settings, rows, RowIndex(index), sources.answers, sources.spans)
        candidates = find_candidates(request, [member.prepare(request) for member in (words, meaning)])
    both = gradients.choose_models(settings, settings.tuned, rows) if settings.base or settings.tuned else None
    models = [each for each in (both.base, both.tuned) if each is not None] if both is not None else []
    missing = [each for each in models if gradients.find_sketches(each, rows, candidates) is None]
    return _plan("attribute", settings, embedder, missing, rows, settings.candidates)


def _plan(
    name: str,
    settings: AttributeIndexSettings | AttributeSettings,
    embedder: str | None,
    gradients: Sequence[GradientSettings],
    rows: RowSet,
    candidates: int | None = None,
) -> Run:
    """Return the run that tells what is still to be made, and what that would take; `gradients` are those missing."""
    from tunescope.verbs.attribute.evidence.meaning import find_meaning, settings_of
    from tunescope.verbs.attribute.plan import PlannedParts, plan_parts

    if embedder is not None and find_meaning(settings_of(settings, embedder), rows) is not None:
        embedder = None
    parts = PlannedParts(
        words=_find_words(_words_settings(settings), rows) is None,
        embedder=embedder,
        gradients=gradients,
        candidates=candidates,
    )
    about = {
        "words": str(parts.words),
        "meaning": str(embedder),
        "gradients": " ".join(m.model for m in parts.gradients),
    }
    inputs = {**rows.inputs, **{f"{part} to make": what for part, what in about.items()}}
    work = partial(plan_parts, f"tunescope {name}", parts, rows)
    return runs.execute(f"{name} plan", VERSION, settings, inputs, work)


def _words_settings(settings: RowsSettings, out: str | None = None) -> WordsSettings:
    return WordsSettings(
        rows=settings.rows, format=settings.format, columns=settings.columns, on_bad=settings.on_bad, out=out
    )


def _find_words(settings: WordsSettings, rows: RowSet) -> Run | None:
    return runs.find_finished("attribute index", VERSION, settings, rows.inputs)


def _open_words(settings: RowsSettings, rows: RowSet, out: str | None) -> Run:
    """Return the index of the rows' words; build it if there is none."""
    of_words = _words_settings(settings, out)
    finished = _find_words(of_words, rows)
    if finished is not None:
        return finished
    return runs.execute("attribute index", VERSION, of_words, rows.inputs, partial(_write_words, of_words, rows))


def _write_words(settings: WordsSettings, rows: RowSet, folder: RunFolder) -> Outcome:
    from tunescope.verbs.attribute.row_index import write_index
    from tunescope.verbs.attribute.view import show_index

    result = write_index(folder, rows)
    if not result.words:
        raise TunescopeError(f"none of the {result.rows:,} rows has a word, so there is nothing to attribute to")
    if rows.rejected:
        folder.records("rejected", (item.as_json() for item in rows.rejected))
    return Outcome(result.as_json(), show_index(settings, result, len(rows.rejected)))
