"""What trainers supervise beside `tune`: the committed labels, TRL's own anew, and each kind of difference planted."""

from __future__ import annotations

import json
import sys
from functools import cache

import pytest

pytest.importorskip("transformers")

from tests.tools import ROOT

FOLDER = ROOT / "benchmarks/trainer_masks"
sys.path.insert(0, str(FOLDER))
import compare  # noqa: E402
import prepare  # noqa: E402
from kinds import KINDS, Reader, Sequence_, differences  # noqa: E402

RESULTS = json.loads(compare.RESULTS.read_text("utf-8"))
TRAINERS = {"trl", "axolotl", "llamafactory", "unsloth"}
EMBEDDED = [case for case in RESULTS["cases"] if case["tokenizer"] != "stand-in"]
CHECKED = [*EMBEDDED, *(case for case in RESULTS["cases"] if case["template"] in ("gptoss", "llama3", "phi3", "qwen3"))]


@cache
def lines():
    return compare.read_labels()


@pytest.mark.parametrize("case", CHECKED, ids=lambda case: case["case"])
def test_tune_beside_the_labels_of_all_trainers(case):
    """What `tune` supervises now differs from each trainer's committed labels as the results say."""
    now = [*compare.compare([case], lines())]
    assert now == [each for each in RESULTS["rows"] if each["case"] == case["case"]]
    assert {each["way"].split(" ")[0] for each in now} == TRAINERS


def test_every_case_is_there_for_every_trainer():
    expected = {(case["case"], row) for case in RESULTS["cases"] for row in case["rows"]}
    for trainer in TRAINERS:
        for way in RESULTS["trainers"][trainer]["ways"]:
            rows = [each for each in RESULTS["rows"] if each["way"] == f"{trainer} {way}"]
            assert {(each["case"], each["row"]) for each in rows} == expected
            assert len(rows) == len(expected)


def test_what_is_meant_for_answers_mostly_is():
    """On one turn under ChatML the four read the same ids, and supervise the answer."""
    line = next(each for each in lines() if (each["case"], each["row"]) == ("smollm2-135m qwen2_5", "one turn"))
    case = compare.open_case(next(case for case in EMBEDDED if case["case"] == line["case"]))
    records = {record["way"]: record for record in compare.unpack(line)}
    for trainer, way in compare.SHOWN.items():
        record = records[f"{trainer} {way}"]
        answer = [i for i in record["labels"] if i != compare.IGNORED]
        assert case.masked.decode(answer).strip().startswith("It is Oslo.")


@pytest.mark.parametrize("way", ["all", "assistant_only", "completion"])
def test_trl_makes_the_same_labels_anew(tmp_path, way):
    pytest.importorskip("trl")
    import dump_trl

    case = prepare.stand_in_case(tmp_path, "qwen2_5")
    conversations = prepare.read_conversations()
    # a data set's columns are those of its first row, so rows with tools have a data set of their own
    made = [dump_trl.prepare(tmp_path, case, [conversations[name]], way)[0] for name in case["rows"]]
    known = {
        line["row"]: next(record for record in compare.unpack(line) if record["way"] == f"trl {way}")
        for line in lines()
        if line["case"] == case["case"]
    }
    for name, now in zip(case["rows"], made, strict=True):
        assert now == {"ids": known[name]["ids"], "labels": known[name]["labels"]}


def test_the_page_has_the_tables():
    text = compare.PAGE.read_text("utf-8")
    for name, table in compare.tables(RESULTS).items():
        assert f"<!-- {name} -->\n{table}\n<!-- /{name} -->" in text


# ---- kinds, on letters: each character is a token


WORDS = {"<": "<end>", "^": "<bos>"}
READER = Reader(lambda ids: "".join(WORDS.get(chr(i), chr(i)) for i in ids), frozenset({ord("<")}), ord("^"), "A:")
ROW = {
    "messages": [
        {"role": "system", "content": "sys"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
        {"role": "assistant", "reasoning_content": "hmm", "content": "four"},
    ]
}
TEXT = "^S:sys\nU:one\nA:two<\nU:three\nA:(hmm)four<"


def supervise(*parts, text=TEXT):
    """Supervise stretches of a text, each at its last place."""
    flags = [False] * len(text)
    for part in parts:
        begin = text.rindex(part)
        flags[begin : begin + len(part)] = [True] * len(part)
    return Sequence_(tuple(map(ord, text)), tuple(flags))


OURS = supervise("two<", "(hmm)four<")
PLANTED = {
    "nothing_supervised": supervise(),
    "everything_supervised": supervise(TEXT),
    "system_supervised": supervise("sys", "two<", "(hmm)four<"),
    "user_supervised": supervise("two<", "three", "(hmm)four<"),
    "header_supervised": supervise("two<", "A:(hmm)four<"),
    "line_break_supervised": supervise("two<\n", "(hmm)four<"),
    "answer_not_supervised": supervise("two<", "(hmm)", "<"),
    "earlier_turn_not_supervised": supervise("<\nU", "(hmm)four<"),
    "first_token_lost": supervise("wo<", "(hmm)four<"),
    "last_token_lost": supervise("two<", "(hmm)fou", "<"),
    "thinking_not_supervised": supervise("two<", "(", ")four<"),
    "end_not_supervised": supervise("two<", "(hmm)four"),
    "markup_not_supervised": supervise("two<", "hmm", "four<"),
    "double_bos": supervise("two<", "(hmm)four<", text="^" + TEXT),
    "bos_missing": supervise("two<", "(hmm)four<", text=TEXT[1:]),
    "beginning_differs": supervise("two<", "(hmm)four<", text=TEXT.replace("^", "^S:be kind\n")),
    "message_dropped": supervise("two<", "(hmm)four<", text=TEXT.replace("three", "")),
    "thinking_dropped": supervise("two<", "four<", text=TEXT.replace("(hmm)", "")),
    "cut_otherwise": supervise("two<", "(hmm)four", text=TEXT[:-1]),
    "trailing_supervised": supervise("two<", "(hmm)four<^", text=TEXT + "^"),
    "rendered_otherwise": supervise("two<", "[hmm]four<", text=TEXT.replace("(hmm)", "[hmm]")),
}


def test_the_same_is_no_difference():
    assert differences(READER, ROW, [OURS], OURS) == []
    longer = supervise("two<", "(hmm)four<", text=TEXT + "\n")
    assert differences(READER, ROW, [OURS], longer) == []
    assert differences(READER, ROW, [], supervise()) == []


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_difference_is_named(kind):
    found = differences(READER, ROW, [OURS], PLANTED[kind])
    assert kind in found
    assert set(found) <= set(KINDS)


def test_it_alone():
    alone = {kind: differences(READER, ROW, [OURS], other) for kind, other in PLANTED.items()}
    more = {kind: found for kind, found in alone.items() if found != [kind]}
    assert more == {
        "earlier_turn_not_supervised": ["header_supervised", "line_break_supervised", "earlier_turn_not_supervised"]
    }


def test_what_tune_leaves_out_and_what_it_splits():
    assert differences(READER, ROW, [], OURS) == ["we_refuse"]
    assert differences(READER, ROW, [OURS, OURS], OURS) == ["one_sequence"]
