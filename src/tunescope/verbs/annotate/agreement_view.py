"""What a run of `annotate agreement` says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tunescope.results.agreement import (
    AgreementResult,
    AnnotatorPair,
    JudgeAgreement,
    JudgeCertificate,
    NeededItems,
    PhaseAgreement,
)
from tunescope.results.estimates import MeanEstimate
from tunescope.views import Cell, Table, View, counted, interval, percent, percent_interval

_RELIABLE, _TENTATIVE = 0.8, 0.667
"""Alpha from which on Krippendorff (2004, "Reliability in content analysis") relies on data, and the least from which
he draws tentative conclusions."""
_AGREEMENT_NOTE = (
    "alpha: Krippendorff's, 1 for full agreement and 0 for what chance gives; nominal for categories, ordinal for "
    "verdicts and scores. Intervals: jackknife over items. n: items that two people or more marked; missing: items "
    "that one did. the same: how often two people say the same, a mean over items."
)
_SPANS_NOTE = (
    "alpha: Krippendorff's over characters, 1 for full agreement and 0 for what chance gives. Intervals: jackknife "
    "over items. n: items that two people or more have seen; missing: items that one has."
)
_PAIRS_NOTE = "the same: how often the two said the same. Of spans: F1 of the characters that they marked."
_JUDGE_NOTE = (
    "Judge and person: how often the judge agrees with a person. Two people: the same among people. Difference: on "
    "the items that two people or more judged. Majority: what more than half of an item's people say. kappa: Cohen's, "
    "of judge and person. alpha: Krippendorff's, of people, on the judge's items and on the same scale."
)
_BIAS_NOTE = (
    "Flips: it prefers the other answer where the two are swapped. First: of replies that prefer an answer, those for "
    "the one shown first. Copies: it prefers one of two copies of an answer. Longer: what the longer answer gets from "
    "the judge, less what it gets from people, on the same items."
)
_MOST_PAIRS = 15


def agreement_view(
    result: AgreementResult, pairs: Sequence[AnnotatorPair], unfinished: int, next_steps: Sequence[str]
) -> View:
    """Show what a judge is worth, how far people agree, what is missing, and who agrees with whom."""
    certificate = result.certificate
    sentences = [] if certificate is None else [*_judge_sentences(certificate)]
    sentences += [*_sentences(result, unfinished)]
    tables = [] if certificate is None else [*_judge_tables(certificate)]
    for phase, title in ((result.main, "Agreement"), (result.pilot, "Agreement in the pilot")):
        if phase is not None:
            tables.append(_measures(phase, title, result.before_corrections if phase is result.main else None))
    of_main = [pair for pair in pairs if pair.phase == "main"] or list(pairs)
    tables.append(_pairs(of_main))
    return View(tuple(sentences), tuple(tables), tuple(next_steps))


def _sentences(result: AgreementResult, unfinished: int) -> Iterator[str]:
    for phase, where in ((result.main, ""), (result.pilot, " of the pilot")):
        if phase is None:
            continue
        name, first = next(iter(phase.measures.items()))
        people = f"{counted(phase.annotators, 'annotator')} marked {counted(phase.items, 'item')}{where}"
        yield f"{people}, {phase.shared:,} of them by two or more. {_alpha_sentence(name, first.alpha)}"
        if phase.overlap is not None and phase.overlap.mean is not None:
            yield f"Of the characters that two people mark, F1 is {_with_interval(phase.overlap)}, a mean over pairs."
        if phase.n_missing:
            yield f"{counted(phase.n_missing, 'assigned mark')}{where} missing: not made yet, and not counted."
        elif phase.missing_reason and phase is result.main:
            yield f"How many marks are missing isn't known: {phase.missing_reason}."
    if unfinished:
        yield f"Left out: {counted(unfinished, 'item')} that an annotator began and didn't finish."
    if result.before_corrections is not None and result.main is not None:
        name, before = next(iter(result.before_corrections.items()))
        after = result.main.measures[name].alpha if name in result.main.measures else None
        now = "–" if after is None else _number(after.mean)
        yield (
            f"A reviewer corrected {counted(result.corrected, 'mark')}. Before that, alpha was {_number(before.mean)}; "
            f"with the corrections it is {now}. That says less about how far people agree by themselves."
        )


def _alpha_sentence(name: str, alpha: MeanEstimate) -> str:
    if alpha.mean is None:
        return f"Alpha of {name} isn't known ({alpha.reason})."
    if alpha.low is None:
        return f"Alpha of {name} is {_with_interval(alpha)}."
    if alpha.low >= _RELIABLE:
        meaning = f"at least {_RELIABLE}, from which on Krippendorff relies on such marks"
    elif alpha.low >= _TENTATIVE:
        meaning = f"at least {_TENTATIVE}: enough for tentative conclusions (Krippendorff)"
    else:
        reaches = "" if alpha.mean < _TENTATIVE else "the interval reaches "
        meaning = f"{reaches}below {_TENTATIVE}, the least from which Krippendorff draws even tentative conclusions"
    return f"Alpha of {name} is {_with_interval(alpha)}: {meaning}."


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _with_interval(estimate: MeanEstimate) -> str:
    if estimate.low is None:
        return f"{_number(estimate.mean)}, without an interval ({estimate.reason})"
    return f"{_number(estimate.mean)} {interval(estimate.low, estimate.high, 3)}"


def _share(estimate: MeanEstimate) -> str:
    if estimate.mean is None:
        return f"not known ({estimate.reason})"
    if estimate.low is None:
        return f"{percent(estimate.mean, 1)}, without an interval ({estimate.reason})"
    return f"{percent(estimate.mean, 1)} {percent_interval(estimate.low, estimate.high, 1)}"


def _measures(phase: PhaseAgreement, title: str, before: dict[str, MeanEstimate] | None) -> Table:
    of_spans = phase.overlap is not None
    lines: list[tuple[Cell, ...]] = []
    for name, measure in phase.measures.items():
        alpha, same = measure.alpha, measure.same
        line: list[Cell] = [name, measure.scale, _rounded(alpha.mean), interval(alpha.low, alpha.high, 3)]
        if before is not None:
            line.append(_rounded(before[name].mean) if name in before else None)
        line += [alpha.n, alpha.n_missing]
        if same is not None:
            line += [percent(same.mean, 1), percent_interval(same.low, same.high, 1)]
        lines.append(tuple(line))
    corrected = [] if before is None else ["before corrections"]
    columns = ["what", "scale", "alpha", "95 %", *corrected, "n", "missing"]
    columns += [] if of_spans else ["the same", "95 %"]
    return Table(title, tuple(columns), tuple(lines), _SPANS_NOTE if of_spans else _AGREEMENT_NOTE)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _pairs(pairs: Sequence[AnnotatorPair]) -> Table:
    shown = sorted(pairs, key=lambda pair: -1.0 if pair.same is None else pair.same)[:_MOST_PAIRS]
    lines = tuple((p.measure, p.annotator_1, p.annotator_2, p.items, percent(p.same, 1)) for p in shown)
    left_out = len(pairs) > len(shown)
    more = f" These are the {_MOST_PAIRS} that agree least; the table pairs has all {len(pairs):,}." if left_out else ""
    return Table("Who agrees with whom", ("what", "one", "other", "items", "the same"), lines, f"{_PAIRS_NOTE}{more}")


def _judge_sentences(certificate: JudgeCertificate) -> Iterator[str]:
    name = certificate.judge or "The judge"
    for aspect, agreement in certificate.agreement.items():
        about = "" if len(certificate.agreement) == 1 else f"{aspect}: "
        yield about + _worth(name, agreement)
    yield (
        f"Both judged {counted(certificate.items, 'item')}, people alone {certificate.only_people:,}, and the judge "
        f"alone {certificate.only_judge:,}."
    )
    for aspect, agreement in certificate.agreement.items():
        about = "" if len(certificate.agreement) == 1 else f"{aspect}: "
        judge, people = _needed(agreement.needed_by_judge), _needed(agreement.needed_by_people)
        points = f"{agreement.needed_by_judge.points:g} points"
        yield f"{about}You need {judge} with this judge, or {people} with people, to detect a difference of {points}."


def _worth(name: str, agreement: JudgeAgreement) -> str:
    """Say plainly what a judge is worth beside people's agreement with each other."""
    own, people, gap = agreement.with_a_person, agreement.between_people, agreement.difference
    if own.mean is None:
        return f"How often {name} agrees with a person isn't known ({own.reason})."
    says = f"{name} agrees with a person in {_share(own)} of cases"
    if people.mean is None:
        return f"{says}. How often two people agree isn't known ({people.reason}), so this alone says little."
    both = f"{says}, and two people agree in {_share(people)}"
    if gap.mean is None or gap.low is None or gap.high is None:
        return f"{both}. That isn't enough to tell whether the judge is worth a person ({gap.reason})."
    points = f"{abs(100 * gap.mean):.1f} points {interval(100 * gap.low, 100 * gap.high, 1)}"
    if gap.high < 0:
        return f"{both}. The judge is worth less than a person: on the same items it agrees {points} less often."
    if gap.low > 0:
        return f"{both}. The judge agrees with people more often than they do with each other, by {points}."
    return f"{both}. The two can't be told apart on {counted(gap.n, 'item')}: the difference is {_signed(gap)}."


