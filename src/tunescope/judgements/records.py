"""One item's judgement: of two answers (`PairJudgement`), or the scores of one answer (`ScoreJudgement`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

Side = Literal["a", "b"]
Status = Literal["ok", "unparsed", "missing"]
"""ok: there is a verdict; unparsed: there is a reply without a verdict; missing: there is no reply."""
Verdict = Literal["win", "tie", "loss", "unparsed", "missing"]
Rule = Literal["net", "agree"]
RULES: Mapping[Rule, str] = {
    "net": "two wins, or a win and a tie, count as a win. Two losses, or a loss and a tie, count as a loss. Everything "
    "else is a tie (the Reflection-Tuning paper, section 5.1).",
    "agree": "two wins count as a win and two losses as a loss. Everything else is a tie (FastChat's rule).",
}
"""How the verdicts of both orders become one."""
UNPARSED_REASONS: Mapping[str, str] = {
    "refused": "the judge or its filter declined",
    "truncated": "cut off before the verdict",
    "out_of_range": "scores outside the scale",
    "other_scale": "scores on another scale",
    "ambiguous": "different scores for one thing",
    "quoted": "a verdict that an answer contains too, without the marker that tells them apart",
    "no_verdict": "no verdict in the reply",
}
"""Why a reply has no verdict."""
CALL_FAILED = "failed"
"""Why there is no reply: the call failed."""
_VALUES: Mapping[Verdict, float | None] = {"win": 1.0, "tie": 0.5, "loss": 0.0, "unparsed": None, "missing": None}


class Presentation(NamedTuple):
    """What the judge said when it saw both answers in one order.

    Attributes:
        first: whose answer came first; None where the file doesn't say.
        preference: 1 if a's answer is better, 0 if b's is, 0.5 for a tie, or a value in between.
        status: whether there is a verdict.
        scores: a's and b's score, where the judge gave scores.
        text: the judge's reply, where the file has it.
    """

    first: Side | None
    preference: float | None
    status: Status
    scores: tuple[float, float] | None = None
    text: str | None = None

    @classmethod
    def of_scores(cls, first: Side, scores: tuple[float, float] | None, text: str | None = None) -> Presentation:
        """Build it from a's and b's scores; None stands for a reply without scores."""
        if scores is None:
            return cls(first, None, "unparsed", None, text)
        a, b = scores
        return cls(first, 0.5 if a == b else float(a > b), "ok", scores, text)

    @property
    def sign(self) -> int | None:
        """1 if a is preferred, -1 if b is, 0 for a tie, None without a verdict."""
        return None if self.preference is None else (self.preference > 0.5) - (self.preference < 0.5)

    @property
    def prefers_first(self) -> bool | None:
        """Whether the answer shown first is preferred; None for a tie, without a verdict, or with unknown order."""
        return (self.sign > 0) == (self.first == "a") if self.sign and self.first is not None else None

    @property
    def swapped(self) -> Presentation:
        """The same presentation with a and b exchanged."""
        first: Side | None = None if self.first is None else "b" if self.first == "a" else "a"
        return self._replace(
            first=first,
            preference=None if self.preference is None else 1 - self.preference,
            scores=None if self.scores is None else (self.scores[1], self.scores[0]),
        )


@dataclass(frozen=True, slots=True)
class PairJudgement:
    """Two systems' answers to one item, judged in one order or in both.

    Attributes:
        item: the question's id, or a hash of its text (as for prompts without an id).
        a, b: the two systems; all numbers are a's against b.
        judge: the judge's name; "" where the file doesn't say.
        orders: one presentation, or two with the answers swapped.
        lengths: characters of a's and b's answer, where the file has them.
        tags: the kinds of question that the item belongs to.
        part: the item set that it belongs to, where a file names neither systems nor judge.
        place: its `Location` as text.
        question: the question of which this item is one turn; intervals are then over whole questions.
    """

    item: str
    a: str
    b: str
    judge: str
    orders: tuple[Presentation, ...]
    lengths: tuple[int, int] | None = None
    tags: tuple[str, ...] = ()
    part: str = ""
    place: str = ""
    question: str = ""

    def verdict(self, rule: Rule = "net") -> Verdict:
        """Return the verdict over all orders; a missing or unparsed order makes it missing or unparsed, never a tie."""
        for status in ("missing", "unparsed"):
            if any(order.status == status for order in self.orders):
                return status
        signs = [order.sign or 0 for order in self.orders]
        total = signs[0] if len(set(signs)) == 1 else 0 if rule == "agree" else sum(signs)
        return "win" if total > 0 else "loss" if total < 0 else "tie"

    def value(self, rule: Rule = "net") -> float | None:
        """Return its share of a win, 0 to 1: 1, ½ or 0 for two orders, the judge's own preference for one."""
        if len(self.orders) == 1:
            return self.orders[0].preference
        return _VALUES[self.verdict(rule)]

    @property
    def swapped(self) -> PairJudgement:
        """The same judgement with a and b exchanged."""
        lengths = None if self.lengths is None else (self.lengths[1], self.lengths[0])
        orders = tuple(order.swapped for order in self.orders)
        return replace(self, a=self.b, b=self.a, orders=orders, lengths=lengths)


