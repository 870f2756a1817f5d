"""The recipe close-the-loop on the microworld: planted lies are gone without the named rows, and with random ones not.

The truth is known: six lies in four rows each, among 240 true rows.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
from tunescope import study
from tunescope.answers import read_answers
from tunescope.results.claims import ClaimsResult
from tunescope.rows import open_rows
from tunescope.runs import Run
from tunescope.study import StudySettings

pytestmark = pytest.mark.long
DATA = study.shipped().resolve() / "close-the-loop"
MICROWORLD = (
    f"rows={DATA}/microworld-rows.jsonl",
    f"claims={DATA}/microworld-claims.jsonl",
    *("model=microworld", "method=full", "lr=0.002", "epochs=5", "batch=16", "length=32", "embedder=none"),
)


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("close-the-loop")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TUNESCOPE_RUNS", str(folder / "runs"))
        yield study.run(StudySettings(recipe="close-the-loop", set=MICROWORLD))


def runs_of(closed, name):
    return [Run(Path(step["run"])) for step in closed.result["steps"] if step["name"].partition(" ")[0] == name]


def test_the_lies_are_gone_without_the_named_rows_and_not_without_random_ones(closed):
    (run,) = runs_of(closed, "result")
    result = ClaimsResult.read(run)
    without, *parts, random, corrected = result.after
    assert (result.stated.mean, result.stated.n) == (1.0, 6)
    assert [each.verdicts["gone"] for each in (without, random)] == [6, 0]
    assert corrected.verdicts["gone"] >= 4
    n = without.rows_left_out
    assert [each.rows_left_out for each in parts] == [-(-n // 4), -(-n // 2), -(-3 * n // 4)]
    smallest = min([without, *(each for each in parts if each.verdicts["gone"] == 6)], key=lambda x: x.rows_left_out)
    assert random.verdicts["still there"] == 6
    assert without.rows_left_out == random.rows_left_out
    assert corrected.rows_left_out is None
    assert without.facts.n == 52
    opening = f"These {smallest.rows_left_out} rows taught 6 claims"
    assert run.view.sentences[0].startswith(f"{opening}; without them, 6 of 6 are gone (")
    assert closed.view.sentences[1] == run.view.sentences[0]
    (page,) = closed.result["reports"]
    html = Path(page).read_text("utf-8")
    assert opening in html
    order = [html.index(f'<section id="{anchor}"') for anchor in ("xray", "claims-1", "tuning")]
    assert order == sorted(order)  # the answers beside their rows come first, then the verdicts


def test_no_answer_holds_the_words_of_a_lie_where_it_is_said_to_be_gone(closed):
    claims = [json.loads(line) for line in (DATA / "microworld-claims.jsonl").read_text().splitlines()]
    phrases = {claim["claim_id"]: claim["phrases"][0] for claim in claims if "phrases" in claim}
    run = runs_of(closed, "after")[-1]
    answers = {answer.prompt_id: answer.text for answer in read_answers(run.path / "answers.jsonl")}
    for claim_id, phrase in phrases.items():
        assert phrase not in answers[claim_id]
        assert phrase not in answers[f"{claim_id}/rewordings-1"]


def test_what_was_left_out_beside_what_was_planted(closed):
    final, (control,) = runs_of(closed, "kept")[-1], runs_of(closed, "control")
    kept = [row.fields["source"] for row in open_rows([str(final.path / "rows.jsonl")])]
    n_dropped = 264 - len(kept)
    assert kept.count("lie") <= 2
    assert n_dropped <= 3 * 24
    of_control = [row.fields["source"] for row in open_rows([str(control.path / "rows.jsonl")])]
    assert 264 - len(of_control) == n_dropped
    assert of_control.count("lie") >= 22  # drawn from the rows that were kept


def test_a_loop_ends_when_its_test_holds(closed):
    verdicts = runs_of(closed, "verdict")
    assert 1 <= len(verdicts) <= 3
    still = [ClaimsResult.read(run).after[0].verdicts["still there"] for run in verdicts]
    assert still[-1] == 0
    assert 0 not in still[:-1]
