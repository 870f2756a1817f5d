"""`judge recompute`: the tables of judgement files that others made, with intervals and with what is missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tunescope import runs
from tunescope.errors import SettingsError
from tunescope.judgements.records import Rule
from tunescope.judgements.repeats import RepeatRule
from tunescope.judgements.tags import Tags
from tunescope.runs import INPUT, Outcome, Run, RunFolder
from tunescope.settings import POSITIONAL, at_least

if TYPE_CHECKING:
    from tunescope.judgements.files import Document
    from tunescope.judgements.formats import Format

VERSION = 4


@dataclass(frozen=True, kw_only=True)
class RecomputeSettings:
    """Recompute the tables of judgement files that others made, with intervals and with what is missing."""

    files: tuple[str, ...] = field(metadata={**INPUT, **POSITIONAL})
    """Judgement files: AlpacaEval's annotations, reviews of Cherry_LLM or SelFee, files of FastChat, arena-hard or
    PandaLM, just-eval's shards, or our own judgements.jsonl."""

    format: str | None = None
    """Format of the files: alpaca_eval, arena_hard, cherry, selfee, fastchat_pair, fastchat_single, just_eval, pandalm
    or tunescope. By default the content decides."""

    reference: str | None = None
    """The system that all others are compared with; by default the file's reference, or its second system."""

    system_names: tuple[str, ...] = field(default=(), metadata={"alias": ("names",)})
    """Names for the first and the second system, if the files don't name them. For AlpacaEval's annotations, names for
    the model and the reference instead of those in the files."""

    rule: Rule = "net"
    """How the verdicts of both orders are combined: net (a win and a tie are a win, a win and a loss are a tie) or
    agree (FastChat's rule: a tie if the orders disagree)."""

    scores: Literal["stored", "text"] = "stored"
    """Which scores to count: those that the file stores (stored), or those that we parse from the judge's replies
    (text)."""

    repeats: RepeatRule = "mean"
    """What counts if an item was judged several times: the mean, the first or the last judgement, or each as an item of
    its own."""

    one_order: bool = False
    """Accept reviews in one order only. The judge's preference for one position then isn't balanced."""

    tags: str | None = field(default=None, metadata=INPUT)
    """A file with an id or instruction and true-or-false columns per item (just-eval's tags.json)."""

    limit: int | None = field(default=None, metadata={**at_least(1), "alias": ("first",)})
    """Keep only this many items, in the order of their ids if these are numbers. Of several files of Cherry_LLM, keep
    this many of each."""

    draws: int = field(default=10_000, metadata=at_least(100))
    """Number of random draws in the sign-flip test that compares systems' scores."""

    seed: int = 0
    """Seed of the sign-flip test."""

    out: str | None = runs.out_field()
    """The run folder; runs/judge-recompute-KEY by default."""


def recompute(settings: RecomputeSettings) -> Run:
    """Recompute the numbers of judgement files; return the run with the tables that `write_summary` describes.

    Raises:
        InputError: files that can't be read, have no known format, or hold several systems in one.
        SettingsError: a format, reference or number that can't work.
    """
    from tunescope.judgements.files import expand, read_document
    from tunescope.judgements.formats import format_of
    from tunescope.rows.containers import content_hash

    _validate(settings)
    documents = [read_document(path) for path in expand(settings.files)]
    file_format = format_of(documents, settings.format)
    _validate_for_format(settings, file_format)
    inputs = {document.path: f"{content_hash(Path(document.path))} {document.stem}" for document in documents}
    tags = Tags(settings.tags)
    work = partial(_work, settings, documents, file_format, tags)
    return runs.execute("judge recompute", VERSION, settings, {**inputs, **tags.inputs}, work)


def _validate(settings: RecomputeSettings) -> None:
    names = settings.system_names
    if len(names) not in (0, 2) or len({*names}) < len(names):
        expected = "expected two different names: --system-names A --system-names B"
        raise SettingsError(f"--system-names {' '.join(names)}: {expected}")
    if not settings.files:
        raise SettingsError("no files; type tunescope judge recompute FILE…")


def _validate_for_format(settings: RecomputeSettings, file_format: Format) -> None:
    if settings.system_names and file_format.names_systems and not file_format.renames_systems:
        raise SettingsError(f"--system-names: {file_format.name} files name their systems themselves")
    if settings.one_order and not file_format.one_file_per_order:
        raise SettingsError(f"--one-order: {file_format.name} files aren't one per order")


def _work(
    settings: RecomputeSettings, documents: list[Document], file_format: Format, tags: Tags, folder: RunFolder
) -> Outcome:
    from tunescope.judgements.formats import ReadOptions
    from tunescope.judgements.outcome import write_summary
    from tunescope.judgements.repeats import count_repeats
    from tunescope.judgements.summary import SummaryOptions, summarize

    options = SummaryOptions(
        rule=settings.rule,
        scores=settings.scores,
        reference=settings.reference,
        limit=settings.limit,
        repeats=settings.repeats,
        draws=settings.draws,
        seed=settings.seed,
    )
    judgements = file_format.read(documents, ReadOptions(settings.system_names, settings.one_order))
    counts = {
        "files": len(documents),
        "records": sum(len(document.records) for document in documents),
        "repeated": count_repeats(judgements.pairs or judgements.scores),
    }
    sentence = f"Read as {file_format.name}. {file_format.formula}"
    return write_summary(summarize(judgements, file_format, options, tags), folder, counts, [sentence])
