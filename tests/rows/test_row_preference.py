"""Preference rows: two responses to one question, in every form that they are written in, read and written back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from row_files import back, problems, put, read, write_again

from tunescope.errors import WorkError
from tunescope.rows import LineageStep, Message, RowWriter, content_id, open_rows
from tunescope.rows.content import exchange_keys

Q, C, R = Message("user", "q"), Message("assistant", "c"), Message("assistant", "r")
STEP = LineageStep("test", 1, ())


def says(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def whole(answer: str) -> list[dict[str, str]]:
    return [says("user", "q"), says("assistant", answer)]


FORMS: dict[str, dict[str, Any]] = {
    "texts (TRL, LLaMA-Factory)": {"prompt": "q", "chosen": "c", "rejected": "r"},
    "texts under other names": {"question": "q", "chosen_response": "c", "rejected_response": "r", "system": ""},
    "instruction and input": {"instruction": "q", "input": "", "chosen": "c", "rejected": "r"},
    "lists (TRL)": {
        "prompt": [says("user", "q")], "chosen": [says("assistant", "c")], "rejected": [says("assistant", "r")],
    },
    "whole conversations (TRL, implicit prompt)": {"chosen": whole("c"), "rejected": whole("r"), "score": 1.5},
    "whole conversations beside the prompt (UltraFeedback)": {
        "prompt": "q", "chosen": whole("c"), "rejected": whole("r"),
    },
    "a prompt as text, responses as lists": {
        "prompt": "q", "chosen": [says("assistant", "c")], "rejected": [says("assistant", "r")],
    },
    "a prompt as a list, responses as texts": {"prompt": [says("user", "q")], "chosen": "c", "rejected": "r"},
    "a message each (LLaMA-Factory)": {
        "conversations": [{"from": "human", "value": "q"}],
        "chosen": {"from": "gpt", "value": "c"},
        "rejected": {"from": "gpt", "value": "r"},
    },
    "messages and a message each (axolotl)": {
        "messages": [says("user", "q")], "chosen": says("assistant", "c"), "rejected": says("assistant", "r"),
    },
    "dialogues (HH-RLHF)": {"chosen": "\n\nHuman: q\n\nAssistant: c", "rejected": "\n\nHuman: q\n\nAssistant: r"},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("container", ["json", "jsonl", "parquet"])
def test_both_sides_are_read_and_written_back(form: str, container: str, tmp_path: Path) -> None:
    path = put(tmp_path / f"in.{container}", [FORMS[form]])
    rows = open_rows([str(path)])
    assert rows.files[0].layout.format == "preference"
    (row,) = rows
    assert (row.messages, row.rejected) == ((Q, C), (Q, R))
    assert row.id == content_id((Q, C), rejected=(Q, R)) != content_id((Q, C))
    assert back(write_again(rows, tmp_path)) == [FORMS[form]]


@pytest.mark.parametrize("form", FORMS)
def test_changed_and_swapped_responses_are_written_in_the_same_form(form: str, tmp_path: Path) -> None:
    rows = open_rows([str(put(tmp_path / "in.jsonl", [FORMS[form]]))])
    (row,) = rows
    better = replace(C, content="better")
    changes = {
        "changed": row.with_messages((Q, better), STEP),
        "swapped": row.with_responses(row.rejected, row.messages, STEP),
    }
    for name, changed in changes.items():
        with RowWriter(tmp_path, name, rows.files[0]) as writer:
            writer.write(changed)
        (again,) = read(writer.path)
        assert (again.id, again.messages, again.rejected) == (changed.id, changed.messages, changed.rejected)
        assert {key: type(value) for key, value in again.fields.items()} == {
            key: type(value) for key, value in FORMS[form].items()
        }


def test_a_new_question_is_that_of_both_sides(tmp_path: Path) -> None:
    rows = open_rows([str(put(tmp_path / "in.jsonl", [FORMS["lists (TRL)"]]))])
    new = next(iter(rows)).with_messages((replace(Q, content="new"), C), STEP)
    assert new.rejected == (replace(Q, content="new"), R)
    with RowWriter(tmp_path, "out", rows.files[0]) as writer:
        writer.write(new)
    assert back(writer.path) == [{**FORMS["lists (TRL)"], "prompt": [says("user", "new")]}]


def test_calls_thinking_and_several_turns(tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    chosen = [{"role": "assistant", "content": None, "tool_calls": [call]}, says("tool", "1"), says("assistant", "c")]
    rejected = [{"role": "assistant", "content": "r", "reasoning_content": "hm"}]
    record = {"prompt": [says("system", "s"), *whole("a"), says("user", "q")], "chosen": chosen, "rejected": rejected}
    rows = open_rows([str(put(tmp_path / "in.jsonl", [record]))])
    (row,) = rows
    assert [message.role for message in row.messages[4:]] == ["assistant", "tool", "assistant"]
    assert row.rejected[4:] == (Message("assistant", "r", thinking="hm"),)
    assert back(write_again(rows, tmp_path)) == [record]


@pytest.mark.parametrize(
    ("record", "report"),
    [
        ({"prompt": "q", "chosen": "c", "rejected": None}, "no rejected response (column 'rejected' is null)"),
        ({"prompt": "q", "chosen": None, "rejected": "r"}, "no chosen response (column 'chosen' is null)"),
        ({"prompt": "q", "chosen": [says("user", "c")], "rejected": "r"}, "no answer (no assistant message)"),
        ({"prompt": "q", "chosen": [*whole("c"), says("user", "?")], "rejected": "r"}, "column 'chosen': a last"),
        ({"prompt": "q", "chosen": [says("critic", "c")], "rejected": "r"}, "message 2 with the role 'critic'"),
        ({"prompt": "q", "chosen": 5, "rejected": "r"}, "column 'chosen': a number"),
    ],
)  # fmt: skip
def test_half_a_preference_is_refused(record: dict[str, Any], report: str, tmp_path: Path) -> None:
    path = put(tmp_path / "in.jsonl", [FORMS["texts (TRL, LLaMA-Factory)"], record])
    assert problems(path)[0].startswith(f"in.jsonl:2: found {report}")


def test_responses_without_a_question_are_refused(tmp_path: Path) -> None:
    """OpenAI's form has the question deeper inside."""
    answers = [[says("assistant", "c")], [says("assistant", "r")]]
    record = dict(zip(("preferred_output", "non_preferred_output"), answers, strict=True))
    path = put(tmp_path / "in.jsonl", [{"input": {"messages": [says("user", "q")]}, **record}])
    found = "in.jsonl:1: found no question (columns: input, preferred_output, non_preferred_output); expected columns"
    assert problems(path)[0].startswith(found)


