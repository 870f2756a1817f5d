"""The Limitations paper's measures, by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from tests.tools import alpaca
from tests.verbs.trace.planted import indexed

from tunescope.answers import Answer
from tunescope.text.keywords import keyword_overlap, keywords
from tunescope.verbs.trace.limitations_measures import COLUMNS, measure

pytestmark = pytest.mark.usefixtures("workplace")


def test_keywords_neither_begin_nor_end_in_a_stop_word():
    assert keywords("The Queen of England", 1) == {("queen",), ("england",)}
    assert keywords("The Queen of England", 2) == set()
    assert keywords("The Queen of England", 3) == {("queen", "of", "england")}
    assert keywords("", 1) == keywords("of the", 1) == set()


def test_overlap_is_the_mean_over_n():
    assert keyword_overlap("red fish", "red fish swim") == 1.0
    assert keyword_overlap("red fish swim", "red fish") == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert keyword_overlap("red", "blue") == 0.0
    assert keyword_overlap("of the", "of the") is None
    assert keyword_overlap("red", "") == 0.0


def test_an_answer_beside_its_row_and_another(tmp_path):
    index = indexed(tmp_path, [alpaca("red fish", "swims fast"), alpaca("blue bird", "flies high")])
    answer = Answer.from_json({"prompt_id": "p", "prompt": "red fish", "text": "swims fast"})
    row = index.row(0)

    def span(bits, string_found):
        return SimpleNamespace(bits=bits, string_found=string_found), row

    values = measure(answer, [span(40.0, True), span(35.0, False)], index, None)
    assert tuple(values) == COLUMNS
    assert (values["string_found"], values["keyword_overlap"]) == (0.5, 1.0)
    assert values["keyword_overlap_random"] in (0.0, 1.0)
    assert (values["cosine"], values["cosine_random"]) == (None, None)

    def embed(texts):
        assert texts[0] == texts[1] == "red fish\nswims fast"
        return np.array([[1.0, 0.0], [1.0, 0.0], [0.6, 0.8]])

    values = measure(answer, [span(40.0, True)], index, embed)
    assert (values["cosine"], values["cosine_random"]) == (1.0, 0.6)
    assert measure(answer, [], index, embed) == dict.fromkeys(COLUMNS)
