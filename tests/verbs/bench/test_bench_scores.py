"""`bench` through lm-eval, on a tiny model: scores against lm-eval's own model class, the spread, what is refused."""

from __future__ import annotations

import json
import random
import shutil
from hashlib import sha256

import numpy as np
import pytest
from tests.tools import write_rows

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("lm_eval")

from tests.microworld.tiny import load_model  # noqa: E402

from tunescope.errors import InputError, SettingsError, TunescopeError, UsageError  # noqa: E402
from tunescope.microworld import open_questions  # noqa: E402
from tunescope.microworld.model import save_random_model  # noqa: E402
from tunescope.results.bench import BenchResult, ScoredItem  # noqa: E402
from tunescope.results.compare import ScoresResult  # noqa: E402
from tunescope.verbs.bench import BenchSettings, bench  # noqa: E402
from tunescope.verbs.compare import CompareSettings, compare  # noqa: E402

N = 24
"""Questions: all of the world's."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_random_model(tmp_path_factory.mktemp("models") / "tiny", seed=3)


def questions_of(tiny, count):
    """Return questions of the model's world, each with its options in random order."""
    rng = random.Random(0)
    records = []
    for question in open_questions(load_model(tiny).world)[:count]:
        choices = rng.sample(question.choices, len(question.choices))
        answer = question.choices[question.gold]
        records.append({"question": question.prompt, "choices": choices, "answer": answer})
    return records


@pytest.fixture
def asked(workplace, tiny):
    write_rows(workplace / "mine.jsonl", questions_of(tiny, N))
    return {"questions": ("mine.jsonl",), "model": str(tiny)}


def plain_choice(micro, record):
    """Score each choice by itself, from all logits; return the number of the best, and the log-probabilities."""
    scores = []
    for choice in record["choices"]:
        prompt = micro.tokenizer(f"Question: {record['question']}\nAnswer:")["input_ids"]
        whole = micro.tokenizer(f"Question: {record['question']}\nAnswer: {choice}")["input_ids"]
        with torch.no_grad():
            steps = micro.model(input_ids=torch.tensor([whole])).logits[0].log_softmax(-1)
        scores.append(sum(float(steps[at - 1, whole[at]]) for at in range(len(prompt), len(whole))))
    return int(np.argmax(scores)), scores


def test_own_questions_against_plain_forward_passes(asked, tiny):
    run = bench(BenchSettings(**asked, shots=0, parity_check=1000))
    micro, records = load_model(tiny), questions_of(tiny, N)
    score = BenchResult.read(run).tasks["mine"]
    right = []
    for sample, record in zip(run.records("samples_mine"), records, strict=True):
        best, scores = plain_choice(micro, record)
        found = [float(reply[0][0]) for reply in sample["resps"]]
        assert found == pytest.approx(scores, abs=1e-4)
        right.append(float(record["choices"][best] == record["answer"]))
    assert (score.score, score.n, score.n_missing, score.chance) == (np.mean(right), N, 0, 0.25)
    assert score.metric == "acc"
    assert [item.score for item in ScoredItem.read_rows(run)] == right
    written = json.loads((run.path / "results.json").read_text("utf-8"))
    assert written["results"]["mine"]["acc,none"] == score.score
    assert written["n-samples"]["mine"] == {"original": N, "effective": N}
    assert run.result["reading"] == "packed"


@pytest.mark.parametrize("exemplars", ["parity", "fixed"])
def test_exemplars_are_scored_as_lm_evals_own_code_does(asked, exemplars):
    """The parity check compares every request with lm-eval's own class, and refuses on the first that differs."""
    run = bench(BenchSettings(**asked, shots=5, exemplars=exemplars, parity_check=1000))
    samples = list(run.records("samples_mine"))
    starts = {sample["arguments"][0][0].rpartition("\n\n")[0] for sample in samples}
    assert (len(starts) <= 6) is (exemplars == "fixed")  # a question that is an exemplar itself gets the next one
    assert BenchResult.read(run).tasks["mine"].shots == 5


def test_a_parity_check_is_made_and_said_also_where_the_scores_are_known(asked):
    assert not any("own code" in said for said in bench(BenchSettings(**asked, limit=3)).view.sentences)
    run = bench(BenchSettings(**asked, limit=3, parity_check=2))
    parity = BenchResult.read(run).parity
    assert 0 <= parity <= 1e-3
    said = f"2 requests of each task, or all where it has fewer, agree with lm-eval's own code to {parity:.1g} nats."
    assert said in run.view.sentences


