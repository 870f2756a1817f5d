"""What people said in a study: its marks with the items they are of, from its folder or from files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from tunescope.annotations.access import REVIEWER
from tunescope.annotations.comments import Comment, read_comments
from tunescope.annotations.formats import MarkFormat, format_of, is_record
from tunescope.annotations.store import MARKS_FILE, read_finished, read_marks
from tunescope.annotations.values import check_value, is_empty
from tunescope.errors import InputError, Problem, RunError, SettingsError
from tunescope.foreign import dump_json
from tunescope.judgements.files import read_document
from tunescope.locations import Location
from tunescope.results.annotate import Assignment, Mark, Phase, StudyItem, StudyKind
from tunescope.rows.json_text import FormatError
from tunescope.runs import Run
from tunescope.runs.keys import RUN_FILE

_ITEMS_FILE = "items.jsonl"
_EXPECTED = "a file of marks"


class Collected(NamedTuple):
    """The marks of a study.

    Attributes:
        kind: of the study.
        marks: of all annotators, in the order in which they were made.
        items: by item id; empty where only the marks are known.
        assignments: who was to mark what; None where that isn't known.
        unfinished: how many items of a study of spans annotators have begun and not finished; their marks aren't here.
        inputs: what was read → the hash of what counts in it.
        reviewers_own: marks that a reviewer made of their own; they count with nobody's.
        comments: what a reviewer says of annotators' items.
    """

    kind: StudyKind
    marks: tuple[Mark, ...]
    items: Mapping[str, StudyItem]
    assignments: tuple[Assignment, ...] | None
    unfinished: int
    inputs: Mapping[str, str]
    reviewers_own: tuple[Mark, ...] = ()
    comments: tuple[Comment, ...] = ()

    def of_phase(self, phase: Phase) -> tuple[Mark, ...]:
        """Return the marks of the pilot, or of the main study."""
        return tuple(mark for mark in self.marks if mark.phase == phase)


def read_collected(names: Sequence[str], file_format: str | None, items: str | None) -> Collected:
    """Read a study's folder, or files of marks in one format; `items` names the study whose texts the files lack.

    Raises:
        InputError: files that can't be read, marks that can't be of their items, two marks where one belongs.
        RunError: a folder that is no study.
        SettingsError: no files, several studies, or files of several formats.
    """
    if not names:
        raise SettingsError("no marks; name a study's folder, or files of marks")
    if _is_study(Path(names[0])):
        if len(names) > 1 or items is not None:
            raise SettingsError(f"{names[0]} is a study; name it alone: its folder has its items and all its marks")
        return _read_study(Path(names[0]))
    if items is None and (Path(names[0]) / _ITEMS_FILE).is_file():
        items = names[0]  # what annotate export wrote
    known = {} if items is None else _read_items(items)
    inputs = {} if items is None else {f"items {items}": _hash([item.as_json() for item in known.values()])}
    files = [file for name in names for file in _files(Path(name), file_format)]
    documents = [read_document(file, _EXPECTED, is_record) for file in files]
    its_format = format_of(documents, file_format)
    read = its_format.read(documents)
    known = known or read.items
    marks = [(_with_answer(mark, known.get(mark.item_id)), place) for mark, place in read.marks]
    _check(marks, known, read.problems)
    kept = tuple(mark for mark, _ in marks)
    hashes = {document.path: _hash([record.value for record in document.records]) for document in documents}
    return Collected(_kind(marks), kept, known, None, 0, {**inputs, **hashes})


def _read_items(name: str) -> dict[str, StudyItem]:
    """Read the items of a study's folder, or of its `items.jsonl`.

    Raises:
        InputError: another file.
    """
    path = Path(name)
    file = path / _ITEMS_FILE if path.is_dir() else path
    if not file.is_file():
        raise InputError([Problem(str(file), None, "no such file", "a study, or its items.jsonl")])
    items: dict[str, StudyItem] = {}
    for number, line in enumerate(file.read_text("utf-8", "replace").splitlines(), 1):
        try:
            item = StudyItem.from_json(json.loads(line))
            texts = [item.item_id, *(text for each in item.answers for text in (each.answer_id, each.text))]
            if not all(isinstance(text, str) for text in texts):
                raise TypeError("an id or a text that is no text")
            items[item.item_id] = item
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            problem = Problem(str(file), number, f"no item ({error})", "a line of a study's items.jsonl")
            raise InputError([problem]) from error
    return items


def _is_study(path: Path) -> bool:
    return (path / RUN_FILE).is_file() and Run(path).verb == "annotate create"


def _files(path: Path, file_format: str | None) -> list[str]:
    """Return the files of a folder that its format knows; a file stands for itself.

    Raises:
        RunError: a folder without any.
    """
    if not path.is_dir():
        return [str(path)]
    from tunescope.annotations.formats import known_formats

    formats = [each for each in known_formats().values() if file_format in (None, each.name)]
    for each in (_of_folder(path, one) for one in formats):
        if each:
            return each
    patterns = ", ".join(pattern for one in formats for pattern in one.files)
    raise RunError(f"{path}: found no study and no file of marks; expected a run of annotate create, or {patterns}")


def _of_folder(path: Path, one: MarkFormat) -> list[str]:
    for pattern in one.files:
        found = sorted(str(file) for file in path.glob(pattern))
        if found:
            return found
    return []


def _read_study(folder: Path) -> Collected:
    """Read a study's folder; of a study of spans, the items that annotators have finished."""
    run = Run(folder)
    items = {item.item_id: item for item in StudyItem.read_lines(run)}
    assignments = [*Assignment.read_lines(run)]
    phases = {(each.annotator, each.item_id): each.phase for each in assignments}
    finished = {(annotator, item_id) for item_id, annotator in read_finished(folder)}
    all_marks, comments = read_marks(folder), tuple(read_comments(folder))
    marks = [mark for mark in all_marks if mark.annotator != REVIEWER]
    own = [mark for mark in all_marks if mark.annotator == REVIEWER]
    of_spans = any(item.kind == "spans" for item in items.values())
    marked = {(mark.annotator, mark.item_id) for mark in marks}
    if of_spans:
        marks = [mark for mark in marks if (mark.annotator, mark.item_id) in finished]
        marks += [_nothing(*pair, phases[pair]) for pair in sorted(finished - marked) if pair in phases]
    place = Location(str(folder / MARKS_FILE))
    if not marks:
        begun = f"no finished items ({len(marked):,} begun)" if of_spans else "no marks"
        raise InputError(
            [Problem(place.file, None, begun, "at least one")], "Let annotators go on, then type the command again."
        )
    _check([(mark, place) for mark in (*marks, *own)], items, [])
    content = _hash([*(mark.as_json() for mark in (*marks, *own)), *comments])
    unfinished = len(marked - finished) if of_spans else 0
    kind = next(iter(items.values())).kind
    inputs = {str(folder): f"{run.key} {content}"}
    return Collected(kind, tuple(marks), items, tuple(assignments), unfinished, inputs, tuple(own), comments)


