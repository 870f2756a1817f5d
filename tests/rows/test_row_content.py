"""What a row's content is: calls, tools, media and nulls, in ids, duplicates, questions and answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from row_files import back, problems, put, read, write_again
from tests.tools import write_rows

from tunescope.rows import LineageStep, Message, Row, content_id, open_rows
from tunescope.rows.content import all_text, exchange_keys, structure_key
from tunescope.verbs.check import CheckSettings, check
from tunescope.verbs.compare import CompareSettings, compare
from tunescope.verbs.measure import MeasureSettings, measure
from tunescope.verbs.why import WhySettings, why

BOOK = "Please book the usual meeting room for the team and tell me when it is done."
DOG = "<image>\nIs there a dog in the picture?"


def call(name: str, arguments: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def calling(question: str, *calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = {"role": "assistant", "content": None, "tool_calls": list(calls)}
    return {"messages": [{"role": "user", "content": question}, answer], **more}


def faults(folder: Path, *records: dict[str, Any]) -> dict[str, int]:
    run = check(CheckSettings(rows=(str(write_rows(folder / "rows.jsonl", list(records))),)))
    return {name: count for name, count in run.result["faults"].items() if count}


# ------------------------------------------------------------------ calls and tools


def test_one_question_with_three_calls_has_three_answers_and_no_duplicate(workplace: Path) -> None:
    calls = (
        call("book_room", {"room": "Elm", "hour": 9}),
        call("send_mail", {"to": "facilities", "text": "book Elm"}),
        call("book_room", {"room": "Oak", "hour": 15}),
    )
    assert faults(workplace, *(calling(BOOK, each) for each in calls)) == {"conflicting_answers": 3}


def test_a_long_question_does_not_outweigh_another_call(workplace: Path) -> None:
    long = " ".join(f"word{i}" for i in range(80))
    assert faults(workplace, *(calling(long, call("f", {"x": i})) for i in (1, 2))) == {"conflicting_answers": 2}


def test_the_same_call_in_two_forms_is_a_duplicate(workplace: Path) -> None:
    arguments = {"room": "Elm", "hour": 9}
    same = (calling(BOOK, call("book_room", value)) for value in (arguments, json.dumps(arguments)))
    assert faults(workplace, *same) == {"exact_duplicate": 1}


def test_other_tools_are_another_question(workplace: Path) -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in ("book_room", "send_mail")]
    answers = [call("book_room", {}), call("send_mail", {})]
    rows = [calling(BOOK, answer, tools=[tool]) for answer, tool in zip(answers, tools, strict=True)]
    assert faults(workplace, *rows) == {}
    both = [calling(BOOK, answer, tools=order) for answer, order in zip(answers, (tools, tools[::-1]), strict=True)]
    assert faults(workplace, *both) == {"conflicting_answers": 2}


def test_compare_shows_the_call_and_counts_its_words(workplace: Path) -> None:
    names = []
    for room in ("Elm", "Oak"):
        names.append(str(write_rows(workplace / f"{room}.jsonl", [calling(BOOK, call("book_room", {"room": room}))])))
    run = compare(CompareSettings(a=names[0], b=names[1]))
    assert (run.result["same"], run.result["changed"]) == (0, 1)
    assert run.result["summary"]["response_words"]["a"]["mean"] == 3


def test_measure_and_why_show_a_call(workplace: Path) -> None:
    path = write_rows(workplace / "rows.jsonl", [calling(BOOK, call("book_room", {"room": "Elm"}))])
    run = measure(MeasureSettings(rows=(str(path),), without=("coherence", "perplexity")))
    assert run.tables["turns"]["response_words"].to_pylist() == [3]
    check(CheckSettings(rows=(str(path),)))
    (row_id,) = run.tables["turns"]["row_id"].to_pylist()
    shown = why(WhySettings(row_id=row_id)).result["messages"]
    assert shown[1] == {"role": "assistant", "content": 'book_room {"room": "Elm"}'}


def test_thinking_is_content_and_no_part_of_the_answer() -> None:
    rows = [
        Row("a", "a", (Message("user", "2 + 2?"), Message("assistant", "4", thinking=thought)))
        for thought in ("easy", "hard")
    ]
    assert len({content_id(row.messages) for row in rows}) == 2
    assert [all_text(row) for row in rows] == ["2 + 2?\neasy\n4", "2 + 2?\nhard\n4"]
    assert exchange_keys(rows[0], str.lower) == exchange_keys(rows[1], str.lower)
    assert structure_key(rows[0]) == 0


CALL_TEXTS = ('{"name": "f", "arguments": {"x": 1}}', '{"name": "g", "arguments": {}}')


@pytest.mark.parametrize("role", ["tool_call", "function_call", "Tool-Call", "tool_calls"])
@pytest.mark.parametrize("reply", ["tool_response", "observation", "tool", "function_response"])
def test_calls_written_as_messages(role: str, reply: str, tmp_path: Path) -> None:
    talk = [("user", "q"), (role, CALL_TEXTS[0]), (reply, "1"), ("assistant", "a")]
    path = put(tmp_path / "in.jsonl", [{"messages": [{"role": r, "content": text} for r, text in talk]}])
    rows = open_rows([str(path)])
    (row,) = rows
    assert [message.role for message in row.messages] == ["user", "assistant", "tool", "assistant"]
    assert row.messages[1] == Message("assistant", None, (call("f", {"x": 1}),))
    assert back(write_again(rows, tmp_path)) == back(path)


@pytest.mark.parametrize(
    "talk",
    [
        [("tool_call", CALL_TEXTS[0]), ("tool_call", CALL_TEXTS[1])],
        [("tool_call", f"[{', '.join(CALL_TEXTS)}]")],
        [("tool_call", "".join(f"<tool_call>\n{text}\n</tool_call>" for text in CALL_TEXTS))],
    ],
)
def test_calls_in_one_turn(talk: list[tuple[str, str]], tmp_path: Path) -> None:
    talk = [("user", "q"), *talk, ("tool_response", "1"), ("tool_response", "2"), ("assistant", "a")]
    path = put(tmp_path / "in.jsonl", [{"messages": [{"role": r, "content": text} for r, text in talk]}])
    rows = open_rows([str(path)])
    (row,) = rows
    assert row.messages[1] == Message("assistant", None, (call("f", {"x": 1}), call("g", {})))
    assert [message.role for message in row.messages] == ["user", "assistant", "tool", "tool", "assistant"]
    assert back(write_again(rows, tmp_path)) == back(path)
    changed = (*row.messages[:-1], Message("assistant", "b"))
    record = rows.files[0].layout.render(row.with_messages(changed, LineageStep("test", 1, ())))
    assert rows.files[0].layout.parser()(record).messages == changed


# ------------------------------------------------------------------ media


@pytest.mark.parametrize("column", ["image", "images", "audio", "audios", "video", "videos"])
def test_media_beside_the_text_are_content(column: str, workplace: Path) -> None:
    def record(number: int, answer: str) -> dict[str, Any]:
        talk = [{"from": "human", "value": DOG}, {"from": "gpt", "value": answer}]
        return {column: f"a/{number}.jpg", "conversations": talk}

    rows = [record(1, "Yes, there is a dog in it."), record(2, "Yes, there is a dog in it."), record(3, "No, a cat.")]
    assert faults(workplace, *rows) == {}
    assert faults(workplace, rows[0], rows[0], record(1, "No, a cat.")) == {
        "exact_duplicate": 1,
        "conflicting_answers": 3,
    }
    opened = open_rows([str(workplace / "rows.jsonl")])
    assert next(iter(opened)).media == ((column, "a/1.jpg"),)
    assert back(write_again(opened, workplace))[0] == rows[0]


@pytest.mark.parametrize("empty", [None, "", [], [None], {"bytes": None, "path": None}, 3])
def test_an_empty_column_holds_no_media(empty: Any, tmp_path: Path) -> None:
    (row,) = read(put(tmp_path / "in.jsonl", [{"instruction": "a", "output": "b", "images": empty}]))
    assert (row.media, row.id) == ((), content_id(row.messages))


def test_pictures_in_a_table_are_content_by_their_bytes(tmp_path: Path) -> None:
    records = [{"prompt": "a", "completion": "b", "image": {"bytes": bytes([n]), "path": None}} for n in (1, 2)]
    assert len({row.id for row in read(put(tmp_path / "in.parquet", records))}) == 2


def test_media_in_a_message_are_refused_by_name(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "a", "images": ["x.png"]}, {"role": "assistant", "content": "b"}]
    assert problems(put(tmp_path / "in.jsonl", [{"messages": messages}]))[0] == (
        "in.jsonl:1: found message 1 with 'images'; expected text only"
    )


# ------------------------------------------------------------------ the same rows in tables

MOVES = [
    {
        "messages": [
            {"role": "user", "content": "Move the robot to (0, 1)."},
            {"role": "assistant", "content": None, "tool_calls": [call("move", {"x": 0, "y": 1})]},
            {"role": "tool", "content": "done"},
            {"role": "assistant", "content": "It stands there now."},
        ],
        "tools": [{"type": "function", "function": {"name": "move", "parameters": {"x": {"type": "integer"}}}}],
    },
    {
        "messages": [
            {"role": "user", "content": "Say good night to the crew."},
            {"role": "assistant", "content": None, "tool_calls": [call("say", {"text": "Good night"})]},
            {"role": "tool", "content": "done"},
            {"role": "assistant", "content": "I said it."},
        ],
        "tools": [{"type": "function", "function": {"name": "say", "parameters": {"text": {"type": "string"}}}}],
    },
]


def assert_same_rows(path: Path, plain: Path, folder: Path) -> None:
    rows = open_rows([str(path)])
    assert [(row.id, row.messages, row.tools) for row in rows] == [
        (row.id, row.messages, row.tools) for row in open_rows([str(plain)])
    ]
    again = write_again(rows, folder)
    assert [row.id for row in open_rows([str(again)])] == [row.id for row in rows]


def test_nulls_that_a_table_puts_into_arguments_and_tools_are_not_content(tmp_path: Path) -> None:
    plain, table = put(tmp_path / "in.jsonl", MOVES), put(tmp_path / "in.parquet", MOVES)
    assert back(table)[1]["messages"][1]["tool_calls"][0]["function"]["arguments"] == {
        "x": None,
        "y": None,
        "text": "Good night",
    }
    assert_same_rows(table, plain, tmp_path)
    exported = put(tmp_path / "exported.jsonl", back(table))  # as `to_json` of a data set writes it
    assert_same_rows(exported, plain, tmp_path)


@pytest.mark.parametrize("as_text", [False, True])
def test_only_json_text_keeps_its_nulls(as_text: bool, tmp_path: Path) -> None:
    calls, tools = [call("f", {"x": None})], [{"name": "f", "parameters": {"x": {"default": None}}}]
    talk = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": json.dumps(calls) if as_text else calls},
        {"role": "tool_call", "content": json.dumps(calls[0]) if as_text else calls[0]},
    ]
    (row,) = read(put(tmp_path / "in.jsonl", [{"messages": talk, "tools": json.dumps(tools) if as_text else tools}]))
    expected = (call("f", {"x": None} if as_text else {}),)
    assert [message.tool_calls for message in row.messages] == [(), expected, expected]
    assert row.tools[0]["parameters"] == {"x": {"default": None} if as_text else {}}


def test_a_null_inside_argument_text_stays() -> None:
    rows = [(Message("assistant", None, (call("f", text),)),) for text in ('{"x": null}', "{}")]
    assert len({content_id(messages) for messages in rows}) == 2


@pytest.mark.parametrize("form", ["column", "messages", "calls"])
def test_json_in_the_columns_of_a_table(form: str, tmp_path: Path) -> None:
    def as_json(record: dict[str, Any]) -> dict[str, Any]:
        messages = record["messages"]
        if form == "column":
            return {**record, "messages": json.dumps(messages)}
        if form == "messages":
            return {**record, "messages": list(map(json.dumps, messages))}
        calls = [{**m, "tool_calls": json.dumps(m["tool_calls"]) if "tool_calls" in m else None} for m in messages]
        return {**record, "messages": calls}

    plain = put(tmp_path / "in.jsonl", MOVES)
    for name in ("json.parquet", "json.jsonl"):
        assert_same_rows(put(tmp_path / name, list(map(as_json, MOVES))), plain, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("nested", [False, True])
def test_json_columns_of_a_data_set(nested: bool, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    text = datasets.Value("string")
    messages = datasets.List({"role": text, "content": text, "tool_calls": datasets.Json()})
    features = {"messages": messages if nested else datasets.Json(), "tools": datasets.Json()}
    data = datasets.Dataset.from_list(MOVES, features=datasets.Features(features))
    data.save_to_disk(tmp_path / "saved")
    data.to_parquet(tmp_path / "data.parquet")
    plain = put(tmp_path / "in.jsonl", MOVES)
    for name in ("saved", "data.parquet"):
        assert_same_rows(tmp_path / name, plain, tmp_path)


def test_prompt_and_completion_as_json_text(tmp_path: Path) -> None:
    prompt, completion = [{"role": "user", "content": "a"}], [{"role": "assistant", "content": "b"}]
    plain = put(tmp_path / "in.jsonl", [{"prompt": prompt, "completion": completion}])
    texts = put(tmp_path / "in.parquet", [{"prompt": json.dumps(prompt), "completion": json.dumps(completion)}])
    assert_same_rows(texts, plain, tmp_path)
