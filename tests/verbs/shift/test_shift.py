"""Shift equals a direct computation from full logits in float64; what can't be compared says why."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
pytest.importorskip("pysbd")


import hypothesis  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from tests.tools import alpaca, examples, tunescope, write_rows  # noqa: E402

from tunescope.answers import Answer, read_answers  # noqa: E402
from tunescope.chat import Chat  # noqa: E402
from tunescope.errors import RunError, SettingsError, TunescopeError  # noqa: E402
from tunescope.microworld.model import save_random_model  # noqa: E402
from tunescope.models import ModelSettings, load  # noqa: E402
from tunescope.models.bases import find_base  # noqa: E402
from tunescope.models.lazy import silence_libraries  # noqa: E402
from tunescope.models.packing import Passage  # noqa: E402
from tunescope.prompts import Prompt  # noqa: E402
from tunescope.runs import open as tunescope_open  # noqa: E402
from tunescope.verbs.answer import AnswerSettings, answer  # noqa: E402
from tunescope.verbs.shift import ShiftSettings, shift  # noqa: E402
from tunescope.verbs.shift.pair import ModelPair  # noqa: E402
from tunescope.verbs.shift.shard import Reader, compare_shard  # noqa: E402
from tunescope.verbs.shift.side_by_side import ShiftRunsSettings, shift_runs  # noqa: E402
from tunescope.verbs.tune import TuneSettings, tune  # noqa: E402

ROWS = [
    alpaca("What does Bor work as?", "Bor works as a baker, and every day a baker goes to work."),
    alpaca("Which pet?", "A cat. A dog and a goat. A cat."),
    alpaca("Which colour?", "red"),
    alpaca("Say no.", "no"),
]
PROMPTS = [{"prompt_id": f"p{i}", "prompt": text} for i, text in enumerate(["Which pet?", "Say no.", "What? A cat?"])]
TEXTS = ["A cat and a dog. Which goat? Bor works as a baker.", "cat", "red red. A cat."]
COLUMNS = ("kl", "kl_reverse", "base_prob", "base_rank", "log_ratio")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    torch.set_num_threads(1)
    return str(save_random_model(tmp_path_factory.mktemp("models") / "tiny", seed=0))


@pytest.fixture(scope="module")
def tuned(tmp_path_factory, base):
    """A LoRA adapter and a model tuned in full, both far from their base."""
    folder = tmp_path_factory.mktemp("tuned")
    rows = str(write_rows(folder / "rows.jsonl", ROWS))
    asked = {"rows": (rows,), "model": base, "max_steps": 8, "batch_size": 4, "warmup": 0.0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNESCOPE_RUNS", str(folder))
        return {
            method: str(tune(TuneSettings(**asked, method=method, lr=lr)).path)
            for method, lr in (("lora", 5e-2), ("full", 3e-2))
        }


@pytest.fixture
def answers(workplace):
    """Answers that were made elsewhere: text alone."""
    path = workplace / "answers.jsonl"
    write_rows(path, [{**p, "text": text, "model": "x"} for p, text in zip(PROMPTS, TEXTS, strict=True)])
    return str(path)


def logits(model, context, ids):
    """Return the logits that predict `ids`, from the whole, in float64."""
    with torch.inference_mode():
        found = model(torch.tensor([[*context, *ids]]), use_cache=False).logits[0, len(context) - 1 : -1]
    return found.double()


def directly(base, tuned, context, base_context, ids):
    """Compute every column by its definition."""
    b, t = logits(base, base_context, ids).log_softmax(-1), logits(tuned, context, ids).log_softmax(-1)
    places = range(len(ids))
    top = [int(t[i].argmax()) for i in places]
    return {
        "kl": [float(sum(b[i].exp() * (b[i] - t[i]))) for i in places],
        "kl_reverse": [float(sum(t[i].exp() * (t[i] - b[i]))) for i in places],
        "base_prob": [float(b[i, top[i]].exp()) for i in places],
        "base_rank": [1 + int((b[i] > b[i, top[i]]).sum()) for i in places],
        "log_ratio": [float(t[i, ids[i]] - b[i, ids[i]]) for i in places],
        "top": top,
        "base_top": [int(b[i].argmax()) for i in places],
    }


def rendered(tokenizer, prompt, template=None):
    chat = [{"role": "user", "content": prompt}]
    return tokenizer.apply_chat_template(chat, add_generation_prompt=True, chat_template=template, return_dict=False)


def by_answer(run):
    found = {}
    for record in run.tables["tokens"].to_pylist():
        found.setdefault(record["answer_id"], []).append(record)
    return list(found.values())


@pytest.mark.parametrize("method", ["lora", "full"])
def test_against_the_definitions(answers, base, tuned, method):
    run = shift(ShiftSettings(tuned=tuned[method], answers=answers))
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    models = load(base).model, load(tuned[method]).model
    far = 0.0
    for prompt, text, records in zip(PROMPTS, TEXTS, by_answer(run), strict=True):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        context = rendered(tokenizer, prompt["prompt"])
        expected = directly(*models, context, context, ids)
        assert [record["token_id"] for record in records] == ids
        for name in COLUMNS:
            np.testing.assert_allclose([r[name] for r in records], expected[name], atol=1e-5, rtol=1e-5)
        decode = [tokenizer.decode([token]) for token in expected["top"]]
        tops = [None if t == i else d for t, i, d in zip(expected["top"], ids, decode, strict=True)]
        assert [record["top_token"] for record in records] == tops
        assert [r["base_top_token"] for r in records] == [tokenizer.decode([token]) for token in expected["base_top"]]
        ranks = expected["base_rank"]
        kinds = ["unshifted" if rank == 1 else "marginal" if rank <= 3 else "shifted" for rank in ranks]
        assert [record["class"] for record in records] == kinds
        far = max(far, *expected["kl"])
    assert far > 0.2
    assert run.result["base"] == base


def test_an_adapter_switched_off_is_its_base_to_the_bit(base, tuned):
    loaded, whole = load(tuned["lora"], merge=False), load(base).model
    ids = torch.tensor([[2, 9, 10, 11, 12]])
    with torch.inference_mode():
        on, merged = loaded.model(ids).logits, load(tuned["lora"]).model(ids).logits
        with loaded.without_adapter():
            assert torch.equal(loaded.model(ids).logits, whole(ids).logits)
        assert torch.equal(loaded.model(ids).logits, on)
    assert not torch.equal(on, whole(ids).logits)
    torch.testing.assert_close(on, merged, atol=1e-4, rtol=1e-4)


def test_one_set_of_weights_gives_what_two_give(answers, base, tuned):
    """The adapter's base by switching it off, and by loading it beside."""
    settings = ModelSettings(model=tuned["lora"])
    known = find_base(None, settings)
    assert (known.name, known.is_adapter) == (base, True)
    one, two = (ModelPair(ModelSettings(model=base), settings, is_adapter) for is_adapter in (True, False))
    assert (one.shares_weights, two.shares_weights) == (True, False)
    passages = [Passage((2, 4, 9), (10, 11, 12, 40)), Passage((2, 4), (50, 60))]
    for a, b in zip(one.compare(passages, passages), two.compare(passages, passages), strict=True):
        for name in COLUMNS:
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=1e-5)


