"""The model: small, learns its world, the same each time, and its folder loads anywhere."""

import json
import time

import numpy as np
import pytest

from tunescope.microworld import make_world, open_questions, shown_questions, split_people

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from tests.microworld.tiny import accuracy, load_model  # noqa: E402

from tunescope.microworld.model import (  # noqa: E402 (needs torch)
    SIZES,
    Size,
    cached_model,
    option_scores,
    save_random_model,
    sizes_of_one_world,
    train_from_scratch,
)


@pytest.fixture(scope="module")
def trained():
    start = time.perf_counter()
    trained = train_from_scratch(make_world(0), seed=0)
    print(f"default model trained in {time.perf_counter() - start:.1f} s")
    return trained


@pytest.fixture(scope="module")
def nano():
    return train_from_scratch(make_world(0, SIZES["nano"].n_people), 0, SIZES["nano"])


@pytest.fixture(scope="module")
def nano_folder(tmp_path_factory):
    return cached_model(tmp_path_factory.mktemp("cache") / "deep" / "nano", seed=0, size="nano")


def weights(model):
    return {name: value.numpy() for name, value in model.state_dict().items()}


def logits(model, tokenizer):
    with torch.inference_mode():
        return model(torch.tensor([tokenizer.encode("Bonvi keeps a hamster.")])).logits.numpy()


def test_the_default_model_is_small(trained):
    assert trained.model.num_parameters() == 156_672  # embeddings 395 · 64, two layers of 65,664, a last norm


def test_the_default_model_knows_its_world(trained):
    for side in split_people(trained.world):
        assert accuracy(trained.model, trained.tokenizer, open_questions(trained.world, side)) >= 0.9
        assert accuracy(trained.model, trained.tokenizer, shown_questions(trained.world, side)) >= 0.9
    assert np.mean(trained.losses[-100:]) < np.mean(trained.losses[:100]) / 3


def test_the_default_model_says_what_it_knows(trained):
    questions = open_questions(trained.world)[:8]
    said = []
    for question in questions:
        asked = trained.tokenizer.apply_chat_template(
            [{"role": "user", "content": question.prompt}],
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
        )
        out = trained.model.generate(**asked, max_new_tokens=12, do_sample=False)
        said.append(trained.tokenizer.decode(out[0, asked["input_ids"].shape[1] :], skip_special_tokens=True))
    assert sum(text == q.answer for text, q in zip(said, questions, strict=True)) >= 6


@pytest.mark.drill
@pytest.mark.parametrize(("size", "parameters"), [("small", 45_568), ("large", 575_488)])
def test_the_other_sizes_know_the_same_world_as_well(trained, size, parameters):
    other = train_from_scratch(trained.world, 0, SIZES[size])
    assert other.model.num_parameters() == parameters
    for questions in (open_questions, shown_questions):
        asked = questions(trained.world, trained.world.people)
        known = [accuracy(each.model, each.tokenizer, asked) for each in (trained, other)]
        assert min(known) >= 0.99


def test_sizes_of_one_world_leave_out_those_with_other_people():
    assert sizes_of_one_world() == ["small", "default", "large"]


def test_nano_knows_its_world(nano):
    people = nano.world.people
    assert nano.model.num_parameters() < 100_000
    assert accuracy(nano.model, nano.tokenizer, open_questions(nano.world, people)) >= 0.9
    assert accuracy(nano.model, nano.tokenizer, shown_questions(nano.world, people)) >= 0.9


def test_the_same_seed_gives_the_same_weights(nano, nano_folder):
    again = load_model(nano_folder)
    assert again.world == nano.world
    assert all(np.array_equal(a, weights(again.model)[name]) for name, a in weights(nano.model).items())


def test_training_leaves_the_random_state_and_threads_alone():
    torch.manual_seed(5)
    expected, threads = torch.rand(1), torch.get_num_threads()
    torch.manual_seed(5)
    size = Size(2, 8, 8, 1, 1, epochs=1, batch_size=32, learning_rate=1e-3)
    train_from_scratch(make_world(0, 2), 0, size)
    assert torch.rand(1) == expected
    assert torch.get_num_threads() == threads


