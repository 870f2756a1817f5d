"""`annotate export`: marks as files that other verbs and programs read, and what became of the marked phrases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tunescope import runs
from tunescope.errors import SettingsError
from tunescope.results.agreement import ExportResult, MarkedPhrase, MarkedStretch, RewordedTries
from tunescope.results.estimates import MeanEstimate
from tunescope.runs import INPUT, Outcome, Run, RunFolder
from tunescope.settings import POSITIONAL
from tunescope.views import counted

if TYPE_CHECKING:
    from tunescope.annotations.collected import Collected
    from tunescope.annotations.phrases import Embed

VERSION = 2


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """Write a study's marks for other verbs and programs, and say where marked phrases come from."""

    marks: tuple[str, ...] = field(metadata={**INPUT, **POSITIONAL})
    """A study's folder, or files of marks: what annotate export wrote, or exports of Potato or Label Studio."""

    format: Literal["ours", "potato", "label-studio"] = "ours"
    """Which files to write: ours alone, or also Potato's or Label Studio's."""

    items: str | None = field(default=None, metadata=INPUT)
    """For files of marks: the study that they belong to, or its items.jsonl. Label Studio's files contain the texts
    themselves."""

    trace: str | None = field(default=None, metadata=INPUT)
    """A run of trace on the study's answers, to say which marked phrases occur in the rows."""

    shift: str | None = field(default=None, metadata=INPUT)
    """A run of shift on the study's answers, to say which tokens of marked phrases tuning shifted."""

    embedder: str | None = field(default=None, metadata=INPUT)
    """With this embedder (such as all-minilm-l6-v2), compare answers by meaning with the rows named as a cause."""

    out: str | None = runs.out_field()
    """The run folder; runs/annotate-export-KEY by default."""


def export(settings: ExportSettings) -> Run:
    """Write marks; return the run.

    Its files: `marks.jsonl` (all marks, in our form), `answers.jsonl` (what was marked, for `--answers`), `spans.jsonl`
    (marked stretches, for `attribute --spans`), `judgements.jsonl` (verdicts and scores, for `judge recompute`),
    `counterfactuals.jsonl` (reworded prompts, with and without the phrase), `reviewer_marks.jsonl` and
    `comments.jsonl` (a reviewer's own), the table `phrases`, and the files of the other program. A file is written if
    the study has something for it.

    Raises:
        InputError, RunError: marks that can't be read, or that don't fit their items.
        SettingsError: marks whose items aren't known, or runs that have none of the answers.
    """
    from tunescope.annotations.collected import read_collected

    collected = read_collected(settings.marks, None, settings.items)
    if not collected.items:
        raise SettingsError("these marks come without their items; name their study, or its items.jsonl, with --items")
    opened = {name: _open(getattr(settings, name), name) for name in ("trace", "shift")}
    _validate_evidence(settings, collected, opened)
    inputs = dict(collected.inputs)
    inputs |= {f"{name} {run.path}": run.identity for name, run in opened.items() if run is not None}
    if settings.embedder is not None:
        from tunescope.models.embedder import embedder_hash

        inputs[f"embedder {settings.embedder}"] = embedder_hash(settings.embedder)
    return runs.execute("annotate export", VERSION, settings, inputs, partial(_work, settings, collected, opened))


def _open(name: str | None, verb: str) -> Run | None:
    if name is None:
        return None
    run = Run(Path(name))
    if run.verb != verb:
        raise SettingsError(f"--{verb} {name}: found a run of {run.verb}; expected one of {verb}")
    return run


def _validate_evidence(settings: ExportSettings, collected: Collected, opened: dict[str, Run | None]) -> None:
    """Refuse runs that say nothing of these answers, before anything is computed."""
    from tunescope.annotations.phrases import RunEvidence

    named = [name for name, run in opened.items() if run is not None]
    if named and collected.kind not in ("spans", "cause"):
        raise SettingsError(f"--{named[0]}: a study of {collected.kind} has no phrases; expected one of spans or cause")
    if settings.embedder is not None and collected.kind != "cause":
        raise SettingsError(f"--embedder: a study of {collected.kind} names no rows; expected one of cause")
    trace, shift = opened["trace"], opened["shift"]
    if trace is not None and trace.settings.get("answers") is None:
        raise SettingsError(f"--trace {trace.path}: found a run of one text; expected one with --answers")
    evidence = RunEvidence.read(trace, shift)
    answers = {answer.answer_id for item in collected.items.values() for answer in item.answers}
    for name, known in (("trace", evidence.copied), ("shift", evidence.tokens)):
        if known is not None and not answers & known.keys():
            raise SettingsError(
                f"--{name} {getattr(settings, name)}: found none of the study's {counted(len(answers), 'answer')}; "
                f"expected a run on them, such as {next(iter(answers))}"
            )


