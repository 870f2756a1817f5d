"""Scores equal the model's own logits on every kind of head and attention, whatever else is in the pack."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tunescope.errors import SettingsError  # noqa: E402
from tunescope.models.lazy import silence_libraries  # noqa: E402
from tunescope.models.packing import Passage  # noqa: E402
from tunescope.models.score import Scorer  # noqa: E402

VOCABULARY = 97
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
NARROW = {"sliding_window": 8}
"""Shorter than most of the passages."""
GPT2 = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 3, "n_head": 4, "bos_token_id": 0, "eos_token_id": 1}
ARCHITECTURES = {
    "llama": SHAPE,
    "qwen2": SHAPE,
    "qwen3": SHAPE,
    "mistral": SHAPE | NARROW,
    "mixtral": SHAPE | EXPERTS | {"sliding_window": None},
    "gemma2": SHAPE | NARROW | {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 1.0},
    "gemma3_text": SHAPE | NARROW | {"final_logit_softcapping": 1.0},
    "cohere": SHAPE | {"logit_scale": 0.25},
    "granite": SHAPE | {"logits_scaling": 3.0, "attention_multiplier": 0.2, "embedding_multiplier": 2.0},
    "gpt2": GPT2,
    "gpt_neox": {name: value for name, value in SHAPE.items() if name != "head_dim"},
    "olmo2": SHAPE,
    "phi3": SHAPE,
    "smollm3": SHAPE,
    "bloom": {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 4},
    "gpt_oss": SHAPE | EXPERTS,
}
PADDED = {"bloom", "gpt_oss"}
"""Attention with position biases, and with sinks: not packed."""


def random_model(architecture: str, dtype: torch.dtype = torch.float32) -> transformers.PreTrainedModel:
    """Return a model with weights so wide that scores differ by many nats."""
    with silence_libraries():
        config = transformers.AutoConfig.for_model(architecture, **ARCHITECTURES[architecture])
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = transformers.AutoModelForCausalLM.from_config(config)
            for weights in model.parameters():
                if weights.ndim > 1:
                    torch.nn.init.normal_(weights, 0, 0.3)
    return model.to(dtype).eval()


def some_passages(count: int = 24) -> list[Passage]:
    """Return passages of 2 to 60 tokens, every other one with the same nine in front."""
    rng = np.random.default_rng(1)
    shared = tuple(rng.integers(0, VOCABULARY, 9).tolist())
    passages = []
    for number in range(count):
        ids = tuple(rng.integers(0, VOCABULARY, rng.integers(2, 60)).tolist())
        cut = int(rng.integers(1, len(ids)))
        passages.append(Passage((shared if number % 2 else ()) + ids[:cut], ids[cut:]))
    return passages


def plainly(model: transformers.PreTrainedModel, passage: Passage) -> np.ndarray:
    """Score one passage by the definition, from the logits of the whole."""
    ids = torch.tensor([[*passage.context, *passage.target]])
    with torch.inference_mode():
        logits = model(input_ids=ids, use_cache=False).logits[0, len(passage.context) - 1 : -1].float()
    return logits.log_softmax(-1).gather(1, ids[0, len(passage.context) :, None])[:, 0].numpy()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_equal_to_the_models_own_logits(architecture):
    model, passages = random_model(architecture), some_passages()
    own = model.config._attn_implementation
    with silence_libraries():
        scorer = Scorer(model, pack=120, positions=16)
        scores = scorer.score(passages)
    assert scorer.method == ("padded" if architecture in PADDED else "packed")
    for passage, found in zip(passages, scores, strict=True):
        np.testing.assert_allclose(found, plainly(model, passage), atol=1e-4)
    assert model.config._attn_implementation == own
    assert max(np.ptp(found) for found in scores) > 1


@pytest.mark.parametrize("pack", [1, 60, 5000])
def test_neighbours_and_packs_dont_matter(pack):
    model, passages = random_model("llama"), some_passages()
    alone = [Scorer(model).score([passage])[0] for passage in passages]
    together = Scorer(model, pack=pack, positions=7).score(passages)
    backwards = Scorer(model, pack=pack).score(passages[::-1])[::-1]
    for one, other, third in zip(alone, together, backwards, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
        np.testing.assert_allclose(one, third, atol=1e-5)


def test_a_shared_beginning_is_read_once():
    model, read = random_model("llama"), []
    shared = tuple(range(20))
    passages = [Passage((*shared, number), (number + 1, number + 2)) for number in range(30, 40)]
    scores = Scorer(model).score(passages, update=read.append)
    assert read == [20 + 10 * 2]  # of 10 passages of 23 tokens, whose last is only predicted
    for passage, found in zip(passages, scores, strict=True):
        np.testing.assert_allclose(found, plainly(model, passage), atol=1e-4)


def branching_passages(seed: int, count: int) -> list[Passage]:
    """Return passages of 3 to 40 tokens that branch off each other at any place; some stand twice or in others."""
    rng = np.random.default_rng(seed)
    made = [(5, 5, 5)]
    while len(made) < count:
        start = made[rng.integers(len(made))]
        made.append(
            (*start[: rng.integers(3, len(start) + 1)], *rng.integers(0, VOCABULARY, rng.integers(0, 12)).tolist())[:40]
        )
    cuts = [int(rng.integers(1, len(ids))) for ids in made]
    return [Passage(ids[:cut], ids[cut:]) for ids, cut in zip(made, cuts, strict=True)]


@pytest.mark.parametrize("pack", [1, 150])
@pytest.mark.parametrize("architecture", sorted({*ARCHITECTURES} - PADDED))
def test_branches_of_one_beginning_are_those_read_alone(architecture, pack):
    model, passages = random_model(architecture), branching_passages(pack, 60)
    scorer = Scorer(model, pack=pack)
    read = []
    found = scorer.score_greedy(passages, read.append)
    assert scorer.method == "packed"
    # each token that begins otherwise is read once, but for beginnings of less than four tokens and parts of prefixes
    distinct = len({passage.ids[: end + 1] for passage in passages for end in range(len(passage.ids))})
    assert distinct <= read[-1] < sum(len(passage.ids) for passage in passages)
    for passage, target in zip(passages, found, strict=True):
        np.testing.assert_allclose(target.log_probabilities, plainly(model, passage), atol=1e-4)
        ids = torch.tensor([passage.ids])
        with torch.inference_mode():
            best = model(input_ids=ids).logits[0, len(passage.context) - 1 :].argmax(-1)
        assert target.is_first.tolist() == (best == torch.tensor(passage.target)).tolist()


def test_choices_after_examples_read_the_examples_once():
    model, rng, read = random_model("llama"), np.random.default_rng(0), []
    examples = tuple(rng.integers(0, VOCABULARY, 90).tolist())
    questions = [(*examples, *rng.integers(0, VOCABULARY, 10).tolist()) for _ in range(20)]
    passages = [
        Passage(question, tuple(rng.integers(0, VOCABULARY, 4).tolist())) for question in questions for _ in range(4)
    ]
    found = Scorer(model, pack=60).score(passages, read.append)
    assert read[-1] == Scorer(model, pack=60).count_tokens(passages) == 90 + 20 * 10 + 20 * 4 * 3
    for passage, target in zip(passages, found, strict=True):
        np.testing.assert_allclose(target, plainly(model, passage), atol=1e-4)


def test_an_empty_target_gives_an_empty_array():
    first, second = Scorer(random_model("llama")).score([Passage((1, 2), ()), Passage((1,), (2,))])
    assert (first.shape, second.shape) == ((0,), (1,))


def test_no_context_is_refused():
    with pytest.raises(SettingsError, match="without context"):
        Scorer(random_model("llama")).score([Passage((), (1,))])


def test_half_precision_is_near():
    passages = some_passages(4)
    exact, rounded = (Scorer(random_model("llama", dtype)) for dtype in (torch.float32, torch.bfloat16))
    for one, other in zip(exact.score(passages), rounded.score(passages), strict=True):
        assert np.abs(one - other).mean() < 0.3


def test_a_model_whose_parts_arent_the_whole_is_read_whole():
    class Odd(type(random_model("llama"))):
        def forward(self, *args, **settings):
            out = super().forward(*args, **settings)
            # a head that looks at all tokens so far
            out.logits = out.logits.cumsum(1)
            return out

    model, passages = Odd(random_model("llama").config).eval(), some_passages(6)
    with silence_libraries():
        scorer = Scorer(model)
        scores = scorer.score(passages)
    assert scorer.method == "whole"
    for passage, found in zip(passages, scores, strict=True):
        np.testing.assert_allclose(found, plainly(model, passage), atol=1e-4)
