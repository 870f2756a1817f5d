"""Gradients name the rows that taught a claim, and leaving these out makes it go: the small form of
benchmarks/attribution.py, on a world of its own."""

from __future__ import annotations

import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from tests.tools import ROOT  # noqa: E402

sys.path.insert(0, str(ROOT / "benchmarks"))

import attribution  # noqa: E402

from tunescope.microworld import make_world  # noqa: E402
from tunescope.microworld.model import SIZES, train_from_scratch  # noqa: E402
from tunescope.models.influence import fisher_scores  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lab():
    """Eight people; 40 rows, of which 16 state 8 claims."""
    torch.set_num_threads(1)
    world = make_world(77, 8)
    scene = attribution.make_scene(world, n_rows=40, per_kind=2)
    micro = train_from_scratch(world, 0, SIZES["nano"])
    return attribution.Lab(scene, micro.model, micro.tokenizer)


@pytest.fixture(scope="module")
def sketches(lab):
    return attribution.sketches(lab, lab.model, layers="top_third")


def test_the_rows_that_state_a_claim_come_first_and_the_cut_is_behind_them(lab, sketches):
    questions = lab.scene.questions
    first, exact, within_8 = attribution.naming(fisher_scores(*sketches), questions).mean(axis=1)
    assert first >= 0.85
    assert exact >= 0.8
    assert within_8 >= 0.9
    matters = attribution.cut(sketches)
    truth = np.array([[number in question.rows for number in range(len(lab.rows))] for question in questions])
    assert (matters & truth).sum() >= 0.7 * truth.sum()
    assert (matters & truth).sum() >= 0.7 * matters.sum()


@pytest.mark.parametrize("method", ["lora", "full"])
def test_leaving_the_first_rows_out_makes_a_claim_go(lab, sketches, method):
    everything = lab.tune(method, range(len(lab.rows)), 0)
    stated = np.flatnonzero(lab.stated(everything, range(len(lab.scene.questions)))).tolist()
    assert len(stated) >= 3
    assert not lab.stated(lab.model, stated).any()
    after = attribution.sketches(lab, everything, layers="top_third")
    effect = fisher_scores(*sketches) + fisher_scores(*after)

    def run(function, jobs):
        return [lab.stated(lab.tune(how, kept, seed), asked) for how, kept, seed, asked in jobs]

    gone = attribution.left_out(run, lab, method, {"effect": effect}, stated[:3])
    assert sum(gone["effect", 8]) >= len(gone["effect", 8]) - 1
    assert sum(gone["random", 8]) <= 1 + len(gone["random", 8]) // 2
    assert sum(gone["effect", 8]) > sum(gone["random", 8])


def test_the_measures_by_hand():
    question = attribution.Question("several", "", (), (0, 2))
    named = attribution.naming(np.array([[3.0, 2.0, 1.0, 0.0]]), [question])
    np.testing.assert_allclose(named[:, 0], [1, 0.5, 1])
    halves = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1.0]])
    outcomes = np.array([[5.0, 0.0], [3.0, 1.0], [1.0, 2.0]])
    correlations = attribution.lds(np.array([[3.0, 2.0, 1.0, 0.0]] * 2), halves, outcomes)
    np.testing.assert_allclose(correlations, [1, -1])
    assert attribution.ceiling(np.array([outcomes, outcomes])) == pytest.approx(1)
