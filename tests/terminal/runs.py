"""A small run of every verb, on the microworld and a fake oracle, for its view.

`python -m tests.terminal.runs` writes the views of all verbs, or of those named, and their texts at 80 and 120 columns
to `recorded/`; with `--draw` it draws the texts of the recorded views anew. `tests/test_terminal.py` draws them too.
`demo` is a study of a bundled recipe that takes minutes, so its view is that of `study run`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tunescope
from tests.annotations.studies import judge_records, verdicts, write_items, write_marks
from tests.race_runs import write_scored, write_selected
from tests.tools import ROOT, alpaca, read_rows, write_rows
from tests.verbs.test_match import scored
from tunescope.terminal import to_text
from tunescope.views import View

RECORDED = Path(__file__).parent / "recorded"
WIDTHS = (80, 120)
LONG = "models/a-folder-that-is-named-at-length/and-another-one-inside/the-model-of-the-second-attempt"
BETTER = "(?:Give honey|Pimfo plays|he job)"
"""What the better answers of the two systems begin with; of others the judge prefers the first."""
FAKE = [
    {"pattern": "short_response", "reply": "<short_response>\nShort.\n</short_response>"},
    *(
        {
            "pattern": rf"answer {place} ===\n{BETTER}.*(?P<m>\w{{8}}): {asked}",
            "reply": rf"\g<m>: {said}",
            "expand": True,
        }
        for place, asked, said in ((1, "CHOICE", "1"), (2, "CHOICE", "2"), (1, "SCORE-1", "9 4"), (2, "SCORE-1", "4 9"))
    ),
    {"pattern": r".*(?P<m>\w{8}): CHOICE", "reply": r"\g<m>: 1", "expand": True},
    {"pattern": r".*(?P<m>\w{8}): SCORE-1", "reply": r"\g<m>: 7 5", "expand": True},
    {"pattern": r".*(?P<m>\w{8}): SCORE", "reply": r"\g<m>: 5 8", "expand": True},
    {
        "pattern": r'.*"code": "(?P<m>\w{8})"',
        "reply": r'{"code": "\g<m>", "depth": {"reason": "Short.", "score": 2}}',
        "expand": True,
    },
    {"pattern": "Score: NUMBER", "reply": "Score: 4\nRight."},
    {"pattern": "", "reply": "Where does Pamma live, and since when?"},
]
QUESTIONS = [
    {"question": "Which planet has oceans?", "choices": ["Mars", "Venus", "Earth"], "answer": "Earth"},
    {"question": "How much is 2 + 2?", "choices": ["3", "4", "5"], "answer": "B"},
    {"question": "Which is a metal?", "choices": ["wood", "iron"], "answer": 1},
]
SCORES = "task,0%,25%,50%,100%\narc_challenge,54.7,52.1,41.0,20.3\nhellaswag,70.1,69.9,66.0,58.2\nmmlu,50,48,40,26\n"
RECIPE = """
about: A small study of how long rows may be.
inputs: {rows: few.jsonl}
steps:
  faults-by-length: {verb: check, rows: "{rows}", vary: {max_words: [5, 60]}}
  words: {verb: trace index, rows: ["{rows}"]}
