"""The numbers of a dose–response against numpy and scipy, and against definitions written out."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tunescope.verbs.analyze.dose_response import dose_response
from tunescope.verbs.analyze.score_table import TaskScore

FIVE = [0.0, 0.25, 0.5, 0.75, 1.0]


def single(scores: list[float | None], retuned: float | None = None) -> dict:
    cells = [TaskScore("t", dose, "", False, score) for dose, score in zip(FIVE, scores, strict=True)]
    cells += [TaskScore("t", 1.0, "", True, retuned)] if retuned is not None else []
    return dose_response(cells, FIVE, [""])


def seeded(
    scores: dict[str, list[float | None]],
    retuned: dict[str, float | None] | None = None,
    score_range: tuple[float, float] = (-math.inf, math.inf),
) -> dict:
    cells = [
        TaskScore("t", d, seed, False, s) for seed, line in scores.items() for d, s in zip(FIVE, line, strict=True)
    ]
    cells += [TaskScore("t", 1.0, seed, True, score) for seed, score in (retuned or {}).items()]
    return dose_response(cells, FIVE, list(scores), score_range)


def exact_p(scores: list[float]) -> float:
    """Go through all orders."""
    r = abs(np.corrcoef(FIVE, scores)[0, 1])
    correlations = [abs(np.corrcoef(FIVE, order)[0, 1]) for order in itertools.permutations(scores)]
    return float(np.mean([value >= r - 1e-9 for value in correlations]))


@given(st.lists(st.integers(0, 1000), min_size=5, max_size=5, unique=True))
def test_against_scipy(scores):
    record = single(scores)
    expected = scipy.stats.pearsonr(FIVE, scores)
    assert record["pearson"] == pytest.approx(expected.statistic, abs=1e-12)
    if 1 - abs(expected.statistic) > 1e-9:
        low, high = expected.confidence_interval(0.95)
        assert (record["low"], record["high"]) == pytest.approx((low, high), abs=1e-9)
    assert record["p_exact"] == record["p"] == pytest.approx(exact_p(scores), abs=1e-12)
    line = scipy.stats.linregress(FIVE, scores)
    assert record["slope"] == pytest.approx(line.slope, abs=1e-9)
    if record["slope_low"] is not None:
        half = scipy.stats.t.ppf(0.975, 3) * line.stderr
        assert (record["slope_low"], record["slope_high"]) == pytest.approx((line.slope - half, line.slope + half))
    assert record["abs"] == scores[0] - scores[4]
    assert (record["n"], record["n_missing"], record["abs_low"]) == (5, 0, None)
    assert record["abs_reason"] == "one value: no interval"


def test_missing_cells_are_counted_and_leave_null():
    record = single([0.9, None, 0.7, 0.5, None])
    r = scipy.stats.pearsonr([0, 0.5, 0.75], [0.9, 0.7, 0.5]).statistic
    assert record["pearson"] == pytest.approx(r)
    assert (record["n"], record["n_missing"]) == (3, 2)
    assert (record["low"], record["reason"]) == (None, "n = 3: the interval of a Pearson correlation needs 4")
    assert (record["abs"], record["abs_reason"]) == (None, "no score at 100 %")
    assert [(cell["mean"], cell["reason"]) for cell in record["scores"]][1] == (None, "no values")


def test_without_a_correlation_there_is_a_reason():
    record = single([0.5] * 5)
    assert (record["pearson"], record["p_exact"]) == (None, None)
    assert record["reason"] == "all y are equal: no correlation"
    assert record["abs"] == 0


def test_more_doses_than_can_be_gone_through():
    doses = [i / 9 for i in range(10)]
    record = dose_response([TaskScore("t", d, "", False, d * d) for d in doses], doses, [""])
    assert record["p_exact"] is None
    assert record["p_exact_reason"] == "10 doses: too many orders to go through"
    assert record["p"] == pytest.approx(1e-4, abs=1e-4)


SEEDS = {"0": [0.9, 0.8, 0.7, 0.5, 0.2], "1": [0.95, 0.85, 0.6, 0.5, 0.3], "2": [0.85, 0.9, 0.65, 0.4, 0.1]}


def test_several_seeds():
    record = seeded(SEEDS)
    table = np.array([*SEEDS.values()])
    means = table.mean(axis=0)
    assert record["pearson"] == pytest.approx(scipy.stats.pearsonr(FIVE, means).statistic)
    assert (record["n"], record["n_seeds"], record["p_exact"]) == (5, 3, pytest.approx(exact_p([*means])))
    every = scipy.stats.pearsonr(np.tile(FIVE, 3), table.ravel())
    assert (record["pearson_all"], record["pearson_all_n"]) == (pytest.approx(every.statistic), 15)
    low, high = every.confidence_interval(0.95)
    assert (record["pearson_all_low"], record["pearson_all_high"]) == pytest.approx((low, high))
    lost = table[:, 0] - table[:, 4]
    interval = scipy.stats.t.interval(0.95, 2, lost.mean(), scipy.stats.sem(lost))
    assert (record["abs"], record["abs_low"], record["abs_high"]) == pytest.approx((lost.mean(), *interval))
    cell = record["scores"][3]
    interval = scipy.stats.t.interval(0.95, 2, means[3], scipy.stats.sem(table[:, 3]))
    assert (cell["mean"], cell["low"], cell["high"], cell["n"]) == pytest.approx((means[3], *interval, 3))


def test_differences_end_at_the_width_of_the_score_range():
    """From 1 to 0 in two seeds and to 0.1 in a third: Student's interval alone would reach beyond 1."""
    falls = {seed: [1.0, 0.8, 0.6, 0.4, last] for seed, last in (("0", 0.0), ("1", 0.0), ("2", 0.1))}
    high = scipy.stats.t.interval(0.95, 2, 29 / 30, 1 / 30)[1]
    assert high > 1
    assert seeded(falls)["abs_high"] == pytest.approx(high)
    assert seeded(falls, score_range=(0, 1))["abs_high"] == 1


