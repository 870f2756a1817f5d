"""Changed rows go back into the file's own words, and what a format can't hold is refused."""

# ruff: noqa: E501 - tables of rows before and after

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from row_files import back, put, read

from tunescope.errors import WorkError
from tunescope.rows import LineageStep, Message, Row, RowWriter, content_id, open_rows
from tunescope.rows.layout import Layout

STEP = LineageStep("test", 1, ())
S, U, A = (lambda text, role=role, **more: Message(role, text, **more) for role in ("system", "user", "assistant"))


def rewritten(record: dict[str, Any], folder: Path, *messages: Message, container: str = "jsonl") -> dict[str, Any]:
    """Change the messages of a one-row file; return the record written, which reads as those messages."""
    rows = open_rows([str(put(folder / f"in.{container}", [record]))])
    with RowWriter(folder, "out", rows.files[0]) as writer:
        for row in rows:
            writer.write(row.with_messages(messages, STEP))
    again = read(writer.path)[0]
    assert again.messages == messages
    assert again.id == content_id(messages, again.tools)
    return back(writer.path)[0]


ALPACA = {"instruction": "Add.", "input": "1 + 1", "output": "2", "source": "x"}


@pytest.mark.parametrize(
    ("messages", "changes"),
    [
        ((U("Add.\n\n1 + 1"), A("two")), {"output": "two"}),
        ((U("Add them.\n\n1 + 1"), A("2")), {"instruction": "Add them."}),
        ((U("Add.\n\n2 + 2"), A("4")), {"instruction": "Add.\n\n2 + 2", "input": "", "output": "4"}),
        ((U("Add 1 + 1"), A("2")), {"instruction": "Add 1 + 1", "input": ""}),
        ((U(""), A("2")), {"instruction": "", "input": ""}),
        ((U("1 + 1"), A("2")), {"instruction": "1 + 1", "input": ""}),
        ((S("Be brief."), U("Add.\n\n1 + 1"), A("2")), {"system": "Be brief."}),
        ((U("q"), A("a"), U("Add.\n\n1 + 1"), A("2")), {"history": [["q", "a"]]}),
        ((S("s"), U("q"), A("a"), U("r"), A("b")), {"system": "s", "history": [["q", "a"]], "instruction": "r", "input": "", "output": "b"}),
    ],
)  # fmt: skip
def test_alpaca(messages: tuple[Message, ...], changes: dict[str, Any], tmp_path: Path) -> None:
    written = rewritten(ALPACA, tmp_path, *messages)
    assert written == ALPACA | changes
    assert list(written)[:4] == list(ALPACA)


def test_alpaca_with_the_files_own_columns(tmp_path: Path) -> None:
    record = {"question": "a", "context": "b", "answer": "c"}
    assert rewritten(record, tmp_path, U("d\n\nb"), A("e")) == {"question": "d", "context": "b", "answer": "e"}


def test_alpaca_with_system_and_history_taken_away(tmp_path: Path) -> None:
    record = ALPACA | {"system": "s", "history": [["q", "a"]]}
    assert rewritten(record, tmp_path, U("Add.\n\n1 + 1"), A("2")) == ALPACA | {"system": "", "history": []}


CHAT = [
    {"from": "human", "value": "a", "id": 1},
    {"from": "gpt", "value": "b", "id": 2, "weight": 0},
    {"from": "human", "value": "c", "id": 3},
    {"from": "gpt", "value": "d", "id": 4},
]
B = A("b", train=False)


