"""Files of marks: what ours, Potato's and Label Studio's hold, what comes back, and what is refused before any work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.annotations.studies import SYSTEMS, item, mark, write_items, write_marks, write_study
from tests.tools import read_rows, write_rows
from tunescope.annotations.collected import read_collected
from tunescope.annotations.formats import known_formats
from tunescope.errors import InputError, RunError, SettingsError
from tunescope.results.annotate import Assignment, ShownRow

TEXT = "The moon is made of cheese, and it is round."
ROWS = (ShownRow(row_id="r1", place="rows.json:1", texts=(("instruction", "Moon?"), ("output", "Cheese."))),)


def said(annotator, values, kind, item_id="item1", note=""):
    """Return an annotator's marks of an item."""
    return [mark(item_id, annotator, kind, value, note=note) for value in values]


STUDIES = {
    "spans": (
        item(1, "spans", [TEXT]),
        [
            *said("ann", [{"answer_id": "a1-tuned", "start": 20, "end": 26, "category": "wrong"}], "spans"),
            *said("bob", [{}], "spans"),
        ],
    ),
    "pairs": (
        item(1, "pairs", ["Long, and longer.", "Short."]),
        [
            *said("ann", [{"category": "both right, longer preferred"}], "pairs", note="It says more."),
            *said("bob", [{"category": "both wrong"}], "pairs"),
        ],
    ),
    "verdicts": (
        item(1, "verdicts", ["Long, and longer.", "Short."]),
        [
            *said("ann", [{"preference": 1.0}], "verdicts"),
            *said("bob", [{"preference": 0.5}], "verdicts"),
            *said("cy", [{"preference": 0.0}], "verdicts"),
        ],
    ),
    "aspects": (
        item(1, "aspects", [TEXT]),
        [
            *said("ann", [{"answer_id": "a1-tuned", "scores": {"depth": 2.0, "clarity": 5.0}}], "aspects"),
            *said("bob", [{"answer_id": "a1-tuned", "scores": {"depth": 3.0}}], "aspects"),
        ],
    ),
    "cause": (
        item(1, "cause", [TEXT], span=(20, 26), rows=ROWS),
        [
            *said("ann", [{"answer_id": "a1-tuned", "start": 20, "end": 26, "row_id": "r1"}], "cause"),
            *said("bob", [{"answer_id": "a1-tuned", "start": 20, "end": 26, "row_id": None}], "cause"),
        ],
    ),
}


def as_said(marks):
    """Return who said what, without the ids."""
    return sorted((m.annotator, json.dumps(m.value, sort_keys=True), m.note) for m in marks)


@pytest.mark.parametrize("kind", STUDIES)
@pytest.mark.parametrize("name", ["ours", "potato", "label-studio"])
def test_marks_come_back(name, kind, workplace):
    one, marks = STUDIES[kind]
    files = known_formats()[name].write(marks, {one.item_id: one})
    for file, text in files.items():
        Path(file).write_text(text, "utf-8")
    items = write_items(Path("items.jsonl"), [one])
    read = read_collected([next(iter(files))], None, None if name == "label-studio" else items)
    assert read.kind == kind
    assert as_said(read.marks) == as_said(marks)
    assert read.items == {one.item_id: one}
    assert read.assignments is None


def test_other_programs_get_no_pilot_and_corrected_values(workplace):
    one = item(1, "pairs", ["A.", "B."])
    marks = [
        mark("item1", "ann", "pairs", {"category": "after"}, original={"category": "before"}, reviewer="rev"),
        mark("item1", "bob", "pairs", {"category": "pilot"}, phase="pilot"),
    ]
    for name in ("potato", "label-studio"):
        files = known_formats()[name].write(marks, {one.item_id: one})
        Path(next(iter(files))).write_text(next(iter(files.values())), "utf-8")
        read = read_collected([next(iter(files))], None, write_items(Path("items.jsonl"), [one]))
        assert as_said(read.marks) == [("ann", '{"category": "after"}', "")]


