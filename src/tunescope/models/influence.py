"""Which rows support an answer, from gradients: of answers [q, d] and of rows [n, d], sketched or whole.

A row's score for an answer is positive where training on the row makes the answer likelier.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

_ROWS = 2048
"""Rows widened to float64 at a time: 2,048 x 8,192 are 134 MB."""


def fisher_scores(
    queries: NDArray[np.floating], rows: NDArray[np.floating], damping: float = 1.0
) -> NDArray[np.float64]:
    """Return (q Gᵀ)(G Gᵀ + μI)⁻¹ for the answers' gradients q [q, d] and the rows' G [n, d]: [q, n].

    μ is `damping` times the mean squared length of the rows. It is what a step of natural gradient, with the rows'
    damped Fisher matrix, on each row changes in each answer (Koh & Liang 2017; TRAK: Park et al. 2023). A matrix of
    min(n, d)² numbers is solved: q (Gᵀ G + μI)⁻¹ Gᵀ is the same.

    Raises:
        ValueError: `damping` isn't above 0.
    """
    if damping <= 0:
        raise ValueError(f"damping is {damping}; it is above 0")
    n, width = rows.shape
    mu = damping * sum(float(np.square(part).sum()) for part in _parts(rows)) / max(n, 1)
    if mu == 0:
        return np.zeros((len(queries), n))
    answers = np.asarray(queries, np.float64)
    if n <= width:
        wide = np.asarray(rows, np.float64)
        gram = wide @ wide.T
        gram[np.diag_indices(n)] += mu
        return np.asarray(np.linalg.solve(gram, wide @ answers.T).T)
    covariance = np.zeros((width, width))
    for part in _parts(rows):
        covariance += part.T @ part
    covariance[np.diag_indices(width)] += mu
    return _dot(np.asarray(np.linalg.solve(covariance, answers.T).T, np.float64), rows)


def fisher_cosines(
    queries: NDArray[np.floating], rows: NDArray[np.floating], damping: float = 1.0
) -> NDArray[np.float64]:
    """Return `fisher_scores` over the lengths of both gradients in the same metric: in ±1, [q, n].

    They are comparable between answers, and between rows as answers: with `rows` for `queries` too it is a null
    (without each row's score for itself), from which `stats.null_threshold` tells how many rows matter. 0 where
    either gradient is 0.
    """
    n, width = rows.shape
    scores = fisher_scores(queries, rows, damping)
    mu = damping * sum(float(np.square(part).sum()) for part in _parts(rows)) / max(n, 1)
    if mu == 0:
        return scores
    answers = np.asarray(queries, np.float64)
    if n <= width:
        wide = np.asarray(rows, np.float64)
        inverse = np.linalg.inv(wide @ wide.T + mu * np.eye(n))
        of_rows = 1 - mu * np.diag(inverse)  # of K (K + μI)⁻¹
        of_answers = (np.square(answers).sum(axis=1) - np.sum((answers @ wide.T) * scores, axis=1)) / mu
    else:
        covariance = mu * np.eye(width)
        for part in _parts(rows):
            covariance += part.T @ part
        inverse = np.linalg.inv(covariance)
        of_rows = np.concatenate([np.sum((part @ inverse) * part, axis=1) for part in _parts(rows)])
        of_answers = np.sum((answers @ inverse) * answers, axis=1)
    scale = np.sqrt(np.outer(of_answers, of_rows).clip(0))
    return np.asarray(np.divide(scores, scale, out=np.zeros_like(scores), where=scale > 0))


def effect_scores(
    queries: Sequence[NDArray[np.floating]], rows: Sequence[NDArray[np.floating]], damping: float = 1.0
) -> NDArray[np.float64]:
    """Return what leaving a row out takes from each answer, relatively: [q, n].

    The sum of `fisher_scores` under each state of the model, such as the base and the tuned model, which are given in
    the same order. Fisher scores have no unit: no state outweighs another because its gradients are longer.

    Raises:
        ValueError: there aren't as many of the one as of the other, or none.
    """
    total = sum(fisher_scores(q, g, damping) for q, g in zip(queries, rows, strict=True))
    if isinstance(total, int):
        raise ValueError("no state of the model is given; expected at least one")
    return total


def cosine_scores(queries: NDArray[np.floating], rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the cosine of each answer's gradient with each row's: [q, n]; 0 where either is 0."""
    answers = np.asarray(queries, np.float64)
    lengths = np.concatenate([np.zeros(0), *(np.linalg.norm(part, axis=1) for part in _parts(rows))])
    product = _dot(answers, rows)
    scale = np.outer(np.linalg.norm(answers, axis=1), lengths)
    return np.divide(product, scale, out=np.zeros_like(product), where=scale > 0)


def _parts(rows: NDArray[np.floating]) -> Iterator[NDArray[np.float64]]:
    """Yield the rows widened, some at a time."""
    for start in range(0, len(rows), _ROWS):
        yield np.asarray(rows[start : start + _ROWS], np.float64)


def _dot(answers: NDArray[np.float64], rows: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.concatenate([np.zeros((len(answers), 0)), *(answers @ part.T for part in _parts(rows))], axis=1)