@pytest.mark.parametrize(
    ("messages", "written"),
    [
        ((U("a"), B, U("c"), A("new")), [*CHAT[:3], {**CHAT[3], "value": "new"}]),
        ((U("a"), replace(B, content="new"), U("c"), A("d")), [CHAT[0], {**CHAT[1], "value": "new"}, *CHAT[2:]]),
        ((U("a"), replace(B, train=True), U("c"), A("d")), [CHAT[0], {**CHAT[1], "weight": 1}, *CHAT[2:]]),
        ((U("a"), A("b"), U("c"), A("d")), [CHAT[0], {"from": "gpt", "value": "b", "id": 2}, *CHAT[2:]]),
        ((U("c"), A("d")), CHAT[2:]),
        ((U("a"), A("d")), [CHAT[0], CHAT[3]]),
        ((S("s"), U("a"), B, U("c"), A("d")), [{"from": "system", "value": "s"}, *CHAT]),
        ((U("a"), B, U("x"), A("y"), U("c"), A("d")), [*CHAT[:2], {"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}, *CHAT[2:]]),
        ((U("a"), B, Message("tool", "t"), A("d")), [*CHAT[:2], {"from": "observation", "value": "t"}, CHAT[3]]),
        ((U("a"), B, U("c"), A("d", thinking="hm")), [*CHAT[:3], {**CHAT[3], "thinking": "hm"}]),
    ],
)  # fmt: skip
def test_sharegpt_keeps_its_tags_and_every_message_its_own_keys(
    messages: tuple[Message, ...], written: list[dict[str, Any]], tmp_path: Path
) -> None:
    record = {"conversations": CHAT, "lang": "en"}
    assert rewritten(record, tmp_path, *messages) == {"conversations": written, "lang": "en"}


def test_the_roles_of_a_file_are_used_for_new_messages(tmp_path: Path) -> None:
    record = {"conversations": [{"from": "User", "value": "a"}, {"from": "chatgpt", "value": "b"}]}
    written = rewritten(record, tmp_path, U("x"), A("y"), U("a"), A("b"))
    assert [message["from"] for message in written["conversations"]] == ["User", "chatgpt"] * 2


def test_a_changed_message_keeps_its_own_word_for_a_role(tmp_path: Path) -> None:
    record = {"conversations": [{"from": n, "value": n} for n in ("human", "bing", "user", "gpt")]}
    written = rewritten(record, tmp_path, U("a"), A("b"), U("c"), A("d"))
    assert [tuple(message.values()) for message in written["conversations"]] == [
        ("human", "a"),
        ("bing", "b"),
        ("user", "c"),
        ("gpt", "d"),
    ]


@pytest.mark.parametrize(
    ("column", "messages", "changes"),
    [
        ("old", (S("new"), U("a"), A("b")), {"system": "new"}),
        ("old", (U("a"), A("b")), {"system": ""}),
        ("", (S("new"), U("a"), A("b")), {"messages": 3}),
        ("old", (S("old"), S("two"), U("a"), A("b")), {"messages": 3}),
    ],
)
def test_a_system_column_stays_one(
    column: str, messages: tuple[Message, ...], changes: dict[str, Any], tmp_path: Path
) -> None:
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    written = rewritten({"system": column, "messages": chat}, tmp_path, *messages)
    assert written["system"] == changes.get("system", column)
    assert len(written["messages"]) == changes.get("messages", 2)


def test_text_parts_become_text_where_they_change(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    record = {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": parts}]}
    written = rewritten(record, tmp_path, U("a\nb"), A("c"))
    assert [message["content"] for message in written["messages"]] == [parts, "c"]


CALLED = {"type": "function", "function": {"name": "f", "arguments": {"x": "é"}}}


@pytest.mark.parametrize(
    ("message", "written"),
    [
        (A(None, tool_calls=(CALLED,)), {"from": "function_call", "value": '{"name": "f", "arguments": {"x": "é"}}', "k": 1}),
        (A(None, tool_calls=(CALLED, CALLED)), {"from": "function_call", "value": json.dumps([CALLED["function"]] * 2, ensure_ascii=False), "k": 1}),
        (A("none"), {"from": "gpt", "value": "none", "k": 1}),
        (A("and", tool_calls=(CALLED,)), {"from": "gpt", "value": "and", "k": 1, "tool_calls": [CALLED]}),
        (A(None, tool_calls=({"id": "1"},)), {"from": "gpt", "value": None, "k": 1, "tool_calls": [{"id": "1"}]}),
    ],
)  # fmt: skip
def test_a_function_call_message(message: Message, written: dict[str, Any], tmp_path: Path) -> None:
    call = {"from": "function_call", "value": '{"name": "g"}', "k": 1}
    record = {"conversations": [{"from": "human", "value": "a"}, call]}
    assert rewritten(record, tmp_path, U("a"), message)["conversations"][1] == written


def test_openais_older_function_call(tmp_path: Path) -> None:
    call = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    record = {"messages": [{"role": "user", "content": "a"}, call]}
    row = read(put(tmp_path / "in.json", [record]))[0]
    assert row.messages[1] == A(None, tool_calls=({"type": "function", "function": call["function_call"]},))
    assert rewritten(record, tmp_path, U("new"), row.messages[1])["messages"][1] == call
    assert rewritten(record, tmp_path, U("a"), A("b"))["messages"][1] == {"role": "assistant", "content": "b"}


def test_prompt_and_completion(tmp_path: Path) -> None:
    record = {"prompt": "a", "completion": "b", "n": 1}
    assert rewritten(record, tmp_path, U("c"), A("d")) == {"prompt": "c", "completion": "d", "n": 1}


def test_prompt_and_completion_as_messages(tmp_path: Path) -> None:
    user, reply = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "k": 1}
    record = {"prompt": [user], "completion": [reply]}
    assert rewritten(record, tmp_path, U("a"), A("c")) == {"prompt": [user], "completion": [{**reply, "content": "c"}]}
    longer = rewritten(record, tmp_path, U("a"), A("x"), U("y"), A("b"))
    assert [[message["content"] for message in longer[half]] for half in longer] == [["a", "x", "y"], ["b"]]


def test_tools_stay_in_their_form_when_a_row_changes(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    for tools in ('[{"name":"f"}]', [{"name": "f"}], "", None, []):
        assert rewritten({"messages": chat, "tools": tools}, tmp_path, U("a"), A("c"))["tools"] == tools


@pytest.mark.parametrize(
    ("record", "messages", "said"),
    [
        (ALPACA, (U("a"), A("b", thinking="hm")), "alpaca: a conversation that would come back changed (it has thinking)"),
        (ALPACA, (U("a"), A(None, tool_calls=(CALLED,))), "alpaca: a conversation that would come back changed (it has tool_calls)"),
        (ALPACA, (A("b"),), "alpaca: fewer than two messages"),
        (ALPACA, (), "alpaca: fewer than two messages"),
        (ALPACA, (U("a"), A("b"), U("c")), "alpaca: a conversation that would come back changed"),
        ({**ALPACA, "system": 5}, (S("s"), U("a"), A("b")), "alpaca: system, for which the file has no column"),
        ({"prompt": "a", "completion": "b"}, (U("a"), A("b"), U("c"), A("d")), "prompt_completion: the roles user, assistant, user, assistant"),
        ({"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]}, (U("a"), A("b"), U("c")), "prompt_completion: a conversation that would come back changed"),
        ({"messages": [{"role": "assistant", "content": "b"}]}, (U("a"),), "messages: a conversation that would come back changed"),
    ],
)  # fmt: skip
def test_what_a_format_cannot_hold_is_refused(
    record: dict[str, Any], messages: tuple[Message, ...], said: str, tmp_path: Path
) -> None:
    path = put(tmp_path / "in.jsonl", [record])
    with pytest.raises(WorkError) as caught:
        rewritten(record, tmp_path, *messages)
    assert str(caught.value) == f"row {content_id(messages)} ({path}:1) can't be written as {said}"
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("record", "messages"),
    [
        (ALPACA, (S("new"), U("a"), A("b"))),
        (
            {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
            (U("a"), A("b", name="n")),
        ),
    ],
)
def test_what_the_columns_of_a_table_cannot_hold_is_refused(
    record: dict[str, Any], messages: tuple[Message, ...], tmp_path: Path
) -> None:
    with pytest.raises(WorkError, match=r"has a new value that doesn't fit the columns of .*in\.parquet; write"):
        rewritten(record, tmp_path, *messages, container="parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


def test_a_value_of_another_type_than_the_tables_is_refused(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "a", "weight": 0}, {"role": "assistant", "content": "b", "weight": None}]
    with pytest.raises(WorkError, match=r"^rows ([0-9a-f]+) to \1 can't be written as Parquet: "):
        rewritten({"messages": chat}, tmp_path, U("a", train=False), A("b", train=True), container="parquet")
    written = rewritten({"messages": chat}, tmp_path, U("a", train=True), A("b"), container="parquet")
    assert [message["weight"] for message in written["messages"]] == [1, None]


def test_a_table_takes_new_messages_that_fit(tmp_path: Path) -> None:
    record = {
        "messages": [{"role": "user", "content": "a", "name": "n"}, {"role": "assistant", "content": "b", "name": None}]
    }
    written = rewritten(record, tmp_path, S("s"), U("c"), A("d"), container="parquet")
    assert written["messages"][0] == {"role": "system", "content": "s", "name": None}


plain = st.builds(Message, st.sampled_from(["system", "user", "assistant", "tool"]), st.text(max_size=5))
rich = st.builds(
    Message,
    st.sampled_from(["user", "assistant", "tool"]),
    st.text(max_size=5),
    st.just(()) | st.just((CALLED,)),
    st.none() | st.text(max_size=3),
    st.none() | st.text(max_size=3),
    st.none() | st.text(min_size=1, max_size=3),
    st.none() | st.booleans(),
)
LAYOUTS = [
    Layout("messages", {"messages": "messages", "role": "role", "content": "content", "tools": "tools"}),
    Layout(
        "sharegpt", {"messages": "conversations", "role": "from", "content": "value", "system": "system", "tools": "t"}
    ),
]


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(st.sampled_from(LAYOUTS), *[st.lists(plain | rich, min_size=1, max_size=5).map(tuple)] * 2, st.booleans())
def test_any_conversation_replaces_any_other(
    layout: Layout, before: tuple[Message, ...], after: tuple[Message, ...], tools: bool
) -> None:
    """A row made by hand has no fields yet; one that was read has those of the old conversation."""
    assume(all(any(m.role == "assistant" for m in messages) for messages in (before, after)))
    declared = ({"name": "f"},) if tools else ()
    by_hand = Row("1", "1", before, declared)
    record = layout.render(by_hand)
    assert layout.parser()(record)[:2] == (before, declared)
    read_row = Row("1", "1", before, declared, record)
    assert layout.render(read_row) == record
    changed = layout.render(read_row.with_messages(after, STEP))
    assert layout.parser()(changed)[:2] == (after, declared)


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(
    st.fixed_dictionaries(
        {"instruction": st.text(max_size=3), "output": st.text(max_size=3)},
        optional={"input": st.text(max_size=3), "system": st.text(max_size=3)},
    ),
    st.text(max_size=6),
    st.text(max_size=6),
    st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=2),
)
def test_any_exchanges_fit_alpaca(
    record: dict[str, str], question: str, reply: str, history: list[tuple[str, str]]
) -> None:
    names = ("instruction", "input", "output", "system", "history", "tools")
    layout = Layout("alpaca", dict(zip(names, names, strict=True)))
    messages = tuple(m for q, a in [*history, (question, reply)] for m in (U(q), A(a)))
    old = layout.parser()(record)
    row = Row("1", "1", old.messages, old.tools, record)
    assert layout.render(row) == record
    assert layout.parser()(layout.render(row.with_messages(messages, STEP))).messages == messages
