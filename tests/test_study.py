"""Recipes: what is read, what is refused in one report, how variants multiply, and what a study runs."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
from pathlib import Path
from threading import Timer

import pytest

from tests.drills.kills import content
from tests.tools import alpaca, write_rows
from tunescope import cli, study
from tunescope.errors import SettingsError
from tunescope.runs import Run
from tunescope.settings import RowsSettings, help_of
from tunescope.study import PlanSettings, StudySettings
from tunescope.study.cells import Variant, variants
from tunescope.study.recipe import RecipeStep
from tunescope.study.work import CellResult, work_on

ROWS = [alpaca(f"Question {i}?", f"Answer {i}.", n=i, m=3 * i % 7) for i in range(6)]


@pytest.fixture
def place(workplace):
    write_rows(workplace / "rows.jsonl", ROWS)
    write_rows(workplace / "other.jsonl", ROWS[:3])
    return workplace


def recipe(text: str) -> str:
    Path("recipe.yaml").write_text(text)
    return "recipe.yaml"


def planned(text: str, *replacements: str) -> list[tuple[str, str]]:
    """Return the name and the settings of every variant."""
    result = study.plan(PlanSettings(recipe=recipe(text), set=replacements)).result
    return [(step["name"], step["settings"]) for step in result["steps"]]


def complaints(text: str, *replacements: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        study.read(recipe(text), replacements)
    first, *rest = str(caught.value).split("\n  ")
    assert first.startswith("recipe.yaml:")
    return rest or [first]


def test_inputs_lie_beside_the_recipe_and_set_replaces_them(place):
    (place / "deep").mkdir()
    Path("deep/one.yaml").write_text("inputs: {rows: ../rows.jsonl}\nsteps: {c: {verb: check, rows: '{rows}'}}")
    assert study.read("deep/one.yaml").inputs == {"rows": ("deep/../rows.jsonl",)}
    assert study.read("deep/one.yaml", ["rows=other.jsonl"]).inputs == {"rows": ("other.jsonl",)}


def test_an_input_of_several_files_is_like_a_varied_step(place):
    text = """
    inputs: {rows: rows.jsonl, more: [other.jsonl, rows.jsonl], none: null}
    steps:
      top: {verb: select, rows: "{rows}", vary: {top: [1, 2]}, by: n}
      all: {verb: check, rows: ["{rows}", "{none}"]}
      change: {verb: compare, a: "{top}", b: "{rows}"}
      either: {verb: check, vary: {rows: ["{rows}", "{top}/rows.jsonl"]}}
      others: {verb: check, rows: "{more}"}
    """
    found = dict(planned(text, "rows=[rows.jsonl, other.jsonl]", "none=[]"))
    assert [*found] == [
        *[f"top (rows={rows}, top={top})" for top in (1, 2) for rows in ("rows.jsonl", "other.jsonl")],
        "all",
        *[f"change (rows={rows}, top={top})" for top in (1, 2) for rows in ("rows.jsonl", "other.jsonl")],
        "either (rows=rows.jsonl)",
        "either (rows=other.jsonl)",
        *[f"either (rows={rows}, {top})" for top in (1, 2) for rows in ("rows.jsonl", "other.jsonl")],
        "others (more=other.jsonl)",
        "others (more=rows.jsonl)",
    ]
    assert found["all"] == "rows=['rows.jsonl', 'other.jsonl']"
    assert found["change (rows=other.jsonl, top=2)"] == "a={top (rows=other.jsonl, top=2)}, b=other.jsonl"
    assert complaints(text, "none=[gone.jsonl, rows.jsonl, rows.jsonl]", "row=x") == [
        "--set row=x: expected NAME=PATH or NAME=VALUE with NAME one of rows, more, none; did you mean rows?",
        "input none: no such file gone.jsonl",
        "input none: rows.jsonl is named twice",
    ]
    with pytest.raises(SettingsError, match="step others: what it varies and what it refers to have no value in comm"):
        study.plan(PlanSettings(recipe=recipe(text), set=("more=[]", "none=[]")))


def test_which_input_a_file_is_of_decides_the_key(place):
    text = "inputs: {a: rows.jsonl, b: []}\nsteps: {c: {verb: check, rows: ['{a}']}}"
    one, other = (
        study.run(StudySettings(recipe=recipe(text), set=given))
        for given in (("a=[rows.jsonl, other.jsonl]",), ("b=other.jsonl",))
    )
    assert one.key != other.key


def test_a_step_per_value_and_lists_crossed(place):
    text = """
    inputs: {rows: rows.jsonl}
    steps:
      check:
        verb: check
        vary: {max_words: [100, 200], near_duplicate_at: [0.7, 0.8]}
        rows: "{rows}"
    """
    assert planned(text) == [
        (f"check (max_words={n}, near_duplicate_at={at})", f"rows=rows.jsonl, max_words={n}, near_duplicate_at={at}")
        for n in (100, 200)
        for at in (0.7, 0.8)
    ]


FAN = """
inputs: {rows: rows.jsonl, other: other.jsonl}
steps:
  check: {verb: check, vary: {rows: ["{rows}", "{other}"]}}
  top: {verb: select, rows: "{rows}", from: ["{check}"], vary: {top: [1, 2]}, by: n}
  kept: {verb: check, rows: "{top}/rows.jsonl"}
  both: {verb: compare, a: "{top}", b: "{top}/rows.jsonl"}
  pairs: {verb: compare, a: "{top}", b: "{kept}"}
  page: {verb: report, runs: ["{check}", "{top}", "{pairs}"]}
