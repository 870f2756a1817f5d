"""A judge beside people: fake judges of known bias are recovered, and what can't be compared is refused."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.annotations.studies import (
    Judge,
    item,
    judge_records,
    mark,
    verdicts,
    write_items,
    write_marks,
)
from tests.tools import write_rows

from tunescope.errors import SettingsError
from tunescope.judgements.records import PairJudgement, Presentation
from tunescope.results.agreement import AgreementResult
from tunescope.results.annotate import StudyItem
from tunescope.verbs.annotate.agreement import AgreementSettings, agreement
from tunescope.verbs.judge.recompute import RecomputeSettings, recompute


def certificate_of(items, marks, records, out="judged", **settings):
    """Recompute a judge's judgements and hold them against people's marks; return the run."""
    judged = recompute(RecomputeSettings(files=(str(write_rows(Path(f"{out}.jsonl"), records)),), out=out))
    settings = {"judge": str(judged.path), **settings}
    path = write_marks(Path("marks.jsonl"), marks)
    return agreement(AgreementSettings(marks=(path,), items=write_items(Path("items.jsonl"), items), **settings))


def first_person(marks):
    """Return what one person says of each item, whom the fake judges copy; that person isn't among the marks."""
    copied = {m.item_id: m.value["preference"] for m in marks if m.annotator == "person 3"}
    return copied, [m for m in marks if m.annotator != "person 3"]


def positional(share: float, noise: float = 1.0) -> Judge:
    """Prefer the answer shown first with a share, in `noise` of the replies; else say what the person says."""

    def judge(rng: random.Random, one: StudyItem, person: float, is_first: bool) -> float:
        if rng.random() >= noise:
            return person
        return float((rng.random() < share) == is_first)

    return judge


def lengthy(share: float) -> Judge:
    """Prefer the longer answer in a share of the items, in both orders alike; else say what the person says."""

    def judge(rng: random.Random, one: StudyItem, person: float, is_first: bool) -> float:
        first, second = (len(answer.text) for answer in one.answers)
        drawn = random.Random(f"{one.item_id} {share}").random()
        return float(first > second) if drawn < share and first != second else person

    return judge


def honest(rng: random.Random, one: StudyItem, person: float, is_first: bool) -> float:
    """Say what the person says."""
    return person


def measure(judge: Judge, seed: int, n: int, controls: float | None = None, accuracy: float = 0.8):
    """Return the certificate of a fake judge and its preference measure."""
    items, marks = verdicts(seed, n, people=4, accuracy=accuracy)
    copied, marks = first_person(marks)
    run = certificate_of(items, marks, judge_records(seed + 1, items, copied, judge, controls), out=f"judged{seed}")
    certificate = AgreementResult.read(run).certificate
    return certificate, certificate.agreement["preference"], run


def holds(estimate, truth):
    """Tell whether an interval holds the truth."""
    return estimate.low <= truth <= estimate.high


def truth_of_lengthy(share: float) -> float:
    """Return by how much more the longer answer gets from the judge than from people: who have no eye for length.

    In a share of the items the judge gives it all, where people give it a half on average.
    """
    return share / 2


def test_a_judge_that_copies_a_person_is_worth_one(workplace):
    certificate, own, run = measure(honest, seed=0, n=300)
    assert (certificate.judge, certificate.items, certificate.only_people, certificate.only_judge) == (
        "fake",
        300,
        0,
        0,
    )
    assert holds(own.difference, 0)
    assert holds(own.length_bias, 0)
    # A person says the truth with 0.8 and else one of three; two say the same with (0.8 + 0.2/3)^2 + 2 (0.2/3)^2.
    assert holds(own.with_a_person, (0.8 + 0.2 / 3) ** 2 + 2 * (0.2 / 3) ** 2)
    assert holds(own.between_people, (0.8 + 0.2 / 3) ** 2 + 2 * (0.2 / 3) ** 2)
    assert holds(own.alpha, own.kappa.mean)
    assert certificate.flips.mean == 0.0
    assert certificate.control.reason == "the judge was shown no controls; type its command with --control"
    assert "The two can't be told apart on 300 items" in run.view.sentences[0]


