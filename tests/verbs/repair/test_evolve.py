"""`repair evolve`: six operations, rounds, the paper's four rules of elimination, pairs that are never mixed."""

import json
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tools import alpaca, examples, read_rows, real, write_rows

from tunescope.errors import SettingsError, TunescopeError
from tunescope.rows import open_rows
from tunescope.verbs.repair.elimination import COPIED, SHORT
from tunescope.verbs.repair.evolve import DATA, OPERATIONS, EvolveSettings, evolve
from tunescope.verbs.why import WhySettings, why

MARKS = {
    "constraints": "one more requirement",
    "deepen": "goes deeper",
    "concretise": "names particular things",
    "reasoning": "several steps of reasoning",
    "complicate": "brings data to work on",
    "breadth": "from the same field",
}
"""A few words of our prompt that only one operation has."""
EVOLVING = "the instruction that comes out"
CHECKING = "Compare two instructions"


def line(pattern, reply, **more):
    return {"pattern": pattern, "reply": reply, **more}


def new(instruction):
    return f"<new_instruction>\n{instruction}\n</new_instruction>"


def verdict(word):
    return f"<verdict>\n{word}\n</verdict>"


UNLIKE = line(CHECKING, verdict("not equal"))
A = alpaca("Ask A", "Reply A", topic="a")
FAKE = [
    line(f"Ask A.*{EVOLVING}", new("Harder A?")),
    line(f"{CHECKING}.* first ===\nAsk A\n.* second ===\nHarder A", verdict("Not equal.")),
    line("^Harder A[?]$", " Better reply A\n"),
]


def evolved(folder, rows, fake, **settings):
    write_rows(folder / "rows.jsonl", rows)
    write_rows(folder / "fake.jsonl", fake)
    return evolve(EvolveSettings(rows=("rows.jsonl",), oracle="fake:fake.jsonl", **settings))


def only(run):
    """Return the one row written, and its line in the table."""
    (written,) = read_rows(run.path / "rows.jsonl")
    (row,) = run.tables["repairs"].to_pylist()
    return written, row


def test_one_round_is_three_calls(workplace):
    run = evolved(workplace, [A], FAKE, operations=("deepen",))
    written, row = only(run)
    assert written == {**A, "instruction": "Harder A?", "output": "Better reply A"}
    assert (row["action"], row["status"], row["reason"]) == ("changed", "ok", "evolved: 1 deepen held")
    assert (row["operations"], row["outcomes"], row["rounds_held"]) == ("deepen", "held", 1)
    assert [row[f"eliminated_{rule}"] for rule in ("equal", "sorry", "empty", "copied")] == [0, 0, 0, 0]
    assert [row[name] for name in ("instruction_words_before", "instruction_words_after")] == [2, 2]
    assert [row[name] for name in ("response_words_before", "response_words_after")] == [2, 3]
    assert len(set(row["call_ids"])) == 3
    (after,) = open_rows([str(run.path / "rows.jsonl")])
    (step,) = after.lineage
    assert step.old == {"instruction": "Ask A", "response": "Reply A"}
    assert step.notes == {"1 deepen held": "Ask A"}
    assert len(step.prompt_hash.split("+")) == 3
    history = why(WhySettings(row_id=after.id)).result
    assert history["lineage"][0]["notes"] == {"1 deepen held": "Ask A"}


def test_a_response_that_no_file_can_hold_is_none(workplace):
    """Half of a surrogate pair, which JSON can name: the row fails alone instead of the whole run, for good."""
    fake = [*FAKE[:2], line("^Harder A[?]$", "Better \ud83d reply")]
    written, row = only(evolved(workplace, [A], fake, operations=("deepen",)))
    assert written == A
    assert row["reason"] == "fallback: 1 deepen unparsed (the response)"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_says_what_is_wanted(workplace, operation):
    """And nothing that another one says."""
    others = "".join(f"(?!.*{mark})" for name, mark in MARKS.items() if name != operation)
    fake = [line(f"^(?=.*Ask A){others}.*{MARKS[operation]}", new("B?"))]
    run = evolved(workplace, [A], [*fake, UNLIKE, line("^B[?]$", "b")], operations=(operation,))
    assert only(run)[0] == {**A, "instruction": "B?", "output": "b"}
    assert run.result["operations"] == {
        operation: {
            "tried": 1,
            "held": 1,
            **dict.fromkeys(("equal", "sorry", "empty", "copied", "unparsed", "refused", "truncated", "failed"), 0),
        }
    }


