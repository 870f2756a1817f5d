"""Words for columns and formats that people know from TRL, axolotl and LLaMA-Factory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from row_files import back, problems, put, read, write_again

from tunescope.errors import SettingsError
from tunescope.rows import Message, open_rows

QA = (Message("user", "q"), Message("assistant", "a"))
CHAT = [{"speaker": "customer", "text": "q"}, {"speaker": "agent", "text": "a"}]


@pytest.mark.parametrize(
    ("record", "columns", "format"),
    [
        ({"q": "q", "a": "a"}, ("instruction=q,output=a",), "alpaca"),
        ({"q": "q", "a": "a"}, ("instruction=q", "output=a"), "alpaca"),
        # LLaMA-Factory, alpaca
        ({"q": "q", "a": "a", "x": None}, ("prompt=q,query=x,response=a",), "alpaca"),
        # axolotl, alpaca
        ({"q": "q", "a": "a", "s": ""}, ("field_instruction=q,field_output=a,field_system=s",), "alpaca"),
        # TRL
        ({"q": "q", "a": "a"}, ("prompt=q,completion=a",), "prompt_completion"),
        # LLaMA-Factory, sharegpt
        (
            {"talk": [{"who": "human", "says": "q"}, {"who": "gpt", "says": "a"}]},
            ("messages=talk", "role_tag=who", "content_tag=says"),
            "sharegpt",
        ),
        # axolotl, chat_template
        (
            {"talk": [{"who": "user", "says": "q"}, {"who": "assistant", "says": "a"}]},
            ("field_messages=talk,message_field_role=who,message_field_content=says",),
            "sharegpt",
        ),
        # LLaMA-Factory's names for roles
        (
            {"conversations": CHAT},
            ("role_tag=speaker,content_tag=text,user_tag=customer,assistant_tag=agent",),
            "sharegpt",
        ),
    ],
)
def test_other_tools_words(record: dict[str, Any], columns: tuple[str, ...], format: str, tmp_path: Path) -> None:
    rows = open_rows([str(put(tmp_path / "in.json", [record]))], columns=columns)
    assert rows.files[0].layout.format == format
    assert [row.messages for row in rows] == [QA]
    assert back(write_again(rows, tmp_path)) == [record]


def test_columns_beside_the_question(tmp_path: Path) -> None:
    record = {"q": "q", "more": "i", "sys": "s", "before": [["x", "y"]], "functions": [{"name": "f"}], "a": "a"}
    words = ("prompt=q,query=more,response=a,system=sys,history=before,tools=functions",)
    row = read(put(tmp_path / "in.json", [record]), columns=words)[0]
    assert [message.content for message in row.messages] == ["s", "x", "y", "q\n\ni", "a"]
    assert row.tools == ({"name": "f"},)


def test_columns_beside_the_messages(tmp_path: Path) -> None:
    chat = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a", "cot": "hm", "learn": False, "weight": 5, "thinking": 1},
    ]
    record = {"messages": chat, "prompt_of_system": "s", "functions": '[{"name": "f"}]'}
    words = (
        "field_system=prompt_of_system,field_tools=functions,field_thinking=cot",
        "message_field_training=learn",
    )
    rows = open_rows([str(put(tmp_path / "in.json", [record]))], columns=words)
    row = next(iter(rows))
    assert row.messages == (Message("system", "s"), QA[0], Message("assistant", "a", thinking="hm", train=False))
    assert row.tools == ({"name": "f"},)
    assert back(write_again(rows, tmp_path)) == [record]


def test_llama_factorys_roles_for_tools(tmp_path: Path) -> None:
    talk = [
        {"from": "boss", "value": "s"},
        {"from": "me", "value": "q"},
        {"from": "call", "value": '{"name": "f"}'},
        {"from": "result", "value": "r"},
        {"from": "bot", "value": "a"},
    ]
    words = ("system_tag=boss,user_tag=me,function_tag=call,observation_tag=result,assistant_tag=bot",)
    rows = open_rows([str(put(tmp_path / "in.json", [{"conversations": talk}]))], columns=words)
    row = next(iter(rows))
    assert [message.role for message in row.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert row.messages[2].tool_calls == ({"type": "function", "function": {"name": "f"}},)
    assert back(write_again(rows, tmp_path)) == [{"conversations": talk}]


@pytest.mark.parametrize(
    "name",
    ["AI", "ai", "Claude", "claude-3.5", "bot", "gpt", "GPT-4o", "bing", "bard", "model", "Assistant", "Qwen2.5"],
)
@pytest.mark.parametrize("asks", ["human", "Human", "user", "prompter"])
def test_usual_names_of_roles(name: str, asks: str, tmp_path: Path) -> None:
    talk = [{"from": "System", "value": "s"}, {"from": asks, "value": "q"}, {"from": name, "value": "a"}]
    (row,) = read(put(tmp_path / "in.json", [{"conversations": talk}]))
    assert row.messages == (Message("system", "s"), *QA)


def test_a_role_that_nobody_named_is_refused_with_the_option_that_names_it(tmp_path: Path) -> None:
    talk = [{"from": "Critic", "value": "q"}, {"from": "Actor", "value": "a"}, {"from": "Bot", "value": "b"}]
    path = put(tmp_path / "in.json", [{"conversations": talk}])
    (report, *_) = problems(path)
    assert (
        "in.json:1, record 1: found message 1 with the role 'Critic'; expected one of system, user, assistant" in report
    )
    assert "--columns assistant_tag=Critic" in report
    rows = open_rows([str(path)], columns=("user_tag=Critic", "assistant_tag=Actor,assistant_tag=Bot"))
    assert [message.role for row in rows for message in row.messages] == ["user", "assistant", "assistant"]
    assert back(write_again(rows, tmp_path)) == [{"conversations": talk}]
    assert [row.messages for row in open_rows([str(path)], columns=("user_tag=Critic,assistant_tag=Actor|Bot",))] == [
        row.messages for row in rows
    ]


@pytest.mark.parametrize(
    ("word", "format"),
    [
        ("alpaca", "alpaca"),
        ("messages", "messages"),
        ("openai", "messages"),
        ("conversational", "messages"),
        ("chat_template", "messages"),
        ("sharegpt", "sharegpt"),
        ("prompt_completion", "prompt_completion"),
        ("prompt-completion", "prompt_completion"),
    ],
)
def test_formats_by_other_tools_names(word: str, format: str, tmp_path: Path) -> None:
    record = {
        "instruction": "q",
        "output": "a",
        "prompt": "q",
        "completion": "a",
        "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
        "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}],
    }
    rows = open_rows([str(put(tmp_path / "in.json", [record]))], format=word)
    assert rows.files[0].layout.format == format
    assert [row.messages for row in rows] == [QA]


def test_a_format_overrules_what_the_content_says(tmp_path: Path) -> None:
    path = put(tmp_path / "in.json", [{"prompt": "q", "completion": "a", "input": "i"}])
    assert read(path)[0].messages == QA
    assert read(path, format="alpaca")[0].instruction == "q\n\ni"


def test_an_unknown_format(tmp_path: Path) -> None:
    path = put(tmp_path / "in.json", [{"instruction": "q", "output": "a"}])
    with pytest.raises(SettingsError) as caught:
        open_rows([str(path)], format="vicuna")
    assert (
        str(caught.value)
        == "--format 'vicuna': expected one of preference, sharegpt, messages, prompt_completion, alpaca"
    )


@pytest.mark.parametrize("entry", ["", "instruction", "instruction=", "question=q", "=q", "instruction=q,"])
def test_a_column_word_that_says_nothing(entry: str, tmp_path: Path) -> None:
    path = put(tmp_path / "in.json", [{"instruction": "q", "output": "a"}])
    with pytest.raises(SettingsError, match=r"^--columns '.*': expected WORD=COLUMN with WORD one of assistant_tag, "):
        open_rows([str(path)], columns=(entry,))


@pytest.mark.parametrize("entry", ["q=instruction", " q = instruction", "a=response,q=instruction"])
def test_a_column_named_the_wrong_way_round(entry: str, tmp_path: Path) -> None:
    path = put(tmp_path / "in.json", [{"q": "1 + 1?", "a": "2"}])
    swapped = "response=a" if entry.startswith("a") else "instruction=q"
    with pytest.raises(SettingsError, match=rf"with your column's name second; type --columns '{swapped}'$"):
        open_rows([str(path)], columns=(entry,))


def test_a_named_column_that_no_row_has(tmp_path: Path) -> None:
    path = put(tmp_path / "in.json", [{"instruction": "q", "output": "a", "context": "c"}])
    report = problems(path, columns=("input=contxt",))
    assert report[0] == (
        "in.json:1, record 1: found no column 'contxt' (columns: instruction, output, context); "
        "expected the input in it, as --columns says"
    )
    assert problems(path, columns=("output=reply",))[0].startswith(
        "in.json:1, record 1: found the columns instruction, output, context;"
    )


def test_a_named_column_that_only_later_rows_have(tmp_path: Path) -> None:
    path = put(
        tmp_path / "in.jsonl", [{"instruction": "q", "output": "a"}, {"instruction": "q", "output": "a", "x": "i"}]
    )
    assert [row.instruction for row in read(path, columns=("input=x",))] == ["q", "q\n\ni"]
