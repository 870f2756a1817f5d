"""`repair reflect`: two stages, pairs that are never mixed, inputs that are never lost."""

import json

import pytest
from tests.tools import alpaca, read_rows, real, write_rows

from tunescope.errors import SettingsError
from tunescope.rows import open_rows
from tunescope.verbs.repair.reflect import CRITERIA, ReflectSettings, reflect
from tunescope.verbs.why import WhySettings, why


def first(instruction, response, criticism="Too short."):
    parts = [f"<reflection>\n{criticism}\n</reflection>"] if criticism else []
    parts += [f"<new_instruction>\n{instruction}\n</new_instruction>"] if instruction is not None else []
    parts += [f"<new_response>\n{response}\n</new_response>"] if response is not None else []
    return "\n".join(parts)


def line(pattern, reply, **more):
    return {"pattern": pattern, "reply": reply, **more}


A = alpaca("Ask A", "Reply A", input="Given A", topic="a")
FAKE = [
    line("Ask A.*<new_instruction>", first("Better A?", "Better reply A", "Too vague.")),
    line("Better A.*Given A.*Better reply A", first(None, "Best reply A [End] of the Endocrine", "Fine.")),
]


def reflected(folder, rows, fake, **settings):
    write_rows(folder / "rows.jsonl", rows)
    write_rows(folder / "fake.jsonl", fake)
    return reflect(ReflectSettings(rows=("rows.jsonl",), oracle="fake:fake.jsonl", **settings))


def only(run):
    """Return the one row written, and its line in the table."""
    (written,) = read_rows(run.path / "rows.jsonl")
    (row,) = run.tables["repairs"].to_pylist()
    return written, row


def test_both_stages_one_after_the_other(workplace):
    run = reflected(workplace, [A], FAKE)
    written, row = only(run)
    assert written == {**A, "instruction": "Better A?", "output": "Best reply A [End] of the Endocrine"}
    assert (row["action"], row["status"], row["reason"]) == (
        "changed",
        "ok",
        "reflected: instruction ok, response ok",
    )
    assert [row[name] for name in ("instruction_words_before", "instruction_words_after")] == [2, 2]
    assert [row[name] for name in ("response_words_before", "response_words_after")] == [2, 7]
    assert len(row["call_ids"]) == 2
    (after,) = open_rows([str(run.path / "rows.jsonl")])
    (step,) = after.lineage
    assert step.old == {"instruction": "Ask A", "response": "Reply A"}
    assert step.notes == {"instruction": "Too vague.", "response": "Fine."}
    assert len(step.prompt_hash.split("+")) == len(step.call_ids) == 2
    ((before,),) = [list(open_rows(["rows.jsonl"]))]
    assert after.origin == before.id


def test_why_tells_the_history_of_a_new_row(workplace):
    run = reflected(workplace, [A], FAKE)
    new = run.tables["repairs"]["new_row_id"][0].as_py()
    history = why(WhySettings(row_id=new)).result
    assert history["messages"][1]["content"] == "Best reply A [End] of the Endocrine"
    assert history["origin"] == run.tables["repaired"]["was_row_id"][0].as_py()
    (step,) = history["lineage"]
    assert step["notes"] == {"instruction": "Too vague.", "response": "Fine."}
    (changes,) = [table for table in why(WhySettings(row_id=new)).view.tables if table.title == "Changes"]
    assert changes.columns[-1] == "notes"


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (first("Better A?", None), "partial"),
        (first(None, "Better reply A"), "partial"),
        (first("N/A", "Better reply A"), "partial"),
        ("[New Instruction] Better A? [End] [New Answer] Better reply A [End]", "unparsed"),
        ("<reflection>\nIt is fine.\n</reflection>", "unparsed"),
        ("I'm sorry, but I can't help with that.", "refused"),
        ("", "unparsed"),
    ],
)
def test_instruction_and_response_fall_back_as_a_pair(workplace, reply, status):
    """The second stage then works on the old pair."""
    fake = [line("Ask A.*<new_instruction>", reply), line("Ask A.*Given A.*Reply A", first(None, "New reply A"))]
    run = reflected(workplace, [A], fake)
    written, row = only(run)
    assert written == {**A, "output": "New reply A"}
    assert (row["status"], row["instruction_status"], row["response_status"]) == ("partial", status, "ok")
    run = reflected(workplace, [A], [*fake[:1], line("", "nothing")])
    written, row = only(run)
    assert written == A
    assert (row["action"], row["status"], row["response_status"]) == ("kept", "fallback", "unparsed")


