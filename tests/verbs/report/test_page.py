"""The page's frame: its tiles, the rows to read, and where its numbers come from."""

from __future__ import annotations

import json
import re
import shlex

import pytest
from tests.tools import alpaca, write_rows
from tests.verbs.report.bench_runs import bench_run
from tests.verbs.report.svg import pictures, shares, whiskers
from tests.verbs.report.test_scores import write_samples

from tunescope import stats
from tunescope.errors import ExpressionError, SettingsError
from tunescope.models.names import ModelNames
from tunescope.runs import finished_runs
from tunescope.settings import as_command
from tunescope.verbs import VERBS
from tunescope.verbs.check import CheckSettings, check
from tunescope.verbs.compare import CompareSettings, compare
from tunescope.verbs.repair.simplify import SimplifySettings, simplify
from tunescope.verbs.report import ReportSettings, report
from tunescope.verbs.report.row_pictures import row_words
from tunescope.verbs.report.tiles import tiles

CONFLICT = [alpaca("Why is the sky blue?", "It mirrors the sea."), alpaca("Why is the sky blue?", "Air scatters it.")]
CUT = "First wash one side, then turn it over and do the same on the"
ROWS = [alpaca("Say it.", ""), *CONFLICT, alpaca("How?", CUT), alpaca("Why?", "So be it, and so it is.")]


def checked(workplace, rows=ROWS):
    write_rows(workplace / "rows.jsonl", rows)
    return check(CheckSettings(rows=("rows.jsonl",)))


def page_of(*runs, **settings):
    made = report(ReportSettings(runs=tuple(str(run.path) for run in runs), **settings))
    return (made.path / "report.html").read_text("utf-8")


def rows_of(page, anchor="rows-1"):
    begin = f'<script type="application/json" data-component="rows" id="{anchor}-data">'
    return json.loads(page.partition(begin)[2].partition("</script>")[0])


def test_how_long_rows_are_is_drawn_by_whether_they_have_a_fault(workplace):
    run = checked(workplace)
    faulty = run.tables["rows"]["faulty"].to_pylist()
    assert faulty.count(False) == 1
    drawn = pictures(row_words(run))
    assert list(drawn) == ["How often words of a row occur: rows without a fault, rows with a fault"]
    write_rows(workplace / "sound.jsonl", ROWS[-1:])
    sound = check(CheckSettings(rows=("sound.jsonl",)))
    assert list(pictures(row_words(sound))) == ["How often words of a row occur: rows without a fault"]


def test_a_tile_has_the_number_its_interval_and_its_section(workplace):
    run = checked(workplace)
    page = page_of(run)
    share = stats.proportion_from_counts(4, 5)
    (tile,) = tiles([run], ModelNames([run]), {run.key: "rows-1"})
    assert (tile.anchor, tile.number, tile.label) == ("rows-1", "80.0 %", "of rows have a fault")
    within = f"95 %: {100 * share.low:.1f} to {100 * share.high:.1f} %."
    assert tile.said.startswith("4 of 5 rows; ")
    assert tile.said.endswith(within)
    drawn = pictures(tile.picture)["80.0 % of rows have a fault"]
    assert (shares(drawn), whiskers(drawn)[1]) == ([0.8], (round(share.low, 3), round(share.high, 3)))
    assert '<a href="#rows-1"><b><span class="whole">80.0 %</span></b> <span>of rows have a fault</span></a>' in page
    assert 'id="rows-1"' in page


def test_better_or_not_is_a_tile_of_the_comparison(workplace):
    right, wrong = 1.0, 0.0
    sides = {"a": [right] * 60 + [wrong] * 20, "b": [right] * 40 + [wrong] * 40}
    runs = [bench_run(workplace / name, {"copa": items}, model=name) for name, items in sides.items()]
    for run, items in zip(runs, sides.values(), strict=True):
        write_samples(run, "copa", items)
    compared = compare(CompareSettings(a=str(runs[0].path), b=str(runs[1].path), no_harm=5))
    (tile,) = tiles([compared], ModelNames([compared]), {})
    assert (tile.number, tile.label) == ("−25.0", "points on benchmarks")
    assert tile.said.startswith("b less a on copa, 95 % [-3")
    assert tile.said.endswith("; harm shown within 5 points.")


def test_faulty_rows_can_be_read_with_what_was_found_in_them(workplace):
    data = rows_of(page_of(checked(workplace)))
    assert {name: n for name, _, n in data["faults"]} == {
        "empty_answer": 1,
        "truncated_answer": 1,
        "conflicting_answers": 2,
    }
    by_place = {row["place"]: row for row in data["rows"]}
    assert list(by_place) == ["rows.jsonl:1", "rows.jsonl:2", "rows.jsonl:3", "rows.jsonl:4"]
    assert by_place["rows.jsonl:1"]["messages"] == [["user", "Say it.", False], ["assistant", "", False]]
    cut = by_place["rows.jsonl:4"]
    ((number, start, end),) = cut["marks"]
    assert number == 1
    assert (end, CUT[start:end][-6:]) == (len(CUT), "on the")
    twin, own, other = by_place["rows.jsonl:2"]["twin"]
    assert twin == f"Beside row {by_place['rows.jsonl:3']['id']}"
    assert (own, other) == (
        "Why is the sky blue?\n\nIt mirrors the sea.",
        "Why is the sky blue?\n\nAir scatters it.",
    )
    assert data["more"] == 0


