"""`compare` of two runs of `check`: what is kept, new and gone, and whether a fault grew."""

from __future__ import annotations

import pytest
from scipy.stats import fisher_exact
from tests.tools import alpaca, write_rows

from tunescope import cli
from tunescope.errors import RunError, SettingsError
from tunescope.results.compare import FaultsResult
from tunescope.verbs.check import CheckSettings, check
from tunescope.verbs.compare import CompareSettings, compare

GOOD = [alpaca(f"Tell me of thing number {i}.", f"Thing number {i} is round, blue and heavy.") for i in range(200)]
EMPTY = [alpaca(f"Describe item {i}.", "") for i in range(40)]


def checked(path, rows, **settings):
    return str(check(CheckSettings(rows=(str(write_rows(path, rows)),), **settings)).path)


@pytest.fixture
def runs(workplace):
    """Two of a hundred rows are empty; then ten more are added, six of them empty."""
    before = checked(workplace / "before.jsonl", [*GOOD[:98], *EMPTY[:2]])
    after = checked(workplace / "after.jsonl", [*GOOD[:102], *EMPTY[:8]])
    return before, after


def test_growth_by_hand(runs):
    run = compare(CompareSettings(a=runs[0], b=runs[1], fault=("empty_answer",)))
    result = FaultsResult.read(run)
    growth = result.faults["empty_answer"]
    assert (result.a, result.b, result.same, result.removed, result.added) == (100, 110, 100, 0, 10)
    assert (growth.a, growth.b, growth.new, growth.gone, growth.grew) == (2, 8, 6, 0, True)
    assert growth.difference.mean == pytest.approx(8 / 110 - 2 / 100)
    assert growth.p == pytest.approx(fisher_exact([[6, 4], [2, 98]], alternative="greater").pvalue)
    assert (growth.p_holm, result.grown) == (growth.p, 1)
    assert run.view.sentences[1] == "empty_answer grew: 2 of 100 rows (2.00 %) in A, 8 of 110 (7.27 %) in B."
    lines = run.tables["faults"].to_pylist()
    assert [(line["fault"], line["change"]) for line in lines] == [("empty_answer", "new")] * 6
    assert [line["place"].rpartition("/")[2] for line in lines] == [f"after.jsonl:{n}" for n in range(105, 111)]


def test_every_fault_is_tested_with_holm_and_the_way_back_is_no_growth(runs):
    result = FaultsResult.read(compare(CompareSettings(a=runs[0], b=runs[1])))
    assert len(result.faults) == 13
    assert result.faults["empty_answer"].p_holm == pytest.approx(10 * result.faults["empty_answer"].p)
    back = FaultsResult.read(compare(CompareSettings(a=runs[1], b=runs[0])))
    assert (back.grown, back.faults["empty_answer"].gone) == (0, 6)
    assert back.faults["empty_answer"].p > 0.5


def test_rows_that_were_mended_are_no_growth(workplace):
    """Nine of ten empty answers were written: fewer faults, though one of the ten new rows has it."""
    before = checked(workplace / "a.jsonl", [*GOOD[:90], *EMPTY[:10]])
    mended = [{**row, "output": f"Item {n} is long and thin."} for n, row in enumerate(EMPTY[:9])]
    after = checked(workplace / "b.jsonl", [*GOOD[:90], *mended, EMPTY[20]])
    growth = FaultsResult.read(compare(CompareSettings(a=before, b=after))).faults["empty_answer"]
    assert (growth.a, growth.b, growth.new, growth.gone, growth.grew) == (10, 1, 1, 10, False)


def test_a_kept_row_whose_verdict_changes_counts_as_changed(workplace):
    """A row that stays conflicts with an added one: both are new. It depends on the set, and isn't tested."""
    before = checked(workplace / "a.jsonl", GOOD[:50])
    other = {**GOOD[0], "output": "It is square, red and light."}
    after = checked(workplace / "b.jsonl", [*GOOD[:50], other])
    run = compare(CompareSettings(a=before, b=after, fault=("conflicting_answers",)))
    growth = FaultsResult.read(run).faults["conflicting_answers"]
    assert (growth.a, growth.b, growth.new, growth.gone) == (0, 2, 2, 0)
    assert (growth.p, growth.p_holm, growth.grew) == (None, None, None)


def test_the_gate(runs, capsys):
    words = ["compare", *runs, "--fault", "empty_answer", "--fail-on"]
    assert cli.run([*words, "empty_answer.grew"]) == 3
    assert cli.run([*words, "grown > 0 and empty_answer.difference.mean > 10%"]) == 0
    assert cli.run(["compare", *reversed(runs), "--fail-on", "grown > 0"]) == 0
    assert "the gate 'empty_answer.grew' holds" in capsys.readouterr().err


def test_nothing_is_missing_of_empty_sets(workplace):
    before = checked(workplace / "a.jsonl", GOOD[:1])
    result = FaultsResult.read(compare(CompareSettings(a=before, b=before)))
    assert (result.grown, result.same) == (0, 1)
    assert {each.p for each in result.faults.values()} == {1.0, None}


def test_what_is_refused(workplace, runs):
    other = checked(workplace / "c.jsonl", GOOD[:20], max_words=50)
    with pytest.raises(SettingsError, match=r"A was checked with --max-words 1500 and B with 50; check both alike"):
        compare(CompareSettings(a=runs[0], b=other))
    with pytest.raises(SettingsError, match=r"--fault typo: expected one that both runs have: empty_answer, "):
        compare(CompareSettings(a=runs[0], b=runs[1], fault=("typo",)))
    with pytest.raises(RunError, match=r"is a run of check, which holds no rows"):
        compare(CompareSettings(a=runs[0], b=str(workplace / "before.jsonl")))


def test_a_fault_that_one_side_was_checked_for_is_said(workplace, runs):
    (workplace / "bench.txt").write_text("one two three four five six seven eight nine ten eleven twelve thirteen\n")
    more = checked(workplace / "before.jsonl", [*GOOD[:98], *EMPTY[:2]], against=(str(workplace / "bench.txt"),))
    run = compare(CompareSettings(a=runs[0], b=more))
    assert "Only B was checked for benchmark_overlap." in run.view.sentences