def test_complicate_brings_one_of_the_papers_six_kinds_of_data(workplace):
    rows = [alpaca(f"Ask {i}", "Reply") for i in range(60)]
    fake = [*(line(f"{kind}, written out in full", new(kind)) for kind in DATA), UNLIKE, line("^", "fine")]
    run = evolved(workplace, rows, fake, operations=("complicate",))
    drawn = Counter(row["instruction"] for row in read_rows(run.path / "rows.jsonl"))
    assert set(drawn) == {*DATA}
    assert min(drawn.values()) >= 3


SIX = "task that a person can understand"
"""A run of `COPIED` words in our prompt; five of them are no copy."""
LONG_SORRY = "I'm sorry to say that it rained. " + "And then it rained again and again. " * 12


@pytest.mark.parametrize(
    ("evolution", "check", "response", "reason", "calls"),
    [
        ("Harder A?", "equal", "b", "equal", 2),
        ("Harder A?", "Equal.", "b", "equal", 2),
        ("  Ask\nA ", "not equal", "b", "equal (word for word)", 1),
        ("Harder A?", "not equal", "I'm sorry, I don't know.", "sorry (5 words)", 3),
        ("Harder A?", "not equal", "Not so, SORRY!", "sorry (3 words)", 3),
        ("Harder A?", "not equal", "...!?", "empty", 3),
        ("Harder A?", "not equal", "", "empty", 3),
        ("Harder A?", "not equal", "It is, and so are you.", "empty", 3),
        ("Mind the #Given Prompt#: B?", "not equal", "b", "copied ('given prompt')", 1),
        ("The rewritten instruction is B?", "not equal", "b", "copied ('rewritten instruction')", 1),
        ("Is B one that a person can understand?", "not equal", "b", "held", 3),
        ("Is B a task that a person can understand?", "not equal", "b", f"copied ('{SIX}')", 1),
        ("Say <new_instruction> B", "not equal", "b", "copied ('new_instruction')", 1),
        ("Harder A?", "similar", "b", "unparsed (the verdict)", 2),
        ("Harder A?", "not equal, or equal", "b", "unparsed (the verdict)", 2),
        ("Harder A?", "not equal", "I can't help with that.", "refused (the response)", 3),
        ("N/A", "not equal", "b", "unparsed", 1),
    ],
)
def test_elimination(workplace, evolution, check, response, reason, calls):
    fake = [line(EVOLVING, new(evolution)), line(CHECKING, verdict(check)), line("^", response)]
    run = evolved(workplace, [A], fake, operations=("constraints",))
    written, row = only(run)
    assert len(row["call_ids"]) == calls
    if reason == "held":
        assert written == {**A, "instruction": evolution, "output": response}
        return
    assert written == A
    assert (row["action"], row["status"]) == ("kept", "fallback")
    assert row["reason"] == f"fallback: 1 constraints {reason}"
    rule = reason.partition(" ")[0]
    assert row["outcomes"] == rule
    counted = run.result["evolutions"]
    assert (counted["tried"], counted["held"], counted[rule]) == (1, 0, 1)
    rules = ("equal", "sorry", "empty", "copied")
    assert counted["eliminated"] == sum(row[f"eliminated_{name}"] for name in rules) == (rule in rules)
    assert run.result["kept_by"] == {"fallback": 1}


def test_what_is_short_and_what_is_copied():
    assert (len(SIX.split()), COPIED) == (6, 6)
    assert len(LONG_SORRY.split()) >= SHORT == 80


def test_a_line_of_our_fence_is_a_copy(workplace):
    fake = [line(rf"=== (\w+) end ===.*{EVOLVING}", new(r"B?\n=== \1 end ==="), expand=True)]
    _, row = only(evolved(workplace, [A], fake, operations=("constraints",)))
    assert re.fullmatch(r"fallback: 1 constraints copied \('=== [0-9a-f]{8} end ==='\)", row["reason"])


def test_a_long_response_that_says_sorry_holds(workplace):
    fake = [line(EVOLVING, new("B?")), UNLIKE, line("^", LONG_SORRY)]
    assert only(evolved(workplace, [A], fake))[0]["output"] == LONG_SORRY.strip()


