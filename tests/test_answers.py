"""Answers: written and read back, in our form and AlpacaEval's, and kept through kills."""

import json

import pytest

from tests.tools import real, write_rows
from tunescope.answers import Answer, Prompt, RecordLog, holds_answers, model_outputs, read_answers
from tunescope.errors import InputError
from tunescope.prompts import read_prompts
from tunescope.rows import Message


def test_round_trip(tmp_path):
    known = {"token_ids": (3, 4), "decoding": {"method": "greedy"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    plain = Answer.to(Prompt("p1", "Hi\u2028", meta={"category": "x"}), "Yes — é", "m", **known, usage=usage)
    given = (
        Message("user", "Hi"),
        Message("assistant", None, tool_calls=({"type": "function", "function": {"name": "f"}},)),
        Message("tool", "3", tool_call_id="1"),
    )
    tools = Answer.to(Prompt("p2", "Hi", given=given), "Three.", "m", sample=2)
    later = Answer.to(Prompt("p3", "One?", ("Two?",)), "2", "m", before=["1"])
    path = write_rows(tmp_path / "a.jsonl", [answer.as_json() for answer in (plain, tools, later)])
    assert list(read_answers(path)) == [plain, tools, later]
    assert (later.turn, later.prompt, [m.content for m in later.messages]) == (1, "Two?", ["One?", "1", "Two?"])
    assert tools.place == ("p2", 0, 2)


def test_an_id_is_the_content():
    answer = Answer.to(Prompt("p1", "Hi"), "Yes", "m")
    assert answer.answer_id == Answer.to(Prompt("p1", "Hi", meta={"a": 1}), "Yes", "m", finish_reason="stop").answer_id
    others = [
        Answer.to(Prompt("p2", "Hi"), "Yes", "m"),
        Answer.to(Prompt("p1", "Hi"), "No", "m"),
        Answer.to(Prompt("p1", "Hi"), "Yes", "m", sample=1),
        Answer.to(Prompt("p1", "Hi", given=(Message("system", "Be."), Message("user", "Hi"))), "Yes", "m"),
    ]
    assert len({answer.answer_id, *(other.answer_id for other in others)}) == 5


def test_answers_made_elsewhere(tmp_path):
    path = write_rows(tmp_path / "a.jsonl", [{"prompt_id": "p1", "prompt": "Hi", "text": "Yes"}])
    (answer,) = read_answers(path)
    assert answer == Answer.to(Prompt("p1", "Hi"), "Yes", "")
    assert (answer.token_ids, answer.finish_reason, answer.usage) == (None, None, None)


def test_model_outputs_come_back(tmp_path):
    prompts = [Prompt("a", "Why?", ("And?",), meta={"dataset": "koala"}), Prompt("b", "Who?")]
    answers = [Answer.to(prompt, f"{prompt.prompt_id}.", "m") for prompt in prompts]
    more = [Answer.to(prompts[0], "x", "m", before=["a."]), Answer.to(prompts[1], "y", "m", sample=1)]
    outputs = model_outputs([*answers, *more])
    assert outputs == [
        {"dataset": "koala", "instruction": "Why?", "output": "a.", "generator": "m"},
        {"instruction": "Who?", "output": "b.", "generator": "m"},
    ]
    path = tmp_path / "model_outputs.json"
    path.write_text(json.dumps(outputs))
    found = list(read_answers(path))
    assert [(a.prompt, a.text, a.model) for a in found] == [("Why?", "a.", "m"), ("Who?", "b.", "m")]
    assert found[0].meta == {"dataset": "koala"}
    assert [a.prompt_id for a in found] == [p.prompt_id for p in read_prompts(path)]


@pytest.mark.parametrize(
    ("parts", "n"),
    [
        (("alpaca_eval", "outputs", "recycled-wizardlm-7b-v1.0.json"), 805),
        (("just_eval", "Llama-2-7b-chat-hf.to_eval.json"), 1000),
    ],
)
def test_real_outputs(parts, n):
    path = real(*parts)
    answers = list(read_answers(path))
    assert holds_answers(path)
    assert len({answer.prompt_id for answer in answers}) == n
    assert [answer.prompt_id for answer in answers] == [prompt.prompt_id for prompt in read_prompts(path)]
    records = json.loads(path.read_text("utf-8"))
    assert [answer.text for answer in answers] == [record["output"] for record in records]
    written = model_outputs(answers)
    assert all(record.items() >= one.items() for record, one in zip(records, written, strict=True))


def test_what_holds_answers(tmp_path):
    rows = write_rows(tmp_path / "r.jsonl", [{"instruction": "Hi?", "input": "", "output": "Yes."}])
    bad = tmp_path / "bad"
    bad.write_text("x")
    answers = write_rows(tmp_path / "a.jsonl", [Answer.to(Prompt("p1", "Hi"), "Yes", "m").as_json()])
    found = [holds_answers(path) for path in (rows, bad, tmp_path, tmp_path / "none", answers)]
    assert found == [False, False, False, False, True]


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        ({"prompt_id": "p2"}, "the columns prompt_id; expected an answer"),
        ({"prompt_id": "p2", "prompt": "Hi", "text": None}, r"no answer \(text isn't text\)"),
        ({"prompt_id": "p2", "prompt": "Hi", "text": "Yes", "messages": [1]}, "no answer"),
        ({"input": "Hi", "output": "Yes"}, r"no question \(columns: input, output\)"),
        ({"instruction": " ", "output": "Yes", "generator": "m"}, "a blank text in column 'instruction'"),
        (
            {"instruction": "Hi", "output": None, "generator": "m"},
            "null in column 'output'; expected the answer's text",
        ),
        ({"question_id": 1, "choices": []}, "answers without their questions; expected the questions in "),
        ({"doc_id": 1, "arguments": [["a", "b"], ["a", "c"]], "resps": [["-1", "True"]]}, "log-likelihoods"),
        ([], "a list"),
    ],
)
def test_a_line_without_an_answer(tmp_path, bad, found):
    path = write_rows(tmp_path / "a.jsonl", [{"prompt_id": "p1", "prompt": "Hi", "text": "Yes"}, bad])
    with pytest.raises(InputError, match=rf"a\.jsonl:2: found {found}"):
        list(read_answers(path))