def label_studio(*annotations, **data):
    """Write a task as Label Studio exports it, with our text in it."""
    tasks = [{"id": 7, "data": {"text": TEXT, **data}, "annotations": list(annotations), "predictions": []}]
    Path("project-1.json").write_text(json.dumps(tasks), "utf-8")
    return ["project-1.json"]


def annotation(who, *results, **more):
    """Return one annotator's results."""
    return {"id": 1, "completed_by": who, "was_cancelled": False, "result": list(results), **more}


def region(start, end, label, **more):
    """Return a marked stretch, as Labels has it."""
    value = {"start": start, "end": end, "labels": [label], **more}
    return {"value": value, "id": "x", "from_name": "label", "to_name": "text", "type": "labels", "origin": "manual"}


def test_label_studio_s_own_export(workplace):
    files = label_studio(
        annotation(1, region(20, 26, "Wrong", text="cheese")),
        annotation({"id": 2, "email": "bob@example.org"}),
        annotation(3, was_cancelled=True),
    )
    read = read_collected(files, None, None)
    assert [(m.annotator, m.value) for m in read.marks] == [
        ("1", {"answer_id": "7", "start": 20, "end": 26, "category": "Wrong"}),
        ("bob@example.org", {}),
    ]
    assert read.items["7"].answers[0].text == TEXT


@pytest.mark.parametrize("indent", [None, 1])
def test_one_task_in_a_file_is_a_record(indent, workplace):
    """Storage of Label Studio has a file per task, on one line or several; its annotations aren't the records."""
    (path,) = label_studio(annotation(1, region(20, 26, "Wrong")), annotation(2))
    (task,) = json.loads(Path(path).read_text())
    Path("7.json").write_text(json.dumps(task, indent=indent), "utf-8")
    alone, listed = (read_collected([name], None, None) for name in ("7.json", path))
    assert (alone.marks, alone.items, len(alone.marks)) == (listed.marks, listed.items, 2)


def test_label_studio_s_pairwise_rating_and_note(workplace):
    left = {"value": {"selected": "left"}, "from_name": "pw", "to_name": "a,b", "type": "pairwise"}
    read = read_collected(label_studio(annotation(1, left)), None, None)
    assert (read.kind, read.marks[0].value) == ("verdicts", {"preference": 1.0})
    stars = {"value": {"rating": 4}, "from_name": "depth", "to_name": "text", "type": "rating"}
    note = {"value": {"text": ["Deep."]}, "from_name": "why", "to_name": "text", "type": "textarea"}
    read = read_collected(label_studio(annotation(1, stars, note)), None, None)
    assert (read.kind, read.marks[0].note) == ("aspects", "Deep.")
    assert read.marks[0].value == {"answer_id": "7", "scores": {"depth": 4}}


def test_potato_s_user_states_and_what_older_versions_wrote(workplace):
    states = {
        "ann": {
            "user_id": "ann",
            "instance_id_to_label_to_value": {"item1": [[{"schema": "note", "name": "text_box"}, "Odd."]], "item2": {}},
            "instance_id_to_span_to_value": {
                "item1": [[{"schema": "ner", "name": "wrong", "start": 20, "end": 26}, "wrong"]]
            },
        },
        "bob": {
            "user_id": "bob",
            "instance_id_to_label_to_value": {"item1": {}},
            "instance_id_to_span_to_value": {"item1": {"ner": [{"start": 16, "end": 26, "label": "wrong"}]}},
        },
    }
    for name, state in states.items():
        Path("output", name).mkdir(parents=True)
        Path("output", name, "user_state.json").write_text(json.dumps(state), "utf-8")
    items = write_items(Path("items.jsonl"), [item(1, "spans", [TEXT]), item(2, "spans", [TEXT])])
    read = read_collected(["output"], None, items)
    assert as_said(read.marks) == [
        ("ann", '{"answer_id": "a1-tuned", "category": "wrong", "end": 26, "start": 20}', "Odd."),
        ("ann", "{}", ""),
        ("bob", '{"answer_id": "a1-tuned", "category": "wrong", "end": 26, "start": 16}', ""),
    ]
    old = {"id": "item1", "displayed_text": TEXT, "label_annotations": {"stance": {"For": "true"}}}
    for name in ("ann", "bob"):
        Path("old", name).mkdir(parents=True)
        write_rows(Path("old", name, "annotated_instances.jsonl"), [{**old, "span_annotations": {}}])
    read = read_collected(["old"], None, None)
    assert [(m.annotator, m.kind, m.value) for m in read.marks] == [
        (name, "pairs", {"category": "For"}) for name in ("ann", "bob")
    ]