def test_a_cut_reply_falls_back(workplace):
    cut = first("Better A?", None) + "\n<new_response>\nBetter rep"
    run = reflected(workplace, [A], [line("", cut, finish_reason="length")], stage="instruction")
    written, row = only(run)
    assert written == A
    assert row["reason"] == "fallback: instruction truncated"
    assert run.result["stages"] == {
        "instruction": {"ok": 0, "partial": 0, "fallback": 0, "unparsed": 0, "refused": 0, "truncated": 1}
    }


def test_the_first_stage_stands_where_the_second_has_no_reply(workplace):
    run = reflected(workplace, [A], FAKE[:1])
    written, row = only(run)
    assert written == {**A, "instruction": "Better A?", "output": "Better reply A"}
    assert row["status"] == "partial"
    assert row["reason"] == (
        "partial: instruction ok, response failed (response: the fake has no pattern for this prompt)"
    )


@pytest.mark.parametrize(("stage", "instruction", "output"), [("instruction", "B?", "b"), ("response", "Ask A", "c")])
def test_one_stage_alone(workplace, stage, instruction, output):
    fake = [line("<new_instruction>", first("B?", "b")), line("", first(None, "c"))]
    run = reflected(workplace, [A], fake, stage=stage)
    written, row = only(run)
    assert written == {**A, "instruction": instruction, "output": output}
    assert len(row["call_ids"]) == 1
    assert row["status"] == "ok"


def test_leaked_preambles_are_stripped_and_counted(workplace):
    announced = "Here is a new and complete answer with more details:\n\nPaint it."
    fake = [
        line("<new_instruction>", first("Sure! Here's the improved instruction:\nPaint?", announced)),
        line("", first(None, announced)),
    ]
    run = reflected(workplace, [A], fake)
    written, row = only(run)
    assert (written["instruction"], written["output"]) == ("Paint?", "Paint it.")
    assert (row["preambles"], run.result["preambles"]) == (3, 3)


def test_an_input_that_the_oracle_repeats_stands_once(workplace):
    run = reflected(workplace, [A], [line("", first("Better A?\n\nGiven A", "a"))], stage="instruction")
    assert only(run)[0] == {**A, "instruction": "Better A?", "output": "a"}


def test_a_row_that_quotes_the_markers(workplace):
    row = alpaca("What does <new_instruction> mean?", "See [End] and </new_response>.")
    reply = "<new_instruction_2>\nAnd <new_instruction>?\n</new_instruction_2>\n"
    reply += "<new_response_2>\nIt ends with\n</new_response>\nso.\n</new_response_2>"
    run = reflected(workplace, [row], [line("<new_instruction_2>.*<new_response_2>", reply)], stage="instruction")
    written, _ = only(run)
    assert written["instruction"] == "And <new_instruction>?"
    assert written["output"] == "It ends with\n</new_response>\nso."


def test_the_papers_criteria_are_in_the_prompts_and_can_be_others(workplace):
    pattern = ".*".join(CRITERIA["instruction"])
    second = ".*".join(CRITERIA["response"])
    assert (len(CRITERIA["instruction"]), len(CRITERIA["response"])) == (5, 4)
    fake = [line(pattern, first("B?", "b")), line(second, first(None, "c"))]
    ours = reflected(workplace, [A], fake)
    assert ours.result["statuses"]["ok"] == 1
    (workplace / "criteria.yaml").write_text("response: [kindness, rhyme]\n")
    fake = [line(pattern, first("B?", "b")), line("- kindness\n- rhyme", first(None, "kind"))]
    run = reflected(workplace, [A], fake, criteria="criteria.yaml")
    assert only(run)[0]["output"] == "kind"
    hashes = [next(iter(open_rows([str(r.path / "rows.jsonl")]))).lineage[0].prompt_hash for r in (ours, run)]
    assert hashes[0].split("+")[0] == hashes[1].split("+")[0]
    assert hashes[0].split("+")[1] != hashes[1].split("+")[1]


@pytest.mark.parametrize(
    "text", ["[a]", "style: [a]", "response: a", "response: []", "response: [1]", "a: [", "", "2026-13-45"]
)
def test_criteria_that_cant_be(workplace, text):
    (workplace / "criteria.yaml").write_text(text)
    with pytest.raises(SettingsError, match=r"--criteria criteria.yaml.*expected lists of texts under instruction"):
        reflected(workplace, [A], FAKE, criteria="criteria.yaml")