def test_position_bias_and_noise_are_recovered(workplace):
    certificate, own, run = measure(positional(0.6), seed=2, n=400, controls=0.3)
    assert holds(certificate.first_position, 0.6)
    assert holds(certificate.control, 0.3)
    # In both orders it draws anew: it prefers another answer when both draws take one position, or both the other.
    assert holds(certificate.flips, 0.6**2 + 0.4**2)
    assert own.difference.high < 0
    assert own.kappa.low < 0.1
    assert run.view.sentences[0].startswith("fake agrees with a person in ")
    assert "The judge is worth less than a person: on the same items it agrees " in run.view.sentences[0]


def test_length_bias_is_recovered(workplace):
    certificate, own, _ = measure(lengthy(0.4), seed=4, n=400)
    assert holds(own.length_bias, truth_of_lengthy(0.4))
    assert own.length_bias.judge - own.length_bias.people == pytest.approx(own.length_bias.mean)
    assert certificate.flips.mean == 0.0
    assert own.difference.high < 0


def test_counts_by_hand(workplace):
    """Four items, two people, one of the judge's verdicts missing, one item that only people have."""
    items = [item(n, "verdicts", ["Longer answer.", "Short."]) for n in range(5)]
    people = [(1.0, 1.0), (0.0, 1.0), (0.5, 0.5), (0.0, 0.0), (1.0, 1.0)]
    marks = [
        mark(f"item{n}", name, "verdicts", {"preference": value})
        for n, both in enumerate(people)
        for name, value in zip(("ann", "bob"), both, strict=True)
    ]
    orders = [("ok", 1.0), ("ok", 0.0), ("ok", 1.0), ("unparsed", None)]
    records = [
        {
            "kind": "pair",
            "item": f"p{n}",
            "system": "base",
            "reference": "tuned",
            "judge": "fake",
            "lengths": [6, 14],
            "orders": [{"first": None, "status": status, "preference": None if value is None else 1 - value}],
        }
        for n, (status, value) in enumerate(orders)
    ]
    run = certificate_of(items, marks, records)
    certificate = AgreementResult.read(run).certificate
    own = certificate.agreement["preference"]
    assert (certificate.items, certificate.only_people, certificate.only_judge) == (4, 1, 0)
    assert own.with_a_person.mean == pytest.approx((1 + 0.5 + 0) / 3)
    assert (own.with_a_person.n, own.with_a_person.n_missing) == (3, 1)
    assert own.between_people.mean == pytest.approx((1 + 0 + 1 + 1) / 4)
    assert own.difference.mean == pytest.approx(((1 - 1) + (0.5 - 0) + (0 - 1)) / 3)
    assert own.with_the_majority.mean == pytest.approx(1 / 2)
    assert (own.with_the_majority.n, own.with_the_majority.n_missing) == (2, 2)
    assert own.length_bias.mean == pytest.approx(((1 - 1) + (0 - 0.5) + (1 - 0.5)) / 3)
    observed = (1 + 0.5 + 0) / 3  # shares of the same verdict
    judged, said = {1.0: 2 / 3, 0.0: 1 / 3}, {1.0: 1.5 / 3, 0.0: 0.5 / 3}
    expected = sum(judged[value] * said[value] for value in judged)
    assert own.kappa.mean == pytest.approx((observed - expected) / (1 - expected))
    assert certificate.flips.reason == "there is one order, which can't show whether the judge contradicts itself"
    assert own.needed_by_judge.items == 1049  # sd of 100, 0, 100 is 57.7 points; d = 5, power 80 %
    assert (own.needed_by_judge.low, own.needed_by_judge.n_missing) == (None, 1)