def test_an_empty_question_is_read(tmp_path: Path) -> None:
    record = {"prompt": "", "chosen": [says("assistant", "c")], "rejected": [says("assistant", "r")]}
    rows = open_rows([str(put(tmp_path / "in.jsonl", [record]))])
    (row,) = rows
    assert row.messages == (Message("user", ""), C)
    assert back(write_again(rows, tmp_path)) == [record]


def test_a_response_of_a_tool_call_has_no_place_in_a_text_column(tmp_path: Path) -> None:
    rows = open_rows([str(put(tmp_path / "in.jsonl", [FORMS["texts (TRL, LLaMA-Factory)"]]))])
    call = {"type": "function", "function": {"name": "f"}}
    new = next(iter(rows)).with_messages((Q, Message("assistant", None, (call,))), STEP)
    with pytest.raises(WorkError, match="can't be written as preference"):
        rows.files[0].layout.render(new)


@pytest.mark.parametrize("value", [True, 3, ["a", "b"], []])
def test_columns_that_only_have_such_names_are_left_alone(value: Any, tmp_path: Path) -> None:
    path = put(tmp_path / "in.jsonl", [{"instruction": "q", "output": "c", "chosen": value, "rejected": value}])
    assert open_rows([str(path)]).files[0].layout.format == "alpaca"
    (row,) = read(path)
    assert row.rejected == ()


def test_opposite_choices_are_opposite_answers_to_one_question(tmp_path: Path) -> None:
    pairs = [("c", "r"), ("r", "c"), ("c", "other")]
    rows = read(put(tmp_path / "in.jsonl", [{"prompt": "q", "chosen": c, "rejected": r} for c, r in pairs]))
    (q1, a1), (q2, a2), (q3, _) = (exchange_keys(row, str.lower) for row in rows)
    assert q1 == q2 != q3
    assert a1 != a2


def test_json_text_in_both_columns(tmp_path: Path) -> None:
    record = {"chosen": json.dumps(whole("c")), "rejected": json.dumps(whole("r"))}
    rows = open_rows([str(put(tmp_path / "in.parquet", [record]))])
    (row,) = rows
    assert (row.messages, row.rejected) == ((Q, C), (Q, R))
    assert back(write_again(rows, tmp_path)) == [record]
