"""Reworded prompts: answered by a model one at a time, by a server, or beforehand; what is refused and kept."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.tools import alpaca, read_rows, write_rows
from tests.verbs.annotate.studies import HOSTILE, answer, make_study

pytest.importorskip("starlette")

from tests.verbs.annotate.visits import Visit

from tunescope.annotations.access import REVIEWER
from tunescope.annotations.asked_prompts import AskedPrompts
from tunescope.annotations.store import MarkStore, read_marks
from tunescope.answers import read_answers
from tunescope.errors import SettingsError, TunescopeError
from tunescope.models.settings import ModelSettings
from tunescope.oracle.hostile.server import Said, completion, serving
from tunescope.results.agreement import ExportResult
from tunescope.verbs.annotate.answerers import LoadedModel, ServedModel
from tunescope.verbs.annotate.app import Serving, make_app
from tunescope.verbs.annotate.export import ExportSettings, export
from tunescope.verbs.annotate.prompt_queue import PromptQueue
from tunescope.verbs.annotate.serve import AnnotateServeSettings, annotate_serve

TEXT = "Paris is the capital of Spain."


class Slow:
    """Answers as a table says, once it is let; remembers what it was asked."""

    name = "slow"

    def __init__(self, answers):
        self.answers, self.asked, self.go = answers, [], threading.Event()

    def answer(self, prompt):
        self.asked.append(prompt)
        assert self.go.wait(20)
        said = self.answers[prompt]
        if isinstance(said, Exception):
            raise said
        return said


def cause_study(**settings):
    """Make a study of one phrase, "Paris", with one row."""
    write_rows(Path("rows.jsonl"), [alpaca("Where?", "In Paris.")])
    write_rows(Path("a.jsonl"), [answer(1, TEXT)])
    (only,) = read_answers("a.jsonl")
    Path("spans.jsonl").write_text(json.dumps({"answer_id": only.answer_id, "start": 0, "end": 5}))
    given = {"annotators": 2, **settings}
    return make_study("cause", {"a": [answer(1, TEXT)]}, rows=("rows.jsonl",), spans="spans.jsonl", **given)


@contextmanager
def visited(study, answerer):
    """Serve a study with somebody who answers; yield a function that visits it, and the queue."""
    with MarkStore(study.run.path) as store, PromptQueue(AskedPrompts(store), answerer) as queue:
        app = make_app(study, store, Serving(queue=queue))
        yield lambda name: Visit(app, store, name), queue


def ask(visit, number, prompt, path="/item/1"):
    return visit.post(f"{path}/ask", {"try_id": f"{number:032x}", "prompt": prompt})


def settled(visit):
    """Return an item's tries once none waits."""
    for _ in range(400):
        tries = visit.get("/item/1/tries").json()["tries"]
        if not any("before" in each for each in tries):
            return tries
        time.sleep(0.02)
    raise AssertionError(tries)


