"""The pilot comes first; a reviewer comments, returns it, and makes marks of their own."""

from __future__ import annotations

import pytest
from tests.tools import read_rows
from tests.verbs.annotate.studies import answer

pytest.importorskip("starlette")

from tunescope.annotations.access import REVIEWER
from tunescope.annotations.collected import read_collected
from tunescope.annotations.store import read_marks
from tunescope.verbs.annotate.app import Serving
from tunescope.verbs.annotate.export import ExportSettings, export

TEXT = "Paris is the capital of Spain."
SPAN = {"start": 0, "end": 5, "category": "not factual"}
GIVEN = {"a": [answer(i, f"{TEXT} {i}") for i in range(5)]}
SHUT = "The items after the pilot open when a reviewer has returned your pilot."


@pytest.fixture
def pilot(open_study):
    return open_study("spans", GIVEN, annotators=2, pilot=2)


def finish(visit, *places):
    for place in places:
        assert visit.post(f"/item/{place}/finish", {"finished": True}).is_success


def test_the_pilot_comes_first_and_opens_the_rest_once_it_is_returned(pilot):
    _, _, visit = pilot
    one, two, reviewer = visit("A1"), visit("A2"), visit(REVIEWER)
    assert one.get("/").text.count('href="/item/') == 2 + 1  # the pilot's, and going on
    assert "The pilot comes first: 2 items. 3 more open when a reviewer has returned it." in one.get("/").text
    assert one.data("/item/2")["next"] == "/"
    for path in ("/item/3", "/item/5"):
        assert (one.get(path).status_code, SHUT in one.get(path).text) == (403, True)
    csrf = {"x-csrf-token": one.data("/item/1")["csrf"]}
    refused = one.client.post("/item/3/mark", json={"mark_id": "0" * 32, "base": 0, "value": SPAN}, headers=csrf)
    assert (refused.status_code, refused.json()) == (403, {"error": SHUT})
    finish(one, 1)
    early = reviewer.post("/review/1/return", {})
    assert (early.status_code, early.json()["error"]) == (422, "A1 has finished 1 of 2 items of the pilot.")
    assert "Return the pilot to A1" not in reviewer.get("/").text
    finish(one, 2)
    assert "Your pilot is finished. The other items open when a reviewer has returned it." in one.get("/").text
    assert "Return the pilot to A1" in reviewer.get("/").text
    reply = reviewer.post("/review/1/1/comment", {"base": 0, "text": "Look up <b>Spain</b>."})
    assert reply.json() == {"version": 1}
    assert reviewer.post("/review/1/return", {}).json() == {"returned": "A1"}
    assert "Pilot: 2 of 2 finished, returned." in " ".join(reviewer.get("/").text.split()).replace(" .", ".")
    assert "Your pilot was returned, with comments: read them before you go on." in one.get("/").text
    assert "Look up &lt;b&gt;Spain&lt;/b&gt;." in one.get("/item/1").text
    assert one.data("/item/2")["next"] == "/item/3"
    assert one.mark("/item/3", SPAN).is_success
    assert [two.get("/item/3").status_code, reviewer.get("/review/2/3").status_code] == [403, 200]


def test_without_waiting_or_a_pilot_all_is_open(open_study):
    for given in ({"serving": Serving(waits=False), "pilot": 2}, {"pilot": 0}):
        _, _, visit = open_study("spans", GIVEN, annotators=1, **given)
        one = visit("A1")
        assert [one.get(f"/item/{place}").status_code for place in (1, 3, 5)] == [200] * 3
        assert "Pilot:" not in visit(REVIEWER).get("/").text


def test_only_a_reviewer_comments_and_returns(pilot):
    _, _, visit = pilot
    one, reviewer = visit("A1"), visit(REVIEWER)
    csrf = {"x-csrf-token": one.data("/item/1")["csrf"]}
    for path in ("/review/1/1/comment", "/review/1/return", "/own/1/mark", "/item/1/comment"):
        assert one.client.post(path, json={"base": 0, "text": "x"}, headers=csrf).status_code in (404, 405)
    finish(one, 1, 2)
    assert reviewer.client.post("/review/1/return", json={}).status_code == 403
    assert reviewer.post("/review/3/return", {}).status_code == 404
    for body in ({"base": 0, "text": 7}, {"base": -1, "text": "x"}, {"base": 0, "text": "x" * 20_001}):
        assert reviewer.post("/review/1/1/comment", body).status_code == 422
    assert reviewer.post("/review/1/1/comment", {"base": 2, "text": "x"}).status_code == 409
    assert one.get("/own/1").status_code == 404


def test_a_reviewers_own_marks_are_kept_apart(pilot):
    study, _, visit = pilot
    one, reviewer = visit("A1"), visit(REVIEWER)
    assert one.mark("/item/1", SPAN).is_success
    finish(one, 1)
    item_id = study.assignments["A1"][0].item_id
    page = reviewer.get("/review/1/1").text
    (own,) = (path for path in page.split('"') if path.startswith("/own/"))
    assert reviewer.data(own)["marks"] == []
    mine = {**SPAN, "start": 6, "end": 8}
    assert reviewer.post(f"{own}/mark", {"mark_id": "f" * 32, "base": 0, "value": mine}).is_success
    assert reviewer.post("/review/1/2/comment", {"base": 0, "text": "Nothing is marked here."}).is_success
    assert len(one.data("/item/1")["marks"]) == len(reviewer.data("/review/1/1")["marks"]) == 1
    (theirs, own_mark) = read_marks(study.run.path)
    assert (own_mark.annotator, own_mark.reviewer, own_mark.item_id) == (REVIEWER, None, item_id)
    collected = read_collected([str(study.run.path)], None, None)
    assert ([m.annotator for m in collected.marks], collected.reviewers_own) == (["A1"], (own_mark,))
    run = export(ExportSettings(marks=(str(study.run.path),)))
    assert read_rows(run.path / "reviewer_marks.jsonl") == [own_mark.as_json()]
    (comment,) = read_rows(run.path / "comments.jsonl")
    assert (comment["annotator"], comment["text"]) == ("A1", "Nothing is marked here.")
    assert [row["mark_id"] for row in read_rows(run.path / "marks.jsonl")] == [theirs.mark_id]
    assert "A reviewer left 1 comment and 1 mark of their own, not counted." in run.view.sentences