"""


def test_references_fan_out_and_lists_take_all(place):
    """A varied step in a list stands for all; elsewhere its user is varied with it, alike where alike."""
    found = planned(FAN)
    assert [name for name, _ in found] == [
        "check (rows=rows)",
        "check (rows=other)",
        "top (top=1)",
        "top (top=2)",
        "kept (top=1)",
        "kept (top=2)",
        "both (top=1)",
        "both (top=2)",
        "pairs (top=1)",
        "pairs (top=2)",
        "page",
    ]
    settings = dict(found)
    assert settings["check (rows=other)"] == "rows=other.jsonl"
    assert settings["top (top=2)"] == (
        "rows=rows.jsonl, from=['{check (rows=rows)}', '{check (rows=other)}'], by=n, top=2"
    )
    assert settings["kept (top=2)"] == "rows={top (top=2)}/rows.jsonl"
    assert settings["both (top=2)"] == "a={top (top=2)}, b={top (top=2)}/rows.jsonl"
    assert settings["pairs (top=1)"] == "a={top (top=1)}, b={kept (top=1)}"
    assert settings["page"] == (
        "runs=['{check (rows=rows)}', '{check (rows=other)}', '{top (top=1)}', '{top (top=2)}', "
        "'{pairs (top=1)}', '{pairs (top=2)}']"
    )


RACE = """
inputs: {rows: rows.jsonl}
steps:
  noisy: {verb: select, rows: "{rows}", vary: {seed: [0, 1]}, sample: 3}
  first: {verb: select, rows: "{noisy}/rows.jsonl", top: 1, by: n}
  drawn: {verb: select, rows: "{noisy}/rows.jsonl", sample: 1, vary: {seed: [0, 1]}}
  kept: {verb: check, vary: {rows: ["{first}/rows.jsonl", "{drawn}/rows.jsonl", "{rows}"], max_words: [5, 6]}}
  same: {verb: select, vary: {rows: ["{first}/rows.jsonl", "{drawn}/rows.jsonl", "{rows}"], seed: [0, 1]}, sample: 1}
"""


def test_values_that_vary_with_the_step_go_together(place):
    """A value that refers to a varied step meets the equal values of what both vary, and has the step's name then."""
    found = planned(RACE)
    names = [name for name, _ in found if name.startswith("same")]
    assert names == [f"same (rows={of}, seed={seed})" for of in ("first", "drawn", "rows") for seed in (0, 1)]
    settings = dict(found)
    assert settings["same (rows=first, seed=1)"] == "sample=1, rows={first (seed=1)}/rows.jsonl, seed=1"
    assert settings["same (rows=drawn, seed=0)"] == "sample=1, rows={drawn (seed=0)}/rows.jsonl, seed=0"
    assert settings["same (rows=rows, seed=1)"] == "sample=1, rows=rows.jsonl, seed=1"
    kept = [text for name, text in found if name.startswith("kept")]
    assert len(kept) == (2 + 2 + 1) * 2


def made(name: str, settings: dict, vary: dict, done: dict) -> list[tuple[dict, dict]]:
    step = RecipeStep(name, "check", settings, {key: tuple(values) for key, values in vary.items()})
    made: list[Variant] = list(variants(step, done))
    return [(dict(variant.label), dict(variant.settings)) for variant in made]


def test_variants_by_hand():
    done = {
        "in": [({}, "in.json")],
        "tune": [({"method": "lora"}, "T1"), ({"method": "full"}, "T2")],
        "answer": [({"method": "lora", "seed": 1}, "A1"), ({"method": "full", "seed": 1}, "A2")],
        "dose": [({"dose": 0}, "D0"), ({"dose": 1}, "D1")],
    }
    assert made("s", {"a": "{in}", "n": 3}, {}, done) == [({}, {"a": "in.json", "n": 3})]
    assert made("s", {"a": "{tune}/m", "b": "{answer}"}, {}, done) == [
        ({"method": "lora", "seed": 1}, {"a": "T1/m", "b": "A1"}),
        ({"method": "full", "seed": 1}, {"a": "T2/m", "b": "A2"}),
    ]
    assert [label for label, _ in made("s", {"a": "{tune}", "b": "{dose}"}, {}, done)] == [
        {"method": "lora", "dose": 0}, {"method": "lora", "dose": 1},
        {"method": "full", "dose": 0}, {"method": "full", "dose": 1},
    ]  # fmt: skip
    assert made("s", {"a": ["x", "{tune}:{dose}", "{in}"]}, {}, done) == [
        ({}, {"a": ["x", "T1:D0", "T1:D1", "T2:D0", "T2:D1", "in.json"]})
    ]
    assert made("s", {"a": "{tune}", "b": ["{tune}", "{dose}"]}, {}, done) == [
        ({"method": "lora"}, {"a": "T1", "b": ["T1", "D0", "D1"]}),
        ({"method": "full"}, {"a": "T2", "b": ["T2", "D0", "D1"]}),
    ]
    assert made("s", {}, {"model": ["{in}", "{tune}", "m"], "n": [1]}, done) == [
        ({"model": "in", "n": 1}, {"model": "in.json", "n": 1}),
        ({"model": "lora", "n": 1}, {"model": "T1", "n": 1}),
        ({"model": "full", "n": 1}, {"model": "T2", "n": 1}),
        ({"model": "m", "n": 1}, {"model": "m", "n": 1}),
    ]
    assert made("s", {}, {"runs": [["{tune}"], ["{in}", "y"]]}, {**done, "tune": done["tune"][:1]}) == [
        ({"runs": "lora"}, {"runs": ["T1"]}),
        ({"runs": "in"}, {"runs": ["in.json", "y"]}),
    ]


