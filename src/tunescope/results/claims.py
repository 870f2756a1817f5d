"""What `judge claims` writes: its result and the tables `claims` and `answers` (see docs/how-to/judge-claims.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tunescope.results.estimates import MeanEstimate
from tunescope.results.record import Record

if TYPE_CHECKING:
    from tunescope.runs import Run


@dataclass(frozen=True, kw_only=True)
class FactChange(Record):
    """Facts that were stated truly before and after, of those with an answer on both sides."""

    n: int
    n_missing: int
    before: int
    after: int
    kept: MeanEstimate
    """The share of those stated before that is stated still."""
    equivalence: dict[str, Any]
    """Whether the shares before and after are equal within the margin (`stats.Equivalence`)."""


@dataclass(frozen=True, kw_only=True)
class SystemClaims(Record):
    """What became of the claims in one set of answers after the first."""

    system: str
    rows_left_out: int | None
    verdicts: dict[str, int]
    """Claims by verdict: gone, still there, changed, not stated, missing."""
    gone: MeanEstimate
    """The share of the claims stated before that is gone."""
    facts: FactChange


@dataclass(frozen=True, kw_only=True)
class ClaimsResult(Record):
    """The result of `judge claims`."""

    system: str
    claims: int
    stated: MeanEstimate
    """The share of the claims that an answer to their own questions states, in the first set of answers."""
    answers: int
    answers_stating: int
    facts_stated: MeanEstimate
    """The share of the questions with a known truth whose first answers state it."""
    after: tuple[SystemClaims, ...]


@dataclass(frozen=True, kw_only=True)
class ClaimRow(Record):
    """A row of the table `claims`: a claim in one set of answers after the first."""

    NAME: ClassVar[str] = "claims"

    claim_id: str
    system: str
    verdict: str
    stated_before: int
    n_before: int
    stated_after: int
    denied_after: int
    true_after: int
    other_after: int
    n_after: int
    n_missing: int


@dataclass(frozen=True, kw_only=True)
class ClaimAnswer(Record):
    """A row of the table `answers`: what an answer to a claim's question holds."""

    NAME: ClassVar[str] = "answers"

    answer_id: str
    prompt_id: str
    system: str
    claim_id: str
    role: str
    standing: str
    phrase: str | None
    true: bool | None
    text: str


def no_claim_still_there(run: Run) -> bool:
    """Tell whether none of the claims stated before is still there in the first later answers."""
    after = ClaimsResult.read(run).after
    return bool(after) and not after[0].verdicts["still there"]
