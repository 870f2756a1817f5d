"""Batches: calls as files, their replies read back, and nothing bought twice whatever comes in between."""

import json

import pytest

pytest.importorskip("openai")

from tests.oracle.server import Said, completion, serving
from tests.tools import alpaca, read_rows, write_rows
from tunescope import cli
from tunescope.errors import InputError, RejectedRequest, SettingsError, WaitingError, WorkError
from tunescope.oracle.api import read_reply
from tunescope.oracle.batch import BatchFiles, import_replies
from tunescope.oracle.journal import Journal
from tunescope.verbs.repair.rate import RateSettings, rate
from tunescope.verbs.repair.reflect import ReflectSettings, reflect

URL = "http://127.0.0.1:9/v1"
"""Where nobody is: a batch calls nobody."""
ROWS = [alpaca(f"Ask {i}", f"Reply {i}") for i in range(4)]
KEYS = [f"{number:032x}" for number in range(9)]


def ask(folder, *replies, verb=rate, kind=RateSettings, batch="batch.jsonl", url=URL, rows=ROWS, **settings):
    write_rows(folder / "rows.jsonl", rows)
    return verb(
        kind(rows=("rows.jsonl",), oracle=url, served_model="big", batch=batch, batch_replies=replies, **settings)
    )


def waiting(folder, *replies, **settings):
    """Ask, expecting that calls wait; return what was said, and the lines of the batch."""
    with pytest.raises(WaitingError) as stopped:
        ask(folder, *replies, **settings)
    return str(stopped.value), read_rows(folder / "batch.jsonl")


def ok(line, text, **more):
    return {
        "id": "batch_req_1",
        "custom_id": line["custom_id"],
        "response": {"status_code": 200, "request_id": "r", "body": completion(text, **more)},
        "error": None,
    }


def bad(line, status, message):
    body = {"error": {"message": message, "type": "invalid_request_error"}}
    return {"custom_id": line["custom_id"], "response": {"status_code": status, "body": body}, "error": None}


EXPIRED = {"response": None, "error": {"code": "batch_expired", "message": "This request could not be executed."}}


def test_lines_are_calls_and_replies_finish_the_run(workplace):
    said, lines = waiting(workplace)
    assert said == (
        "written for a batch: 4 calls that the journal doesn't have, in batch.jsonl; 0 of 4 rows are done. Have each "
        "file answered (endpoint /v1/chat/completions), then type the same command with --batch-replies and the "
        "output and error files to go on"
    )
    first = lines[0]
    assert (first["method"], first["url"]) == ("POST", "/v1/chat/completions")
    body = first["body"]
    assert body.keys() == {"model", "messages", "temperature", "max_completion_tokens"}
    assert (body["model"], body["max_completion_tokens"]) == ("big", 256)
    assert "Ask 0" in body["messages"][0]["content"]
    assert waiting(workplace)[1] == lines
    write_rows(workplace / "out.jsonl", [ok(line, f"Score: {i}") for i, line in enumerate(lines)][::-1])
    run = ask(workplace, "out.jsonl")
    assert run.tables["repairs"]["rating"].to_pylist() == [0, 1, 2, 3]
    assert run.result["tokens"] == {"prompt": 20, "completion": 8}
    assert ask(workplace).path == run.path


def test_a_second_stage_is_the_next_batch(workplace):
    stages = {"verb": reflect, "kind": ReflectSettings, "response_format": "json"}
    _, lines = waiting(workplace, **stages)
    assert {line["body"]["response_format"]["json_schema"]["name"] for line in lines} == {"reflected_instruction"}
    pairs = [json.dumps({"new_instruction": f"New {i}", "new_response": "a"}) for i in range(4)]
    write_rows(workplace / "one.jsonl", [ok(line, pair) for line, pair in zip(lines, pairs, strict=True)])
    said, second = waiting(workplace, "one.jsonl", **stages)
    assert "4 calls" in said
    assert {line["body"]["response_format"]["json_schema"]["name"] for line in second} == {"reflected_response"}
    assert "New 0" in second[0]["body"]["messages"][0]["content"]
    write_rows(workplace / "two.jsonl", [ok(line, '{"new_response": "b"}') for line in second])
    run = ask(workplace, "two.jsonl", **stages)
    assert read_rows(run.path / "rows.jsonl") == [alpaca(f"New {i}", "b") for i in range(4)]