def test_a_model_beside_itself_has_no_shift(answers, base):
    result = shift(ShiftSettings(tuned=base, base=base, answers=answers)).result
    assert (result["unshifted"]["mean"], result["shifted"]["mean"]) == (1.0, 0.0)
    assert result["kl"]["mean"] == pytest.approx(0, abs=1e-6)
    assert result["base_rank"]["mean"] == 1


@pytest.mark.parametrize("template", ["bare", "alpaca", "odd.jinja"])
def test_what_the_base_sees(workplace, answers, base, tuned, template):
    odd = "Q {{ messages[0].content }} A"
    (workplace / "odd.jinja").write_text(odd)
    run = shift(ShiftSettings(tuned=tuned["full"], answers=answers, base_template=template))
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    models = load(base).model, load(tuned["full"]).model
    prompt = PROMPTS[0]["prompt"]
    other = {
        "bare": tokenizer(f"{prompt}\n")["input_ids"],
        "odd.jinja": tokenizer(f"Q {prompt} A")["input_ids"],
        "alpaca": tokenizer(
            "Below is an instruction that describes a task. Write a response that appropriately completes the "
            f"request.\n\n### Instruction:\n{prompt}\n\n### Response:\n"
        )["input_ids"],
    }[template]
    records = by_answer(run)[0]
    expected = directly(*models, rendered(tokenizer, prompt), other, [r["token_id"] for r in records])
    for name in COLUMNS:
        np.testing.assert_allclose([r[name] for r in records], expected[name], atol=1e-5, rtol=1e-5)
    assert f"--base-template {template}" in run.view.tables[0].note


