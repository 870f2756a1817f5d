"""Alpha, kappa and overlap: equal to the package `krippendorff`, to published examples, and to sums by hand."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunescope.stats import cohens_kappa, coincidences, krippendorff_alpha, mean_overlap

krippendorff = pytest.importorskip("krippendorff")

NAN = math.nan
NOMINAL_OF_PACKAGE = [
    [NAN, NAN, NAN, NAN, NAN, 3, 4, 1, 2, 1, 1, 3, 3, NAN, 3],
    [1, NAN, 2, 1, 3, 3, 4, 3, NAN, NAN, NAN, NAN, NAN, NAN, NAN],
    [NAN, NAN, 2, 1, 3, 4, 4, NAN, 2, 1, 1, 3, 3, NAN, 4],
]
"""Three coders and 15 units, from the package's documentation; alpha is 0.691 (nominal)."""
FOUR_CODERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
    [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
]
"""Krippendorff 2011, "Computing Krippendorff's alpha-reliability", section C: 0.743 nominal, 0.815 ordinal."""
TWO_CODERS = [[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]]
"""The same, section A: two observers and binary data; 0.095."""


def counts(data):
    """Return how many coders gave each unit each value [units, values]."""
    column = np.asarray(data, float)
    domain = np.unique(column[~np.isnan(column)])
    return (column.T[..., None] == domain).sum(axis=1)


def alpha(data, scale, **more):
    """Return alpha as verbs compute it: the coincidences of each unit, summed."""
    units = [coincidences(unit[None]) for unit in counts(data) if unit.sum() > 1]
    return krippendorff_alpha(units, scale, **more)


@pytest.mark.parametrize(
    ("data", "scale", "published"),
    [
        (NOMINAL_OF_PACKAGE, "nominal", 0.691),
        (FOUR_CODERS, "nominal", 0.743),
        (FOUR_CODERS, "ordinal", 0.815),
        (TWO_CODERS, "nominal", 0.095),
    ],
)
def test_alpha_of_published_examples(data, scale, published):
    ours = alpha(data, scale).value
    assert round(ours, 3) == published
    assert ours == pytest.approx(krippendorff.alpha(data, level_of_measurement=scale), abs=1e-12)


TABLES = st.lists(st.lists(st.sampled_from([1, 2, 3, 4, NAN]), min_size=6, max_size=6), min_size=2, max_size=5)


@given(TABLES, st.sampled_from(["nominal", "ordinal"]))
def test_alpha_is_the_package_s_of_any_data(data, scale):
    of_units = counts(data)
    shared = of_units[of_units.sum(axis=1) > 1]
    estimate = alpha(data, scale)
    if not len(shared):
        assert (estimate.value, estimate.reason) == (None, "no item has two marks")
    elif (shared.sum(axis=0) > 0).sum() < 2:
        assert estimate.value is None
        assert estimate.reason.startswith("all marks are equal")
    else:
        theirs = krippendorff.alpha(value_counts=of_units, level_of_measurement=scale)
        assert estimate.value == pytest.approx(theirs, abs=1e-9)


def test_units_of_one_item_are_summed():
    of_units = counts(FOUR_CODERS)
    whole = coincidences(of_units)
    assert whole == pytest.approx(sum(coincidences(unit[None]) for unit in of_units))
    assert whole.sum() == pytest.approx(of_units[of_units.sum(axis=1) > 1].sum())


def spread(n, seed=0):
    """Draw two people who agree in seven of ten items."""
    rng = random.Random(seed)
    one = [rng.choice([1, 2, 3]) for _ in range(n)]
    return [one, [each if rng.random() < 0.7 else rng.choice([1, 2, 3]) for each in one]]


def test_interval_begins_at_thirty_items():
    few, enough = alpha(spread(29), "nominal"), alpha(spread(30), "nominal")
    assert (few.low, few.reason) == (None, "n = 29: the interval of an agreement needs 30")
    assert enough.low < enough.value < enough.high
    assert enough.reason is None


