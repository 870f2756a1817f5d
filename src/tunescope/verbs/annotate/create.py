"""`annotate create`: a study of answers by people: its items, who sees which in which order, and the guidelines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files as package_files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from tunescope import runs
from tunescope.annotations.study import GUIDELINES_FILE
from tunescope.answers import answers_file
from tunescope.errors import SettingsError
from tunescope.foreign import show
from tunescope.results.annotate import Assignment, ShownRow, StudyItem, StudyKind, StudyResult
from tunescope.runs import INPUT, Outcome, Run, RunFolder
from tunescope.settings import POSITIONAL, at_least, group
from tunescope.verbs.annotate.assigning import StudyDesign, assign, planned_overlap, shared_items
from tunescope.verbs.annotate.causes import PhraseRows, find_rows
from tunescope.verbs.annotate.items import (
    AnswerFile,
    Phrase,
    RewordedAnswer,
    cause_items,
    paired_items,
    read_answer_files,
    read_counterfactuals,
    read_phrases,
    single_items,
)
from tunescope.views import Table, View, counted

if TYPE_CHECKING:
    from tunescope.rows import RowSet

VERSION = 2
_Item = TypeVar("_Item")
_SPAN_CATEGORIES = ("not factual", "not useful")
_PAIR_CATEGORIES = (
    "both right, longer preferred",
    "both right, different",
    "both wrong",
    "only the longer invents to prolong",
    "only the longer is wrong at its core",
    "none of these",
)
"""The five of the Limitations paper's Figure 6, and one for what is none of them."""
_ASPECTS = {
    "helpfulness": "does it do what the person needs?",
    "clarity": "is it organised, and easy to follow?",
    "factuality": "is what it says true, without errors or inventions?",
    "depth": "does it go into the matter as far as is of use?",
    "engagement": "is it natural and inviting to read?",
}
"""The five of the Limitations paper, as just-eval has them."""
_MOST_KEYS = 9
"""Categories have the keys 1 to 9."""
_CAUSE = group("Causes")
_SHARE = group("Who sees what")


@dataclass(frozen=True, kw_only=True)
class AnnotateCreateSettings:
    """Plan a study in which people mark answers."""

    kind: StudyKind
    """What annotators do: mark wrong or useless spans of an answer (spans), choose the category of a pair of answers
    (pairs), find the row that caused a phrase (cause), score an answer by aspect (aspects), or say which of two answers
    is better (verdicts)."""

    answers: tuple[str, ...] = field(metadata={**INPUT, **POSITIONAL})
    """Files or runs of answers. Pairs and verdicts need two."""

    categories: tuple[str, ...] = ()
    """Categories for spans or pairs, instead of the usual ones."""

    aspects: tuple[str, ...] = ()
    """Aspects to score, instead of helpfulness, clarity, factuality, depth and engagement."""

    limit: int | None = field(default=None, metadata=at_least(1))
    """Draw this many items, in addition to the pilot's; by default all."""

    guidelines: str | None = field(default=None, metadata=INPUT)
    """A Markdown file with your own guidelines, instead of ours."""

    preset: Literal["limits"] | None = None
    """The Limitations paper's plan: 800 items in 4 groups, 4 annotators with 2 groups each, a pilot of 50. Options that
    you give take precedence."""

    annotators: int | None = field(default=None, metadata={**_SHARE, **at_least(1)})
    """Number of annotators; by default 2."""

    pilot: int | None = field(default=None, metadata={**_SHARE, **at_least(0)})
    """Number of items that all annotators see first and then discuss. They aren't counted with the others. By default
    none."""

    groups: int | None = field(default=None, metadata={**_SHARE, **at_least(1)})
    """Number of groups that the other items are divided into; by default 1."""

    groups_each: int | None = field(default=None, metadata={**_SHARE, **at_least(1)})
    """How many of the groups each annotator sees; by default all."""

    seed: int = 0
    """Decides which items are drawn, who sees which group, the order of items, and which of two answers comes first."""

    rows: tuple[str, ...] = field(default=(), metadata={**_CAUSE, **INPUT})
    """The rows that the model was tuned on."""

    format: str | None = field(default=None, metadata=_CAUSE)
    """The rows' format; by default the content decides."""

    columns: tuple[str, ...] = field(default=(), metadata=_CAUSE)
    """Your names for the rows' columns, as WORD=COLUMN."""

    spans: str | None = field(default=None, metadata={**_CAUSE, **INPUT})
    """The phrases: JSON lines of answer_id, start and end, or a run of trace."""

    from_: tuple[str, ...] = field(default=(), metadata={**_CAUSE, **INPUT})
    """Runs of attribute or trace. Their rows are shown next to those in which the phrase occurs."""

    counterfactuals: str | None = field(default=None, metadata={**_CAUSE, **INPUT})
    """Answers to reworded questions, for annotators to look at: an answer run, or a file of answers. Each prompt or
    record names the study's answer that it belongs to, as answer_id."""

    rows_each: int = field(default=20, metadata={**_CAUSE, **at_least(1)})
    """Maximum number of rows to show with a phrase: this many in which it occurs, and this many that each run names. If
    it occurs in more rows, they are drawn at random."""

    out: str | None = runs.out_field()
    """The run folder; runs/annotate-create-KEY by default."""


