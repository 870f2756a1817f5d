"""What a report's page opens with: what is wrong with the rows, and what isn't done about it yet."""

from __future__ import annotations

from pathlib import Path

from tests.tools import alpaca, write_rows

from tunescope.models.names import ModelNames
from tunescope.verbs.check import CheckSettings, check
from tunescope.verbs.compare import CompareSettings, compare
from tunescope.verbs.report import ReportSettings, report
from tunescope.verbs.report.opening import describe, next_step, sentences
from tunescope.verbs.select import SelectSettings, select


def opening(*runs):
    return list(sentences(runs, ModelNames(runs)))


def test_the_next_step_is_what_isnt_done_yet(workplace):
    rows = write_rows(
        workplace / "rows.jsonl", [alpaca("Say.", ""), alpaca("Which?", "Blue."), alpaca("Why?", "So be it.")]
    )
    checked = check(CheckSettings(rows=(str(rows),)))
    (wrong,) = opening(checked)
    assert wrong.startswith("What is wrong with the rows: 2 of 3 (67 %) have a fault, and 1 of them is surely wrong. ")
    drop = f"tunescope select {rows} --from {checked.path} --where 'surely_wrong = false'"
    assert next_step([checked]) == ("drop the rows that are surely wrong and tune again", drop)
    clean = select(SelectSettings(rows=(str(rows),), from_=(str(checked.path),), where="surely_wrong = false"))
    kept = Path(clean.path / "rows.jsonl")
    assert next_step([checked, clean]) == ("tune again on the 2 rows that were kept", f"tunescope tune {kept}")
    rest = check(CheckSettings(rows=(str(kept),)))
    look = f"tunescope check {kept} --show one_word_answer"
    assert next_step([rest]) == ("look at the rows that may be wrong", look)


def test_a_page_is_called_by_what_is_on_it(workplace):
    rows = write_rows(workplace / "rows.jsonl", [alpaca("Say.", "Now."), alpaca("Why?", "So be it.")])
    kept = select(SelectSettings(rows=(str(rows),), where="output = 'Now.'"))
    changed = compare(CompareSettings(a=str(rows), b=str(kept.path)))
    called = {name: describe(runs, ModelNames(runs)) for name, runs in (("one", [kept]), ("two", [kept, changed]))}
    assert called == {"one": "Which rows were kept", "two": "What changed"}


def test_a_comparison_of_two_files_of_answers_has_a_page(workplace):
    said = {"a.jsonl": "Blue.", "b.jsonl": "Green."}
    for name, output in said.items():
        write_rows(workplace / name, [{"instruction": "Which?", "output": output, "generator": "m"}])
    run = compare(CompareSettings(a="a.jsonl", b="b.jsonl"))
    page = report(ReportSettings(runs=(str(run.path),)))
    assert "Compared: a.jsonl and b.jsonl" in (page.path / "report.html").read_text("utf-8")
