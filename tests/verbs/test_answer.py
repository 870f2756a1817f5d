"""`answer`: every prompt gets its greedy answer, once."""

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tunescope.answers import read_answers  # noqa: E402
from tunescope.chat import Chat, as_messages  # noqa: E402
from tunescope.errors import SettingsError  # noqa: E402
from tunescope.microworld.model import save_random_model  # noqa: E402
from tunescope.models import generate, load  # noqa: E402
from tunescope.verbs import answer as verb  # noqa: E402
from tunescope.verbs.answer import AnswerSettings, answer  # noqa: E402


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
    (alone,) = generate(loaded.model, loaded.tokenizer, [chat.prompt(as_messages("Hi " * 7))], 5)
    assert (answers[6].text, answers[6].token_ids, answers[6].finish_reason) == alone
    assert answers[6].decoding == {"method": "greedy", "max_new_tokens": 5}
    result = run.result
    assert (result["n"], result["n_missing"], result["words"]["n"]) == (20, 0, 20)
    assert sum(result["finish_reasons"].values()) == 20


def test_batch_size_and_limit(prompts, model, tmp_path):
    whole = answer(AnswerSettings(prompts=prompts, model=model, max_new_tokens=5))
    out = str(tmp_path / "b")
    other = answer(AnswerSettings(prompts=prompts, model=model, max_new_tokens=5, batch_size=3, out=out))
    few = answer(AnswerSettings(prompts=prompts, model=model, max_new_tokens=5, limit=2))
    assert whole.key == other.key != few.key
    assert list(whole.records("answers")) == list(other.records("answers"))
    assert list(whole.records("answers"))[:2] == list(few.records("answers"))


def test_a_stopped_run_goes_on(prompts, model, monkeypatch):
    settings = AnswerSettings(prompts=prompts, model=model, max_new_tokens=3)
    work, answered = verb._answer_shard, []

    def stops_at_the_second(settings, state, shard, folder):
        answered.append(len(shard))
        if answered == [16, 4]:
            raise KeyboardInterrupt
        work(settings, state, shard, folder)

    monkeypatch.setattr(verb, "_answer_shard", stops_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        answer(settings)
    assert answer(settings).result["n"] == 20
    assert answered == [16, 4, 4]


def test_prompts_that_cant_be_rendered_are_missing(tmp_path, prompts, model):
    lines = [{"prompt_id": "a", "prompt": "Hi"}, {"prompt_id": "b", "prompt": "say <|end|>"}]
    path = tmp_path / "two.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    run = answer(AnswerSettings(prompts=str(path), model=model, max_new_tokens=3))
    assert (run.result["n"], run.result["n_missing"]) == (1, 1)
    assert run.view.tables[1].rows == (("b", "the model's own special token <|end|> as text in message 0"),)


def test_settings_that_cant_work(prompts, model):
    with pytest.raises(SettingsError, match="--max-new-tokens 0"):
        answer(AnswerSettings(prompts=prompts, model=model, max_new_tokens=0))