def test_what_a_step_varies_agrees_with_what_it_refers_to():
    """Both vary the seed: the same seed goes with the same seed, everything else is crossed."""
    done = {"rows": [({"dose": d, "seed": s}, f"R{d}{s}") for d in (0, 1) for s in (7, 8)]}
    assert made("s", {"rows": "{rows}"}, {"seed": [7, 8]}, done) == [
        ({"dose": 0, "seed": 7}, {"rows": "R07", "seed": 7}), ({"dose": 1, "seed": 7}, {"rows": "R17", "seed": 7}),
        ({"dose": 0, "seed": 8}, {"rows": "R08", "seed": 8}), ({"dose": 1, "seed": 8}, {"rows": "R18", "seed": 8}),
    ]  # fmt: skip
    assert len(made("s", {"rows": "{rows}"}, {"n": [1, 2]}, done)) == 8
    with pytest.raises(SettingsError, match="step s: what it varies and what it refers to have no value in common"):
        made("s", {"rows": "{rows}"}, {"seed": [9]}, done)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("steps: [", "found no YAML"),
        ("[1]", "expected `steps` with at least one step"),
        ("about: x", "expected `steps` with at least one step"),
        ("steps: {}", "expected `steps` with at least one step"),
        ("steps:\n  a: {verb: check, rows: x}\n  a: {verb: check, rows: y}", "'a' is there twice"),
        ("", "expected `steps` with at least one step"),
        ("steps: !!python/object/apply:os.system [true]", "found no YAML"),
    ],
)
def test_no_recipe(place, text, expected):
    (report,) = complaints(text)
    assert expected in report


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "stages: 1\nsteps: {c: {verb: check, rows: x}}",
            ["unknown word 'stages'; did you mean steps?"],
        ),
        (
            "inputs: [rows.jsonl]\nsteps: {c: {verb: check, rows: x}}",
            ["expected `inputs:` with a file, or a list of files, per name"],
        ),
        ("inputs: {rows: no.json}\nsteps: {c: {verb: check, rows: '{rows}'}}", ["input rows: no such file no.json"]),
        (
            "steps: {c: {verb: check, rows: '{rows}', max_words: '{d}'}, d: {verb: check, rows: x}}",
            [
                "step c: {d} is neither an input nor an earlier step",
                "step c: {rows} is neither an input nor an earlier step",
                "step c: max_words '{d}': expected a whole number, at least 1",
            ],
        ),
        (
            "inputs: {c: rows.jsonl}\nsteps: {c: {verb: check, rows: x}}",
            ["step c: an input has the same name; rename one of them"],
        ),
    ],
)
def test_mistakes(place, text, expected):
    assert complaints(text) == expected


WHOLE = "max_words {}: expected a whole number, at least 1"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("rows: x, max_words: many", [WHOLE.format("'many'")]),
        ("rows: x, max_words: true", [WHOLE.format("True")]),
        ("rows: x, max_words: 1.5", [WHOLE.format("1.5")]),
        ("rows: x, near_duplicate_at: a", ["near_duplicate_at 'a': expected a number, above 0 and at most 1"]),
        ("rows: [1, 2]", ["rows [1, 2]: expected a list of texts"]),
        ("rows: {x: y}", ["rows {'x': 'y'}: expected a list of texts"]),
        ("rows: x, on_bad: maybe", ["on_bad 'maybe': expected refuse or skip"]),
        ("rows: x, format: [a]", ["format ['a']: expected text"]),
        ("vary: {rows: x}", ["expected `vary:` with a list per setting"]),
        ("vary: [rows]", ["expected `vary:` with a list per setting"]),
        ("vary: {rows: []}", ["expected `vary:` with a list per setting"]),
        ("rows: x, vary: {rows: [y]}", ["rows is set, and varied"]),
        ("rows: x, vary: {max_words: [1, a, b]}", [WHOLE.format("'a'"), WHOLE.format("'b'")]),
        ("max_words: a, vary: {rows: [x, y]}", [WHOLE.format("'a'")]),
        ("rows: x, max_words: 0", ["max_words 0: expected at least 1"]),
        ("rows: x, near_duplicate_at: .nan", ["near_duplicate_at nan: expected above 0 and at most 1"]),
        ("rows: x, words: 3", ["words: no such setting; did you mean max_words?"]),
        ("rows: x, near-duplicate: 0.9", ["near_duplicate: no such setting; did you mean near_duplicate_at?"]),
        ("rows: x, max-words: 3, max_words: 4", ["max_words is given twice"]),
        ("rows: x, max-words: 3, vary: {max_words: [4]}", ["max_words is set, and varied"]),
        ("dataset: x", [f"dataset: no such setting; did you mean rows? {help_of(RowsSettings, 'rows')}"]),
        (
            "rows: x, zzz: 3",
            [
                "zzz: no such setting; there is rows, format, columns, on_bad, against, max_words, "
                "near_duplicate_at, show, csv, workers, masks, model, template, template_arg, supervise, out"
            ],
        ),
    ],
)
def test_mistakes_in_settings(place, settings, expected):
    assert complaints(f"steps: {{c: {{verb: check, {settings}}}}}") == [f"step c: {text}" for text in expected]


