"""The shipped recipes: each is whole, can be planned, and its laptop form runs on the microworld."""

from __future__ import annotations

import json
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
    "student": "microworld",
    "method": "full",
    "epochs": "1",
    "length": "8",
    "rows": "12",
    "sizes": "[6, 12]",
    "oracle": "fake:oracle.jsonl",
    "best": "rating >= 4",
    "suite": "[microworld]",
    "doses": "[0.0, 1.0]",
    "seeds": "[0]",
}
"""Values that make a recipe small."""


@pytest.fixture
def place(workplace):
    world = make_world(0)
    people = split_people(world).tuned
    pairs = zip(true_rows(world, people), false_rows(world, people), strict=True)
    pairs = [{**true, "false_output": false["output"]} for true, false in pairs][:24]
    write_rows(workplace / "pairs.jsonl", pairs)
    write_rows(workplace / "rows.jsonl", [alpaca(row["instruction"], row["output"]) for row in pairs])
    write_rows(workplace / "recycled.jsonl", [alpaca(row["instruction"], f"{row['output']} Yes.") for row in pairs])
    asked = [{"prompt_id": str(i), "prompt": each.prompt} for i, each in enumerate(open_questions(world)[:3])]
    write_rows(workplace / "prompts.jsonl", asked)
    write_rows(workplace / "reference.jsonl", [{**each, "text": "Yes.", "model": "someone"} for each in asked])
    write_rows(workplace / "oracle.jsonl", [{"pattern": "", "reply": ""}])
    (workplace / "benchmarks").mkdir()
    return workplace


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


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith(("limits", "recycled", "faco"))])
def test_every_paper_is_planned(place, name):
    outcome = study.plan(study.PlanSettings(recipe=name, set=tuple(small(name))))
    steps = outcome.result["steps"]
    assert len({step["name"] for step in steps}) == len(steps)
    assert all(step["run"] is None and step["hours"] is None and step["hours_from"] for step in steps)


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


def test_the_doses_are_seen_before_anything_runs(place):
    with pytest.raises(SettingsError, match=r"step rows: dose 1\.5: expected at least 0 and at most 1"):
        study.read("faco-microworld", ["doses=[0, 1.5]"])
    with pytest.raises(SettingsError, match=r"--set doses=x: expected a list, such as \[1, 2\]"):
        study.read("faco-microworld", ["doses=x"])


@pytest.mark.drill
def test_the_laptop_form_of_faco_on_the_microworld(place):
    Path("faco.yaml").write_text(
        (ROOT / "recipes/faco-laptop.yaml").read_text("utf-8").split("defaults:")[0]
        + 'defaults: {tune: {method: "{method}", model: "{model}", epochs: "{epochs}"}, bench: {suite: "{suite}"}}\n'
        + "steps:"
        + (ROOT / "recipes/faco-laptop.yaml").read_text("utf-8").split("steps:")[1]
    )
    run = study.run(study.StudySettings(recipe="faco.yaml", set=tuple(small("faco-laptop"))))
    assert run.open == 0
    response = next(step["run"] for step in run.result["steps"] if step["name"] == "response")
    assert json.dumps(Run(Path(response)).result["doses"]) == "[0.0, 1.0]"