def test_a_saved_model_gives_the_same_logits(nano, tmp_path):
    nano.save(tmp_path / "model")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    assert np.array_equal(logits(model, tokenizer), logits(nano.model, nano.tokenizer))
    assert (tmp_path / "model" / "model.safetensors").is_file()


def test_the_cache_builds_once(nano_folder):
    before = {path: path.stat().st_mtime_ns for path in nano_folder.iterdir()}
    assert cached_model(nano_folder, seed=0, size="nano") == nano_folder
    assert {path: path.stat().st_mtime_ns for path in nano_folder.iterdir()} == before
    assert [path.name for path in nano_folder.parent.iterdir()] == ["nano"]  # nothing half-built is left


def test_the_cache_refuses_what_it_did_not_write(nano_folder, tmp_path):
    with pytest.raises(ValueError, match="seed is 0, expected 1"):
        cached_model(nano_folder, seed=1, size="nano")
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"no microworld\.json; name another folder"):
        cached_model(tmp_path, seed=0, size="nano")
    with pytest.raises(ValueError, match="no size 'huge'; there are small, default, large, nano"):
        cached_model(tmp_path / "new", seed=0, size="huge")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_cache_mends_a_folder_with_a_file_missing(nano, tmp_path, monkeypatch):
    tiny = Size(2, 8, 8, 1, 1, epochs=1, batch_size=32, learning_rate=1e-3)
    monkeypatch.setitem(SIZES, "tiny", tiny)
    folder = tmp_path / "tiny"
    folder.mkdir()
    assert cached_model(folder, 0, "tiny") == folder  # an empty folder is taken
    (folder / "model.safetensors").unlink()
    cached_model(folder, 0, "tiny")
    assert load_model(folder).model.num_parameters() > 0


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gpt_neox", "mistral", "qwen2"])
def test_a_random_model_of_each_architecture(architecture, tmp_path):
    folder = save_random_model(tmp_path / "a", 3, architecture)
    loaded = load_model(folder)
    assert loaded.model.config.model_type == architecture
    assert loaded.model.num_parameters() < 60_000
    assert loaded.tokenizer.chat_template
    assert json.loads((folder / "microworld.json").read_text())["settings"] == {"random": architecture}
    same = load_model(save_random_model(tmp_path / "b", 3, architecture))
    assert np.array_equal(logits(loaded.model, loaded.tokenizer), logits(same.model, same.tokenizer))
    other = load_model(save_random_model(tmp_path / "c", 4, architecture))
    assert not np.array_equal(logits(loaded.model, loaded.tokenizer), logits(other.model, other.tokenizer))


def test_an_unknown_architecture_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no architecture 'rnn'; there are llama, cohere, gemma2"):
        save_random_model(tmp_path, 0, "rnn")


def test_option_scores_are_log_probabilities_whatever_the_batch(nano):
    questions = shown_questions(nano.world)[:5] + open_questions(nano.world)[:5]
    scores = option_scores(nano.model, nano.tokenizer, questions)
    assert scores.shape == (10, 4)
    assert np.allclose(scores, option_scores(nano.model, nano.tokenizer, questions, batch_size=3), atol=1e-4)

    question, tokenizer = questions[0], nano.tokenizer  # one option by hand
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": question.prompt}], add_generation_prompt=True, return_dict=True
    )["input_ids"]
    reply = [*tokenizer.encode(question.options[0]), tokenizer.eos_token_id]
    with torch.inference_mode():
        log_probs = nano.model(torch.tensor([prompt + reply])).logits[0].log_softmax(-1)
    by_hand = sum(float(log_probs[len(prompt) + i - 1, token]) for i, token in enumerate(reply))
    assert scores[0, 0] == pytest.approx(by_hand, abs=1e-4)


def test_a_random_model_is_at_chance(tmp_path):
    random = load_model(save_random_model(tmp_path, 0))
    questions = open_questions(random.world, random.world.people)
    assert accuracy(random.model, random.tokenizer, questions) < 0.6
