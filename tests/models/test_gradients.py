"""Sketched gradients are those of an explicit LoRA adapter with B = 0, by autograd, count-sketched number by number."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

from tiny_models import VOCABULARY, build  # noqa: E402

from tunescope.errors import TunescopeError  # noqa: E402
from tunescope.models.gradients import GradientSketcher  # noqa: E402
from tunescope.models.training_rows import IGNORED, TrainingSequence  # noqa: E402

RANK, WIDTH = 4, 64


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def line(n, supervised, seed=0):
    """Return a sequence of n tokens of which those at `supervised` places count."""
    ids = np.random.default_rng(seed).integers(8, VOCABULARY, n).tolist()
    return TrainingSequence(ids, [token if place in supervised else IGNORED for place, token in enumerate(ids)])


LINES = (line(12, range(5, 12), 1), line(7, (3, 5), 2), line(20, range(20), 3))


def with_adapter(model):
    """Put PEFT's own adapter on every linear layer but the output layer; its scale is 1."""
    config = peft.LoraConfig(r=RANK, lora_alpha=RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    return peft.get_peft_model(model, config).eval()


def by_autograd(adapted, sketcher, sequence):
    """Return the gradient of each layer's B, by name: [gives, rank], with the sketcher's A."""
    layers = {
        name.removeprefix("base_model.model."): module
        for name, module in adapted.named_modules()
        if hasattr(module, "lora_B")
    }
    for name in sketcher.layers:
        module = layers[name]
        module.lora_A["default"].weight.data = torch.tensor(sketcher.projection(name))
    adapted.zero_grad()
    logits = adapted(input_ids=torch.tensor([sequence.ids]), use_cache=False).logits[0]
    loss = sum(
        -logits[place - 1].log_softmax(0)[label]
        for place, label in enumerate(sequence.labels)
        if label != IGNORED and place
    )
    loss.backward()
    of_b = {name: module.lora_B["default"].weight.grad for name, module in layers.items()}
    return {name: torch.zeros(()).numpy() if each is None else each.numpy() for name, each in of_b.items()}


def count_sketch(sketcher, gradients):
    """Add each number to its place with its sign."""
    sketch = np.zeros(sketcher.width)
    for name in sketcher.layers:
        places, signs = sketcher.hashes(name)
        for place, sign, number in zip(
            places, signs, np.broadcast_to(gradients[name].ravel(), places.shape), strict=True
        ):
            sketch[place] += sign * number
    return sketch


@pytest.mark.parametrize("layers", ["all", "top_third"])
@pytest.mark.parametrize(
    "name",
    ["llama", "gpt2", "gpt_neox", "gemma2", "mixtral", "qwen3", "falcon (ALiBi)", "bloom", "opt", "phi3 (longrope)"],
)
def test_sketches_are_those_of_an_explicit_adapter(name, layers):
    sketcher = GradientSketcher(build(name), RANK, WIDTH, layers=layers)
    adapted = with_adapter(build(name))
    expected = [count_sketch(sketcher, by_autograd(adapted, sketcher, each)) for each in LINES]
    found = sketcher.sketch(LINES)
    assert found.shape == (3, WIDTH)
    assert found.dtype == np.float32
    assert np.abs(expected).max(axis=1).min() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-5 * np.abs(expected).max())


def test_the_layers_are_pefts_all_linear():
    def adapted(model):
        return {
            n.removeprefix("base_model.model.") for n, m in with_adapter(model).named_modules() if hasattr(m, "lora_B")
        }

    for name in ("llama", "gpt2", "bloom"):
        assert set(GradientSketcher(build(name), RANK).layers) == adapted(build(name))


def test_the_top_third_is_the_last_blocks():
    names = GradientSketcher(build("llama"), RANK, layers="top_third").layers
    assert {name.split(".")[2] for name in names} == {"2", "3"}  # of 0 to 3
    assert len(names) == 2 * 7


def test_labels_say_which_tokens_count():
    sketcher = GradientSketcher(build("llama"), RANK, WIDTH)
    ids = line(12, ()).ids
    both, one, other, none = (
        TrainingSequence(ids, [token if place in counted else IGNORED for place, token in enumerate(ids)])
        for counted in ((4, 9), (4,), (9,), ())
    )
    sketches = sketcher.sketch([both, one, other, none])
    np.testing.assert_allclose(sketches[0], sketches[1] + sketches[2], atol=1e-5 * np.abs(sketches).max())
    assert not np.allclose(sketches[1], sketches[2])
    assert not sketches[3].any()
    # what lies behind the last token that counts isn't read, and the first token is predicted by none
    assert (sketches[1] == sketcher.sketch([TrainingSequence(ids[:5], [ids[0], *one.labels[1:5]])])[0]).all()


