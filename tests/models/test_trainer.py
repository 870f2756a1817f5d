"""The trainer's parts: noise by the formula, packed rows that see nothing of each other, checkpoints."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM  # noqa: E402

from tunescope.models.trainer import (  # noqa: E402
    WHOLE,
    has_dropout,
    newest_checkpoint,
    noise,
    pack,
    pad,
    summed_loss_of_pack,
)
from tunescope.models.training_rows import EMPTY_SEQUENCE, IGNORED, TrainingSequence  # noqa: E402
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


def summed_loss(model, lines, share=True):
    """Return the summed loss of a pack, and every weight's gradient."""
    batch = pack(lines, share)
    model.zero_grad()
    loss = summed_loss_of_pack(model, model, batch)
    loss.backward()
    return loss.detach(), gradients(model)


def summed_loss_alone(model, lines):
    """Do the same with each line by itself, all of its logits, and the model's own attention."""
    model.zero_grad()
    total = torch.zeros(())
    for each in lines:
        logits = model(torch.tensor([each.ids]), use_cache=False).logits[0]
        targets = torch.tensor(each.labels[1:], dtype=torch.long)
        loss = torch.nn.functional.cross_entropy(logits[:-1], targets, ignore_index=IGNORED, reduction="sum")
        loss.backward()
        total += loss.detach()
    return total, gradients(model)


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same(one, other):
    torch.testing.assert_close(one[0], other[0], atol=1e-5, rtol=1e-5)
    assert one[1].keys() == other[1].keys()
    for name, gradient in one[1].items():
        torch.testing.assert_close(gradient, other[1][name], atol=1e-5, rtol=1e-4)


BEGIN = (7, 7, 3, 2, 5, 8)
SETS = {
    "nothing alike": [line(A), line(B), line(C)],
    "one beginning": [line((*BEGIN, *A), 3), line((*BEGIN, *B)), line((*BEGIN, *C), 4)],
    "beginnings of beginnings": [
        line((*BEGIN, *A)),
        line((*BEGIN, *A, 11, 12, 13, 14)),
        line((*BEGIN, *A, 11, 12, 13, 15), 8),
        line((*BEGIN, 1, 2)),
        line(C),
    ],
    "the same twice": [line((*BEGIN, *A), 4), line((*BEGIN, *A), 4), line((*BEGIN, *A), 2)],
    "supervised where they are alike": [line((*BEGIN, *A), 10), line((*BEGIN, *B), 8)],
    "long ones": [line(tuple(n % 19 for n in range(k, k + 60)), 9) for k in (0, 0, 1, 2, 0)],
    "a line of one token": [TrainingSequence((3,), (IGNORED,)), line(A)],
}


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("lines", SETS.values(), ids=SETS)
def test_a_pack_has_the_loss_and_the_gradients_of_its_rows_alone(model, lines, share):
    assert_same(summed_loss(model, lines, share), summed_loss_alone(model, lines))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.lists(st.integers(1, 3), min_size=1, max_size=12), st.integers(1, 6)), min_size=1))
def test_any_rows_of_few_tokens_packed_are_as_if_alone(lines):
    torch.manual_seed(0)
    llama = AutoModelForCausalLM.from_config(
        AutoConfig.for_model("llama", vocab_size=20, max_position_embeddings=64, **SHAPE)
    )
    sequences = [line(tuple(ids), min(supervised, len(ids))) for ids, supervised in lines if len(ids) > 1]
    if any(sequence.n_supervised for sequence in sequences):
        assert_same(summed_loss(llama, sequences), summed_loss_alone(llama, sequences))


def test_what_begins_alike_stands_there_once():
    batch = pack([line((*BEGIN, *A)), line((*BEGIN, *B))])
    assert batch["input_ids"].tolist() == [[*BEGIN, *A[:-1], *B[:-1]]]  # the last token is only predicted
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 6, 7]]
    assert batch["places"].tolist() == [8, 9, 10, 11]
    assert batch["targets"].tolist() == [7, 5, 2, 6]
    apart = pack([line((*BEGIN, *A)), line((*BEGIN, *B))], share=False)
    assert apart["input_ids"].tolist() == [[*BEGIN, *A[:-1], *BEGIN, *B[:-1]]]


def test_a_sequences_first_token_isnt_predicted():
    batch = pack([TrainingSequence(A, A), TrainingSequence(B, B)])
    assert batch["targets"].tolist() == [9, 4, 7, 5, 2, 6]


def test_nothing_to_read_is_padded():
    assert pack([EMPTY_SEQUENCE])["labels"].tolist() == [[IGNORED]]


@pytest.mark.parametrize(
    ("kind", "more", "expected"),
    [
        ("llama", {}, False),
        ("llama", {"attention_dropout": 0.1}, True),
        ("gpt2", {}, True),
        ("gpt2", {"attn_pdrop": 0, "embd_pdrop": 0, "resid_pdrop": 0}, False),
    ],
)
def test_dropout_is_seen(kind, more, expected):
    config = AutoConfig.for_model(kind, vocab_size=20, **SHAPES.get(kind, SHAPE), **more)
    assert has_dropout(AutoModelForCausalLM.from_config(config)) is expected


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
