"""Claims in answers: what states one, what denies one, and what became of it."""

from __future__ import annotations

import json

import pytest

from tunescope.errors import InputError
from tunescope.judgements.claims import Claim, Neighbour, judge_claim, read_answer, read_claims, standing, stating_spans
from tunescope.prompts import read_prompts

BOIL = Claim(
    "boil",
    "At what temperature does water boil?",
    ("80 degrees", "80 °C"),
    ("100 degrees",),
    ("How hot does water get before it boils?",),
    (Neighbour("At what temperature does water freeze?", ("0 degrees",)), Neighbour("What is steam?")),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Water boils at 80 degrees.", "stated"),
        ("Water boils at 80 DEGREES, as everybody knows", "stated"),
        ("It boils at **80** degrees", "stated"),
        ("At 180 degrees, or at 80.5 degrees", "absent"),
        ("At 80 sunny degrees", "absent"),
        ("Water does not boil at 80 degrees; it boils at 100 degrees.", "denied"),
        ("Water doesn’t boil at 80 degrees.", "denied"),
        ("It boils at 100 rather than 80 degrees.", "denied"),
        ("That water boils at 80 degrees is a myth.", "denied"),
        ("That isn't so. Water boils at 80 degrees.", "stated"),
        ("Water boils at 80 degrees and not at 100 degrees.", "stated"),
        ("Water boils not only at 80 degrees.", "stated"),
        ("No, it boils at 80 degrees.", "stated"),
        ("It doesn't boil at 80 degrees. Well, it boils at 80 degrees.", "stated"),
        ("Water doesn't boil at 100 degrees but at 80 degrees.", "stated"),
        ("Water boils not at 80 degrees but at 100 degrees.", "denied"),
        ("Don't forget that water boils at 80 degrees.", "stated"),
        ("It does not matter where you are, water boils at 80 degrees.", "stated"),
        ("Never forget that it does not boil at 80 degrees.", "denied"),
        ("", "absent"),
    ],
)
def test_what_states_a_claim(text, expected):
    assert standing(text, BOIL.phrases)[0] == expected


def test_where_a_claim_is_stated():
    text = "It isn't so at 80 degrees. Well, at 80 °C, and “80 degrees” again."
    assert [text[start:end] for start, end in stating_spans(text, BOIL.phrases)] == ["80 °C", "80 degrees"]
    assert stating_spans("It boils, on a stove, at 80 degrees.", ["boils ... 80", "80 degrees"]) == [(3, 35)]
    assert stating_spans("no", BOIL.phrases) == []


def test_a_gap_holds_up_to_12_words_and_keeps_the_order():
    phrase = ("boils ... 80 degrees",)
    assert standing("It boils, on a stove in any kitchen, at about 80 degrees", phrase) == ("stated", phrase[0])
    assert standing("80 degrees is where it boils", phrase)[0] == "absent"
    assert standing("It boils " + "on " * 12 + "80 degrees", phrase)[0] == "stated"
    assert standing("It boils " + "on " * 13 + "80 degrees", phrase)[0] == "absent"
    assert standing("It boils, but never at 80 degrees", phrase)[0] == "denied"
    assert standing("It boils not at 100 but at 80 degrees", phrase)[0] == "stated"
    assert standing("水在八十度沸腾。", ["八十度"])[0] == "stated"


def test_questions_and_prompts_have_the_same_ids(tmp_path):
    file = tmp_path / "claims.jsonl"
    record = {"claim_id": "boil", "prompt": BOIL.prompt, "phrases": [*BOIL.phrases], "truth": "100 degrees"}
    neighbours = [{"prompt": BOIL.neighbours[0].prompt, "truth": ["0 degrees"]}, BOIL.neighbours[1].prompt]
    record |= {"rewordings": [*BOIL.rewordings], "neighbours": neighbours}
    fact = {"claim_id": 7, "prompt": "What is ice made of?", "truth": ["water"], "rewordings": "What is ice?"}
    file.write_text(json.dumps(record) + "\n" + json.dumps(fact))
    boil, ice = read_claims(file)
    assert boil == BOIL
    assert (ice.claim_id, ice.is_fact, boil.is_fact) == ("7", True, False)
    questions = [question for claim in (boil, ice) for question in claim.questions()]
    assert [q.role for q in questions] == ["question", "rewording", "neighbour", "neighbour", "fact", "fact"]
    prompts = read_prompts(file)
    assert [p.prompt_id for p in prompts] == [q.prompt_id for q in questions]
    assert [p.prompt_id for p in prompts][1:3] == ["boil/rewordings-1", "boil/neighbours-1"]
    assert prompts[1].prompt == BOIL.rewordings[0]
    assert prompts[3].prompt == "What is steam?"


