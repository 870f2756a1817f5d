"""Bad input: one report that says file, line, found and expected; and what skipping keeps."""

# ruff: noqa: E501 - tables of exact sentences

from __future__ import annotations

import gzip
import json
import pickle
import subprocess
import sys
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from row_files import CONTAINERS, back, problems, put, skipped, write_again
from tests.tools import alpaca, write_rows

from tunescope.errors import InputError, Problem, SettingsError
from tunescope.rows import RowWriter, open_rows
from tunescope.verbs.select import SelectSettings, select

GOOD = '{"instruction": "a", "output": "b"}'
HINT = "Fix the file, or type the same command with --on-bad skip to leave these rows out."
COLUMNS_HINT = (
    "Name the format with --format or the columns with --columns, "
    "for example --columns instruction=question,output=reply."
)


CHAT = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'
LATIN = "If the file is in Latin-1, as older programs write, convert it: iconv -f LATIN1 -t UTF-8 {} > NEW"
LINES: list[tuple[str, str | bytes, str]] = [
    (GOOD, '{"instruction": "a", "output" "b"}', "text that isn't JSON (Expecting ':' delimiter at column 31); expected a JSON object"),
    (GOOD, GOOD + " x", "text that isn't JSON (Extra data at column 37); expected a JSON object"),
    (GOOD, GOOD[:18], "text that isn't JSON (Unterminated string starting at column 17); expected a JSON object"),
    (GOOD, "{", "an object that goes on over several lines; expected one object per line, or an array"),
    (GOOD, "null", "null; expected an object with columns"),
    (GOOD, "[1]", "a list; expected an object with columns"),
    (GOOD, '"text"', "a string; expected an object with columns"),
    (GOOD, "12", "a number; expected an object with columns"),
    (GOOD, b'{"instruction": "\xe9", "output": "b"}', "invalid UTF-8 (byte 0xe9 at column 18); expected UTF-8"),
    (GOOD, '{"instruction": "\\ud83d", "output": "b"}', "half a surrogate pair (\\ud83d); expected whole characters"),
    (GOOD, '{"instruction": NaN, "output": "b"}', "the number NaN; expected a finite number or null"),
    (GOOD, '{"instruction": "a", "output": "b", "n": -Infinity}', "the number -Infinity; expected a finite number or null"),
    (GOOD, '{"instruction": "a", "output": "b", "n": 1e999}', "the number 1e999; expected a finite number or null"),
    (GOOD, '{"n": ' + "1" * 5000 + "}", "a number of more than 4,300 digits; expected a shorter one"),
    (GOOD, '{"n": ' + "[" * 300 + "]" * 300 + "}", "JSON nested too deeply; expected at most 200 levels"),
    (GOOD, '{"n": ' + "[" * 3000 + "]" * 3000 + "}", "JSON nested too deeply; expected at most 200 levels"),
    (GOOD, '{"instruction": "a"}', "no column 'output' (columns: instruction); expected columns 'instruction', 'input' (may be missing) and 'output'"),
    (GOOD, "{}", "no column 'instruction' (columns: none); expected columns 'instruction', 'input' (may be missing) and 'output'"),
    (GOOD, '{"instruction": "a", "output": null}', "no answer (column 'output' is null); expected text"),
    (GOOD, '{"instruction": 5, "output": "b"}', "column 'instruction': a number; expected text"),
    (GOOD, '{"instruction": null, "output": "b"}', "column 'instruction': null; expected text"),
    (GOOD, '{"instruction": "a", "output": {"text": "b"}}', "column 'output': an object; expected text"),
    (GOOD, '{"instruction": "a", "output": ["b"]}', "column 'output': a list; expected text"),
    (GOOD, '{"instruction": "a", "output": "b", "input": true}', "column 'input': a boolean; expected text"),
    ('{"instruction": "a", "output": "b", "history": []}', '{"instruction": "a", "output": "b", "history": [["c"]]}', "column 'history': a list; expected a list of [instruction, response] pairs"),
    (GOOD, '{"instruction": "a", "output": "b", "tools": "{"}', "tools: a string that isn't JSON; expected a list of tool declarations"),
    ('{"instruction": "a", "output": "b", "tools": []}', '{"instruction": "a", "output": "b", "tools": {}}', "tools: an object; expected a list of tool declarations"),
    (CHAT, '{"chat": 1}', "null in column 'messages'; expected a list of messages"),
    (CHAT, '{"messages": []}', "an empty list in column 'messages'; expected a list of messages"),
    (CHAT, '{"messages": "a"}', "a string in column 'messages'; expected a list of messages"),
    (CHAT, '{"messages": ["a"]}', "message 1: a string; expected an object with 'role' and 'content'"),
    (CHAT, '{"messages": [{"content": "a"}]}', "message 1, 'role': null; expected a role name"),
    (CHAT, '{"messages": [{"role": "user", "text": "a"}]}', "message 1 without 'content' (it has role, text); expected text"),
    (CHAT, '{"messages": [{"role": "user", "content": null}]}', "message 1, 'content': null; expected text"),
    (CHAT, '{"messages": [{"role": "user", "content": "a"}]}', "no answer (no assistant message); expected at least one assistant message"),
    (CHAT, '{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}', "message 1, 'content' with a part of type 'image_url'; expected text only"),
    (CHAT, '{"messages": [{"role": "assistant", "content": "a", "weight": 0.5}]}', "message 1, 'weight': 0.5; expected true, false, 0 or 1: a message is trained on in full or not at all"),
    (CHAT, '{"messages": [{"role": "assistant", "content": "a", "name": 5}]}', "message 1, 'name': a number; expected text"),
    (CHAT, '{"messages": [{"role": "assistant", "content": "a", "tool_calls": ["x"]}]}', "message 1, 'tool_calls': a list; expected a list of objects"),
    (CHAT[:-1] + ', "system": "b"}', '{"messages": [{"role": "assistant", "content": "a"}], "system": ["b"]}', "column 'system': a list; expected text"),
    ('{"conversations": [{"from": "gpt", "value": "a"}]}', '{"conversations": [{"from": "function_call", "value": "x"}]}', "message 1: a function_call that isn't a JSON object; expected an object such as {\"name\": …}"),
    ('{"prompt": "a", "completion": "b"}', '{"prompt": "a"}', "no column 'completion' (columns: prompt); expected columns 'prompt' and 'completion', both text or both lists of messages"),
    ('{"prompt": "a", "completion": "b"}', '{"prompt": "a", "completion": null}', "no answer (column 'completion' is null); expected text or a list of messages"),
    ('{"prompt": "a", "completion": "b"}', '{"prompt": "a", "completion": [{}]}', "prompt: a string, completion: a list; expected two texts or two lists of messages"),
    ('{"prompt": "a", "completion": "b"}', '{"prompt": 1, "completion": "b"}', "column 'prompt': a number; expected text"),
]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "said"), LINES)
def test_a_bad_line_among_good_ones(good: str, bad: str | bytes, said: str, tmp_path: Path) -> None:
    raw = bad if isinstance(bad, bytes) else bad.encode()
    path = tmp_path / "in.jsonl"
    path.write_bytes(good.encode() + b"\n" + raw + b"\r\n" + good.encode() + b"\n")
    step = f"{HINT} {LATIN.format('in.jsonl')}" if "invalid UTF-8" in said else HINT
    assert problems(path) == [f"in.jsonl:2: found {said}", step]
    rows, rejected = skipped(path)
    assert [row.line for row in rows] == [1, 3]
    assert [item.raw.encode(errors="surrogateescape") for item in rejected] == [raw]
    assert f"found {rejected[0].problem.found}; expected {rejected[0].problem.expected}" == f"found {said}"


