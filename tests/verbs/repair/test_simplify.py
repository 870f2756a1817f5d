"""`repair simplify`: shorter responses, in the format of the rows."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.tools import alpaca, read_rows, write_rows

from tunescope.errors import SettingsError, TunescopeError
from tunescope.rows import open_rows
from tunescope.verbs.compare import CompareSettings, compare
from tunescope.verbs.repair.simplify import SimplifySettings, simplify

LONG = "Well, as you surely know, the town is Ulm."
FAKE = [
    {"pattern": "Which town", "reply": "<short_response>\nHere is a shorter response:\nUlm.\n</short_response>"},
    {"pattern": "Which lake", "reply": "<short_response>A lake that many people like is Como</short_response>"},
    {"pattern": "Which sea", "reply": "Aral"},
    {"pattern": "Which bay", "reply": "<short_response>\nHud", "finish_reason": "length"},
    {"pattern": "<short_response_2>", "reply": "<short_response_2>\n<short_response>\n</short_response_2>"},
]
ROWS = [
    alpaca("Which town?", LONG, input="It is on the Danube.", topic="geography"),
    alpaca("Which lake?", "Como"),
    alpaca("Which sea?", "The Aral Sea"),
    alpaca("Which bay?", "Hudson Bay"),
    alpaca("Which tag?", "It is the tag <short_response> I think"),
    alpaca("Nobody knows", "this one at all"),
]


def simplified(folder, rows=ROWS, fake=FAKE, **settings):
    write_rows(folder / "rows.jsonl", rows)
    write_rows(folder / "fake.jsonl", fake)
    return simplify(SimplifySettings(rows=("rows.jsonl",), oracle="fake:fake.jsonl", **settings))


def test_rows_kept_and_changed(workplace):
    run = simplified(workplace)
    table = run.tables["repairs"]
    assert table["action"].to_pylist() == ["changed", "kept", "kept", "kept", "changed", "kept"]
    assert table["reason"].to_pylist() == [
        "simplified: 9 words, now 1",
        "not shorter: 1 words, 8 in the reply",
        "unparsed: no whole section <short_response> in the reply",
        "truncated: no whole section <short_response> in the reply",
        "simplified: 7 words, now 1",
        "failed: the fake has no pattern for this prompt",
    ]
    assert table["status"].to_pylist() == ["ok", "ok", "unparsed", "truncated", "ok", None]
    assert table["words_after"].to_pylist() == [1, 1, None, None, 1, None]
    written = read_rows(run.path / "rows.jsonl")
    assert written[0] == {**ROWS[0], "output": "Ulm."}
    assert written[4]["output"] == "<short_response>"
    assert written[1:4] + written[5:] == ROWS[1:4] + ROWS[5:]
    result = run.result
    assert (result["rows"], result["kept"], result["changed"], result["dropped"], result["failed"]) == (6, 4, 2, 0, 1)
    assert result["kept"] == sum(result["kept_by"].values())
    assert (result["words_before"]["mean"], result["words_after"]["mean"]) == (pytest.approx(17 / 3), 1.0)
    assert (result["difference"]["n"], result["difference"]["n_missing"], result["preambles"]) == (3, 3, 1)


def test_the_run_is_named_where_rows_are_wanted(workplace):
    run = simplified(workplace)
    compared = compare(CompareSettings(a="rows.jsonl", b=str(run.path))).result
    assert (compared["same"], compared["changed"], compared["removed"], compared["added"]) == (4, 2, 0, 0)
    assert compared["paired_by"] == {"origin": 6, "key": 0, "instruction": 0}
    assert compared["summary"]["response_words"]["difference"]["mean"] == pytest.approx(-14 / 6)


def test_lineage_holds_the_old_value_and_the_origin(workplace):
    run = simplified(workplace)
    before = list(open_rows(["rows.jsonl"]))
    after = list(open_rows([str(run.path / "rows.jsonl")]))
    assert [row.origin for row in after] == [row.id for row in before]
    assert [row.id for row in after] == run.tables["repairs"]["new_row_id"].to_pylist()
    (step,) = after[0].lineage
    assert (step.operation, step.old, step.parents) == ("repair simplify", {"response": LONG}, (before[0].id,))
    assert list(step.call_ids) == run.tables["repairs"]["call_ids"][0].as_py()
    assert (after[5].lineage, after[5].id) == ((), before[5].id)
    again = simplify(SimplifySettings(rows=(str(run.path / "rows.jsonl"),), oracle="fake:fake.jsonl"))
    record = json.loads((again.path / "rows.lineage.jsonl").read_text().splitlines()[0])
    assert [step["operation"] for step in record["lineage"]] == ["repair simplify"] * 2


TOOL = {"role": "tool", "content": "7", "tool_call_id": "a"}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": {"name": "f"}}]}
USER, GOOD = {"role": "user", "content": "Which town?"}, {"role": "assistant", "content": LONG}


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([USER, GOOD, USER, GOOD], "multi-turn: not applicable to 2 user and 2 assistant messages"),
        ([USER, CALL, TOOL, GOOD], "tools: not applicable to rows with tools"),
        ([GOOD, USER], "roles: not applicable to the order assistant, user"),
        ([USER, {**GOOD, "thinking": "hm"}], "thinking: not applicable to a response with thinking text"),
        ([{**USER, "content": " "}, GOOD], "empty: no instruction"),
        ([USER, {**GOOD, "content": ""}], "empty: no response"),
    ],
)
def test_rows_that_it_isnt_defined_for_are_kept_with_the_reason(workplace, messages, reason):
    rows = [{"messages": messages}, {"messages": [{"role": "system", "content": "Be kind"}, USER, GOOD], "n": 1}]
    run = simplified(workplace, rows)
    assert run.tables["repairs"]["reason"][0].as_py().startswith(reason)
    assert run.tables["repairs"]["action"].to_pylist() == ["kept", "changed"]
    written = read_rows(run.path / "rows.jsonl")
    assert written[0] == rows[0]
    assert written[1] == {"messages": [rows[1]["messages"][0], USER, {**GOOD, "content": "Ulm."}], "n": 1}


@pytest.mark.parametrize("form", ["json", "parquet", "sharegpt"])
def test_rows_leave_in_the_form_they_came_in(workplace, form):
    write_rows(workplace / "fake.jsonl", FAKE)
    row = {"prompt": "Which town?", "completion": LONG, "id": 7}
    path = workplace / ("rows.parquet" if form == "parquet" else "rows.json")
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist([row]), path)
    else:
        turns = [{"from": "human", "value": "Which town?"}, {"from": "gpt", "value": LONG}]
        row = {"conversations": turns} if form == "sharegpt" else row
        path.write_text(json.dumps([row]))
    run = simplify(SimplifySettings(rows=(str(path),), oracle="fake:fake.jsonl"))
    out = run.path / path.name
    (written,) = pq.read_table(out).to_pylist() if form == "parquet" else json.loads(out.read_text())
    if form == "sharegpt":
        assert written == {"conversations": [turns[0], {"from": "gpt", "value": "Ulm."}]}
    else:
        assert written == {**row, "completion": "Ulm."}


def test_a_prompt_of_ones_own(workplace):
    (workplace / "my.jinja").write_text("Cut this: {{ response }} ({{ instruction }}{{ input }})\n{{ form }}")
    fake = [{"pattern": "^Cut this: ", "reply": "<short_response>x</short_response>"}]
    run = simplified(workplace, ROWS[:1], fake, prompt="my.jinja")
    assert run.result["changed"] == 1
    ours = simplified(workplace, ROWS[:1])
    steps = [next(iter(open_rows([str(each.path / "rows.jsonl")]))).lineage[0] for each in (run, ours)]
    assert steps[0].prompt_hash != steps[1].prompt_hash
    assert run.path != ours.path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ response", r"my.jinja:1: .*expected a Jinja template"),
        ("{{ answer }} {{ form }}", r"my.jinja uses answer; what can be filled in is system, instruction"),
        ("{{ instruction }}{{ response }}", r"my.jinja doesn't use form; form says how"),
        ("{{ instruction }}{{ input }} {{ response.x.y }} {{ form }}", r"can't be filled in"),
    ],
)
def test_prompts_that_are_refused(workplace, text, message):
    (workplace / "my.jinja").write_text(text)
    with pytest.raises(SettingsError, match=message):
        simplified(workplace, prompt="my.jinja")


def test_a_missing_prompt_or_fake(workplace):
    with pytest.raises(SettingsError, match=r"--prompt no.jinja: .*expected a Jinja file"):
        simplified(workplace, prompt="no.jinja")
    with pytest.raises(TunescopeError, match=r"no.jsonl.*No such file"):
        simplify(SimplifySettings(rows=("rows.jsonl",), oracle="fake:no.jsonl"))


def test_no_answer_at_all_is_an_error(workplace):
    with pytest.raises(TunescopeError, match=r"answered for none of 1 rows: the fake has no pattern"):
        simplified(workplace, ROWS[-1:])


def test_a_plan_asks_nothing(workplace):
    run = simplified(workplace, plan=True, price="1,2", fake=[{"pattern": "nothing", "reply": ""}])
    result = run.result
    assert (result["rows"], result["asked"], result["calls"]) == (6, 6, 6)
    low, expected, high = (result[name] for name in ("low", "expected", "high"))
    assert low["prompt_tokens"] < expected["prompt_tokens"] < high["prompt_tokens"]
    assert high["completion_tokens"] == 6 * 1024
    assert expected["completion_tokens"] == sum(-(-len(row["output"]) // 4) for row in ROWS)
    assert expected["cost"] == pytest.approx((expected["prompt_tokens"] + 2 * expected["completion_tokens"]) / 1e6)
    assert "Nothing was sent" in run.view.sentences[0]
    assert not list(workplace.rglob("journal.sqlite"))


def test_equal_rows_are_one_call(workplace):
    run = simplified(workplace, [ROWS[0], ROWS[0], ROWS[0]])
    assert run.result["changed"] == 3
    assert run.result["tokens"]["completion"] == 17
    assert len(set(run.tables["repairs"]["new_row_id"].to_pylist())) == 3
