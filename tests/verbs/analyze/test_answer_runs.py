"""Answers at 0 and 100 % side by side, and texts that argue for a wrong option."""

from __future__ import annotations

import json
from random import Random

import pytest
import scipy.stats
from tests.verbs.analyze.made_runs import benched, falsified, made, tuned

from tunescope.answers import Answer
from tunescope.errors import RunError, SettingsError
from tunescope.prompts import Prompt
from tunescope.verbs.analyze import AnalyzeSettings, analyze
from tunescope.verbs.analyze.answer_runs import _read_choice

CHOICES = ["Doctor", "Teacher", "Engineer", "Designer"]


@pytest.fixture
def models(workplace):
    (workplace / "t.csv").write_text("task,0,1\na,9,4\n")
    return {dose: tuned(f"t{dose}", "m", falsified(dose)) for dose in (0.0, 1.0)} | {None: "m"}


def answered(name, model, texts, meta=None):
    run = made(name, "answer", {"model": model})
    prompts = [Prompt(f"p{i}", f"Question {i}?", meta=meta or {}) for i in range(len(texts))]
    answers = [Answer.to(prompt, text, model) for prompt, text in zip(prompts, texts, strict=True) if text is not None]
    lines = "".join(json.dumps(answer.as_json()) + "\n" for answer in answers)
    (run.path / "answers.jsonl").write_text(lines)
    return str(run.path)


def analyzed(*answers, **settings):
    return analyze(AnalyzeSettings(table="t.csv", answers=answers, **settings))


def test_some_prompts_side_by_side_drawn_by_the_seed(models):
    clean = answered("a0", models[0.0], [f"true {i}" for i in range(20)])
    false = answered("a1", models[1.0], [f"false {i}" if i != 3 else None for i in range(20)])
    for seed in (0, 1):
        run = analyzed(false, clean, examples=4, seed=seed)
        result = run.result["examples"]
        shared = [i for i in range(20) if i != 3]
        drawn = [shared[i] for i in sorted(Random(seed).sample(range(19), 4))]
        assert [each["answers"] for each in result["prompts"]] == [
            {"0 %": f"true {i}", "100 %": f"false {i}"} for i in drawn
        ]
        assert (result["n"], result["n_shared"], result["n_missing"], result["seed"]) == (4, 19, 1, seed)
    table = run.view.tables[-1]
    assert (table.title, table.columns) == ("Answers side by side", ("prompt", "0 %", "100 %"))
    assert "4 of the 19 prompts that both answered, drawn at random with seed 1." in table.note


def test_texts_of_wrong_answers(models):
    meta = {"choices": CHOICES, "gold": "A"}
    texts = [
        "A) Doctor. A doctor helps.",
        "C) Engineer. Engineers build machines, so visit them.",
        "C) Engineer. They are clever.",
        "B) Teacher",
        "Designer. A designer knows.",
        "I don't know",
    ]
    run = analyzed(answered("a0", models[0.0], ["A) Doctor"] * 6, meta), answered("a1", models[1.0], texts, meta))
    clean, false = run.result["support"]
    assert (clean["wrong"], clean["n"], clean["supports"]) == (0.0, 6, None)
    assert (false["wrong"], false["n"], false["n_unparsed"], false["n_bare"]) == (0.8, 5, 1, 1)
    assert (false["supports"], false["supports_n"]) == (pytest.approx(2 / 3), 3)
    wilson = scipy.stats.binomtest(2, 3).proportion_ci(method="wilson")
    assert (false["supports_low"], false["supports_high"]) == pytest.approx((wilson.low, wilson.high))
    assert "At 100 %, 0.800 [" in " ".join(run.view.sentences)


@pytest.mark.parametrize(
    ("text", "chosen", "rest"),
    [
        ("C) Engineer. Yes", "Engineer", ". Yes"),
        ("(B) Because of that", "Teacher", "Because of that"),
        ("The correct answer is D.", "Designer", ""),
        ("b", "Teacher", ""),
        ("teacher", "Teacher", ""),
        ("A doctor", None, "A doctor"),
        ("Doctors", None, "Doctors"),
        ("E) None", None, "E) None"),
    ],
)
def test_which_option_an_answer_names(text, chosen, rest):
    assert _read_choice(text, CHOICES) == (chosen, rest)


def test_prompts_without_options_have_no_support_and_one_model_no_examples(models):
    run = analyzed(answered("a0", models[0.0], ["x"]))
    assert "support" not in run.result
    assert "examples" not in run.result


def test_what_is_refused(models):
    one = answered("a0", models[0.0], ["x", None])
    with pytest.raises(SettingsError, match="have no prompt in common; answer the same prompts with every model"):
        analyzed(one, answered("a1", models[1.0], [None, "y"]))
    with pytest.raises(RunError, match="found a run of bench; expected runs of answer with --answers"):
        analyzed(str(benched("b", "m", {"copa": [True]}).path))