def test_a_missing_seed_leaves_its_pair_out():
    record = seeded({**SEEDS, "1": [0.95, 0.85, 0.6, 0.5, None]})
    assert record["abs"] == pytest.approx(np.mean([0.7, 0.75]))
    assert (record["abs_n"], record["n_missing"], record["scores"][4]["n"]) == (2, 1, 2)


def test_recovery_of_one_score_each():
    record = single([0.9, 0.8, 0.7, 0.6, 0.4], retuned=0.8)
    assert record["recovered"] == pytest.approx(0.4)
    assert record["unrecovered"] == pytest.approx(0.1)
    assert record["recovered_share"] == pytest.approx(0.8)
    assert (record["recovered_share_low"], record["recovered_share_reason"]) == (None, "one pair: no interval")


@pytest.mark.parametrize(("last", "by"), [(0.9, "0"), (0.95, "-0.05")])
def test_no_share_where_nothing_was_lost(last, by):
    record = single([0.9, 0.8, 0.7, 0.6, last], retuned=0.8)
    assert record["recovered_share"] is None
    assert record["recovered_share_reason"] in (
        f"0 % isn't above 100 %: they differ by {by}", "the second mean is 0: no ratio"
    )  # fmt: skip


def test_recovery_over_seeds():
    again = {"0": 0.8, "1": 0.85, "2": 0.7}
    record = seeded(SEEDS, again)
    table, back = np.array([*SEEDS.values()]), np.array([*again.values()])
    gained, lost = back - table[:, 4], table[:, 0] - table[:, 4]
    assert record["recovered"] == pytest.approx(gained.mean())
    assert record["unrecovered"] == pytest.approx((table[:, 0] - back).mean())
    assert record["recovered_share"] == pytest.approx(gained.mean() / lost.mean())
    # Fieller by its definition: at the ends, a t-test of gained - q * lost is just significant
    for end in (record["recovered_share_low"], record["recovered_share_high"]):
        assert scipy.stats.ttest_1samp(gained - end * lost, 0).pvalue == pytest.approx(0.05, abs=1e-9)


def test_no_share_where_0_percent_is_not_significantly_above_100_percent():
    scores = {"0": [0.5, 0.5, 0.5, 0.5, 0.4], "1": [0.5, 0.5, 0.5, 0.5, 0.7], "2": [0.6, 0.5, 0.5, 0.5, 0.3]}
    record = seeded(scores, {"0": 0.5, "1": 0.5, "2": 0.5})
    assert record["recovered_share"] is None
    assert record["recovered_share_reason"].startswith("0 % isn't above 100 %: they differ by 0.0667 (95 % interval -")
    assert not math.isnan(record["recovered"])