def test_marks_count_as_javascript_does(workplace):
    plain = rows_of(page_of(checked(workplace)))["rows"][3]["marks"]
    data = rows_of(page_of(checked(workplace, [alpaca("How?", f"😀{CUT}")])))
    ((_, start, end),) = data["rows"][0]["marks"]
    assert (start, end) == (plain[0][1] + 2, plain[0][2] + 2)


def test_a_row_file_that_changed_or_went_is_said(workplace):
    run = checked(workplace)
    write_rows(workplace / "rows.jsonl", ROWS[:2])
    assert "has changed since it was checked" in page_of(run)
    (workplace / "rows.jsonl").unlink()
    page = page_of(run, title="Without")
    assert "couldn&#x27;t be read again" in page
    assert 'data-component="rows"' not in page


def test_each_run_has_its_command_and_its_tables(workplace):
    run = checked(workplace)
    made = report(ReportSettings(runs=(str(run.path),), out="deep/er/page"))
    page = (made.path / "report.html").read_text("utf-8")
    assert "<code>tunescope check rows.jsonl</code>" in page
    links = re.findall(r'<a href="([^"#]+)">', page)
    assert [link.rpartition("/")[2] for link in links] == ["run.json", "faults.parquet", "rows.parquet"]
    assert all((made.path / link).is_file() for link in links)


def test_a_command_is_what_was_typed(workplace):
    run = check(CheckSettings(rows=(str(write_rows(workplace / "my rows.jsonl", ROWS)),), max_words=9, csv="out.csv"))
    settings = VERBS["check"].settings_class()
    command = as_command("check", settings, run.settings)
    assert command == f"tunescope check '{workplace / 'my rows.jsonl'}' --max-words 9"
    assert shlex.split(command)[2] == str(workplace / "my rows.jsonl")
    assert as_command("check", settings, {**run.settings, "masks": True, "gone": 1}).endswith("--masks")


def test_the_title_is_what_the_runs_are_about(workplace):
    assert "<h1>What is known of rows.jsonl</h1>" in page_of(checked(workplace))
    assert "<h1>Mine</h1>" in page_of(checked(workplace), title="Mine")


def test_rows_that_differ_can_be_read_side_by_side(workplace):
    write_rows(workplace / "a.jsonl", [alpaca("Why?", "It mirrors the sea."), alpaca("Which?", "Blue.")])
    write_rows(workplace / "b.jsonl", [alpaca("Why?", "Air scatters it."), alpaca("Who?", "Ada.")])
    page = page_of(compare(CompareSettings(a="a.jsonl", b="b.jsonl")))
    data = rows_of(page, "compared-1")
    assert [[name, n] for name, _, n in data["faults"]] == [["changed", 1], ["removed", 1], ["added", 1]]
    changed = data["rows"][0]
    assert changed["twin"][1:] == ["Why?\n\nIt mirrors the sea.", "Why?\n\nAir scatters it."]
    assert [row["faults"][0][1] for row in data["rows"]] == ["in A and in B", "in A", "in B"]
    drawn = [name for name in pictures(page) if name.startswith("How often")]
    assert drawn == ["How often response words occur: A: a.jsonl, B: b.jsonl"]
    write_rows(workplace / "b.jsonl", [alpaca("Why?", "No.")])
    before = next(run for run in finished_runs() if run.verb == "compare")
    assert "has changed since it was compared" in page_of(before, title="Later")


def test_rows_that_a_repair_changed_can_be_read_before_and_after(workplace):
    write_rows(workplace / "rows.jsonl", [alpaca("Why?", "It is so. It always was."), alpaca("Who?", "Ada.")])
    shorten = {"pattern": "It is so.*<short_response>", "reply": "<short_response>\nIt is so.\n</short_response>"}
    write_rows(workplace / "fake.jsonl", [shorten, {"pattern": "", "reply": "Nothing to shorten."}])
    run = simplify(SimplifySettings(rows=("rows.jsonl",), oracle="fake:fake.jsonl"))
    data = rows_of(page_of(run), "repaired-1")
    (row,) = data["rows"]
    assert row["id"] == run.tables["repairs"]["new_row_id"][0].as_py()
    assert row["messages"] == [
        ["user", "Why?", False],
        ["assistant, before", "It is so. It always was.", False],
        ["assistant, after", "It is so.", False],
    ]
    assert row["twin"] == ["What changed", "Why?\n\nIt is so. It always was.", "Why?\n\nIt is so."]
    assert data["sides"] == ["only before", "only after"]
    write_rows(workplace / "rows.jsonl", [alpaca("Why?", "No.")])
    assert "has changed since it was repaired" in page_of(run, title="Later")


def test_gates_are_badges(workplace):
    run = checked(workplace)
    page = page_of(run, gates=("faulty_rows > 50%", "near_duplicate > 0"))
    gates = re.findall(r'<li class="(\w+)"><code>(.*?)</code> (.*?)</li>', page)
    assert gates == [("failed", "faulty_rows &gt; 50%", "failed"), ("passed", "near_duplicate &gt; 0", "passed")]
    with pytest.raises(SettingsError, match="--gates 'win_rate > 50': no run here has win_rate; there is broken_enc"):
        page_of(run, gates=("win_rate > 50",))
    with pytest.raises(ExpressionError):
        page_of(run, gates=("faulty_rows >",))
