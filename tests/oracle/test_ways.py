"""How replies are asked for: found out once, kept, and said; servers that do schemas, ignore them, or refuse them."""

import json

import pytest

pytest.importorskip("openai")

from tests.oracle.server import Said, completion, serving
from tests.tools import alpaca, read_rows, write_rows
from tunescope.errors import TunescopeError, WorkError
from tunescope.oracle.format_probe import PROBE
from tunescope.oracle.journal import call_key
from tunescope.verbs.repair.rate import RateSettings, rate
from tunescope.verbs.repair.reflect import ReflectSettings, reflect
from tunescope.verbs.repair.simplify import SimplifySettings, simplify

ROWS = [alpaca(f"Ask {i}", f"A reply of some words {i}") for i in range(5)]
TAGGED = "<short_response>\nShort\n</short_response>"


def follows(body, call):
    """Fill in the schema where there is one, like vLLM, llama.cpp, Ollama and OpenAI."""
    if "response_format" not in body:
        return Said(completion(TAGGED))
    form = body["response_format"]
    assert (form["type"], form["json_schema"]["strict"]) == ("json_schema", True)
    parts = form["json_schema"]["schema"]["properties"]
    return Said(completion(json.dumps({name: 4 if p["type"] == "number" else "Short" for name, p in parts.items()})))


def ignores(body, call):
    """Take the schema and go on as if it weren't there, like Ollama's cloud."""
    return Said(completion(TAGGED if "Ask" in body["messages"][0]["content"] else '{"colour": "red"}'))


def refuses(body, call):
    """Refuse it."""
    if "response_format" in body:
        return Said({"error": {"message": "'response_format' of type 'json_schema' is not supported"}}, 400)
    return ignores(body, call)


def crashes(body, call):
    """Go wrong over it, each time."""
    return Said(b"<html>", 500) if "response_format" in body else ignores(body, call)


def simplified(folder, url, rows=ROWS, **settings):
    write_rows(folder / "rows.jsonl", rows)
    return simplify(SimplifySettings(rows=("rows.jsonl",), oracle=url, served_model="tiny", **settings))


def probes(server):
    return sum("ripe tomato" in body["messages"][0]["content"] for body in server.bodies)


@pytest.mark.parametrize(("behave", "way"), [(follows, "json"), (ignores, "tags"), (refuses, "tags")])
def test_one_small_call_finds_out(workplace, capfd, behave, way):
    with serving(behave) as server:
        run = simplified(workplace, server.url)
        assert probes(server) == 1
        assert len(server.bodies) == 6
        assert sum("response_format" in body for body in server.bodies) == (6 if way == "json" else 1)
    assert (run.result["replies"], run.result["changed"]) == (way, 5)
    said = {"json": "as JSON", "tags": "as text"}[way]
    assert f"replies are asked for {said}\n" in capfd.readouterr().err
    assert f"asked for {said}. Every reply" in run.view.sentences[-1]
    assert {row["output"] for row in read_rows(run.path / "rows.jsonl")} == {"Short"}


def test_a_server_that_crashes_over_it(workplace, capfd):
    """Slow: a server's error is asked again, with waits."""
    with serving(crashes) as server:
        run = simplified(workplace, server.url, deadline=0.6)
        assert 1 <= probes(server) <= 3
    assert (run.result["replies"], run.result["changed"]) == ("tags", 5)


@pytest.mark.parametrize(("behave", "way"), [(follows, "json"), (refuses, "tags")])
def test_who_goes_on_does_alike_and_buys_nothing_twice(workplace, behave, way):
    """Also where the server has become another one in between."""
    with serving(behave) as server:
        first = simplified(workplace, server.url, rows=ROWS[:3])
        server.behave = refuses if behave is follows else follows
        journal = str(first.path / "journal.sqlite")
        server.bodies.clear()
        again = simplified(workplace, server.url, rows=ROWS[:3], journal=journal, out="again")
        assert server.bodies == []
        if way == "tags":
            more = simplified(workplace, server.url, journal=journal)
            assert [("response_format" in body) for body in server.bodies] == [False, False]
            assert more.result["replies"] == "tags"
    assert again.result["replies"] == way
    assert read_rows(again.path / "rows.jsonl") == read_rows(first.path / "rows.jsonl")


