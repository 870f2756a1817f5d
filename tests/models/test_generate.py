"""Generation: greedy is transformers' own, one at a time; sampling is the softmax, whatever else is in the batch."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from scipy.stats import chisquare  # noqa: E402

from tunescope.errors import SettingsError  # noqa: E402
from tunescope.microworld.model import save_random_model  # noqa: E402
from tunescope.models import generate, load, stop_ids  # noqa: E402
from tunescope.models.generate import (  # noqa: E402
    Generated,
    Sampling,
    _choose_way,
    _groups,
    _most_shared,
    context_of,
    split_generated,
    stream,
)

SHAPE = {"vocab_size": 120, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
GROUPED = {**SHAPE, "intermediate_size": 48, "num_key_value_heads": 2}
ARCHITECTURES = {
    "llama": GROUPED,
    "gpt2": {"vocab_size": 120, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "gpt_neox": {**SHAPE, "intermediate_size": 48},
    "qwen2": GROUPED,
    "qwen3": {**GROUPED, "head_dim": 8},
    "mistral": {**GROUPED, "sliding_window": 8},
    "gemma2": {**GROUPED, "head_dim": 8, "sliding_window": 8},
}


class Letters:
    """As much of a tokenizer as generation needs."""

    eos_token_id = 7
    pad_token_id = 0

    def __init__(self, special=()):
        """Take the ids of special tokens; the token n is <n>."""
        self.added_tokens_decoder = {i: transformers.AddedToken(f"<{i}>", special=True) for i in special}

    def decode(self, ids, skip_special_tokens=False, **_):
        return " ".join(str(i) for i in ids if not (skip_special_tokens and i in self.added_tokens_decoder))


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request):
    """A random model whose logits are spread, so that no two tokens are nearly equal."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    special = {"bos_token_id": 1, "eos_token_id": 7, "pad_token_id": 0}
    config = transformers.AutoConfig.for_model(request.param, **ARCHITECTURES[request.param], **special)
    found = transformers.AutoModelForCausalLM.from_config(config).eval()
    for parameter in found.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(8)
    return found


@pytest.fixture(scope="module")
def prompts():
    drawn = torch.Generator().manual_seed(0)
    return [torch.randint(8, 100, (n,), generator=drawn).tolist() for n in (3, 17, 5, 5, 9, 30, 1, 2, 12, 4)]


def reference(model, prompt, length):
    """Continue one prompt with plain transformers."""
    greedy = transformers.GenerationConfig(
        max_new_tokens=length, do_sample=False, eos_token_id=7, pad_token_id=0, bos_token_id=1
    )
    with torch.inference_mode():
        out = model.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), generation_config=greedy
        )[0, len(prompt) :].tolist()
    return tuple(out[: out.index(7)]) if 7 in out else tuple(out)


def test_greedy_is_transformers_own_one_at_a_time(model, prompts):
    expected = [reference(model, prompt, 24) for prompt in prompts]
    assert len({len(ids) for ids in expected} | {25}) > 1
    assert len(set(expected)) > 5
    for batch_size in (1, 3, 8):
        made = generate(model, Letters(), prompts, 24, batch_size)
        assert [one.token_ids for one in made] == expected
        assert [one.text for one in made] == [" ".join(map(str, ids)) for ids in expected]
        assert [one.finish_reason for one in made] == ["stop" if len(ids) < 24 else "length" for ids in expected]


def test_samples_dont_depend_on_neighbours(model, prompts):
    def draws():
        return [Random(f"{number}") for number in range(len(prompts))]

    sampling = Sampling(3.0, 0.9)
    expected = [
        generate(model, Letters(), [p], 16, 1, sampling=sampling, draws=[d])[0]
        for p, d in zip(prompts, draws(), strict=True)
    ]
    for batch_size in (3, 8):
        assert generate(model, Letters(), prompts, 16, batch_size, sampling=sampling, draws=draws()) == expected
    other = generate(model, Letters(), prompts, 16, sampling=sampling, draws=[Random(f"x{i}") for i in range(10)])
    assert sum(a.token_ids != b.token_ids for a, b in zip(other, expected, strict=True)) > 5


def test_a_row_that_joins_late_is_answered_alike(model, prompts):
    """Rows that stop at different times leave, others join: the order in which they finish says so."""
    made = list(stream(model, Letters(), prompts * 3, 24, 4))
    assert sorted(number for number, _ in made) == list(range(30))
    for number, one in made:
        assert one == dict(made)[number % 10]


def test_a_beginning_that_many_share_is_read_once_and_changes_nothing(model, prompts):
    beginning = [8 + number % 90 for number in range(3, 500, 23)]
    asked = [[*beginning, first, *prompt] for prompt in prompts for first in range(10, 16)]
    asked += [prompts[1], prompts[5], prompts[1]]  # two that begin otherwise, one of them twice
    assert [(len(shared), len(numbers)) for shared, numbers in _groups(asked)] == [(22, 60), (0, 3)]
    expected = [reference(model, prompt, 11) for prompt in asked]
    assert len(set(expected)) > 15
    for batch_size in (1, 16):
        assert [one.token_ids for one in generate(model, Letters(), asked, 11, batch_size)] == expected


