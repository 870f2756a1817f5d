"""Where a record is: the same rule for rows, prompts, answers and judgements, whatever the layout of a file."""

from __future__ import annotations

import json

import pytest

from tunescope.locations import Location
from tunescope.rows import open_rows
from tunescope.rows.containers import chunks
from tunescope.verbs.check import CheckSettings, check
from tunescope.verbs.select import SelectSettings, select
from tunescope.verbs.why import WhySettings, why

RECORDS = [{"instruction": f"Question {number}?", "output": f"Answer {number}."} for number in range(1, 5)]


@pytest.mark.parametrize(
    ("location", "text"),
    [
        (Location("a.jsonl", 3), "a.jsonl:3"),
        (Location("a.json", 1, 4), "a.json:1, record 4"),
        (Location("a.json", None, 4), "a.json, record 4"),
        (Location("a.json"), "a.json"),
    ],
)
def test_as_text(location, text):
    assert str(location) == text


def test_rows_of_an_array_on_one_line_have_their_numbers(workplace):
    (workplace / "line.json").write_text(json.dumps(RECORDS))
    (workplace / "some.json").write_text(
        ",\n".join(json.dumps(RECORDS)[:-1].rsplit(", {", 1)).replace(",\n", ",\n{") + "]"
    )
    (workplace / "indented.json").write_text(json.dumps(RECORDS, indent=1))
    assert [str(row.location) for row in open_rows(["line.json"])] == [f"line.json:1, record {n}" for n in (1, 2, 3, 4)]
    assert [str(row.location) for row in open_rows(["some.json"])] == [
        *(f"some.json:1, record {n}" for n in (1, 2, 3)),
        "some.json:2",
    ]
    assert [str(row.location) for row in open_rows(["indented.json"])] == [f"indented.json:{n}" for n in (2, 6, 10, 14)]
    assert [row.line for row in open_rows(["line.json"])] == [1, 1, 1, 1]


def test_chunks_go_on_counting(workplace):
    path = workplace / "line.json"
    path.write_text(json.dumps(RECORDS * 5))
    file = open_rows(["line.json"]).files[0]
    pieces = chunks(path, "json", 100)
    assert len(pieces) > 5
    assert [row.record for piece in pieces for row in file.rows(piece)] == list(range(1, 21))


def test_places_are_shown_with_their_numbers(workplace):
    (workplace / "line.json").write_text(json.dumps([*RECORDS, {"instruction": "Empty?", "output": ""}]))
    checked = check(CheckSettings(rows=("line.json",)))
    faulty = checked.tables["faults"].to_pylist()[0]
    assert (faulty["fault"], faulty["line"], faulty["record"]) == ("empty_answer", 1, 5)
    result = why(WhySettings(row_id=faulty["row_id"])).result
    assert (result["record"], result["messages"][0]["content"]) == (5, "Empty?")
    selected = select(SelectSettings(rows=("line.json",), where="output != ''"))
    assert selected.tables["decisions"]["record"].to_pylist() == [1, 2, 3, 4, 5]
    assert selected.view.tables[0].rows[0][1] == "line.json:1, record 5"