def test_an_unknown_model_says_nothing_about_schemas(workplace):
    """What isn't kept: once the model is there, the same command finds out."""
    rows = [alpaca(f"Ask {i}", f"A reply of some words {i}") for i in range(20)]
    with serving(lambda body, call: Said({"error": {"message": "no such model"}}, 404)) as server:
        with pytest.raises(TunescopeError, match="the server doesn't serve a model tiny: 404: no such model"):
            simplified(workplace, server.url, rows, concurrency=1)
        assert len(server.bodies) == 1
        server.behave = follows
        run = simplified(workplace, server.url, rows)
    assert (run.result["replies"], run.result["changed"]) == ("json", 20)


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_without_room_says_nothing_about_schemas(workplace, status):
    with serving(lambda body, call: Said({"error": {"message": "later"}}, status)) as server:
        with pytest.raises(WorkError, match=f"not done within the row's 0.2 s; the last try: {status}: later"):
            simplified(workplace, server.url, deadline=0.2)
        server.behave = follows
        assert simplified(workplace, server.url, deadline=0.2).result["replies"] == "json"


def test_what_is_typed_holds(workplace):
    with serving(follows) as server:
        assert simplified(workplace, server.url, response_format="tags").result["replies"] == "tags"
        assert not any("response_format" in body for body in server.bodies)
        assert simplified(workplace, server.url, response_format="json").result["replies"] == "json"
        assert probes(server) == 0


def test_a_grade_and_a_pair_in_json(workplace):
    with serving(follows) as server:
        write_rows(workplace / "rows.jsonl", ROWS)
        rated = rate(RateSettings(rows=("rows.jsonl",), oracle=server.url))
        both = reflect(ReflectSettings(rows=("rows.jsonl",), oracle=server.url))
    assert rated.tables["repairs"]["rating"].to_pylist() == [4.0] * 5
    assert read_rows(both.path / "rows.jsonl") == [alpaca("Short", "Short")] * 5
    assert both.result["stages"]["response"]["ok"] == 5


def test_json_that_isnt_whole_changes_nothing(workplace):
    replies = ['{"short_response": "Sho', '{"short": "x"}', "<short_response>\nx\n</short_response>", "[]", "x"]

    def behave(body, call):
        number = int(body["messages"][0]["content"].partition("Ask ")[2][0])
        return Said(completion(replies[number], "length" if number == 0 else "stop"))

    with serving(behave) as server:
        run = simplified(workplace, server.url, response_format="json")
    assert run.tables["repairs"]["status"].to_pylist() == ["truncated", *["unparsed"] * 4]
    assert run.tables["repairs"]["reason"][0].as_py() == ("truncated: no text under short_response in the reply's JSON")
    assert read_rows(run.path / "rows.jsonl") == ROWS