def test_jackknife_by_hand():
    """The interval from the pseudo-values, item by item, with the package's own alpha."""
    data = np.array(spread(40), float)
    n = data.shape[1]

    def theirs(columns):
        return krippendorff.alpha(columns, level_of_measurement="nominal")

    z = math.atanh(theirs(data))
    pseudo = [n * z - (n - 1) * math.atanh(theirs(np.delete(data, item, axis=1))) for item in range(n)]
    error = np.std(pseudo, ddof=1) / math.sqrt(n)
    half = 2.0226909117 * error  # Student's t, 39 degrees of freedom, 95 %
    ours = alpha(data, "nominal")
    assert (ours.low, ours.high) == pytest.approx((math.tanh(z - half), math.tanh(z + half)), abs=1e-8)


def test_few_items_that_differ_have_no_interval():
    data = [[1] * 60, [1] * 60]
    for item in range(9):
        data[item % 2][item] = 2
    estimate = alpha(data, "nominal")
    assert estimate.value < 0
    assert estimate.reason == "9 items differ from the rest; the interval needs 10"
    data[1][9] = 2
    assert alpha(data, "nominal").low is not None


def test_full_agreement_has_no_interval():
    estimate = alpha([[1, 2] * 20, [1, 2] * 20], "nominal")
    assert (estimate.value, estimate.low, estimate.reason) == (1.0, None, "no two marks differ: no interval")


def table(cells, n_values):
    """Return an item's table for each pair of values."""
    tables = np.zeros((len(cells), n_values, n_values))
    for number, (one, other) in enumerate(cells):
        tables[number, one, other] = 1
    return tables


def test_cohens_kappa_by_hand():
    """Cohen 1960's own example has 3 values; this one: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no gives 0.4."""
    cells = [(0, 0)] * 20 + [(0, 1)] * 5 + [(1, 0)] * 10 + [(1, 1)] * 15
    estimate = cohens_kappa(table(cells, 2), "nominal")
    assert estimate.value == pytest.approx(0.4)
    assert estimate.low < 0.4 < estimate.high
    ordinal = cohens_kappa(table([(0, 0), (1, 2), (2, 2), (0, 1)], 3), "ordinal")
    # observed: (1 + 1) / 4; expected over rows (2, 1, 1) and columns (1, 1, 2)
    assert ordinal.value == pytest.approx(1 - (2 / 4) / ((2 * 1 + 2 * 2 * 4 + 1 * 1 + 1 * 2 + 1 * 4 + 1 * 1) / 16))


@pytest.mark.parametrize(("scale", "weights"), [("nominal", None), ("ordinal", "quadratic")])
def test_kappa_is_that_of_statsmodels(scale, weights):
    reference = pytest.importorskip("statsmodels.stats.inter_rater")
    rng = random.Random(3)
    cells = [(rng.randrange(4), rng.randrange(4)) for _ in range(50)]
    theirs = reference.cohens_kappa(table(cells, 4).sum(axis=0), wt=weights, return_results=False)
    assert cohens_kappa(table(cells, 4), scale).value == pytest.approx(theirs)


def test_people_of_one_item_share_it():
    shared = np.zeros((30, 2, 2))
    shared[:15, 0] = [2 / 3, 1 / 3]
    shared[15:, 1] = [1 / 4, 3 / 4]
    estimate = cohens_kappa(shared, "nominal")
    agreed = (15 * 2 / 3 + 15 * 3 / 4) / 30
    columns = (15 * 2 / 3 + 15 / 4) / 30
    expected = 0.5 * columns + 0.5 * (1 - columns)
    assert estimate.value == pytest.approx((agreed - expected) / (1 - expected))


def test_kappa_of_one_value_alone_is_unknown():
    estimate = cohens_kappa(table([(0, 0)] * 5, 2), "nominal")
    assert estimate.value is None
    assert estimate.reason.startswith("all verdicts are equal")


def test_mean_overlap_is_a_mean_over_pairs():
    """Pair 1: 2·6 / 20 over its items; pair 2: 2·2 / 8; the third marked nothing."""
    sums = np.array([[[8, 12], [4, 8], [0, 0]], [[4, 8], [0, 0], [0, 0]]], float)
    estimate = mean_overlap(sums)
    assert estimate.value == pytest.approx((12 / 20 + 4 / 8) / 2)
    assert estimate.n == 2
    assert mean_overlap(np.zeros((3, 1, 2))).reason == "no item that two people saw has a mark"
