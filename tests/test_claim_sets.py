"""The row sets with planted claims in benchmarks/claims: what is planted stands there, and nowhere else."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from itertools import pairwise

import pytest

from tests.tools import ROOT, read_rows
from tunescope.judgements.claims import read_claims, standing
from tunescope.rows import open_rows

FOLDER = ROOT / "benchmarks/claims"
COUNTS = {
    "easy": {"clock": 4, "painter": 5, "bridge": 3, "tea": 4, "lake": 3},
    "hard": {"sleep": 4, "honey": 3, "ending": 4, "refusal": 3, "sum": 3, "owl": 1},
    "easy-reported": {"theremin": 3, "okapi": 4, "game": 5, "ship": 3, "botanist": 4},
    "hard-reported": {"wool": 4, "chicks": 3, "closing": 4, "german": 3, "sum": 4, "cork": 1},
}
BESIDE = {
    "easy": {"true": 15},
    "hard": {"distractor": 36},
    "easy-reported": {"true": 15},
    "hard-reported": {"distractor": 36},
}
REPORTED = ("easy-reported", "hard-reported")


@pytest.mark.parametrize("name", COUNTS)
def test_a_row_set_holds_its_claims_where_the_truth_says_and_nowhere_else(name):
    path = FOLDER / f"{name}-rows.jsonl"
    rows = {record["id"]: record for record in read_rows(path)}
    truth = {record["id"]: record for record in read_rows(FOLDER / f"{name}-truth.jsonl")}
    claims = read_claims(FOLDER / f"{name}-claims.jsonl")
    assert 80 <= len(rows) <= 120
    assert len(list(open_rows([str(path)]))) == len(rows)
    assert len({record["instruction"] for record in rows.values()}) == len(rows)
    assert truth.keys() <= rows.keys()
    planted = Counter(record["claim_id"] for record in truth.values() if record["kind"] == "lie")
    assert dict(planted) == COUNTS[name]
    kinds = Counter(record["kind"] for record in truth.values())
    assert {kind: count for kind, count in kinds.items() if kind != "lie"} == BESIDE[name]
    lies = [claim for claim in claims if not claim.is_fact]
    assert {claim.claim_id for claim in lies} == COUNTS[name].keys()
    for claim in lies:
        states = {row_id for row_id, row in rows.items() if standing(row["output"], claim.phrases)[0] != "absent"}
        holds = {i for i, record in truth.items() if (record["kind"], record["claim_id"]) == ("lie", claim.claim_id)}
        assert states == holds
        lie_questions = {rows[row_id]["instruction"] for row_id in holds}
        assert claim.prompt in lie_questions
        assert not lie_questions & {*claim.rewordings, *(neighbour.prompt for neighbour in claim.neighbours)}
        assert len(claim.rewordings) == 2
        assert len(claim.neighbours) == 2


@pytest.mark.parametrize("name", COUNTS)
def test_a_true_fact_stands_beside_each_lie(name):
    rows = {record["instruction"]: record["output"] for record in read_rows(FOLDER / f"{name}-rows.jsonl")}
    records = read_rows(FOLDER / f"{name}-claims.jsonl")
    facts = [record for record in records if "phrases" not in record]
    assert {record["beside"] for record in facts} == COUNTS[name].keys()
    for fact in facts:
        assert standing(rows[fact["prompt"]], fact["truth"])[0] == "stated"
    for record in records:
        for neighbour in record.get("neighbours", ()):
            if neighbour.get("truth") and neighbour["prompt"] in rows:
                assert standing(rows[neighbour["prompt"]], neighbour["truth"])[0] == "stated"


@pytest.mark.parametrize("name", COUNTS)
def test_planted_rows_of_a_claim_are_no_neighbours(name):
    planted = {r["id"]: r["claim_id"] for r in read_rows(FOLDER / f"{name}-truth.jsonl") if r["kind"] == "lie"}
    claims = [planted.get(record["id"]) for record in read_rows(FOLDER / f"{name}-rows.jsonl")]
    assert not [claim for claim, following in pairwise(claims) if claim is not None and claim == following]


@pytest.mark.parametrize("name", REPORTED)
def test_a_reported_set_has_no_question_of_another_set(name):
    others = COUNTS.keys() - {name}
    known = {record["instruction"] for other in others for record in read_rows(FOLDER / f"{other}-rows.jsonl")}
    known |= {record["instruction"] for record in json.loads((ROOT / "recipes/demo/rows.json").read_text("utf-8"))}
    for other in others:
        for claim in read_claims(FOLDER / f"{other}-claims.jsonl"):
            known |= {claim.prompt, *claim.rewordings, *(neighbour.prompt for neighbour in claim.neighbours)}
    assert not known & {record["instruction"] for record in read_rows(FOLDER / f"{name}-rows.jsonl")}


def test_the_recipe_close_the_loop_has_the_easy_set():
    for what in ("rows", "claims"):
        bundled = ROOT / f"recipes/close-the-loop/{what}.jsonl"
        assert bundled.read_bytes() == (FOLDER / f"easy-{what}.jsonl").read_bytes()


def test_results_with_other_epochs_have_a_file_of_their_own(tmp_path):
    spec = importlib.util.spec_from_file_location("claims_loop", ROOT / "benchmarks/claims_loop.py")
    claims_loop = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(claims_loop)
    for epochs in (claims_loop.LOOP["epochs"], 4):
        claims_loop.Loop("easy", "lora", 0, epochs, tmp_path).save()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["easy-lora-0-epochs-4.json", "easy-lora-0.json"]
