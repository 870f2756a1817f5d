"""Ids, repeats, origins and lineages, in a file and across writing and reading again."""

from __future__ import annotations

import json
import pickle
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_files import back, problems, put, read, write_again

from tunescope.errors import SettingsError
from tunescope.rows import (
    LineageStep,
    Message,
    RepeatCounter,
    Row,
    RowWriter,
    content_id,
    open_rows,
    require_same_shape,
)

A = {"instruction": "a", "output": "x"}
B = {"instruction": "b", "output": "y"}
HELLO = (Message("user", "Hello"), Message("assistant", "Hi"))
CALL = {"type": "function", "function": {"name": "f", "arguments": {"b": 1, "a": 2}}}


def answer(row: Row, text: str, operation: str = "test") -> Row:
    messages = (*row.messages[:-1], replace(row.messages[-1], content=text))
    return row.with_messages(
        messages, LineageStep(operation, 1, (row.id,), "why", "hash", ("call-1",), {"response": row.response})
    )


# ------------------------------------------------------------------ ids


def test_ids_are_the_same_everywhere_for_ever() -> None:
    assert content_id(HELLO) == "cd09c922ec733c93"
    assert content_id(HELLO, ({"name": "f"},)) == "4d50aa61d47854a4"
    assert content_id((HELLO[0], Message("assistant", None, tool_calls=(CALL,)))) == "c56262d0e1b3f630"


@pytest.mark.parametrize(
    "other",
    [
        (Message("user", "HelloHi"), Message("assistant", "")),
        (Message("user", ""), Message("assistant", "HelloHi")),
        (Message("user", "Hello"), Message("critic", "Hi")),
        (*HELLO, Message("user", "")),
        (HELLO[1], HELLO[0]),
        (HELLO[0], Message("assistant", "Hi", train=True)),
        (HELLO[0], Message("assistant", "Hi", train=False)),
        (HELLO[0], Message("assistant", "Hi", thinking="hm")),
        (HELLO[0], Message("assistant", "Hi", name="n")),
        (HELLO[0], Message("assistant", "Hi", tool_call_id="n")),
        (HELLO[0], Message("assistant", "Hi", tool_calls=(CALL,))),
        (Message("user", "9:assistant2:Hi"),),
    ],
)
def test_what_a_model_sees_differently_has_another_id(other: tuple[Message, ...]) -> None:
    assert content_id(other) != content_id(HELLO)


def test_the_order_of_keys_does_not_count() -> None:
    other = {"function": {"arguments": {"a": 2, "b": 1}, "name": "f"}, "type": "function"}
    ids = {content_id((Message("assistant", None, tool_calls=(call,)),)) for call in (CALL, other)}
    assert len(ids) == 1


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant", "1:a"]), st.text(max_size=3)), max_size=3).map(tuple))
def test_lengths_keep_the_parts_of_an_id_apart(pairs: tuple[tuple[str, str], ...]) -> None:
    messages = tuple(Message(*pair) for pair in pairs)
    joined = Message("".join(role for role, _ in pairs), "".join(text for _, text in pairs))
    assert (content_id(messages) == content_id((joined,))) == (messages == (joined,))


def test_columns_beside_the_conversation_do_not_count(tmp_path: Path) -> None:
    rows = read(put(tmp_path / "in.jsonl", [A, {**A, "source": "z"}, {**A, "input": ""}]))
    assert [row.id for row in rows] == [rows[0].id, f"{rows[0].id}.2", f"{rows[0].id}.3"]