def test_potato_s_scales_and_likert(workplace):
    lines = [
        {"instance_id": "1", "user_id": "ann", "labels": {"which": {"scale_value": "-2"}}, "spans": {}},
        {"instance_id": "1", "user_id": "bob", "labels": {"which": {"scale_value": "0"}}, "spans": {}},
        {"instance_id": "1", "user_id": "cy", "labels": {"which": {"selection": "B"}}, "spans": {}},
    ]
    read = read_collected([str(write_rows(Path("a.jsonl"), lines))], None, None)
    assert [m.value["preference"] for m in read.marks] == [1.0, 0.5, 0.0]
    lines = [{"instance_id": 1, "user_id": "ann", "labels": {"depth": {"4": "4"}, "tone": {"": "2"}}, "spans": {}}]
    read = read_collected([str(write_rows(Path("b.jsonl"), lines))], None, None)
    assert read.marks[0].value == {"answer_id": "1", "scores": {"depth": 4.0, "tone": 2.0}}


def refused(names, sentence, items=None):
    """Require an error that says a sentence."""
    with pytest.raises((InputError, SettingsError, RunError)) as caught:
        read_collected(names, None, items)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("annotations", "sentence"),
    [
        (
            [annotation(1, region(20, 99, "W"))],
            "project-1.json:1, record 1: found characters 20 to 99; expected a stretch of the",
        ),
        ([annotation(1, region(20, 26, "W", text="moon"))], "found the marked text 'moon'; expected 'cheese'"),
        ([annotation(None)], "found None as completed_by; expected a user's id or email"),
        ([{"completed_by": 1}], "as an annotation; expected"),
        ([annotation(1, {"type": "labels"})], "as results; expected objects with type, from_name and value"),
        (
            [annotation(1, region(0, 3, "A")), annotation(1, {**region(0, 3, "A"), "value": {"labels": ["A", "B"]}})],
            "lab",
        ),
    ],
)
def test_faults_of_label_studio_s_files(annotations, sentence, workplace):
    refused(label_studio(*annotations), sentence)


def test_what_is_refused(workplace):
    one = item(1, "verdicts", ["A.", "B."])
    items = write_items(Path("items.jsonl"), [one])

    def marks(*each):
        return [write_marks(Path("marks.jsonl"), list(each))]

    good = mark("item1", "ann", "verdicts", {"preference": 1.0})
    refused([], "no marks; name a study's folder, or files of marks")
    refused(["no.jsonl"], "no.jsonl: found no such file; expected a file of marks")
    refused([str(write_rows(Path("x.jsonl"), [{"a": 1}]))], "x.jsonl:1: found columns a; expected ours: {")
    refused(
        marks(mark("item9", "ann", "verdicts", {"preference": 1})), "found a mark of the item item9; expected", items
    )
    refused(
        marks(mark("item1", "ann", "verdicts", {"preference": 0.7})), "found 0.7 as preference; expected 1 (", items
    )
    refused(
        marks(mark("item1", "ann", "pairs", {"category": "x"})), "found a mark of pairs of the item item1; e", items
    )
    refused(
        marks(good, mark("item1", "bob", "pairs", {"category": "x"})), "marks.jsonl:2: found a mark of pairs; expected"
    )
    refused(
        marks(good, mark("item1", "ann", "verdicts", {"preference": 0.0})), "a second mark of the item item1 by ann"
    )
    refused(
        marks(mark("item1", "ann", "aspects", {"answer_id": "a", "scores": {"d": 6}})), "found 6 as the score of 'd'"
    )
    refused(
        marks(mark("item1", "a", "spans", {"answer_id": "a", "start": 5, "end": 5, "category": "w"})), "5 to 5; expec"
    )
    refused(marks(mark("item1", "a", "cause", {"answer_id": "a", "row_id": ""})), "found '' as row_id; expected the id")
    Path("empty").mkdir()
    refused(["empty"], "empty: found no study and no file of marks; expected a run of annotate create, or ")
    write_rows(Path("both.jsonl"), [{"instance_id": "1", "user_id": "a", "labels": {}, "spans": {}}])
    refused([*marks(good), "both.jsonl"], "files of several formats (marks.jsonl is ours, both.jsonl is potato)")
    refused(marks(good), "expected a line of a study's items.jsonl", marks(good)[0])
    problems = [mark("item1", f"p{n}", "verdicts", {"preference": 9}) for n in range(25)]
    with pytest.raises(InputError) as caught:
        read_collected(marks(*problems), None, None)
    assert len(caught.value.problems) == 20


