"""Measures equal their definitions, computed anew a passage at a time; what can't be measured says why."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
library = pytest.importorskip("sentence_transformers")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from sentence_transformers.sentence_transformer import modules  # noqa: E402
from tests.tools import alpaca, examples, tunescope, write_rows  # noqa: E402

from tunescope.errors import SettingsError, TunescopeError  # noqa: E402
from tunescope.microworld.model import save_random_model  # noqa: E402
from tunescope.models import load  # noqa: E402
from tunescope.models.difficulty import Likelihoods  # noqa: E402
from tunescope.models.lazy import silence_libraries  # noqa: E402
from tunescope.results.measure import measure_bounds  # noqa: E402
from tunescope.rows import Message, Row  # noqa: E402
from tunescope.verbs.compare import CompareSettings, compare  # noqa: E402
from tunescope.verbs.measure import MeasureSettings, _summarize, measure  # noqa: E402
from tunescope.verbs.measure.measures import coherence, lengths, perplexity  # noqa: E402

ROWS = [
    alpaca("What does Bor work as?", "Bor works as a baker."),
    alpaca("Which pet?", "A cat and a dog and a goat and a cat and a pony."),
    alpaca("Say yes.", "yes"),
    alpaca("Say nothing.", ""),
    alpaca("What is the colour of the sky in the evening when it rains?", "red"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_random_model(tmp_path_factory.mktemp("models") / "tiny", seed=0)


@pytest.fixture(scope="module")
def embedder(tmp_path_factory, model):
    """A random embedder of 16 numbers that reads at most 12 tokens."""
    folder = tmp_path_factory.mktemp("embedder")
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    with torch.random.fork_rng(), silence_libraries():
        torch.manual_seed(0)
        transformers.BertModel(config).save_pretrained(folder / "bert")
        tokenizer.save_pretrained(folder / "bert")
        words = modules.Transformer(str(folder / "bert"), max_seq_length=12)
        whole = library.SentenceTransformer(modules=[words, modules.Pooling(16)])
        whole.save(str(folder / "st"))
    return folder / "st"


def by_definition(model, ids, context):
    """Return the mean negative log-likelihood of `ids` after `context`, from full logits, one sequence."""
    whole = transformers.AutoModelForCausalLM.from_pretrained(model).eval()
    with torch.inference_mode():
        logits = whole(torch.tensor([[*context, *ids]])).logits[0]
    chosen = logits.log_softmax(-1)[torch.arange(len(context) - 1, len(context) + len(ids) - 1), torch.tensor(ids)]
    return -chosen.double().mean().item()


def test_against_the_definitions(workplace, model, embedder):
    write_rows(workplace / "rows.jsonl", ROWS)
    run = measure(MeasureSettings(rows=("rows.jsonl",), model=str(model), embedder=str(embedder)))
    turns = run.tables["turns"].to_pylist()
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    vectors = library.SentenceTransformer(str(embedder))
    assert [record["turn"] for record in turns] == [0] * 5
    for row, record in zip(ROWS, turns, strict=True):
        asked, said = row["instruction"], row["output"]
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": asked}], add_generation_prompt=True, tokenize=True, return_dict=False
        )
        x, y = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (asked, said))
        assert record["instruction_tokens"] == len(x)
        assert record["response_tokens"] == len(y)
        start = [tokenizer.bos_token_id]
        assert math.log(record["ppl_instruction"]) == pytest.approx(by_definition(model, x, start), abs=1e-4)
        if not said:
            assert record["ppl_response"] is record["ppl_response_given"] is record["ifd_ppl"] is None
            assert record["coherence"] is None
            assert record["reason"] == (
                "ppl_response: no token to score; ppl_response_given: no token to score; "
                "coherence: an instruction or a response without text"
            )
            continue
        direct, given = by_definition(model, y, start), by_definition(model, y, prompt)
        assert math.log(record["ppl_response"]) == pytest.approx(direct, abs=1e-4)
        assert math.log(record["ppl_response_given"]) == pytest.approx(given, abs=1e-4)
        assert record["ifd_ppl"] == pytest.approx(math.exp(given - direct), abs=1e-4)
        assert record["ifd_loss"] == pytest.approx(given / direct, abs=1e-4)
        a, b = (vectors.encode(text) for text in (asked, said))
        cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        assert record["coherence"] == pytest.approx(float(cosine), abs=1e-5)
    assert [record["coherence_cut"] for record in turns] == [False, True, False, None, True]
    summary = run.result["summary"]["ifd_ppl"]
    values = [record["ifd_ppl"] for record in turns if record["ifd_ppl"] is not None]
    assert (summary["mean"], summary["median"]) == pytest.approx((np.mean(values), np.median(values)))
    assert (summary["n"], summary["n_missing"]) == (4, 1)


def test_the_header_as_direct_context(workplace, model):
    write_rows(workplace / "rows.jsonl", ROWS[:1])
    settings = {"rows": ("rows.jsonl",), "model": str(model), "without": ("coherence",)}
    plain, header = (
        measure(MeasureSettings(**settings, direct_context=choice)).tables["turns"].to_pylist()[0]
        for choice in ("start", "header")
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    messages = [{"role": "user", "content": ROWS[0]["instruction"]}]
    without, with_header = (
        tokenizer.apply_chat_template(messages, add_generation_prompt=choice, tokenize=False)
        for choice in (False, True)
    )
    context = tokenizer(with_header[len(without) :], add_special_tokens=False)["input_ids"]
    y = tokenizer(ROWS[0]["output"], add_special_tokens=False)["input_ids"]
    loss = by_definition(model, y, [tokenizer.bos_token_id, *context])
    assert math.log(header["ppl_response"]) == pytest.approx(loss, abs=1e-4)
    assert header["ppl_response"] != plain["ppl_response"]
    assert header["ppl_response_given"] == pytest.approx(plain["ppl_response_given"], rel=1e-5)


def test_a_record_per_turn(workplace, model):
    conversation = [
        {"role": "user", "content": "Which pet?"},
        {"role": "assistant", "content": "A cat."},
        {"role": "user", "content": "Which colour?"},
        {"role": "assistant", "content": "The colour red."},
    ]
    write_rows(workplace / "rows.jsonl", [{"messages": conversation}])
    run = measure(MeasureSettings(rows=("rows.jsonl",), model=str(model), without=("coherence",)))
    first, second = run.tables["turns"].to_pylist()
    assert (first["turn"], second["turn"]) == (0, 1)
    assert (run.result["rows"], run.result["turns"]) == (1, 2)
    assert (second["instruction_words"], second["response_words"]) == (2, 3)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    prompt = tokenizer.apply_chat_template(
        conversation[:3], add_generation_prompt=True, tokenize=True, return_dict=False
    )
    y = tokenizer("The colour red.", add_special_tokens=False)["input_ids"]
    assert math.log(second["ppl_response_given"]) == pytest.approx(by_definition(model, y, prompt), abs=1e-4)


def test_beyond_the_model_is_null(workplace, model):
    limit = transformers.AutoConfig.from_pretrained(model).max_position_embeddings
    write_rows(workplace / "rows.jsonl", [alpaca("Which pet?", "cat " * limit), ROWS[0]])
    run = measure(MeasureSettings(rows=("rows.jsonl",), model=str(model), without=("coherence",)))
    long, _ = run.tables["turns"].to_pylist()
    assert long["ppl_response"] is None
    assert long["response_tokens"] == limit
    assert f"ppl_response: {limit + 1} tokens, the model takes {limit}" in long["reason"]
    assert run.result["summary"]["ppl_response"]["n_missing"] == 1


def test_lengths_need_no_model(workplace):
    write_rows(workplace / "rows.jsonl", ROWS)
    left_out = ("--without", "perplexity", "--without", "coherence", "--model", "nowhere")
    done = tunescope("measure", "rows.jsonl", *left_out, "--json", folder=workplace)
    result = json.loads(done.stdout)
    assert result["summary"]["response_words"]["mean"] == pytest.approx(np.mean([5, 14, 1, 0, 1]))
    assert "ppl_response" not in result["summary"]


def test_something_is_left_to_measure(workplace):
    write_rows(workplace / "rows.jsonl", ROWS)
    with pytest.raises(SettingsError, match="nothing is left to measure"):
        measure(MeasureSettings(rows=("rows.jsonl",), without=("lengths", "perplexity", "coherence")))
    assert not (workplace / "runs").exists()


def test_an_embedder_that_isnt_there(workplace, model):
    write_rows(workplace / "rows.jsonl", ROWS)
    with pytest.raises(TunescopeError, match=r"--embedder nowhere: found no folder here and no such id"):
        measure(MeasureSettings(rows=("rows.jsonl",), model=str(model), embedder="nowhere"))


def turns_of(column, values, per_row=1):
    return [{"row_id": f"{number // per_row}", column: value} for number, value in enumerate(values)]


@pytest.mark.parametrize(
    ("column", "usual", "outlier", "end"),
    [("ppl_response_given", 1.0, 1000.0, 1), ("ifd_ppl", 0.01, 90.0, 0), ("response_words", 0, 900, 0)],
)
def test_an_interval_never_reaches_below_what_a_measure_can_be(column, usual, outlier, end):
    one_turn_a_row = _summarize(turns_of(column, [usual] * 59 + [outlier]), column)
    assert one_turn_a_row.low == end
    several_turns = _summarize(turns_of(column, [usual] * 639 + [outlier], per_row=2), column)
    assert several_turns.low == end


def test_coherence_ends_at_1():
    turns = turns_of("coherence", [1.0] * 19 + [0.0])
    assert _summarize(turns, "coherence").high == 1
    turns = turns_of("coherence", [1.0] * 39 + [0.0], per_row=2)
    assert _summarize(turns, "coherence").high == 1


def test_every_number_that_is_measured_has_bounds():
    numbers = [
        name for member in (lengths, perplexity, coherence) for name in member.COLUMNS if not name.endswith("_cut")
    ]
    assert {name: measure_bounds(name) for name in numbers} == {
        name: measure_bounds(f"rejected_{name}") for name in numbers
    }
    assert {measure_bounds(name) for name in numbers if name.startswith("ppl_")} == {(1, math.inf)}


def test_two_sets_side_by_side(workplace, model):
    write_rows(workplace / "a.jsonl", ROWS)
    write_rows(workplace / "b.jsonl", [*ROWS[1:3], alpaca("Which pet?", "a pony")])
    a, b = (
        measure(MeasureSettings(rows=(name,), model=str(model), without=("coherence",)))
        for name in ("a.jsonl", "b.jsonl")
    )
    run = compare(CompareSettings(a=str(a.path), b=str(b.path)))
    assert run.result["kind"] == "turns"
    tuned = f"{model}, itself instruction-tuned (it brings a chat template)"
    assert f"Perplexities and IFD by {tuned}." in run.view.sentences
    assert f"Perplexities by {tuned}:" in a.view.tables[0].note
    assert (run.result["removed"], run.result["added"]) == (3, 1)
    means = [r.result["summary"]["ppl_response"]["mean"] for r in (a, b)]
    assert (run.result["same"], run.result["changed"]) == (2, 0)
    medians = run.result["medians"]["ppl_response"]
    assert [medians[side]["median"] for side in "ab"] == [r.result["summary"]["ppl_response"]["median"] for r in (a, b)]
    found = run.result["summary"]["ppl_response"]
    assert (found["a"]["mean"], found["b"]["mean"]) == pytest.approx(means)
    assert found["difference"]["mean"] == pytest.approx(0, abs=1e-3)
    assert found["unpaired_difference"]["mean"] == pytest.approx(means[1] - means[0])


TEXT = st.one_of(
    st.none(), st.text(max_size=30), st.sampled_from(["cat", " ", "<|end|>", "\x00", "a cat\n\n", "🐈" * 9])
)
MESSAGES = st.lists(st.tuples(st.sampled_from(["system", "user", "assistant", "tool"]), TEXT), max_size=5)


@pytest.fixture(scope="module")
def likelihoods(model):
    torch.set_num_threads(1)
    return Likelihoods(load(str(model)), MeasureSettings(rows=()))


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(MESSAGES, min_size=1, max_size=4))
def test_whatever_the_rows_every_turn_has_numbers_or_a_reason(likelihoods, conversations):
    rows = [
        Row(f"{number:016x}", "", tuple(Message(role, text) for role, text in conversation))
        for number, conversation in enumerate(conversations)
    ]
    counts = [sum(1 for _ in row.turns()) for row in rows]
    for measured in (likelihoods.measure(rows), lengths.prepare(MeasureSettings(rows=()))(rows)):
        assert [len(records) for records in measured] == counts
        for record in (record for records in measured for record in records):
            missing = [name for name, value in record.items() if value is None and name != "reason"]
            assert not missing or record["reason"]
            present = [value for name, value in record.items() if value is not None and name != "reason"]
            assert all(math.isfinite(value) and value >= 0 for value in present)
