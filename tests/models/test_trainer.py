"""The trainer's parts: noise by the formula, packed rows that see nothing of each other, checkpoints."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM  # noqa: E402

from tunescope.models.trainer import PACKED, WHOLE, newest_checkpoint, noise, pack, pad  # noqa: E402
from tunescope.models.training_rows import IGNORED, TrainingSequence  # noqa: E402
from tunescope.verbs.tune.train import PACKS  # noqa: E402

SHAPE = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}
SHAPES = {
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2},
    "qwen3": {**SHAPE, "num_key_value_heads": 1, "head_dim": 8},
}
A, B, C = (3, 9, 4, 7, 5), (8, 2, 6), (1, 4, 4, 9)


def line(ids, supervised=2):
    return TrainingSequence(ids, [IGNORED] * (len(ids) - supervised) + list(ids[-supervised:]), f"0/noise/{ids}")


@pytest.fixture(scope="module", params=PACKS)
def model(request):
    torch.set_num_threads(1)
    config = AutoConfig.for_model(
        request.param, vocab_size=20, max_position_embeddings=64, pad_token_id=0, **SHAPES.get(request.param, SHAPE)
    )
    config.initializer_range = 0.2
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


def forward(model, lines):
    batch = pack(lines)
    model.set_attn_implementation(PACKED)
    return model(**{name: batch[name] for name in ("input_ids", "position_ids", "ends")}, use_cache=False).logits[0]


def alone(model, ids):
    model.set_attn_implementation("sdpa")
    return model(torch.tensor([ids]), use_cache=False).logits[0]


def test_packed_rows_are_as_if_alone(model):
    logits = forward(model, [line(A), line(B), line(C)])
    for ids, start in ((A, 0), (B, 5), (C, 8)):
        torch.testing.assert_close(logits[start : start + len(ids)], alone(model, ids), atol=1e-5, rtol=1e-5)


def test_a_packed_row_changes_nothing_in_the_other(model):
    def second(first):
        model.zero_grad()
        logits = forward(model, [line(first), line(B)])[5:]
        torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(B[1:])).backward()
        return logits.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None]

    logits, gradients = second(A)
    others, other_gradients = second((11, 12, 13, 14, 15))
    assert torch.equal(logits, others)
    for one, other in zip(gradients, other_gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-7, rtol=1e-6)
    first, later = forward(model, [line(A), line(B)])[:5], forward(model, [line(A), line(C)])[:5]
    assert torch.equal(first, later)


def test_packed_lines_predict_nothing_across_their_ends():
    batch = pack([TrainingSequence(A, A), TrainingSequence(B, B)])
    assert batch["labels"].tolist() == [[IGNORED, 9, 4, 7, 5, IGNORED, 2, 6]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 4, 0, 1, 2]]
    assert batch["ends"] == [0, 5, 8]


def test_padded_lines_are_masked():
    batch = pad([line(A), line(B)])
    assert batch["input_ids"].tolist() == [list(A), [*B, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1] * 5, [1, 1, 1, 0, 0]]
    assert batch["labels"].tolist()[1] == [IGNORED, 2, 6, IGNORED, IGNORED]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 200), st.integers(1, 64), st.floats(0.1, 50))
def test_noise_is_within_the_formulas_bound(length, width, alpha):
    drawn = noise("row", length, width, alpha)
    assert drawn.shape == (length, width)
    assert float(drawn.abs().max()) <= alpha / math.sqrt(length * width) * (1 + 1e-6)
    assert torch.equal(drawn, noise("row", length, width, alpha))


def test_noise_is_uniform():
    bound = 5 / math.sqrt(300 * 64)
    drawn = noise("0/noise/7/0", 300, 64, 5.0).flatten() / bound
    counts = torch.histc(drawn, 10, -1, 1)
    expected = drawn.numel() / 10
    assert float(((counts - expected) ** 2 / expected).sum()) < 27.9  # chi-square of 9 degrees, 0.999
    assert float(drawn.mean()) == pytest.approx(0, abs=4 / math.sqrt(3 * drawn.numel()))
    assert not torch.equal(drawn * bound, noise("0/noise/8/0", 300, 64, 5.0).flatten())


def test_only_whole_checkpoints_count(tmp_path):
    assert newest_checkpoint(tmp_path) is None
    for step, whole in ((9, True), (10, True), (20, False)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if whole:
            (tmp_path / f"checkpoint-{step}" / WHOLE).touch()
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
