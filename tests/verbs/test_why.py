"""`why`: what every run folder says about a row, and the row's text where its file still has it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.tools import alpaca, write_rows

from tunescope.errors import RunError
from tunescope.rows import LineageStep, RowWriter, open_rows
from tunescope.terminal import to_text
from tunescope.verbs.check import CheckSettings, check
from tunescope.verbs.compare import CompareSettings, compare
from tunescope.verbs.select import SelectSettings, select
from tunescope.verbs.why import WhySettings, why

ROWS = [
    alpaca("How are you?", "Fine, thank you."),
    alpaca("Say nothing.", ""),
    alpaca("How are you?", "Fine, thank you."),
]


def history(row_id: str):
    return why(WhySettings(row_id=row_id)).result


def says(result) -> list[tuple[str, str, dict]]:
    return [
        (event["run"].partition("/")[2].partition("-")[0], event["table"], event["says"]) for event in result["events"]
    ]


@pytest.fixture
def rows(workplace):
    return write_rows(workplace / "rows.jsonl", ROWS)


@pytest.fixture
def ids(rows):
    return [row.id for row in open_rows([str(rows)])]


def test_the_whole_history_oldest_first(workplace, rows, ids):
    checked = check(CheckSettings(rows=(str(rows),)))
    selected = select(SelectSettings(rows=(str(rows),), from_=(str(checked.path),), where="not faulty"))
    compare(CompareSettings(a=str(rows), b=str(selected.path)))
    result = history(ids[1])
    assert {key: result[key] for key in ("row_id", "origin", "file", "line", "lineage")} == {
        "row_id": ids[1],
        "origin": ids[1],
        "file": str(rows),
        "line": 2,
        "lineage": [],
    }
    assert result["messages"] == [{"role": "user", "content": "Say nothing."}, {"role": "assistant", "content": ""}]
    found = says(result)
    assert [(run, table) for run, table, _ in found] == [
        ("check", "faults"),
        ("check", "rows"),
        ("select", "decisions"),
        ("compare", "pairs"),
    ]
    assert found[0][2] == {"fault": "empty_answer", "grade": "surely wrong", "detail": "turn 0 is empty"}
    assert found[1][2]["words"] == 2
    assert found[1][2]["refusal"] is False
    assert found[2][2] == {"kept": False, "reason": "where: faulty = true"}
    assert found[3][2]["state"] == "removed"
    text = to_text(why(WhySettings(row_id=ids[1])).view, 200)
    assert f"Row {ids[1]} is in {rows}:2." in text
    assert "fault = empty_answer, grade = surely wrong, detail = turn 0 is empty" in text
    assert "reason = where: faulty = true" in text
    assert "refusal" not in text


def test_a_number_that_is_zero_is_told(workplace):
    path = write_rows(workplace / "rows.jsonl", [alpaca("?", "!")])
    run = check(CheckSettings(rows=(str(path),)))
    (ident,) = run.tables["rows"]["row_id"].to_pylist()
    assert "words = 0" in to_text(why(WhySettings(row_id=ident)).view)


def test_an_id_may_be_cut_short(workplace, rows, ids):
    check(CheckSettings(rows=(str(rows),)))
    assert history(ids[1][:6])["row_id"] == ids[1]
    assert history(ids[0])["row_id"] == ids[0]
    assert history(ids[2])["row_id"] == ids[2] == f"{ids[0]}.2"
    with pytest.raises(RunError, match=f"'{ids[0][:8]}' begins the ids of 2 rows: {ids[0]}, {ids[2]}; type more of it"):
        history(ids[0][:8])


@pytest.mark.parametrize("row_id", ["", "abc", "0123456789abcdef", "%", "x' or '1"])
def test_an_unknown_row(workplace, rows, row_id):
    check(CheckSettings(rows=(str(rows),)))
    with pytest.raises(RunError) as caught:
        history(row_id)
    assert str(caught.value) == (
        f"no run in runs has a row {row_id!r}; run `tunescope check ROWS` first, or set TUNESCOPE_RUNS to "
        "the folder of the runs"
    )


def test_no_run_at_all(workplace):
    with pytest.raises(RunError, match="no run in runs has a row"):
        history("0123456789abcdef")


def test_a_repeat_is_shown_by_its_line(workplace, ids):
    check(CheckSettings(rows=("rows.jsonl",)))
    result = history(ids[2])
    assert (result["line"], result["messages"][1]["content"]) == (3, "Fine, thank you.")


def test_a_repeat_over_several_files(workplace, rows, ids):
    """Its ordinal counts both files; read alone, the second file has no repeat."""
    other = write_rows(workplace / "other.jsonl", [alpaca("Else?", "No, no."), ROWS[1]])
    check(CheckSettings(rows=(str(rows), str(other))))
    result = history(f"{ids[1]}.2")
    assert (result["file"], result["line"], result["messages"][0]["content"]) == (str(other), 2, "Say nothing.")


def test_columns_that_had_to_be_named(workplace):
    path = write_rows(workplace / "rows.jsonl", [{"q": "What is it?", "reply": "It is this."}])
    run = check(CheckSettings(rows=(str(path),), columns=("instruction=q", "output=reply"), format="alpaca"))
    (ident,) = run.tables["rows"]["row_id"].to_pylist()
    assert history(ident)["messages"][0]["content"] == "What is it?"


@pytest.mark.parametrize("change", ["gone", "shorter", "other", "broken"])
def test_a_file_that_changed_since(workplace, rows, ids, change):
    check(CheckSettings(rows=(str(rows),)))
    if change == "gone":
        rows.unlink()
    elif change == "broken":
        rows.write_text("{")
    else:
        write_rows(rows, ROWS[:1] if change == "shorter" else list(reversed(ROWS))[:1] + [ROWS[0]] * 2)
    outcome = why(WhySettings(row_id=ids[1]))
    assert outcome.result["messages"] is None
    assert outcome.result["origin"] is None
    assert "That file is gone or has changed since, so the row's text can't be shown." in outcome.view.sentences


def test_a_row_that_came_down_a_pipe_or_has_no_place(workplace, rows, ids):
    run = check(CheckSettings(rows=(str(rows),)))
    Path(rows).rename("moved.jsonl")
    select(SelectSettings(rows=("moved.jsonl",), where="line < 3"))
    assert history(ids[1])["file"] == "moved.jsonl"
    assert (run.path / "run.json").is_file()


def test_lineage_is_told(workplace, rows, ids):
    source = open_rows([str(rows)])
    (workplace / "changed").mkdir()
    with RowWriter(workplace / "changed", "rows", source.files[0]) as writer:
        for row in source:
            user, answer = row.messages
            loud = type(answer)("assistant", "HELLO.")
            step = LineageStep("shout", 3, (row.id,), "was quiet", old={"response": answer.content})
            writer.write(row.with_messages((user, loud), step) if row.id == ids[1] else row)
    run = check(CheckSettings(rows=(str(writer.path),)))
    ident = run.tables["rows"]["row_id"][1].as_py()
    result = history(ident)
    assert result["origin"] == ids[1]
    assert result["lineage"][0]["operation"] == "shout"
    outcome = why(WhySettings(row_id=ident))
    assert f"When it was first read, its id was {ids[1]}." in outcome.view.sentences
    assert outcome.view.tables[1].rows == (("shout", 3, "was quiet", "{'response': ''}"),)
    assert json.dumps(outcome.result)