def test_a_setting_that_is_missing(place):
    assert complaints("steps: {s: {verb: select, where: line = 1}}") == ["step s: rows is missing"]


def test_settings_may_be_typed_as_on_the_command_line(place):
    typed = "steps: {c: {verb: check, rows: x, max-words: 3, vary: {near-duplicate-at: [0.8, 0.9]}}}"
    assert planned(typed) == planned(
        typed.replace("max-words", "max_words").replace("-at", "_at").replace("e-d", "e_d")
    )


def test_numbers_as_yaml_1_2_has_them(place):
    rates = "steps: {t: {verb: tune, rows: x, model: y, vary: {lr: [1e-4, 5e-4, 1E-3, .1]}}}"
    step = study.read(recipe(rates)).steps[0]
    assert step.vary == {"lr": (1e-4, 5e-4, 1e-3, 0.1)}


def test_what_a_later_step_needs_is_looked_at_before_the_first(place):
    Path("q.jsonl").write_text('{"nothing": 1}\n')
    text = """
    inputs: {rows: rows.jsonl, prompts: q.jsonl}
    steps:
      check: {verb: check, rows: "{rows}"}
      answer: {verb: answer, model: microworld, prompts: "{prompts}"}
    """
    with pytest.raises(
        SettingsError,
        match=r"before the first step:\n  step answer: q\.jsonl:1: found the columns nothing; expected a question",
    ):
        study.run(StudySettings(recipe=recipe(text)))
    assert not Path("runs").exists()


def test_files_of_later_steps_are_looked_for_before_the_first(place):
    Path("bad.jsonl").write_text('{"nothing": 1}\n')
    text = """
    inputs: {rows: rows.jsonl, said: bad.jsonl}
    steps:
      check: {verb: check, rows: "{rows}"}
      kept: {verb: select, rows: gone.jsonl, from: "{check}", where: faulty = false}
      rated: {verb: repair rate, rows: "{kept}", oracle: "fake:gone.jsonl"}
      short: {verb: repair simplify, rows: "{kept}", oracle: "fake:bad.jsonl", prompt: gone.jinja}
      answer: {verb: answer, model: microworld, prompts: gone.json, vary: {seed: [1, 2]}}
      judged: {verb: judge aspects, answers: ["{answer}", "{said}"], oracle: "http://127.0.0.1:1/v1"}
    """
    with pytest.raises(SettingsError) as caught:
        study.run(StudySettings(recipe=recipe(text)))
    lines = str(caught.value).split("\n  ")
    assert [line.partition(" (")[0] for line in lines] == [
        "before the first step:",
        "step kept: rows: no such file gone.jsonl",
        "step rated: oracle: no such file gone.jsonl",
        "step short: prompt: no such file gone.jinja",
        "step short: bad.jsonl:1: found something else; expected an object such as "
        '{"pattern": "colou?r", "reply": "Score: 4"}',
        "step answer",
        "step answer",
        "step judged: bad.jsonl:1: found the columns nothing; expected an answer as tunescope writes it",
    ]
    assert not Path("runs").exists()


def test_a_recipe_whose_name_is_nearly_right(place):
    with pytest.raises(
        SettingsError, match=r"^limits-papr: no such recipe file; did you mean limits-paper\? shipped are"
    ):
        study.read("limits-papr")
    with pytest.raises(SettingsError, match=r"^gone\.yaml: no such recipe file; shipped are close-the-loop, demo, "):
        study.read("gone.yaml")


def test_words_that_are_nearly_right(place):
    text = """
    abut: x
    defaults: {tun: {epochs: 2}, xyz: {}}
    steps:
      c: {verb: check, rows: rows.jsonl, varry: {max_words: [1]}}
    """
    assert complaints(text) == [
        "unknown word 'abut'; did you mean about?",
        "defaults: there is no verb tun; did you mean tune?",
        "defaults: there is no verb xyz",
        "step c: varry: no such setting; did you mean vary?",
    ]


def test_rows_that_cannot_be_read_are_told_before_the_first_step(place):
    Path("bad.jsonl").write_text('{"nothing": 1}\n')
    text = """
    inputs: {rows: rows.jsonl, more: bad.jsonl}
    steps:
      check: {verb: check, rows: "{rows}"}
      again: {verb: check, rows: ["{rows}", "{more}"]}
    """
    with pytest.raises(SettingsError, match=r"before the first step:\n  step again: bad\.jsonl"):
        study.run(StudySettings(recipe=recipe(text)))
    assert not Path("runs").exists()