def _signed(gap: MeanEstimate) -> str:
    assert gap.mean is not None
    return f"{100 * gap.mean:+.1f} points {percent_interval(gap.low, gap.high, 1)}"


def _needed(needed: NeededItems) -> str:
    if needed.items is None:
        return f"a number of items that isn't known ({needed.reason})"
    ends = "" if needed.low is None or needed.high is None else f" [{needed.low:,}, {needed.high:,}]"
    return f"about {needed.items:,}{ends} items"


def _judge_tables(certificate: JudgeCertificate) -> Iterator[Table]:
    lines: list[tuple[Cell, ...]] = []
    for aspect, each in certificate.agreement.items():
        named = (
            ("judge and person", each.with_a_person, True),
            ("two people", each.between_people, True),
            ("difference", each.difference, True),
            ("judge and majority", each.with_the_majority, True),
            ("kappa", each.kappa, False),
            ("alpha of people", each.alpha, False),
            *((("rank correlation", each.rank_correlation, False),) if each.rank_correlation is not None else ()),
        )
        lines += [(aspect, name, *_cells(estimate, is_share)) for name, estimate, is_share in named]
    columns = ("what", "number", "value", "95 %", "n", "missing", "why none")
    yield Table("The judge compared with people", columns, tuple(lines), _JUDGE_NOTE)
    biases = [
        ("flips", certificate.flips),
        ("prefers the first", certificate.first_position),
        ("prefers one of two copies", certificate.control),
    ]
    for aspect, each in certificate.agreement.items():
        word = "longer, beyond people" if each.rank_correlation is None else f"per doubling of length, {aspect}"
        biases.append((word, each.length_bias))
    rows = tuple((name, *_cells(estimate, True)) for name, estimate in biases)
    yield Table("The judge's own biases", columns[1:], rows, _BIAS_NOTE)


def _cells(estimate: MeanEstimate, is_share: bool) -> tuple[Cell, ...]:
    value: Cell = percent(estimate.mean, 1) if is_share else _rounded(estimate.mean)
    ends = (percent_interval if is_share else interval)(estimate.low, estimate.high, 1 if is_share else 3)
    return value, ends, estimate.n, estimate.n_missing, estimate.reason or ""