def test_what_passes_waits_again_and_what_doesnt_fails_its_row(workplace, capfd):
    """Errors for the row: 400; for the next batch: expired, 429, 500, a body that isn't the API's."""
    rows = [alpaca(f"Ask {i}", f"Reply {i}") for i in range(8)]
    _, lines = waiting(workplace, rows=rows)
    answered = [ok(lines[0], "Score: 4"), ok(lines[4], None), ok(lines[5], "Score: 2")]
    answered[2]["response"]["body"] = {"choices": [{"message": "odd"}]}
    write_rows(workplace / "out.jsonl", [*answered, {**ok(lines[6], "Score: 1"), "custom_id": "request-7"}])
    errors = [bad(lines[1], 400, "too long"), {**EXPIRED, "custom_id": lines[2]["custom_id"]}]
    errors += [bad(lines[3], 429, "slow down"), bad(lines[7], 500, "oh")]
    write_rows(workplace / "errors.jsonl", errors)
    said, again = waiting(workplace, "out.jsonl", "errors.jsonl", rows=rows)
    assert [line["custom_id"] for line in again] == [lines[i]["custom_id"] for i in (2, 3, 5, 6, 7)]
    assert "3 of 8 rows are done" in said
    assert (
        "3 replies from batches are new in the journal; 2 calls refused for good, 4 to be made again "
        "(the first: 200: {'choices': [{'message': 'odd'}]}), 1 with a custom_id that isn't ours"
    ) in capfd.readouterr().err
    write_rows(workplace / "more.jsonl", [ok(line, "Score: 5") for line in again])
    run = ask(workplace, "more.jsonl", rows=rows)  # the errors needn't be named again
    assert run.tables["repairs"]["rating"].to_pylist() == [4, None, 5, 5, None, 5, 5, 5]
    assert run.tables["repairs"]["reason"].to_pylist()[1] == "failed: 400: too long"
    assert run.tables["repairs"]["reason"].to_pylist()[4] == "failed: a reply without text (finish_reason stop)"


def test_what_was_refused_for_good_goes_into_another_batch_only_with_again(workplace):
    _, lines = waiting(workplace)
    write_rows(workplace / "out.jsonl", [ok(line, "Score: 4") for line in lines[:3]] + [bad(lines[3], 400, "too long")])
    run = ask(workplace, "out.jsonl")
    assert (run.open, run.settled) == (0, 1)
    assert ask(workplace).settled == 1
    _, again = waiting(workplace, again=True)
    assert [line["custom_id"] for line in again] == [lines[3]["custom_id"]]
    write_rows(workplace / "no.jsonl", [bad(lines[3], 400, "still too long")])
    assert ask(workplace, "no.jsonl", again=True).settled == 1
    write_rows(workplace / "yes.jsonl", [ok(lines[3], "Score: 2")])
    run = ask(workplace, "yes.jsonl", again=True)
    assert (run.settled, run.tables["repairs"]["rating"].to_pylist()) == (0, [4, 4, 4, 2])


def test_the_command_line_tells_calls_that_wait_from_a_refusal(workplace, capsys):
    write_rows(workplace / "rows.jsonl", ROWS)
    command = ["repair", "rate", "rows.jsonl", "--oracle", URL, "--served-model", "big", "--batch", "batch.jsonl"]
    assert (cli.run(command), cli.run([*command, "--max-tokens-total", "10"])) == (4, 1)