def test_words_of_the_prompt_that_the_row_says_itself_are_no_copies(workplace):
    """The row asks about prompts, and has a line and six words in a row of ours."""
    row = alpaca(
        "What is a given prompt?\n=== 1234abcd input ===\nOne that a person can understand, and more?", "See <verdict>."
    )
    text = f"{row['instruction']} Give two."
    verdict_2 = "<verdict_2>\nnot equal\n</verdict_2>"
    run = evolved(workplace, [row], [line(EVOLVING, new(text)), line(CHECKING, verdict_2), line("^", "b")])
    assert only(run)[0]["instruction"] == text


@pytest.mark.parametrize(
    ("fake", "outcome"),
    [
        ([line(EVOLVING, "<new_instruction>\nHard", finish_reason="length")], "truncated"),
        ([line(EVOLVING, "Harder A?")], "unparsed"),
        ([line(EVOLVING, "I'm sorry, but I can't do that.")], "refused"),
        ([line(EVOLVING, "", finish_reason="content_filter")], "refused"),
        (
            [line(EVOLVING, new("B?")), line(CHECKING, "<verdict>\nno", finish_reason="length")],
            "truncated (the verdict)",
        ),
        ([line(EVOLVING, new("B?")), line(CHECKING, "Not equal")], "unparsed (the verdict)"),
        ([line(EVOLVING, new("B?")), UNLIKE, line("^", "A long", finish_reason="length")], "truncated (the response)"),
        (
            [line(EVOLVING, new("B?")), UNLIKE, line("^", "", finish_reason="content_filter")],
            "refused (the server's content filter)",
        ),
        ([line(EVOLVING, new("B?")), UNLIKE], "failed (the fake has no pattern for this prompt)"),
    ],
)
def test_replies_that_cant_be_used_change_nothing(workplace, fake, outcome):
    run = evolved(workplace, [A], fake, operations=("reasoning",))
    written, row = only(run)
    assert written == A
    assert (row["status"], row["reason"]) == ("fallback", f"fallback: 1 reasoning {outcome}")
    counted = run.result["operations"]["reasoning"]
    assert counted == {**dict.fromkeys(counted, 0), "tried": 1, outcome.partition(" ")[0]: 1}
    assert run.result["evolutions"]["eliminated"] == 0


def test_rounds_build_on_the_last_that_held(workplace):
    """Round 2 is eliminated, round 3 tries another operation on the same instruction."""
    fake = [
        line(f"Ask A.*{EVOLVING}", new("First A?")),
        line(f"{MARKS['deepen']}.*First A|First A.*{MARKS['deepen']}", new("the rewritten prompt")),
        line(f"First A.*{EVOLVING}", new("Second A?")),
        UNLIKE,
        line(r"^(\w+) A\?$", r"\1 reply", expand=True),
    ]
    seed = next(seed for seed in range(100) if _draws(workplace, fake, seed) == "reasoning, deepen, reasoning")
    run = evolved(workplace, [A], fake, rounds=3, operations=("deepen", "reasoning"), seed=seed)
    written, row = only(run)
    assert written == {**A, "instruction": "Second A?", "output": "Second reply"}
    assert row["status"] == "partial"
    assert row["reason"] == "partial: 1 reasoning held, 2 deepen copied ('rewritten prompt'), 3 reasoning held"
    assert (row["rounds_held"], row["eliminated_copied"], len(row["call_ids"])) == (2, 1, 7)
    (after,) = open_rows([str(run.path / "rows.jsonl")])
    assert after.lineage[0].old == {"instruction": "Ask A", "response": "Reply A"}
    assert after.lineage[0].notes == {
        "1 reasoning held": "Ask A",
        "2 deepen copied": "First A?",
        "3 reasoning held": "First A?",
    }
    assert run.result["rounds_held"] == {"0": 0, "1": 0, "2": 1, "3": 0}


def _draws(workplace, fake, seed):
    run = evolved(workplace, [A], fake, rounds=3, operations=("deepen", "reasoning"), seed=seed)
    return only(run)[1]["operations"]


def test_an_operation_that_failed_isnt_tried_again_on_the_same_instruction(workplace):
    """At temperature 0 the same prompt has the same reply."""
    run = evolved(workplace, [A], [line(EVOLVING, "nothing")], rounds=4, operations=("deepen", "reasoning"))
    written, row = only(run)
    assert written == A
    assert sorted(row["operations"].split(", ")) == ["deepen", "reasoning"]
    assert row["reason"].endswith("unparsed, then no operation was left to try")
    assert len(row["call_ids"]) == 2