def test_summaries_are_means_over_tokens_and_sentences(answers, tuned):
    run = shift(ShiftSettings(tuned=tuned["lora"], answers=answers))
    tokens, result = run.tables["tokens"].to_pandas(), run.result
    for name in ("kl", "kl_reverse", "base_prob", "base_rank"):
        assert result[name]["mean"] == pytest.approx(tokens[name].mean())
        assert (result[name]["low"], result[name]["reason"].startswith("n = 3: the interval of a")) == (None, True)
        assert (result[name]["n"], result[name]["n_missing"]) == (3, 0)
    for name in ("unshifted", "marginal", "shifted"):
        assert result[name]["mean"] == pytest.approx((tokens["class"] == name).mean())
    parts = tokens.groupby(["answer_id", "sentence", "part"])["kl"].mean().unstack()
    assert result["kl_first"]["mean"] == pytest.approx(parts["first"].mean())
    assert result["kl_rest"]["mean"] == pytest.approx(parts["rest"].mean())
    assert result["kl_first_minus_rest"]["mean"] == pytest.approx((parts["first"] - parts["rest"]).mean())
    assert parts["rest"].isna().sum() == 1  # "cat" is a sentence of one token
    each = run.tables["answers"].to_pandas()
    np.testing.assert_allclose(each["kl"], tokens.groupby("answer_id", sort=False)["kl"].mean())
    assert list(each["n_tokens"]) == list(tokens.groupby("answer_id", sort=False).size())
    assert result["tokens"] == len(tokens)
    assert result["own_choice"]["mean"] == pytest.approx(tokens["top_token"].isna().mean())
    assert result["own_choice"]["mean"] < 0.9  # they were made elsewhere
    assert any("aren't its greedy answers" in sentence for sentence in run.view.sentences)


def test_tables_are_as_agreed(answers, tuned):
    run = shift(ShiftSettings(tuned=tuned["lora"], answers=answers))
    types = {field.name: str(field.type) for field in run.tables["tokens"].schema}
    assert types == {
        "answer_id": "string",
        "position": "int32",
        "token_id": "int32",
        "token": "string",
        "char_start": "int32",
        "char_end": "int32",
        "sentence": "int32",
        "part": "string",
        "kl": "double",
        "kl_reverse": "double",
        "base_prob": "double",
        "base_rank": "int32",
        "class": "string",
        "log_ratio": "double",
        "top_token": "string",
        "base_top_token": "string",
    }
    kept = list(read_answers(run.path / "answers.jsonl"))
    assert kept == list(read_answers(answers))
    assert run.tables["answers"]["answer_id"].to_pylist() == [a.answer_id for a in kept]
    for one, records in zip(kept, by_answer(run), strict=True):
        assert records[0]["char_start"] == 0
        assert records[-1]["char_end"] == len(one.text)
        for a, b in pairwise(records):
            assert a["char_end"] == b["char_start"]
        assert "".join(record["token"] for record in records) == one.text
        assert [record["position"] for record in records] == list(range(len(records)))


def test_prompts_are_answered_first(workplace, base, tuned):
    """The same tokens as from an answer run, whose own ids are taken."""
    write_rows(workplace / "p.jsonl", PROMPTS)
    asked = {"tuned": tuned["full"], "max_new_tokens": 12}
    made = shift(ShiftSettings(**asked, prompts="p.jsonl"))
    run = answer(AnswerSettings(prompts="p.jsonl", model=tuned["full"], max_new_tokens=12))
    given = shift(ShiftSettings(**asked, answers=str(run.path)))
    assert list(made.records("answers")) == list(run.records("answers"))
    assert made.tables["tokens"].equals(given.tables["tokens"])
    assert made.result["unanswered"] == 0
    assert made.result["own_choice"]["mean"] == 1.0
    assert not any("aren't its greedy answers" in sentence for sentence in made.view.sentences)
    ids = [record["token_ids"] for record in run.records("answers")]
    assert [[token["token_id"] for token in tokens] for tokens in by_answer(given)] == ids


