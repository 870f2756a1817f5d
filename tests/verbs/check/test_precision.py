"""The table of precision in docs/proofs/check.md is what the script makes of the readings."""

from __future__ import annotations

import csv
import importlib.util

import pytest
from tests.tools import ROOT

from tunescope.verbs.check import meanings

spec = importlib.util.spec_from_file_location("check_precision", ROOT / "benchmarks/check_precision.py")
check_precision = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_precision)


def readings():
    with check_precision.READINGS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_page_has_the_table():
    assert check_precision.TABLE.search(check_precision.PAGE.read_text("utf-8"))[0] == (
        f"<!-- precision -->\n{check_precision.table(readings())}<!-- /precision -->"
    )


def test_readings_quote_a_few_words_and_name_faults_there_are():
    for reading in readings():
        assert reading["fault"] in meanings()
        assert {reading["reading_1"], reading["reading_2"]} <= {"wrong", "fine"}
        assert all(0 < len(reading[quote]) <= 100 for quote in ("quote_1", "quote_2")), reading


def test_kappa():
    """By hand: 35 of 50 agree, 25 of 50 by chance."""
    pairs = [("a", "a")] * 20 + [("a", "b")] * 5 + [("b", "a")] * 10 + [("b", "b")] * 15
    assert check_precision.kappa(pairs) == pytest.approx(0.4)
    assert check_precision.kappa([("a", "a")] * 3) == 1
