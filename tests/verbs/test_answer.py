"""`answer`: every question gets its answers, once, whatever else is answered with it."""

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.tools import write_rows  # noqa: E402

from tunescope.answers import read_answers  # noqa: E402
from tunescope.chat import Chat  # noqa: E402
from tunescope.errors import SettingsError  # noqa: E402
from tunescope.microworld.model import save_random_model  # noqa: E402
from tunescope.models import generate, load  # noqa: E402
from tunescope.rows import Message  # noqa: E402
from tunescope.verbs.answer import AnswerSettings, answer  # noqa: E402
from tunescope.verbs.compare import CompareSettings, compare  # noqa: E402


def asking(text):
    return (Message("user", text),)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.set_num_threads(1)
    return str(save_random_model(tmp_path_factory.mktemp("models") / "tiny", seed=0))


@pytest.fixture
def prompts(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNESCOPE_RUNS", str(tmp_path / "runs"))
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps({"prompt_id": f"p{i}", "prompt": "Hi " * i}) + "\n" for i in range(1, 21)))
    return str(path)


def test_each_prompt_is_answered_in_order(prompts, model):
    run = answer(AnswerSettings(prompts=prompts, model=model, max_new_tokens=5))
    answers = list(read_answers(run.path / "answers.jsonl"))
    assert [a.prompt_id for a in answers] == [f"p{i}" for i in range(1, 21)]
    loaded = load(model)
    chat = Chat(loaded.tokenizer)
    (alone,) = generate(loaded.model, loaded.tokenizer, [chat.prompt(asking("Hi " * 7))], 5)
    assert (answers[6].text, answers[6].token_ids, answers[6].finish_reason) == alone
    assert answers[6].decoding == {"method": "greedy", "max_new_tokens": 5}
    asked = len(chat.prompt(asking("Hi " * 7)))
    assert answers[6].usage == {"prompt_tokens": asked, "completion_tokens": len(alone.token_ids)}
    result = run.result
    assert (result["n"], result["n_missing"], result["words"]["n"]) == (20, 0, 20)
    assert sum(result["finish_reasons"].values()) == 20
    assert [text.title for text in run.view.texts] == ["p1: Hi", "p2: Hi Hi", "p3: Hi Hi Hi"]
    assert [text.text for text in run.view.texts] == [
        a.text if a.text.strip() else "(an empty answer)" for a in answers[:3]
    ]


def test_batch_size_and_limit(prompts, model, tmp_path):
    whole = answer(AnswerSettings(prompts=prompts, model=model, max_new_tokens=5))
    out = str(tmp_path / "b")
    other = answer(AnswerSettings(prompts=prompts, model=model, max_new_tokens=5, batch_size=3, out=out))
    few = answer(AnswerSettings(prompts=prompts, model=model, max_new_tokens=5, limit=2))
    assert whole.key == other.key != few.key
    assert list(whole.records("answers")) == list(other.records("answers"))
    assert list(whole.records("answers"))[:2] == list(few.records("answers"))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stopped_run_goes_on(prompts, model, tmp_path, workers):
    """What was answered before a stop isn't answered again: the marked answers are still there."""
    settings = AnswerSettings(prompts=prompts, model=model, max_new_tokens=3)
    whole = list(answer(settings).records("answers"))
    stopped = AnswerSettings(
        prompts=prompts, model=model, max_new_tokens=3, out=str(tmp_path / "stopped"), workers=workers
    )
    scratch = tmp_path / "stopped" / f".work-{answer(settings).key}"
    scratch.mkdir(parents=True)
    marked = [{**record, "meta": {"marked": True}} for record in whole[5:12]]
    (scratch / "answers.jsonl").write_text("".join(json.dumps(r) + "\n" for r in marked) + '{"cut": ')
    found = list(answer(stopped).records("answers"))
    assert found == [*whole[:5], *marked, *whole[12:]]
    assert not scratch.exists()


def test_prompts_that_cant_be_rendered_are_missing(tmp_path, prompts, model):
    lines = [{"prompt_id": "a", "prompt": "Hi"}, {"prompt_id": "b", "prompt": "say <|end|>"}]
    path = tmp_path / "two.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    run = answer(AnswerSettings(prompts=str(path), model=model, max_new_tokens=3))
    assert (run.result["n"], run.result["n_missing"]) == (1, 1)
    assert run.view.tables[1].rows == (("b", "the model's own special token <|end|> as text in message 0"),)


