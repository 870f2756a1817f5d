"""The Limitations paper's measures, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from tests.tools import alpaca
from tests.verbs.trace.planted import indexed

from tunescope.answers import Answer
from tunescope.verbs.trace.limitations_measures import COLUMNS, keywords, measure, overlap
from tunescope.verbs.trace.rank import Candidate

pytestmark = pytest.mark.usefixtures("workplace")


def test_keywords_neither_begin_nor_end_in_a_stop_word():
    assert keywords("The Queen of England", 1) == {("queen",), ("england",)}
    assert keywords("The Queen of England", 2) == set()
    assert keywords("The Queen of England", 3) == {("queen", "of", "england")}
    assert keywords("", 1) == keywords("of the", 1) == set()


def test_overlap_is_the_mean_over_n():
    assert overlap("red fish", "red fish swim") == 1.0
    assert overlap("red fish swim", "red fish") == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert overlap("red", "blue") == 0.0
    assert overlap("of the", "of the") is None
    assert overlap("red", "") == 0.0


def test_an_answer_beside_its_row_and_another(tmp_path):
    made = indexed(tmp_path, [alpaca("red fish", "swims fast"), alpaca("blue bird", "flies high")])
    answer = Answer.from_json({"prompt_id": "p", "prompt": "red fish", "text": "swims fast"})
    row = made.row(0)
    named = {row.row_id: Candidate(0, 1, row, "response", 40.0)}

    def span(bits, exact):
        return {"bits": bits, "string_found": exact, "rows": [{"row_id": row.row_id}]}

    found = measure(answer, [span(40.0, True), span(35.0, False)], named, made, None)
    assert tuple(found) == COLUMNS
    assert (found["string_found"], found["keyword_overlap"]) == (0.5, 1.0)
    assert found["keyword_overlap_random"] in (0.0, 1.0)
    assert (found["cosine"], found["cosine_random"]) == (None, None)

    def embed(texts):
        assert texts[0] == texts[1] == "red fish\nswims fast"
        return np.array([[1.0, 0.0], [1.0, 0.0], [0.6, 0.8]])

    found = measure(answer, [span(40.0, True)], named, made, embed)
    assert (found["cosine"], found["cosine_random"]) == (1.0, 0.6)
    assert measure(answer, [], named, made, embed) == dict.fromkeys(COLUMNS)