def _work(settings: ExportSettings, collected: Collected, opened: dict[str, Run | None], folder: RunFolder) -> Outcome:
    from tunescope.annotations import phrases as of_phrases
    from tunescope.annotations.verdict_files import judgement_records
    from tunescope.verbs.annotate.export_view import export_view

    has_phrases = collected.kind in ("spans", "cause")
    _write_marks(settings, collected, folder)
    folder.records("answers", _answers(collected))
    records = [*judgement_records(collected)]
    if records:
        folder.records("judgements", records)
    phrases = of_phrases.marked_phrases(collected, of_phrases.RunEvidence.read(opened["trace"], opened["shift"]))
    if has_phrases:
        folder.records(MarkedStretch.NAME, [each.as_json() for each in of_phrases.marked_stretches(collected)])
        folder.table(MarkedPhrase.NAME, MarkedPhrase.table(phrases))
    is_cause = collected.kind == "cause"
    tries = [*_counterfactuals(collected)] if is_cause else []
    if tries:
        folder.records("counterfactuals", tries)
    if collected.reviewers_own:
        folder.records("reviewer_marks", [mark.as_json() for mark in collected.reviewers_own])
    if collected.comments:
        folder.records("comments", [comment._asdict() for comment in collected.comments])
    marks = collected.marks
    result = ExportResult(
        kind=collected.kind,
        format=settings.format,
        marks=len(marks),
        annotators=len({mark.annotator for mark in marks}),
        items=len({mark.item_id for mark in marks}),
        phrases=len(phrases),
        in_rows=of_phrases.share_in_rows(phrases) if opened["trace"] is not None else None,
        shifted=of_phrases.share_shifted(phrases) if opened["shift"] is not None else None,
        with_cause=of_phrases.share_with_cause(phrases) if is_cause else None,
        cause_rows=of_phrases.compare_causes(collected, _embedder(settings, collected)) if is_cause else None,
        reworded=_reworded(tries) if tries else None,
        reviewers_own=len(collected.reviewers_own),
        comments=len(collected.comments),
        files=tuple(sorted(path.name for path in folder.path.iterdir() if not path.name.startswith("."))),
    )
    return Outcome(result.as_json(), export_view(result, folder.path))


def _write_marks(settings: ExportSettings, collected: Collected, folder: RunFolder) -> None:
    from tunescope.annotations.formats import known_formats

    formats = known_formats()
    for name in dict.fromkeys(("ours", settings.format)):
        for file, text in formats[name].write(collected.marks, collected.items).items():
            folder.text(file, text)
    folder.records("items", [item.as_json() for item in collected.items.values()])


def _answers(collected: Collected) -> Iterator[dict[str, Any]]:
    """Yield each answer of the items once, as `--answers` reads it."""
    from tunescope.answers import Answer
    from tunescope.prompts import Prompt

    answers: dict[str, Answer] = {}
    for item in collected.items.values():
        for shown in item.answers:
            prompt = Prompt(item.prompt_id, item.prompt)
            answer = Answer(
                shown.answer_id, item.prompt_id, item.prompt, prompt.messages, shown.text, model=shown.system
            )
            answers.setdefault(shown.answer_id, answer)
    for answer in answers.values():
        yield answer.as_json()


def _counterfactuals(collected: Collected) -> Iterator[dict[str, Any]]:
    """Yield the reworded prompts that were tried, those that kept the phrase and those that lost it."""
    from tunescope.annotations.asked_prompts import holds_phrase

    for mark in collected.of_phase("main"):
        value = mark.value
        item = collected.items[mark.item_id]
        start, end = item.span or (value.get("start"), value.get("end"))
        phrase = item.answers[0].text[start:end]
        for tried in value.get("rewordings") or ():
            yield {
                "item_id": mark.item_id,
                "annotator": mark.annotator,
                "answer_id": value["answer_id"],
                "phrase": phrase,
                "row_id": value["row_id"],
                "concept": value.get("concept"),
                "model": tried.get("model"),
                "prompt": tried["prompt"],
                "answer": tried["answer"],
                "gone": tried.get("gone"),
                "gone_by_words": not holds_phrase(tried["answer"], phrase),
            }


def _reworded(tries: list[dict[str, Any]]) -> RewordedTries:
    """Count what became of the phrases; the intervals are over items."""
    from tunescope.stats import share_clustered

    items = [each["item_id"] for each in tries]
    gone = [None if each["gone"] is None else float(each["gone"]) for each in tries]
    words = [float(each["gone_by_words"]) for each in tries]
    same = [None if one is None else float(one == other) for one, other in zip(gone, words, strict=True)]
    shares = [MeanEstimate.of(share_clustered(values, items)) for values in (gone, words, same)]
    return RewordedTries(
        kept=gone.count(0.0),
        lost=gone.count(1.0),
        undecided=gone.count(None),
        by_models=sum(each["model"] is not None for each in tries),
        lost_share=shares[0],
        lost_by_words=shares[1],
        same=shares[2],
    )


def _embedder(settings: ExportSettings, collected: Collected) -> Embed | None:
    if settings.embedder is None:
        return None
    from tunescope.models.light_embedder import load_embedder

    embedder = load_embedder(settings.embedder, 3 * len(collected.items))
    return lambda texts: embedder.embed(texts).vectors