def test_a_beginning_is_shared_where_all_keys_are_kept(model):
    keeps = model.config.model_type not in ("gemma2", "mistral")  # these have windows here
    assert _choose_way(model, 40, is_shared=True, known={}) == ("shared" if keeps else "batched")
    assert _choose_way(model, 40, is_shared=False, known={}) == "batched"


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        ([[1, 2, 3, 4]] * 2000, [(0, 2000)]),  # equal prompts are read once anyway
        ([[1, 2, number] for number in range(513)], [(2, 513)]),
        ([[1, 2, number] for number in range(512)], [(0, 512)]),  # it would save too little
        ([[1] * 1025, [*[1] * 1024, 2], [1] * 1030], [(1024, 3)]),
        ([[1] * 2000, [2] * 2000, [*[1] * 1500, 3]], [(1500, 2), (0, 1)]),
        ([[1] * 2000], [(0, 1)]),
        ([[1, 2]], [(0, 1)]),
        ([[2] * 2000, [1] * 2000], [(0, 2)]),
        ([], []),
    ],
)
def test_the_beginning_that_saves_most(prompts, expected):
    groups = list(_groups(prompts))
    assert [(len(beginning), len(numbers)) for beginning, numbers in groups] == expected
    assert sorted(number for _, numbers in groups for number in numbers) == list(range(len(prompts)))
    for beginning, numbers in groups:
        assert all(tuple(prompts[number][: len(beginning)]) == tuple(beginning) for number in numbers)


@given(st.lists(st.integers(0, 9), max_size=12))
def test_the_largest_rectangle(shared):
    length, first, last = _most_shared(shared)
    every = [(min(shared[i:j]) * (j - i)) for i in range(len(shared)) for j in range(i + 1, len(shared) + 1)]
    assert length * (last - first) == max(every, default=0)
    assert length <= min(shared[first:last], default=0)


def test_a_text_ends_a_response(model, prompts):
    plain = generate(model, Letters(), prompts, 24)
    until = (f" {plain[1].token_ids[5]} ", " 55 56 ")
    for whole, ended in zip(plain, generate(model, Letters(), prompts, 24, until=until), strict=True):
        places = [place for each in until if (place := whole.text.find(each)) >= 0]
        if places:
            assert (ended.text, ended.finish_reason) == (whole.text[: min(places)], "stop")
            assert len(ended.token_ids) <= len(whole.token_ids)
        else:
            assert ended == whole
    assert generate(model, Letters(), prompts, 24, until=until)[1].text.count(" ") <= 4


def test_a_special_token_ends_a_response(model, prompts):
    plain = generate(model, Letters(), prompts, 24)
    special = plain[1].token_ids[5]
    ended = generate(model, Letters([special]), prompts, 24, until=(f"<{special}>", "never"))
    for whole, one in zip(plain, ended, strict=True):
        n = whole.token_ids.index(special) if special in whole.token_ids else None
        expected = (
            whole if n is None else Generated(" ".join(map(str, whole.token_ids[:n])), whole.token_ids[:n], "stop")
        )
        assert one == expected
    unasked = generate(model, Letters([special]), prompts, 24, until=("never",))
    assert [one.token_ids for one in unasked] == [one.token_ids for one in plain]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load(str(save_random_model(tmp_path_factory.mktemp("models") / "tiny", 1)))


def drawn_first(loaded, sampling, n):
    """Draw the first token after one prompt `n` times; return counts, and the model's probabilities."""
    prompt = [9, 8, 30]
    made = generate(
        loaded.model, loaded.tokenizer, [prompt] * n, 1, 500, sampling=sampling, draws=[Random(i) for i in range(n)]
    )
    stop = loaded.tokenizer.eos_token_id
    counts = torch.zeros(loaded.model.config.vocab_size)
    for one in made:
        counts[one.token_ids[0] if one.token_ids else stop] += 1
    with torch.inference_mode():
        logits = loaded.model(torch.tensor([prompt])).logits[0, -1].double()
    return counts, torch.softmax(logits / sampling.temperature, -1)


def test_samples_have_the_distribution_of_the_softmax(loaded):
    n = 4000
    counts, p = drawn_first(loaded, Sampling(0.05), n)
    common = p * n >= 5  # the chi-square test wants five expected in each class; the rest is one class
    observed = torch.cat([counts[common], counts[~common].sum()[None]])
    expected = torch.cat([p[common], p[~common].sum()[None]]) * n
    assert len(observed) > 10
    assert chisquare(observed.numpy(), expected.numpy()).pvalue > 0.01
    wrong = torch.softmax(p.log() * 0.8, -1)  # another temperature is seen
    expected = torch.cat([wrong[common], wrong[~common].sum()[None]]) * n
    assert chisquare(observed.numpy(), expected.numpy()).pvalue < 1e-6


