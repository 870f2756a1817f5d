"""From judgements of two answers to numbers: wins, win rates, flips, places, lengths. Pure functions of `Pair`s."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import stdev
from typing import Any, NamedTuple

from tunescope.judgements.records import Comparison, Order, Pair, Rule, Side, Verdict, by_judge, told_apart
from tunescope.stats import (
    Estimate,
    mean_bootstrap,
    mean_clustered,
    mean_pooled,
    n_needed,
    proportion_from_counts,
    share_at_zero,
)

DECIDED: tuple[Verdict, ...] = ("win", "tie", "loss")


def grouped(pairs: Sequence[Pair]) -> dict[Comparison, list[Pair]]:
    """Put pairs together by who is compared with whom, in the order in which they came."""
    found: dict[Comparison, list[Pair]] = {}
    for pair in pairs:
        found.setdefault(Comparison.of(pair), []).append(pair)
    return found


def against(pairs: Sequence[Pair], reference: str) -> list[Pair]:
    """Return the pairs in which `reference` takes part, seen from the other side."""
    return [pair if pair.b == reference else pair.turned for pair in pairs if reference in (pair.a, pair.b)]


def named(comparisons: Sequence[Comparison]) -> dict[Comparison, str]:
    """Give every comparison a name: as much of system, reference, judge and part as tells it from the others."""
    parts = [[c.part, c.a, c.b, c.judge] for c in comparisons]
    varying = [len({part[i] for part in parts}) > 1 for i in range(4)]
    if not any(varying):
        varying = [False, True, False, False]
    if varying[1] or varying[2]:
        varying[1] = True
    names = [
        " ".join(
            filter(None, (c.part if varying[0] else "", *_who(c, varying), by_judge(c.judge) if varying[3] else ""))
        )
        for c in comparisons
    ]
    return dict(zip(comparisons, told_apart(names), strict=True))


def _who(c: Comparison, varying: Sequence[bool]) -> tuple[str, ...]:
    return ((c.a, "vs", c.b) if varying[2] else (c.a,)) if varying[1] else ()


def summarise(pairs: Sequence[Pair], rule: Rule = "paper", *, seed: int = 0, draws: int = 10_000) -> dict[str, Any]:
    """Return the numbers of one comparison (rates in per cent as `win_rate`, shares from 0 to 1 as all others).

    win_rate is 100 · mean(win 1, draw ½, loss 0) over items with a verdict, its standard error 100 · sd(ddof 1) / √n,
    and where several items are turns of one question both are made from whole questions (see `mean_of`);
    `discrete_win_rate` is that of wins and draws alone where the judge's preferences lie between.
    """
    verdicts = [pair.verdict(rule) for pair in pairs]
    count = Counter(verdicts)
    values = [pair.value(rule) for pair in pairs]
    n = sum(count[v] for v in DECIDED)
    questions = [pair.question or pair.item for pair in pairs]
    rate = scaled(mean_of(values, questions, seed=seed, draws=draws))
    error = standard_error(values, questions)
    result: dict[str, Any] = {
        "items": len(pairs),
        "wins": count["win"],
        "ties": count["tie"],
        "losses": count["loss"],
        "n": n,
        "n_missing": count["missing"],
        "n_unparsed": count["unparsed"],
        "win_rate": rate.as_json(),
        "standard_error": None if error is None else 100 * error,
        "discrete_win_rate": 100 * (count["win"] + count["tie"] / 2) / n if n else None,
    }
    if rate.value is not None and rate.low is not None and rate.high is not None and rate.low <= 50 <= rate.high:
        sd = 100 * (error or 0) * n**0.5
        result["n_needed"] = n_needed(rate.value - 50, sd).n
    return result | _two_orders(pairs, seed, draws) | lengths(pairs, values, seed=seed, draws=draws)


def mean_of(
    values: Sequence[float | None], questions: Sequence[str], *, seed: int = 0, draws: int = 10_000
) -> Estimate:
    """Return the mean with a bootstrap over items, or over questions where several items belong to one."""
    if len(set(questions)) == len(questions):
        return mean_bootstrap(values, seed=seed, draws=draws)
    sums: dict[str, list[float]] = {question: [] for question in questions}
    for value, question in zip(values, questions, strict=True):
        if value is not None:
            sums[question].append(value)
    found = mean_pooled([sum(v) for v in sums.values()], [len(v) for v in sums.values()], seed=seed, draws=draws)
    n = sum(map(len, sums.values()))
    return replace(found, n=n, n_missing=len(values) - n)


def standard_error(values: Sequence[float | None], questions: Sequence[str]) -> float | None:
    """Return sd(ddof 1) / √n; where several items belong to one question, the cluster-robust one (CR1)."""
    if len(set(questions)) < len(questions):
        return mean_clustered(values, questions).standard_error
    known = [value for value in values if value is not None]
    return stdev(known) / len(known) ** 0.5 if len(known) > 1 else None


def scaled(estimate: Estimate, factor: float = 100) -> Estimate:
    """Return an estimate in another unit."""
    times: Callable[[float | None], float | None] = lambda x: None if x is None else factor * x  # noqa: E731
    return replace(
        estimate,
        value=times(estimate.value),
        low=times(estimate.low),
        high=times(estimate.high),
        standard_error=times(estimate.standard_error),
    )


def _two_orders(pairs: Sequence[Pair], seed: int, draws: int) -> dict[str, Any]:
    """Return what both orders tell of the judge: how often it contradicts itself and prefers a place.

    flip_rate: items of which the judge prefers one answer in one order and the other in the other; changed_rate: items
    with another verdict in the other order, ties included; items judged once, since their answers are equal, are in
    neither. first_position_rate: of all replies that prefer an answer,
    those that prefer the one shown first; its interval draws items.
    """
    asked = [[order.sign for order in pair.orders] for pair in pairs if len(pair.orders) == 2]
    if not asked:
        reason = "one order: whether the judge contradicts itself can't be told"
        return dict.fromkeys(("flip_rate", "changed_rate", "first_position_rate")) | {"orders_reason": reason}
    both = [signs for signs in asked if None not in signs]
    missing = len(asked) - len(both)
    flips = sum(first * second < 0 for first, second in both if first and second)
    changed = sum(first != second for first, second in both)
    placed = [[order.prefers_first for order in pair.orders] for pair in pairs]
    counts = [sum(x is not None for x in row) for row in placed]
    first = mean_pooled([sum(x or 0 for x in row) for row in placed], counts, seed=seed, draws=draws)
    return {
        "flip_rate": proportion_from_counts(flips, len(both), missing).as_json(),
        "changed_rate": proportion_from_counts(changed, len(both), missing).as_json(),
        "first_position_rate": first.as_json() | {"replies": sum(counts)},
    }


def lengths(
    pairs: Sequence[Pair], values: Sequence[float | None], *, seed: int = 0, draws: int = 10_000
) -> dict[str, Any]:
    """Return how long answers are, in characters, and the win rate that length doesn't explain.

    `longer_wins` is the share of decided items whose longer answer won (its n_missing: items without a verdict or
    lengths; ties and answers of equal length are neither), `not_longer` that of items in which a's answer
    isn't longer than b's: where that is small, the length-controlled rate is an extrapolation.
    """
    known = [pair.lengths for pair in pairs if pair.lengths is not None]
    if not known:
        names = ("avg_length", "avg_length_reference", "win_rate_length_controlled")
        return dict.fromkeys(names) | {"lengths_reason": "the files don't have the answers"}
    gaps = [None if pair.lengths is None else pair.lengths[0] - pair.lengths[1] for pair in pairs]
    fit = share_at_zero(values, gaps, seed=seed, draws=draws)
    controlled = scaled(fit.at_zero)
    decided = [
        (pair.lengths if value > 0.5 else pair.lengths[::-1])
        for pair, value in zip(pairs, values, strict=True)
        if pair.lengths is not None and value is not None and value != 0.5
    ]
    uneven = [(winner, loser) for winner, loser in decided if winner != loser]
    used = [gap for gap, value in zip(gaps, values, strict=True) if gap is not None and value is not None]
    return {
        "avg_length": sum(a for a, _ in known) / len(known),
        "avg_length_reference": sum(b for _, b in known) / len(known),
        "win_rate_length_controlled": controlled.as_json()
        | {"standard_error": controlled.standard_error, "slope": fit.slope, "scale": fit.scale},
        "not_longer": sum(gap <= 0 for gap in used) / len(used) if used else None,
        "longer_wins": proportion_from_counts(
            sum(winner > loser for winner, loser in uneven), len(uneven), len(pairs) - len(used)
        ).as_json(),
        "length_of_winners": sum(w for w, _ in decided) / len(decided) if decided else None,
        "length_of_losers": sum(loser for _, loser in decided) / len(decided) if decided else None,
    }


def by_tag(pairs: Sequence[Pair], rule: Rule = "paper", *, seed: int = 0, draws: int = 10_000) -> dict[str, Any]:
    """Return wins, ties, losses and the win rate per tag, the most frequent first."""
    found: dict[str, list[Pair]] = {}
    for pair in pairs:
        for tag in pair.tags:
            found.setdefault(tag, []).append(pair)
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    return {tag: _of_tag(members, rule, seed, draws) for tag, members in ordered}


def _of_tag(pairs: Sequence[Pair], rule: Rule, seed: int, draws: int) -> dict[str, Any]:
    count = Counter(pair.verdict(rule) for pair in pairs)
    questions = [pair.question or pair.item for pair in pairs]
    rate = scaled(mean_of([pair.value(rule) for pair in pairs], questions, seed=seed, draws=draws))
    return {"wins": count["win"], "ties": count["tie"], "losses": count["loss"], "win_rate": rate.as_json()}


class Reread(NamedTuple):
    """A reply that our reading and the file's stored reading disagree about."""

    item: str
    order: int
    kind: str
    stored: Any
    read: Any
    text: str
    place: str


