"""Answers and prompts: written and read back, and what is said of bad lines."""

import json

import pytest

from tunescope.answers import Answer, Prompt, read_answers, read_prompts
from tunescope.errors import InputError


def test_round_trip(tmp_path):
    known = {"token_ids": (3, 4), "decoding": {"method": "greedy"}, "finish_reason": "stop"}
    answer = Answer.to(Prompt("p1", "Hi\u2028"), "Yes — é", "m", **known)
    (tmp_path / "a.jsonl").write_text(json.dumps(answer.as_json()) + "\n")
    assert list(read_answers(tmp_path / "a.jsonl")) == [answer]


def test_an_id_is_the_content():
    answer = Answer.to(Prompt("p1", "Hi"), "Yes", "m")
    assert answer.answer_id == Answer.to(Prompt("p1", "Hi"), "Yes", "m", finish_reason="stop").answer_id
    others = [Answer.to(Prompt("p2", "Hi"), "Yes", "m"), Answer.to(Prompt("p1", "Hi"), "No", "m")]
    assert answer.answer_id not in {other.answer_id for other in others}


def test_answers_made_elsewhere(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"prompt_id": "p1", "prompt": "Hi", "text": "Yes"}\n')
    (answer,) = read_answers(tmp_path / "a.jsonl")
    assert answer == Answer.to(Prompt("p1", "Hi"), "Yes", "")
    assert (answer.token_ids, answer.finish_reason) == (None, None)


def test_a_line_without_an_answer(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"prompt_id": "p1", "prompt": "Hi", "text": "Yes"}\n{"prompt_id": "p2"}\n')
    with pytest.raises(InputError, match=r"a\.jsonl:2: found no answer \('prompt'\)"):
        list(read_answers(tmp_path / "a.jsonl"))


def test_prompts(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"prompt_id": "b", "prompt": "Hi"}\n\n{"prompt_id": "a", "prompt": "Ho"}\n')
    assert read_prompts(tmp_path / "p.jsonl") == [Prompt("b", "Hi"), Prompt("a", "Ho")]


def test_bad_prompts_make_one_report(tmp_path):
    lines = ['{"prompt_id": "a", "prompt": "Hi"}', '{"id": "b", "prompt": "Hi"}', '{"prompt_id": "c", "prompt": " "}']
    (tmp_path / "p.jsonl").write_text("\n".join([*lines, lines[0]]))
    with pytest.raises(InputError) as caught:
        read_prompts(tmp_path / "p.jsonl")
    found = [(problem.line, problem.found) for problem in caught.value.problems]
    assert found == [
        (2, "columns id, prompt"),
        (3, "columns prompt_id, prompt"),
        (4, "prompt_id a again (first in line 1)"),
    ]


@pytest.mark.parametrize(("content", "found"), [(None, "no such file"), ("", "an empty file"), ("x", "isn't JSON")])
def test_no_prompts(tmp_path, content, found):
    if content is not None:
        (tmp_path / "p.jsonl").write_text(content)
    with pytest.raises(InputError, match=found):
        read_prompts(tmp_path / "p.jsonl")