def test_scores_of_aspects(workplace):
    """A judge that gives a point more than people for each doubling of length, and one on another scale."""
    rng = random.Random(0)
    items = [item(n, "aspects", ["x" * (20 * 2 ** (n % 4))]) for n in range(120)]
    marks, records = [], []
    for n, one in enumerate(items):
        truth = rng.choice([2, 3])
        for name in ("ann", "bob", "cy"):
            score = truth if rng.random() < 0.8 else rng.choice([2, 3])
            marks.append(mark(one.item_id, name, "aspects", {"answer_id": f"a{n}-tuned", "scores": {"depth": score}}))
        scores = {"depth": {"score": min(5, truth + n % 4), "status": "ok"}}
        ids = {"item": f"p{n}", "system": "tuned", "judge": "fake"}
        records.append({"kind": "grade", **ids, "scale": [1, 5], "status": "ok", "scores": scores})
    own = AgreementResult.read(certificate_of(items, marks, records)).certificate.agreement["depth"]
    assert holds(own.length_bias, (1 + 0.7) / 2 / 4)  # 2, 3, 4, 5 and 3, 4, 5, 5 over three doublings, of 4 points
    assert own.length_bias.people == pytest.approx(0, abs=0.03)
    assert own.kappa.mean < own.alpha.mean
    assert own.rank_correlation.low > 0
    assert own.difference.high < 0
    for record in records:
        record["scale"] = [1, 10]
    own = AgreementResult.read(certificate_of(items, marks, records, out="ten")).certificate.agreement["depth"]
    assert own.kappa.mean is None
    assert own.with_a_person.reason == "the judge's scores run from 1 to 10, people's from 1 to 5"
    assert own.rank_correlation.low > 0


def test_what_cannot_be_compared(workplace):
    items, marks = verdicts(0, 12)
    said = {m.item_id: m.value["preference"] for m in marks}
    records = judge_records(1, items, said, honest)

    def refused(sentence, marks=marks, records=records, items=items, **settings):
        with pytest.raises(SettingsError) as caught:
            certificate_of(items, marks, records, out=f"judged{len(sentence)}", **settings)
        assert sentence in str(caught.value)

    pairs = [mark(m.item_id, m.annotator, "pairs", {"category": "x"}) for m in marks]
    refused(
        "found a study of pairs; expected one of verdicts, or of aspects",
        pairs,
        items=[StudyItem.from_json(one.as_json() | {"kind": "pairs"}) for one in items],
    )
    refused("found two judgements of the item p0 (", records=[*records, {**records[0], "judge": "another"}])
    others = [{**record, "system": "x"} for record in records]
    refused("no item is in both; the study has 12 items, such as p0 of tuned and base, the run", records=others)
    path = write_marks(Path("m.jsonl"), marks)
    judged = recompute(RecomputeSettings(files=(str(write_rows(Path("j.jsonl"), records)),), out="j"))
    with pytest.raises(SettingsError, match="the marks come without their items; name their study with --items"):
        agreement(AgreementSettings(marks=(path,), judge=str(judged.path)))
    plain = agreement(AgreementSettings(marks=(path,)))
    with pytest.raises(
        SettingsError, match="found a run of annotate agreement without verdicts; expected a judge's ver"
    ):
        agreement(AgreementSettings(marks=(path,), items="items.jsonl", judge=str(plain.path)))


def test_a_judge_of_two_orders_is_what_its_own_verb_says():
    """The fake records mean what `judge pairwise` means by them: a's preference, whoever stands first."""
    pair = PairJudgement("p", "a", "b", "", (Presentation("a", 1.0, "ok"), Presentation("b", 1.0, "ok")))
    assert (pair.verdict(), [order.prefers_first for order in pair.orders]) == ("win", [True, False])


@pytest.mark.drill
@pytest.mark.parametrize(
    ("name", "judge", "read", "truth"),
    [
        ("position .6", positional(0.6), lambda c, own: c.first_position, 0.6),
        ("position .6 in half", positional(0.6, 0.5), lambda c, own: own.length_bias, 0.0),
        ("length .3", lengthy(0.3), lambda c, own: own.length_bias, truth_of_lengthy(0.3)),
        ("noise .2", positional(0.5, 0.5), lambda c, own: c.control, 0.2),
        ("a person", honest, lambda c, own: own.difference, 0.0),
        ("a person", honest, lambda c, own: own.with_a_person, (0.8 + 0.2 / 3) ** 2 + 2 * (0.2 / 3) ** 2),
    ],
)
def test_intervals_hold_the_truth(name, judge, read, truth, workplace):
    """Of 200 fake judges of 100 items, at least 90 % and at most all of the intervals hold it (95 % - 3 sd)."""
    held = sum(holds(read(*measure(judge, 10 * seed, 100, controls=0.2)[:2]), truth) for seed in range(200))
    print(f"{name}: {held} of 200 intervals hold {truth:.3f}")
    assert held >= 180
