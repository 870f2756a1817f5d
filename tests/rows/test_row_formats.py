"""Every format in every container: what is read, and that the same content is written back."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from row_files import CONTAINERS, back, put, read, real, write_again

from tunescope.rows import Message, Row, RowWriter, open_rows
from tunescope.rows.layout import format_modules

SEARCH = {"type": "function", "function": {"name": "search", "arguments": '{"q": "Oslo"}'}}
WEATHER = {"name": "weather", "description": "Weather of a city"}


def U(text: str, **more: Any) -> Message:
    return Message("user", text, **more)


def A(text: str | None, **more: Any) -> Message:
    return Message("assistant", text, **more)


def S(text: str) -> Message:
    return Message("system", text)


# name → (format, records, messages per record, tools per record)
CASES: dict[str, tuple[str, list[dict[str, Any]], list[tuple[Message, ...]], list[tuple[Any, ...]]]] = {
    "alpaca": (
        "alpaca",
        [
            {"output": "4", "instruction": "Add.", "input": "2 + 2", "source": "a", "score": 0.5},
            {"output": "", "instruction": "Say nothing.", "input": "", "source": None, "score": 1.0},
        ],
        [(U("Add.\n\n2 + 2"), A("4")), (U("Say nothing."), A(""))],
        [(), ()],
    ),
    "alpaca without input": (
        "alpaca",
        [{"instruction": "Hi", "output": "Hello"}],
        [(U("Hi"), A("Hello"))],
        [()],
    ),
    "alpaca with everything": (
        "alpaca",
        [
            {
                "system": "Be brief.",
                "history": [["One?", "1"], ["Two?", "2"]],
                "instruction": "Three?",
                "input": "",
                "output": "3",
                "tools": [WEATHER],
            },
            {"system": "", "history": [], "instruction": "Four?", "input": "4", "output": "4", "tools": None},
        ],
        [
            (S("Be brief."), U("One?"), A("1"), U("Two?"), A("2"), U("Three?"), A("3")),
            (U("Four?\n\n4"), A("4")),
        ],
        [(WEATHER,), ()],
    ),
    "dolly": (
        "alpaca",
        [{"instruction": "Who?", "context": "Ada.", "response": "Ada", "category": "closed_qa"}],
        [(U("Who?\n\nAda."), A("Ada"))],
        [()],
    ),
    "question and answer": (
        "alpaca",
        [{"question": "1 + 1?", "answer": "2", "level": 3}],
        [(U("1 + 1?"), A("2"))],
        [()],
    ),
    "messages": (
        "messages",
        [
            {
                "id": 7,
                "messages": [
                    {"role": "system", "content": "Be kind."},
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": "Hello"},
                    {"role": "user", "content": "Bye"},
                    {"role": "assistant", "content": "See you"},
                ],
            }
        ],
        [(S("Be kind."), U("Hi"), A("Hello"), U("Bye"), A("See you"))],
        [()],
    ),
    "messages with tool calls": (
        "messages",
        [
            {
                "messages": [
                    {"role": "user", "content": "Weather?", "tool_calls": None, "tool_call_id": None, "name": None},
                    {"role": "assistant", "content": None, "tool_calls": [SEARCH], "tool_call_id": None, "name": None},
                    {"role": "tool", "content": "Rain", "tool_calls": None, "tool_call_id": "c1", "name": "search"},
                    {"role": "assistant", "content": "Rain.", "tool_calls": None, "tool_call_id": None, "name": None},
                ],
                "tools": [WEATHER],
            }
        ],
        [
            (
                U("Weather?"),
                A(None, tool_calls=(SEARCH,)),
                Message("tool", "Rain", tool_call_id="c1", name="search"),
                A("Rain."),
            )
        ],
        [(WEATHER,)],
    ),
    "messages with thinking and loss flags": (
        "messages",
        [
            {
                "messages": [
                    {"role": "developer", "content": "Think.", "weight": None, "reasoning_content": None},
                    {"role": "user", "content": "2 + 2", "weight": None, "reasoning_content": None},
                    {"role": "assistant", "content": "4", "weight": 0, "reasoning_content": "easy"},
                    {"role": "user", "content": "sure?", "weight": None, "reasoning_content": None},
                    {"role": "assistant", "content": "Yes", "weight": 1, "reasoning_content": None},
                ]
            }
        ],
        [(S("Think."), U("2 + 2"), A("4", thinking="easy", train=False), U("sure?"), A("Yes", train=True))],
        [()],
    ),
    "messages in text parts": (
        "messages",
        [
            {
                "chat": [
                    {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                    {"role": "assistant", "content": [{"type": "text", "text": "c"}]},
                ]
            }
        ],
        [(U("a\nb"), A("c"))],
        [()],
    ),
    "sharegpt": (
        "sharegpt",
        [
            {
                "system": "Be wise.",
                "conversations": [
                    {"from": "human", "value": "Hi"},
                    {"from": "gpt", "value": "Hello"},
                    {"from": "human", "value": "Tell me"},
                    {"from": "gpt", "value": "No"},
                ],
                "lang": "en",
            },
            {
                "system": None,
                "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}],
                "lang": "no",
            },
        ],
        [(S("Be wise."), U("Hi"), A("Hello"), U("Tell me"), A("No")), (U("Hi"), A("Hello"))],
        [(), ()],
    ),
    "sharegpt with tools": (
        "sharegpt",
        [
            {
                "conversations": [
                    {"from": "human", "value": "Weather?"},
                    {"from": "function_call", "value": '{"name": "weather", "arguments": {"city": "Oslo"}}'},
                    {"from": "observation", "value": "Rain"},
                    {"from": "gpt", "value": "Rain."},
                ],
                "tools": json.dumps([WEATHER]),
            }
        ],
        [
            (
                U("Weather?"),
                A(
                    None,
                    tool_calls=({"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}},),
                ),
                Message("tool", "Rain"),
                A("Rain."),
            )
        ],
        [(WEATHER,)],
    ),
    "prompt and completion": (
        "prompt_completion",
        [{"prompt": "The sky is", "completion": " blue", "n": 1}],
        [(U("The sky is"), A(" blue"))],
        [()],
    ),
    "prompt and completion as messages": (
        "prompt_completion",
        [
            {
                "prompt": [{"role": "system", "content": "Short."}, {"role": "user", "content": "Sky?"}],
                "completion": [{"role": "assistant", "content": "Blue"}],
            }
        ],
        [(S("Short."), U("Sky?"), A("Blue"))],
        [()],
    ),
}


@pytest.mark.parametrize(("case", "container"), list(product(CASES, CONTAINERS)))
def test_reading_and_writing_back(case: str, container: str, tmp_path: Path) -> None:
    format, records, messages, tools = CASES[case]
    path = put(tmp_path / f"in.{container}", records)
    rows = open_rows([str(path)])
    assert (rows.files[0].layout.format, rows.files[0].container) == (format, container)
    found = list(rows)
    assert [row.messages for row in found] == messages
    assert [row.tools for row in found] == tools
    assert [row.fields for row in found] == back(path)
    assert {row.file for row in found} == {str(path)}
    out = write_again(rows, tmp_path)
    assert out.name == f"out.{container}"
    assert back(out) == back(path)
    assert [list(record) for record in back(out)] == [list(record) for record in records]
    assert [row.id for row in read(out)] == [row.id for row in found]
    assert not list(tmp_path.glob("*.lineage.jsonl"))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("case", CASES)
def test_the_format_may_be_named(case: str, tmp_path: Path) -> None:
    format, records, messages, _ = CASES[case]
    path = put(tmp_path / "in.jsonl", records)
    assert [row.messages for row in read(path, format=format)] == messages


def test_a_format_has_one_module_with_the_same_names_each() -> None:
    assert list(format_modules()) == ["preference", "sharegpt", "messages", "prompt_completion", "alpaca"]
    for module in format_modules().values():
        assert all(hasattr(module, name) for name in ("NAME", "ALSO", "SHAPE", "detect", "parse", "render"))


def test_parquet_keeps_its_schema_and_its_metadata(tmp_path: Path) -> None:
    table = pa.table(
        {
            "instruction": pa.array(["a", "b"], pa.large_string()),
            "output": pa.array(["c", "d"], pa.string()),
            "day": pa.array([0, 1], pa.date32()),
            "when": pa.array([0, 1], pa.timestamp("us", "UTC")),
            "bytes": pa.array([b"\xff", None], pa.binary()),
            "tags": pa.array([["x"], []], pa.list_(pa.string())),
            "kind": pa.array(["p", "q"]).dictionary_encode(),
            "small": pa.array([1, 2], pa.int8()),
        }
    ).replace_schema_metadata({"huggingface": "{}"})
    path = tmp_path / "in.parquet"
    pq.write_table(table, path)
    out = write_again(open_rows([str(path)]), tmp_path)
    assert pq.read_table(out).equals(pq.read_table(path))
    assert pq.read_schema(out).metadata[b"huggingface"] == b"{}"


@pytest.mark.slow
def test_a_large_table(tmp_path: Path) -> None:
    records = [{"instruction": str(i), "output": "b"} for i in range(25_000)]
    path = put(tmp_path / "in.parquet", records)
    assert back(write_again(open_rows([str(path)]), tmp_path)) == records


def test_a_column_that_the_first_row_lacks_is_still_read(tmp_path: Path) -> None:
    records = [
        {"instruction": "a", "output": "b"},
        {"instruction": "c", "output": "d", "input": "e", "system": "f"},
        {"instruction": "g", "output": "h", "history": [["i", "j"]]},
    ]
    path = put(tmp_path / "in.jsonl", records)
    assert [row.messages for row in read(path)] == [
        (U("a"), A("b")),
        (S("f"), U("c\n\ne"), A("d")),
        (U("i"), A("j"), U("g"), A("h")),
    ]


def test_a_column_by_another_name_that_the_first_row_lacks(tmp_path: Path) -> None:
    records = [{"instruction": "a", "response": "b"}, {"instruction": "c", "response": "d", "context": "e"}]
    path = put(tmp_path / "in.jsonl", records)
    assert read(path)[1].instruction == "c\n\ne"


def test_a_usual_name_far_down_the_file(tmp_path: Path) -> None:
    many = [
        {"messages": [{"role": "user", "content": str(i)}, {"role": "assistant", "content": ""}]} for i in range(300)
    ]
    path = put(tmp_path / "in.jsonl", [*many, {**many[0], "system": "Late."}])
    assert read(path)[-1].messages[0] == S("Late.")


@pytest.mark.parametrize(
    "record",
    [
        {"instruction": "a", "output": "b", "history": "medieval", "system": 5, "tools": True},
        {"prompt": "a", "completion": "b", "tools": 3},
        {
            "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
            "system": 1,
            "tools": 2,
        },
    ],
)
def test_a_column_that_only_shares_a_name_is_left_alone(record: dict[str, Any], tmp_path: Path) -> None:
    path = put(tmp_path / "in.jsonl", [record])
    rows = open_rows([str(path)])
    assert [row.messages for row in rows] == [(U("a"), A("b"))]
    assert back(write_again(rows, tmp_path)) == [record]


def test_json_layouts_that_people_write_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    text = '\n \t[\r\n  {\n"instruction" : "a[{\\"" ,"output":"b]}\\\\"}\n\n ,{"output":"d", "instruction":"c"}\n] \n'
    path.write_bytes(text.encode())
    rows = read(path)
    assert [(row.instruction, row.response, row.line) for row in rows] == [('a[{"', "b]}\\", 3), ("c", "d", 6)]


def test_json_lines_that_people_write_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(b'\n {"instruction": "a", "output": "b"} \r\n\t\n{"instruction": "c", "output": "d"}')
    assert [(row.response, row.line) for row in read(path)] == [("b", 2), ("d", 4)]


def test_the_container_is_known_by_content_not_by_name(tmp_path: Path) -> None:
    path = put(tmp_path / "in.jsonl.gz", [{"instruction": "a", "output": "b"}]).rename(tmp_path / "rows.json")
    assert open_rows([str(path)]).files[0].container == "jsonl.gz"


def test_a_glob_reads_files_in_the_order_of_their_names_without_lineages(tmp_path: Path) -> None:
    for name in ("b", "a"):
        put(tmp_path / f"{name}.jsonl", [{"instruction": name, "output": "x"}])
    (tmp_path / "a.lineage.jsonl").write_text("")
    rows = open_rows([f"{tmp_path}/*.jsonl"])
    assert [row.instruction for row in rows] == ["a", "b"]


def test_nothing_is_written_when_the_block_fails(tmp_path: Path) -> None:
    rows = open_rows([str(put(tmp_path / "in.json", [{"instruction": "a", "output": "b"}]))])

    def fail() -> None:
        with RowWriter(tmp_path, "out", rows.files[0]) as writer:
            for row in rows:
                writer.write(row)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["in.json"]


@pytest.mark.parametrize("container", CONTAINERS)
def test_no_rows_make_a_whole_file(container: str, tmp_path: Path) -> None:
    rows = open_rows([str(put(tmp_path / f"in.{container}", [{"instruction": "a", "output": "b"}]))])
    with RowWriter(tmp_path, "out", rows.files[0]) as writer:
        pass
    assert (writer.count, back(writer.path)) == (0, [])


@pytest.mark.parametrize("container", ["json.gz", "jsonl.gz"])
def test_the_same_rows_give_the_same_bytes(container: str, tmp_path: Path) -> None:
    rows = open_rows([str(put(tmp_path / f"in.{container}", [{"instruction": "a", "output": "b"}]))])
    assert write_again(rows, tmp_path, "one").read_bytes() == write_again(rows, tmp_path, "two").read_bytes()


def test_turns_are_what_stands_before_each_answer() -> None:
    messages = (S("s"), U("q"), A("a"), U("r"), A("b"))
    row = Row("1", "1", messages)
    assert list(row.turns()) == [(0, messages[:2], messages[2]), (1, messages[:4], messages[4])]
    assert (row.instruction, row.response) == ("q", "b")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count", "empty"),
    [
        ("rasbt_1100.json", 1100, 0),
        ("dolly_3k.json", 2996, 0),
        ("random_9k.json", 9229, 4),
        ("cherry_alpaca_5_percent_compressed.json", 3111, 0),
    ],
)
def test_real_files_come_back_the_same(name: str, count: int, empty: int, tmp_path: Path) -> None:
    path = real("instructions", name)
    rows = open_rows([str(path)])
    assert rows.files[0].layout.format == "alpaca"
    found = list(rows)
    assert (len(found), sum(not row.response for row in found)) == (count, empty)
    assert back(write_again(rows, tmp_path)) == back(path)