@pytest.mark.parametrize("top_p", [0.1, 0.5, 0.9])
def test_the_nucleus_is_transformers_own(loaded, top_p):
    n = 2000
    counts, p = drawn_first(loaded, Sampling(0.3, top_p), n)
    warp = transformers.TopPLogitsWarper(top_p)
    kept = torch.softmax(warp(None, p.log()[None])[0], -1)
    assert not counts[kept == 0].any()
    common = kept * n >= 5
    observed, expected = counts[common], kept[common] * n
    assert len(observed) > 1
    rest = counts[~common].sum(), kept[~common].sum() * n
    if rest[1] > 0:
        observed, expected = torch.cat([observed, rest[0][None]]), torch.cat([expected, rest[1][None]])
    assert chisquare(observed.numpy(), expected.numpy()).pvalue > 0.01


def test_a_low_temperature_is_greedy(loaded, prompts):
    greedy = generate(loaded.model, loaded.tokenizer, prompts, 8)
    cold = generate(loaded.model, loaded.tokenizer, prompts, 8, sampling=Sampling(1e-6), draws=[Random(0)] * 10)
    assert (
        cold
        == greedy
        == generate(loaded.model, loaded.tokenizer, prompts, 8, sampling=Sampling(1.0, 1e-9), draws=[Random(0)] * 10)
    )


def test_penalties_of_the_model_dont_count(loaded, prompts):
    plain = generate(loaded.model, loaded.tokenizer, prompts[:3], 12)
    own = loaded.model.generation_config
    own.repetition_penalty, own.do_sample, own.temperature = 5.0, True, 9.0
    assert generate(loaded.model, loaded.tokenizer, prompts[:3], 12) == plain
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


def test_an_answer_ends_with_the_context(loaded):
    context = context_of(loaded.model)
    made = generate(loaded.model, loaded.tokenizer, [[9] * (context - 3), [9, 10]], 6)
    assert [(len(one.token_ids), one.finish_reason) for one in made] == [(3, "length"), (6, "length")]
    with pytest.raises(SettingsError, match=f"the model's context holds {context:,}"):
        generate(loaded.model, loaded.tokenizer, [[9] * context], 6)


def test_stop_ids(loaded):
    assert stop_ids(loaded.model, loaded.tokenizer) == {loaded.tokenizer.eos_token_id}


def test_progress_and_refusals(loaded, prompts):
    seen = []
    generate(loaded.model, loaded.tokenizer, prompts, 2, batch_size=3, update=seen.append)
    assert seen == list(range(1, 11))
    assert generate(loaded.model, loaded.tokenizer, [], 2) == []
    for bad, length, sampling in [
        ([[]], 2, None),
        (prompts, 0, None),
        (prompts, 2, Sampling(0.0)),
        (prompts, 2, Sampling(1.0, 0.0)),
        (prompts, 2, Sampling(1.0)),
    ]:
        with pytest.raises(SettingsError):
            generate(loaded.model, loaded.tokenizer, bad, length, sampling=sampling)


class Pieces:
    """A tokenizer whose ids are the places of its pieces; those between <| and |> are special."""

    pieces = (
        "Hm.",
        "Yes.",
        "<think>",
        "</think>",
        "<|START_THINKING|>",
        "<|END_THINKING|>",
        "<|user|>",
        "<|bot|>",
        " ",
    )
    all_special_tokens = tuple(piece for piece in pieces if piece.startswith("<|"))

    def ids(self, text):
        return tuple(self.pieces.index(piece) for piece in text.split("·"))

    def decode(self, ids, skip_special_tokens, **_):
        said = (self.pieces[i] for i in ids)
        return "".join(p for p in said if not (skip_special_tokens and p in self.all_special_tokens))


@pytest.mark.parametrize(
    ("prompt", "response", "split"),
    [
        ("<|user|>·Hm.·<|bot|>", "Yes.", ("Yes.", None)),
        ("<|user|>·Hm.·<|bot|>", " ·Yes.·<|bot|>· ", (" Yes. ", None)),  # as `stream` gives it
        ("<|user|>·Hm.·<|bot|>", "<think>·Hm.·</think>· ·Yes.", ("Yes.", "Hm.")),
        ("<|user|>·Hm.·<|bot|>", "<|START_THINKING|>·Hm.·<|END_THINKING|>·Yes.·<|bot|>", ("Yes.", "Hm.")),
        ("<|user|>·<|bot|>·<think>", "Hm.·</think>·Yes.", ("Yes.", "Hm.")),
        ("<|user|>·<|bot|>·<think>", "Hm.", ("", "Hm.")),
        ("<|user|>·<|bot|>·<think>·</think>", "Yes.", ("Yes.", None)),
    ],
)
def test_thoughts_of_a_model_loaded_here(prompt, response, split):
    tokenizer = Pieces()
    ids = tokenizer.ids(response)
    generated = Generated(tokenizer.decode(ids, skip_special_tokens=True), ids, "length")
    assert split_generated(tokenizer, tokenizer.ids(prompt), generated) == split
