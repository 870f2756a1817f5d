"""Label Studio's JSON: a list of tasks, each with the annotations of its annotators.

After https://labelstud.io/guide/task_format and https://labelstud.io/guide/export ("Label Studio JSON format of
annotated tasks"), and of the tags' results https://labelstud.io/tags/labels, /choices, /rating, /pairwise and
/textarea. Read are the results of Labels (spans), Pairwise (verdicts), Rating (an aspect each, by the control's name),
Choices (the category of a pair; in a control `preference` or `row_id` a verdict or a cause) and TextArea (a note). A
skipped annotation (`was_cancelled`) is missing; one without a result, in a study of spans, found nothing to mark. A
task that we wrote has its whole item under `data.tunescope`; of others `data.text` is the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunescope.annotations.formats import FileMarks, MarkFormat, foreign_mark
from tunescope.annotations.values import is_empty
from tunescope.foreign import dump_json
from tunescope.judgements.files import Document
from tunescope.results.annotate import Mark, ShownAnswer, StudyItem, StudyKind
from tunescope.rows.json_text import FormatError, abbreviate

_SHAPE = '[{"id", "data": {…}, "annotations": [{"completed_by", "result": […]}]}] (export type JSON)'
_OURS = "tunescope"
_WORDS = {1.0: "first", 0.5: "neither", 0.0: "second"}
_PREFERENCES = {word: value for value, word in _WORDS.items()} | {"left": 1.0, "right": 0.0, "tie": 0.5}
_NO_ROW = "none"
_KINDS: Mapping[str, StudyKind] = {"labels": "spans", "pairwise": "verdicts", "rating": "aspects", "choices": "pairs"}


def _read(documents: Sequence[Document]) -> FileMarks:
    read = FileMarks()
    kind = next((each for d in documents for r in d.records if (each := _kind_of(r.value)) is not None), None)
    for document in documents:
        for record in document.records:
            try:
                item = _item(record.value, kind or "spans")
            except FormatError as error:
                read.fail(record, error)
                continue
            read.items[item.item_id] = item
            for annotation in record.value["annotations"]:
                read.add(record, _marks(annotation, item))
    return read


def _kind_of(task: Mapping[str, Any]) -> StudyKind | None:
    """Return what a task's results say of the kind of study; None where they say nothing."""
    annotations = task.get("annotations")
    for annotation in annotations if isinstance(annotations, list) else ():
        results = annotation.get("result") if isinstance(annotation, Mapping) else None
        for result in results if isinstance(results, list) else ():
            if isinstance(result, Mapping) and result.get("type") in _KINDS:
                named: dict[Any, StudyKind] = {"preference": "verdicts", "row_id": "cause"}
                is_choice = result["type"] == "choices"
                return named.get(result.get("from_name"), "pairs") if is_choice else _KINDS[result["type"]]
    return None


def _item(task: Mapping[str, Any], kind: StudyKind) -> StudyItem:
    data = task.get("data")
    if not isinstance(data, Mapping) or not isinstance(task.get("annotations"), list) or "id" not in task:
        raise FormatError("a task without id, data or annotations", _SHAPE)
    if isinstance(data.get(_OURS), Mapping):
        try:
            return StudyItem.from_json(data[_OURS])
        except (KeyError, TypeError) as error:
            raise FormatError(f"no item in data.{_OURS} ({error})", "the item as annotate export wrote it") from error
    item_id, text = str(task["id"]), data.get("text")
    answers = (ShownAnswer(answer_id=item_id, system="", text=text),) if isinstance(text, str) else ()
    prompt = data.get("prompt") if isinstance(data.get("prompt"), str) else ""
    return StudyItem(item_id=item_id, kind=kind, prompt_id=item_id, prompt=str(prompt), answers=answers)


def _marks(annotation: Any, item: StudyItem) -> Iterator[Mark]:
    if not isinstance(annotation, Mapping) or not isinstance(annotation.get("result"), list):
        raise FormatError(f"{abbreviate(annotation)} as an annotation", '{"completed_by", "result": […]}')
    if annotation.get("was_cancelled"):
        return
    annotator, results = _annotator(annotation), annotation["result"]
    if not all(isinstance(each, Mapping) and isinstance(each.get("value"), Mapping) for each in results):
        raise FormatError(f"{abbreviate(results)} as results", "objects with type, from_name and value")
    notes = [" ".join(each["value"].get("text") or ()) for each in results if each.get("type") == "textarea"]
    note = " ".join(notes)
    values = [*_values(results, item)]
    if not values and item.kind == "spans":
        values = [{}]
    for value in values:
        yield foreign_mark(item.item_id, annotator, item.kind, value, note)


def _annotator(annotation: Mapping[str, Any]) -> str:
    who = annotation.get("completed_by")
    if isinstance(who, Mapping):
        who = who.get("email") or who.get("id")
    if isinstance(who, bool) or not isinstance(who, int | str) or who == "":
        raise FormatError(f"{abbreviate(who)} as completed_by", "a user's id or email")
    return str(who)