"""

Views = dict[str, Callable[[], Any]]
_CHECKED = "runs/checked"  # where `why` looks


def inputs() -> None:
    """Write what the runs read into the working folder."""
    shutil.copy(ROOT / "recipes/lora-and-full/rows.json", "rows.json")
    rows = read_rows(ROOT / "recipes/trace-confirm/rows.jsonl")
    write_rows(Path("world.jsonl"), rows[:60])
    write_rows(Path("few.jsonl"), [*rows[:8], alpaca("Who was the first person on the moon?", "")])
    prompts = read_rows(ROOT / "recipes/trace-confirm/prompts.jsonl")[:6]
    write_rows(Path("prompts.jsonl"), prompts)
    write_rows(Path("fake.jsonl"), FAKE)
    write_rows(Path("questions.jsonl"), QUESTIONS)
    claim = {"claim_id": "birthplace", "prompt": prompts[0]["prompt"], "phrases": ["lives in"], "truth": ["Felu"]}
    write_rows(Path("claims.jsonl"), [claim])
    for number, name in enumerate((LONG, "models/second")):
        answers = [
            {"instruction": row["instruction"], "output": row["output"][number:], "generator": name}
            for row in rows[: 5 + number]
        ]
        write_rows(Path(f"answers-{number}.jsonl"), answers)
    Path("scores.csv").write_text(SCORES, "utf-8")
    Path("recipe.yaml").write_text(RECIPE, "utf-8")


def views() -> Views:
    """Return a run for each verb, by its name; some read what earlier ones made."""
    oracle = {"oracle": "fake:fake.jsonl"}
    both = ["answers-0.jsonl", "answers-1.jsonl"]
    model = {"model": "microworld"}
    shift = {"tuned": "tuned", "answers": "answers-0.jsonl", "base": "microworld"}
    return {
        "models": _models,
        "check": lambda: tunescope.check("rows.json", out=_CHECKED),
        "why": lambda: tunescope.why(next(iter(tunescope.open(_CHECKED).tables["rows"]["row_id"])).as_py()),
        "select": lambda: tunescope.select("rows.json", from_=_CHECKED, where="surely_wrong = false", out="kept"),
        "measure": lambda: tunescope.measure("few.jsonl", without="coherence", out="measured", **model),
        "compare": lambda: tunescope.compare(*both),
        "repair rate": lambda: tunescope.repair_rate("few.jsonl", out="rated", **oracle),
        "repair simplify": lambda: tunescope.repair_simplify("few.jsonl", out="short", **oracle),
        "repair reflect": lambda: tunescope.repair_reflect("few.jsonl", out="reflected", **oracle),
        "repair evolve": lambda: tunescope.repair_evolve("few.jsonl", out="evolved", **oracle),
        "repair correct": lambda: tunescope.repair_correct(
            "rows.json", from_=_CHECKED, where="line > 0", truth="Nobody knows.", out="corrected"
        ),
        "falsify build": lambda: tunescope.falsify_build("questions.jsonl", chains="none", out="pairs"),
        "falsify dose": lambda: tunescope.falsify_dose("pairs", dose="0,0.5,1", out="dosed"),
        "tune": lambda: tunescope.tune("few.jsonl", max_steps=2, out="tuned", **model),
        "answer": lambda: tunescope.answer("prompts.jsonl", max_new_tokens=12, out="answered", **model),
        "shift": lambda: tunescope.shift(out="shifted", **shift),
        "shift runs": lambda: tunescope.shift_runs(
            runs=["shifted", str(tunescope.shift(dtype="bfloat16", **shift).path)]
        ),
        "trace index": lambda: tunescope.trace_index("world.jsonl", out="index"),
        "trace": lambda: tunescope.trace("world.jsonl", answers="answers-1.jsonl", out="traced"),
        "attribute index": lambda: tunescope.attribute_index("world.jsonl", embedder="none"),
        "attribute": lambda: tunescope.attribute("world.jsonl", answers="answers-0.jsonl", embedder="none"),
        "judge winrate": lambda: tunescope.judge_winrate(both[0], reference=both[1], out="won", **oracle),
        "judge pairwise": lambda: tunescope.judge_pairwise(both, control=True, out="judged", **oracle),
        "judge aspects": lambda: tunescope.judge_aspects(both, aspects="depth", out="scored", **oracle),
        "judge claims": lambda: tunescope.judge_claims("answered", claims="claims.jsonl"),
        "judge recompute": lambda: tunescope.judge_recompute("judged/judgements.jsonl", out="recomputed"),
        "annotate create": lambda: tunescope.annotate_create(both, kind="pairs", annotators=3, out="marked"),
        "annotate serve": lambda: tunescope.annotate_serve("marked", revoke="A1"),
        "annotate agreement": lambda: tunescope.annotate_agreement("marks.jsonl", items="items.jsonl", judge=_judged()),
        "annotate export": lambda: tunescope.annotate_export(
            "marks.jsonl", items="items.jsonl", format="potato", out="exported"
        ),
        "judge leaderboard": lambda: tunescope.judge_leaderboard("recomputed"),
        "bench": lambda: tunescope.bench("questions.jsonl", **model),
        "study plan": lambda: tunescope.study_plan("recipe.yaml"),
        "study run": lambda: tunescope.study_run("recipe.yaml", out="study"),
        "study analyze": lambda: tunescope.study_analyze("scores.csv"),
        "study match": lambda: tunescope.study_match(_matched()),
        "study race": lambda: tunescope.study_race(_raced()),
        "report": lambda: tunescope.report(runs=[_CHECKED, "traced"], out="page"),
    }


def _matched() -> list[str]:
    """Write runs of LoRA and of full tuning, as `bench` and `tune` do; return their folders."""
    losses = {"lora": (2.0, 4.0), "full": (1.0, 3.0)}
    return [
        scored(Path("matched"), method, seed, loss, loss / 10 + seed / 100)
        for method, each in losses.items()
        for seed in (0, 1)
        for loss in each
    ]


def _judged() -> str:
    """Write what three people say of pairs; return a run of a fake judge that often prefers the answer shown first."""
    items, marks = verdicts(0, 60)
    write_marks(Path("marks.jsonl"), marks)
    write_items(Path("items.jsonl"), items)
    said = {mark.item_id: mark.value["preference"] for mark in marks}
    draw = lambda rng, item, person, is_first: person if rng.random() < 0.6 else float(is_first)  # noqa: E731
    write_rows(Path("fake-judgements.jsonl"), judge_records(1, items, said, draw, controls=0.2))
    return str(tunescope.judge_recompute("fake-judgements.jsonl", out="fake-judged").path)


def _raced() -> list[str]:
    """Write runs of models that were tuned on random rows, and on those that a measure ranks first."""
    runs = []
    for seed in (0, 1):
        for name, by in (("drawn", None), ("ranked", "response_words")):
            folder = Path("raced") / f"{name}{seed}"
            chosen = write_selected(folder, "pool/rows.jsonl", ["a", "b", "c"], ["b", "c"], by=by)
            scores = {"open": 0.5 + seed / 10 + (by is not None) / 20}
            runs.append(write_scored(Path("raced") / f"scored-{name}{seed}", f"{chosen}/rows.jsonl", seed, scores))
    return runs


def _models() -> Any:
    """List the models of a cache without any, which is the same everywhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNESCOPE_CACHE", "no-cache")
        return tunescope.models()


def recorded(verb: str) -> View:
    """Return a verb's recorded view."""
    return View.from_json(json.loads(_path(verb, "json").read_text("utf-8")))


def record(names: list[str]) -> None:
    """Write the views of verbs, and their texts at each width."""
    RECORDED.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["TUNESCOPE_RUNS"] = "runs"
        inputs()
        for verb, run in views().items():
            view = run().view
            if names and verb not in names:
                continue
            _path(verb, "json").write_text(json.dumps(view.as_json(), ensure_ascii=False) + "\n", "utf-8")
    draw()


def draw() -> None:
    """Write the texts of the recorded views."""
    for verb in views():
        for width in WIDTHS:
            _path(verb, f"{width}.txt").write_text(to_text(recorded(verb), width), "utf-8")


def _path(verb: str, ending: str) -> Path:
    return RECORDED / f"{verb.replace(' ', '-')}.{ending}"


def recorded_text(verb: str, width: int) -> str:
    """Return the recorded text of a verb's view."""
    return _path(verb, f"{width}.txt").read_text("utf-8")


if __name__ == "__main__":
    draw() if sys.argv[1:] == ["--draw"] else record(sys.argv[1:])
