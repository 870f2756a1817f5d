"""Question files: every form's own records, what is kept of them, and what is said of bad ones."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tools import alpaca, real, write_rows
from tunescope.errors import InputError, SettingsError
from tunescope.prompts import FORMATS, Prompt, read_prompts
from tunescope.rows import Message, open_rows

RECORDS = {
    "prompts": ({"prompt_id": "p1", "prompt": "Hi?", "topic": "x"}, Prompt("p1", "Hi?", meta={"topic": "x"})),
    "mt_bench": (
        {"question_id": 81, "category": "writing", "turns": ["One?", "Two?"], "reference": ["1", "2"]},
        Prompt("81", "One?", ("Two?",), meta={"category": "writing"}),
    ),
    "wizardlm": (
        {"idx": 1, "Skill": "Math", "Difficulty": 3, "Instruction": "Add."},
        Prompt("1", "Add.", meta={"Skill": "Math", "Difficulty": 3}),
    ),
    "just_eval": (
        {"id": 0, "instruction": "Who?", "source_id": "a-0", "dataset": "d", "category": "regular", "output": "x"},
        Prompt("0", "Who?", meta={"dataset": "d", "category": "regular", "source_id": "a-0"}),
    ),
    "medinstruct": (
        {"id": 0, "instruction": "Ill?", "difficulty": "3", "claude-2": "No."},
        Prompt("0", "Ill?", meta={"difficulty": "3"}),
    ),
    "alpaca_eval": (
        {"dataset": "koala", "instruction": "Why?", "output": "So.", "generator": "m"},
        Prompt("c0eaa8f6c43fdfb8", "Why?", meta={"dataset": "koala"}),
    ),
    "arena_hard": (
        {"uid": "ab", "category": "hard_prompt", "subcategory": "coding", "prompt": "Sort."},
        Prompt("ab", "Sort.", meta={"category": "hard_prompt", "subcategory": "coding"}),
    ),
    "ifeval": (
        {"key": 1000, "prompt": "Be brief.", "instruction_id_list": ["length"], "kwargs": [{}]},
        Prompt("1000", "Be brief.", meta={"instruction_id_list": ["length"], "kwargs": [{}]}),
    ),
    "claims": ({"claim_id": "c", "prompt": "Where?", "phrases": ["there"], "kind": "x"}, Prompt("c", "Where?")),
    "questions": ({"prompt": "Why?", "kind": "x"}, Prompt("c0eaa8f6c43fdfb8", "Why?", meta={"kind": "x"})),
}


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@pytest.mark.parametrize("array", [True, False])
def test_each_form_is_recognised(tmp_path, form, array):
    record, prompt = RECORDS[form.name]
    path = tmp_path / "questions"
    path.write_text(json.dumps([record]) if array else json.dumps(record) + "\n")
    assert read_prompts(path) == read_prompts(path, form.name) == [prompt]


def test_vicuna_text_and_just_eval_tags(tmp_path):
    path = write_rows(tmp_path / "v.jsonl", [{"question_id": 3, "text": "Hi?", "category": "generic"}])
    assert read_prompts(path) == [Prompt("3", "Hi?", meta={"category": "generic"})]
    path = write_rows(tmp_path / "t.jsonl", [{"id": 1, "instruction": "Hi?", "info-seek": True, "math": False}])
    assert read_prompts(path) == [Prompt("1", "Hi?", meta={"tags": ["info-seek"]})]


def test_plain_text_and_turns_with_content(tmp_path):
    (tmp_path / "p.txt").write_bytes(b"\xef\xbb\xbfWhy?\r\n\n Who? \nWhy?\n")
    first, second, again = read_prompts(tmp_path / "p.txt")
    assert [first.prompt, second.prompt, again.prompt] == ["Why?", "Who?", "Why?"]
    assert (first.prompt_id, again.prompt_id) == ("c0eaa8f6c43fdfb8", "c0eaa8f6c43fdfb8.2")
    (tmp_path / "q.csv").write_text("question,kind\nWhy?,x\n")
    assert read_prompts(tmp_path / "q.csv") == [Prompt("c0eaa8f6c43fdfb8", "Why?", meta={"kind": "x"})]
    arena = {"question_id": "ab", "category": "arena-hard-v0.1", "cluster": "c", "turns": [{"content": "Sort."}]}
    path = write_rows(tmp_path / "a.jsonl", [arena])
    assert read_prompts(path) == [Prompt("ab", "Sort.", meta={"category": "arena-hard-v0.1"})]


def test_format_overrules(tmp_path):
    path = write_rows(tmp_path / "p.jsonl", [{"question_id": 1, "prompt_id": "p", "prompt": "A?", "turns": ["B?"]}])
    assert read_prompts(path)[0].prompt == "A?"
    assert read_prompts(path, "mt_bench")[0].prompt == "B?"
    with pytest.raises(SettingsError, match=r"--format 'mtbench': expected one of prompts, mt_bench, .*messages, "):
        read_prompts(path, "mtbench")


def test_repeats_without_ids_are_numbered(tmp_path):
    path = write_rows(tmp_path / "a.jsonl", [{"instruction": "Why?", "dataset": "d"}] * 3)
    ident = RECORDS["alpaca_eval"][1].prompt_id
    assert [prompt.prompt_id for prompt in read_prompts(path)] == [ident, f"{ident}.2", f"{ident}.3"]


def test_rows_are_asked_for_their_last_answer(tmp_path):
    said = [("system", "Be brief."), ("user", "One?"), ("assistant", "1"), ("user", "Two?"), ("assistant", "2")]
    messages = [{"role": role, "content": text} for role, text in said]
    path = write_rows(tmp_path / "m.jsonl", [{"messages": messages, "tag": "x"}])
    (prompt,) = read_prompts(path)
    (row,) = open_rows([str(path)])
    assert (prompt.prompt_id, prompt.prompt, prompt.turns) == (row.id, "Two?", 1)
    assert prompt.messages == tuple(Message(role, text) for role, text in said[:-1])
    path = write_rows(tmp_path / "a.jsonl", [alpaca("Add.", "3") | {"input": "1 2"}])
    (prompt,) = read_prompts(path)
    assert prompt.messages == (Message("user", "Add.\n\n1 2"),)
    assert prompt.fields["input"] == "1 2"


def test_what_is_asked_turn_by_turn():
    prompt = Prompt("p", "One?", ("Two?", "Three?"))
    assert prompt.turns == 3
    assert [m.content for m in prompt.conversation_after([])] == ["One?"]
    assert [m.content for m in prompt.conversation_after(["1", "2"])] == ["One?", "1", "Two?", "2", "Three?"]
    assert [m.role for m in prompt.conversation_after(["1"])] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("parts", "form", "n", "turns"),
    [
        (("questions", "vicuna_bench_question.jsonl"), "mt_bench", 80, 80),
        (("questions", "mt_bench_question.jsonl"), "mt_bench", 80, 160),
        (("questions", "WizardLM_testset.jsonl"), "wizardlm", 218, 218),
        (("questions", "MedInstruct-test.jsonl"), "medinstruct", 216, 216),
        (("alpaca_eval", "outputs", "alpaca-7b.json"), "alpaca_eval", 805, 805),
        (("just_eval", "gpt-4-0314.to_eval.json"), "just_eval", 1000, 1000),
        (("just_eval", "tags.json"), "just_eval", 800, 800),
        (("instructions", "rasbt_1100.json"), "alpaca", 1100, 1100),
    ],
)
def test_real_files(parts, form, n, turns):
    path = real(*parts)
    prompts = read_prompts(path)
    assert (len(prompts), sum(prompt.turns for prompt in prompts)) == (n, turns)
    assert len({prompt.prompt_id for prompt in prompts}) == n
    assert read_prompts(path, form) == prompts


def test_bad_records_make_one_report(tmp_path):
    lines = ['{"prompt_id": "a", "prompt": "Hi"}', '{"id": "b", "prompt": "Hi"}', '{"prompt_id": "c", "prompt": " "}']
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join([*lines, lines[0], "x", '{"prompt_id": "d"}', '{"prompt_id": "e", "prompt": [1]}']))
    with pytest.raises(InputError) as caught:
        read_prompts(path)
    assert [(problem.line, problem.found) for problem in caught.value.problems] == [
        (2, "no id in column 'prompt_id' (columns: id, prompt)"),
        (3, "a blank text in column 'prompt'"),
        (4, f"prompt_id a again (first {path}:1)"),
        (5, "text that isn't JSON (Expecting value at column 1)"),
        (6, "columns prompt_id"),
        (7, "a number in column 'prompt'"),
    ]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "no such file"),
        ("", "an empty file"),
        ("x", "isn't JSON"),
        ("[]", "no questions"),
        ('{"query": "Hi?"}', "columns query"),
        ('{"question_id": 1, "turns": []}', "a list in column 'turns'"),
        ('{"question_id": true, "turns": ["Hi?"]}', "no id in column 'question_id'"),
        ('{"messages": [{"role": "assistant", "content": "Hi."}]}', "an answer that comes before any question"),
    ],
)
def test_no_prompts(tmp_path, content, found):
    if content is not None:
        (tmp_path / "p.jsonl").write_text(content)
    with pytest.raises(InputError, match=found):
        read_prompts(tmp_path / "p.jsonl")
    with pytest.raises(InputError, match="a directory"):
        read_prompts(tmp_path)


COLUMNS = sorted({name for record, _ in RECORDS.values() for name in record} | {"messages", "text", "input"})
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", " ", "Hi?", "\u2028", "assistant"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content"]), inner, max_size=2)
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(COLUMNS), VALUES, max_size=6), max_size=4), st.booleans())
def test_any_records_are_read_or_refused(tmp_path_factory, records, array):
    path = tmp_path_factory.getbasetemp() / "fuzz.json"
    path.write_text(json.dumps(records) if array else "\n".join(map(json.dumps, records)))
    for format in (None, *(form.name for form in FORMATS)):
        try:
            prompts = read_prompts(path, format)
        except InputError:
            continue
        else:
            assert len({prompt.prompt_id for prompt in prompts}) == len(prompts) > 0
            assert all(prompt.messages for prompt in prompts)


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzz.bin"
    path.write_bytes(content)
    with pytest.raises(InputError):
        read_prompts(path)