def test_a_study_s_folder(workplace):
    """Items that were finished without a mark count as seen; those that were begun and not finished don't count."""
    items = [item(n, "spans", [TEXT]) for n in range(3)]
    assignments = [
        Assignment(annotator=name, item_id=one.item_id, phase="main", group=0, place=n)
        for name in ("ann", "bob")
        for n, one in enumerate(items)
    ]
    span = {"answer_id": "a0-tuned", "start": 20, "end": 26, "category": "wrong"}
    begun = {**span, "answer_id": "a2-tuned"}
    marks = [mark("item0", "ann", "spans", span), mark("item2", "bob", "spans", begun)]
    finished = [("item0", "ann"), ("item0", "bob"), ("item1", "ann")]
    study = write_study(Path("study"), items, assignments, marks, finished)
    read = read_collected([study], None, None)
    assert [(m.annotator, m.item_id, m.value) for m in read.marks] == [
        ("ann", "item0", span),
        ("ann", "item1", {}),
        ("bob", "item0", {}),
    ]
    assert (read.unfinished, len(read.assignments)) == (1, 6)
    refused([study, "marks.jsonl"], "study is a study; name it alone")
    study = write_study(Path("begun"), items, assignments, marks)
    refused([study], "begun/marks.db: found no finished items (2 begun); expected at least one")
    skipped = label_studio(annotation(1, was_cancelled=True))
    refused(skipped, "found no marks in these files; expected at least one")


def test_a_mark_more_is_another_run(workplace):
    items = [item(1, "verdicts", ["A.", "B."])]
    assignments = [Assignment(annotator=n, item_id="item1", phase="main", group=0, place=0) for n in ("ann", "bob")]
    study = write_study(Path("study"), items, assignments, [mark("item1", "ann", "verdicts", {"preference": 1.0})])
    before = read_collected([study], None, None).inputs
    assert before == read_collected([study], None, None).inputs
    from tunescope.annotations.store import MarkStore

    with MarkStore(Path(study)) as store:
        store.write(mark("item1", "bob", "verdicts", {"preference": 0.0}), 0)
    assert before != read_collected([study], None, None).inputs


def test_written_tasks_show_the_answers(workplace):
    one, marks = STUDIES["verdicts"]
    files = known_formats()["label-studio"].write(marks, {one.item_id: one})
    (task,) = json.loads(files["label-studio.json"])
    assert task["data"]["text1"] == one.answers[0].text
    assert task["data"]["text2"] == one.answers[1].text
    results = [each["result"][0]["value"]["choices"] for each in task["annotations"]]
    assert results == [["first"], ["neither"], ["second"]]
    files = known_formats()["potato"].write(marks, {one.item_id: one})
    Path("i.jsonl").write_text(files["potato-instances.jsonl"], "utf-8")
    assert read_rows(Path("i.jsonl")) == [
        {"id": "item1", "text": one.answers[0].text, "responses": [answer.text for answer in one.answers]}
    ]
    assert [answer.system for answer in one.answers] == [*SYSTEMS]
