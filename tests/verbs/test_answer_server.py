"""`answer --model URL`: one kind of answer, what fails has its reason, and nothing is paid twice."""

import json
import re

import pytest

pytest.importorskip("openai")

from tests.oracle.server import Said, completion, echo, serving
from tests.tools import tunescope, write_rows

from tunescope.answers import read_answers
from tunescope.errors import RunError, SettingsError, TunescopeError, WorkError
from tunescope.oracle.halt import MAX_FAILURES
from tunescope.verbs.answer import AnswerSettings, answer

KEY = "sk-planted-0123456789"
QUESTIONS = [
    {"question_id": 1, "category": "x", "turns": ["One", "Two"]},
    {"question_id": 2, "category": "y", "turns": ["Three"]},
    {"question_id": 3, "category": "y", "turns": ["Four", "Five"]},
]


@pytest.fixture
def questions(workplace, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return str(write_rows(workplace / "q.jsonl", QUESTIONS))


def test_answers_of_a_server(questions):
    with serving() as server:
        run = answer(AnswerSettings(prompts=questions, model=server.url, max_new_tokens=9))
    answers = list(read_answers(run.path / "answers.jsonl"))
    assert [(a.prompt_id, a.turn, a.text) for a in answers] == [
        ("1", 0, "1: One"),
        ("1", 1, "3: Two"),
        ("2", 0, "1: Three"),
        ("3", 0, "1: Four"),
        ("3", 1, "3: Five"),
    ]
    assert [m.content for m in answers[1].messages] == ["One", "1: One", "Two"]
    one = answers[2]
    assert (one.model, one.token_ids, one.finish_reason, one.meta) == ("tiny", None, "stop", {"category": "y"})
    assert (one.usage, one.decoding) == (
        {"prompt_tokens": 5, "completion_tokens": 2},
        {"method": "greedy", "max_new_tokens": 9},
    )
    assert all(body["temperature"] == 0 and body["max_tokens"] == 9 and "seed" not in body for body in server.bodies)
    assert (run.result["n"], run.result["model"], run.info["device"]) == (5, "tiny", "server")


def test_samples_of_a_server(questions):
    sampled = {"temperature": 0.7, "top_p": 0.9, "n": 2}
    with serving() as server:
        answer(AnswerSettings(prompts=questions, model=server.url, **sampled))
        seeds = {body["seed"] for body in server.bodies}
        assert (len(server.bodies), len(seeds)) == (10, 10)
        assert {(body["temperature"], body["top_p"]) for body in server.bodies} == {(0.7, 0.9)}
        answer(AnswerSettings(prompts=questions, model=server.url, out="again", **sampled))
        assert {body["seed"] for body in server.bodies} == seeds


def test_the_key_of_a_run_is_url_and_name(questions):
    with serving(models=("a", "b")) as server:
        with pytest.raises(SettingsError, match=r"has 2 models \(a, b\); choose one with --served-model"):
            answer(AnswerSettings(prompts=questions, model=server.url))
        a, b = (answer(AnswerSettings(prompts=questions, model=server.url, served_model=name)) for name in "ab")
        again = answer(
            AnswerSettings(prompts=questions, model=server.url, served_model="a", concurrency=1, timeout=9.0)
        )
        assert a.key == again.key != b.key
        assert len(server.bodies) == 10


def test_what_a_server_refuses_is_missing_with_its_reason(questions):
    def behave(body, call):
        last = body["messages"][-1]["content"]
        if last == "One":
            return Said({"error": {"message": f"too long for {KEY}"}}, 400)
        return Said(completion(None, "content_filter")) if last == "Three" else echo(body, call)

    with serving(behave) as server:
        run = answer(AnswerSettings(prompts=questions, model=server.url))
    assert (run.result["n"], run.result["n_missing"]) == (2, 3)
    assert [(m["prompt_id"], m["turn"], m["reason"]) for m in run.records("missing")] == [
        ("1", 0, "400: too long for …"),
        ("1", 1, "turn 0 before it has no answer"),
        ("2", 0, "the server's content filter"),
    ]
    assert server.calls == {"One": 1, "Three": 1, "Four": 1, "Five": 1}
    assert not [p for p in run.path.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]


def test_a_run_goes_on_where_the_server_left_it(questions, workplace):
    """The server asks for more patience than we have after three answers; then only the rest is asked."""

    def full(body, call):
        return echo(body, call) if len(server.bodies) <= 3 else Said({}, 429, (("retry-after", "9999"),))

    settings = {"prompts": questions, "served_model": "tiny", "concurrency": 1}
    with serving(full) as server:
        with pytest.raises(WorkError, match="3 answers are kept and 2 are left; type the same command to go on"):
            answer(AnswerSettings(model=server.url, **settings))
        server.behave = echo
        run = answer(AnswerSettings(model=server.url, **settings))
        assert run.result["n"] == 5
        assert server.calls == {"One": 1, "Two": 1, "Three": 1, "Four": 2, "Five": 1}
    assert answer(AnswerSettings(model=server.url, **settings)).key == run.key  # finished: no server is needed


def test_a_refused_key_stops_at_once_and_is_nowhere(questions, workplace):
    with serving(lambda body, call: Said({"error": {"message": f"no {KEY}"}}, 401)) as server:
        arguments = ["answer", questions, "--model", server.url, "--served-model", "m", "--concurrency", "1"]
        done = tunescope(*arguments, folder=workplace)
        assert len(server.bodies) == 1
    assert (done.returncode, done.stdout) == (1, "")
    assert f"tunescope: {server.url}: the server refuses the key in OPENAI_API_KEY: 401: no …; set" in done.stderr
    assert KEY not in done.stdout + done.stderr
    assert not [p for p in workplace.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]


def test_a_hopeless_server_is_left_alone(workplace):
    """A name that it doesn't know at the first call, anything else that it says of each call at the twentieth."""
    path = write_rows(workplace / "p.jsonl", [{"prompt_id": str(i), "prompt": f"Q{i}"} for i in range(200)])
    settings = {"prompts": str(path), "served_model": "x", "concurrency": 1}
    with serving(lambda body, call: Said({"error": {"message": "no model x"}}, 404)) as server:
        with pytest.raises(
            WorkError,
            match=r"the server doesn't serve a model x: 404: no model x; name one with --served-model \(it has tiny\); "
            "0 answers are kept and 200 are left",
        ):
            answer(AnswerSettings(model=server.url, **settings))
        assert len(server.bodies) == 1
        server.behave = lambda body, call: Said({"error": {"message": "no"}}, 400)
        with pytest.raises(TunescopeError, match=f"the first {MAX_FAILURES} calls all fail for one reason: 400: no"):
            answer(AnswerSettings(model=server.url, **settings))
        assert len(server.bodies) == 1 + MAX_FAILURES


def test_the_rest_of_a_run_may_all_be_refused(workplace):
    """What was answered before the run was stopped counts: the server isn't hopeless."""
    path = write_rows(workplace / "p.jsonl", [{"prompt_id": str(i), "prompt": f"Q{i}"} for i in range(40)])

    def full(body, call):
        return echo(body, call) if len(server.bodies) <= 3 else Said({}, 429, (("retry-after", "9999"),))

    with serving(full) as server:
        settings = AnswerSettings(prompts=str(path), model=server.url, concurrency=1)
        with pytest.raises(WorkError):
            answer(settings)
        server.behave = lambda body, call: Said({"error": {"message": "too long"}}, 400)
        run = answer(settings)
    assert (run.result["n"], run.result["n_missing"]) == (3, 37)


def test_a_parameter_that_a_server_refuses_is_no_hint_at_an_option_of_others(questions):
    """`--seed -1` of the verbs with an oracle sends no seed; `answer` sends one whatever it is."""
    refused = Said({"error": {"message": "Unsupported parameter: 'seed'", "param": "seed"}}, 400)
    with serving(
        lambda body, call: refused if body["messages"][-1]["content"] == "One" else echo(body, call)
    ) as server:
        run = answer(AnswerSettings(prompts=questions, model=server.url, temperature=1.0, concurrency=1))
    assert next(run.records("missing"))["reason"] == "400: Unsupported parameter: 'seed'"
    assert run.result["n"] == 3


def test_nobody_there(questions):
    with serving() as server:
        pass
    with pytest.raises(TunescopeError, match=f"no server answers at {server.url}"):
        answer(AnswerSettings(prompts=questions, model=server.url))


def test_calls_run_side_by_side(workplace):
    path = write_rows(workplace / "p.jsonl", [{"prompt_id": str(i), "prompt": f"Q{i}"} for i in range(24)])
    with serving(lambda body, call: echo(body, call)._replace(after=0.05)) as server:
        run = answer(AnswerSettings(prompts=str(path), model=server.url, concurrency=6))
    assert server.most_at_work == 6
    assert [a["text"] for a in run.records("answers")] == [f"1: Q{i}" for i in range(24)]


def test_another_run_in_the_folder(questions):
    with serving() as server:
        answer(AnswerSettings(prompts=questions, model=server.url, out="here"))
        with pytest.raises(RunError, match="holds another run"):
            answer(AnswerSettings(prompts=questions, model=server.url, max_new_tokens=3, out="here"))


def test_tools_and_systems_of_rows_reach_the_server(workplace):
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Count."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "3", "tool_call_id": "1"},
        {"role": "assistant", "content": "Three."},
    ]
    path = workplace / "r.jsonl"
    path.write_text(json.dumps({"messages": messages, "tools": [tool]}))
    with serving() as server:
        run = answer(AnswerSettings(prompts=str(path), model=server.url))
    assert server.bodies[0]["messages"] == messages[:-1]
    assert server.bodies[0]["tools"] == [tool]
    (made,) = read_answers(run.path / "answers.jsonl")
    assert (made.text, made.prompt, len(made.messages)) == ("4: 3", "Count.", 4)


