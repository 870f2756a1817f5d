"""What travels in this room: one item's judgement, of two answers (`Pair`) or of one (`Grade`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

Side = Literal["a", "b"]
Status = Literal["ok", "unparsed", "missing"]
"""ok: there is a verdict; unparsed: there is a reply without one; missing: there is no reply."""
Verdict = Literal["win", "tie", "loss", "unparsed", "missing"]
Rule = Literal["paper", "agree"]
RULES: Mapping[Rule, str] = {
    "paper": "win: better in both orders, or better in one and equal in the other; tie: equal in both, or better in "
    "one "
    "and worse in the other; loss: the rest (paper 3, section 5.1)",
    "agree": "win or loss: the same in both orders; tie: the rest (FastChat)",
}
VALUES: Mapping[Verdict, float | None] = {"win": 1.0, "tie": 0.5, "loss": 0.0, "unparsed": None, "missing": None}
WHY: Mapping[str, str] = {
    "refused": "the judge, or its filter, declines",
    "truncated": "cut off before its verdict",
    "out_of_range": "scores that aren't on the scale",
    "quoted": "a verdict that an answer holds too, without the mark that tells them apart",
    "no_verdict": "nothing that is one",
}
"""Why a reply has no verdict."""
FAILED = "failed"
"""Why there is no reply: the call failed."""


class Order(NamedTuple):
    """What a judge said when it saw both answers in one order.

    Attributes:
        first: whose answer stood first; None where the file doesn't say.
        preference: 1 where a's answer is better, 0 where b's is, 0.5 where neither, or a share between.
        status: whether there is a verdict.
        scores: a's and b's, where the judge gave scores.
        text: the judge's reply, where there is one.
    """

    first: Side | None
    preference: float | None
    status: Status
    scores: tuple[float, float] | None = None
    text: str | None = None

    @classmethod
    def of_scores(cls, first: Side, scores: tuple[float, float] | None, text: str | None = None) -> Order:
        """Make it of a's and b's scores; None: a reply that has none."""
        if scores is None:
            return cls(first, None, "unparsed", None, text)
        a, b = scores
        return cls(first, 0.5 if a == b else float(a > b), "ok", scores, text)

    @property
    def sign(self) -> int | None:
        """1 where a is preferred, -1 where b is, 0 where neither."""
        return None if self.preference is None else (self.preference > 0.5) - (self.preference < 0.5)

    @property
    def prefers_first(self) -> bool | None:
        """Whether the answer that stood first is preferred; None where neither is, or where that isn't known."""
        return (self.sign > 0) == (self.first == "a") if self.sign and self.first is not None else None


ABSENT = Order(None, None, "missing")
"""An order that wasn't judged."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two systems' answers to one item, judged in one order or in both.

    Attributes:
        item: the question's id, or a hash of its text (as prompts without an id have).
        a, b: the two systems; numbers are a's against b.
        judge: who judged; "" where the file doesn't say.
        orders: one, or two in which the other answer stands first.
        lengths: characters of a's and b's answer, where the file has them.
        tags: kinds of question it belongs to.
        part: the set of items that it belongs to, where a file names neither systems nor judge.
        place: file and line, for messages.
        question: the question of which this item is one turn; intervals draw whole questions then.
    """

    item: str
    a: str
    b: str
    judge: str
    orders: tuple[Order, ...]
    lengths: tuple[int, int] | None = None
    tags: tuple[str, ...] = ()
    part: str = ""
    place: str = ""
    question: str = ""

    def verdict(self, rule: Rule = "paper") -> Verdict:
        """Return the verdict over its orders; a missing or unparsed order leaves none, never a tie."""
        for status in ("missing", "unparsed"):
            if any(order.status == status for order in self.orders):
                return status
        signs = [order.sign or 0 for order in self.orders]
        total = signs[0] if len(set(signs)) == 1 else 0 if rule == "agree" else sum(signs)
        return "win" if total > 0 else "loss" if total < 0 else "tie"

    def value(self, rule: Rule = "paper") -> float | None:
        """Return what it counts in a win rate: 1, ½ or 0 over two orders, the judge's own preference over one."""
        if len(self.orders) == 1:
            return self.orders[0].preference
        return VALUES[self.verdict(rule)]

    @property
    def turned(self) -> Pair:
        """The same judgement, seen from b."""
        back: dict[Side | None, Side | None] = {"a": "b", "b": "a", None: None}
        orders = tuple(
            order._replace(
                first=back[order.first],
                preference=None if order.preference is None else 1 - order.preference,
                scores=None if order.scores is None else (order.scores[1], order.scores[0]),
            )
            for order in self.orders
        )
        lengths = None if self.lengths is None else (self.lengths[1], self.lengths[0])
        return replace(self, a=self.b, b=self.a, orders=orders, lengths=lengths)


class Score(NamedTuple):
    """One aspect's score of an answer: a number, "not_applicable" (the judge says so), or unparsed."""

    value: float | None
    status: Literal["ok", "not_applicable", "unparsed", "missing"]


@dataclass(frozen=True, slots=True)
class Grade:
    """One system's answer to one item, scored in one aspect or several.

    Attributes:
        item, system, judge, tags, place, question: as in `Pair`.
        scores: aspect → score; empty where the reply has none.
        status: ok where there are scores.
        text: the judge's reply, where there is one.
        length: characters of the answer, where the file has it.
    """

    item: str
    system: str
    judge: str
    scores: Mapping[str, Score]
    status: Status
    text: str | None = None
    length: int | None = None
    tags: tuple[str, ...] = ()
    place: str = ""
    question: str = ""


class Comparison(NamedTuple):
    """Who is compared with whom, judged by whom."""

    a: str
    b: str
    judge: str
    part: str

    @classmethod
    def of(cls, pair: Pair) -> Comparison:
        """Return a pair's."""
        return cls(pair.a, pair.b, pair.judge, pair.part)


class Options(NamedTuple):
    """How the user wants files read: what the systems are called, and whether one order alone will do."""

    names: tuple[str, ...] = ()
    one_order: bool = False


PLAIN = Options()


def by_judge(judge: str) -> str:
    """Say who judged, where several did."""
    return f"by {judge}" if judge else "by nobody named"


def told_apart(names: Iterable[str]) -> list[str]:
    """Return names of which no two are alike: the second of the same name has (2) behind it, and so on."""
    found: list[str] = []
    for name in names:
        number, new = 1, name
        while new in found:
            number += 1
            new = f"{name} ({number})"
        found.append(new)
    return found


class Judgements(NamedTuple):
    """What judgement files hold, and what is to be said of how they were read."""

    pairs: Sequence[Pair] = ()
    grades: Sequence[Grade] = ()
    notes: tuple[str, ...] = ()
    more: Mapping[str, Any] = {}
