"""What `annotate agreement` and `annotate export` write of their results (defined in docs/reference/agreement.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tunescope.results.estimates import MeanEstimate
from tunescope.results.record import Record


@dataclass(frozen=True, kw_only=True)
class MeasureAgreement(Record):
    """How far people agree on one thing that was asked.

    Attributes:
        scale: nominal or ordinal.
        alpha: Krippendorff's; its n are items that two people or more marked.
        same: the share of pairs of marks of one item that are equal, as a mean over items; None of spans.
    """

    scale: str
    alpha: MeanEstimate
    same: MeanEstimate | None = None


@dataclass(frozen=True, kw_only=True)
class PhaseAgreement(Record):
    """How far people agree in the study, or in its pilot.

    Attributes:
        items: items with a mark.
        shared: of these, items that two people or more marked.
        marks: pairs of person and item with a mark.
        n_missing: pairs that were assigned and have none; None where it isn't known who was to mark what.
        measures: by what was asked.
        overlap: of spans, the mean F1 of the characters that two people marked.
    """

    items: int
    shared: int
    annotators: int
    marks: int
    n_missing: int | None
    missing_reason: str | None = None
    measures: dict[str, MeasureAgreement]
    overlap: MeanEstimate | None = None


@dataclass(frozen=True, kw_only=True)
class LengthBias(MeanEstimate):
    """How much more often a judge prefers the longer answer than people do, on the same items; 0.1 is 10 points.

    Attributes:
        judge, people: the mean share that the longer answer gets from each.
    """

    judge: float | None = None
    people: float | None = None


@dataclass(frozen=True, kw_only=True)
class NeededItems(Record):
    """Items at which a mean this spread is told from no difference, with power 80 % and a two-sided t-test at 5 %.

    Attributes:
        low, high: the same at the ends of the interval of the verdicts' variance.
        n, n_missing: the verdicts from which the spread is taken.
    """

    points: float
    items: int | None
    low: int | None
    high: int | None
    n: int
    n_missing: int
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class JudgeAgreement(Record):
    """A judge beside people, on what both judged: verdicts on pairs, or one aspect's scores.

    Attributes:
        with_a_person: how often the judge says what a person says, as a mean over items of the share of persons.
        between_people: how often two people say the same, over the items that two or more marked.
        difference: the first less the second, over these items.
        with_the_majority: how often the judge says what most people say.
        kappa: Cohen's, of judge and person; people of one item share it.
        alpha: Krippendorff's among people, on the same items and the same scale.
        rank_correlation: of scores, Spearman's rho of the judge's and people's mean.
    """

    with_a_person: MeanEstimate
    between_people: MeanEstimate
    difference: MeanEstimate
    with_the_majority: MeanEstimate
    kappa: MeanEstimate
    alpha: MeanEstimate
    rank_correlation: MeanEstimate | None = None
    length_bias: LengthBias
    needed_by_judge: NeededItems
    needed_by_people: NeededItems


@dataclass(frozen=True, kw_only=True)
class JudgeCertificate(Record):
    """What a judge is worth beside people.

    Attributes:
        judge: its name; None where the run doesn't say.
        items: items that judge and people both judged; of scores, answers.
        only_people, only_judge: items that one of them judged.
        agreement: by aspect; of verdicts under `preference`.
        flips: how often it prefers the other answer where the two are swapped; from the judge's run, as are the next.
        first_position: how often the answer shown first wins, of replies that prefer one.
        control: how often it prefers one of two copies of an answer.
    """

    run: str
    judge: str | None
    items: int
    only_people: int
    only_judge: int
    agreement: dict[str, JudgeAgreement]
    flips: MeanEstimate
    first_position: MeanEstimate
    control: MeanEstimate


@dataclass(frozen=True, kw_only=True)
class AgreementResult(Record):
    """The result of `annotate agreement`.

    Attributes:
        main: of the study without its pilot; None where there are only marks of the pilot.
        pilot: of the pilot; None where there is none.
        corrected: marks that a reviewer corrected; these count as corrected in `main`.
        before_corrections: alpha of what the annotators had said themselves, by what was asked; None without any.
        certificate: of the judge that was named.
    """

    kind: str
    main: PhaseAgreement | None
    pilot: PhaseAgreement | None
    corrected: int
    before_corrections: dict[str, MeanEstimate] | None = None
    certificate: JudgeCertificate | None = None


@dataclass(frozen=True, kw_only=True)
class AnnotatorPair(Record):
    """A row of the table `pairs`: two annotators and what they said of the items that both marked."""

    NAME: ClassVar[str] = "pairs"

    phase: str
    measure: str
    annotator_1: str
    annotator_2: str
    items: int
    same: float | None
    """The share of these items of which they said the same; of spans, F1 of the marked characters."""


@dataclass(frozen=True, kw_only=True)
class MarkedShare(Record):
    """A share of what people marked, beside the same of random stretches of as many words in the same answers.

    Attributes:
        share: over all marked phrases, or their tokens, with an interval over answers.
        null: what random stretches give; None where there can be none.
        difference: the first less the second.
        phrases: marked phrases that could be looked at; `n_missing` couldn't, for the `missing_reason`.
        paper: the Limitations paper's number.
    """

    share: MeanEstimate
    null: MeanEstimate
    difference: MeanEstimate
    phrases: int
    n_missing: int
    missing_reason: str | None = None
    paper: str


@dataclass(frozen=True, kw_only=True)
class CauseRows(Record):
    """Rows that people named as a phrase's cause, beside a random other row of the same item."""

    keyword_overlap: MeanEstimate
    keyword_overlap_random: MeanEstimate
    cosine: MeanEstimate
    cosine_random: MeanEstimate