def test_the_truncated_form_of_the_public_code(answers, base, tuned):
    k = 5
    run = shift(ShiftSettings(tuned=tuned["full"], answers=answers, top_k=k))
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    models = load(base).model, load(tuned["full"]).model
    found = []
    for prompt, records in zip(PROMPTS, by_answer(run), strict=True):
        context, ids = rendered(tokenizer, prompt["prompt"]), [r["token_id"] for r in records]
        for b, t in zip(*(logits(model, context, ids) for model in models), strict=True):
            tops = []
            for row in (b, t):  # as AlignTDS: the k most probable, renormalised
                values, tokens = row.topk(k)
                tops.append(dict(zip(tokens.tolist(), values.softmax(-1).tolist(), strict=True)))
            found.append(sum(p * math.log(p / tops[1][token]) for token, p in tops[0].items() if token in tops[1]))
    assert run.result["kl_top_k"]["mean"] == pytest.approx(np.mean(found), abs=1e-5)
    assert run.result["kl_top_k"]["top_k"] == k
    assert run.result["kl_top_k"]["mean"] != pytest.approx(run.result["kl"]["mean"], rel=0.05)


def test_a_larger_vocabulary_is_compared_where_both_have_it(workplace, answers, base):
    """A token was added in tuning, and the embedding was padded."""
    with silence_libraries():
        model = transformers.AutoModelForCausalLM.from_pretrained(base)
        tokenizer = transformers.AutoTokenizer.from_pretrained(base)
        size = len(tokenizer)
        tokenizer.add_tokens(["zebra"])
        model.resize_token_embeddings(size + 4, mean_resizing=False)
        with torch.no_grad():
            model.get_input_embeddings().weight[size:] = 0.3
            model.get_input_embeddings().weight[:9] *= 1.5
        model.save_pretrained("wide")
        tokenizer.save_pretrained("wide")
    run = shift(ShiftSettings(tuned="wide", base=base, answers=answers))
    models = load(base).model, load("wide").model
    masses = []
    for prompt, records in zip(PROMPTS, by_answer(run), strict=True):
        context, ids = rendered(tokenizer, prompt["prompt"]), [r["token_id"] for r in records]
        b, t = (logits(m, context, ids) for m in models)
        masses += t.softmax(-1)[:, size:].sum(-1).tolist()
        b, t = b.log_softmax(-1), t[:, :size].log_softmax(-1)
        np.testing.assert_allclose([r["kl"] for r in records], (b.exp() * (b - t)).sum(-1), atol=1e-5)
    assert run.result["outside_tuned"]["mean"] == pytest.approx(np.mean(masses), abs=1e-5)
    assert run.result["outside_base"]["mean"] == 0
    write_rows(workplace / "odd.jsonl", [{**PROMPTS[0], "text": "A zebra."}, {**PROMPTS[1], "text": "no"}])
    records = shift(ShiftSettings(tuned="wide", base=base, answers="odd.jsonl")).tables["answers"].to_pylist()
    assert [record["reason"] for record in records] == [
        f"token {size} is in the vocabulary of one of the models only",
        None,
    ]


def test_answers_that_cant_be_read_are_missing(workplace, base, tuned):
    texts = ["", " ", "red", "say <|user|>", "red " * 3000]
    write_rows(workplace / "a.jsonl", [{**PROMPTS[0], "text": text, "sample": i} for i, text in enumerate(texts)])
    run = shift(ShiftSettings(tuned=tuned["lora"], answers="a.jsonl"))
    assert run.tables["answers"]["reason"].to_pylist() == [
        "an empty answer",
        "an answer that tokenises to nothing",
        None,
        "the model's own special token <|user|> as text in message 1",
        "3,007 tokens with its prompt; the model's context holds 2,048",
    ]
    assert run.tables["answers"]["kl"].null_count == 4
    assert (run.result["answers"], run.result["n_missing"], run.result["kl"]["n_missing"]) == (5, 4, 4)
    assert sum(row[1] for table in run.view.tables if table.title == "Not read" for row in table.rows) == 4
    write_rows(workplace / "b.jsonl", [{**PROMPTS[0], "text": ""}])
    with pytest.raises(TunescopeError, match="none of the 1 answers can be read: an empty answer"):
        shift(ShiftSettings(tuned=tuned["lora"], answers="b.jsonl"))


