"""`bench` of the embedded model beside what lm-eval's own backend said of the same questions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.tools import real

pytest.importorskip("torch")
pytest.importorskip("lm_eval")

from tunescope.models import DEFAULT
from tunescope.verbs.bench import BenchSettings, bench

REFERENCE = json.loads((Path(__file__).parent / "data/lm_eval_reference.json").read_text("utf-8"))
"""Written by benchmarks/lm_eval_reference.py."""
LIMIT = 4


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.parametrize(
    ("names", "shots"), [(("arc_challenge",), 2), (("truthfulqa_mc2", "mmlu_us_foreign_policy"), None)]
)
def test_log_probabilities_are_lm_evals_own(workplace, names, shots):
    data = str(real("benchmarks"))
    run = bench(BenchSettings(model=DEFAULT, suite=names, shots=shots, data=data, limit=LIMIT))
    for name in names:
        samples = list(run.records(f"samples_{name}"))
        assert len(samples) == LIMIT
        for ours, theirs in zip(samples, REFERENCE["tasks"][name]["items"][:LIMIT], strict=True):
            assert ours["prompt_hash"] == theirs["prompt_hash"]
            assert [reply[0] for reply in ours["filtered_resps"]] == pytest.approx(
                [reply[0] for reply in theirs["replies"]], abs=1e-3
            )
            assert [reply[1] for reply in ours["filtered_resps"]] == [reply[1] for reply in theirs["replies"]]
            for metric, value in theirs["metrics"].items():
                assert ours[metric] == pytest.approx(value, abs=1e-3)