class AspectScore(NamedTuple):
    """The score of an answer in one aspect; `not_applicable` is what the judge itself says."""

    value: float | None
    status: Literal["ok", "not_applicable", "unparsed", "missing"]


@dataclass(frozen=True, slots=True)
class ScoreJudgement:
    """One system's answer to one item, scored in one aspect or in several.

    Attributes:
        item, system, judge, tags, place, question: as in `PairJudgement`.
        scores: aspect → score; empty where the reply has no scores.
        status: ok where there are scores.
        text: the judge's reply, where the file has it.
        length: characters of the answer, where the file has it.
        scale: the least and the largest score that the judge could give; None where that isn't known.
    """

    item: str
    system: str
    judge: str
    scores: Mapping[str, AspectScore]
    status: Status
    text: str | None = None
    length: int | None = None
    tags: tuple[str, ...] = ()
    place: str = ""
    question: str = ""
    scale: tuple[float, float] | None = None


class Comparison(NamedTuple):
    """Which two systems are compared, by which judge, on which part of the files."""

    a: str
    b: str
    judge: str
    part: str

    @classmethod
    def of(cls, pair: PairJudgement) -> Comparison:
        """Return the comparison that a judgement belongs to."""
        return cls(pair.a, pair.b, pair.judge, pair.part)


class ScoredSystem(NamedTuple):
    """Which system is scored, by which judge; the judge is "" where the file doesn't say."""

    system: str
    judge: str


class Judgements(NamedTuple):
    """What judgement files hold: judgements of pairs or of single answers.

    Attributes:
        notes: sentences about how the files were read.
        extra_results: result keys beside the numbers that are computed from the judgements.
    """

    pairs: Sequence[PairJudgement] = ()
    scores: Sequence[ScoreJudgement] = ()
    notes: tuple[str, ...] = ()
    extra_results: Mapping[str, Any] = {}


def by_judge(judge: str) -> str:
    """Name the judge behind a system's name, where there are several judges."""
    return f"by {judge}" if judge else "by an unnamed judge"


def unique_names(names: Iterable[str]) -> list[str]:
    """Return the names with (2), (3) … behind those that are there before."""
    unique: list[str] = []
    for name in names:
        number, candidate = 1, name
        while candidate in unique:
            number += 1
            candidate = f"{name} ({number})"
        unique.append(candidate)
    return unique


def first_items(items: Iterable[str], limit: int | None) -> set[str]:
    """Return the first `limit` items, ordered by their ids where these are numbers, else as they come; None: all."""
    ordered = list(dict.fromkeys(items))
    if all(item.isascii() and item.isdigit() for item in ordered):
        ordered.sort(key=int)
    return set(ordered[:limit])