def test_a_row_that_fails_midway_keeps_its_last_pair(workplace):
    """And asks no more, although a third round was wanted."""
    fake = [*FAKE, line(f"Harder A.*{EVOLVING}", new("Hardest A?")), UNLIKE]
    run = evolved(workplace, [A], fake, rounds=3, operations=("deepen", "reasoning"))
    written, row = only(run)
    assert written == {**A, "instruction": "Harder A?", "output": "Better reply A"}
    assert row["status"] == "partial"
    first, second = row["operations"].split(", ")
    assert row["reason"] == f"partial: 1 {first} held, 2 {second} failed (the fake has no pattern for this prompt)"
    assert (len(row["call_ids"]), run.result["failed"]) == (5, 0)


def test_a_row_with_an_input_stays_with_it_and_gets_no_breadth(workplace):
    rows = [alpaca(f"Ask {i}", "Reply", input="Given") for i in range(40)]
    fake = [
        line(MARKS["breadth"], "never asked"),
        line(rf"Ask (\d+)\n.*Given.*the input above.*{EVOLVING}", new("New \\1?\n\nGiven"), expand=True),
        line(rf"{CHECKING}.* input below both ===\nGiven", verdict("not equal")),
        line(r"^New \d+\?\n\nGiven$", "fine"),
    ]
    run = evolved(workplace, rows, fake)
    assert read_rows(run.path / "rows.jsonl") == [
        {**row, "instruction": f"New {i}?", "output": "fine"} for i, row in enumerate(rows)
    ]
    counted = run.result["operations"]
    assert counted["breadth"]["tried"] == 0
    assert min(counts["tried"] for name, counts in counted.items() if name != "breadth") >= 3


def test_breadth_alone_keeps_rows_with_an_input(workplace):
    with_input = alpaca("Ask B", "Reply B", input="Given B")
    run = evolved(workplace, [A, with_input], [*FAKE, UNLIKE], operations=("breadth",))
    reasons = run.tables["repairs"]["reason"].to_pylist()
    assert reasons == [
        "evolved: 1 breadth held",
        "input: breadth alone isn't applicable to a row with an input; add other --operations",
    ]
    assert read_rows(run.path / "rows.jsonl")[1] == with_input
    assert (run.result["kept_by"], run.result["failed"], run.result["share_held"]["n"]) == ({"input": 1}, 0, 1)
    alone = evolved(workplace, [with_input], FAKE, operations=("breadth",))
    assert (alone.result["kept"], alone.result["tokens"]) == (1, {"prompt": 0, "completion": 0})
    planned = evolved(workplace, [with_input], FAKE, operations=("breadth",), plan=True)
    assert planned.result["calls"] == 0


def test_a_system_message_is_in_every_prompt_and_stays(workplace):
    messages = [
        {"role": "system", "content": "Be kind"},
        {"role": "user", "content": "Ask A"},
        {"role": "assistant", "content": "Reply A"},
    ]
    fake = [line(f"system message ===\nBe kind.*{EVOLVING}", new("B?")), UNLIKE, line("^Be kind\n\nB[?]$", "b")]
    written, _ = only(evolved(workplace, [{"messages": messages}], fake))
    assert [m["content"] for m in written["messages"]] == ["Be kind", "B?", "b"]


def test_preambles_are_stripped_from_instructions_and_counted(workplace):
    """A response is whatever the oracle answers; the row may well want an announcement."""
    answer = "Here is a short version of the answer:\nb"
    fake = [line(EVOLVING, new("Here's the improved instruction:\nB?")), UNLIKE, line("^B[?]$", answer)]
    run = evolved(workplace, [A], fake)
    written, row = only(run)
    assert (written["instruction"], written["output"]) == ("B?", answer)
    assert (row["preambles"], run.result["preambles"]) == (1, 1)


def test_a_row_that_quotes_the_markers(workplace):
    row = alpaca("What does <new_instruction> mean?", "A tag.")
    reply = "<new_instruction_2>\nAnd </new_instruction>?\n</new_instruction_2>"
    run = evolved(workplace, [row], [line("<new_instruction_2>", reply), UNLIKE, line("^", "b")])
    assert only(run)[0]["instruction"] == "And </new_instruction>?"