@dataclass(frozen=True, kw_only=True)
class RewordedTries(Record):
    """Reworded prompts with their answers: whether a phrase is lost in them. Intervals are over items.

    Attributes:
        kept, lost: as annotators marked them; `undecided` they left open.
        by_models: tries that a model of the study answered; annotators wrote down the others.
        lost_share: of those that annotators marked, the share without the phrase.
        lost_by_words: of all, the share in whose answer the phrase's words don't stand.
        same: of those that annotators marked, how often the words say the same.
    """

    kept: int
    lost: int
    undecided: int
    by_models: int
    lost_share: MeanEstimate
    lost_by_words: MeanEstimate
    same: MeanEstimate


@dataclass(frozen=True, kw_only=True)
class ExportResult(Record):
    """The result of `annotate export`.

    Attributes:
        marks: marks of the main study and of the pilot.
        phrases: different phrases that people marked, or were asked about.
        in_rows, shifted, with_cause: shares of them.
        reworded: of a study of causes in which reworded prompts were tried, what became of the phrases.
        reviewers_own: marks that a reviewer made of their own, which count nowhere; `comments` are a reviewer's.
        files: what was written.
    """

    kind: str
    format: str
    marks: int
    annotators: int
    items: int
    phrases: int
    in_rows: MarkedShare | None = None
    shifted: MarkedShare | None = None
    with_cause: MarkedShare | None = None
    cause_rows: CauseRows | None = None
    reworded: RewordedTries | None = None
    reviewers_own: int = 0
    comments: int = 0
    files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class MarkedPhrase(Record):
    """A row of the table `phrases`.

    Attributes:
        annotators: who marked it, or was asked about it.
        in_rows: whether it stands in one row word for word; `in_rows_null` is the part of the answer's stretches of as
            many words that do. None where the run of `trace` doesn't have the answer.
        tokens, shifted: its tokens, and those of them that are shifted or marginal; `shifted_null` is the share among
            the tokens of the answer's stretches.
        with_cause: the part of its annotators that named a row.
    """

    NAME: ClassVar[str] = "phrases"

    item_id: str
    answer_id: str
    start: int
    end: int
    text: str
    annotators: int
    in_rows: float | None
    in_rows_null: float | None
    tokens: int | None
    shifted: int | None
    shifted_null: float | None
    with_cause: float | None


@dataclass(frozen=True, kw_only=True)
class MarkedStretch(Record):
    """A line of `spans.jsonl`, which `attribute --spans` reads: a stretch of an answer that somebody marked.

    Marks that overlap are one stretch.
    """

    NAME: ClassVar[str] = "spans"

    answer_id: str
    start: int
    end: int
    text: str
    categories: tuple[str, ...]
    annotators: tuple[str, ...]