def test_a_verb_that_makes_no_run_is_no_step(place):
    expected = ["step c: why has no run folder, so it can't be a step"]
    assert complaints("steps: {c: {verb: why, row_id: x}}") == expected


@pytest.mark.parametrize("body", ["{verb: zzz, rows: x}", "check", "{verb: [check]}", "null", "{rows: x}"])
def test_a_step_without_a_verb(place, body):
    (complaint,) = complaints(f"steps: {{c: {body}}}")
    assert complaint.startswith("step c: expected `verb:` with one of demo, models, check, ")


def test_a_step_with_a_mistyped_verb(place):
    assert complaints("steps: {c: {verb: chekc, rows: x}}") == ["step c: there is no verb chekc; did you mean check?"]


def test_all_mistakes_come_in_one_report(place):
    text = """
    word: 1
    inputs: {rows: rows.jsonl, gone: gone.jsonl}
    steps:
      one: {verb: check, rows: "{rowz}"}
      two: {verb: chekc}
      three: {verb: select, rows: "{rows}", tpo: 3}
    """
    starts = [
        "unknown word",
        "--set x=y",
        "--set rows",
        "input gone",
        "step one: {rowz}",
        "step two",
        "step three: tpo",
    ]
    found = complaints(text, "x=y", "rows")
    assert [complaint.startswith(start) for complaint, start in zip(found, starts, strict=True)] == [True] * 7
    assert found[1] == "--set x=y: expected NAME=PATH or NAME=VALUE with NAME one of rows, gone"


def test_no_such_recipe(workplace):
    with pytest.raises(SettingsError, match=r"nothing: no such recipe file; shipped are close-the-loop, demo"):
        study.read("nothing")


def test_what_plan_says_can_be_typed(place):
    replacement = "rows=other.jsonl"
    outcome = study.plan(PlanSettings(recipe=recipe(FAN), set=(replacement,)))
    assert shlex.split(outcome.view.next[0]) == [
        "tunescope",
        "study",
        "run",
        "recipe.yaml",
        "--set",
        "rows=other.jsonl",
    ]


RUNNABLE = """
about: Check, keep the best and compare.
inputs: {rows: rows.jsonl}
steps:
  check: {verb: check, rows: "{rows}"}
  top: {verb: select, rows: "{rows}", from: ["{check}"], vary: {top: [1, 2]}, by: n}
  change: {verb: compare, a: "{rows}", b: "{top}"}
"""


def test_a_study_runs_its_steps_once(place, capsys):
    run = study.run(StudySettings(recipe=recipe(RUNNABLE)))
    assert [(step["name"], step["verb"], step["label"]) for step in run.result["steps"]] == [
        ("check", "check", {}),
        ("top (top=1)", "select", {"top": 1}),
        ("top (top=2)", "select", {"top": 2}),
        ("change (top=1)", "compare", {"top": 1}),
        ("change (top=2)", "compare", {"top": 2}),
    ]
    made = [Run(Path(step["run"])) for step in run.result["steps"]]
    assert [made[i].result["kept"] for i in (1, 2)] == [1, 2]
    assert [made[i].result["removed"] for i in (3, 4)] == [5, 4]
    assert run.view.sentences == ("Check, keep the best and compare.",)
    times = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")}
    capsys.readouterr()
    assert study.run(StudySettings(recipe="recipe.yaml")).path == run.path
    assert "holds this run already" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")} == times


def test_a_study_goes_on_where_a_step_failed(place):
    text = RUNNABLE.replace("by: n}", "by: missing}")
    run = study.run(StudySettings(recipe=recipe(text)))
    assert [step["name"] for step in run.result["steps"]] == ["check"]
    run = study.run(StudySettings(recipe=recipe(RUNNABLE)))
    assert len(run.result["steps"]) == 5
    assert run.open == 0


BROKEN = """
about: One of three fails.
inputs: {rows: rows.jsonl, other: other.jsonl}
steps:
  check: {verb: check, rows: "{rows}"}
  top: {verb: select, rows: "{rows}", from: ["{check}"], vary: {by: [n, missing, characters]}, top: 2}
  kept: {verb: check, rows: "{top}"}
  page: {verb: report, runs: ["{kept}"]}
  last: {verb: check, rows: "{other}"}
"""


def runs_of(run: Run) -> dict[str, str]:
    return {step["name"]: step["run"] for step in run.result["steps"]}


def test_a_failed_cell_stops_only_what_needs_it(place, capsys):
    assert cli.run(["study", "run", recipe(BROKEN)]) == 4
    out = " ".join(capsys.readouterr().out.split())
    assert "1 of 9 cells is not done, and 2 others didn't run because of that. The same command" in out
    assert "top (by=missing) failed: there is no 'missing' here; there is " in out
    assert "Next: tunescope study run recipe.yaml" in out
    (path,) = Path("runs").glob("study-*")
    run = Run(path)
    assert [*runs_of(run)] == [
        "check",
        "top (by=n)",
        "top (by=characters)",
        "kept (by=n)",
        "kept (by=characters)",
        "last",
    ]
    assert [each["name"] for each in run.result["failed"]] == ["top (by=missing)"]
    assert run.result["not_run"] == [
        {"name": "kept (by=missing)", "needs": ["top (by=missing)"]},
        {"name": "page", "needs": ["kept (by=missing)"]},
    ]
    assert run.open == 3
    before = {folder: (Path(folder) / "run.json").stat().st_mtime_ns for folder in runs_of(run).values()}
    assert cli.run(["study", "run", "recipe.yaml"]) == 4
    assert {folder: (Path(folder) / "run.json").stat().st_mtime_ns for folder in before} == before
    assert cli.run(["study", "run", recipe(BROKEN.replace("missing", "m"))]) == 0
    assert {folder: (Path(folder) / "run.json").stat().st_mtime_ns for folder in before} == before


