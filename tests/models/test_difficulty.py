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


def test_what_isnt_finite_is_missing_with_the_reason(tmp_path):
    """As of a model whose float16 overflows: no NaN goes on."""
    import torch

    model = str(save_random_model(tmp_path / "tiny", seed=0))
    loaded = load(model)
    likelihoods = Likelihoods(loaded, ModelSettings(model=model))  # it looks whether the model can be scored at all
    with torch.no_grad():
        loaded.model.get_output_embeddings().weight.fill_(float("nan"))
    row = Row("", "", (Message("user", "Which pet?"), Message("assistant", "A cat and a dog.")))
    ((record,),) = likelihoods.measure([row], ("ppl_response", "ppl_response_given"))
    assert record["ppl_response"] is record["ppl_response_given"] is record["ifd_ppl"] is record["ifd_loss"] is None
    assert record["reason"] == (
        "ppl_response: not finite, a loss of nan nats per token; "
        "ppl_response_given: not finite, a loss of nan nats per token"
    )
