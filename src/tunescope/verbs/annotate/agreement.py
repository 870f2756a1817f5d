"""`annotate agreement`: how far people agree with each other, and what a judge is worth beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tunescope import runs
from tunescope.errors import SettingsError
from tunescope.results.agreement import AgreementResult, AnnotatorPair
from tunescope.runs import INPUT, Outcome, Run, RunFolder
from tunescope.settings import POSITIONAL, above, as_cli_args, one_of

if TYPE_CHECKING:
    from tunescope.annotations.collected import Collected

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class AgreementSettings:
    """Measure how far people agree in a study, and compare a judge with them."""

    marks: tuple[str, ...] = field(metadata={**INPUT, **POSITIONAL})
    """A study's folder, or files of marks: what annotate export wrote, or exports of Potato or Label Studio."""

    format: str | None = field(default=None, metadata=one_of("ours", "potato", "label-studio"))
    """Format of the files. By default the content decides."""

    items: str | None = field(default=None, metadata=INPUT)
    """For files of marks: the study that they belong to, or its items.jsonl. Label Studio's files contain the texts
    themselves."""

    judge: str | None = field(default=None, metadata=INPUT)
    """A run of judge pairwise, winrate, recompute or aspects on the same questions, to compare with these people."""

    points: float = field(default=5.0, metadata=above(0, at_most=50))
    """With --judge: say how many items would settle a difference of this many points out of 100."""

    out: str | None = runs.out_field()
    """The run folder; runs/annotate-agreement-KEY by default."""


def agreement(settings: AgreementSettings) -> Run:
    """Compute agreement; return the run with the table `pairs` (a row for each two annotators).

    The result has `main` and `pilot`, separately. For each question that was asked, they have Krippendorff's alpha
    (nominal for categories, ordinal for verdicts and scores) with its interval over items, and how often two people say
    the same. For spans, they have alpha over characters, and the mean F1 of the characters that two people marked
    (docs/reference/agreement.md defines them). With a judge the result also has `certificate`
    (docs/how-to/annotate-agreement.md).

    Raises:
        InputError, RunError: marks that can't be read, or that don't fit their items.
        SettingsError: only one annotator, no item that two have marked, or a judge that can't be compared.
    """
    from tunescope.annotations.certificate import require_comparable
    from tunescope.annotations.collected import read_collected

    collected = read_collected(settings.marks, settings.format, settings.items)
    _require_shared(collected)
    judge = None if settings.judge is None else Run(Path(settings.judge))
    if judge is not None:
        require_comparable(collected, judge)
    inputs = dict(collected.inputs) | ({} if judge is None else {f"judge {settings.judge}": judge.identity})
    return runs.execute("annotate agreement", VERSION, settings, inputs, partial(_work, settings, collected, judge))


def _require_shared(collected: Collected) -> None:
    people = sorted({mark.annotator for mark in collected.marks})
    if len(people) < 2:
        raise SettingsError(f"found marks of one annotator, {people[0]}; agreement needs two who mark the same items")
    by_item: dict[tuple[str, str], set[str]] = {}
    for mark in collected.marks:
        by_item.setdefault((mark.phase, mark.item_id), set()).add(mark.annotator)
    if all(len(each) < 2 for each in by_item.values()):
        raise SettingsError(
            f"found no item that two of the {len(people)} annotators have marked, of {len(by_item):,}; agreement needs "
            "items in common"
        )


def _work(settings: AgreementSettings, collected: Collected, judge: Run | None, folder: RunFolder) -> Outcome:
    from tunescope.annotations.agreement import alpha_before_corrections, annotator_pairs, summarize_phase
    from tunescope.annotations.certificate import certify
    from tunescope.verbs.annotate.agreement_view import agreement_view

    certificate = None if judge is None else certify(collected, judge, settings.points)
    result = AgreementResult(
        kind=collected.kind,
        main=summarize_phase(collected, "main"),
        pilot=summarize_phase(collected, "pilot"),
        corrected=sum(mark.original is not None for mark in collected.of_phase("main")),
        before_corrections=alpha_before_corrections(collected),
        certificate=certificate,
    )
    pairs = [*annotator_pairs(collected)]
    folder.table(AnnotatorPair.NAME, AnnotatorPair.table(pairs))
    return Outcome(result.as_json(), agreement_view(result, pairs, collected.unfinished, [*_next(settings, result)]))


def _next(settings: AgreementSettings, result: AgreementResult) -> Iterator[str]:
    marks = as_cli_args(list(settings.marks), settings.format, ())
    items = "" if settings.items is None else f" --items {as_cli_args([settings.items], None, ())}"
    yield f"tunescope annotate export {marks}{items}"
    if result.certificate is None and result.kind in ("verdicts", "aspects"):
        yield f"tunescope annotate agreement {marks}{items} --judge RUN"