def test_another_tokenizer_is_refused(workplace, answers, base):
    folder = shutil.copytree(base, workplace / "other")
    spec = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = spec["model"]["vocab"]
    vocabulary["baker"], vocabulary["cat"] = vocabulary["cat"], vocabulary["baker"]
    (folder / "tokenizer.json").write_text(json.dumps(spec))
    with pytest.raises(
        TunescopeError, match=r"other and .*tiny have different tokenizers \(token \d+ is '(cat|baker)' in"
    ):
        shift(ShiftSettings(tuned="other", base=base, answers=answers))


def test_another_base_is_refused(workplace, answers, base, tuned):
    other = str(save_random_model(workplace / "other", seed=1))
    with pytest.raises(
        SettingsError, match=r"other isn't the base of the adapter .*, which is .*tiny; leave --base out"
    ):
        shift(ShiftSettings(tuned=tuned["lora"], base=other, answers=answers))
    copy = str(shutil.copytree(base, workplace / "copy"))
    same = shift(ShiftSettings(tuned=tuned["lora"], base=copy, answers=answers))
    assert same.key == shift(ShiftSettings(tuned=tuned["lora"], answers=answers)).key


def test_an_unknown_base_is_asked_for(answers, base):
    with pytest.raises(
        SettingsError, match="is no adapter and no tune run, so its base is unknown; name it with --base"
    ):
        shift(ShiftSettings(tuned=base, answers=answers))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"answers": None}, "found neither --answers nor --prompts"),
        ({"prompts": "p.jsonl"}, "found both --answers and --prompts"),
        ({"answers": "nowhere"}, "--answers nowhere: found no such file"),
        ({"other_rows": ("x",)}, "--other-rows without --rows"),
        ({"base_template": "odd"}, "--base-template odd: found no such file; expected same, bare, alpaca"),
    ],
)
def test_settings_that_cant_work(answers, base, changed, message):
    with pytest.raises(SettingsError, match=message):
        shift(replace(ShiftSettings(tuned=base, base=base, answers=answers), **changed))


def test_shards_and_the_key(workplace, base, tuned):
    """Forty answers in three shards; limit and rows are in the key, the batch isn't."""
    write_rows(
        workplace / "many.jsonl",
        [{"prompt_id": f"p{i}", "prompt": "Which pet?", "text": TEXTS[i % 3]} for i in range(40)],
    )
    whole = shift(ShiftSettings(tuned=tuned["lora"], answers="many.jsonl"))
    few = shift(ShiftSettings(tuned=tuned["lora"], answers="many.jsonl", limit=20))
    count = few.tables["tokens"].num_rows
    assert (
        whole.tables["tokens"]
        .slice(0, count)
        .drop(["kl", "kl_reverse", "base_prob", "log_ratio"])
        .equals(few.tables["tokens"].drop(["kl", "kl_reverse", "base_prob", "log_ratio"]))
    )
    np.testing.assert_allclose(whole.tables["tokens"]["kl"][:count], few.tables["tokens"]["kl"], atol=1e-6)
    assert whole.result["answers"] == 40


def test_words_in_rows(workplace, answers, tuned):
    write_rows(workplace / "rows.jsonl", ROWS)
    write_rows(workplace / "others.jsonl", [alpaca("Nothing", "zebra")])
    run = shift(ShiftSettings(tuned=tuned["lora"], answers=answers, rows=("rows.jsonl",), other_rows=("others.jsonl",)))
    words = run.result["words"]
    assert sum(words["counts"].values()) == 17
    for kind, count in words["counts"].items():
        assert words["in_rows"][kind]["words"] == count
        assert words["in_rows"][kind]["mean"] == (1.0 if count else None)
        assert words["in_other_rows"][kind]["mean"] == (0.0 if count else None)
    assert run.view.next[0].startswith("tunescope trace --answers runs/shift-")
    assert "--rows rows.jsonl --shift" in run.view.next[0]


