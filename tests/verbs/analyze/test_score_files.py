"""Tables of scores: what is read, as which dose, and what is refused with its place."""

from __future__ import annotations

import csv
import io
import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunescope.errors import InputError, SettingsError, TunescopeError
from tunescope.verbs.analyze.score_files import read_table
from tunescope.verbs.analyze.score_table import TaskScore

FIVE = [("a", 0.0, 0.9), ("a", 0.25, 0.8), ("a", 1.0, None), ("b", 0.0, 0.5), ("b", 0.25, 0.4), ("b", 1.0, 0.3)]

PER_DOSE = [(0, 0.9, 0.5), (0.25, 0.8, 0.4), (1, None, 0.3)]

WIDE = [("a", 0.9, 0.8, None), ("b", 0.5, 0.4, 0.3)]


def table(folder, text: str, name: str = "t.csv") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def cells(scores) -> list[tuple[str, float, float | None]]:
    return [(cell.task, cell.dose, cell.score) for cell in scores.cells]


def problem(path: str, *hints: str) -> str:
    with pytest.raises(InputError) as caught:
        read_table(path, hints)
    return str(caught.value).removeprefix(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "task,0,0.25,1\na,.9,.8,\nb,.5,.4,.3\n"),
        ("t.csv", "\ufefftask,0,25,100\r\n\r\na,0.9,0.8,n/a\r\nb,5e-1,+.4,.30\r\n"),
        ("t.csv", 'Benchmark;CR 0%;CR 25%;CR 100%\n"a";0.9;0.8;–\nb;.5;.4;.3\n'),
        ("t.tsv", "task\tdose_0\tdose=.25\tcorruption ratio 100 %\na\t.9\t.8\tnull\nb\t.5\t.4\t.3\n"),
        ("t.csv", "dose,task,score\n0,a,.9\n0.25,a,.8\n1,a,-\n0,b,.5\n0.25,b,.4\n1.0,b,.3\n"),
        ("t.json", json.dumps([{"task": t, "0%": x, "25%": y, "1": z} for t, x, y, z in WIDE])),
        ("t.csv", "dose,a,b\n0,.9,.5\n0.25,.8,.4\n1,,.3\n"),
        ("t.csv", "a,falsity,b\n.9,0%,.5\n.8,25%,.4\n-,100%,.3\n"),
        ("t.csv", "model,a,b\nLLaMA,.7,.7\nCR 0%,.9,.5\nCR 25%,.8,.4\nCR 100%,,.3\nABS,,.2\n"),
        ("t.csv", "share,a,b\n0,.9,.5\n.25,.8,.4\n1,,.3\n"),
        ("t.json", json.dumps([{"dose": d, "a": x, "b": y, "by": "me"} for d, x, y in PER_DOSE])),
        ("t.jsonl", "".join(json.dumps({"task": t, "dose": d, "acc": s}) + "\n" for t, d, s in FIVE)),
    ],
)  # fmt: skip
def test_every_form_reads_the_same(tmp_path, name, text):
    assert cells(read_table(table(tmp_path, text, name))) == FIVE


def test_parquet(tmp_path):
    wide = pa.table({"task": ["a", "b"], "0": [0.9, 0.5], "0.25": [0.8, 0.4], "1": pa.array([None, 0.3])})
    pq.write_table(wide, tmp_path / "t.parquet")
    assert cells(read_table(str(tmp_path / "t.parquet"))) == FIVE


@pytest.mark.parametrize(
    ("header", "doses"),
    [
        ("0,.25,50 %,75%", ["0 share", "0.25 share", "0.5 percent", "0.75 percent"]),
        ("0,25,50,100", ["0 percent", "0.25 percent", "0.5 percent", "1 percent"]),
        ("0,1,10", ["0 percent", "0.01 percent", "0.1 percent"]),
        ("0,1", ["0 share", "1 share"]),
        ("CR 0%,Dose 0.5,0.5% noise", ["0 percent", "0.5 share", "0.005 percent"]),
    ],
)
def test_how_doses_are_read(tmp_path, header, doses):
    path = table(tmp_path, f"task,{header}\na{',1' * len(doses)}\n")
    read_as = read_table(path).read_as
    assert list(read_as) == header.split(",")
    assert [f"{dose:g} {how}" for dose, how in read_as.values()] == doses


def test_percent_signs_of_scores_are_the_unit(tmp_path):
    scores = read_table(table(tmp_path, "task,0,1\na,54.71%,\N{MINUS SIGN}47.96 %\n"))
    assert (scores.unit, cells(scores)) == ("%", [("a", 0.0, 54.71), ("a", 1.0, -47.96)])