def ending(text, finish_reason, **message):
    """Return a server whose every reply says and ends so."""
    body = completion(text, finish_reason)
    body["choices"][0]["message"] |= message
    return lambda _, call: Said(body)


@pytest.mark.parametrize(
    ("text", "finish_reason", "reason"),
    [
        ("A piece", "MALFORMED_RESPONSE", "the reply was cut off (finish_reason MALFORMED_RESPONSE)"),
        ("<think>\nHm", "length", "the model only thought, and said nothing; give it more --max-new-tokens"),
        ("A piece", "content_filter", "the server's content filter"),
        ("A piece", "PROHIBITED_CONTENT", "the server's content filter (PROHIBITED_CONTENT)"),
        ("I can't.", "refusal", "the server says that the model declines"),
    ],
)
def test_a_reply_that_is_no_answer_is_missing(questions, text, finish_reason, reason):
    with serving(ending(text, finish_reason)) as server, pytest.raises(TunescopeError, match=re.escape(reason)):
        answer(AnswerSettings(prompts=questions, model=server.url, limit=1))


@pytest.mark.parametrize(
    ("finish_reason", "said"),
    [
        ("stop", []),
        ("eos_token", []),
        ("length", []),
        ("model_length", ["3 answers ended with a finish_reason that isn't a natural end."]),
        ("weird", ["3 answers ended with a finish_reason that isn't a natural end."]),
        (None, ["The server doesn't say how 3 answers ended: they may be cut off."]),
    ],
)
def test_an_answer_that_may_be_cut_is_kept_and_said(workplace, finish_reason, said):
    path = write_rows(workplace / "p.jsonl", [{"prompt_id": str(i), "prompt": f"Q{i}"} for i in range(3)])
    with serving(ending("A piece", finish_reason)) as server:
        run = answer(AnswerSettings(prompts=str(path), model=server.url))
    answers = list(read_answers(run.path / "answers.jsonl"))
    assert [(a.text, a.finish_reason) for a in answers] == [("A piece", finish_reason)] * 3
    assert list(run.view.sentences[1:]) == said
    assert run.result["finish_reasons"][finish_reason or "null"] == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [("<think>\nHm.\n</think>\n\nYes.", {}), ("Hm.\n</think>\n\nYes.", {}), ("Yes.", {"reasoning_content": "Hm."})],
)
def test_thoughts_are_beside_an_answer(questions, text, message):
    """Nor are they in the conversation that goes on."""
    with serving(ending(text, "stop", **message)) as server:
        run = answer(AnswerSettings(prompts=questions, model=server.url, limit=1))
        assert [m["content"] for m in server.bodies[1]["messages"]] == ["One", "Yes.", "Two"]
    answers = list(read_answers(run.path / "answers.jsonl"))
    assert [(a.text, a.thinking) for a in answers] == [("Yes.", "Hm.")] * 2
    assert [record["thinking"] for record in run.records("answers")] == ["Hm."] * 2


def test_an_answer_without_thoughts_is_as_before(questions):
    with serving() as server:
        run = answer(AnswerSettings(prompts=questions, model=server.url, limit=1))
    assert all("thinking" not in record for record in run.records("answers"))