def test_prompts_of_ones_own(workplace):
    (workplace / "one.jinja").write_text("1 {{ instruction }} {{ input }} {{ form }}")
    (workplace / "two.jinja").write_text("2 {{ instruction }} {{ input }} {{ response }} {{ form }}")
    fake = [line("^1 Ask A", first("B?", "b")), line(r"^2 B\?", first(None, "c"))]
    run = reflected(workplace, [A], fake, prompt="one.jinja", response_prompt="two.jinja")
    assert only(run)[0] == {**A, "instruction": "B?", "output": "c"}
    (workplace / "one.jinja").write_text("1 {{ instruction }} {{ response }}")
    with pytest.raises(SettingsError, match=r"--response-prompt one.jinja doesn't use form"):
        reflected(workplace, [A], fake, response_prompt="one.jinja")


def test_counts_add_up(workplace):
    rows = [A, alpaca("Ask B", "Reply B"), alpaca("Ask C", "Reply C"), alpaca("", "Reply D")]
    fake = [*FAKE, line("Ask B", "nothing")]
    run = reflected(workplace, rows, fake)
    result = run.result
    assert (result["rows"], result["kept"], result["changed"], result["dropped"], result["failed"]) == (4, 3, 1, 0, 1)
    assert result["kept_by"] == {"empty": 1, "failed": 1, "fallback": 1}
    assert result["statuses"] == {"ok": 1, "partial": 0, "fallback": 1, "unparsed": 0, "refused": 0, "truncated": 0}
    assert read_rows(run.path / "rows.jsonl")[1:] == rows[1:]
    lines = [json.loads(line) for line in (run.path / "rows.lineage.jsonl").read_text().splitlines()]
    assert [record["lineage"][0]["reason"] for record in lines] == [
        "reflected: instruction ok, response ok",
        "fallback: instruction unparsed, response unparsed",
    ]


def test_a_plan_counts_both_stages(workplace):
    run = reflected(workplace, [A, alpaca("Ask B", "Reply B")], FAKE, plan=True)
    assert (run.result["calls"], run.result["expected"]["cost"]) == (4, None)
    assert run.result["high"]["completion_tokens"] == 4 * 2048
    assert run.result["low"]["completion_tokens"] < run.result["expected"]["completion_tokens"] < 4 * 160


def test_no_input_of_real_rows_is_lost(workplace):
    """The first 400 rows of Dolly, whose contexts are the inputs; the fake repeats what it is shown."""
    rows = json.loads(real("instructions", "dolly_3k.json").read_text("utf-8"))[:400]
    (workplace / "rows.json").write_text(json.dumps(rows))
    shown = r"=== \w+ instruction ===\n(.*?)\n\n=== \w+ (?:input|response) ===.*<new_instruction>"
    reply = "<new_instruction>\nNew: \\1\n</new_instruction>\n<new_response>\nNew.\n</new_response>"
    write_rows(workplace / "fake.jsonl", [line(shown, reply, expand=True)])
    run = reflect(ReflectSettings(rows=("rows.json",), oracle="fake:fake.jsonl", stage="instruction"))
    assert run.result["changed"] == len(rows)
    written = json.loads((run.path / "rows.json").read_text("utf-8"))
    inputs = [row["input"] for row in rows]
    assert sum(map(bool, inputs)) > 20
    assert [row["input"] for row in written] == inputs
    assert [row["instruction"] for row in written] == [f"New: {row['instruction'].strip()}" for row in rows]


@pytest.mark.parametrize(
    ("stage", "given", "message"),
    [
        (
            "response",
            {"prompt": "a.jinja"},
            "--prompt a.jinja is for the instruction stage; leave it out with --stage response",
        ),
        (
            "instruction",
            {"response_prompt": "a.jinja"},
            "--response-prompt a.jinja is for the response stage; leave it out with --stage instruction",
        ),
    ],
)
def test_a_prompt_for_the_other_stage_is_refused(workplace, stage, given, message):
    (workplace / "a.jinja").write_text("{{ response }}\n{{ form }}")
    with pytest.raises(SettingsError, match=f"^{message}$"):
        reflected(workplace, [A], FAKE, stage=stage, **given)
