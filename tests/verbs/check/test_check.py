"""The verb: its tables, counts, chunks and workers, what it says, and the commands it names."""

from __future__ import annotations

import csv
import json
import shlex
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.tools import ROOT, alpaca, read_rows, real, write_rows

import tunescope
from tunescope import cli
from tunescope.errors import InputError, SettingsError
from tunescope.rows import open_rows
from tunescope.rows.containers import chunks
from tunescope.text.words import words
from tunescope.verbs.check import CheckSettings, check, meanings
from tunescope.verbs.check.shard import FAULTS, CheckContext, FileChunk, check_chunk

DEMO = ROOT / "recipes/lora-and-full/rows.json"
NAMES = list(meanings())

EXPECTED = {
    4: {"empty_answer": "turn 0 is empty"},
    8: {"leaked_preamble": "'Here is a new and complete answer'"},
    11: {"conflicting_answers": "2 answers in 2 rows, another in {39}"},
    13: {"conflicting_answers": "2 answers in 2 rows, another in {60}"},
    16: {"truncated_answer": "its last sentence has no end: 'so that the average density of the whole'"},
    20: {"refusal": "'sorry, but as an AI language model I cannot'"},
    25: {"one_word_answer": "'Renting.'"},
    28: {"broken_encoding": "'ide the cafÃ© and order'"},
    32: {"conflicting_answers": "2 answers in 2 rows, another in {66}"},
    35: {"conflicting_answers": "2 answers in 2 rows, another in {77}"},
    39: {"near_duplicate": "0.927 like {11}", "conflicting_answers": "2 answers in 2 rows, another in {11}"},
    41: {"truncated_answer": "a code fence that never closes"},
    45: {"control_character": "U+0008 in message 2 ('assistant')"},
    49: {"leaked_preamble": '"Here\'s the improved response"'},
    52: {"conflicting_answers": "2 answers in 2 rows, another in {92}"},
    55: {"empty_answer": "turn 0 is empty"},
    60: {"conflicting_answers": "2 answers in 2 rows, another in {13}"},
    63: {"refusal": "'sorry, but as an AI language model I cannot'"},
    66: {"near_duplicate": "0.928 like {32}", "conflicting_answers": "2 answers in 2 rows, another in {32}"},
    69: {"one_word_answer": "'Coolant.'"},
    71: {"exact_duplicate": "repeats {22}"},
    74: {"truncated_answer": "its last sentence has no end: 'd if your knees begin to hurt you should'"},
    77: {"conflicting_answers": "2 answers in 2 rows, another in {35}"},
    81: {"broken_encoding": "'In many cafÃ©s, a glass'"},
    85: {"leaked_preamble": "'[Better Answer]'"},
    88: {"exact_duplicate": "repeats {6}"},
    92: {"near_duplicate": "0.867 like {52}", "conflicting_answers": "2 answers in 2 rows, another in {52}"},
}
"""What was planted into lora-and-full's rows, by position; {N} is the id of row N."""


def run(*rows: Path | str, **settings):
    return check(CheckSettings(rows=tuple(map(str, rows)), **settings))


def test_the_demo_rows_have_the_faults_that_were_planted(workplace):
    made = run(DEMO)
    table = made.tables["rows"].to_pydict()
    ids = dict(enumerate(table["row_id"]))
    expected = [
        (table["row_id"][number], name, faults[name].replace("{", "{0[").replace("}", "]}").format(ids))
        for number, faults in EXPECTED.items()
        for name in NAMES
        if name in faults
    ]
    faults = made.tables["faults"].to_pylist()
    assert [(fault["row_id"], fault["fault"], fault["detail"]) for fault in faults] == expected
    assert [number for number, faulty in enumerate(table["faulty"]) if faulty] == list(EXPECTED)
    for name in NAMES[:-1]:
        planted = [number for number, faults in EXPECTED.items() if name in faults]
        assert [number for number, flag in enumerate(table[name]) if flag] == planted
    assert made.result["faults"] == {
        name: sum(name in faults for faults in EXPECTED.values()) for name in NAMES if name != "benchmark_overlap"
    }
    assert (made.result["rows"], made.result["faulty_rows"], made.result["rejected"]) == (100, len(EXPECTED), 0)
    assert [number for number, sure in enumerate(table["surely_wrong"]) if sure] == SURE
    assert made.result["surely_wrong_rows"] == len(SURE)


