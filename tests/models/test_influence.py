"""Scores of rows from gradients, against numpy's direct formula; both forms are the same."""

from __future__ import annotations

import numpy as np
import pytest

from tunescope.models.influence import cosine_scores, effect_scores, fisher_cosines, fisher_scores


def drawn(n, d, q=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(q, d)), rng.normal(size=(n, d)) * rng.uniform(0.1, 3, size=(n, 1))


def directly(queries, rows, damping):
    gram = rows @ rows.T
    return queries @ rows.T @ np.linalg.inv(gram + damping * np.diag(gram).mean() * np.eye(len(rows)))


@pytest.mark.parametrize("damping", [0.01, 1.0, 10.0])
@pytest.mark.parametrize(("n", "d"), [(7, 20), (20, 7), (12, 12), (1, 5)])
def test_fisher_scores_are_the_formula_in_both_forms(n, d, damping):
    queries, rows = drawn(n, d)
    np.testing.assert_allclose(fisher_scores(queries, rows, damping), directly(queries, rows, damping), rtol=1e-6)


def test_many_rows_are_read_some_at_a_time():
    queries, rows = drawn(5000, 6)
    mu = np.square(rows).sum() / len(rows)
    direct = queries @ np.linalg.inv(rows.T @ rows + mu * np.eye(6)) @ rows.T
    np.testing.assert_allclose(fisher_scores(queries, rows), direct, rtol=1e-6)
    lengths = np.outer(np.linalg.norm(queries, axis=1), np.linalg.norm(rows, axis=1))
    np.testing.assert_allclose(cosine_scores(queries, rows), queries @ rows.T / lengths)


def test_fisher_scores_have_no_unit():
    queries, rows = drawn(9, 30)
    narrow = fisher_scores(100 * queries.astype(np.float32), 100 * rows.astype(np.float32))
    np.testing.assert_allclose(narrow, fisher_scores(queries, rows), rtol=1e-4)


def test_orthogonal_rows_by_hand():
    """K is the identity, λ = 1: each score is half the inner product."""
    np.testing.assert_allclose(fisher_scores(np.array([[3.0, 4.0, 9.0]]), np.eye(3)[:2]), [[1.5, 2.0]])


def test_an_effect_is_the_sum_over_the_models_states():
    states = [drawn(9, 30, seed=seed) for seed in range(2)]
    whole = effect_scores(*zip(*states, strict=True), damping=0.5)
    np.testing.assert_allclose(whole, sum(fisher_scores(*each, damping=0.5) for each in states))
    with pytest.raises(ValueError, match="no state"):
        effect_scores([], [])


def test_cosines_by_hand_and_zero_where_there_is_no_gradient():
    queries, rows = np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[2.0, 0.0], [3.0, 3.0], [0.0, 0.0]])
    np.testing.assert_allclose(cosine_scores(queries, rows), [[1, 0.5**0.5, 0], [0, 0, 0]])


@pytest.mark.parametrize(("n", "d"), [(7, 20), (20, 7)])
def test_fisher_cosines_are_cosines_in_the_fisher_metric(n, d):
    queries, rows = drawn(n, d)
    inverse = np.linalg.inv(rows.T @ rows + np.square(rows).sum() / n * np.eye(d))
    lengths = [np.sqrt(np.diag(each @ inverse @ each.T)) for each in (queries, rows)]
    found = fisher_cosines(queries, rows)
    np.testing.assert_allclose(found, queries @ inverse @ rows.T / np.outer(*lengths), rtol=1e-6)
    np.testing.assert_allclose(np.diag(fisher_cosines(rows, rows)), 1)
    np.testing.assert_allclose(fisher_cosines(5 * queries, rows), found)


@pytest.mark.parametrize("scores", [fisher_scores, fisher_cosines, cosine_scores])
def test_nothing_in_nothing_out(scores):
    assert scores(np.zeros((0, 4)), np.ones((3, 4))).shape == (0, 3)
    assert scores(np.ones((2, 4)), np.zeros((0, 4))).shape == (2, 0)
    assert (scores(np.ones((2, 4)), np.zeros((3, 4))) == 0).all()


def test_damping_is_above_0():
    with pytest.raises(ValueError, match=r"^damping is 0; it is above 0$"):
        fisher_scores(np.ones((1, 2)), np.ones((1, 2)), 0)