def test_answers_that_other_programs_wrote(tmp_path):
    """Without a generator the file names the model; FastChat's questions are one folder up."""

    def answers(name, text):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        return [(a.prompt, a.turn, a.sample, a.text, a.model) for a in read_answers(tmp_path / name)]

    assert answers("mine.json", json.dumps([{"instruction": "Why?", "output": "So."}])) == [
        ("Why?", 0, 0, "So.", "mine")
    ]
    assert answers("c.csv", "question;answer;model\nWhy?;So.;m\n") == [("Why?", 0, 0, "So.", "m")]
    (tmp_path / "question.jsonl").write_text('{"question_id": 1, "category": "x", "turns": ["One?", "Two?"]}\n')
    fastchat = {"question_id": 1, "model_id": "m", "choices": [{"index": 0, "turns": ["1.", "2."]}]}
    assert answers("model_answer/m.jsonl", json.dumps(fastchat) + "\n") == [
        ("One?", 0, 0, "1.", "m"),
        ("Two?", 1, 0, "2.", "m"),
    ]
    sample = {"doc_id": 7, "doc": {}, "arguments": {"gen_args_0": {"arg_0": "Add.", "arg_1": {}}}, "resps": [["5"]]}
    assert answers("samples_x.jsonl", json.dumps(sample) + "\n") == [("Add.", 0, 0, "5", "samples_x")]
    sample["arguments"] = [["Add.", {"until": []}]]
    assert answers("samples_x.jsonl", json.dumps(sample) + "\n") == [("Add.", 0, 0, "5", "samples_x")]


def test_kept_records_survive_a_cut(tmp_path):
    kept = RecordLog(tmp_path / "k.jsonl")
    for number in range(3):
        kept.add({"n": number, "text": "a\nb\u2028\r"})
    kept.close()
    whole = (tmp_path / "k.jsonl").read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, 2 * first + 1):
        (tmp_path / "k.jsonl").write_bytes(whole[:cut])
        again = RecordLog(tmp_path / "k.jsonl")
        found = [record["n"] for record in again]
        assert found == ([0] if cut < 2 * first else [0, 1])
        again.add({"n": 9})
        again.close()
        assert [record["n"] for record in RecordLog(tmp_path / "k.jsonl")] == [*found, 9]
