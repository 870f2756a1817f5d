"""Our own `marks.jsonl`: a `Mark` a line, as `annotate export` writes it; nothing is lost.

An annotator who found nothing to mark in an item of a study of spans has a line with an empty `value`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunescope.annotations.formats import FileMarks, MarkFormat
from tunescope.foreign import dump_json
from tunescope.judgements.files import Document
from tunescope.results.annotate import STUDY_KINDS, Mark, StudyItem
from tunescope.rows.json_text import FormatError, abbreviate

ORDER = -1
"""In a folder our own marks are read before what was written of them for other programs."""
_SHAPE = '{"mark_id", "item_id", "annotator", "kind", "phase", "value": {…}}'
_TEXTS = ("mark_id", "item_id", "annotator")


def _read(documents: Sequence[Document]) -> FileMarks:
    read = FileMarks()
    for document in documents:
        for record in document.records:
            read.add(record, _mark(record.value))
    return read


def _mark(record: Mapping[str, Any]) -> Iterator[Mark]:
    for name in _TEXTS:
        if not isinstance(record.get(name), str) or not record[name]:
            raise FormatError(f"{abbreviate(record.get(name))} as {name}", _SHAPE)
    if record.get("kind") not in STUDY_KINDS:
        raise FormatError(f"{abbreviate(record.get('kind'))} as kind", f"one of {', '.join(STUDY_KINDS)}")
    if record.get("phase") not in ("pilot", "main"):
        raise FormatError(f"{abbreviate(record.get('phase'))} as phase", "pilot or main")
    for name in ("value", "original"):
        if not isinstance(record.get(name), Mapping) and (name == "value" or record.get(name) is not None):
            raise FormatError(f"{abbreviate(record.get(name))} as {name}", _SHAPE)
    yield Mark.from_json(record)


def _write(marks: Sequence[Mark], items: Mapping[str, StudyItem]) -> dict[str, str]:
    return {"marks.jsonl": "".join(dump_json(mark.as_json()) + "\n" for mark in marks)}


FORMAT = MarkFormat(
    name="ours",
    shape=_SHAPE,
    files=("marks.jsonl",),
    detect=lambda record: {"item_id", "annotator", "kind", "value"} <= record.keys(),
    read=_read,
    write=_write,
)