def test_replies_that_nobody_needs_are_counted(workplace, capfd):
    _, lines = waiting(workplace)
    other = {**lines[0], "custom_id": "0" * 32}
    write_rows(workplace / "out.jsonl", [ok(line, "Score: 4") for line in (*lines, other)])
    ask(workplace, "out.jsonl")
    assert "1 of the batches' replies are to calls that these rows don't need" in capfd.readouterr().err


def test_the_same_replies_twice_are_kept_once(tmp_path):
    write_rows(tmp_path / "out.jsonl", [ok({"custom_id": key}, "x") for key in KEYS])
    with Journal(tmp_path / "j") as journal:
        names = [str(tmp_path / "out.jsonl")] * 2
        assert import_replies(journal, names).kept == 9
        assert import_replies(journal, names).kept == 0
        assert len(journal) == 9


@pytest.mark.parametrize(
    "line",
    [
        '{"custom_id": "a", "respon',
        "[1]",
        "{}",
        '{"custom_id": 7, "response": {"status_code": 200, "body": {}}}',
        '{"custom_id": "a", "response": {"body": {}}}',
        '{"custom_id": "a", "response": {"status_code": "ok", "body": {}}}',
        '{"custom_id": "a", "response": 3}',
        '{"custom_id": "a"}',
        '{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}}',
        "\udcff",
    ],
)
def test_lines_that_are_no_replies_are_named_and_nothing_is_taken(tmp_path, line):
    good = json.dumps(ok({"custom_id": KEYS[0]}, "x"))
    (tmp_path / "out.jsonl").write_text(f"{good}\n\n{line}\n{good}\n", "utf-8", "surrogateescape")
    with Journal(tmp_path / "j") as journal:
        with pytest.raises(InputError, match=r"out.jsonl:3: found .*expected a line of a batch's output") as caught:
            import_replies(journal, [str(tmp_path / "out.jsonl")])
        assert len(caught.value.problems) == 1
        assert len(journal) == 0
        with pytest.raises(InputError, match="No such file"):
            import_replies(journal, [str(tmp_path / "no.jsonl")])


def test_vllms_errors(tmp_path):
    """Its `run_batch` has a call's error beside a response without body."""
    line = {
        "custom_id": KEYS[0],
        "response": {"status_code": 400, "request_id": "r", "body": None},
        "error": {"object": "error", "message": "too long", "type": "BadRequestError", "code": 400},
    }
    write_rows(tmp_path / "out.jsonl", [line])
    with Journal(tmp_path / "j") as journal:
        assert import_replies(journal, [str(tmp_path / "out.jsonl")]).refused == 1
        (body,) = journal.bodies(KEYS[0])
    assert json.loads(body) == {"refused": "400: too long"}


def test_more_than_a_file_holds(tmp_path):
    path = tmp_path / "b.jsonl"
    with BatchFiles(path) as files:
        files.add(KEYS[0], {})
    size = path.stat().st_size
    for limits in ({"max_lines": 2}, {"max_bytes": 3 * size - 1}):
        with BatchFiles(path, **limits) as files:
            for key in KEYS[:5]:
                files.add(key, {})
        assert files.paths == (path, tmp_path / "b-2.jsonl", tmp_path / "b-3.jsonl")
        assert [[line["custom_id"] for line in read_rows(name)] for name in files.paths] == [
            KEYS[:2],
            KEYS[2:4],
            KEYS[4:5],
        ]
    with BatchFiles(path) as files:  # those of a longer batch before it go
        files.add(KEYS[0], {})
    assert sorted(each.name for each in tmp_path.iterdir()) == ["b.jsonl"]