def test_answers_come_one_at_a_time_while_marks_are_saved(workplace):
    slow = Slow({"One?": "It is Madrid.", "Two?": "Still paris!", "Three?": TunescopeError("no room"), "Four?": ""})
    study = cause_study()
    with visited(study, slow) as (visit, _):
        one, two = visit("A1"), visit("A2")
        assert one.data("/item/1")["model"] == "slow"
        for number, prompt in enumerate(("One?", "Two?", "Three?")):
            assert ask(one, number, prompt).is_success
        assert ask(one, 0, "One?").is_success  # its reply was lost
        busy = ask(one, 3, "Four?")
        sentence = "3 questions of yours wait for the model; wait until one is answered"
        assert (busy.status_code, busy.json()) == (429, {"error": sentence})
        assert [each["before"] for each in ask(two, 9, "Four?").json()["tries"]] == [3]
        assert [each["before"] for each in one.get("/item/1/tries").json()["tries"]] == [0, 1, 2]
        began = time.monotonic()
        assert two.mark("/item/1", {"row_id": None}).is_success  # the model is at work
        assert time.monotonic() - began < 5
        slow.go.set()
        tries = settled(one)
        assert [(each.get("answer"), each.get("held"), each.get("failure")) for each in tries] == [
            ("It is Madrid.", False, None),
            ("Still paris!", True, None),
            (None, None, "no room"),
        ]
        assert slow.asked[:3] == ["One?", "Two?", "Three?"]
        assert [each["answer"] for each in settled(two)] == [""]
        assert slow.asked == ["One?", "Two?", "Three?", "Four?"]
        row_id = one.data("/item/1")["rows"][0]
        forged = {"try_id": f"{1:032x}", "gone": False, "answer": "forged", "prompt": "forged", "model": "forged"}
        said = [{"try_id": f"{0:032x}", "gone": True}, forged, {"prompt": "Own?", "answer": "Rome.", "gone": None}]
        assert one.mark("/item/1", {"row_id": row_id, "concept": "", "rewordings": said}).is_success
        for unknown in (f"{2:032x}", f"{9:032x}", 7, ["x"]):  # without an answer, another's, no id
            wrong = {"row_id": None, "rewordings": [{"try_id": unknown, "gone": True}]}
            assert one.mark("/item/1", wrong, 1).status_code == 422
        (mark,) = (mark for mark in read_marks(study.run.path) if mark.annotator == "A1")
        model = {"model": "slow"}
        assert mark.value["rewordings"] == [
            {"try_id": f"{0:032x}", "prompt": "One?", "answer": "It is Madrid.", **model, "gone": True},
            {"try_id": f"{1:032x}", "prompt": "Two?", "answer": "Still paris!", **model, "gone": False},
            {"prompt": "Own?", "answer": "Rome.", "gone": None},
        ]
    run = export(ExportSettings(marks=(str(study.run.path),)))
    lines = read_rows(run.path / "counterfactuals.jsonl")
    assert [(each["prompt"], each["phrase"], each["model"], each["gone"], each["gone_by_words"]) for each in lines] == [
        ("One?", "Paris", "slow", True, True),
        ("Two?", "Paris", "slow", False, False),
        ("Own?", "Paris", None, None, True),
    ]
    reworded = ExportResult.read(run).reworded
    assert (reworded.kept, reworded.lost, reworded.undecided, reworded.by_models) == (1, 1, 1, 2)
    assert (reworded.lost_share.mean, reworded.lost_share.n, reworded.lost_share.n_missing) == (0.5, 2, 1)
    assert (reworded.lost_by_words.mean, reworded.same.mean) == (pytest.approx(2 / 3), 1.0)
    expected = "3 reworded prompts: the phrase is kept in 1 answers and lost in 1; 1 are undecided."
    assert expected in run.view.sentences


def test_what_waits_when_the_study_ends_is_asked_the_next_time(workplace):
    study = cause_study()
    stuck = Slow({"One?": "late", "Two?": "never"})
    with MarkStore(study.run.path) as store:
        queue = PromptQueue(AskedPrompts(store), stuck)  # never begun, as when the server is killed
        app = make_app(study, store, Serving(queue=queue))
        one = Visit(app, store, "A1")
        assert ask(one, 1, "One?").is_success
        alone = Visit(make_app(study, store), store, "A1")
        (tried,) = alone.get("/item/1/tries").json()["tries"]
        assert tried["failure"] == "no model answers now; the question is asked once the study is served with a model"
        assert ask(alone, 2, "Two?").json() == {"error": "No model answers reworded questions here."}
    ready = Slow({"One?": "Rome."})
    ready.go.set()
    with visited(study, ready) as (visit, _):
        assert [each["answer"] for each in settled(visit("A1"))] == ["Rome."]


