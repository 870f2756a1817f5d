"""The page of benchmarks beside peers says what its records say."""

import runpy

import pytest

from tests.tools import ROOT

SIDES = ROOT / "benchmarks" / "sides.py"


def test_the_page_is_made_from_the_records():
    made = runpy.run_path(str(SIDES))["page"]()
    assert (ROOT / "benchmarks" / "RESULTS.md").read_text("utf-8") == made


def test_a_ratio_is_that_of_turns_that_followed_each_other():
    ratios = runpy.run_path(str(SIDES))["ratios"]
    assert ratios({"ours": [1.0, 2.0, 4.0], "theirs": [3.0, 8.0]}) == pytest.approx([3.0, 4.0])