def _values(results: Sequence[Mapping[str, Any]], item: StudyItem) -> Iterator[dict[str, Any]]:
    """Yield the values of the marks in an annotation's results."""
    scores: dict[str, Any] = {}
    answer_id = item.answers[0].answer_id if item.answers else item.item_id
    for result in results:
        value, name = result["value"], str(result.get("from_name"))
        if result.get("type") == "labels":
            yield _span(value, item, answer_id)
        elif result.get("type") == "rating":
            scores[name] = value.get("rating")
        elif result.get("type") in ("pairwise", "choices"):
            chosen = [value.get("selected")] if result["type"] == "pairwise" else value.get("choices")
            if not isinstance(chosen, list) or len(chosen) != 1 or not isinstance(chosen[0], str):
                raise FormatError(f"{abbreviate(chosen)} chosen in {name}", "one choice")
            yield _choice(chosen[0], item)
    if scores:
        yield {"answer_id": answer_id, "scores": scores}


def _span(value: Mapping[str, Any], item: StudyItem, answer_id: str) -> dict[str, Any]:
    start, end, labels = value.get("start"), value.get("end"), value.get("labels")
    if not isinstance(labels, list) or len(labels) != 1:
        raise FormatError(f"{abbreviate(labels)} as labels of a stretch", "one label")
    if item.answers and isinstance(value.get("text"), str) and isinstance(start, int) and isinstance(end, int):
        here = item.answers[0].text[start:end]
        if here.split() != value["text"].split():
            raise FormatError(f"the marked text {abbreviate(value['text'])}", f"{abbreviate(here)}, which is there")
    return {"answer_id": answer_id, "start": start, "end": end, "category": labels[0]}


def _choice(chosen: str, item: StudyItem) -> dict[str, Any]:
    if item.kind == "verdicts":
        if chosen not in _PREFERENCES:
            raise FormatError(f"{abbreviate(chosen)} as a verdict", f"one of {', '.join(_PREFERENCES)}")
        return {"preference": _PREFERENCES[chosen]}
    if item.kind == "cause":
        phrase = {} if item.span is None else {"start": item.span[0], "end": item.span[1]}
        answer_id = item.answers[0].answer_id if item.answers else item.item_id
        return {"answer_id": answer_id, **phrase, "row_id": None if chosen == _NO_ROW else chosen}
    return {"category": chosen}


def _write(marks: Sequence[Mark], items: Mapping[str, StudyItem]) -> dict[str, str]:
    of_items: dict[str, dict[str, list[Mark]]] = {}
    for mark in marks:
        if mark.phase == "main":
            of_items.setdefault(mark.item_id, {}).setdefault(mark.annotator, []).append(mark)
    tasks = []
    for number, (item_id, by_annotator) in enumerate(of_items.items(), 1):
        item = items[item_id]
        texts = {f"text{n}": answer.text for n, answer in enumerate(item.answers, 1)}
        data = {"prompt": item.prompt, "text": item.answers[0].text, **(texts if len(item.answers) > 1 else {})}
        annotations = [
            {
                "id": f"{number}-{n}",
                "completed_by": {"email": annotator},
                "was_cancelled": False,
                "result": [result for mark in its_marks for result in _results(mark, item)],
            }
            for n, (annotator, its_marks) in enumerate(by_annotator.items(), 1)
        ]
        tasks.append({"id": number, "data": {**data, _OURS: item.as_json()}, "annotations": annotations})
    return {"label-studio.json": dump_json(tasks, indent=1) + "\n"}


def _results(mark: Mark, item: StudyItem) -> Iterator[dict[str, Any]]:
    """Yield the results that say what a mark says."""
    value = mark.value
    if mark.kind == "spans" and not is_empty(mark):
        start, end = value["start"], value["end"]
        text = item.answers[0].text[start:end]
        region = {"start": start, "end": end, "text": text, "labels": [value["category"]]}
        yield _result(mark, "category", "labels", region)
    elif mark.kind == "pairs":
        yield _result(mark, "category", "choices", {"choices": [value["category"]]})
    elif mark.kind == "verdicts":
        yield _result(mark, "preference", "choices", {"choices": [_WORDS[value["preference"]]]})
    elif mark.kind == "cause":
        yield _result(mark, "row_id", "choices", {"choices": [value["row_id"] or _NO_ROW]})
    elif mark.kind == "aspects":
        for aspect, score in value["scores"].items():
            yield _result(mark, aspect, "rating", {"rating": score})
    if mark.note:
        yield _result(mark, "note", "textarea", {"text": [mark.note]})


def _result(mark: Mark, name: str, tag: str, value: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": f"{mark.mark_id}-{name}", "from_name": name, "to_name": "text", "type": tag, "value": dict(value)}


FORMAT = MarkFormat(
    name="label-studio",
    shape=_SHAPE,
    files=("label-studio.json",),
    detect=lambda record: {"data", "annotations"} <= record.keys(),
    read=_read,
    write=_write,
)