def test_what_is_refused(workplace):
    ready = Slow({str(number): "x" for number in range(30)})
    ready.go.set()
    study = cause_study()
    with visited(study, ready) as (visit, _):
        one, reviewer = visit("A1"), visit(REVIEWER)
        for body in (
            {"prompt": "1"},
            {"try_id": "x", "prompt": "1"},
            {"try_id": "1" * 32},
            {"try_id": "1" * 32, "prompt": " \n"},
            {"try_id": "1" * 32, "prompt": "x" * 4_001},
            {"try_id": "1" * 32, "prompt": ["x"]},
        ):
            assert one.post("/item/1/ask", body).status_code == 422
        given = {"try_id": "1" * 32, "prompt": "1"}
        assert one.client.post("/item/1/ask", json=given).status_code == 403
        assert one.post("/item/1/ask", given, **{"sec-fetch-site": "cross-site"}).status_code == 403
        assert reviewer.post("/review/1/1/ask", given).status_code == 404
        assert one.client.get("/item/1/ask").status_code == 405
        assert ready.asked == []
        for number in range(20):
            assert ask(one, number, str(number)).is_success
            settled(one)
        full = ask(one, 20, "20")
        expected = "found 20 reworded questions of this item; expected up to 20"
        assert (full.status_code, full.json()) == (422, {"error": expected})
        assert len(ready.asked) == 20
        assert ask(reviewer, 50, "21", "/own/1").is_success  # a reviewer's own


def test_hostile_answers_stay_texts(workplace):
    ready = Slow({HOSTILE.strip(): HOSTILE})
    ready.go.set()
    with visited(cause_study(), ready) as (visit, _):
        one = visit("A1")
        assert ask(one, 1, HOSTILE).is_success
        (tried,) = settled(one)
        assert tried["answer"] == HOSTILE
        assert tried["parts"]["answer"][1::2] == ["U+202E", "U+200B", "U+0000"]
        page = one.get("/item/1").text
        assert "<img" not in page
        assert page.count("</script>") == 2


def test_a_server_answers_as_answer_asks_it(workplace):
    with serving(lambda body, call: Said(completion("In Rome."))) as server:
        served = ServedModel(server.url, None, 32, 20.0)
        assert (served.name, served.answer("Where?")) == ("tiny", "In Rome.")
        (body,) = server.bodies
        expected = {"model": "tiny", "messages": [{"role": "user", "content": "Where?"}]}
        assert body == {**expected, "max_tokens": 32, "temperature": 0}
    refusing = lambda body, call: Said(completion("", "content_filter"))  # noqa: E731
    with serving(refusing) as server, pytest.raises(TunescopeError, match="content filter"):
        ServedModel(server.url, "tiny", 32, 20.0).answer("Where?")
    with pytest.raises(TunescopeError, match="no server answers at"):
        ServedModel(server.url, "tiny", 32, 20.0).answer("Where?")


def test_a_loaded_model_answers_as_the_verb_answer(workplace):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from tunescope.microworld.model import save_random_model
    from tunescope.verbs.answer import AnswerSettings
    from tunescope.verbs.answer import answer as answer_verb

    torch.set_num_threads(1)
    model = str(save_random_model(workplace / "tiny", seed=0))
    write_rows(Path("p.jsonl"), [{"prompt_id": "p", "prompt": "Hi there"}])
    run = answer_verb(AnswerSettings(prompts="p.jsonl", model=model, max_new_tokens=6))
    (expected,) = read_answers(run.path / "answers.jsonl")
    loaded = LoadedModel(ModelSettings(model=model), 6)
    assert (loaded.name, loaded.answer("Hi there")) == (model, expected.text)
    with pytest.raises(TunescopeError, match=r"tokens; the model's context holds [\d,]+ with the answer$"):
        loaded.answer("Hi " * 4_000)