def test_the_rows_table_stands_for_the_rows(workplace):
    made = run(DEMO)
    table = made.tables["rows"]
    places = ["row_id", "file", "line", "record"]
    assert table.column_names == [*places, "words", "characters", "faulty", "surely_wrong", *NAMES[:-1]]
    for row, record in zip(open_rows([str(DEMO)]), table.to_pylist(), strict=True):
        assert (record["row_id"], record["file"], record["line"]) == (row.id, row.file, row.line)
        assert record["words"] == sum(len(words(message.content or "")) for message in row.messages)
        assert record["very_long"] == (record["words"] - record["characters"] > 1500)
        assert record["faulty"] == any(record[name] for name in NAMES[:-1])


@pytest.mark.slow
def test_counts_add_up_on_real_rows(workplace):
    """The known trap of random_9k: empty answers, counted here with nothing but Python."""
    path = real("instructions", "random_9k.json")
    source = json.loads(path.read_text("utf-8"))
    made = run(path)
    table, faults = made.tables["rows"].to_pydict(), made.tables["faults"].to_pydict()
    assert made.result["rows"] == len(source) == len(table["row_id"]) == len(set(table["row_id"]))
    assert made.result["faults"]["empty_answer"] == sum(not record["output"].strip() for record in source) > 0
    japanese = "夕食に行くつもりです。"
    answers = [record["output"] for record in source if record["output"].strip() and record["output"] != japanese]
    one_word = sum(len(words(answer)) < 2 for answer in answers)
    assert made.result["faults"]["one_word_answer"] == one_word
    contents = Counter((r["instruction"], r["input"], r["output"]) for r in source)
    assert made.result["faults"]["exact_duplicate"] == len(source) - len(contents)
    for name in NAMES[:-1]:
        rows = {ident for ident, fault in zip(faults["row_id"], faults["fault"], strict=True) if fault == name}
        assert len(rows) == sum(table[name]) == made.result["faults"][name]
    assert len(set(faults["row_id"])) == sum(table["faulty"]) == made.result["faulty_rows"]


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """5,000 rows of 4 kB: two chunks as lines, as an array and as row groups; one when gzipped or packed."""
    demo = json.loads(DEMO.read_text("utf-8"))
    records = [
        demo[i % 100] | {"instruction": f"{demo[i % 100]['instruction']} ({i % 90})", "pad": "x" * 4000}
        for i in range(5000)
    ]
    folder = tmp_path_factory.mktemp("big")
    write_rows(folder / "rows.jsonl", records)
    write_rows(folder / "one.jsonl.gz", records)
    (folder / "rows.json").write_text("[" + ",\n".join(map(json.dumps, records)) + "\n]")
    table = pa.Table.from_pylist(records)
    pq.write_table(table, folder / "rows.parquet", row_group_size=100, compression="none", use_dictionary=False)
    pq.write_table(table, folder / "one.parquet")
    return folder


def results(made):
    """Return a run's tables without the file's name and the record numbers, and its result without the run's."""
    tables = {name: table.drop_columns(["file", "record"]) for name, table in made.tables.items()}
    return tables, {key: value for key, value in made.result.items() if key != "run"}


@pytest.mark.slow
def test_chunks_and_workers_change_nothing(workplace, big):
    expected = results(run(big / "one.jsonl.gz", workers=1))
    assert expected[1]["rows"] == 5000
    assert all(count > 0 for name, count in expected[1]["faults"].items() if EXPECTED_SOME[name])
    for name, workers in [("rows.jsonl", 1), ("rows.jsonl", 2), ("rows.json", 1), ("rows.parquet", 1)]:
        made = run(big / name, workers=workers, out=f"{name}-{workers}")
        assert results(made) == expected, (name, workers)
    for name in ("rows.jsonl", "rows.json", "rows.parquet"):
        assert len(open_rows([str(big / name)]).files[0].chunks()) == 2