KINDS = ("same", "differs", "only_stored", "only_read", "neither")
"""What the file stores against what we read in the text: the same; another; nothing read; nothing stored; neither."""


def reread(pairs: Sequence[Pair], parse: Callable[[str, Side], Order]) -> tuple[list[Pair], Counter[str], list[Reread]]:
    """Read every reply again; return the pairs as we read them, counts per kind, and replies read otherwise."""
    counts: Counter[str] = Counter()
    others: list[Reread] = []
    out = []
    for pair in pairs:
        orders = []
        for number, order in enumerate(pair.orders, 1):
            if order.text is None or order.first is None or order.status == "missing":
                orders.append(order)
                continue
            read = parse(order.text, order.first)
            kind = _kind(order, read)
            counts[kind] += 1
            if kind != "same" and kind != "neither":
                others.append(Reread(pair.item, number, kind, _said(order), _said(read), order.text, pair.place))
            orders.append(read)
        out.append(replace(pair, orders=tuple(orders)))
    return out, counts, others


def _said(order: Order) -> Any:
    if order.status != "ok":
        return None
    return list(order.scores) if order.scores is not None else order.preference


def _kind(stored: Order, read: Order) -> str:
    if stored.status != "ok":
        return "neither" if read.status != "ok" else "only_read"
    if read.status != "ok":
        return "only_stored"
    alike = stored.scores == read.scores if stored.scores and read.scores else stored.preference == read.preference
    return "same" if alike else "differs"


def columns(pairs: Sequence[Pair], names: Mapping[Comparison, str], rule: Rule) -> Iterator[dict[str, Any]]:
    """Yield a record per item for the table `items`."""
    for pair in pairs:
        first, second = [*pair.orders, None][:2]
        record: dict[str, Any] = {
            "comparison": names[Comparison.of(pair)],
            "item": pair.item,
            "question": pair.question or pair.item,
            "system": pair.a,
            "reference": pair.b,
            "judge": pair.judge or None,
            "part": pair.part or None,
            "verdict": pair.verdict(rule),
            "value": pair.value(rule),
        }
        for number, order in ((1, first), (2, second)):
            a, b = order.scores if order is not None and order.scores is not None else (None, None)
            record |= {
                f"status_{number}": None if order is None else order.status,
                f"preference_{number}": None if order is None else order.preference,
                f"system_score_{number}": a,
                f"reference_score_{number}": b,
            }
        a_length, b_length = pair.lengths or (None, None)
        yield record | {
            "length": a_length,
            "length_reference": b_length,
            "tags": list(pair.tags),
            "place": pair.place,
        }
