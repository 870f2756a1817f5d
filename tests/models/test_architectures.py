"""Architectures that can't be packed, padded or batched give their own numbers all the same, or one sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

from tests.models.test_generate import Letters  # noqa: E402
from tests.models.test_score import plainly  # noqa: E402
from tiny_models import VOCABULARY, build  # noqa: E402

from tunescope.errors import TunescopeError  # noqa: E402
from tunescope.microworld.tokenizer import build_tokenizer  # noqa: E402
from tunescope.microworld.world import make_world  # noqa: E402
from tunescope.models import generate, load  # noqa: E402
from tunescope.models.lazy import silence_libraries  # noqa: E402
from tunescope.models.packing import Passage  # noqa: E402
from tunescope.models.probe import in_float32, own_logits  # noqa: E402
from tunescope.models.score import Scorer  # noqa: E402


@pytest.fixture(autouse=True)
def _quiet():
    torch.set_num_threads(1)
    with silence_libraries():
        yield


def passages_beyond_windows() -> list[Passage]:
    """Return passages of which the first and the third reach beyond every window; the second ends early."""
    rng = np.random.default_rng(1)
    drawn = [tuple(rng.integers(8, VOCABULARY, n).tolist()) for n in (90, 9, 60)]
    return [Passage(ids[:3], ids[3:]) for ids in drawn]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("mistral", "packed"),
        ("falcon (ALiBi)", "padded"),
        ("bloom", "padded"),
        ("jamba", "padded"),
        ("recurrent_gemma", "padded"),
        ("qwen2_moe (sliding window)", "padded"),
        ("phimoe", "padded"),
        pytest.param("deepseek_v4", "padded", marks=pytest.mark.slow),
        ("phi3 (longrope)", "single"),
        ("llama4_text", "whole"),
    ],
)
def test_scores_are_the_models_own_however_it_is_read(name, method, dtype):
    model, passages = build(name).to(dtype), passages_beyond_windows()
    weights = [each.clone() for each in model.parameters()]
    scorer = Scorer(model)
    scorer.score(passages)
    assert scorer.method == method
    with in_float32(model) as is_exact:
        assert is_exact
        for passage, scores in zip(passages, scorer.score(passages), strict=True):
            np.testing.assert_allclose(scores, plainly(model, passage), atol=1e-3)
    assert all(torch.equal(one, other) for one, other in zip(weights, model.parameters(), strict=True))


def test_a_small_pack_is_tried_with_neighbours_too():
    """A long text and a short one fit a pack, where twice the change and a short one don't."""
    model, (long, short, _) = build("phi3 (longrope)"), passages_beyond_windows()
    scorer = Scorer(model, pack=len(long.ids) + len(short.ids))
    scores = scorer.score([long, short])
    assert scorer.method == "single"
    np.testing.assert_allclose(scores[1], plainly(model, short), atol=1e-3)


def test_an_answer_that_grows_beyond_a_change_is_the_models_own():
    """What a cache holds was computed for a shorter text: this model expects other things of a longer one."""
    model = build("phi3 (longrope)")
    model.generation_config.eos_token_id = None
    prompt = np.random.default_rng(3).integers(8, VOCABULARY, 60).tolist()
    (answer,) = generate(model, Letters(), [prompt], 8)
    for place, token in enumerate(answer.token_ids):
        logits = own_logits(model, [*prompt, *answer.token_ids[:place]], 1)[0]
        assert float(logits.max() - logits[token]) < 0.02


def test_a_window_counts_once_a_passage_reaches_it():
    scorer = Scorer(build("phimoe"))
    long, short, _ = passages_beyond_windows()
    scorer.score([short])
    assert scorer.method == "packed"
    scorer.score([long])
    assert scorer.method == "padded"


def test_a_model_whose_scores_depend_on_what_follows_is_refused_there():
    scorer = Scorer(build("doge (whole)"))  # it keeps the 40 tokens of highest weight, chosen among later ones too
    long, short, _ = passages_beyond_windows()
    scorer.score([short])
    with pytest.raises(TunescopeError, match=r"^DogeForCausalLM can't score texts of more than 30 tokens: beyond them"):
        scorer.score([long])


ONE_AT_A_TIME = (
    *("qwen3_next", "qwen3_5_text", "granitemoehybrid", "bamba", "nemotron_h", "jamba", "falcon_h1", "olmo_hybrid"),
    *("minimax", "mamba", "mamba2", "falcon_mamba", "rwkv", "recurrent_gemma", "openai-gpt", "xlstm", "bart"),
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_AT_A_TIME)
def test_prompts_that_end_at_different_times_are_answered_as_one_at_a_time(name, capsys):
    model = build(name)
    rng = np.random.default_rng(2)
    prompts = [rng.integers(8, VOCABULARY, n).tolist() for n in (3, 11, 1)]
    model.generation_config.eos_token_id = None
    whole = generate(model, Letters(), prompts, 4)
    assert f"{type(model).__name__} answers one prompt at a time" in capsys.readouterr().err
    for prompt, answer in zip(prompts, whole, strict=True):
        for place, token in enumerate(answer.token_ids):
            logits = own_logits(model, [*prompt, *answer.token_ids[:place]], 1)[0]
            assert float(logits.max() - logits[token]) < 0.02


@pytest.mark.parametrize("name", ["bert", "roberta", "xlnet"])
def test_a_model_that_isnt_causal_is_refused(tmp_path, name):
    build(name).save_pretrained(tmp_path)
    build_tokenizer(make_world(0, 8)).save_pretrained(tmp_path)
    with pytest.raises(TunescopeError, match=r"isn't causal: what it expects at a token depends on later tokens"):
        load(str(tmp_path))


def test_a_model_that_token_ids_dont_suffice_for_is_refused():
    model = build("llama")
    model.forward = lambda input_ids, image: None  # as an architecture that needs an image
    with pytest.raises(TunescopeError, match=r"can't be scored: its forward pass fails on token ids alone \(.*'image'"):
        Scorer(model)
    with pytest.raises(TunescopeError, match=r"can't answer: its forward pass fails on token ids alone \(.*'image'"):
        generate(model, Letters(), [[9]], 1)