def test_sketches_depend_on_the_seed_and_on_nothing_else_that_is_read():
    model = build("llama")
    together = GradientSketcher(model, RANK, WIDTH).sketch(LINES)
    alone = [GradientSketcher(build("llama"), RANK, WIDTH).sketch([each])[0] for each in reversed(LINES)][::-1]
    assert (together == alone).all()
    assert not np.allclose(together, GradientSketcher(model, RANK, WIDTH, seed=1).sketch(LINES))


def test_the_model_is_as_before():
    model = build("gpt2").train()
    model.transformer.wte.weight.requires_grad_(False)
    before = {name: (weights.clone(), weights.requires_grad) for name, weights in model.named_parameters()}
    one, two = (GradientSketcher(model, RANK, WIDTH).sketch(LINES) for _ in range(2))
    assert (one == two).all()  # its dropout is off
    assert all(module.training for module in model.modules())
    for name, weights in model.named_parameters():
        assert torch.equal(weights, before[name][0])
        assert weights.requires_grad == before[name][1]
        assert weights.grad is None
    assert not any(module._forward_hooks for module in model.modules())


def test_an_adapter_that_isnt_merged_counts_as_if_it_were():
    tuned = with_adapter(build("llama"))
    torch.manual_seed(0)
    for name, weights in tuned.named_parameters():
        if "lora_B" in name:
            weights.data.normal_(0, 0.1)
    apart = GradientSketcher(tuned, RANK, WIDTH)
    sketches = apart.sketch(LINES)
    merged = GradientSketcher(tuned.merge_and_unload(), RANK, WIDTH)
    assert apart.layers == merged.layers == GradientSketcher(build("llama"), RANK).layers
    np.testing.assert_allclose(sketches, merged.sketch(LINES), rtol=1e-3, atol=1e-4 * np.abs(sketches).max())
    assert not np.allclose(sketches, GradientSketcher(build("llama"), RANK, WIDTH).sketch(LINES), rtol=0.1)


def test_sketches_keep_inner_products_on_average():
    model, adapted = build("llama"), with_adapter(build("llama"))
    exact, sketched = [], []
    for seed in range(20):
        sketcher = GradientSketcher(model, RANK, 256, seed)
        gradients = [by_autograd(adapted, sketcher, each) for each in LINES[:2]]
        first, second = (np.concatenate([each[name].ravel() for name in sketcher.layers]) for each in gradients)
        exact.append(first @ second)
        sketched.append(np.prod(sketcher.sketch(LINES[:2]).astype(float), axis=0).sum())
    errors = np.subtract(sketched, exact)
    assert abs(errors.mean()) < 4 * errors.std() / len(errors) ** 0.5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_other_number_formats_are_near(dtype):
    exact = GradientSketcher(build("llama"), RANK, WIDTH).sketch(LINES)
    rough = GradientSketcher(build("llama", spread=0.1).to(dtype), RANK, WIDTH).sketch(LINES)
    exact = GradientSketcher(build("llama", spread=0.1), RANK, WIDTH).sketch(LINES)
    for one, other in zip(exact, rough, strict=True):
        assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 0.99


def test_a_gradient_that_isnt_finite_is_refused():
    model = build("llama")
    model.model.layers[0].mlp.up_proj.weight.data[0, 0] = float("inf")
    with pytest.raises(TunescopeError, match=r"^LlamaForCausalLM: a gradient isn't finite in torch\.float32"):
        GradientSketcher(model, RANK, WIDTH).sketch(LINES)


def test_a_model_whose_layers_lora_cant_take_is_refused():
    model = build("llama")
    model.model.layers = torch.nn.ModuleList()
    with pytest.raises(
        TunescopeError, match=r"^LlamaForCausalLM: found no linear layers that a LoRA adapter can lie on"
    ):
        GradientSketcher(model)


def test_a_model_that_token_ids_dont_suffice_for_is_refused():
    model = build("llama")
    model.forward = lambda input_ids, image: None  # as an architecture that needs an image
    with pytest.raises(TunescopeError, match=r"^LlamaForCausalLM has no gradients to compare: .*'image'"):
        GradientSketcher(model).sketch(LINES)
