"""At which dose a task breaks: what is said and shown of the fit; the fit itself is in tests/test_threshold.py."""

from __future__ import annotations

import numpy as np
import pytest

from tunescope.verbs.analyze.score_table import ScoreTable, TaskScore
from tunescope.verbs.analyze.thresholds import find_thresholds


def scored(rows: dict[str, list[float | None]], doses) -> ScoreTable:
    cells = [
        TaskScore("t", dose, seed, False, score)
        for seed, row in rows.items()
        for dose, score in zip(doses, row, strict=True)
    ]
    return ScoreTable((*cells, TaskScore("t", 1.0, "0", True, 0.1)), {})


def bent(threshold: float, doses, noise: float = 0.0, seed: int = 0) -> list[float | None]:
    rng = np.random.default_rng(seed)
    return [0.95 - max(0.0, dose - threshold) + rng.normal(0, noise) for dose in doses]


TEN = [d / 10 for d in range(11)]


def test_where_it_breaks_with_its_interval():
    part = find_thresholds(scored({str(s): bent(0.55, TEN, 0.01, s) for s in range(5)}, TEN))
    record = part.result["t"]
    assert record["threshold"] == pytest.approx(0.55, abs=0.02)
    assert record["low"] < 0.55 < record["high"]
    assert (record["n"], record["n_missing"], record["better"]) == (5, 0, "threshold")
    assert record["error"] < record["error_line"]
    (sentence,) = part.sentences
    assert sentence.startswith("t: the score is about 0.9")
    assert " and breaks at a dose of 5" in sentence


def test_a_line_is_called_a_line():
    part = find_thresholds(scored({"0": bent(0.0, TEN)}, TEN))
    assert part.result["t"]["better"] == "line"
    assert part.sentences[0].startswith("t: a straight line predicts left-out doses better than a threshold does (")
    assert part.result["t"]["reason"] == "n = 1: the interval of a threshold needs 3"


def test_a_break_before_the_last_dose():
    doses = [0.0, 0.25, 0.5, 0.75, 1.0]
    part = find_thresholds(scored({"0": [0.9, 0.91, 0.9, 0.91, 0.4]}, doses))
    assert (part.result["t"]["threshold"], part.result["t"]["is_last"]) == (0.75, True)
    assert "breaks somewhere between 75 % and 100 %" in part.sentences[0]
    assert part.tables[0].rows[0][1] == "after 75.0 %"


def test_a_seed_that_lacks_a_dose_is_missing_and_three_doses_are_too_few():
    doses = [0.0, 0.25, 0.5, 1.0]
    part = find_thresholds(scored({"0": bent(0.25, doses), "1": [0.9, None, 0.8, 0.4]}, doses))
    assert (part.result["t"]["n"], part.result["t"]["n_missing"], part.result["t"]["error"]) == (1, 1, None)
    assert find_thresholds(scored({"0": [0.9, 0.8, 0.7]}, doses[:3])) is None