_PRESETS: Mapping[str, Mapping[str, int]] = {
    "limits": {"limit": 800, "groups": 4, "groups_each": 2, "annotators": 4, "pilot": 50}
}


class _StudyInput(NamedTuple):
    """What was read.

    Attributes:
        files: the answers.
        phrases: of a study of causes, all that may be drawn.
        rows: what the model was tuned on; None in other studies.
        guidelines: the user's own; None for ours.
        named_by: runs that name rows.
        reworded: answers to reworded prompts, by the answer that they are of.
    """

    files: list[AnswerFile]
    phrases: list[Phrase]
    rows: RowSet | None
    guidelines: str | None
    named_by: list[Run]
    reworded: dict[str, list[RewordedAnswer]]


def annotate_create(settings: AnnotateCreateSettings) -> Run:
    """Write what annotators see (`items.jsonl`), who sees it when (`assignments.jsonl`), and `guidelines.md`.

    Raises:
        InputError, RunError: answers, rows or runs that can't be read.
        SettingsError: settings that don't go together, or too few items.
    """
    from tunescope.rows import open_rows
    from tunescope.rows.containers import content_hash

    settings = _with_preset(settings)
    _validate(settings)
    files = read_answer_files(settings.answers)
    inputs = {file.name: content_hash(file.path) for file in files}
    rows = open_rows(settings.rows, settings.format, settings.columns) if settings.rows else None
    phrases: list[Phrase] = []
    if rows is not None and settings.spans is not None:
        phrases, path = read_phrases(settings.spans, files)
        inputs |= {f"rows {name}": hashed for name, hashed in rows.inputs.items()}
        inputs[f"spans {settings.spans}"] = content_hash(path)
    named_by = runs.open_runs(settings.from_)
    inputs |= {f"from {run.path}": run.identity for run in named_by}
    reworded: dict[str, list[RewordedAnswer]] = {}
    if settings.counterfactuals is not None:
        reworded = read_counterfactuals(settings.counterfactuals, files)
        inputs[f"counterfactuals {settings.counterfactuals}"] = content_hash(answers_file(settings.counterfactuals))
    guidelines = None
    if settings.guidelines is not None:
        guidelines = _read_guidelines(Path(settings.guidelines))
        inputs[f"guidelines {settings.guidelines}"] = content_hash(Path(settings.guidelines))
    given = _StudyInput(files, phrases, rows, guidelines, named_by, reworded)
    return runs.execute("annotate create", VERSION, settings, inputs, lambda folder: _plan(settings, given, folder))


def _with_preset(settings: AnnotateCreateSettings) -> AnnotateCreateSettings:
    """Return the settings with what their preset says; what none of both says gets its default."""
    preset = _PRESETS[settings.preset] if settings.preset is not None else {}
    said: dict[str, Any] = {name: number for name, number in preset.items() if getattr(settings, name) is None}
    settings = replace(settings, preset=None, **said)
    groups = settings.groups or 1
    return replace(
        settings,
        annotators=settings.annotators or 2,
        pilot=settings.pilot or 0,
        groups=groups,
        groups_each=settings.groups_each or groups,
    )