def test_neither_batch_size_nor_neighbours_change_a_score(asked):
    one = bench(BenchSettings(**asked, shots=2, exemplars="fixed", batch_size=1, out="one"))
    other = bench(BenchSettings(**asked, shots=2, exemplars="fixed", batch_size=7, out="other"))
    few = bench(BenchSettings(**asked, shots=2, exemplars="fixed", limit=3, out="few"))
    scores = [
        [float(reply[0][0]) for sample in run.records("samples_mine") for reply in sample["resps"]]
        for run in (one, other, few)
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)
    assert scores[0][: len(scores[2])] == pytest.approx(scores[2], abs=1e-4)


def test_the_spread_is_that_of_the_choices_scored_alone(asked):
    run = bench(BenchSettings(**asked, shots=2, spread=True, exemplar_seeds=3))
    spread = BenchResult.read(run).spread["mine"]
    assert {*spread.choices} == {f"{kind} {seed}" for kind in ("plain", "chat") for seed in (1234, 1235, 1236)}
    alone = {
        f"{'chat' if chat else 'plain'} {seed}": BenchResult.read(
            bench(BenchSettings(**asked, shots=2, chat=chat, seed=seed))
        )
        .tasks["mine"]
        .score
        for chat, seed in ((False, 1234), (False, 1236), (True, 1235))
    }
    assert alone == {name: spread.choices[name] for name in alone}
    chat, plain = ([spread.choices[f"{kind} {seed}"] for seed in (1234, 1235, 1236)] for kind in ("chat", "plain"))
    assert spread.template == pytest.approx(np.mean(chat) - np.mean(plain))
    assert spread.exemplars == pytest.approx(np.sqrt((np.var(chat, ddof=1) + np.var(plain, ddof=1)) / 2))
    assert spread.mean == pytest.approx(np.mean(chat + plain))
    assert (spread.lowest, spread.highest) == (min(chat + plain), max(chat + plain))
    assert len(ScoredItem.read_rows(run)) == 6 * N


def test_without_exemplars_their_seed_is_no_choice(asked):
    spread = BenchResult.read(bench(BenchSettings(**asked, shots=0, spread=True))).spread["mine"]
    assert {*spread.choices} == {"plain 1234", "chat 1234"}
    assert spread.exemplars is None


def test_exemplars_that_dont_fit_are_left_out_and_counted(asked, tiny, workplace):
    shutil.copytree(tiny, workplace / "small")
    config = json.loads((workplace / "small/config.json").read_text("utf-8"))
    (workplace / "small/config.json").write_text(json.dumps(config | {"max_position_embeddings": 64}))
    run = bench(BenchSettings(**asked | {"model": "small"}, shots=8, parity_check=1000))
    tokenizer = load_model(tiny).tokenizer
    prompts = [sample["arguments"][0] for sample in run.records("samples_mine")]
    lengths = [len(tokenizer("".join(prompt))["input_ids"]) for prompt in prompts]
    kept = [prompt[0].count("Answer:") - 1 for prompt in prompts]
    assert max(lengths) <= 64 + 1  # the last token is only predicted
    assert 0 < min(kept) <= max(kept) < 8
    assert BenchResult.read(run).tasks["mine"].n_cut == N
    assert any("24 prompts had to be cut to fit into the context" in sentence for sentence in run.view.sentences)


def test_a_prompt_that_is_cut_counts_once_whatever_it_lacks(asked, tiny, workplace):
    """With 16 tokens no question fits: each has four requests whose beginning is cut, and lacks both exemplars."""
    shutil.copytree(tiny, workplace / "small")
    config = json.loads((workplace / "small/config.json").read_text("utf-8"))
    (workplace / "small/config.json").write_text(json.dumps(config | {"max_position_embeddings": 16}))
    for shots in (0, 2):
        run = bench(BenchSettings(**asked | {"model": "small"}, shots=shots, limit=3, parity_check=1000))
        assert BenchResult.read(run).tasks["mine"].n_cut == 3
    said = {"questions": ("mine.jsonl",), "model": "small"}
    long = {"question": "Which?", "choices": ["so " * 40, "no"], "answer": 0}
    write_rows(workplace / "mine.jsonl", [long])
    with pytest.raises(
        SettingsError, match=r"^mine: a continuation has \d+ tokens, and the model's context holds 16; "
    ):
        bench(BenchSettings(**said))