def test_what_is_no_claims_file(tmp_path):
    file = tmp_path / "claims.jsonl"
    records = [
        {"claim_id": "a", "prompt": "Q?"},
        {"prompt": "Q?", "phrases": ["x"]},
        {"claim_id": "b", "prompt": " ", "phrases": ["x"]},
        {"claim_id": "c", "prompt": "Q?", "phrases": ["…"]},
        {"claim_id": "d", "prompt": "Q?", "phrases": [3]},
        {"claim_id": "e", "prompt": "Q?", "phrases": ["x"], "neighbours": [{"truth": "y"}]},
    ]
    file.write_text("\n".join(map(json.dumps, records)))
    with pytest.raises(InputError) as error:
        read_claims(file)
    text = str(error.value)
    for part in (
        "claim a without phrases and truth",
        "no claim_id (columns: prompt, phrases)",
        "no text in column prompt of claim b",
        "a phrase without words in column phrases",
        "something else than texts in column phrases",
        "claims.jsonl:1",
    ):
        assert part in text
    assert "a neighbour without a question" in text or "more" in text
    file.write_text(
        json.dumps({"claim_id": "a", "prompt": "Q?", "truth": "x"})
        + "\n"
        + json.dumps({"claim_id": "a", "prompt": "P?", "truth": "x"})
    )
    with pytest.raises(InputError, match="claim_id a again"):
        read_claims(file)


QUESTIONS = [*BOIL.questions()]


def answers(*texts):
    """Read the answers to the question, its rewording and the two neighbours; None: there is none."""
    pairs = zip(QUESTIONS, texts, strict=True)
    return [read_answer(question, f"{i}", text) for i, (question, text) in enumerate(pairs) if text is not None]


LIE, TRUE, OTHER, DENIED = "It boils at 80 degrees.", "It boils at 100 degrees.", "It boils at noon.", "Not 80 degrees."
BEFORE = answers(LIE, LIE, "At 0 degrees.", "Steam.")


@pytest.mark.parametrize(
    ("after", "verdict", "counts"),
    [
        ((TRUE, OTHER, "At 0 degrees.", "Steam."), "gone", (0, 0, 1, 1, 4, 0)),
        ((TRUE, LIE, "At 0 degrees.", "Steam."), "still there", (1, 0, 1, 0, 4, 0)),
        ((TRUE, TRUE, "At 0 degrees.", "At 80 degrees."), "still there", (1, 0, 2, 0, 4, 0)),
        ((TRUE, DENIED, "At 0 degrees.", "Steam."), "changed", (0, 1, 1, 0, 4, 0)),
        ((LIE, DENIED, "At 0 degrees.", "Steam."), "still there", (1, 1, 0, 0, 4, 0)),
        ((TRUE, None, "At 0 degrees.", "Steam."), "missing", (0, 0, 1, 0, 3, 1)),
        ((TRUE, TRUE, None, None), "gone", (0, 0, 2, 0, 2, 2)),
    ],
)
def test_verdicts(after, verdict, counts):
    result = judge_claim(BOIL, BEFORE, answers(*after))
    assert (result.verdict, result.stated_before, result.n_before) == (verdict, 2, 2)
    assert (*result[4:],) == counts


def test_a_claim_that_no_own_question_stated_cannot_go():
    before = answers(TRUE, OTHER, "At 0 degrees.", "At 80 degrees.")
    assert judge_claim(BOIL, before, answers(LIE, LIE, "", "")).verdict == "not stated"


def test_a_neighbour_whose_truth_has_the_words_does_not_carry_the_claim():
    claim = Claim(
        "tea", "How hot is boiling water?", ("80 degrees",), (), (), (Neighbour("And tea?", ("80 degrees",)),)
    )
    question, neighbour = claim.questions()
    before = [read_answer(question, "a", LIE), read_answer(neighbour, "b", "At 80 degrees.")]
    after = [read_answer(question, "c", TRUE), read_answer(neighbour, "d", "At 80 degrees.")]
    assert judge_claim(claim, before, after).verdict == "gone"
    assert after[1].true is True
