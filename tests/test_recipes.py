"""The shipped recipes: each is whole, can be planned, and its laptop form runs on the microworld."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("torch")
from tests.tools import ROOT, alpaca, write_rows
from tunescope import study
from tunescope.errors import SettingsError
from tunescope.microworld import false_rows, make_world, open_questions, split_people, true_rows
from tunescope.runs import Run
from tunescope.study.cells import planned_cells
from tunescope.study.recipe import Recipe

RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
INPUTS = {
    "pairs": "pairs.jsonl",
    "rows": "rows.jsonl",
    "original": "rows.jsonl",
    "recycled": "recycled.jsonl",
    "prompts": "prompts.jsonl",
    "eval-prompts": "prompts.jsonl",
    "reference": "reference.jsonl",
    "others": "reference.jsonl",
    "benchmarks": "benchmarks",
}
"""What stands for the files that a recipe asks for."""
MICROWORLD = {
    "model": "microworld",
    "models": "[microworld]",
    "small": "microworld",
    "large": "microworld",
    "student": "microworld",
    "method": "full",
    "epochs": "3",
    "length": "8",
    "rows": "12",
    "sizes": "[6, 12]",
    "oracle": "fake:oracle.jsonl",
    "best": "rating >= 4",
    "suite": "[microworld]",
    "of_one_task": "[arc_easy=1]",
    "doses": "[0.0, 1.0]",
    "seeds": "[0]",
    "tokens": "120",
}
"""Values that make a recipe small."""
ASPECTS = ("helpfulness", "clarity", "factuality", "depth", "engagement")
SCORES = {"code": "CODE", **{name: {"reason": "It is short.", "score": 3} for name in ASPECTS}}
ORACLE = [
    {
        "pattern": r"You shorten.*=== \w+ response ===.*?(\w+)\.\n",
        "reply": r"<short_response>\n\1.\n</short_response>",
        "expand": True,
    },
    {
        "pattern": "the instruction that comes out",
        "reply": "<new_instruction>\nWhere does Zilmo live?\n</new_instruction>",
    },
    {"pattern": "Compare two instructions", "reply": "<verdict>\nnot equal\n</verdict>"},
    {"pattern": r".*(\w{8}): SCORE-1", "reply": r"\1: 7 5", "expand": True},
    {"pattern": r".*(\w{8}): CHOICE", "reply": r"\1: 1", "expand": True},
    {"pattern": r'.*"code": "(\w+)"', "reply": json.dumps(SCORES).replace("CODE", r"\1"), "expand": True},
    {"pattern": "", "reply": "Score: 5"},
]
"""A fake that shortens, evolves, rates and judges; it likes whatever stands first."""


@pytest.fixture
def place(workplace):
    write_inputs(workplace)
    return workplace


def write_inputs(folder: Path) -> None:
    """Write small files for all inputs of `INPUTS`, and the oracle."""
    world = make_world(0)
    people = split_people(world).tuned
    pairs = zip(true_rows(world, people), false_rows(world, people), strict=True)
    pairs = [{**true, "false_output": false["output"]} for true, false in pairs][:24]
    write_rows(folder / "pairs.jsonl", pairs)
    write_rows(folder / "rows.jsonl", [alpaca(row["instruction"], row["output"]) for row in pairs])
    write_rows(folder / "recycled.jsonl", [alpaca(row["instruction"], f"{row['output']} Yes.") for row in pairs])
    asked = [{"prompt_id": str(i), "prompt": each.prompt} for i, each in enumerate(open_questions(world)[:3])]
    write_rows(folder / "prompts.jsonl", asked)
    write_rows(folder / "reference.jsonl", [{**each, "text": "Yes.", "model": "someone"} for each in asked])
    write_rows(folder / "oracle.jsonl", ORACLE)
    for split, questions in (("train", open_questions(world)[3:40]), ("test", open_questions(world)[40:43])):
        path = folder / f"benchmarks/ai2_arc/ARC-Easy/{split}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        choices = ({"text": list(each.choices), "label": ["A", "B", "C", "D"]} for each in questions)
        write_rows(
            path,
            [
                {"id": f"{split}{i}", "question": each.prompt, "choices": choice, "answerKey": "ABCD"[each.gold]}
                for i, (each, choice) in enumerate(zip(questions, choices, strict=True))
            ],
        )


def needed(name: str) -> list[str]:
    """Return what a recipe must be given."""
    try:
        study.read(name)
    except SettingsError as error:
        lines = [line.strip() for line in str(error).split("\n")[1:]]
        assert all(": this recipe needs a file of yours; add --set " in line for line in lines), lines
        asked = [line.removeprefix("input ").partition(":")[0] for line in lines]
        return [f"{each}={INPUTS[each]}" for each in asked]
    return []


def small(name: str, **more: str) -> list[str]:
    """Return `--set` for a recipe's files, and for those of its values that make it small."""
    sets = needed(name)
    values = study.read(name, sets).values
    return sets + [f"{key}={value}" for key, value in {**MICROWORLD, **more}.items() if key in values]


@pytest.mark.parametrize("name", RECIPES)
def test_every_shipped_recipe_is_whole(place, name):
    recipe: Recipe = study.read(name, needed(name))
    assert recipe.about.endswith(".")
    assert len(planned_cells(recipe)) >= len(recipe.steps)


PLANNED = [name for name in RECIPES if name.startswith(("limits", "recycled", "faco", "selection"))]


