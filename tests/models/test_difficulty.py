"""Some of the terms alone: the same numbers, and what is made of the others is missing (values: test_measure)."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
from tunescope.microworld.model import save_random_model
from tunescope.models import ModelSettings, load
from tunescope.models.difficulty import COLUMNS, Likelihoods
from tunescope.rows import Message, Row


def test_some_terms_alone(tmp_path):
    model = str(save_random_model(tmp_path / "tiny", seed=0))
    likelihoods = Likelihoods(load(model), ModelSettings(model=model))
    row = Row("", "", (Message("user", "Which pet?"), Message("assistant", "A cat and a dog.")))
    ((whole,),) = likelihoods.measure([row])
    assert whole.keys() == {*COLUMNS, "reason"}
    assert None not in [whole[name] for name in COLUMNS]
    ((ratio,),) = likelihoods.measure([row], ("ppl_response", "ppl_response_given"))
    assert ratio["ppl_instruction"] is None
    assert ratio["ifd_ppl"] == pytest.approx(whole["ifd_ppl"], rel=1e-5)
    ((one,),) = likelihoods.measure([row], ("ppl_response_given",))
    assert one["ppl_response_given"] == pytest.approx(whole["ppl_response_given"], rel=1e-5)
    assert one["ifd_ppl"] is one["ifd_loss"] is one["ppl_response"] is one["reason"] is None