SAME = """
about: Two cells make one run.
inputs: {rows: rows.jsonl}
steps:
  check: {verb: check, rows: "{rows}"}
  top: {verb: select, rows: "{rows}", from: ["{check}"], vary: {top: [1, 2, 50, 60]}, by: n}
  change: {verb: compare, a: "{rows}", b: "{top}"}
  page: {verb: report, runs: ["{check}", "{change}"]}
"""


def test_side_by_side_gives_the_same_runs(place, capsys):
    (place / "one").mkdir()
    (place / "two").mkdir()
    for folder, workers in (("one", 1), ("two", 2)):
        for name in ("rows.jsonl", "other.jsonl"):
            (place / folder / name).write_bytes((place / name).read_bytes())
        os.chdir(place / folder)
        runs = [study.run(StudySettings(recipe=recipe(text), workers=workers)) for text in (SAME, BROKEN)]
        assert [run.open for run in runs] == [0, 3]
    talk = capsys.readouterr().err
    assert "── top (top=50)" in talk
    assert "\ntop (by=missing) │ " not in talk
    assert "\ntop (by=missing) failed: there is no 'missing' here" in talk
    one, two = content(place / "one"), content(place / "two")
    for files in (one, two):
        for info in files.values():
            if isinstance(info, dict):
                info["settings"].pop("workers", None)
                info["view"]["next"] = []
    assert two == one


