"""What holds for any rows: they come back the same, whole or in chunks, and no bytes make a traceback."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from row_files import CONTAINERS, back, put, write_again
from tests.tools import examples, steers

from tunescope.errors import InputError
from tunescope.rows import Rejected, Row, content_id, open_rows
from tunescope.rows.containers import chunks, read, recognise

quick = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=examples(60))

# ------------------------------------------------------------------ rows of every kind

text = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from('"\\[]{},:\n\r\t\x00\x7f\u2028\ufeff\u200f\u05d0\u0627é😀👩‍👧 '),
    ),
    max_size=12,
)
name = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5).map("x_".__add__)
numbers = st.one_of(
    st.integers(),
    st.integers(-(10**400), 10**400),
    st.floats(allow_nan=False, allow_infinity=False),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, text),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
unknown = st.dictionaries(name, values, max_size=2)
calls = st.lists(
    st.fixed_dictionaries(
        {"type": st.just("function"), "function": st.fixed_dictionaries({"name": text, "arguments": values})},
        optional={"id": text},
    ),
    min_size=1,
    max_size=2,
)


@st.composite
def message(draw: Any, role: str, content: str, roles: st.SearchStrategy[str]) -> dict[str, Any]:
    record: dict[str, Any] = {role: draw(roles), content: draw(text)}
    kind = draw(st.integers(0, 6))
    if kind == 1:
        record |= {content: draw(st.none() | text), "tool_calls": draw(calls)}
    elif kind == 2:
        record |= {"tool_call_id": draw(text), "name": draw(text)}
    elif kind == 3:
        record[draw(st.sampled_from(["thinking", "reasoning_content", "reasoning"]))] = draw(st.none() | text)
    elif kind == 4:
        record[draw(st.sampled_from(["train", "training", "weight", "loss"]))] = draw(
            st.sampled_from([True, False, 0, 1, None])
        )
    elif kind == 5:
        record[content] = [{"type": "text", "text": draw(text)}, {"type": "text", "text": draw(text)}]
    return record | draw(unknown)


def conversation(role: str, content: str, words: tuple[str, ...]) -> st.SearchStrategy[list[dict[str, Any]]]:
    *_, answer = words
    any_message = message(role, content, st.sampled_from(words))
    last = message(role, content, st.just(answer))
    return st.builds(lambda before, end: [*before, end], st.lists(any_message, max_size=4), last)


OURS = ("system", "developer", "user", "tool", "AI", "assistant")
THEIRS = ("system", "human", "observation", "gpt")
tools = st.none() | st.just("") | st.lists(unknown, max_size=2) | st.lists(unknown, max_size=2).map(json.dumps)
alpaca = st.builds(
    dict.__or__,
    st.fixed_dictionaries(
        {"instruction": text, "output": text},
        optional={
            "input": text | st.none(),
            "system": text | st.none(),
            "history": st.none() | st.lists(st.lists(text, min_size=2, max_size=2), max_size=2),
            "tools": tools,
        },
    ),
    unknown,
)


def with_more(column: str, messages: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    record = st.fixed_dictionaries({column: messages}, optional={"system": text | st.none(), "tools": tools})
    return st.builds(dict.__or__, record, unknown)


def with_sides(
    column: str, question: st.SearchStrategy[Any], response: st.SearchStrategy[Any]
) -> st.SearchStrategy[dict[str, Any]]:
    sides = {"chosen": response, "rejected": response}
    return st.builds(dict.__or__, st.fixed_dictionaries({column: question, **sides}), unknown)


RECORDS = {
    "alpaca": alpaca,
    "messages": with_more("messages", conversation("role", "content", OURS)),
    "sharegpt": with_more("conversations", conversation("from", "value", THEIRS)),
    "prompt_completion": st.one_of(
        st.builds(dict.__or__, st.fixed_dictionaries({"prompt": text, "completion": text}), unknown),
        st.builds(
            dict.__or__,
            st.fixed_dictionaries(
                {
                    "prompt": conversation("role", "content", OURS),
                    "completion": conversation("role", "content", ("assistant",)),
                }
            ),
            unknown,
        ),
    ),
    "preference, texts": st.builds(
        dict.__or__, st.fixed_dictionaries(dict.fromkeys(("prompt", "chosen", "rejected"), text)), unknown
    ),
    "preference, lists": with_sides(
        "prompt", conversation("role", "content", OURS), conversation("role", "content", ("assistant",))
    ),
    "preference, messages": with_sides(
        "conversations", conversation("from", "value", THEIRS), message("from", "value", st.just("gpt"))
    ),
}
any_records = st.sampled_from(sorted(RECORDS)).flatmap(
    lambda format: st.tuples(st.just(format), st.lists(RECORDS[format], min_size=1, max_size=4))
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@quick
@given(any_records, st.sampled_from(CONTAINERS[:4]), st.sampled_from([None, 0, 2]))
def test_any_rows_come_back_the_same(
    folder: Path, records: tuple[str, list[dict[str, Any]]], container: str, indent: int | None
) -> None:
    format, wanted = records
    path = put(folder / f"in.{container}", wanted, indent)
    rows = open_rows([str(path)])
    found = list(rows)
    assert rows.files[0].layout.format == format.partition(",")[0]
    assert [row.fields for row in found] == wanted
    out = write_again(rows, folder)
    assert back(out) == wanted
    assert [list(record) for record in back(out)] == [list(record) for record in wanted]
    assert [(row.id, row.messages, row.tools) for row in open_rows([str(out)])] == [
        (row.id, row.messages, row.tools) for row in found
    ]


flat_values = st.one_of(
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=3),
    st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3),
    st.lists(st.none() | text, min_size=3, max_size=3),
    st.lists(st.none() | st.lists(text, max_size=2), min_size=3, max_size=3),
)
flat_message = st.fixed_dictionaries(
    {"role": st.sampled_from(OURS), "content": text, "name": st.none() | text, "weight": st.sampled_from([0, 1, None])}
)
flat = st.one_of(
    st.fixed_dictionaries({"instruction": text, "input": st.none() | text, "output": text}),
    st.fixed_dictionaries({"prompt": text, "completion": text}),
    st.fixed_dictionaries(
        {
            "messages": st.lists(flat_message, max_size=2).map(
                lambda before: [*before, {"role": "assistant", "content": "a", "name": None, "weight": 1}]
            )
        }
    ),
)


@quick
@given(flat.flatmap(lambda one: st.just([one] * 3)), st.dictionaries(name, flat_values, max_size=2))
def test_any_parquet_rows_come_back_the_same(
    folder: Path, records: list[dict[str, Any]], columns: dict[str, list[Any]]
) -> None:
    records = [record | {key: column[i] for key, column in columns.items()} for i, record in enumerate(records)]
    path = put(folder / "in.parquet", records)
    rows = open_rows([str(path)])
    assert [row.fields for row in rows] == records
    out = write_again(rows, folder)
    assert pq.read_table(out).equals(pq.read_table(path))
    json_file = put(folder / "in.jsonl", records)
    assert [row.id for row in open_rows([str(json_file)])] == [row.id for row in rows]


# ------------------------------------------------------------------ chunks


def items(path: Path, container: str, step: int | None) -> list[Any]:
    cuts = [None] if step is None else chunks(path, container, step)
    return [record[:3] for chunk in cuts for record in read(path, container, chunk)]


@quick
@given(any_records, st.sampled_from(["json", "jsonl"]), st.sampled_from([None, 0, 3]), st.integers(1, 80))
def test_spans_give_what_the_whole_gives(
    folder: Path, records: tuple[str, list[dict[str, Any]]], container: str, indent: int | None, step: int
) -> None:
    path = put(folder / f"in.{container}", records[1] * 3, indent)
    cuts = chunks(path, container, step)
    assert items(path, container, step) == items(path, container, None)
    assert [cut.start for cut in cuts[1:]] == [cut.end for cut in cuts[:-1]]
    assert (cuts[0].start, cuts[-1].end) == (0, path.stat().st_size)
    if step == 1:
        assert len(cuts) == 3 * len(records[1]) - (container == "json")


broken_pieces = st.lists(
    st.sampled_from(
        [
            '{"instruction": "a", "output": "b"}', '{"a": 1, "b": [{}, "]"]}', ",", ", ", "\n", "\n  ", "[", "]", "{",
            "}", '"', '"x', "\\", '\\"', "NaN", "tru", "1", "é", "\t", '"\n', ' "k": ', "[[{}]]", "null", "\\\n",
        ]
    ),
    max_size=25,
)  # fmt: skip


@settings(quick, max_examples=examples(400))
@given(broken_pieces, st.integers(1, 40), st.sampled_from(["json", "jsonl"]))
@example(['{"a": "x}', ",\n", '{"instruction": "a", "output": "b"}', "]"], 1, "json")
@example([",", "]"], 1, "json")
@example(["\n", '{"a": 1}', "}", ",\n", '{"a": 1}', ",\n", '{"a": 1}', "]"], 1, "json")
def test_spans_of_damaged_files_give_what_the_whole_gives(
    folder: Path, pieces: list[str], step: int, container: str
) -> None:
    path = folder / f"in.{container}"
    path.write_text(("[" if container == "json" else "") + "".join(pieces), "utf-8")
    assert items(path, container, step) == items(path, container, None)


def test_spans_count_bytes_not_characters(tmp_path: Path) -> None:
    records = [{"instruction": "é😀" * 50, "output": str(i)} for i in range(20)]
    for container in ("json", "jsonl"):
        path = put(tmp_path / f"in.{container}", records, 1)
        rows = open_rows([str(path)]).files[0]
        cuts = chunks(path, container, 700)
        assert len(cuts) > 5
        found = [row for cut in cuts for row in rows.rows(cut)]
        assert found == list(rows.rows())
        assert [row.response for row in found if isinstance(row, Row)] == [str(i) for i in range(20)]


@pytest.mark.parametrize("container", ["json.gz", "jsonl.gz"])
def test_a_packed_file_is_one_span(container: str, tmp_path: Path) -> None:
    records = [{"instruction": "again and again", "output": "the same"}] * 500
    path = put(tmp_path / f"in.{container}", records)
    cuts = chunks(path, container, 10)
    assert len(cuts) == 1
    assert len(list(read(path, container, cuts[0]))) == 500


def test_row_groups_are_the_spans_of_parquet(tmp_path: Path) -> None:
    table = pa.table({"instruction": [str(i) for i in range(100)], "output": ["x"] * 100})
    path = tmp_path / "in.parquet"
    pq.write_table(table, path, row_group_size=10)
    rows = open_rows([str(path)]).files[0]
    assert [tuple(chunk) for chunk in chunks(path, "parquet", 1)][:3] == [(0, 1, 1, 1), (1, 2, 11, 1), (2, 3, 21, 1)]
    assert [tuple(chunk) for chunk in chunks(path, "parquet")] == [(0, 10, 1, 1)]
    assert [row for chunk in chunks(path, "parquet", 1) for row in rows.rows(chunk)] == list(rows.rows())
    assert rows.chunks() == [(0, 10, 1, 1)]


@pytest.mark.slow
def test_a_large_array_is_cut_in_linear_time(tmp_path: Path) -> None:
    # one long text that crosses the pieces in which a file is read
    path = put(tmp_path / "in.json", [{"instruction": "a" * 5_000_000, "output": '\\"' * 500_000}] * 4)
    assert len(chunks(path, "json", 2**20)) == 3
    assert [len(row.response) for row in open_rows([str(path)])] == [1_000_000] * 4


# ------------------------------------------------------------------ any bytes at all


def accept_or_refuse(path: Path) -> None:
    """Read a file in every way; only an InputError may come out."""
    for on_bad in ("refuse", "skip"):
        try:
            rows = open_rows([str(path)], on_bad=on_bad)
            found = list(rows)
            json.dumps([item.as_json() for item in rows.rejected]).encode()
            for row in found:
                assert row.id.startswith(content_id(row.messages, row.tools, row.media, row.rejected))
            for file in rows.files:
                in_chunks = [item for chunk in file.chunks() for item in file.rows(chunk)]
                assert sum(isinstance(item, Row) for item in in_chunks) == len(found)
            if found:
                write_again(rows, path.parent)
        except InputError as error:
            lines = str(error).split("\n")  # the problems hold the text as it is
            assert all(len(line) < 1200 and not any(map(steers, line)) for line in lines)


@settings(quick, max_examples=examples(150))
@given(st.binary(max_size=200))
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b'{"instruction": ' + b"1" * 5000 + b"}")
@example(b'{"messages": [{"role": "assistant", "content": "a"}], "tools": "' + b"[" * 5000 + b'"}')
@example(b'{"messages": [{"from": "function_call", "value": "' + b"[" * 5000 + b'"}]}')
@example(b"\x1f\x8b")
@example(b"PAR1")
@example(b"PAR1PAR1")
@example(b"\xff\xfe{\x00}\x00")
@example(b"\xef\xbb\xbf")
def test_any_bytes(folder: Path, data: bytes) -> None:
    path = folder / "bytes"
    path.write_bytes(data)
    accept_or_refuse(path)


@settings(quick, max_examples=examples(60))
@given(st.lists(values | st.dictionaries(st.sampled_from(
    ["messages", "conversations", "instruction", "input", "output", "prompt", "completion", "system", "tools"]
), values | st.lists(st.dictionaries(st.sampled_from(
    ["role", "from", "content", "value", "tool_calls", "name", "weight", "thinking", "function_call"]
), values | st.sampled_from(["assistant", "gpt", "function_call", "user"])), max_size=2))))  # fmt: skip
def test_any_json(folder: Path, records: list[Any]) -> None:
    for container in ("json", "jsonl"):
        accept_or_refuse(put(folder / f"any.{container}", records))


def packed(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def good_files() -> dict[str, bytes]:
    alpaca = [{"instruction": f"é {i}", "input": "😀", "output": '"[{', "n": i} for i in range(6)]
    chat = [
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "tools": "[{}]"}
    ] * 3
    lines = "\n".join(json.dumps(record, ensure_ascii=False) for record in alpaca).encode()
    return {
        "lines": lines,
        "array": json.dumps(alpaca, ensure_ascii=False, indent=2).encode(),
        "compact array": json.dumps(chat).encode(),
        "packed lines": gzip.compress(lines),
        "packed array": gzip.compress(json.dumps(alpaca).encode()),
        "parquet": packed(pa.Table.from_pylist(alpaca), row_group_size=2, compression="none"),
        "packed parquet": packed(pa.Table.from_pylist(chat), compression="zstd"),
    }


GOOD = good_files()
damages: dict[str, Callable[[bytes, int, bytes], bytes]] = {
    "replace": lambda data, at, new: data[:at] + new + data[at + len(new) :],
    "flip": lambda data, at, new: data[:at] + bytes(b ^ 1 << new[0] % 8 for b in data[at : at + 1]) + data[at + 1 :],
    "cut": lambda data, at, new: data[:at],
    "insert": lambda data, at, new: data[:at] + new + data[at:],
    "leave out": lambda data, at, new: data[:at] + data[at + len(new) :],
    "repeat": lambda data, at, new: data[: at + len(new)] + data[at:],
}  # fmt: skip


@settings(quick, max_examples=examples(600))
@given(
    st.sampled_from(sorted(GOOD)),
    st.lists(
        st.tuples(st.sampled_from(sorted(damages)), st.floats(0, 1), st.binary(min_size=1, max_size=4)),
        min_size=1,
        max_size=3,
    ),
)
def test_damaged_files(folder: Path, kind: str, changes: list[tuple[str, float, bytes]]) -> None:
    data = GOOD[kind]
    for damage, place, new in changes:
        data = damages[damage](data, int(place * len(data)), new)
    assume(data != GOOD[kind])
    path = folder / "damaged"
    path.write_bytes(data)
    accept_or_refuse(path)


@pytest.mark.parametrize("kind", ["lines", "array", "compact array"])
def test_every_truncation(kind: str, folder: Path) -> None:
    for length in range(0, len(GOOD[kind]), 3):
        path = folder / "cut"
        path.write_bytes(GOOD[kind][:length])
        accept_or_refuse(path)


@quick
@given(st.lists(st.sampled_from(["good", "bad"]), min_size=1, max_size=12), st.sampled_from(["json", "jsonl"]))
def test_skipping_keeps_every_good_row_and_every_bad_text(folder: Path, kinds: list[str], container: str) -> None:
    bad = '{"instruction": "a", "output": NaN}'
    texts = [f'{{"instruction": "{i}", "output": "b"}}' if kind == "good" else bad for i, kind in enumerate(kinds)]
    path = folder / f"in.{container}"
    path.write_text("[" + ",\n".join(texts) + "]" if container == "json" else "\n".join(texts))
    assume("good" in kinds)
    rows = open_rows([str(path)], on_bad="skip")
    assert [int(row.instruction) for row in rows] == [i for i, kind in enumerate(kinds) if kind == "good"]
    assert [(item.problem.line, item.raw) for item in rows.rejected] == [
        (i, bad) for i, kind in enumerate(kinds, 1) if kind == "bad"
    ]
    assert recognise(path) == container
    assert not any(isinstance(item, Rejected) for item in rows)