def _nothing(annotator: str, item_id: str, phase: Phase) -> Mark:
    """Return what stands for an item of a study of spans in which an annotator found nothing."""
    mark_id = _hash([annotator, item_id])[:16]
    return Mark(mark_id=mark_id, item_id=item_id, annotator=annotator, kind="spans", phase=phase, value={})


def _with_answer(mark: Mark, item: StudyItem | None) -> Mark:
    """Give a mark of another program's file the answer that it is of: its item's first one."""
    if mark.value.get("answer_id") != "":
        return mark
    answer_id = item.answers[0].answer_id if item is not None and item.answers else mark.item_id
    phrase = {} if item is None or item.span is None else {"start": item.span[0], "end": item.span[1]}
    return replace(mark, value={**phrase, **mark.value, "answer_id": answer_id})


def _check(marks: Sequence[tuple[Mark, Location]], items: Mapping[str, StudyItem], problems: Sequence[Problem]) -> None:
    """Look at all marks before anything is computed.

    Raises:
        InputError: with the first that can't be.
    """
    found = [*problems, *_problems(marks, items)]
    if found:
        raise InputError(found, "Correct the file, or name the study that it is of with --items.")


def _problems(marks: Sequence[tuple[Mark, Location]], items: Mapping[str, StudyItem]) -> Iterator[Problem]:
    seen: dict[tuple[str, ...], str] = {}
    for mark, place in marks:
        item = items.get(mark.item_id)
        if items and item is None:
            yield Problem.at(place, f"a mark of the item {mark.item_id}", f"one of the study's {len(items):,} items")
            continue
        try:
            check_value(mark, item)
        except FormatError as error:
            yield Problem.at(place, error.found, error.expected)
            continue
        if mark.kind != "spans" or is_empty(mark):
            key = (mark.annotator, mark.item_id, mark.phase, str(mark.value.get("answer_id")))
            first = seen.setdefault(key, mark.mark_id)
            if first != mark.mark_id:
                found = f"a second mark of the item {mark.item_id} by {mark.annotator}"
                yield Problem.at(place, found, "one mark of an item by each annotator")


def _kind(marks: Sequence[tuple[Mark, Location]]) -> StudyKind:
    """Return the one kind of the marks.

    Raises:
        InputError, SettingsError: several, or none.
    """
    if not marks:
        raise SettingsError("found no marks in these files; expected at least one")
    first = marks[0][0].kind
    for mark, place in marks:
        if mark.kind != first:
            raise InputError([Problem.at(place, f"a mark of {mark.kind}", f"marks of {first}, as before")])
    return first


def _hash(content: object) -> str:
    return blake2b(dump_json(content, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()