def test_a_cell_waits_for_another_command_that_makes_its_run(place, capsys):
    settings = {"rows": ("rows.jsonl",)}
    folder = Path(str(work_on("check", settings).folder))
    key = Run(folder).key
    (folder / "run.json").unlink()
    (folder / f".work-{key}").mkdir()
    with (folder / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        Timer(0.5, lambda: fcntl.flock(lock, fcntl.LOCK_UN)).start()
        assert work_on("check", settings).folder == str(folder)
    assert capsys.readouterr().err.count(f"waiting: {folder} is in use by another tunescope") == 1


def test_a_fault_of_ours_is_said_in_full_and_stops_one_cell_alone(place, capsys):
    assert work_on("no such verb", {}) == CellResult(None, "KeyError: 'no such verb'")
    assert "Traceback (most recent call last):" in capsys.readouterr().err


def test_what_a_verb_refuses_is_said_before_the_first_step(place):
    text = """
    inputs: {rows: rows.jsonl, other: other.jsonl}
    steps:
      check: {verb: check, rows: "{rows}"}
      more: {verb: check, rows: "{other}", columns: instruction=question}
      best: {verb: select, rows: "{rows}", where: "n >"}
    """
    with pytest.raises(SettingsError, match="before the first step:") as caught:
        study.run(StudySettings(recipe=recipe(text)))
    lines = str(caught.value).split("\n  ")[1:]
    assert [line.partition(":")[0] for line in lines if line.startswith("step")] == [
        "step more",
        "step best",
    ]
    assert not Path("runs").exists()


def test_a_dose_beyond_all_rows_is_refused_while_reading(place):
    text = "steps: {dose: {verb: falsify dose, rows: microworld, vary: {dose: [0.5, 1.5]}}}"
    assert complaints(text) == [
        "step dose: dose 1.5: expected at least 0 and at most 1; for example 0.25 or 25%, or several as 0,0.25,0.5"
    ]


def test_a_value_that_is_varied_twice(place):
    text = "steps: {c: {verb: check, rows: x, vary: {max_words: [100, 200, 100]}}}"
    assert complaints(text) == ["step c: max_words has 100 twice; name each value once"]


def test_files_of_one_name_are_told_apart_by_their_folders(place):
    text = "steps: {c: {verb: check, vary: {rows: [a/rows.jsonl, b/rows.jsonl]}}}"
    assert [name for name, _ in planned(text)] == ["c (rows=a/rows.jsonl)", "c (rows=b/rows.jsonl)"]


def test_a_value_is_part_of_what_a_study_is(place):
    runs = [study.run(StudySettings(recipe=recipe(VALUES), set=given)) for given in ((), ("n=1",), ("n=2",))]
    assert runs[0].path == runs[2].path != runs[1].path


def test_a_plan_says_what_is_there_and_what_the_rest_takes(place):
    def states(text: str) -> list[tuple[bool, bool, str]]:
        steps = study.plan(PlanSettings(recipe=recipe(text))).result["steps"]
        return [(step["run"] is not None, step["hours"] is not None, step["hours_from"]) for step in steps]

    isnt = "check isn't there yet"
    assert states(RUNNABLE) == [
        (False, False, "no cell of check is done yet"),
        (False, False, isnt),
        (False, False, isnt),
        (False, False, "top (top=1) isn't there yet"),
        (False, False, "top (top=2) isn't there yet"),
    ]
    study.run(StudySettings(recipe="recipe.yaml"))
    assert states(RUNNABLE) == [(True, False, "")] * 5
    assert not list(Path("runs").glob(".*"))
    more = states(RUNNABLE.replace("[1, 2]", "[1, 2, 3]"))
    assert more == [
        *[(True, False, "")] * 3,
        (False, True, "the mean of 2 cells of select"),
        *[(True, False, "")] * 2,
        (False, True, "the mean of 2 cells of compare"),
    ]
    outcome = study.plan(PlanSettings(recipe="recipe.yaml"))
    assert outcome.view.sentences[1].startswith("5 of 7 cells are there already. 2 others would take about ")


def test_a_plan_counts_an_oracle_s_tokens(place):
    write_rows(place / "oracle.jsonl", [{"pattern": "", "reply": "<short_response>Yes.</short_response>"}])
    text = """
    inputs: {rows: rows.jsonl}
    steps:
      short: {verb: repair simplify, rows: "{rows}", oracle: "fake:oracle.jsonl"}
      check: {verb: check, rows: "{short}"}
    """
    short, check = study.plan(PlanSettings(recipe=recipe(text))).result["steps"]
    assert short["tokens"] > 0
    assert short["tokens_from"] == "its verb's --plan"
    assert (check["tokens"], check["tokens_from"]) == (None, "it asks no oracle")


def test_a_step_whose_folder_is_gone_is_done_again(place):
    run = study.run(StudySettings(recipe=recipe(RUNNABLE)))
    gone = Path(run.result["steps"][2]["run"])
    before = json.loads((gone / "run.json").read_text())["result"]
    for path in gone.iterdir():
        path.unlink()
    gone.rmdir()
    again = study.run(StudySettings(recipe="recipe.yaml"))
    assert again.result == run.result
    assert json.loads((gone / "run.json").read_text())["result"] == before


def test_what_changes_a_study(place):
    first = study.run(StudySettings(recipe=recipe(RUNNABLE)))
    assert study.run(StudySettings(recipe="recipe.yaml", set=("rows=other.jsonl",))).path != first.path
    assert study.run(StudySettings(recipe=recipe(RUNNABLE + "# a word more\n"))).path != first.path
    write_rows(place / "rows.jsonl", ROWS[:4])
    assert study.run(StudySettings(recipe=recipe(RUNNABLE))).path != first.path


LOOP = """
about: Again and again.
inputs: {rows: rows.jsonl, claims: claims.jsonl, before: before.jsonl, after: after.jsonl}
steps:
  rounds:
    repeat:
      at_most: 3
      until: {no_claim_still_there: "{verdict}"}
      steps:
        rows: {verb: select, rows: "{rows}", top: 4, by: n}
        verdict: {verb: judge claims, answers: ["{before}", "{after}"], claims: "{claims}", left_out: ["{rows}"]}
  last: {verb: check, rows: "{rows}"}
"""


@pytest.fixture
def asked(place):
    write_rows(place / "claims.jsonl", [{"claim_id": "c", "prompt": "Where?", "phrases": ["here"]}])
    write_rows(place / "before.jsonl", [{"prompt_id": "c", "prompt": "Where?", "text": "It is here."}])
    return place


def test_a_loop_goes_on_until_its_test_holds_or_it_is_over(asked):
    write_rows(asked / "after.jsonl", [{"prompt_id": "c", "prompt": "Where?", "text": "Here."}])
    run = study.run(StudySettings(recipe=recipe(LOOP)))
    names = [step["name"] for step in run.result["steps"]]
    assert names == [f"{name} (round {i})" for i in (1, 2, 3) for name in ("rows", "verdict")] + ["last"]
    made = [Run(Path(step["run"])) for step in run.result["steps"]]
    assert made[0].settings["rows"] == ["rows.jsonl"]
    assert made[2].settings["rows"] == [str(made[0].path)]
    assert made[4].path == made[2].path  # the same rows again: round 2 took none
    assert made[6].settings["rows"] == [str(made[4].path)]
    write_rows(asked / "after.jsonl", [{"prompt_id": "c", "prompt": "Where?", "text": "There."}])
    run = study.run(StudySettings(recipe="recipe.yaml"))
    assert [step["name"] for step in run.result["steps"]] == ["rows (round 1)", "verdict (round 1)", "last"]
    view = Run(Path(run.result["steps"][1]["run"])).view
    assert view.sentences[0].startswith("Without 2 rows, 1 of 1 claim is gone.")


def test_a_loop_is_planned_once(asked):
    write_rows(asked / "after.jsonl", [{"prompt_id": "c", "prompt": "Where?", "text": "Here."}])
    assert planned(LOOP) == [
        ("rows (at most 3 times)", "rows=rows.jsonl, top=4, by=n"),
        (
            "verdict (at most 3 times)",
            "answers=['before.jsonl', 'after.jsonl'], claims=claims.jsonl, left_out=['{rows (at most 3 times)}']",
        ),
        ("last", "rows={rows (at most 3 times)}"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("at_most: 3", "at_most: 0", "step rounds: at_most 0: expected a whole number, at least 1"),
        ("      at_most: 3\n", "", "step rounds: expected `repeat:` alone, with at_most, until and steps"),
        (
            "no_claim_still_there:",
            "gone:",
            "step rounds: until {'gone': '{verdict}'}: expected {no_claim_still_there: \"{STEP}\"} with a step of the "
            "loop",
        ),
        (
            '"{verdict}"}\n      steps',
            '"{rows}/x"}\n      steps',
            "step rounds: until {'no_claim_still_there': '{rows}/x'}: expected {no_claim_still_there: \"{STEP}\"} with "
            "a step of the loop",
        ),
        ("rows: {verb: select", "best: {verb: selekt", "step best: there is no verb selekt; did you mean select?"),
        ('["{rows}"]}', '["{last}"]}', "step verdict: {last} is neither an input nor an earlier step"),
    ],
)
def test_mistakes_in_a_loop(asked, old, new, expected):
    write_rows(asked / "after.jsonl", [{"prompt_id": "c", "prompt": "Where?", "text": "Here."}])
    assert old in LOOP
    assert expected in complaints(LOOP.replace(old, new, 1))


VALUES = """
inputs: {rows: rows.jsonl}
values: {n: 2, by: n, note: null}
defaults:
  select: {by: "{by}", rows: "{rows}", top: 1}
steps:
  best: {verb: select, top: "{n}"}
  each: {verb: select, vary: {top: ["{n}", 3]}}
  other: {verb: select, rows: "{best}", where: "{by} > {n}", by: null, top: null}
"""


def test_values_and_defaults(place):
    assert planned(VALUES) == [
        ("best", "by=n, rows=rows.jsonl, top=2"),
        ("each (top=2)", "by=n, rows=rows.jsonl, top=2"),
        ("each (top=3)", "by=n, rows=rows.jsonl, top=3"),
        ("other", "by=None, rows={best}, top=None, where=n > 2"),
    ]
    assert planned(VALUES, "n=5", "rows=other.jsonl")[0] == ("best", "by=n, rows=other.jsonl, top=5")
    assert complaints(VALUES, "m=5") == [
        "--set m=5: expected NAME=PATH or NAME=VALUE with NAME one of rows, n, by, note"
    ]
    assert "step best: top 'many': expected a whole number, at least 0" in complaints(VALUES, "n=many")
    run = study.run(StudySettings(recipe=recipe(VALUES), set=("n=4",)))
    assert Run(Path(run.result["steps"][0]["run"])).result["kept"] == 4


def test_mistakes_in_values_and_defaults(place):
    assert complaints(VALUES.replace("note: null", "rows: 1"))[0] == (
        "value rows: an input has the same name; rename one of them"
    )
    assert (
        complaints(VALUES.replace("n: 2", "n: {m: 2}"))[0]
        == "expected `values:` with a number, a text, null or a list of these per name"
    )
    assert "defaults: there is no verb selekt; did you mean select?" in complaints(
        VALUES.replace("  select:", "  selekt:")
    )
    assert complaints("defaults: 3\nsteps: {c: {verb: check, rows: rows.jsonl}}") == [
        "expected `defaults:` with settings per verb"
    ]


LIKE = """
about: The same with three.
like: base
values: {n: 4}
"""


def test_a_recipe_like_another(place):
    Path("base.yaml").write_text(VALUES)
    assert planned(LIKE)[0] == ("best", "by=n, rows=rows.jsonl, top=4")
    assert planned(LIKE, "n=5")[0] == ("best", "by=n, rows=rows.jsonl, top=5")
    assert study.read("recipe.yaml").about == "The same with three."
    first = study.run(StudySettings(recipe="recipe.yaml"))
    Path("base.yaml").write_text(VALUES.replace("top: null}", "top: null, on_bad: skip}"))
    assert study.run(StudySettings(recipe="recipe.yaml")).path != first.path


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("like: base", "like: bose", "like 'bose': expected the name of another recipe beside it"),
        ("like: base", "like: [base]", "like ['base']: expected the name of another recipe beside it"),
        ("like: base", "like: recipe", "like 'recipe': expected the name of another recipe beside it"),
        ("like: base", "like: also", "like 'also': expected a recipe with steps of its own"),
        ("n: 4", "m: 4", "values: expected some of those of base.yaml: n, by, note"),
        ("values:", "steps:", "`steps` beside `like`: expected about, inputs and values alone"),
    ],
)
def test_mistakes_in_a_recipe_like_another(place, old, new, expected):
    Path("base.yaml").write_text(VALUES)
    Path("also.yaml").write_text(LIKE)
    assert complaints(LIKE.replace(old, new)) == [f"recipe.yaml: {expected}"]


def test_an_input_that_must_be_given_and_values_that_are_lists(place):
    text = """
    inputs: {rows: null}
    values: {tops: [1, 2]}
    steps:
      top: {verb: select, rows: "{rows}", by: n, vary: {top: "{tops}"}}
    """
    assert complaints(text) == ["input rows: this recipe needs a file of yours; add --set rows=FILE"]
    assert [name for name, _ in planned(text, "rows=rows.jsonl")] == ["top (top=1)", "top (top=2)"]
    assert [name for name, _ in planned(text, "rows=rows.jsonl", "tops=[5]")] == ["top (top=5)"]
    assert complaints(text, "rows=rows.jsonl", "tops=5") == ["--set tops=5: expected a list, such as [1, 2]"]
