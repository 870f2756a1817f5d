"""Potato's files: `annotations.jsonl` of its exporter, an annotator's `user_state.json`, `annotated_instances.jsonl`.

After https://potatoannotator.readthedocs.io, "Export Formats" (live storage, and the format jsonl: a line per annotator
and instance with `instance_id`, `user_id`, `labels` and `spans`) and "Pairwise Comparison Annotation" (`selection` A, B
or tie; `scale_value`, negative for the first). `annotated_instances.jsonl` is what versions before 2 wrote, in a folder
named after the annotator. Labels are read as `{schema: {label: value}}`, or as the pairs that user_state.json has. A
schema whose labels are numbers from 1 to 5 is an aspect's, any other one is the pair's category, free text is a note.
Potato's files hold no texts; `--items` names them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tunescope.annotations.formats import FileMarks, MarkFormat, foreign_mark
from tunescope.annotations.values import is_empty
from tunescope.foreign import dump_json
from tunescope.judgements.files import Document, DocumentRecord
from tunescope.results.annotate import Mark, StudyItem, StudyKind
from tunescope.rows.json_text import FormatError, abbreviate

_SHAPE = '{"instance_id", "user_id", "labels": {…}, "spans": {…}}, or a user_state.json'
_SELECTIONS = {1.0: "A", 0.0: "B", 0.5: "tie"}
_PREFERENCES = {word: value for value, word in _SELECTIONS.items()}
_ROW = "row_id"
_NO_ROW = "none"
_TEXT_LABELS = ("text_box", "free_text")


class _Instance(NamedTuple):
    """What one annotator said of one item: schema → labels, and the spans."""

    item_id: str
    annotator: str
    labels: Mapping[str, Mapping[str, Any]]
    spans: Sequence[Mapping[str, Any]]


def _read(documents: Sequence[Document]) -> FileMarks:
    read = FileMarks()
    instances: list[tuple[DocumentRecord, _Instance]] = []
    for document in documents:
        for record in document.records:
            try:
                instances += [(record, each) for each in _instances(record)]
            except FormatError as error:
                read.fail(record, error)
    kind = _kind_of([instance for _, instance in instances])
    for record, instance in instances:
        read.add(record, _marks(instance, kind))
    return read


def _instances(record: DocumentRecord) -> Iterator[_Instance]:
    """Yield what a record of any of the three files holds."""
    value = record.value
    if "instance_id_to_label_to_value" in value:
        labels, spans = value["instance_id_to_label_to_value"], value.get("instance_id_to_span_to_value") or {}
        for name in dict.fromkeys([*labels, *spans]):
            yield _instance(name, value.get("user_id"), labels.get(name), spans.get(name))
    elif "label_annotations" in value:
        annotator = Path(record.location.file).resolve().parent.name
        yield _instance(value.get("id"), annotator, value["label_annotations"], value.get("span_annotations"))
    else:
        yield _instance(value.get("instance_id"), value.get("user_id"), value.get("labels"), value.get("spans"))


def _instance(item_id: Any, annotator: Any, labels: Any, spans: Any) -> _Instance:
    for name, each in (("instance_id", item_id), ("user_id", annotator)):
        if isinstance(each, bool) or not isinstance(each, int | str) or each == "":
            raise FormatError(f"{abbreviate(each)} as {name}", _SHAPE)
    return _Instance(str(item_id), str(annotator), _by_schema(labels), [*_spans(spans)])


def _by_schema(labels: Any) -> dict[str, Mapping[str, Any]]:
    """Return schema → label → value of an object, or of pairs of {"schema", "name"} and value."""
    by_schema: dict[str, dict[str, Any]] = {}
    if isinstance(labels, Mapping):
        for schema, values in labels.items():
            inner = values.get("labels", values) if isinstance(values, Mapping) else {"": values}
            by_schema[str(schema)] = dict(inner) if isinstance(inner, Mapping) else {"": inner}
    elif labels:
        if not isinstance(labels, list) or not all(
            isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], Mapping) for pair in labels
        ):
            raise FormatError(f"{abbreviate(labels)} as labels", '{"schema": {"label": value}}')
        for label, value in labels:
            by_schema.setdefault(str(label.get("schema")), {})[str(label.get("name"))] = value
    return {schema: {k: v for k, v in values.items() if _is_given(v)} for schema, values in by_schema.items()}


def _is_given(value: Any) -> bool:
    """Tell whether a label was chosen; 0 is the middle of a scale."""
    return value is not None and value is not False and value != ""


def _spans(spans: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the spans of an object by schema, of a list, or of pairs of span and value."""
    lists = [*spans.values()] if isinstance(spans, Mapping) else [spans or []]
    for each in (each for part in lists for each in (part if isinstance(part, list) else [part])):
        span = each[0] if isinstance(each, list) and each else each
        if not isinstance(span, Mapping):
            raise FormatError(f"{abbreviate(each)} as a span", '{"start", "end", "label"}')
        yield span


def _kind_of(instances: Sequence[_Instance]) -> StudyKind:
    if any(instance.spans for instance in instances):
        return "spans"
    schemas = [item for instance in instances for item in instance.labels.items() if not _is_text(item[1])]
    if any({"selection", "scale_value"} & values.keys() for _, values in schemas):
        return "verdicts"
    if any(schema == _ROW for schema, _ in schemas):
        return "cause"
    scored = [values for _, values in schemas if values]
    return "aspects" if scored and all(_score(values) is not None for values in scored) else "pairs"