def test_seeds_retuned_and_unused_columns(tmp_path):
    wide = read_table(table(tmp_path, "seed,task,base,0,1,Re-tuned\n7,a,5,4,1,3\n8,a,5,4,2,\n"))
    assert wide.unused == ("base",)
    assert wide.cells == (
        TaskScore("a", 0.0, "7", False, 4.0), TaskScore("a", 1.0, "7", False, 1.0),
        TaskScore("a", 1.0, "7", True, 3.0),
        TaskScore("a", 0.0, "8", False, 4.0), TaskScore("a", 1.0, "8", False, 2.0),
        TaskScore("a", 1.0, "8", True, None),
    )  # fmt: skip
    long = "task,dose,score,seed,base\n" + "".join(
        f"a,{d},{s},{seed},5\n" for d, s, seed in [(0, 4, 7), (1, 1, 7), ("retuned", 3, 7), (0, 4, 8), (1, 2, 8)]
    )
    scores = read_table(table(tmp_path, long))
    assert scores.cells == wide.cells[:5]
    assert scores.unused == ("base",)


def test_a_row_per_dose_with_seeds_retuned_and_what_is_not_used(tmp_path):
    text = "dose,seed,a,by\n0,7,4,me\n1,7,1,me\nretuned,7,3,me\n0,8,4,me\n1,8,2,me\nretuned,8,,me\nbase,,5,me\n"
    scores = read_table(table(tmp_path, text))
    assert scores.cells == (
        TaskScore("a", 0.0, "7", False, 4.0), TaskScore("a", 1.0, "7", False, 1.0),
        TaskScore("a", 1.0, "7", True, 3.0),
        TaskScore("a", 0.0, "8", False, 4.0), TaskScore("a", 1.0, "8", False, 2.0),
        TaskScore("a", 1.0, "8", True, None),
    )  # fmt: skip
    assert (scores.unused, scores.unused_rows) == (("by",), ("base",))


def test_doses_in_two_places_are_refused_with_both_ways_to_say_it(tmp_path):
    path = table(tmp_path, "x,y\n0,0\n1,1\n")
    assert problem(path) == (
        ": found 2 columns that could be doses, 'x' and 'y'; expected one\nName it: --columns dose=x."
    )
    assert cells(read_table(path, ["dose=x"])) == [("y", 0.0, 0.0), ("y", 1.0, 1.0)]
    both = table(tmp_path, "dose,0,1\n0,5,6\n1,7,8\n")
    assert problem(both).startswith(": found doses as names of columns ('0', '1') and in the column 'dose'; expected")
    assert cells(read_table(both, ["dose=dose"])) == [
        ("0", 0.0, 5.0),
        ("0", 1.0, 7.0),
        ("1", 0.0, 6.0),
        ("1", 1.0, 8.0),
    ]
    assert cells(read_table(both, ["task=dose"])) == [
        ("0", 0.0, 5.0),
        ("0", 1.0, 6.0),
        ("1", 0.0, 7.0),
        ("1", 1.0, 8.0),
    ]


def test_categories(tmp_path):
    wide = read_table(table(tmp_path, "task,category,0,1\na,words,4,1\nb,,4,2\n"))
    long = read_table(table(tmp_path, "task,kind,dose,score\na,words,0,4\na,words,1,1\n"), ["category=kind"])
    assert (wide.categories, wide.unused) == ({"a": "words"}, ())
    assert (long.categories, long.unused) == ({"a": "words"}, ())
    two = table(tmp_path, "task,category,dose,score\na,words,0,4\na,facts,1,1\n")
    assert problem(two) == ":3: found the category 'facts' of 'a'; expected 'words', as in an earlier line"


def test_columns_by_hint_and_by_place(tmp_path):
    path = table(tmp_path, "what,n,0,1\nx,3,1,2\n")
    assert (read_table(path).tasks, read_table(path).unused) == (["x"], ("n",))
    assert read_table(path, ["task=n"]).tasks == ["3"]
    long = table(tmp_path, "a,b,c\nx,0,1\nx,1,2\n")
    assert cells(read_table(long, ["task=a,dose=b", "score=c"])) == [("x", 0.0, 1.0), ("x", 1.0, 2.0)]
    for hint, expected in [
        ("dose=z", "has no such column"),
        ("x=a", "expected WORD=COLUMN"),
        ("a=score", "'score=a'"),
        ("dose", "WORD=COLUMN"),
    ]:
        with pytest.raises(SettingsError, match=expected):
            read_table(long, [hint])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ": found an empty file; expected a header and a row per task"),
        ("task,0,1\n", ": found the columns none; expected a column per dose"),
        ("task,a,b\nx,1,2\n", ": found the columns 'task', 'a', 'b'; expected a column per dose"),
        ("0,1\n1,2\n", ": found the columns '0', '1'; expected a column per dose"),
        ("task,0,1\na,1\n", ":2: found 2 cells; expected 3, one per column of line 1"),
        ("task,0,0\na,1,2\n", ":1: found two columns called '0'; expected a name per column"),
        ("task,0,0%\na,1,2\n", ": found two columns for one dose, '0' and '0%'; expected a column per dose"),
        ("task,0,1\na,1,x\n", ":2: found 'x' in column '1'; expected a number such as 54.71 or 54.71%, or nothing"),
        ("task,0,1\na,1,inf\n", ":2: found 'inf' in column '1'"),
        ("task,0,1\na,1,1e999\n", ":2: found '1e999' in column '1'"),
        ('task,0,1\na,1,"0,25"\n', ":2: found '0,25' in column '1'"),
        ("task,0,1\na,1,2\n\na,3,4\n", "2 problems in the input:"),
        ("task,0,1\n,1,2\n", "2 problems in the input:"),
        ("task,0,1\na,1%,2\n", ":2: found a score with a % sign, where that of line 2 has none"),
        ("task,0,.25,50\na,1,2,3\n", ": found the doses 0, .25, 50, of which some look like shares"),
        ("task,0,120%\na,1,2\n", ": found the dose '120%'; expected doses from 0 to 100 %"),
        ("task,dose,score\na,many,1\n", ": found the dose 'many'; expected 0 to 1, 0% to 100%, or retuned"),
        ('task,0,1\n"a,1,2\n', ":2: found no table row (unexpected end of data)"),
    ],
)
def test_what_is_refused(tmp_path, text, expected):
    assert problem(table(tmp_path, text)).startswith(expected)