@pytest.mark.parametrize(
    ("error", "settings", "said"),
    [
        (
            {"message": "Unsupported value: 'temperature' does not support 0 with this model.", "param": "temperature"},
            {},
            r"400: Unsupported value: 'temperature' .*; the model doesn't take this --temperature; .* --temperature 1",
        ),
        (
            {"message": "Unrecognized request argument supplied: seed"},
            {"temperature": 1.0},
            "the server takes no seed: --seed -1 sends none",
        ),
        (
            {"message": "response_format is not supported"},
            {"response_format": "json"},
            "--response-format tags asks for text",
        ),
        (
            {"message": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."},
            {"max_tokens_field": "max_tokens"},
            "--max-tokens-field max_completion_tokens, or auto",
        ),
    ],
)
def test_a_refused_parameter_stops_and_names_the_setting(workplace, error, settings, said):
    with serving(lambda body, call: Said({"error": error}, 400)) as server:
        with pytest.raises(TunescopeError, match=said):
            simplified(workplace, server.url, concurrency=2, **settings)
        assert len(server.bodies) <= 2


def test_the_settings_that_those_sentences_name_work(workplace):
    def behave(body, call):
        if "seed" in body or "max_tokens" in body or body["temperature"] != 1:
            return Said({"error": {"message": "no"}}, 400)
        return Said(completion(TAGGED))

    settings = {"temperature": 1.0, "seed": -1, "max_tokens_field": "max_completion_tokens", "response_format": "tags"}
    with serving(behave) as server:
        assert simplified(workplace, server.url, **settings).result["changed"] == 5


def test_the_lengths_name_isnt_in_the_key(workplace):
    def newer(body, call):
        if "max_tokens" in body:
            error = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return Said({"error": {"message": error}}, 400)
        return Said(completion(TAGGED))

    with serving(newer) as server:
        run = simplified(workplace, server.url, response_format="tags", concurrency=1)
        assert len(server.bodies) == 6
        again = simplified(
            workplace,
            server.url,
            response_format="tags",
            max_tokens_field="max_tokens",
            out="b",
            journal=f"{run.path}/journal.sqlite",
        )
        assert len(server.bodies) == 6
    assert again.result["changed"] == 5


def test_keys_without_a_schema_are_what_they_were():
    """Computed before there were schemas."""
    asked = [{"role": "user", "content": "P7"}]
    decoding = {"temperature": 0.0, "max_tokens": 1024}
    assert call_key(asked, "tiny", decoding) == "fc43b2c1e2f4b342c269484b23a43921"
    assert call_key(asked, "tiny", decoding, PROBE.schema.json_schema()) != call_key(asked, "tiny", decoding)


def test_a_plan_leaves_out_what_the_journal_has(workplace, capfd):
    with serving(follows) as server:
        done = simplified(workplace, server.url, rows=ROWS[:3])
        calls = len(server.bodies)
        settings = {"plan": True, "journal": f"{done.path}/journal.sqlite"}
        capfd.readouterr()
        plan = simplified(workplace, server.url, **settings)
        assert len(server.bodies) == calls
        assert capfd.readouterr().err.count("replies are asked for as JSON") == 1
        assert (plan.result["calls"], plan.result["free"], plan.result["replies"]) == (2, 3, "json")
        assert "3 more replies are needed. They are in" in plan.view.sentences[0]
        fresh = simplified(workplace, server.url, plan=True)
        assert (fresh.result["calls"], fresh.result["free"], fresh.result["replies"]) == (5, 0, "tags")
        assert "One more small call finds out whether" in fresh.view.sentences[0]
        assert "small call" not in plan.view.sentences[0]
        assert (
            "small call" not in simplified(workplace, server.url, plan=True, response_format="tags").view.sentences[0]
        )
        assert plan.result["high"]["completion_tokens"] == 2 * 1024
        shared = simplified(workplace, server.url, journal=settings["journal"])
        assert " in all the runs that share its journal, asked for" in shared.view.sentences[-1]
        assert "share its journal" not in done.view.sentences[-1]
        after = simplified(workplace, server.url, **settings)
        assert (after.result["calls"], after.result["free"]) == (0, 5)
        assert after.result["high"] == {"prompt_tokens": 0, "completion_tokens": 0, "cost": None}


def test_a_plan_counts_on_the_journal_of_its_own_run(workplace):
    """Stopped within the second stages: what they build on is known by then."""

    def behave(body, call):
        prompt = body["messages"][0]["content"]
        if "<new_instruction>" in prompt:
            number = prompt.partition("Ask ")[2][0]
            return Said(
                completion(f"<new_instruction>\nNew {number}\n</new_instruction>\n<new_response>\na\n</new_response>")
            )
        if "New 3" in prompt:
            return Said({"error": {"message": "bad key"}}, 401)
        return Said(completion("<new_response>\nb\n</new_response>"))

    write_rows(workplace / "rows.jsonl", ROWS)
    with serving(behave) as server:
        settings = {"rows": ("rows.jsonl",), "oracle": server.url, "served_model": "m", "response_format": "tags"}
        with pytest.raises(TunescopeError, match="refuses"):
            reflect(ReflectSettings(**settings, concurrency=1))
        assert len(server.bodies) == 8
        plan = reflect(ReflectSettings(**settings, plan=True))
    assert (plan.result["calls"], plan.result["free"]) == (3, 7)