def test_answers_from_a_file(workplace):
    """A record names the answer that it is of; what `answer` wrote keeps it as the prompt's `answer_id`."""
    write_rows(Path("a.jsonl"), [answer(1, TEXT)])
    (only,) = read_answers("a.jsonl")
    ids = {"answer_id": only.answer_id}
    by_hand = {**ids, "prompt": "In other words?", "answer": "Madrid."}
    by_answer = {"prompt_id": "r1", "prompt": "And so?", "text": "paris", "answer_id": "other", "model": "m"}
    write_rows(Path("tries.jsonl"), [by_hand, {**by_answer, "meta": ids}])
    other_phrase = {**by_answer, "meta": {**ids, "start": 6, "end": 8}}
    study = cause_study(counterfactuals="tries.jsonl")
    (item,) = study.items.values()
    assert [(each.prompt, each.answer, each.model) for each in item.counterfactuals] == [
        ("In other words?", "Madrid.", "tries"),
        ("And so?", "paris", "m"),
    ]
    assert "2 reworded questions with answers, of 1 phrase." in study.run.view.sentences
    with MarkStore(study.run.path) as store:
        one = Visit(make_app(study, store), store, "A1")
        first, second = one.data("/item/1")["tries"]
        assert (first["held"], second["held"]) == (False, True)
        said = [{"try_id": each["try_id"], "gone": not each["held"]} for each in (first, second)]
        assert one.mark("/item/1", {"row_id": None, "rewordings": said}).is_success
    (mark,) = read_marks(study.run.path)
    assert [(each["answer"], each["gone"]) for each in mark.value["rewordings"]] == [
        ("Madrid.", True),
        ("paris", False),
    ]
    write_rows(Path("tries.jsonl"), [{**by_hand}, other_phrase])
    (item,) = cause_study(counterfactuals="tries.jsonl").items.values()
    assert [each.answer for each in item.counterfactuals] == ["Madrid."]


TRY = {"prompt_id": "r", "prompt": "Q?", "text": "x"}


@pytest.mark.parametrize(
    ("records", "problem"),
    [
        ([{"prompt_id": "r", "prompt": "Q?", "text": "x"}], "record 1: found nothing that says which answer"),
        (
            [{"prompt_id": "r", "prompt": "Q?", "text": "x", "meta": {"start": 0, "end": 99}}],
            "found characters 0 to 99",
        ),
        ([{"prompt_id": "r", "prompt": "Q?", "text": "x", "meta": {}}] * 2, "found the same one twice; expected it"),
        ([{"prompt_id": f"{n}", "prompt": "Q?", "text": "x", "meta": {}} for n in range(21)], "found 21; expected up"),
    ],
)
def test_files_of_answers_that_are_refused(workplace, records, problem):
    write_rows(Path("a.jsonl"), [answer(1, TEXT)])
    (only,) = read_answers("a.jsonl")
    ids = {"answer_id": only.answer_id}
    named = [{**each, "meta": {**each["meta"], **ids}} if "meta" in each else each for each in records]
    write_rows(Path("tries.jsonl"), named)
    with pytest.raises(SettingsError, match=r"^--counterfactuals tries\.jsonl") as caught:
        cause_study(counterfactuals="tries.jsonl")
    assert problem in str(caught.value)


def test_models_that_dont_fit_are_refused_before_anything_is_served(workplace):
    spans = str(make_study("spans", {"a": [answer(1, TEXT)]}).run.path)
    cause = str(cause_study().run.path)
    cases = [
        (spans, {"model": "smollm2-135m"}, "a study of spans has no reworded prompts; expected one of cause"),
        (cause, {"served_model": "x"}, "--served-model x: expected --model URL with it"),
        (cause, {"model": "tiny", "served_model": "x"}, "--served-model x with --model tiny: expected a server's URL"),
        (cause, {"model": "http://127.0.0.1:1/v1", "load": "4bit"}, "--load with --model http"),
    ]
    for study, settings, sentence in cases:
        with pytest.raises(SettingsError) as caught:
            annotate_serve(AnnotateServeSettings(study=study, **settings))
        assert sentence in str(caught.value)
    with pytest.raises(
        SettingsError, match="--counterfactuals: found with --kind spans; expected it with --kind cause"
    ):
        make_study("spans", {"a": [answer(1, TEXT)]}, counterfactuals="a.jsonl")