def test_code_is_compared_problem_by_problem(tiny, workplace):
    problems = [
        {"task_id": f"HumanEval/{n}", "prompt": f"def f(x):\n    '{n}{' so' * length}'\n", "entry_point": "f"}
        | {"canonical_solution": "    return x\n", "test": f"def check(f):\n    assert f({n}) == {n}\n"}
        for n, length in enumerate((0, 5, 400))
    ]
    (workplace / "openai_humaneval").mkdir()
    write_rows(workplace / "openai_humaneval/test.jsonl", problems)
    shutil.copytree(tiny, workplace / "small")
    config = json.loads((workplace / "small/config.json").read_text("utf-8"))
    (workplace / "small/config.json").write_text(json.dumps(config | {"max_position_embeddings": 128}))
    asked = {"model": "small", "suite": ("humaneval",), "data": ".", "allow_code": True, "n": 2, "max_new_tokens": 3}
    run = bench(BenchSettings(**asked))
    score = BenchResult.read(run).tasks["humaneval"]
    assert (score.score, score.n, score.n_missing) == (0.0, 2, 1)
    assert {*BenchResult.read(run).code["humaneval"].missing} == {"HumanEval/2"}
    assert any("1 problem didn't fit into the context, such as HumanEval/2: its" in said for said in run.view.sentences)
    assert [record["pass@1"] for record in run.records("samples_humaneval")] == [0.0, 0.0, None]
    other = bench(BenchSettings(**asked | {"limit": 2, "seed": 5}))
    tasks = ScoresResult.read(compare(CompareSettings(a=str(run.path), b=str(other.path)))).tasks
    assert (tasks["humaneval"].metric, tasks["humaneval"].difference.n) == ("pass@1", 2)
    assert tasks["humaneval"].difference.n_missing == 1


def test_code_is_scored_with_and_without_the_chat_template(tiny, workplace):
    problem = {"task_id": "HumanEval/0", "prompt": "def f(x):\n    'Return x.'\n", "entry_point": "f"}
    problem |= {"canonical_solution": "    return x\n", "test": "def check(f):\n    assert f(1) == 1\n"}
    (workplace / "openai_humaneval").mkdir()
    write_rows(workplace / "openai_humaneval/test.jsonl", [problem])
    asked = {"model": str(tiny), "suite": ("humaneval",), "data": ".", "allow_code": True, "n": 2, "max_new_tokens": 3}
    spread = bench(BenchSettings(**asked, spread=True))
    result = BenchResult.read(spread)
    assert result.spread["humaneval"].choices == {"plain 1234": 0.0, "chat 1234": 0.0}
    assert (result.spread["humaneval"].template, result.spread["humaneval"].exemplars) == (0.0, None)
    chat = bench(BenchSettings(**asked, chat=True))
    prompts = [next(iter(run.records("samples_humaneval")))["prompt_hash"] for run in (spread, chat)]
    assert prompts[0] == sha256(problem["prompt"].encode()).hexdigest() != prompts[1]


def test_what_is_refused(asked, workplace):
    model = asked["model"]
    with pytest.raises(UsageError, match=r"there is no suite or task smok; the nearest names are smoke"):
        bench(BenchSettings(model=model, suite=("smok",)))
    with pytest.raises(SettingsError, match=r"humaneval can't be scored: it runs code .* --allow-code"):
        bench(BenchSettings(model=model, suite=("humaneval",)))
    with pytest.raises(SettingsError, match="no data folder is named"):
        bench(BenchSettings(model=model, suite=("copa",)))
    with pytest.raises(SettingsError, match="the suite microworld is scored alone"):
        bench(BenchSettings(model=model, suite=("microworld", "copa")))
    (workplace / "other").mkdir()
    shutil.copy(workplace / "mine.jsonl", workplace / "other/mine.jsonl")
    with pytest.raises(UsageError, match="two files of questions are called mine; rename one"):
        bench(BenchSettings(model=model, questions=("mine.jsonl", "other/mine.jsonl")))
    write_rows(workplace / "bad.jsonl", [{"question": "Why?", "choices": ["a", "b"], "answer": "c"}])
    with pytest.raises(InputError, match=r"bad\.jsonl:1"):
        bench(BenchSettings(model=model, questions=("bad.jsonl",)))
    with pytest.raises(TunescopeError):
        bench(BenchSettings(model="nowhere/model", questions=("mine.jsonl",)))


def test_one_tasks_limit_stands_in_place_of_the_others(asked):
    shutil.copy("mine.jsonl", "more.jsonl")
    asked |= {"questions": ("mine.jsonl", "more.jsonl"), "limit": 3}
    run = bench(BenchSettings(**asked, task_limit=("more=5",)))
    assert {name: task["n"] for name, task in run.result["tasks"].items()} == {"mine": 3, "more": 5}
    assert len(run.tables["items"]) == 8


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("mine", "found --task-limit mine; expected TASK=N with N at least 1, such as mine=20"),
        ("mine=0", "found --task-limit mine=0; expected TASK=N with N at least 1"),
        ("mine=²", "found --task-limit mine=²; expected TASK=N"),
        ("mime=2", "--task-limit mime=2: no task mime is scored; name one of mine"),
    ],
)
def test_a_tasks_limit_that_says_nothing_is_refused(asked, said, error):
    with pytest.raises(UsageError, match=f"^{error}"):
        bench(BenchSettings(**asked, task_limit=(said,)))
