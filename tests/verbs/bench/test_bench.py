"""`bench` on the microworld against plain forward passes; and the FACO paper's experiment in small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.tools import write_rows

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.microworld.tiny import load_model  # noqa: E402

from tunescope import study  # noqa: E402
from tunescope.errors import TunescopeError  # noqa: E402
from tunescope.microworld import false_rows, open_questions, shown_questions, split_people, true_rows  # noqa: E402
from tunescope.microworld.model import save_random_model  # noqa: E402
from tunescope.runs import Run  # noqa: E402
from tunescope.study import StudySettings  # noqa: E402
from tunescope.verbs.bench import BenchSettings, bench  # noqa: E402


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_random_model(tmp_path_factory.mktemp("models") / "tiny", seed=3)


def log_probability(micro, prompt: str, reply: str) -> float:
    """One text at a time, all logits, summed over the reply and its end of turn."""
    chat = [{"role": "user", "content": prompt}, {"role": "assistant", "content": reply}]
    ids = micro.tokenizer.apply_chat_template(chat, return_dict=True)["input_ids"]
    prompt_ids = micro.tokenizer.apply_chat_template(chat[:1], add_generation_prompt=True, return_dict=True)[
        "input_ids"
    ]
    with torch.no_grad():
        steps = micro.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(steps[at - 1, ids[at]]) for at in range(len(prompt_ids), len(ids)))


def test_every_question_against_plain_forward_passes(workplace, tiny):
    run = bench(BenchSettings(model=str(tiny), suite=("microworld",)))
    micro = load_model(tiny)
    held_out = split_people(micro.world).held_out
    questions = [("open", q) for q in open_questions(micro.world)] + [
        ("shown", q) for q in shown_questions(micro.world)
    ]
    rows = run.tables["questions"].to_pylist()
    assert len(rows) == len(questions) == 2 * 6 * len(held_out)
    for row, (task, question) in zip(rows, questions, strict=True):
        expected = [log_probability(micro, question.prompt, option) for option in question.options]
        assert row["log_probabilities"] == pytest.approx(expected, abs=1e-4)
        assert (row["task"], row["question"], row["person"]) == (task, question.fact.key, question.fact.person)
        assert row["person"] in held_out
        assert (row["options"], row["gold"]) == (list(question.choices), question.fact.value)
        assert row["chosen"] == question.choices[int(np.argmax(expected))]
        assert row["right"] == (row["chosen"] == row["gold"])
    for task, record in run.result["tasks"].items():
        assert record["score"] == np.mean([row["right"] for row in rows if row["task"] == task])
        assert (record["n"], record["n_people"], record["chance"]) == (6 * len(held_out), len(held_out), 0.25)


def test_another_model_is_refused(workplace, tiny):
    other = workplace / "other"
    other.mkdir()
    for path in tiny.iterdir():
        if path.name != "microworld.json":
            (other / path.name).write_bytes(path.read_bytes())
    with pytest.raises(TunescopeError, match=r"other: found no microworld.json; the suite microworld scores"):
        bench(BenchSettings(model=str(other), suite=("microworld",)))


RECIPE = """
about: The FACO paper in small.
inputs: {pairs: pairs.jsonl, model: tiny}
steps:
  rows: {verb: falsify dose, rows: "{pairs}", vary: {dose: [0.0, 1.0], seed: [0, 1]}}
  tune:
    verb: tune
    rows: "{rows}/rows.jsonl"
    model: "{model}"
    method: full
    max_steps: 2
    lr: 0.001
    vary: {seed: [0, 1]}
  clean: {verb: falsify dose, rows: "{pairs}", dose: 0.0}
  corrupted: {verb: falsify dose, rows: "{pairs}", dose: 1.0, vary: {seed: [0, 1]}}
  liar:
    verb: tune
    rows: "{corrupted}/rows.jsonl"
    model: "{model}"
    method: full
    max_steps: 2
    lr: 0.001
    vary: {seed: [0, 1]}
  retuned:
    verb: tune
    rows: "{clean}/rows.jsonl"
    model: "{liar}/model"
    method: full
    max_steps: 2
    lr: 0.001
    vary: {seed: [0, 1]}
  before: {verb: bench, suite: [microworld], model: "{model}"}
  dosed: {verb: bench, suite: [microworld], model: "{tune}/model"}
  again: {verb: bench, suite: [microworld], model: "{retuned}/model"}
  response: {verb: study analyze, from: ["{before}", "{dosed}", "{again}"]}
  page: {verb: report, runs: ["{response}"]}
"""


def test_the_faco_paper_in_small(workplace, tiny):
    pytest.importorskip("trl")
    world = load_model(tiny).world
    pairs = [{**t, "false": f["output"]} for t, f in zip(true_rows(world), false_rows(world), strict=True)]
    write_rows(workplace / "pairs.jsonl", pairs)
    Path("tiny").symlink_to(tiny)
    Path("recipe.yaml").write_text(RECIPE)
    run = study.run(StudySettings(recipe="recipe.yaml"))
    steps = {step["name"]: step["run"] for step in run.result["steps"]}
    assert [name for name in steps if name.startswith("tune")] == [
        f"tune (dose={dose}, seed={seed})" for seed in (0, 1) for dose in (0.0, 1.0)
    ]
    assert steps["liar (seed=1)"] == steps["tune (dose=1.0, seed=1)"]  # the same run, done once
    response = Run(Path(steps["response"]))
    scores = {
        (c["task"], c["dose"], c["seed"], c["retuned"]): c["score"] for c in response.tables["scores"].to_pylist()
    }
    for name, place in [
        ("before", (None, "", False)), ("dosed (dose=1.0, seed=1)", (1.0, "1", False)),
        ("dosed (dose=0.0, seed=0)", (0.0, "0", False)), ("again (seed=1)", (1.0, "1", True)),
    ]:  # fmt: skip
        for task, record in Run(Path(steps[name])).result["tasks"].items():
            assert scores[task, *place] == record["score"]
    assert len(scores) == 2 * (1 + 4 + 2)
    assert {r["task"] for r in response.result["known"]} == {"open", "shown"}
    page = (Path(steps["page"]) / "report.html").read_text("utf-8")
    assert "Dose and response" in page
    falsify_result = json.loads((Path(steps["rows (dose=1.0, seed=0)"]) / "run.json").read_text())["result"]
    assert falsify_result["dose_reached"] == 1