def test_the_same_content_has_the_same_id_in_every_format(tmp_path: Path) -> None:
    files = {
        "a.jsonl": {"instruction": "Hello", "input": "", "output": "Hi"},
        "b.json": {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]},
        "c.parquet": {"conversations": [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Hi"}]},
        "d.jsonl.gz": {"prompt": "Hello", "completion": "Hi"},
    }
    for name, record in files.items():
        assert [row.id for row in read(put(tmp_path / name, [record]))] == [content_id(HELLO)]


def test_exact_repeats_are_numbered_in_file_order(tmp_path: Path) -> None:
    rows = read(put(tmp_path / "in.json", [A, B, A, A, B]))
    a, b = rows[0].id, rows[1].id
    assert [row.id for row in rows] == [a, b, f"{a}.2", f"{a}.3", f"{b}.2"]
    assert [row.origin for row in rows] == [row.id for row in rows]


def test_repeats_are_numbered_across_files(tmp_path: Path) -> None:
    names = [str(put(tmp_path / name, [A, A])) for name in ("a.json", "b.jsonl")]
    rows = list(open_rows(names))
    assert [row.id.partition(".")[2] for row in rows] == ["", "2", "3", "4"]


def test_reading_again_gives_the_same_rows(tmp_path: Path) -> None:
    rows = open_rows([str(put(tmp_path / "in.json", [A, A, B]))])
    assert list(rows) == list(rows)


@given(st.lists(st.sampled_from(["00ff", "0001", "abcd"])))
def test_a_repeat_counter_numbers_each_kind_on_its_own(bases: list[str]) -> None:
    counter = RepeatCounter()
    names = [counter.name(base) for base in bases]
    assert len(set(names)) == len(names)
    for base in set(bases):
        mine = [name for name in names if name.partition(".")[0] == base]
        assert mine == [base, *(f"{base}.{n}" for n in range(2, len(mine) + 1))]


def test_rows_are_frozen_and_travel_between_processes(tmp_path: Path) -> None:
    rows = open_rows([str(put(tmp_path / "in.json", [A]))])
    row = next(iter(rows))
    with pytest.raises(FrozenInstanceError):
        row.id = "x"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(row)) == row
    assert list(pickle.loads(pickle.dumps(rows.files[0])).rows()) == [row]


# ------------------------------------------------------------------ origins and lineages


def test_a_changed_row_keeps_its_origin_and_says_what_happened(tmp_path: Path) -> None:
    row = read(put(tmp_path / "in.json", [A]))[0]
    new = answer(row, "better")
    assert (new.response, new.origin) == ("better", row.id)
    assert new.id == content_id(new.messages) != row.id
    assert new.fields == row.fields == A
    assert [step.parents for step in answer(new, "best").lineage] == [(row.id,), (new.id,)]


@pytest.mark.parametrize("container", ["json", "jsonl", "json.gz", "jsonl.gz", "parquet"])
def test_the_origin_survives_writing_and_reading(container: str, tmp_path: Path) -> None:
    first = open_rows([str(put(tmp_path / f"in.{container}", [A, B]))])
    before = list(first)
    changed = [answer(before[0], "better"), before[1]]
    with RowWriter(tmp_path, "out", first.files[0]) as writer:
        for row in changed:
            writer.write(row)
    assert writer.count == 2
    assert [json.loads(line) for line in (tmp_path / "out.lineage.jsonl").read_text().splitlines()] == [
        {
            "row_id": changed[0].id,
            "origin": before[0].id,
            "lineage": [
                {
                    "operation": "test",
                    "version": 1,
                    "parents": [before[0].id],
                    "reason": "why",
                    "prompt_hash": "hash",
                    "call_ids": ["call-1"],
                    "old": {"response": "x"},
                }
            ],
        }
    ]
    after = read(writer.path)
    assert [(row.id, row.origin, row.lineage) for row in after] == [
        (row.id, row.origin, row.lineage) for row in changed
    ]
    twice = write_again(open_rows([str(writer.path)]), tmp_path, "twice")
    assert [(row.id, row.origin, row.lineage) for row in read(twice)] == [
        (row.id, row.origin, row.lineage) for row in changed
    ]


def test_rows_changed_into_the_same_keep_their_origins(tmp_path: Path) -> None:
    first = open_rows([str(put(tmp_path / "in.jsonl", [{**A, "output": text} for text in "xyz"]))])
    before = list(first)
    with RowWriter(tmp_path, "out", first.files[0]) as writer:
        for row in before:
            writer.write(answer(row, "same"))
    after = read(writer.path)
    assert [row.id.partition(".")[2] for row in after] == ["", "2", "3"]
    assert [row.origin for row in after] == [row.id for row in before]
    assert [row.lineage[0].old for row in after] == [{"response": text} for text in "xyz"]


def test_a_repeat_left_alone_keeps_its_origin(tmp_path: Path) -> None:
    first = open_rows([str(put(tmp_path / "in.jsonl", [A, B, A]))])
    before = list(first)
    with RowWriter(tmp_path, "out", first.files[0]) as writer:
        for row in before[1:]:
            writer.write(row)
    assert [(row.id, row.origin) for row in read(writer.path)] == [
        (before[1].id, before[1].id),
        (before[0].id, f"{before[0].id}.2"),
    ]