ELEMENTS: list[tuple[str, int, str]] = [
    ('{"instruction": "a" "output": "b"}', 3, "text that isn't JSON (Expecting ',' delimiter at '\"output\": \"b\"},'); expected a JSON object"),
    ('{"instruction": "a",\n "output": b}', 4, "text that isn't JSON (Expecting value at 'b},'); expected a JSON object"),
    ('{"instruction": "a", "output": "b}', 3, "text that isn't JSON (Invalid control character at '\\n'); expected a JSON object"),
    ('{"instruction": "a", "output": "b"', 4, "text that isn't JSON (Expecting property name enclosed in double quotes at '{\"instruction\": \"a\",'); expected a JSON object"),
    ('{"instruction": "a", "output": "b"}}', 3, "text that isn't JSON (Expecting ',' delimiter at '},\\n'); expected a JSON object"),
    ('{"instruction": "a", "output": NaN}', 3, "the number NaN; expected a finite number or null"),
    ('{"instruction": "a", "output": null}', 3, "no answer (column 'output' is null); expected text"),
    ("null", 3, "null; expected an object with columns"),
    ('["}", {"]": 1}]', 3, "a list; expected an object with columns"),
    ("nul", 3, "text that isn't JSON (Expecting value at 'nul,'); expected a JSON object"),
    ("", 3, "text that isn't JSON (Expecting value at ','); expected a JSON object"),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "line", "said"), ELEMENTS)