def mixed(number):
    """Return rows, and a fake for them: some evolve, some are eliminated by each rule, some have no reply."""
    rows = [alpaca(f"Ask {i}", f"Reply {i}", input="Given" if i % 4 == 0 else "", n=i) for i in range(number)]
    fake = [
        line(rf"Ask \d*[05]\b.*{EVOLVING}", "no section"),
        line(rf"Ask \d*1\b.*{EVOLVING}", new("the given prompt")),
        line(rf"=== \w+ instruction ===\n([^\n]*).*{EVOLVING}", new(r"\1 and more"), expand=True),
        line(rf"{CHECKING}.*Ask \d*2\b", verdict("equal")),
        UNLIKE,
        line(r"^Ask \d*3\b", "Sorry."),
        line(r"^Ask \d*4\b", "..."),
        line(r"^Ask (\d+)", r"Answer \1", expand=True),
    ]
    return rows, fake


def test_counts_add_up(workplace):
    rows, fake = mixed(60)
    run = evolved(workplace, rows, fake, rounds=2)
    result, table = run.result, run.tables["repairs"].to_pylist()
    assert (result["rows"], result["kept"] + result["changed"], result["dropped"]) == (60, 60, 0)
    counted = result["evolutions"]
    assert counted == {
        **{"tried": 120, "held": 48, "equal": 12, "sorry": 12, "empty": 12, "copied": 12, "eliminated": 48},
        **{"unparsed": 24, "refused": 0, "truncated": 0, "failed": 0},
    }
    assert {name: sum(c[name] for c in result["operations"].values()) for name in counted if name != "eliminated"} == {
        name: count for name, count in counted.items() if name != "eliminated"
    }
    assert sum(row["rounds_held"] for row in table) == counted["held"]
    assert sum(len(row["operations"].split(", ")) for row in table) == counted["tried"]
    assert result["statuses"] == {"ok": 24, "partial": 0, "fallback": 36, "unparsed": 0, "refused": 0, "truncated": 0}
    assert result["rounds_held"] == {"0": 36, "1": 0, "2": 24}
    assert (result["share_held"]["share"], result["share_held"]["n"]) == (0.4, 60)
    assert run.view.sentences[1] == (
        "120 evolutions = 48 held + 48 eliminated (equal 12, sorry 12, empty 12, copied 12) + "
        "24 without a reply that can be used."
    )
    written = read_rows(run.path / "rows.jsonl")
    assert [w["instruction"] for w in written] == [
        f"{row['instruction']} and more and more" if row["n"] % 10 > 5 else row["instruction"] for row in rows
    ]
    for new_row, row in zip(written, rows, strict=True):  # a pair is new as a whole, or old as a whole
        assert (new_row["instruction"] == row["instruction"]) == (new_row["output"] == row["output"])
    assert [w["input"] for w in written] == [row["input"] for row in rows]


@settings(max_examples=examples(10))
@given(order=st.permutations(range(30)), concurrency=st.integers(1, 64))
def test_the_order_of_rows_changes_nothing(tmp_path_factory, order, concurrency):
    """Each row's operations, outcomes and texts are its own."""
    rows, fake = mixed(30)
    runs = []
    for name, ordered in (("calm", rows), ("shuffled", [rows[i] for i in order])):
        folder = tmp_path_factory.mktemp(name)
        write_rows(folder / "rows.jsonl", ordered)
        write_rows(folder / "fake.jsonl", fake)
        run = evolve(
            EvolveSettings(
                rows=(str(folder / "rows.jsonl"),),
                oracle=f"fake:{folder / 'fake.jsonl'}",
                rounds=3,
                concurrency=concurrency,
                out=str(folder / "run"),
            )
        )
        own = ("row_id", "status", "reason", "new_row_id", "call_ids", "operations", "outcomes", "rounds_held")
        table = run.tables["repairs"].select(own).to_pylist()
        written = read_rows(run.path / "rows.jsonl")
        runs.append({row["n"]: (row, cells) for row, cells in zip(written, table, strict=True)})
    assert runs[0] == runs[1]


