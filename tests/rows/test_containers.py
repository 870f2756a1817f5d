"""Every container × shape × key that is read (the table in docs/concepts/rows.md), and what is said about the rest."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rows.row_files import problems, put, read, write_again

from tunescope.rows import open_rows
from tunescope.rows.containers import recognise
from tunescope.rows.separated import SeparatedWriter, read_separated

RECORDS = [
    {"instruction": "Größte Stadt?", "output": "Wien.\nSie liegt an der Donau."},
    {"instruction": "b", "output": "c"},
]
BOM = b"\xef\xbb\xbf"


def _zip(data: bytes) -> bytes:
    path = Path("archive.zip")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__MACOSX/._rows", b"x")
        archive.writestr("folder/rows.json", data)
    return path.read_bytes()


def _arrow(opener: object) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist(RECORDS)
    with opener(sink, table.schema) as writer:  # type: ignore[operator]
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


ARRAY = json.dumps(RECORDS).encode()
LINES = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in RECORDS).encode()
CSV = 'instruction,output\n"Größte Stadt?","Wien.\nSie liegt an der Donau."\nb,c\n'.encode()
PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zip": _zip}
FILES = {
    "array.json": (ARRAY, "json"),
    "array-with-bom.json": (BOM + ARRAY, "json"),
    "lines.jsonl": (LINES, "jsonl"),
    "lines-with-bom.jsonl": (BOM + LINES, "jsonl"),
    "objects.json": ("\n".join(json.dumps(record, indent=1) for record in RECORDS).encode(), "object"),
    "data.json": (json.dumps({"data": RECORDS}).encode(), "object"),
    "data-indented.json": (json.dumps({"version": 1, "data": RECORDS}, indent=1).encode(), "object"),
    "another-key.json": (json.dumps({"my rows": RECORDS}, indent=1).encode(), "object"),
    "rows.csv": (CSV, "csv"),
    "crlf.csv": (CSV.replace(b"\n", b"\r\n").replace(b"Wien.\r\n", b"Wien.\n"), "csv"),
    "excel.csv": (BOM + b"sep=;\r\n" + CSV.replace(b",", b";"), "csv"),
    "semicolons.csv": (BOM + CSV.replace(b",", b";"), "csv"),
    "rows.tsv": (CSV.replace(b",", b"\t"), "csv"),
    "no-suffix": (CSV, "csv"),
    "file.arrow": (_arrow(pa.ipc.new_file), "arrow"),
    "stream.arrow": (_arrow(pa.ipc.new_stream), "arrow"),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_read(workplace: Path, name: str) -> None:
    data, container = FILES[name]
    (workplace / name).write_bytes(data)
    assert recognise(workplace / name) == container
    rows = read(workplace / name)
    assert [dict(row.fields) for row in rows] == RECORDS
    assert len({row.location for row in rows}) == 2


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("name", ["array.json", "lines.jsonl", "data.json", "rows.csv"])
def test_what_is_packed(workplace: Path, packing: str, name: str) -> None:
    data, container = FILES[name]
    path = workplace / f"{name}.{packing}"
    path.write_bytes(PACKERS[packing](data))
    assert recognise(path) == f"{container}.{packing}"
    assert [dict(row.fields) for row in read(path)] == RECORDS


@pytest.mark.parametrize("name", FILES)
def test_what_is_written_reads_as_the_same_rows(workplace: Path, name: str) -> None:
    path = workplace / name
    path.write_bytes(FILES[name][0])
    rows = open_rows([str(path)])
    written = write_again(rows, workplace)
    assert [row.id for row in read(written)] == [row.id for row in rows]


def test_csv_is_written_with_its_own_separator(workplace: Path) -> None:
    path = workplace / "rows.csv"
    path.write_bytes(b'id;question;answer\n1;a;"b;"\n')
    assert write_again(open_rows([str(path)]), workplace).read_bytes() == path.read_bytes()


@given(st.lists(st.text("\r\n\t,;\"'= a\x1b\u2028", min_size=1), min_size=2, max_size=2))
def test_any_cell_of_csv_is_written_as_it_was(cells: list[str]) -> None:
    """Also a carriage return alone: unquoted, it would end the line for the next reader."""
    file = io.BytesIO()
    SeparatedWriter(file, ["a", "b"], ",").write(dict(zip("ab", cells, strict=True)))
    assert [r.value for r in read_separated("x.csv", io.BytesIO(file.getvalue()))] == [
        dict(zip("ab", cells, strict=True))
    ]


def test_lines_of_csv(workplace: Path) -> None:
    path = workplace / "rows.csv"
    path.write_bytes(CSV + b"\n\nd\ne,f\n\xff,g\n")
    assert [row.line for row in read(path, on_bad="skip")] == [2, 4, 8]
    assert problems(path)[1:3] == [
        "  rows.csv:7: found 1 cells; expected 2, as in the header",
        "  rows.csv:9: found invalid UTF-8 (byte 0xff); expected UTF-8",
    ]


def test_lines_under_a_key(workplace: Path) -> None:
    path = workplace / "rows.json"
    path.write_text(
        '{"version": 1,\n "data": [\n' + ",\n".join(map(json.dumps, RECORDS)) + ',\n {"instruction": 3}\n]}'
    )
    assert [str(row.location) for row in read(path, on_bad="skip")] == [f"{path}:3", f"{path}:4"]
    assert problems(path)[0].startswith("rows.json:5: found no column 'output'")


def test_one_line_of_text_under_a_key_is_a_row(workplace: Path) -> None:
    """A conversation is a list too."""
    talk = {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}
    for indent in (None, 1):
        (row,) = read(_save(workplace / "one.json", talk, indent))
        assert row.response == "b"


def _save(path: Path, value: object, indent: int | None) -> Path:
    path.write_text(json.dumps(value, indent=indent))
    return path


def test_parts_with_their_text_under_value_and_blank_tools(workplace: Path) -> None:
    part = [{"type": "text", "value": "a"}]
    messages = [{"role": "user", "content": part}, {"role": "assistant", "content": part}]
    (row,) = read(_save(workplace / "a.json", [{"messages": messages, "tools": " "}], None))
    assert (row.instruction, row.response, row.tools) == ("a", "a", ())


@pytest.mark.parametrize(
    ("name", "data", "found", "step"),
    [
        (
            "a.json",
            b'{"instruction": "caf\xe9", "output": "b"}\n',
            "invalid UTF-8 (byte 0xe9",
            "iconv -f LATIN1 -t UTF-8",
        ),
        ("a.csv", b"instruction,output\ncaf\xe9,b\n", "invalid UTF-8 (byte 0xe9)", "iconv -f LATIN1 -t UTF-8"),
        ("a.csv", "instruction,output\na,b\n".encode("utf-16"), "UTF-16 text", "iconv -f UTF-16 -t UTF-8"),
        ("a.zst", b"\x28\xb5\x2f\xfdxx", "a file packed with Zstandard", "zstd -d"),
        ("a.xlsx", b"PK\x03\x04", "a workbook", "Save the sheet as CSV"),
        ("a.pkl", b"\x80\x04", "a pickle, which can run code", "pandas.read_pickle"),
        ("a.yaml", b"- instruction: a\n", "YAML", "yaml.safe_load"),
        (
            "a.jsonl",
            LINES + b'{"instruction": "a", "output": "b", "output": "c"}\n',
            "the key 'output' twice",
            "--on-bad skip",
        ),
        (
            "a.jsonl",
            LINES + b'{"instruction" : "a", "output":"b", "x": {"y": 1, "y": 2}}\n',
            "the key 'y' twice",
            "--on-bad skip",
        ),
        ("a.csv", b"instruction,output,output\na,b,c\n", "two columns called 'output'", "a name per column"),
        ("a.csv", CSV + b'a,"b"c\n', "cells that can't be told apart", "--on-bad skip"),
    ],
)
def test_what_is_not_read_says_what_to_do(workplace: Path, name: str, data: bytes, found: str, step: str) -> None:
    (workplace / name).write_bytes(data)
    report = problems(workplace / name)
    assert found in report[0]
    assert step in report[-1]


def test_an_archive_of_two_files(workplace: Path) -> None:
    with zipfile.ZipFile(workplace / "a.zip", "w") as archive:
        archive.writestr("a.json", ARRAY)
        archive.writestr("b.json", ARRAY)
    report = problems(workplace / "a.zip")
    assert report[0] == "a.zip: found a zip archive of 2 files; expected an archive of one file"
    assert report[1].startswith("Unpack it, for example with: unzip ")


def test_keys_inside_of_texts_are_no_keys(workplace: Path) -> None:
    text = 'JSON: {"a": 1, "a": 2}'
    path = put(workplace / "a.jsonl", [{"instruction": text, "output": '"b":'}])
    assert [row.instruction for row in read(path)] == [text]
