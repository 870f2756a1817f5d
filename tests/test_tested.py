"""Every verb that uses a model, on every architecture that we name: what docs/proofs/tested.md is made from.

`pytest --tested docs/proofs/tested.md` writes the page; without it a run fails where the page claims a cell that
this run has seen otherwise.
"""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("trl")
pytest.importorskip("pysbd")

from tests.tools import alpaca, write_rows  # noqa: E402
from tests.verbs.test_tune import plain_loop  # noqa: E402
from tunescope.microworld.model import ARCHITECTURES, save_random_model  # noqa: E402
from tunescope.models import generate, load, stop_ids  # noqa: E402
from tunescope.verbs.measure import MeasureSettings, measure  # noqa: E402
from tunescope.verbs.shift import ShiftSettings, shift  # noqa: E402
from tunescope.verbs.tune import TuneSettings, tune  # noqa: E402

TURNS = [
    ("What does Bor work as?", "Bor works as a baker, and every day a baker goes to work as a baker."),
    ("Which pet?", "A cat and a dog and a goat."),
    ("Which colour?", "red"),
]
TABLE = "Architectures (random weights, CPU)"


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request, tmp_path_factory):
    torch.set_num_threads(1)
    return save_random_model(tmp_path_factory.mktemp("models") / request.param, 0, request.param)


def losses(model, dtype):
    """Return the mean negative log-likelihood of each answer given its prompt, from full logits."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    whole = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=dtype).eval()
    for ask, reply in TURNS:
        chat = [{"role": "user", "content": ask}]
        prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
        ids = tokenizer(reply, add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            logits = whole(torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1].float()
        yield -logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None]).mean().item()


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-4), ("bfloat16", 0.1)])
def test_measure(workplace, model, dtype, bound, record_property):
    write_rows(workplace / "rows.jsonl", [alpaca(*turn) for turn in TURNS])
    run = measure(MeasureSettings(rows=("rows.jsonl",), model=str(model), dtype=dtype, without=("coherence",)))
    found = [math.log(value) for value in run.tables["turns"]["ppl_response_given"].to_pylist()]
    assert found == pytest.approx(list(losses(model, getattr(torch, dtype))), abs=bound)
    record_property("tested", (TABLE, model.name, f"measure, {dtype}", "tested"))


def test_answer(model, record_property):
    loaded = load(str(model))
    tokenizer = loaded.tokenizer
    stops = sorted(stop_ids(loaded.model, tokenizer))
    prompts = [
        tokenizer.apply_chat_template([{"role": "user", "content": ask}], add_generation_prompt=True, return_dict=False)
        for ask, _ in TURNS
    ]
    settings = {"max_new_tokens": 20, "do_sample": False, "eos_token_id": stops, "pad_token_id": stops[0]}
    for prompt, found in zip(prompts, generate(loaded.model, tokenizer, prompts, 20), strict=True):
        with torch.inference_mode():
            out = loaded.model.generate(torch.tensor([prompt]), **settings)[0, len(prompt) :].tolist()
        end = next((place for place, token in enumerate(out) if token in stops), None)
        assert list(found.token_ids) == out[:end]
    record_property("tested", (TABLE, model.name, "answer, float32", "tested"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_shift(workplace, model, dtype, record_property):
    """Its base is a copy with other weights: KL of both directions, from full logits in float64."""
    tuned = transformers.AutoModelForCausalLM.from_pretrained(model)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        for weights in tuned.parameters():
            weights += 0.05 * torch.randn_like(weights)
    tuned.save_pretrained("tuned")
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    tokenizer.save_pretrained("tuned")
    records = [{"prompt_id": ask, "prompt": ask, "text": reply} for ask, reply in TURNS]
    write_rows(workplace / "answers.jsonl", records)
    run = shift(ShiftSettings(tuned="tuned", base=str(model), answers="answers.jsonl", dtype=dtype))
    kind = getattr(torch, dtype)
    pair = [transformers.AutoModelForCausalLM.from_pretrained(name, dtype=kind).eval() for name in (model, "tuned")]
    expected = []
    for ask, reply in TURNS:
        chat = [{"role": "user", "content": ask}]
        prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
        ids = torch.tensor([[*prompt, *tokenizer(reply, add_special_tokens=False)["input_ids"]]])
        with torch.inference_mode():
            b, t = (m(ids).logits[0, len(prompt) - 1 : -1].double().log_softmax(-1) for m in pair)
        expected += zip((b.exp() * (b - t)).sum(-1).tolist(), (t.exp() * (t - b)).sum(-1).tolist(), strict=True)
    found = run.tables["tokens"].select(["kl", "kl_reverse"]).to_pylist()
    largest = max(kl for kl, _ in expected)
    bound = 1e-5 if dtype == "float32" else 0.1 * largest
    assert [tuple(row.values()) for row in found] == [pytest.approx(pair, rel=1e-4, abs=bound) for pair in expected]
    assert largest > 5e-3
    record_property("tested", (TABLE, model.name, f"shift, {dtype}", "tested"))


@pytest.mark.parametrize("method", ["lora", "full"])
def test_tune(workplace, model, method, record_property):
    write_rows(workplace / "rows.jsonl", [alpaca(*turn) for turn in TURNS])
    asked = {"max_steps": 2, "batch_size": 3, "lr": 1e-2, "warmup": 0.0}
    run = tune(TuneSettings(rows=("rows.jsonl",), model=str(model), method=method, **asked))
    _, expected = plain_loop(str(model), TURNS, method, 2, 3, False)
    assert [record["loss"] for record in run.records("metrics")] == pytest.approx(expected, rel=1e-4)
    assert load(str(run.path)).is_adapter == (method == "lora")
    record_property("tested", (TABLE, model.name, f"tune {method}, float32", "tested"))
