"""Judges behind a server: both orders at once, a key that is refused, a server that isn't there."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("openai")

from tests.oracle.server import Said, completion, serving
from tests.verbs.judge.contests import outputs

from tunescope.errors import TunescopeError
from tunescope.verbs.judge.pairwise import PairwiseSettings, pairwise

MARK = re.compile(r"(\w{8}): SCORE-1")


def judged(workplace, url, **settings):
    files = tuple(
        outputs(workplace / f"{name}.jsonl", name, {f"Question {i}?": f"{name} {i}" for i in range(3)})
        for name in ("ours", "theirs")
    )
    return pairwise(PairwiseSettings(answers=files, oracle=url, draws=200, response_format="tags", **settings))


def test_both_orders_of_an_item_are_asked_side_by_side(workplace):
    def behave(body, call):
        return Said(completion(f"{MARK.search(body['messages'][-1]['content'])[1]}: 8 7"), after=0.2)

    with serving(behave) as server:
        run = judged(workplace, server.url, limit=1, concurrency=2)
    assert server.most_at_work == 2
    assert (run.result["ties"], run.result["judge"], run.result["first_position_rate"]["mean"]) == (1, "tiny", 1)


def test_a_refused_key_stops_the_run_and_leaves_nothing_judged(workplace, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    refuses = serving(lambda body, call: Said({"error": {"message": "bad key"}}, 401))
    with (
        refuses as server,
        pytest.raises(TunescopeError, match="401: bad key; set OPENAI_API_KEY to one that it takes"),
    ):
        judged(workplace, server.url, out="run")
    assert not (workplace / "run" / "judgements.jsonl").exists()


def test_no_server(workplace):
    with serving() as server:
        url = server.url
    with pytest.raises(TunescopeError, match=r"127\.0\.0\.1"):
        judged(workplace, url)