def test_questions_are_asked_turn_by_turn(tmp_path, prompts, model):
    questions = [
        {"question_id": 1, "category": "x", "turns": ["Hi there", "And you"]},
        {"question_id": 2, "category": "y", "turns": ["Hello"]},
        {"question_id": 3, "category": "x", "turns": ["say <|end|>", "More"]},
        {"question_id": 4, "category": "x", "turns": ["More", "say <|end|>"]},
    ]
    path = write_rows(tmp_path / "q.jsonl", questions)
    run = answer(AnswerSettings(prompts=str(path), model=model, max_new_tokens=5))
    answers = list(read_answers(run.path / "answers.jsonl"))
    assert [(a.prompt_id, a.turn, a.meta["category"]) for a in answers] == [
        ("1", 0, "x"),
        ("1", 1, "x"),
        ("2", 0, "y"),
        ("4", 0, "x"),
    ]
    assert [m.content for m in answers[1].messages] == ["Hi there", answers[0].text, "And you"]
    loaded = load(model)
    ids = Chat(loaded.tokenizer).prompt(answers[1].messages)
    (alone,) = generate(loaded.model, loaded.tokenizer, [ids], 5)
    assert answers[1].token_ids == alone.token_ids
    refused = "the model's own special token <|end|> as text in message"
    assert list(run.records("missing")) == [
        {"prompt_id": "3", "turn": 0, "sample": 0, "reason": f"{refused} 0", "open": False},
        {"prompt_id": "3", "turn": 1, "sample": 0, "reason": "turn 0 before it has no answer", "open": False},
        {"prompt_id": "4", "turn": 1, "sample": 0, "reason": f"{refused} 2", "open": False},
    ]
    assert run.view.sentences[0].endswith("answered 4 of 7 questions and samples of 4 prompts, greedily.")
    outputs = json.loads((run.path / "model_outputs.json").read_text("utf-8"))
    assert [(o["instruction"], o["output"], o["generator"]) for o in outputs] == [
        (a.prompt, a.text, model) for a in answers if a.turn == 0
    ]


def test_samples_belong_to_their_prompt(tmp_path, prompts, model):
    sampled = {"model": model, "max_new_tokens": 6, "temperature": 1.5, "top_p": 0.95, "n": 3}
    whole = answer(AnswerSettings(prompts=prompts, **sampled))
    answers = list(read_answers(whole.path / "answers.jsonl"))
    assert [a.place for a in answers] == [(f"p{i}", 0, sample) for i in range(1, 21) for sample in range(3)]
    assert len({a.token_ids for a in answers if a.prompt_id == "p3"}) > 1
    assert answers[0].decoding == {
        "method": "sampled",
        "max_new_tokens": 6,
        "temperature": 1.5,
        "top_p": 0.95,
        "seed": 0,
    }
    lines = (tmp_path / "p.jsonl").read_text("utf-8").splitlines()
    (tmp_path / "few.jsonl").write_text("\n".join(lines[9:3:-1]))
    few = answer(AnswerSettings(prompts=str(tmp_path / "few.jsonl"), batch_size=2, **sampled))
    known = {a.answer_id: a for a in answers}
    assert [known[a.answer_id] for a in read_answers(few.path / "answers.jsonl")] == [
        a for i in range(9, 3, -1) for a in answers[3 * i : 3 * i + 3]
    ]
    other = answer(AnswerSettings(prompts=prompts, seed=1, **sampled))
    assert other.key != whole.key
    same = zip(answers, read_answers(other.path / "answers.jsonl"), strict=True)
    assert sum(a.token_ids == b.token_ids for a, b in same) < 20
    again = compare(CompareSettings(a=str(whole.path), b=str(few.path)))
    assert (again.result["same"], again.result["removed"]) == (18, 42)


def test_model_outputs_are_compared(tmp_path, prompts, model):
    run = answer(AnswerSettings(prompts=prompts, model=model, max_new_tokens=5))
    elsewhere = [{"instruction": "Hi", "output": "Yes.", "generator": "m"}]
    (tmp_path / "o.json").write_text(json.dumps(elsewhere))
    found = compare(CompareSettings(a=str(tmp_path / "o.json"), b=str(run.path / "model_outputs.json"))).result
    assert (found["kind"], found["a"], found["b"], found["removed"]) == ("answers", 1, 20, 1)
    (tmp_path / "o.json").write_text(json.dumps([{**elsewhere[0], "instruction": "Hi " * 3}]))
    found = compare(CompareSettings(a=str(tmp_path / "o.json"), b=str(run.path))).result
    assert found["paired_by"] == {"prompt_id": 0, "prompt": 1}


def test_a_template_and_a_context(tmp_path, prompts, model):
    plain = answer(AnswerSettings(prompts=prompts, model=model, max_new_tokens=5, limit=3))
    other = answer(AnswerSettings(prompts=prompts, model=model, max_new_tokens=5, limit=3, template="vicuna"))
    asked = [[a.usage["prompt_tokens"] for a in read_answers(run.path / "answers.jsonl")] for run in (plain, other)]
    assert asked[0] != asked[1]
    loaded = load(model)
    context = loaded.model.config.max_position_embeddings
    long = {"prompt_id": "long", "prompt": "Hi " * context}
    path = write_rows(tmp_path / "long.jsonl", [long, {"prompt_id": "short", "prompt": "Hi"}])
    run = answer(AnswerSettings(prompts=str(path), model=model, max_new_tokens=5))
    (missing,) = run.records("missing")
    assert missing["reason"].endswith(f" tokens; the model's context holds {context:,} with the answer")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"top_p": 0.5}, "--top-p without --temperature"),
        ({"n": 4}, "--n 4 without --temperature"),
        ({"served_model": "x"}, "--served-model x with --model .*: expected a server's URL"),
        ({"model": "http://localhost:1/v1", "load": "4bit"}, "--load with --model http://localhost:1/v1: the server"),
        ({"format": "csv"}, "--format 'csv': expected one of prompts, "),
    ],
)
def test_settings_that_cant_work(prompts, model, settings, said):
    with pytest.raises(SettingsError, match=said):
        answer(AnswerSettings(**{"prompts": prompts, "model": model, **settings}))