@pytest.mark.parametrize("name", ["b.jsonl", "b-2.jsonl", "b-17.jsonl"])
@pytest.mark.parametrize(
    "line",
    [
        b'{"instruction": "a"}\n',
        b"",
        b"\xff\x00",
        b"[" * 100_000,
        b'{"custom_id": "request-1", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n',
        b'{"custom_id": "%s", "method": "POST", "url": "/v1/embeddings", "body": {}}\n' % KEYS[0].encode(),
    ],
    ids=["rows", "empty", "bytes", "nested", "another's batch", "embeddings"],
)
def test_a_file_that_isnt_ours_is_never_written_over(tmp_path, name, line):
    (tmp_path / name).write_bytes(line)
    with pytest.raises(SettingsError, match=r"b.jsonl: found something else there.*; name a new file"):
        BatchFiles(tmp_path / "b.jsonl")
    (tmp_path / name).unlink()
    files = BatchFiles(tmp_path / "b.jsonl", 1)
    for number in range(17):
        files.add(KEYS[number % 9], {})
    (tmp_path / name).write_bytes(line)  # it came while we were at work
    with pytest.raises(SettingsError, match="found something else"), files:
        pass
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(name, line)]


def test_what_is_there_stays_where_something_fails(tmp_path):
    path = tmp_path / "b.jsonl"
    with BatchFiles(path) as files:
        files.add(KEYS[0], {})
    with BatchFiles(path) as files:
        files.add(KEYS[1], {})
        files.discard()
    assert (files.paths, files.lines) == ((), 0)
    with pytest.raises(TypeError, match="not JSON serializable"), BatchFiles(path) as files:
        files.add(KEYS[1], {"model": object()})
    assert [line["custom_id"] for line in read_rows(path)] == KEYS[:1]
    assert [each.name for each in tmp_path.iterdir()] == ["b.jsonl"]
    with pytest.raises(SettingsError, match="no folder"):
        BatchFiles(tmp_path / "no" / "b.jsonl")
    (tmp_path / "rows.jsonl").write_text('{"instruction": "a"}\n')
    with pytest.raises(SettingsError, match="found something else there"):
        BatchFiles(tmp_path / "rows.jsonl")


def test_equal_rows_are_one_line_and_a_budget_holds(workplace):
    _, lines = waiting(workplace, rows=[ROWS[0]] * 3)
    assert len(lines) == 1
    said, lines = waiting(workplace, max_tokens_total=5000)
    assert 1 <= len(lines) < 4
    assert f"the budget has no room for {4 - len(lines)} more call" in said
    with pytest.raises(WorkError, match="no call was written; the budget has no room for 4 more calls; 0 of 4"):
        ask(workplace, max_tokens_total=10)


def test_the_rest_can_be_asked_live(workplace):
    """Tagged sections in the batch, since nobody can be asked for JSON: the live run goes on with them."""
    with serving(lambda body, call: Said(completion("Score: 3"))) as server:
        _, lines = waiting(workplace, url=server.url)
        write_rows(workplace / "out.jsonl", [ok(line, "Score: 4") for line in lines[:3]])
        assert not server.bodies
        run = ask(workplace, "out.jsonl", batch=None, url=server.url)
        assert len(server.bodies) == 1
    assert run.tables["repairs"]["rating"].to_pylist() == [4, 4, 4, 3]
    assert run.result["replies"] == "tags"


def test_a_batch_needs_a_models_name(workplace):
    write_rows(workplace / "rows.jsonl", ROWS)
    with pytest.raises(SettingsError, match=r"--batch b.jsonl with --oracle http://h: expected .* --served-model"):
        rate(RateSettings(rows=("rows.jsonl",), oracle="http://h", batch="b.jsonl"))


def test_a_refused_call_is_refused_from_the_journal(tmp_path):
    write_rows(tmp_path / "out.jsonl", [bad({"custom_id": KEYS[0]}, 422, "no")])
    with Journal(tmp_path / "j") as journal:
        import_replies(journal, [str(tmp_path / "out.jsonl")])
        with pytest.raises(RejectedRequest, match="422: no"):
            read_reply(json.loads(journal.bodies(KEYS[0])[0]))