def test_a_bad_element_in_the_middle_of_an_array(bad: str, line: int, said: str, tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    path.write_text(f"[\n{GOOD},\n{bad},\n{GOOD},\n{GOOD}]\n")
    report = problems(path)
    assert report == [f"in.json:{line}: found {said}", HINT]
    rows, rejected = skipped(path)
    assert [row.line for row in rows] == [2, *(number + bad.count("\n") for number in (4, 5))]
    assert [item.raw for item in rejected] == [bad]


def test_a_syntax_error_in_an_array_of_one_line(tmp_path: Path) -> None:
    bad = '{"instruction": "a]}", "output": [{"b": }]}'
    path = tmp_path / "in.json"
    path.write_text(f"[{GOOD}, {bad}, {GOOD}]")
    assert problems(path) == [
        "in.json:1, record 2: found text that isn't JSON (Expecting value at '}]},'); expected a JSON object",
        HINT,
    ]
    rows, rejected = skipped(path)
    assert ([row.response for row in rows], [item.raw for item in rejected]) == (["b", "b"], [bad])


def test_a_quote_lost_in_an_array_of_one_line_ends_it(tmp_path: Path) -> None:
    rest = f'{{"instruction": "a, "output": "b"}}, {GOOD}]'
    path = tmp_path / "in.json"
    path.write_text(f"[{GOOD}, {rest}")
    rows, rejected = skipped(path)
    assert [row.id for row in rows] == [next(iter(open_rows([str(path)], on_bad="skip"))).id]
    assert rejected[0].raw == rest
    assert rejected[-1].problem.found == "the end of the file inside an array"


def test_a_pretty_printed_row_that_lost_a_quote_costs_only_itself(tmp_path: Path) -> None:
    records = [{"instruction": str(i), "output": "b", "more": [{"k": "v"}]} for i in range(5)]
    path = put(tmp_path / "in.json", records, 4)
    path.write_text(path.read_text().replace('"instruction": "2",', '"instruction": "2,'))
    assert problems(path)[0].startswith("in.json:21: found text that isn't JSON (Invalid control character at")
    rows, rejected = skipped(path)
    assert [row.instruction for row in rows] == ["0", "1", "3", "4"]
    assert (
        rejected[0].raw
        == path.read_text()[path.read_text().index('{\n        "instruction": "2') :].partition(",\n    {")[0]
    )


ARRAYS = [
    (f"[{GOOD},\n]", "in.json:2: found a comma before the closing ]; expected a row behind it"),
    (f"[{GOOD},\n", "in.json:2: found the end of the file inside an array; expected a closing ]"),
    (f"[{GOOD}\n", "in.json:2: found the end of the file inside an array; expected a closing ]"),
    (f"[{GOOD}]\n[{GOOD}]", "in.json:2: found more text behind the closing ]; expected the end of the file"),
]


@pytest.mark.parametrize(("text", "said"), ARRAYS)
def test_an_array_that_does_not_close(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    path.write_text(text)
    assert problems(path) == [said, HINT]
    assert len(skipped(path)[0]) == 1


def test_text_behind_an_array_is_kept_for_the_rejected(tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    path.write_text(f"[{GOOD}]\n[{GOOD}]\n")
    assert [item.raw for item in skipped(path)[1]] == [f"[{GOOD}]"]


def test_invalid_utf_8_in_an_array_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    bad = b'{"instruction": "a",\n"output": "\xe9"}'
    path.write_bytes(b"[" + GOOD.encode() + b",\n" + bad + b"]")
    assert problems(path) == [
        "in.json:3: found invalid UTF-8 (byte 0xe9); expected UTF-8",
        f"{HINT} {LATIN.format('in.json')}",
    ]
    assert skipped(path)[1][0].raw.encode(errors="surrogateescape") == bad


@pytest.mark.parametrize("container", CONTAINERS[:4])
def test_a_byte_order_mark(container: str, tmp_path: Path) -> None:
    path = put(tmp_path / f"in.{container}", [{"instruction": "a", "output": "b"}] * 2)
    data = path.read_bytes()
    packed = path.suffix == ".gz"
    marked = b"\xef\xbb\xbf" + (gzip.decompress(data) if packed else data)
    path.write_bytes(gzip.compress(marked) if packed else marked)
    assert [row.response for row in open_rows([str(path)])] == ["b", "b"]


@pytest.mark.parametrize("content", [b"", b" \n\t\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf \n", b" " * 3_000_000])
def test_an_empty_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(content)
    assert problems(path) == ["in.jsonl: found an empty file; expected at least one row"]
    path.write_bytes(gzip.compress(content))
    assert problems(path) == ["in.jsonl: found an empty file; expected at least one row"]


@pytest.mark.slow
def test_blanks_before_the_first_row(tmp_path: Path) -> None:
    for text in (f"{' ' * 3_000_000}\n[{GOOD}]", "\n" * 3_000_000 + GOOD):
        (tmp_path / "in").write_text(text)
        assert [row.response for row in open_rows([str(tmp_path / "in")])] == ["b"]


def test_an_array_without_rows(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text("[ ]")
    assert problems(tmp_path / "in.json") == ["in.json: found no rows; expected at least one row"]


def test_a_table_without_rows(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"instruction": pa.array([], pa.string()), "output": pa.array([], pa.string())}),
        tmp_path / "in.parquet",
    )
    assert problems(tmp_path / "in.parquet") == ["in.parquet: found no rows; expected at least one row"]


def test_a_directory(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    with pytest.raises(InputError) as caught:
        open_rows([f"{tmp_path}/rows/"])
    assert str(caught.value) == (
        f"{tmp_path}/rows/: found a directory; expected a file, a glob or a data set id\n"
        f"Type the files instead, for example '{tmp_path}/rows/*.jsonl'."
    )


def test_a_device_and_a_name_that_no_file_can_have() -> None:
    assert problems("/dev/null") == ["null: found a device; expected a file, a glob, - or a data set id"]
    with pytest.raises(InputError, match="something that can't be opened"):
        open_rows(["a" * 5000])


def test_a_mistyped_file_name_names_the_file_that_is_there(tmp_path: Path) -> None:
    put(tmp_path / "rows.json", [{"instruction": "q", "output": "a"}])
    (tmp_path / "row.jso").mkdir()
    with pytest.raises(InputError) as caught:
        open_rows([str(tmp_path / "row.json")])
    found = f"no such file (did you mean {tmp_path / 'rows.json'}?)"
    assert str(caught.value) == f"{tmp_path / 'row.json'}: found {found}; expected a file, a glob, - or a data set id"


@pytest.mark.parametrize("name", ["nothing.json", "dta/rows.json", "dta/rows.jsonl.gz", "dta/rows.parquet", "nothing"])
def test_a_mistyped_path_is_no_data_set(name: str) -> None:
    with pytest.raises(InputError) as caught:
        open_rows([name])
    assert str(caught.value) == f"{name}: found no such file; expected a file, a glob, - or a data set id"


def test_a_glob_that_matches_nothing(tmp_path: Path) -> None:
    assert problems(tmp_path / "*.jsonl") == ["*.jsonl: found no file that matches; expected at least one"]


def test_no_names_at_all() -> None:
    with pytest.raises(SettingsError, match="no row files given; type a path, a glob, - for a pipe, or a data set id"):
        open_rows([])


def test_utf_16(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(GOOD, "utf-16")
    assert problems(path) == [
        "in.jsonl: found UTF-16 text; expected UTF-8",
        "Convert it, for example with: iconv -f UTF-16 -t UTF-8 in.jsonl",
    ]


def test_columns_that_nobody_knows_are_named_once(tmp_path: Path) -> None:
    path = put(tmp_path / "in.jsonl", [{"text": "a", "label\n": 1}] * 100)
    assert problems(path) == [
        "in.jsonl:1: found the columns text, label\\n; expected a column 'conversations' with a list of objects that have "
        "'from' and 'value' or a column 'messages' with a list of objects that have 'role' and 'content' or columns "
        "'prompt' and 'completion', both text or both lists of messages or columns 'instruction', 'input' (may be missing) "
        "and 'output' or columns 'chosen' and 'rejected', each a response or a whole conversation, with the question beside them",
        COLUMNS_HINT,
    ]
    assert problems(path, format="alpaca")[0] == (
        "in.jsonl:1: found the columns text, label\\n; expected columns 'instruction', 'input' (may be missing) and 'output'"
    )


def test_thousands_of_columns_make_a_short_sentence(tmp_path: Path) -> None:
    path = put(tmp_path / "in.jsonl", [{f"{i}" * 200: 1 for i in range(1000)}])
    assert len(problems(path)[0]) < 2000


def test_one_report_with_the_first_twenty_problems(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join([GOOD] + ['{"instruction": "a", "output": 1}'] * 30))
    report = problems(path)
    said = "found column 'output': a number; expected text"
    assert report == [
        "the first 20 problems in the input:",
        *(f"  in.jsonl:{line}: {said}" for line in range(2, 22)),
        HINT,
    ]
    path.write_text("\n".join([GOOD] + ['{"instruction": "a", "output": 1}'] * 20))
    assert problems(path)[0] == "20 problems in the input:"
    assert len(skipped(path)[1]) == 20


def test_problems_before_the_first_good_row_are_in_the_same_report(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("x\n" * 3 + "null\n" + GOOD)
    assert len(problems(path)) == 6
    assert [row.line for row in skipped(path)[0]] == [5]


def test_a_file_without_one_good_row_names_twenty(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("x\n" * 100)
    for on_bad in ("refuse", "skip"):
        report = problems(path, on_bad=on_bad)
        assert report[0] == "the first 20 problems in the input:"
        assert (
            report[20]
            == "  in.jsonl:20: found text that isn't JSON (Expecting value at column 1); expected a JSON object"
        )
        assert len(report) == 21


def test_many_bad_lines_before_the_first_good_one_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("x\n" * 5000 + GOOD)
    rows, rejected = skipped(path)
    assert ([row.line for row in rows], len(rejected)) == ([5001], 5000)


def test_files_that_fail_to_open_share_a_report(tmp_path: Path) -> None:
    put(tmp_path / "good.jsonl", [{"instruction": "a", "output": "b"}])
    (tmp_path / "empty.jsonl").touch()
    names = [f"{tmp_path}/{name}" for name in ("good.jsonl", "empty.jsonl", "gone.jsonl")]
    with pytest.raises(InputError) as caught:
        open_rows(names)
    assert [(problem.file, problem.found) for problem in caught.value.problems] == [
        (names[1], "an empty file"),
        (names[2], "no such file"),
    ]


def test_problems_of_several_files_name_each(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(f"{GOOD}\nnull\n")
    rows = open_rows([f"{tmp_path}/*.jsonl"], on_bad="skip")
    assert len(list(rows)) == 2
    assert [(item.problem.file, item.problem.line) for item in rows.rejected] == [
        (f"{tmp_path}/a.jsonl", 2),
        (f"{tmp_path}/b.jsonl", 2),
    ]


def test_a_rejected_record_as_json(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(GOOD.encode() + b'\n{"instruction": "\xff"}')
    record = skipped(path)[1][0].as_json()
    assert record == {
        "file": str(path),
        "line": 2,
        "record": None,
        "found": "invalid UTF-8 (byte 0xff at column 18)",
        "expected": "UTF-8",
        "raw": '{"instruction": "\udcff"}',
    }
    assert json.loads(json.dumps(record)) == record


def test_a_report_travels_between_processes() -> None:
    error = InputError([Problem("f", 1, "a", "b")] * 25, "Mend it.")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


# ------------------------------------------------------------------ damage


@pytest.mark.parametrize("container", ["json.gz", "jsonl.gz"])
def test_a_packed_file_that_breaks_off(container: str, tmp_path: Path) -> None:
    random = Random(0)
    records = [{"instruction": random.randbytes(50).hex(), "output": "b"} for _ in range(1000)]
    path = put(tmp_path / f"in.{container}", records)
    path.write_bytes(path.read_bytes()[:-20_000])
    said = "a gzip file that breaks off (Compressed file ended before the end-of-stream marker was reached)"
    assert problems(path) == [f"in.{container}: found {said}; expected a whole gzip file", HINT]
    rows, rejected = skipped(path)
    assert [row.fields for row in rows] == records[: len(rows)]
    assert len(rows) > 100
    assert [item.problem.found for item in rejected] == [said]


def test_a_packed_file_that_is_damaged(tmp_path: Path) -> None:
    random = Random(0)
    records = [{"instruction": random.randbytes(50).hex(), "output": "b"} for _ in range(1000)]
    path = put(tmp_path / "in.jsonl.gz", records)
    data = bytearray(path.read_bytes())
    data[30_000:30_010] = bytes(10)
    path.write_bytes(data)
    found = skipped(path)[1][-1].problem.found
    assert found.startswith("a gzip file that breaks off (")


def test_a_file_that_only_begins_like_gzip(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(b"\x1f\x8b" + b"x" * 100)
    assert problems(path) == [
        "in.jsonl.gz: found a gzip file that can't be unpacked (Unknown compression method); expected a whole gzip file"
    ]


def test_a_damaged_table(tmp_path: Path) -> None:
    path = put(tmp_path / "in.parquet", [{"instruction": "a" * 100, "output": "b"}] * 100)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert problems(path)[0].startswith(
        "in.parquet: found a Parquet file that can't be read (Parquet magic bytes not found in footer."
    )
    assert problems(path)[0].endswith("; expected a whole Parquet file")
    path.write_bytes(data[:4] + bytes(60) + data[64:])
    assert problems(path)[0].startswith("in.parquet: found a Parquet file that can't be read (")


@pytest.mark.parametrize(
    ("column", "found"),
    [
        (pa.array([1.0, float("nan")]), "NaN or infinity in column 'n'"),
        (pa.array([1.0, float("inf")], pa.float32()), "NaN or infinity in column 'n'"),
        (pa.array([[1.0], [0.0, float("nan")]]), "NaN or infinity in column 'n'"),
        (pa.array([{"a": [{"b": 1.0}]}, {"a": [{"b": float("-inf")}]}]), "NaN or infinity in column 'n'"),
    ],
)
def test_a_table_with_a_number_that_is_none(column: pa.Array, found: str, tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"instruction": ["a", "a"], "output": ["b", "b"], "n": column}), path)
    assert problems(path) == [f"in.parquet:2: found {found}; expected finite numbers or null", HINT]
    rows, rejected = skipped(path)
    assert [row.line for row in rows] == [1]
    assert json.loads(rejected[0].raw)["instruction"] == "a"


def test_a_table_with_two_columns_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * 3, names=["instruction", "output", "output"]), path)
    assert problems(path) == ["in.parquet: found two columns called 'output'; expected a name per column"]


def test_a_table_with_a_bad_row(tmp_path: Path) -> None:
    path = put(tmp_path / "in.parquet", [{"instruction": "a", "output": "b"}, {"instruction": "é", "output": None}])
    assert problems(path) == ["in.parquet:2: found no answer (column 'output' is null); expected text", HINT]
    assert [item.raw for item in skipped(path)[1]] == ['{"instruction": "é", "output": null}']


# ------------------------------------------------------------------ size


def write_pieces(path: Path, head: bytes, length: int, tail: bytes) -> Path:
    with path.open("wb") as file:
        file.write(head)
        for _ in range(length // 2**20):
            file.write(b"x" * 2**20)
        file.write(b"x" * (length % 2**20) + tail)
    return path


MEASURED = """
import resource, sys
from tunescope.errors import InputError
from tunescope.rows import open_rows
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = open_rows(sys.argv[1:], on_bad="skip")
print(len(list(rows)), *[item.raw for item in rows.rejected], sep="|")
try:
    list(open_rows(sys.argv[1:]))
except InputError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "between", "found", "raw"),
    [
        (
            "in.jsonl",
            b"\n",
            "a line of 200,000,035 bytes; expected at most 33,554,432",
            "(the 200000035 bytes of line 2)",
        ),
        (
            "in.json",
            b",\n",
            "a row of 200,000,035 characters; expected at most 33,554,432",
            "(the 200000035 characters of a row)",
        ),
    ],
)
def test_a_line_of_200_megabytes(name: str, between: bytes, found: str, raw: str, tmp_path: Path) -> None:
    good = GOOD.encode()
    bracket = (b"[", b"]") if name == "in.json" else (b"", b"")
    head = bracket[0] + good + between + b'{"instruction": "a", "output": "b'
    path = write_pieces(tmp_path / name, head, 200_000_000, b'"}' + between + good + bracket[1])
    command = [sys.executable, "-c", MEASURED, str(path)]
    skip, *report, grown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert skip == f"2|{raw}"
    assert report == [f"{path}:2: found {found}", HINT]
    assert int(grown) < 400


@pytest.mark.slow
def test_the_longest_line_that_is_read(tmp_path: Path) -> None:
    length = 32 * 2**20 - len('{"instruction": "a", "output": ""}')
    path = write_pieces(tmp_path / "in.jsonl", b'{"instruction": "a", "output": "', length, b'"}\n')
    assert [len(row.response) for row in open_rows([str(path)])] == [length]


def test_a_large_array_with_a_fault_in_it(tmp_path: Path) -> None:
    # several times the piece in which a file is read, so that rows and characters lie across the cuts
    records = [{"instruction": f"é😀{i}" * 20, "output": '"[{\\' * 10} for i in range(12_000)]
    path = put(tmp_path / "in.json", records, 1)
    text = path.read_text()
    place = text.index('"instruction": "é😀6000é')
    path.write_text(text[:place] + "oops " + text[place:])
    rows, rejected = skipped(path)
    assert [row.fields for row in rows] == records[:6000] + records[6001:]
    assert [row.line for row in rows] == [2 + 4 * i for i in range(12_000) if i != 6000]
    assert [(item.problem.line, item.raw.count("\n")) for item in rejected] == [(2 + 4 * 6000 + 1, 3)]
    assert path.stat().st_size > 3 * 2**20


def test_what_is_read_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(f"{GOOD}\nnull\n{GOOD}\n")
    rows = open_rows([str(path)], on_bad="skip")
    assert back(write_again(rows, tmp_path)) == [json.loads(GOOD)] * 2
    strict = open_rows([str(path)])

    def write() -> None:
        with RowWriter(tmp_path, "strict", strict.files[0]) as writer:
            for row in strict:
                writer.write(row)

    with pytest.raises(InputError):
        write()
    assert not list(tmp_path.glob("*strict*"))


def test_a_run_folder_that_holds_rows_is_its_row_file(workplace: Path) -> None:
    write_rows(workplace / "rows.jsonl", [alpaca("Which?", "This."), alpaca("Who?", "She.")])
    run = select(SelectSettings(rows=("rows.jsonl",), sample=1))
    (row,) = open_rows([str(run.path)])
    assert (row.file, row.line) == (f"{run.path}/rows.jsonl", 1)