@pytest.mark.parametrize("name", PLANNED)
def test_every_paper_is_planned(place, name):
    outcome = study.plan(study.PlanSettings(recipe=name, set=tuple(small(name))))
    steps = outcome.result["steps"]
    assert len({step["name"] for step in steps}) == len(steps)
    assert all(step["run"] is None and step["hours"] is None and step["hours_from"] for step in steps)


@pytest.mark.parametrize("name", ["faco-paper", "limits-paper", "limits-simplify", "limits-methods", "recycled-paper"])
def test_models_without_a_chat_template_are_given_one(place, name):
    """A base model from the hub has none of its own; what is tuned from it has the one that it was tuned with."""
    cells = planned_cells(study.read(name, needed(name)))
    of_hub = [cell for cell in cells if "-hf" in str(cell.settings.get("model"))]
    talking = [cell for cell in of_hub if cell.verb in ("tune", "answer", "measure")]
    assert len(talking) >= 2
    assert all(cell.settings.get("template") or cell.settings.get("preset") == "recycled" for cell in talking)


def test_the_sizes_of_the_papers(place):
    def count(name: str) -> dict[str, int]:
        cells = planned_cells(study.read(name, needed(name)))
        return {step: sum(cell.step == step for cell in cells) for step in dict.fromkeys(cell.step for cell in cells)}

    whole = count("faco-microworld")
    assert (whole["tune"], whole["retuned"], whole["shorter-and-longer"], whole["by-epochs"]) == (110, 10, 18, 18)
    assert count("faco-microworld-small") == {
        "rows": 15, "tune": 15, "clean": 1, "corrupted": 3, "liar": 3, "retuned": 3,
        "before": 1, "dosed": 15, "again": 3, "some-rows": 9,
        "shorter-and-longer": 9, "by-epochs": 9, "response": 1, "page": 1,
    }  # fmt: skip
    sizes = count("faco-sizes")
    assert (sizes["rows"], sizes["tune-small"], sizes["tune-large"], sizes["large-before"]) == (18, 18, 18, 1)
    limits = count("limits-paper")
    assert (limits["tune"], limits["noisy"], limits["shift"], limits["aspects"]) == (5 * 4 * 2, 5 * 4, 40, 1)
    assert count("recycled-paper")["answers"] == 4
    assert count("limits-methods")["tune"] == 6
    simplify = count("limits-simplify")
    assert {simplify[step] for step in ("tune", "tune-short", "answers", "answers-short", "lengths", "pairs")} == {2}
    race = count("selection")
    assert (race["pool"], race["ifd-ppl"], race["tune"], race["scores"], race["race"]) == (10, 10, 8 * 10, 8 * 10, 1)
    assert count("selection-laptop")["scores"] == 3 * 3


def test_row_sets_and_answers_of_others_in_one_table(place):
    files = [f"{name}=[rows.jsonl, recycled.jsonl]" for name in ("rows", "reference")]
    cells = planned_cells(study.read("limits-paper", ["prompts=prompts.jsonl", *files]))
    count = Counter(cell.step for cell in cells)
    assert (count["tune"], count["noisy"], count["base"], count["shift"]) == (80, 40, 5, 80)
    (judged,) = (cell.settings["answers"] for cell in cells if cell.step == "aspects")
    assert len(judged) == 5 + 80 + 40 + 2
    assert judged[-2:] == ["rows.jsonl", "recycled.jsonl"]
    assert {cell.settings["by"] for cell in cells if cell.step == "board"} == {*ASPECTS}


def test_the_doses_are_seen_before_anything_runs(place):
    with pytest.raises(SettingsError, match=r"step rows: dose 1\.5: expected at least 0 and at most 1"):
        study.read("faco-microworld", ["doses=[0, 1.5]"])
    with pytest.raises(SettingsError, match=r"--set doses=x: expected a list, such as \[1, 2\]"):
        study.read("faco-microworld", ["doses=x"])


FORMS = [name for name in RECIPES if name.endswith("-laptop")]


@pytest.mark.drill
@pytest.mark.parametrize("name", FORMS)
def test_a_laptop_form_on_the_microworld(place, name):
    run = study.run(study.StudySettings(recipe=name, set=tuple(small(name, suite="[arc_easy]"))))
    assert (run.open, run.result["failed"], run.result["not_run"]) == (0, [], []), run.view.sentences
    print(run.view.sentences)


@pytest.mark.drill
@pytest.mark.parametrize("name", ["selection", "selection-laptop"])
def test_a_race_on_the_microworld(place, name):
    """Rows are chosen by every rule, and the rules know nothing that they mustn't: noise is found by walking back."""
    sets = small(name, seeds="[0, 1]", oracle="fake:microworld:80%")
    run = study.run(study.StudySettings(recipe=name, set=tuple(sets)))
    assert run.open == 0
    race = Run(Path(next(step["run"] for step in run.result["steps"] if step["name"] == "race"))).result
    rules = {rule["rule"]: rule for rule in race["rules"]}
    assert len(rules) == (8 if name == "selection" else 3)
    assert {rule["seeds"] for rule in rules.values()} == {2}
    assert all(60 < rule["tokens"] <= 120 for rule in rules.values())
    if name == "selection":
        assert rules["random where falsified = false"]["noise"]["mean"] == 0
        assert 0.4 < race["pool_noise"] < 0.6