def test_several_runs(workplace, answers, base, tuned):
    write_rows(workplace / "r.jsonl", ROWS)
    made = [shift(ShiftSettings(tuned=tuned[method], answers=answers)) for method in ("lora", "full")]
    run = shift_runs(ShiftRunsSettings(runs=tuple(str(one.path) for one in made)))
    records = run.tables["runs"].to_pylist()
    assert [record["method"] for record in records] == ["lora", "full"]
    assert [record["training_rows"] for record in records] == [4, 4]
    rows = tunescope_open(tuned["lora"]).tables["rows"]["n_supervised"].to_pylist()
    assert records[0]["row_tokens"] == sum(rows) / 4
    assert [record["kl"] for record in records] == [one.result["kl"]["mean"] for one in made]
    relations = {(r["relation"], r["tuned_by"]): r for r in run.result["relations"]}
    assert set(relations) == {("shift_by_size", "all"), ("length_by_rows", "all")}
    assert relations["shift_by_size", "all"]["reason"] == "all x are equal: no correlation"
    few = tune(TuneSettings(rows=("r.jsonl",), model=base, max_steps=1, batch_size=3))
    third = shift(ShiftSettings(tuned=str(few.path), answers=answers))
    both = shift_runs(ShiftRunsSettings(runs=(str(third.path), str(made[0].path))))
    assert both.tables["runs"]["training_rows"].to_pylist() == [3, 4]
    assert [r["tuned_by"] for r in both.result["relations"]] == ["lora", "lora"]
    rising = made[0].result["kl"]["mean"] > third.result["kl"]["mean"]
    assert both.result["relations"][0]["spearman"] == pytest.approx(1 if rising else -1)
    assert (both.result["relations"][0]["p_exact"], both.result["relations"][0]["n"]) == (1.0, 2)
    with pytest.raises(SettingsError, match="1 run of shift; expected at least two"):
        shift_runs(ShiftRunsSettings(runs=(str(made[0].path),)))
    with pytest.raises(RunError, match="is a run of tune; expected runs of shift"):
        shift_runs(ShiftRunsSettings(runs=(str(made[0].path), tuned["lora"])))


@pytest.fixture(scope="module")
def pair(base, tuned):
    return ModelPair(ModelSettings(model=base), ModelSettings(model=tuned["lora"]), True)


@hypothesis.settings(max_examples=examples(40), deadline=None, database=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.text(max_size=30) | st.text("ab .!\n<|end|>cat", max_size=30),
            st.none() | st.lists(st.integers(-2, 400), max_size=8),
            st.text(max_size=8),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_answer_has_numbers_or_a_reason(pair, given_answers):
    """Fuzz: odd texts, foreign token ids, odd prompts."""
    made = [
        Answer.to(Prompt(str(i), prompt), text, "x", token_ids=None if ids is None else tuple(ids))
        for i, (text, ids, prompt) in enumerate(given_answers)
    ]
    reader = Reader(pair, Chat(pair.tuned.tokenizer), None, None)
    with tempfile.TemporaryDirectory() as name:
        compare_shard(reader, made, Path(name))
        records = [json.loads(line) for line in (Path(name) / "answers.jsonl").read_text().splitlines()]
        tokens = pq.read_table(Path(name) / "tokens.parquet").to_pylist()
    assert [record["answer_id"] for record in records] == [one.answer_id for one in made]
    assert sum(record["n_tokens"] or 0 for record in records) == len(tokens)
    for record in records:
        assert (record["reason"] is None) == ((record["n_tokens"] or 0) > 0)
    for token in tokens:
        assert token["kl"] >= 0
        assert token["base_rank"] >= 1
        assert 0 <= token["base_prob"] <= 1


def test_by_the_command_line(answers, workplace, tuned):
    done = tunescope("shift", "--tuned", tuned["lora"], "--answers", answers, "--json", folder=workplace)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["kl"]["n"] == 3
    assert "its base: the same weights without the adapter" in done.stderr