@pytest.mark.parametrize(
    ("status", "message", "kept"),
    [
        (400, "This model's maximum context length is 4096 tokens", True),
        (400, "filtered by the content management policy", True),
        (403, "Your input was flagged", True),
        (422, "no", True),
        (400, "Your credit balance is too low", False),
        (401, "Incorrect API key provided", False),
        (402, "Insufficient credits", False),
        (403, "no", False),
        (404, "The model `big` does not exist", False),
        (408, "late", False),
        (429, "slow down", False),
        (500, "oh", False),
        (529, "Overloaded", False),
        (200, "no credits left", False),
    ],
)
def test_only_what_is_the_rows_own_fault_is_kept(tmp_path, status, message, kept):
    """Whatever else failed goes into the next batch, and why is said of the first."""
    write_rows(tmp_path / "out.jsonl", [bad({"custom_id": key}, status, message) for key in KEYS[:2]])
    with Journal(tmp_path / "j") as journal:
        imported = import_replies(journal, [str(tmp_path / "out.jsonl")])
        assert len(journal) == imported.refused == (2 if kept else 0)
    assert (imported.later, imported.later_reason) == ((0, "") if kept else (2, f"{status}: {message}"))


def test_an_account_without_credit_is_asked_again_in_the_next_batch(workplace, capfd):
    """Also by its first line's words, and once it is topped up, the run is finished."""
    _, lines = waiting(workplace)
    errors = [bad(line, 402, "Insufficient credits") for line in lines[2:]]
    write_rows(workplace / "out.jsonl", [*(ok(line, "Score: 4") for line in lines[:2]), *errors])
    said, again = waiting(workplace, "out.jsonl")
    assert ("2 of 4 rows are done" in said, again) == (True, lines[2:])
    assert (
        "0 calls refused for good, 2 to be made again (the first: 402: Insufficient credits), 0"
        in capfd.readouterr().err
    )
    write_rows(workplace / "more.jsonl", [ok(line, "Score: 5") for line in again])
    assert ask(workplace, "more.jsonl").tables["repairs"]["rating"].to_pylist() == [4, 4, 5, 5]


def test_a_key_that_a_batch_repeats_isnt_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-0123456789")
    call = {"custom_id": KEYS[0]}
    lines = [
        json.dumps(ok(call, "It is sk-planted-0123456789.")),
        json.dumps(bad(call, 400, "sk-planted%2D0123456789")),
    ]
    (tmp_path / "out.jsonl").write_text("\n".join(lines))
    with Journal(tmp_path / "j.sqlite") as journal:
        import_replies(journal, [str(tmp_path / "out.jsonl")])
        assert read_reply(json.loads(journal.bodies(KEYS[0])[0])).text == "It is …."
        assert b"0123456789" not in b"".join(journal.bodies(KEYS[0]))


def test_thoughts_and_endings_of_a_batch_are_those_of_a_server(workplace):
    """And of the journal that keeps its replies."""
    _, lines = waiting(workplace)
    parts = [{"type": "thinking", "thinking": "Score: 1"}, {"type": "text", "text": "Score: 3"}]
    write_rows(
        workplace / "out.jsonl",
        [
            ok(lines[0], "<think>\nScore: 1\n</think>\n\nScore: 3"),
            ok(lines[1], parts),
            ok(lines[2], "Score: 3", finish_reason="max_tokens"),
            ok(lines[3], "<think>\nScore: 3"),
        ],
    )
    run = ask(workplace, "out.jsonl")
    assert run.tables["repairs"]["rating"].to_pylist() == [3, 3, None, None]
    assert run.tables["repairs"]["status"].to_pylist() == ["ok", "ok", "truncated", "truncated"]
    reasons = run.tables["repairs"]["reason"].to_pylist()[2:]
    assert reasons == [
        "truncated: no one score from 0 to 5 in 'Score: 3'; the reply was cut off (finish_reason max_tokens)",
        "truncated: the model only thought, and said nothing (finish_reason stop)",
    ]
    again = ask(workplace, "out.jsonl", scale=5, out="again", journal=str(run.path / "journal.sqlite"))
    assert again.tables["repairs"]["reason"] == run.tables["repairs"]["reason"]
