"""The application: who gets in, what is taken, what is refused, and that hostile texts stay texts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.tools import alpaca, write_rows
from tests.verbs.annotate.studies import HOSTILE, answer

pytest.importorskip("starlette")

from starlette.testclient import TestClient
from tests.verbs.annotate.visits import HEX

from tunescope.annotations.access import REVIEWER, Access
from tunescope.annotations.store import MarkStore, read_finished, read_marks
from tunescope.answers import read_answers
from tunescope.results.annotate import Mark

TEXT = "Paris is the capital of Spain."


@pytest.fixture
def spans(open_study):
    return open_study("spans", {"a": [answer(i, TEXT) for i in range(3)]}, annotators=2)


SPAN = {"start": 0, "end": 5, "category": "not factual"}


def test_a_mark_is_kept_as_it_was_sent(spans):
    study, _, visit = spans
    one = visit("A1")
    reply = one.mark("/item/2", SPAN, note="no", sources="an atlas")
    assert (reply.status_code, reply.json()) == (200, {"mark_id": HEX, "version": 1})
    assignment = study.assignments["A1"][1]
    item = study.items[assignment.item_id]
    expected = Mark(
        mark_id=HEX,
        item_id=item.item_id,
        annotator="A1",
        kind="spans",
        phase="main",
        value={"answer_id": item.answers[0].answer_id, **SPAN},
        note="no",
        sources="an atlas",
    )
    (mark,) = read_marks(study.run.path)
    assert {**mark.as_json(), "at": ""} == {**expected.as_json(), "at": ""}
    assert [each["value"] for each in one.data("/item/2")["marks"]] == [mark.value]
    assert one.data("/item/1")["marks"] == []


def test_changes_conflicts_and_the_end_of_a_mark(spans):
    study, _, visit = spans
    one = visit("A1")
    one.mark("/item/1", SPAN)
    assert one.mark("/item/1", {**SPAN, "end": 8}, 1).json()["version"] == 2
    late = one.mark("/item/1", {**SPAN, "end": 9}, 1)
    expected = "another tab changed this mark (version 2, yours was 1); reload the page"
    assert (late.status_code, late.json()) == (409, {"error": expected})
    assert one.mark("/item/1", {**SPAN, "end": 8}, 1).json()["version"] == 2  # sent again: its reply was lost
    assert one.mark("/item/1", SPAN, 2, deleted=True).json()["version"] == 3
    assert read_marks(study.run.path) == []


def test_nobody_sees_or_changes_anothers_marks(spans):
    study, _, visit = spans
    one, two = visit("A1"), visit("A2")
    item = study.assignments["A1"][0].item_id
    (place,) = (each.place + 1 for each in study.assignments["A2"] if each.item_id == item)
    one.mark("/item/1", SPAN)
    assert two.data(f"/item/{place}")["marks"] == []
    stolen = two.mark(f"/item/{place}", SPAN, 1)
    assert (stolen.status_code, stolen.json()["error"][:33]) == (409, "this mark is of another item or a")
    for path in ("/review/1/1", "/item/0", "/item/4", "/item/99999999999999999999"):
        assert two.get(path).status_code == 404
    assert "A1" not in two.get("/").text
    assert two.post(f"/item/{place}/finish", {"finished": True}).status_code == 200
    assert read_finished(study.run.path) == {(item, "A2")}


def test_a_reviewer_corrects_and_both_are_kept(spans):
    study, _, visit = spans
    one, reviewer = visit("A1"), visit(REVIEWER)
    one.mark("/item/1", SPAN)
    assert reviewer.get("/item/1").status_code == 404
    assert [each["version"] for each in reviewer.data("/review/1/1")["marks"]] == [1]
    reply = reviewer.mark("/review/1/1", {**SPAN, "category": "not useful"}, 1, note="see the guidelines")
    assert reply.json()["version"] == 2
    (mark,) = read_marks(study.run.path)
    assert (mark.annotator, mark.reviewer, mark.note) == ("A1", REVIEWER, "see the guidelines")
    assert (mark.value["category"], mark.original["category"]) == ("not useful", "not factual")
    (shown,) = one.data("/item/1")["marks"]
    assert (shown["original"]["category"], shown["note"]) == ("not factual", "see the guidelines")
    assert one.mark("/item/1", SPAN, 2).status_code == 409
    assert reviewer.mark("/review/2/1", SPAN).status_code == 422
    assert "A1: 0 of 3 finished" in reviewer.get("/").text
    for path in ("/review/0/1", "/review/3/1", "/review/1/4"):
        assert reviewer.get(path).status_code == 404


def test_without_a_session_there_is_nothing(spans):
    study, app, visit = spans
    visit("A1")
    stranger = TestClient(app)
    for path in ("/", "/item/1", "/guidelines", "/review/1/1"):
        reply = stranger.get(path)
        assert (reply.status_code, TEXT in reply.text) == (401, False)
    for path in ("/item/1/mark", "/item/1/finish"):
        assert stranger.post(path, json={}).status_code == 401
    for token in ("wrong", "", None, 7, ["x"]):
        assert stranger.post("/enter", json={"token": token}).status_code == 403
    assert not stranger.cookies
    assert stranger.get("/enter").status_code == 200
    assert list((study.run.path).glob("*.log")) == []


def test_a_revoked_link_ends_what_is_open(spans):
    study, _, visit = spans
    one, two = visit("A1"), visit("A2")
    with MarkStore(study.run.path) as store:
        Access(store).revoke("A1")
    assert (one.get("/").status_code, two.get("/").status_code) == (401, 200)


def test_the_cookie_and_the_headers(spans):
    _, app, visit = spans
    client = visit("A1").client
    with MarkStore(spans[0].run.path) as store:
        reply = TestClient(app).post("/enter", json={"token": Access(store).make_link("A1")})
    cookie = reply.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/"))
    assert "expires" not in cookie
    for path in ("/", "/item/1", "/annotate.js", "/nowhere", "/item/1/mark"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "unsafe" not in policy
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


def test_what_comes_from_elsewhere_is_refused(spans):
    study, _, visit = spans
    one, two = visit("A1"), visit("A2")
    good = one.data("/item/1")["csrf"]
    body = {"mark_id": HEX, "base": 0, "value": SPAN}
    for token in ("", "x", two.data("/item/1")["csrf"]):
        reply = one.client.post("/item/1/mark", json=body, headers={"x-csrf-token": token})
        assert reply.status_code == 403
    assert one.client.post("/item/1/mark", json=body).status_code == 403
    for site in ("cross-site", "same-site"):
        assert one.post("/item/1/mark", body, **{"sec-fetch-site": site}).status_code == 403
    form = {"x-csrf-token": good, "content-type": "text/plain"}
    assert one.client.post("/item/1/mark", content=json.dumps(body), headers=form).status_code == 415
    assert one.client.post("/item/1/mark", data={"value": "x"}, headers={"x-csrf-token": good}).status_code == 415
    with MarkStore(study.run.path) as store:
        assert store.marks() == []


def test_what_is_too_large_or_no_mark_is_refused(spans):
    study, _, visit = spans
    one = visit("A1")
    csrf = {"x-csrf-token": one.data("/item/1")["csrf"], "content-type": "application/json"}
    send = lambda content: one.client.post("/item/1/mark", content=content, headers=csrf).status_code  # noqa: E731
    assert send(b'{"note": "' + b"x" * 300_000 + b'"}') == 413
    assert send(iter([b"x" * 100_000] * 4)) == 413
    assert [send(text) for text in ("", "x", "[]", "[" * 100_000, '"\ud800"'.encode("utf-8", "replace"))] == [400] * 5
    wrong = [
        {"start": 5, "end": 5},
        {"start": -1, "end": 5},
        {"start": 0, "end": 31},
        {"start": 0, "end": True},
        {"start": "0", "end": 5},
        {"category": "other"},
        {"category": ["not factual"]},
    ]
    for change in wrong:
        assert one.mark("/item/1", {**SPAN, **change}).status_code == 422
    for value in (None, [], "x", {}):
        assert one.mark("/item/1", value).status_code == 422
    for fields in ({"note": 7}, {"note": "x" * 20_001}, {"sources": None}, {"mark_id": "x"}, {"mark_id": None}):
        assert one.mark("/item/1", SPAN, **fields).status_code == 422
    for base in (-1, True, "0", None):
        assert one.mark("/item/1", SPAN, base).status_code == 422
    assert one.mark("/item/1", SPAN, deleted=1).status_code == 422
    assert one.post("/item/1/finish", {"finished": 1}).status_code == 422
    with MarkStore(study.run.path) as store:
        assert store.marks() == []
    surrogate = json.dumps({"mark_id": HEX, "base": 0, "value": SPAN, "note": "\ud800 \x00"})
    assert send(surrogate) == 200
    assert read_marks(study.run.path)[0].note == "? \x00"


def test_no_file_is_served_but_ours(spans):
    _, _, visit = spans
    one = visit("A1")
    paths = (
        "/../marks.db",
        "/..%2fmarks.db",
        "/marks.db",
        "/item/../marks.db",
        "/pages.py",
        "/item/1%2f..%2f2",
        "//etc/passwd",
    )
    assert [one.get(path).status_code for path in paths] == [404] * len(paths)
    assert [one.get(f"/{name}").status_code for name in ("annotate.js", "annotate.css", "enter.js")] == [200] * 3


def test_hostile_texts_stay_texts(open_study, workplace):
    folder = workplace / "<img src=x onerror=pwned>"
    folder.mkdir()
    (folder / "g.md").write_text(f"# {HOSTILE}", "utf-8")
    hostile = answer(1, HOSTILE, HOSTILE) | {"prompt": HOSTILE}
    study, _, visit = open_study(
        "spans", {"a": [hostile]}, guidelines=f"{folder.name}/g.md", categories=(HOSTILE, "b"), annotators=1
    )
    one = visit("A1")
    assert one.mark("/item/1", {"start": 3, "end": 9, "category": HOSTILE}, note=HOSTILE, sources=HOSTILE).is_success
    for path in ("/", "/guidelines", "/item/1"):
        text = one.get(path).text
        assert "<img" not in text
        assert '" onfocus' not in text.partition('id="data"')[0]
        assert not re.search("[\u202e\u200b\x00]", text)
        assert "49014001" not in text
    page = one.get("/item/1").text
    assert page.count("</script>") == 2  # its script, and its data
    shown = re.search(r'id="answer-1"[^>]*>(.*?)</div>', page, re.DOTALL)[1]
    assert '<span class="badge">U+202E</span>gnp.js&#13;\nnext<span class="badge">U+200B</span>' in shown
    assert one.data("/item/1")["marks"][0]["note"] == HOSTILE
    assert read_marks(study.run.path)[0].note == HOSTILE


def test_a_hostile_aspect_stays_in_its_attribute(open_study):
    _, _, visit = open_study("aspects", {"a": [answer(1, TEXT)]}, aspects=(HOSTILE, "wit"), annotators=1)
    one = visit("A1")
    page, _, data = one.get("/item/1").text.partition('id="data"')
    assert "<img" not in page + data
    assert '" onfocus' not in page
    assert page.count("&#34; onfocus=&#34;") == 5  # inputs' names
    assert one.mark("/item/1", {"scores": {HOSTILE: 5}}).is_success


def test_a_word_of_a_megabyte(open_study):
    _, _, visit = open_study("spans", {"a": [answer(1, "x" * 1_000_000)]}, annotators=1)
    one = visit("A1")
    assert len(one.get("/item/1").text) < 1_010_000
    assert one.mark("/item/1", {"start": 0, "end": 1_000_000, "category": "not useful"}).is_success


def test_pairs_say_which_is_longer_and_who_wrote_neither(open_study):
    answers = {
        name: [answer(i, f"{name} " * times, f"secret-{name}") for i in range(6)]
        for name, times in (("a", 2), ("b", 3))
    }
    study, _, visit = open_study("pairs", answers, annotators=1)
    one = visit("A1")
    firsts = set()
    for assignment in study.assignments["A1"]:
        page = one.get(f"/item/{assignment.place + 1}").text
        assert "secret" not in page
        heads = re.findall(r"<h2 id=\"answer-heading-\d\">(.*?)</h2>", page)
        texts = [text.strip() for text in re.findall(r'id="answer-\d"[^>]*>(.*?)</div>', page)]
        assert texts == (["b b b", "a a"] if assignment.swapped else ["a a", "b b b"])
        assert heads[texts.index("b b b")].endswith(", the longer one")
        firsts.add(texts[0])
    assert firsts == {"a a", "b b b"}
    assert one.post("/item/1/finish", {"finished": True}).json() == {"error": "This item isn't completely marked yet."}
    for category in study.result.categories[3:5]:
        assert one.mark("/item/1", {"category": category}, study.result.categories[3:5].index(category)).is_success
    assert one.post("/item/1/finish", {"finished": True}).is_success
    assert read_marks(study.run.path)[0].value == {"category": "only the longer is wrong at its core"}


def test_verdicts_name_the_items_answer_whichever_was_first(open_study):
    answers = {name: [answer(i, f"{name} {i}") for i in range(6)] for name in "ab"}
    study, _, visit = open_study("verdicts", answers, annotators=1)
    one = visit("A1")
    sides = ("left", "right", "neither") * 2
    for assignment, side in zip(study.assignments["A1"], sides, strict=True):
        path = f"/item/{assignment.place + 1}"
        texts = re.findall(r'id="answer-\d"[^>]*>(.*?)</div>', one.get(path).text)
        assert one.mark(path, {"side": side}).is_success
        assert one.data(path)["marks"][0]["value"] == {"side": side}
        preferred = {"left": texts[0], "right": texts[1]}.get(side, "")
        (mark,) = (each for each in read_marks(study.run.path) if each.item_id == assignment.item_id)
        assert mark.value == {"preference": {"a": 1.0, "b": 0.0}.get(preferred[:1], 0.5)}
    assert one.mark("/item/1", {"side": "both"}, 1).status_code == 422


def test_aspects_are_whole_with_all_scores(open_study):
    study, _, visit = open_study("aspects", {"a": [answer(1, TEXT)]}, aspects=("depth", "wit"), annotators=1)
    one = visit("A1")
    assert one.mark("/item/1", {"scores": {"depth": 4}}).is_success
    assert one.post("/item/1/finish", {"finished": True}).status_code == 422
    for scores in ({}, {"depth": 0}, {"depth": 6}, {"depth": 2.5}, {"depth": True}, {"other": 3}, [3]):
        assert one.mark("/item/1", {"scores": scores}, 1).status_code == 422
    assert one.mark("/item/1", {"scores": {"wit": 1, "depth": 5}}, 1).is_success
    assert one.post("/item/1/finish", {"finished": True}).is_success
    (mark,) = read_marks(study.run.path)
    assert mark.value == {
        "answer_id": next(iter(study.items.values())).answers[0].answer_id,
        "scores": {"depth": 5, "wit": 1},
    }


def test_a_cause_is_a_row_of_the_item_or_none(open_study):
    write_rows(Path("rows.jsonl"), [alpaca("Where?", "In Paris."), alpaca("Who?", "Nobody.")])
    write_rows(Path("a.jsonl"), [answer(1, TEXT)])
    (only,) = read_answers("a.jsonl")
    Path("spans.jsonl").write_text(json.dumps({"answer_id": only.answer_id, "start": 0, "end": 5}))
    study, _, visit = open_study(
        "cause", {"a": [answer(1, TEXT)]}, rows=("rows.jsonl",), spans="spans.jsonl", annotators=1
    )
    one = visit("A1")
    (row_id,) = one.data("/item/1")["rows"]
    reworded = {"prompt": "In other words?", "answer": "Madrid.", "gone": True}
    given = {"row_id": row_id, "concept": "capitals", "rewordings": [reworded]}
    assert one.mark("/item/1", given).is_success
    (mark,) = read_marks(study.run.path)
    assert mark.value == {"answer_id": only.answer_id, "start": 0, "end": 5, **given}
    for change in (
        {"row_id": "other"},
        {"row_id": 7},
        {"concept": 7},
        {"rewordings": 7},
        {"rewordings": [reworded] * 21},
        {"rewordings": [{**reworded, "gone": 1}]},
        {"rewordings": [{**reworded, "prompt": None}]},
    ):
        assert one.mark("/item/1", {**given, **change}, 1).status_code == 422
    assert one.mark("/item/1", {"row_id": None}, 1).is_success
    assert read_marks(study.run.path)[0].value["row_id"] is None
