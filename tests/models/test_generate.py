"""Greedy generation: a batch answers like each prompt alone."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tunescope.errors import SettingsError  # noqa: E402
from tunescope.microworld.model import save_random_model  # noqa: E402
from tunescope.models import generate, load, stop_ids  # noqa: E402


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def loaded(tmp_path_factory, request):
    torch.set_num_threads(1)
    found = load(str(save_random_model(tmp_path_factory.mktemp("models") / "tiny", 1, request.param)))
    for parameter in found.model.parameters():  # spread the logits, so that no two tokens are nearly equal
        parameter.data.mul_(8)
    return found


@pytest.fixture(scope="module")
def prompts():
    drawn = torch.Generator().manual_seed(0)
    return [torch.randint(8, 100, (n,), generator=drawn).tolist() for n in (3, 17, 5, 5, 9, 30, 1, 2)]


def test_a_batch_is_like_one_at_a_time(loaded, prompts):
    together = generate(loaded.model, loaded.tokenizer, prompts, 12, batch_size=8)
    in_threes = generate(loaded.model, loaded.tokenizer, prompts, 12, batch_size=3)
    alone = [generate(loaded.model, loaded.tokenizer, [prompt], 12)[0] for prompt in prompts]
    assert together == in_threes == alone
    assert len({answer.token_ids for answer in alone}) > 1


def test_it_is_greedy(loaded, prompts):
    ids = list(prompts[0])
    (answer,) = generate(loaded.model, loaded.tokenizer, [ids], 6)
    with torch.inference_mode():
        for token in answer.token_ids:
            assert token == int(loaded.model(torch.tensor([ids])).logits[0, -1].argmax())
            ids.append(token)


def test_penalties_of_the_model_dont_count(loaded, prompts):
    plain = generate(loaded.model, loaded.tokenizer, prompts[:3], 12)
    own = loaded.model.generation_config
    own.repetition_penalty, own.do_sample, own.temperature = 5.0, True, 9.0
    assert generate(loaded.model, loaded.tokenizer, prompts[:3], 12) == plain
    assert loaded.model.generation_config is own
    own.repetition_penalty, own.do_sample, own.temperature = 1.0, False, 1.0


def test_it_stops_at_the_end_of_the_turn(loaded, prompts):
    (long,) = generate(loaded.model, loaded.tokenizer, prompts[:1], 12)
    assert (long.finish_reason, len(long.token_ids)) == ("length", 12)
    before = loaded.model.generation_config.eos_token_id
    loaded.model.generation_config.eos_token_id = [long.token_ids[4], 1]
    (short,) = generate(loaded.model, loaded.tokenizer, prompts[:1], 12)
    loaded.model.generation_config.eos_token_id = before
    assert short.finish_reason == "stop"
    assert short.token_ids == long.token_ids[: long.token_ids.index(long.token_ids[4])]


def test_stop_ids(loaded):
    assert stop_ids(loaded.model, loaded.tokenizer) == {loaded.tokenizer.eos_token_id}


def test_progress_and_refusals(loaded, prompts):
    seen = []
    generate(loaded.model, loaded.tokenizer, prompts, 2, batch_size=3, update=seen.append)
    assert seen == [3, 6, 8]
    assert generate(loaded.model, loaded.tokenizer, [], 2) == []
    with pytest.raises(SettingsError):
        generate(loaded.model, loaded.tokenizer, [[]], 2)
    with pytest.raises(SettingsError):
        generate(loaded.model, loaded.tokenizer, prompts, 0)
