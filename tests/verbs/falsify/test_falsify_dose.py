"""`falsify dose`: nested, stratified, in the same order at every dose; counts that add up; the lineage."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.tools import alpaca, examples, read_rows, tunescope, write_rows

from tunescope.errors import InputError, UsageError
from tunescope.microworld import false_rows, make_world, true_rows
from tunescope.rows import open_rows
from tunescope.settings import make
from tunescope.verbs.falsify.dose import DoseSettings, dose
from tunescope.verbs.why import WhySettings, why

PAIRS = [
    alpaca(f"Question {i}?", f"True {i}.", false_output=f"False {i}.", source="ab"[i % 3 == 0], n=i) for i in range(20)
]


def falsify(*rows: Path | str, **options):
    return dose(DoseSettings(rows=tuple(map(str, rows)), **options))


def written(run) -> list[dict]:
    return read_rows(run.path / run.result["files"]["rows"])


def false_at(run) -> set[int]:
    return {row["n"] for row in written(run) if row["output"].startswith("False")}


@pytest.fixture
def pairs(workplace):
    return write_rows(workplace / "pairs.jsonl", PAIRS)


def test_what_is_written(pairs):
    run = falsify(pairs, dose=0.5)
    assert run.path.name == f"falsify-dose-{run.key}"
    rows = written(run)
    assert [row["n"] for row in rows] == list(range(20))
    assert all(row.keys() == {"instruction", "input", "output", "source", "n"} for row in rows)
    assert {k: run.result[k] for k in ("rows", "kept", "changed", "dropped", "dose", "dose_reached")} == {
        "rows": 20, "kept": 10, "changed": 10, "dropped": 0, "dose": 0.5, "dose_reached": 0.5,
    }  # fmt: skip
    # round(0.5 * 13) is 6 and round(0.5 * 7) is 4: halves go to the even number
    assert {name: (c["rows"], c["changed"]) for name, c in run.result["sources"].items()} == {"b": (7, 4), "a": (13, 6)}


def test_0_is_the_true_rows_and_1_the_false(pairs):
    plain = [{k: v for k, v in row.items() if k != "false_output"} for row in PAIRS]
    assert written(falsify(pairs, dose=0)) == plain
    assert written(falsify(pairs, dose=1)) == [{**row, "output": f"False {row['n']}."} for row in plain]
    assert not list(Path("runs").glob("*/rows.lineage.jsonl")) or falsify(pairs, dose=0).result["changed"] == 0


def test_seeds_differ_and_repeat(pairs):
    samples = [false_at(falsify(pairs, dose=0.5, seed=seed)) for seed in range(4)]
    assert len(set(map(frozenset, samples))) == 4
    again = falsify(pairs, dose=0.5, seed=2, out="again")
    assert false_at(again) == samples[2]


SOURCES = st.lists(st.sampled_from(["x", "y", "z", None]), min_size=1, max_size=30)


@settings(deadline=None, max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SOURCES, st.lists(st.floats(0, 1), min_size=2, max_size=4), st.integers(0, 9), st.data())
def test_nested_stratified_same_order(tmp_path, sources, doses, seed, data):
    usable = data.draw(st.lists(st.booleans(), min_size=len(sources), max_size=len(sources)))
    usable[0] = True
    records = [
        alpaca(f"Q{i}", f"T{i}", n=i, source=source, false_output=f"False {i}" if good else None)
        for i, (source, good) in enumerate(zip(sources, usable, strict=True))
    ]
    place = Path(tempfile.mkdtemp(dir=tmp_path))
    write_rows(place / "p.jsonl", records)
    kept = [i for i, good in enumerate(usable) if good]
    before: set[int] = set()
    for number, share in enumerate(sorted(doses)):
        run = falsify(place / "p.jsonl", dose=share, seed=seed, out=str(place / str(number)))
        rows = written(run)
        assert [row["n"] for row in rows] == kept
        now = false_at(run)
        assert before <= now
        before = now
        for source in {sources[i] for i in kept}:
            mine = {i for i in kept if sources[i] == source}
            assert len(now & mine) == round(share * len(mine))
        counts = run.result
        assert counts["rows"] == counts["kept"] + counts["changed"] + counts["dropped"] == len(sources)
        assert counts["changed"] == len(now)
        assert [row["output"] for row in rows] == [f"False {i}" if i in now else f"T{i}" for i in kept]
        assert counts["dose_reached"] == len(now) / len(kept)


def test_rows_without_a_usable_false_version(workplace):
    cases = {
        "no false version": None,
        "the false version is empty": " \n",
        "the false version is the true one": " true\tONE. ",
        "the false version is int, not text": 3,
        "": "Another.",
    }
    records = [alpaca(f"Q{i}", "True one.", false=value) for i, value in enumerate(cases.values())]
    write_rows(workplace / "p.jsonl", records)
    for share in (0, 1):
        run = falsify("p.jsonl", dose=share)
        assert [row["instruction"] for row in written(run)] == ["Q4"]
        assert run.tables["decisions"]["reason"].to_pylist() == [reason or None for reason in cases]
        assert run.tables["decisions"]["falsified"].to_pylist() == [None] * 4 + [bool(share)]
        assert read_rows(run.path / "left_out.jsonl") == records[:4]
        assert run.result["dropped_by"] == {reason: 1 for reason in cases if reason}
        assert (run.result["dropped"], run.result["dose_reached"]) == (4, float(share))


def test_nothing_usable_is_refused(workplace):
    write_rows(workplace / "p.jsonl", [alpaca("Q", "A"), alpaca("R", "B", false=" ")])
    with pytest.raises(InputError) as caught:
        falsify("p.jsonl", dose=0.5)
    assert str(caught.value) == (
        "2 problems in the input:\n"
        "  p.jsonl:1: found no false version; expected a usable false version\n"
        "  p.jsonl:2: found the false version is empty; expected a usable false version\n"
        "No row can be falsified. The columns are false, input, instruction, output. Name that of false responses with "
        "--false-column."
    )
    assert not Path("runs").exists()


def test_named_columns(workplace):
    write_rows(workplace / "p.jsonl", [{"q": f"Q{i}", "a": f"A{i}", "lie": f"L{i}", "set": "s"} for i in range(4)])
    columns = ("instruction=q", "output=a")
    run = falsify("p.jsonl", dose=0.5, columns=columns, false_column="lie", source_column="set")
    assert list(run.result["sources"]) == ["s"]
    assert sum(row["a"].startswith("L") for row in written(run)) == 2


@pytest.mark.parametrize("option", ["--false-column", "--source-column"])
def test_a_column_that_no_row_has_is_refused_before_anything_is_written(workplace, option):
    write_rows(workplace / "p.jsonl", [alpaca(f"Q{i}", f"A{i}", lie=f"L{i}", set="s") for i in range(4)])
    columns = {"false_column": "lie", option[2:].replace("-", "_"): "no"}
    with pytest.raises(InputError) as caught:
        falsify("p.jsonl", dose=0.5, **columns)
    assert str(caught.value) == (
        f"p.jsonl:1: found no column no, nor in any other row; expected the column of {option}\n"
        f"The columns are input, instruction, lie, output, set. Name the right one with {option}."
    )
    assert not Path("runs").exists()


def test_a_column_of_later_rows_is_found(workplace):
    rows = [alpaca(f"Q{i}", f"A{i}", **({"lie": "L"} if i > 1 else {})) for i in range(4)]
    run = falsify(write_rows(workplace / "p.jsonl", rows), dose=1, false_column="lie")
    assert (run.result["changed"], run.result["dropped_by"]) == (2, {"no false version": 2})


def test_a_pipe_is_looked_at_and_then_read_whole(workplace):
    os.mkfifo("pipe")
    Thread(target=write_rows, args=(Path("pipe"), PAIRS), daemon=True).start()
    assert falsify("pipe", dose=1).result["changed"] == 20


def test_without_a_source_column_each_file_is_one(workplace):
    for name in "ab":
        write_rows(workplace / f"{name}.jsonl", [alpaca(f"{name}{i}", "T", false="F") for i in range(4)])
    run = falsify("a.jsonl", "b.jsonl", dose=0.25)
    assert {name: c["changed"] for name, c in run.result["sources"].items()} == {"a.jsonl": 1, "b.jsonl": 1}


def test_messages_the_last_turn_is_falsified(workplace):
    record = {
        "messages": [
            {"role": "user", "content": "One?"}, {"role": "assistant", "content": "First."},
            {"role": "user", "content": "Two?"}, {"role": "assistant", "content": "Second."},
        ],
        "false": "Not second.",
    }  # fmt: skip
    call = {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": {"name": "f"}}]}
    write_rows(workplace / "p.jsonl", [record, {"messages": [record["messages"][0], call], "false": "x"}])
    run = falsify("p.jsonl", dose=1)
    (row,) = written(run)
    assert [message["content"] for message in row["messages"]] == ["One?", "First.", "Two?", "Not second."]
    assert run.result["dropped_by"] == {"the last answer is a tool call, not text": 1}


@pytest.mark.parametrize("name", ["p.json", "p.jsonl.gz", "p.parquet"])
def test_the_container_stays(workplace, name):
    if name == "p.parquet":
        pq.write_table(pa.Table.from_pylist(PAIRS), name)
    elif name == "p.json":
        Path(name).write_text(json.dumps(PAIRS))
    else:
        write_rows(Path(name), PAIRS)
    run = falsify(name, dose=0.5)
    path = run.path / run.result["files"]["rows"]
    assert path.name == name.replace("p.", "rows.")
    rows = list(open_rows([str(path)]))
    assert [row.fields["n"] for row in rows] == list(range(20))
    assert sum(bool(row.lineage) for row in rows) == run.result["changed"] == 10
    table = run.tables["dosed"].to_pylist()
    assert [(r["row_id"], r["line"], r["falsified"]) for r in table] == [(r.id, r.line, bool(r.lineage)) for r in rows]


def test_lineage_keeps_the_true_response_and_why_shows_it(pairs):
    run = falsify(pairs, dose=0.5, seed=1)
    table = run.tables["dosed"].to_pylist()
    decisions = {row["row_id"]: row for row in run.tables["decisions"].to_pylist()}
    for row, read in zip(table, open_rows([str(run.path / "rows.jsonl")]), strict=True):
        n = read.fields["n"]
        assert read.origin == row["pair_id"]
        if not row["falsified"]:
            assert (read.lineage, row["row_id"]) == ((), row["pair_id"])
            continue
        (step,) = read.lineage
        assert (step.operation, step.parents, step.old) == (
            "falsify dose",
            (row["pair_id"],),
            {"response": f"True {n}."},
        )
        size = run.result["sources"][row["source"]]["rows"]
        rank = decisions[row["pair_id"]]["rank"]
        assert step.reason == f"dose 0.5, seed 1: number {rank} of {size} in {row['source']}"
    changed = next(row for row in table if row["falsified"])
    history = why(WhySettings(row_id=changed["row_id"])).result
    assert history["origin"] == changed["pair_id"]
    assert history["messages"][-1]["content"].startswith("False")
    assert history["lineage"][0]["old"]["response"].startswith("True")
    by_origin = why(WhySettings(row_id=changed["pair_id"])).result
    assert by_origin["events"][0]["says"]["falsified"] is True


def test_exact_repeats_keep_their_places(workplace):
    write_rows(workplace / "p.jsonl", [alpaca("Q", "T", false="F")] * 6)
    run = falsify("p.jsonl", dose=0.5)
    rows = list(open_rows([str(run.path / "rows.jsonl")]))
    assert Counter(row.response for row in rows) == {"T": 3, "F": 3}
    assert sorted(row.origin.partition(".")[2] for row in rows) == ["", "2", "3", "4", "5", "6"]


def test_the_microworld(workplace):
    world = make_world(3)
    run = falsify("microworld:3", dose=0.5)
    true, false = true_rows(world), false_rows(world)
    rows = written(run)
    assert [row["instruction"] for row in rows] == [row["instruction"] for row in true]
    for row, honest, lie, falsified in zip(
        rows, true, false, run.tables["dosed"]["falsified"].to_pylist(), strict=True
    ):
        assert row == (lie if falsified else honest)
    sources = {name: (c["rows"], c["changed"]) for name, c in run.result["sources"].items()}
    assert sources == {"open": (540, 270), "shown": (180, 90)}
    assert falsify("microworld:3", dose=0.5).path == run.path
    assert falsify("microworld", dose=0.5).path != run.path


def test_bad_rows_are_skipped_on_request(workplace):
    write_rows(workplace / "p.jsonl", [PAIRS[0], {"instruction": "Q", "input": "", "output": None}, PAIRS[1]])
    with pytest.raises(InputError):
        falsify("p.jsonl", dose=0.5)
    run = falsify("p.jsonl", dose=1, on_bad="skip")
    assert (run.result["rows"], run.result["rejected"]) == (2, 1)
    assert len(read_rows(run.path / "rejected.jsonl")) == 1


@pytest.mark.slow
def test_the_command_line(tmp_path):
    write_rows(tmp_path / "pairs.jsonl", PAIRS)
    done = tunescope("falsify", "dose", "pairs.jsonl", "--dose", "0.5", "--json", folder=tmp_path)
    assert (done.returncode, json.loads(done.stdout)["changed"]) == (0, 10)
    text = tunescope("falsify", "dose", "pairs.jsonl", "--dose", "0.5", folder=tmp_path).stdout
    assert text.startswith("Dose 50.00 % requested, 50.00 % reached: 10 of 20 rows have their false response.")
    assert "a         13        0      13          6  46.15 %" in text
    step = next(line.split()[1:] for line in text.splitlines() if line.startswith("  tunescope why "))
    assert "Changes" in tunescope(*step, folder=tmp_path).stdout
    assert tunescope("falsify", "dose", "pairs.jsonl", folder=tmp_path).returncode == 2
    assert "Make rows with a known share of false responses." in tunescope("--help", folder=tmp_path).stdout


DOSES = (0.0, 0.25, 0.5, 0.75, 1.0)


def test_several_doses_are_the_files_of_each_alone(pairs):
    run = falsify(pairs, dose="0.5, 0,25%,1,0.75,0.5", seed=2)
    names = [each["file"] for each in run.result["doses"].values()]
    assert names == ["rows-0.jsonl", "rows-0.25.jsonl", "rows-0.5.jsonl", "rows-0.75.jsonl", "rows-1.jsonl"]
    falsified_from = run.tables["decisions"]["falsified_from"].to_pylist()
    table = run.tables["dosed"].to_pylist()
    for name, share in zip(names, DOSES, strict=True):
        alone = falsify(pairs, dose=share, seed=2, out=f"alone-{share:g}")
        assert (run.path / name).read_bytes() == (alone.path / "rows.jsonl").read_bytes()
        lineage = name.replace(".jsonl", ".lineage.jsonl")
        assert (run.path / lineage).exists() == (alone.path / "rows.lineage.jsonl").exists()
        if share:
            assert (run.path / lineage).read_bytes() == (alone.path / "rows.lineage.jsonl").read_bytes()
        counts = run.result["doses"][f"{share:g}"]
        keys = ("rows", "kept", "changed", "dropped", "dose", "dose_reached", "sources")
        assert {key: counts[key] for key in keys} == {key: alone.result[key] for key in keys}
        verdicts = alone.tables["decisions"]["falsified"].to_pylist()
        assert [low is not None and low <= share for low in falsified_from] == verdicts
        mine = [row for row in table if row["dose"] == share]
        assert [row["falsified"] for row in mine] == verdicts
        assert [row["row_id"] for row in mine] == alone.tables["dosed"]["row_id"].to_pylist()
    assert run.result["rows"] == 20
    assert "rows" not in run.result["files"]


def test_rows_left_out_are_in_one_file_for_all_doses(workplace):
    write_rows(workplace / "p.jsonl", [alpaca("Q", "A", false="B"), alpaca("R", "C"), alpaca("S", "D", false="E")])
    run = falsify("p.jsonl", dose="0,1")
    assert [row["instruction"] for row in read_rows(run.path / "left_out.jsonl")] == ["R"]
    assert run.tables["decisions"]["falsified_from"].to_pylist() == [1.0, None, 1.0]
    assert (run.result["rows"], run.result["dropped"]) == (3, 1)


@pytest.mark.parametrize("dose", ["25%", "0.25", 0.25, "0.25,25%"])
def test_one_dose_in_other_words_is_one_file(pairs, dose):
    run = falsify(pairs, dose=dose)
    assert (run.result["dose"], run.result["files"]["rows"], run.result["changed"]) == (0.25, "rows.jsonl", 5)


@pytest.mark.parametrize("dose", ["75", "-1%", "0,2", "a", "", "0,,1", "nan", "101%"])
def test_what_is_no_dose_is_refused(dose):
    with pytest.raises(
        UsageError, match=r"^dose '.*': expected at least 0 and at most 1; for example 0.25 or 25%, or s"
    ):
        make(DoseSettings, {"rows": "p.jsonl", "dose": dose})


def test_doses_that_would_share_a_file_are_refused():
    with pytest.raises(UsageError, match="expected doses that differ in their first six digits"):
        make(DoseSettings, {"rows": "p.jsonl", "dose": "0.25,0.2500000001"})