def test_seeds_draw_other_operations_and_all_of_them(workplace):
    rows = [alpaca(f"Ask {i}", "Reply") for i in range(120)]
    fake = [line(EVOLVING, "nothing")]
    runs = [evolved(workplace, rows, fake, seed=seed, out=f"seed{n}") for n, seed in enumerate((0, 0, 1))]
    drawn = [run.tables["repairs"]["operations"].to_pylist() for run in runs]
    assert drawn[0] == drawn[1] != drawn[2]
    for names in (drawn[0], drawn[2]):
        counts = Counter(names)
        assert set(counts) == {*OPERATIONS}
        assert 8 <= min(counts.values()) <= max(counts.values()) <= 35  # 20 each
    fewer = evolved(workplace, rows, fake, operations=("deepen", "breadth")).tables["repairs"]["operations"].to_pylist()
    assert all(few == all_ for few, all_ in zip(fewer, drawn[0], strict=True) if all_ in ("deepen", "breadth"))


def test_a_plan_counts_three_calls_per_round(workplace):
    rows = [alpaca("Ask A", "Reply A"), alpaca("Ask B", "Reply B", input="Given B"), alpaca("", "Reply C")]
    for rounds in (1, 4):
        run = evolved(workplace, rows, [line("nothing", "")], plan=True, rounds=rounds)
        assert (run.result["rows"], run.result["asked"], run.result["calls"]) == (3, 2, 2 * 3 * rounds)
        assert run.result["high"]["completion_tokens"] == 2 * 3 * rounds * 2048
        assert run.result["low"]["completion_tokens"] < run.result["expected"]["completion_tokens"]
    assert not list(workplace.rglob("journal.sqlite"))


def test_prompts_of_ones_own(workplace):
    (workplace / "one.jinja").write_text("1 {{ operation }} {{ instruction }} {{ form }}")
    (workplace / "two.jinja").write_text("2 {{ instruction }} {{ new_instruction }} {{ form }}")
    (workplace / "three.jinja").write_text("3 {{ instruction }}")
    fake = [
        line("^1 deepen Ask A", new("B?")),
        line(r"^2 Ask A B\?", verdict("not equal")),
        line(r"^3 B\?$", "b"),
    ]
    files = {"prompt": "one.jinja", "check_prompt": "two.jinja", "response_prompt": "three.jinja"}
    run = evolved(workplace, [A], fake, operations=("deepen",), **files)
    assert only(run)[0] == {**A, "instruction": "B?", "output": "b"}
    with pytest.raises(SettingsError, match=r"--prompt three.jinja doesn't use form"):
        evolved(workplace, [A], fake, prompt="three.jinja")
    with pytest.raises(SettingsError, match=r"--check-prompt one.jinja uses operation"):
        evolved(workplace, [A], fake, check_prompt="one.jinja")
    with pytest.raises(SettingsError, match=r"--response-prompt one.jinja uses form, operation"):
        evolved(workplace, [A], fake, response_prompt="one.jinja")


def test_no_answer_at_all_is_an_error(workplace):
    with pytest.raises(TunescopeError, match=r"answered for none of 1 rows: the fake has no pattern"):
        evolved(workplace, [A], [line("nothing", "")])


def test_equal_rows_are_drawn_for_each_by_itself(workplace):
    """Exact repeats have ids of their own, so they may evolve into different rows."""
    fake = [*(line(mark, new(f"B {name}?")) for name, mark in MARKS.items()), UNLIKE, line("^", "b")]
    run = evolved(workplace, [A] * 40, fake)
    assert len({row["instruction"] for row in read_rows(run.path / "rows.jsonl")}) == len(OPERATIONS)


@pytest.mark.slow
def test_no_input_of_real_rows_is_lost(workplace):
    """The first 400 rows of Dolly, whose contexts are the inputs; the fake adds a few words to what it is shown."""
    rows = json.loads(real("instructions", "dolly_3k.json").read_text("utf-8"))[:400]
    (workplace / "rows.json").write_text(json.dumps(rows))
    shown = rf"=== \w+ instruction ===\n(.*?)\n\n=== \w+ (?:input|end) ===.*{EVOLVING}"
    fake = [line(shown, new("More: \\1"), expand=True), UNLIKE, line("^", "New.")]
    write_rows(workplace / "fake.jsonl", fake)
    run = evolve(EvolveSettings(rows=("rows.json",), oracle="fake:fake.jsonl", rounds=2))
    assert run.result["rows"] == len(rows) == run.result["changed"]
    assert run.result["evolutions"]["held"] == 2 * len(rows)
    written = json.loads((run.path / "rows.json").read_text("utf-8"))
    assert [row["input"] for row in written] == [row["input"] for row in rows]
    assert [row["instruction"] for row in written] == [f"More: More: {row['instruction'].strip()}" for row in rows]