def _is_text(values: Mapping[str, Any]) -> bool:
    return any(name in _TEXT_LABELS for name in values)


def _score(values: Mapping[str, Any]) -> float | None:
    """Return the number that was given: as the label that is chosen, or as the value of the only label."""
    if len(values) != 1:
        return None
    (name, value), *_ = values.items()
    for text in (name, value):
        if isinstance(text, int | float) and not isinstance(text, bool):
            return float(text)
        if isinstance(text, str) and text.strip().replace(".", "", 1).isdigit():
            return float(text)
    return None


def _marks(instance: _Instance, kind: StudyKind) -> Iterator[Mark]:
    notes = [str(text) for values in instance.labels.values() if _is_text(values) for text in values.values()]
    schemas = {schema: values for schema, values in instance.labels.items() if values and not _is_text(values)}
    for value in _values(instance, kind, schemas):
        yield foreign_mark(instance.item_id, instance.annotator, kind, value, " ".join(notes))


def _values(instance: _Instance, kind: StudyKind, schemas: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    if kind == "spans":
        for span in instance.spans:
            label = span.get("label") or span.get("name") or span.get("annotation")
            yield {"answer_id": "", "start": span.get("start"), "end": span.get("end"), "category": label}
        if not instance.spans:
            yield {}
    elif kind == "aspects" and schemas:
        yield {"answer_id": "", "scores": {schema: _score(values) for schema, values in schemas.items()}}
    elif kind != "aspects" and schemas:
        if len(schemas) > 1:
            raise FormatError(f"the schemas {', '.join(schemas)}", "one schema that is answered")
        yield _answered(kind, *schemas.values())


def _answered(kind: StudyKind, values: Mapping[str, Any]) -> dict[str, Any]:
    if kind == "verdicts":
        return {"preference": _preference(values)}
    if len(values) != 1:
        raise FormatError(f"the labels {', '.join(values)}", "one label")
    (label, value), *_ = values.items()
    chosen = label or str(value)
    if kind == "cause":
        return {"answer_id": "", "row_id": None if chosen == _NO_ROW else chosen}
    return {"category": chosen}


def _preference(values: Mapping[str, Any]) -> float:
    if values.get("selection") in _PREFERENCES:
        return _PREFERENCES[values["selection"]]
    try:
        scale = float(values["scale_value"])
    except (KeyError, TypeError, ValueError) as error:
        expected = "a selection A, B or tie, or a scale_value"
        raise FormatError(f"{abbreviate(dict(values))} as a verdict", expected) from error
    return 0.5 if scale == 0 else float(scale < 0)


def _write(marks: Sequence[Mark], items: Mapping[str, StudyItem]) -> dict[str, str]:
    of_people: dict[tuple[str, str], list[Mark]] = {}
    for mark in marks:
        if mark.phase == "main":
            of_people.setdefault((mark.item_id, mark.annotator), []).append(mark)
    lines = [
        {
            "instance_id": item_id,
            "user_id": annotator,
            "labels": {name: value for mark in each for name, value in _labels(mark).items()},
            "spans": _written_spans(each, items[item_id]),
            "links": {},
        }
        for (item_id, annotator), each in of_people.items()
    ]
    instances = [
        {"id": item_id, "text": items[item_id].answers[0].text, "responses": [a.text for a in items[item_id].answers]}
        for item_id in dict.fromkeys(item_id for item_id, _ in of_people)
    ]
    records: dict[str, list[dict[str, Any]]] = {"potato-annotations.jsonl": lines, "potato-instances.jsonl": instances}
    return {name: "".join(dump_json(record) + "\n" for record in each) for name, each in records.items()}


def _labels(mark: Mark) -> dict[str, dict[str, Any]]:
    value = mark.value
    note = {"note": {"text_box": mark.note}} if mark.note else {}
    if mark.kind == "pairs":
        return {"category": {value["category"]: value["category"]}, **note}
    if mark.kind == "verdicts":
        return {"preference": {"selection": _SELECTIONS[value["preference"]]}, **note}
    if mark.kind == "cause":
        row = value["row_id"] or _NO_ROW
        return {_ROW: {row: row}, **note}
    if mark.kind == "aspects":
        return {aspect: {f"{score:g}": f"{score:g}"} for aspect, score in value["scores"].items()} | note
    return note


def _written_spans(marks: Sequence[Mark], item: StudyItem) -> dict[str, list[dict[str, Any]]]:
    spans = [
        {
            "schema": "category",
            "name": mark.value["category"],
            "label": mark.value["category"],
            "start": mark.value["start"],
            "end": mark.value["end"],
            "text": item.answers[0].text[mark.value["start"] : mark.value["end"]],
        }
        for mark in marks
        if mark.kind == "spans" and not is_empty(mark)
    ]
    return {"category": spans} if spans else {}


FORMAT = MarkFormat(
    name="potato",
    shape=_SHAPE,
    files=("potato-annotations.jsonl", "annotations.jsonl", "*/user_state.json", "*/annotated_instances.jsonl"),
    detect=lambda record: (
        {"instance_id", "user_id"} <= record.keys()
        or "instance_id_to_label_to_value" in record
        or {"id", "label_annotations"} <= record.keys()
    ),
    read=_read,
    write=_write,
)