def test_lineages_belong_to_their_own_file(tmp_path: Path) -> None:
    names = []
    for name in ("one", "two"):
        first = open_rows([str(put(tmp_path / f"{name}-in.jsonl", [{**A, "output": name}]))])
        with RowWriter(tmp_path, name, first.files[0]) as writer:
            for row in first:
                writer.write(answer(row, "same", name))
        names.append(str(writer.path))
    rows = list(open_rows(names))
    assert [row.id.partition(".")[2] for row in rows] == ["", "2"]
    assert [row.lineage[0].operation for row in rows] == ["one", "two"]
    assert [row.origin for row in rows] == [row.lineage[0].parents[0] for row in rows]


def test_a_lineage_of_other_rows_goes_when_the_file_is_written_anew(tmp_path: Path) -> None:
    first = open_rows([str(put(tmp_path / "in.jsonl", [A]))])
    row = next(iter(first))
    for new, expected in ((answer(row, "z"), True), (row, False)):
        with RowWriter(tmp_path, "out", first.files[0]) as writer:
            writer.write(new)
        assert (tmp_path / "out.lineage.jsonl").exists() == expected


def test_the_hash_of_a_file_covers_its_lineage(tmp_path: Path) -> None:
    path = put(tmp_path / "in.jsonl", [A])
    alone = open_rows([str(path)]).inputs
    for text in ("", '{"row_id": "a", "origin": "b", "lineage": []}'):
        (tmp_path / "in.lineage.jsonl").write_text(text)
        assert open_rows([str(path)]).inputs != alone
    assert list(alone) == [str(path)]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "null",
        '{"row_id": "a", "origin": "b"}',
        '{"row_id": "a", "origin": "b", "lineage": [{}]}',
        "\xff",
        "[" * 9999,
    ],
)
def test_a_broken_lineage_is_refused(line: str, tmp_path: Path) -> None:
    path = put(tmp_path / "in.jsonl", [A])
    (tmp_path / "in.lineage.jsonl").write_text(f'{{"row_id": "a", "origin": "b", "lineage": []}}\n{line}\n', "latin-1")
    report = problems(path)
    assert report[0].startswith("in.lineage.jsonl:2: found no lineage record (")
    assert report[0].endswith("; expected row_id, origin, lineage")
    assert report[1:] == ["Delete the file to read the rows without their history."]


steps = st.builds(
    LineageStep,
    st.text(),
    st.integers(),
    st.tuples(st.text()),
    st.text(),
    st.none() | st.text(),
    st.tuples(st.text()),
    st.dictionaries(st.text(), st.none() | st.text() | st.lists(st.integers())),
)


@given(steps)
def test_a_step_survives_json(step: LineageStep) -> None:
    assert LineageStep.from_json(json.loads(json.dumps(step.as_json()))) == step


# ------------------------------------------------------------------ several files into one


def test_files_of_one_shape_are_written_together(tmp_path: Path) -> None:
    rows = open_rows([str(put(tmp_path / f"{i}.jsonl", [{**A, "input": "i"}, B][i:])) for i in (0, 1)])
    like = require_same_shape(rows.files, "select")
    assert like == rows.files[0]


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("b.json", A),
        ("b.jsonl", {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}),
        ("b.jsonl", {"question": "a", "answer": "b"}),
    ],
)
def test_a_mixture_of_shapes_is_refused(name: str, record: dict[str, Any], tmp_path: Path) -> None:
    rows = open_rows([str(put(tmp_path / "a.jsonl", [A])), str(put(tmp_path / name, [record]))])
    with pytest.raises(
        SettingsError, match=r"^select writes one file, but .*a\.jsonl is alpaca .*; run it once per file$"
    ):
        require_same_shape(rows.files, "select")


def test_tables_of_different_columns_are_refused(tmp_path: Path) -> None:
    names = [str(put(tmp_path / f"{i}.parquet", [record])) for i, record in enumerate([A, {**A, "more": 1}])]
    with pytest.raises(SettingsError, match=r"the columns of .*1\.parquet are not those of .*0\.parquet"):
        require_same_shape(open_rows(names).files, "select")
    assert back(tmp_path / "1.parquet") == [{**A, "more": 1}]