def _validate(settings: AnnotateCreateSettings) -> None:
    """Raise `SettingsError` where options don't belong to the kind of study."""
    is_cause = settings.kind == "cause"
    given = {
        "--rows": settings.rows,
        "--spans": settings.spans,
        "--from": settings.from_,
        "--counterfactuals": settings.counterfactuals,
    }
    if is_cause and not (settings.rows and settings.spans):
        raise SettingsError("--kind cause: expected --rows ROWS, which the model was tuned on, and --spans SPANS")
    if not is_cause and any(given.values()):
        options = ", ".join(name for name, value in given.items() if value)
        raise SettingsError(f"{options}: found with --kind {settings.kind}; expected it with --kind cause only")
    if settings.categories and settings.kind not in ("spans", "pairs"):
        raise SettingsError(f"--categories: found with --kind {settings.kind}; expected it with spans or pairs")
    if settings.aspects and settings.kind != "aspects":
        raise SettingsError(f"--aspects: found with --kind {settings.kind}; expected it with aspects")
    for option, words in (("--categories", settings.categories), ("--aspects", settings.aspects)):
        if any(not word.strip() for word in words) or len(set(words)) < len(words) or len(words) > _MOST_KEYS:
            raise SettingsError(f"{option} {' '.join(words)}: expected up to {_MOST_KEYS} different names")


def _read_guidelines(path: Path) -> str:
    try:
        return show(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"--guidelines {path}: found no text that can be read ({error})") from error


def _plan(settings: AnnotateCreateSettings, given: _StudyInput, folder: RunFolder) -> Outcome:
    design = StudyDesign(
        annotators=tuple(f"A{number}" for number in range(1, (settings.annotators or 0) + 1)),
        pilot=settings.pilot or 0,
        groups=settings.groups or 1,
        groups_each=settings.groups_each or 1,
        sides=settings.kind in ("pairs", "verdicts"),
        seed=settings.seed,
    )
    notes: list[str] = []
    rows_of: dict[Phrase, PhraseRows] = {}
    if settings.kind == "cause":
        phrases = _draw(given.phrases, design.pilot, settings)
        assert given.rows is not None
        texts = {answer.answer_id: answer.text for file in given.files for answer in file.answers}
        words = {phrase: texts[phrase.answer_id][phrase.start : phrase.end] for phrase in phrases}
        rows_of, rows = find_rows(words, given.rows, given.named_by, settings.rows_each, settings.seed)
        items = cause_items(phrases, given.files, rows, given.reworded)
        notes += _about_rows(settings, given, rows_of, rows)
        if given.reworded:
            sizes = [len(item.counterfactuals) for item in items if item.counterfactuals]
            tries = f"{counted(sum(sizes), 'reworded question')} with answers"
            notes.append(f"{tries}, of {counted(len(sizes), 'phrase')}.")
    elif design.sides:
        pairs = paired_items(settings.kind, given.files)
        notes += [f"Left out: {counted(pairs.n_alone, 'answer')} without a partner."] if pairs.n_alone else []
        notes += [f"Left out: {counted(pairs.n_equal, 'pair')} of equal answers."] if pairs.n_equal else []
        items = _draw(pairs.items, design.pilot, settings)
    else:
        items = _draw(single_items(settings.kind, given.files), design.pilot, settings)
    assignments = assign(design, items)
    folder.records(StudyItem.NAME, (item.as_json() for item in items))
    folder.records(Assignment.NAME, (each.as_json() for each in assignments))
    folder.text(GUIDELINES_FILE, given.guidelines if given.guidelines is not None else _own_guidelines(settings))
    usual = {"spans": _SPAN_CATEGORIES, "pairs": _PAIR_CATEGORIES}
    result = StudyResult(
        kind=settings.kind,
        items=len(items),
        pilot=design.pilot,
        annotators=design.annotators,
        groups=design.groups,
        groups_each=design.groups_each,
        overlap=tuple(planned_overlap(assignments, len(design.annotators))),
        categories=settings.categories or usual.get(settings.kind, ()),
        aspects=(settings.aspects or tuple(_ASPECTS)) if settings.kind == "aspects" else (),
        phrases=len(given.phrases) if settings.kind == "cause" else None,
        phrases_found=sum(each.n_occurs > 0 for each in rows_of.values()) if settings.kind == "cause" else None,
    )
    return Outcome(result.as_json(), _view(settings, result, assignments, notes, folder.path))