@pytest.mark.parametrize(("value", "shown"), [(True, "True"), ([1], "a list"), ({}, "an object"), (10**400, "1000")])
def test_json_cells_that_are_no_scores(tmp_path, value, shown):
    path = table(tmp_path, json.dumps([{"task": "a", "0": value}]), "t.json")
    assert problem(path).startswith(f":1: found {shown}")


def test_no_file_a_folder_and_other_bytes(tmp_path):
    assert problem(str(tmp_path / "no.csv")) == ": found no such file; expected a table of scores"
    (tmp_path / "run.json").write_text("{}")
    assert problem(str(tmp_path)).endswith(f"Type --from {tmp_path} for a run folder.")
    (tmp_path / "t.csv").write_bytes(b"task,0\n\xff,1\n")
    assert problem(str(tmp_path / "t.csv")) == ": found bytes that aren't UTF-8 (at 7); expected UTF-8 text"


def test_the_same_cell_twice_names_both_places(tmp_path):
    path = table(tmp_path, "task,dose,score\na,0,1\nb,0,1\na,0%,2\n")
    assert problem(path) == (
        ":4: found the task 'a' at 0% again (first in line 2); expected each once, or a column seed"
    )


# Whatever a file holds, it is read whole or refused with a sentence of ours.

HEADS = st.sampled_from(["task", "0", "1", "25%", "dose", "score", "seed", "retuned", "CR 50%", "", "x", "0.5", "1e9"])
CELLS = st.one_of(
    st.sampled_from(["", "1", "54.7%", "-", "a", "nan", "1e400", "0,5", '"', "\x00", "b\n", "retuned"]),
    st.text(max_size=4),
)
FUZZ = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def reads_or_refuses(path) -> None:
    scores, message = None, ""
    try:
        scores = read_table(str(path))
    except TunescopeError as error:
        message = str(error)
    if scores is None:
        assert message.startswith(str(path)) or "problems in the input" in message
        return
    assert scores.cells
    assert all(cell.task and (cell.dose is None or 0 <= cell.dose <= 1) for cell in scores.cells)
    assert all(cell.score is None or math.isfinite(cell.score) for cell in scores.cells)
    places = [(cell.task, cell.dose, cell.seed, cell.retuned) for cell in scores.cells]
    assert len(set(places)) == len(places)


def fuzz_tables(tmp_path, rows: list[list[str]], mark: str, quoting: bool) -> None:
    out = io.StringIO()
    if quoting:
        csv.writer(out, delimiter=mark).writerows(rows)
    else:
        out.write("\n".join(mark.join(row) for row in rows))
    path = tmp_path / ("t.tsv" if mark == "\t" else "t.csv")
    path.write_bytes(out.getvalue().encode("utf-8", "surrogatepass"))
    reads_or_refuses(path)


ROWS = st.lists(HEADS, min_size=1, max_size=5).flatmap(
    lambda head: st.lists(st.lists(CELLS, min_size=len(head), max_size=len(head)), max_size=5).map(lambda r: [head, *r])
)


@FUZZ
@given(ROWS, st.sampled_from([",", ";", "\t"]), st.booleans())
def test_any_separated_table(tmp_path, rows, mark, quoting):
    fuzz_tables(tmp_path, rows, mark, quoting)


@pytest.mark.drill
@settings(FUZZ, max_examples=20_000)
@given(ROWS, st.sampled_from([",", ";", "\t"]), st.booleans())
def test_very_many_separated_tables(tmp_path, rows, mark, quoting):
    fuzz_tables(tmp_path, rows, mark, quoting)


@FUZZ
@given(st.binary(max_size=60), st.sampled_from(["t.csv", "t.tsv", "t.json", "t.jsonl", "t.parquet"]))
def test_any_bytes(tmp_path, data, name):
    (tmp_path / name).write_bytes(data)
    reads_or_refuses(tmp_path / name)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3), lambda x: st.lists(x, max_size=2)
)


@FUZZ
@given(st.lists(st.dictionaries(HEADS, JSON, max_size=5), max_size=4), st.sampled_from(["t.json", "t.jsonl"]))
def test_any_json(tmp_path, records, name):
    text = json.dumps(records) if name == "t.json" else "\n".join(map(json.dumps, records))
    (tmp_path / name).write_text(text)
    reads_or_refuses(tmp_path / name)