def test_chunks_of_any_size_find_the_same(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_rows(path, json.loads(DEMO.read_text("utf-8")))
    (file,) = open_rows([str(path)]).files
    context = CheckContext(CheckSettings(rows=(str(path),)), None)
    found = []
    for step in (1, 3000, 10**9):
        rows, faults = [], []
        for number, chunk in enumerate(chunks(path, "jsonl", step)):
            folder = tmp_path / f"{step}-{number}"
            folder.mkdir()
            check_chunk(context, FileChunk(file, chunk), folder)
            arrays = np.load(folder / "rows.npz")
            faults += [[row + len(rows), *fault] for row, *fault in read_rows(folder / "faults.jsonl")]
            rows += zip(
                *(arrays[name].tolist() for name in ("ids", "lines", "words", "questions", "answers")), strict=True
            )
        found.append((rows, faults))
    assert len(found[0][0]) == 100
    assert len(list(tmp_path.glob("1-*"))) == 100
    assert len(list(tmp_path.glob("3000-*"))) > 10
    assert found[0] == found[1] == found[2]


EXPECTED_SOME = {name: any(name in faults for faults in EXPECTED.values()) for name in NAMES}


def test_several_files_are_one_set(workplace):
    one = write_rows(workplace / "one.jsonl", [alpaca("What is it?", "It is this thing."), alpaca("And that?", "")])
    two = write_rows(workplace / "two.jsonl", [alpaca("What is it?", "It is this thing."), alpaca("Else?", "No, no.")])
    made = run(one, two)
    table = made.tables["rows"].to_pydict()
    assert [(Path(f).name, line) for f, line in zip(table["file"], table["line"], strict=True)] == [
        ("one.jsonl", 1), ("one.jsonl", 2), ("two.jsonl", 1), ("two.jsonl", 2),
    ]  # fmt: skip
    assert table["row_id"][2] == table["row_id"][0] + ".2"
    assert table["exact_duplicate"] == [False, False, True, False]
    assert run(two, one).path != made.path
    assert run("*.jsonl").path == made.path
    assert run(one).result["rows"] == 2
    assert run(one, one).result["rows"] == 4
    assert any(f"{two}, line 1" in row for row in made.view.tables[1].rows)


def test_bad_rows_are_refused_in_one_report_or_left_out(workplace):
    unanswered = {"instruction": "No answer", "input": "", "output": None}
    records = [alpaca("One?", "It is one."), unanswered, alpaca("Two?", "")]
    path = write_rows(workplace / "rows.jsonl", records)
    with pytest.raises(InputError) as caught:
        run(path)
    assert "rows.jsonl:2: found no answer" in str(caught.value)
    assert list(Path("runs").iterdir()) == []
    made = run(path, on_bad="skip")
    assert (made.result["rows"], made.result["rejected"], made.result["faulty_rows"]) == (2, 1, 1)
    (rejected,) = made.records("rejected")
    assert rejected["line"] == 2
    assert json.loads(rejected["raw"]) == records[1]
    assert made.tables["rows"]["line"].to_pylist() == [1, 3]
    assert "1 record couldn't be read. It is in rejected.jsonl with the reason." in made.view.sentences


def test_no_row_left(workplace):
    path = write_rows(workplace / "rows.jsonl", [{"instruction": "No answer", "input": "", "output": None}])
    made = run(path, on_bad="skip")
    assert (made.result["rows"], made.result["rejected"]) == (0, 1)
    assert len(made.tables["rows"]) == len(made.tables["faults"]) == 0
    assert made.view.next == ()


def test_workers_are_not_in_the_key_and_settings_are(workplace):
    made = run(DEMO)
    assert run(DEMO, workers=1).path == made.path
    assert run(DEMO, max_words=100).path != made.path
    assert run(DEMO, near_duplicate_at=0.81).path != made.path


TO_LOOK_AT = ["one_word_answer", "truncated_answer", "refusal", "near_duplicate", "conflicting_answers"]
SURE = [4, 8, 28, 41, 45, 49, 55, 71, 81, 85, 88]
"""The rows of `EXPECTED` that are surely wrong: the others have one word, a refusal, no full stop or a rival."""


def test_every_command_that_is_named_can_be_typed(workplace, capsys):
    """File and run folders with blanks and quotes; columns that had to be named."""
    folder = workplace / 'it\'s my "folder"'
    folder.mkdir()
    demo = json.loads(DEMO.read_text("utf-8"))
    rows = [{"q": row["instruction"], "extra words": row["input"], "a": row["output"]} for row in demo]
    path = write_rows(folder / "my rows & more.jsonl", rows)
    columns = ("instruction=q,output=a", "input=extra words")
    made = run(path, columns=columns, format="alpaca", on_bad="skip")
    commands = [shlex.split(command) for command in made.view.next]
    assert commands[0][-1] == "surely_wrong = false"
    assert [command[-2:] for command in commands[1:-1]] == [["--show", name] for name in TO_LOOK_AT]
    assert commands[-1][:2] == ["tunescope", "why"]
    for command in [commands[0], commands[1], commands[-1]]:
        assert command[0] == "tunescope"
        assert cli.run(command[1:]) == 0
    selected = next(Path("runs").glob("select-*"))
    kept = tunescope.open(selected)
    assert kept.result["kept"] == 100 - len(SURE)
    assert cli.run(shlex.split(kept.view.next[0])[1:]) == 0
    assert "None of them is surely wrong. Look at them before you drop any." in capsys.readouterr().out
    assert read_rows(selected / "rows.jsonl") == [row for number, row in enumerate(rows) if number not in SURE]


def test_why_is_named_only_where_it_finds_the_run(workplace):
    assert any("tunescope why" in command for command in run(DEMO).view.next)
    assert not any("tunescope why" in command for command in run(DEMO, out="elsewhere").view.next)


def test_members_have_one_shape():
    assert [fault.NAME for fault in FAULTS] == NAMES[: len(FAULTS)]
    assert len(set(NAMES)) == len(NAMES) == len(FAULTS) + 4
    for fault in FAULTS:
        assert fault.__name__.rpartition(".")[2] == fault.NAME
        assert meanings()[fault.NAME] == fault.MEANING
        assert fault.__doc__.endswith(".\n") or fault.__doc__.endswith(".")


def test_rows_and_benchmarks_of_the_same_content_are_two_things(workplace):
    a = write_rows(workplace / "a.jsonl", [alpaca("Say hi to the people of the town.", "Hi.")])
    b = write_rows(workplace / "b.jsonl", [alpaca("Say ho to the people of the town.", "Ho.")])
    both = check(CheckSettings(rows=(str(a), str(b))))
    against = check(CheckSettings(rows=(str(a),), against=(str(b),)))
    assert both.key != against.key
    assert (both.result["rows"], against.result["rows"]) == (2, 1)


def test_show_prints_all_rows_of_a_fault_with_their_text(workplace, capsys):
    rows = write_rows(
        workplace / "rows.jsonl",
        [alpaca(f"Which colour is {n}?", "Blue.") for n in range(5)] + [alpaca("Why?", "It is so, and so it is.")],
    )
    made = run(rows)
    shown = run(rows, show="one_word_answer")
    assert (shown.path, shown.key) == (made.path, made.key)
    assert shown.view.sentences == ("5 rows with one_word_answer, 0 of them surely wrong.",)
    assert [text.text for text in shown.view.texts] == [
        f"user:\nWhich colour is {n}?\n\nassistant:\nBlue." for n in range(5)
    ]
    assert shown.view.texts[0].title == f"{made.tables['rows']['row_id'][0]}, {rows}:1, look at it: 'Blue.'"
    assert [record["line"] for record in shown.result["shown"]] == [1, 2, 3, 4, 5]
    assert "shown" not in tunescope.open(made.path).result
    assert cli.run(["check", str(rows), "--show", "empty_answer"]) == 0
    assert "0 rows with empty_answer" in capsys.readouterr().out
    assert cli.run(["check", str(rows), "--show", "benchmark_overlap"]) == 1
    assert "--show benchmark_overlap: no such fault; expected empty_answer, " in capsys.readouterr().err


def test_faulty_rows_as_csv(workplace):
    rows = write_rows(workplace / "rows.jsonl", [alpaca('Say "a, b".', "Blué."), alpaca("Say nothing.", "")])
    ids = run(rows, csv="all.csv").tables["rows"]["row_id"].to_pylist()
    with open("all.csv", encoding="utf-8-sig", newline="") as file:
        records = list(csv.DictReader(file))
    assert [list(record.values()) for record in records] == [
        [
            ids[0],
            "one_word_answer",
            "look at it",
            "'Blué.'",
            str(rows),
            "1",
            "",
            'user:\nSay "a, b".\n\nassistant:\nBlué.',
        ],
        [
            ids[1],
            "empty_answer",
            "surely wrong",
            "turn 0 is empty",
            str(rows),
            "2",
            "",
            "user:\nSay nothing.\n\nassistant:",
        ],
    ]
    assert list(records[0]) == ["row_id", "fault", "grade", "detail", "file", "line", "record", "text"]
    run(rows, csv="all.csv")
    run(rows, show="empty_answer", csv="empty.csv")
    with pytest.raises(SettingsError, match=r"--csv all.csv: found a file with other content"):
        run(rows, show="empty_answer", csv="all.csv")


def test_what_was_dropped_isnt_advised_again(workplace):
    made = run(DEMO)
    assert made.view.next[0].endswith("--where 'surely_wrong = false'")
    assert cli.run(shlex.split(made.view.next[0])[1:]) == 0
    again = run(DEMO)
    (kept,) = Path("runs").glob("select-*/rows.json")
    assert again.view.sentences[-1] == f"What is surely wrong is dropped already: {kept} has the other rows."
    assert again.view.next == made.view.next[1:]
    assert not any(command.startswith("tunescope select") for command in run(kept).view.next)


def test_the_advice_repeats_the_options_of_the_run(workplace):
    rows = write_rows(workplace / "rows.jsonl", [alpaca("Which?", "Blue.")])
    made = run(rows, max_words=9, near_duplicate_at=0.9, out="my run")
    options = "--max-words 9 --near-duplicate-at 0.9 --out 'my run' --show one_word_answer"
    assert made.view.next == (f"tunescope check {rows} {options}",)