def _draw(items: Sequence[_Item], pilot: int, settings: AnnotateCreateSettings) -> list[_Item]:
    """Draw `limit` items and the pilot's, or take all where there are no more; they stay in order."""
    import numpy as np

    most = len(items) if settings.limit is None else min(len(items), settings.limit + pilot)
    drawn = np.random.default_rng((settings.seed, 3)).permutation(len(items))[:most]
    return [items[i] for i in sorted(drawn.tolist())]


def _about_rows(
    settings: AnnotateCreateSettings,
    given: _StudyInput,
    rows_of: Mapping[Phrase, PhraseRows],
    rows: Mapping[Phrase, Sequence[ShownRow]],
) -> list[str]:
    found = sum(each.n_occurs > 0 for each in rows_of.values())
    cut = sum(each.n_occurs > settings.rows_each for each in rows_of.values())
    without = sum(not each for each in rows.values())
    sentences = [
        f"{len(rows_of):,} of {counted(len(given.phrases), 'phrase')} drawn with seed {settings.seed}, "
        f"{counted(found, 'phrase')} found in a row letter by letter."
    ]
    if cut:
        sentences.append(
            f"{counted(cut, 'phrase')} found in more than {counted(settings.rows_each, 'row')}: "
            f"{settings.rows_each:,} of them {'is' if settings.rows_each == 1 else 'are'} shown."
        )
    if without:
        phrases = counted(without, "phrase")
        sentences.append(f'{phrases} without any row: annotators can only answer "none of these rows".')
    return sentences


def _own_guidelines(settings: AnnotateCreateSettings) -> str:
    text = package_files("tunescope.verbs.annotate").joinpath(f"guidelines/{settings.kind}.md").read_text("utf-8")
    if settings.kind == "aspects":
        meanings = {name: _ASPECTS.get(name, "") for name in settings.aspects or _ASPECTS}
        lines = [f"- **{name}**: {meaning}" if meaning else f"- **{name}**" for name, meaning in meanings.items()]
        text = text.replace("{aspects}", "\n".join(lines))
    return text


def _view(
    settings: AnnotateCreateSettings,
    result: StudyResult,
    assignments: Sequence[Assignment],
    notes: Sequence[str],
    path: Path,
) -> View:
    n = len(result.annotators)
    main = result.items - result.pilot
    sizes = Counter(each.annotator for each in assignments)
    groups = counted(result.groups, "group")
    parts = f": {result.pilot:,} in the pilot, which all see first, and {main:,} in {groups}"
    sentences = [
        f"{counted(result.items, 'item')}{parts if result.pilot else f' in {groups}'}. {counted(n, 'annotator')} with "
        f"{counted(result.groups_each, 'group')} each, at most {max(sizes.values()):,} items.",
        *notes,
    ]
    wanted = settings.limit
    if wanted is not None and main < wanted:
        sentences.append(f"There are fewer than the {wanted:,} items that --limit or --preset asks for.")
    if not any(result.overlap[2:]):
        sentences.append("No item outside of the pilot is seen by two people, so their agreement can't be measured.")
    overlap = tuple((count, items) for count, items in enumerate(result.overlap) if count)
    shared = shared_items(assignments)
    tables = [
        Table("Planned overlap", ("annotators", "items"), overlap, "Items outside of the pilot by how many see them.")
    ]
    if n > 1:
        pairs = tuple((a, b, count) for (a, b), count in shared.items())
        tables.append(Table("Items that two share", ("one", "other", "items"), pairs))
    return View(tuple(sentences), tuple(tables), (f"tunescope annotate serve {path}",))
