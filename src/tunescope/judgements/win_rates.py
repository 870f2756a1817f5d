"""Numbers from judgements of two answers: wins, win rates, flips, position preference, lengths. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import stdev
from typing import Any

from tunescope.judgements.records import (
    Comparison,
    PairJudgement,
    Presentation,
    Rule,
    Side,
    Verdict,
    by_judge,
    unique_names,
)
from tunescope.judgements.rereading import Rereading, RereadingKind
from tunescope.results.judge import PairRow
from tunescope.stats import (
    UNBOUNDED,
    Bounds,
    Estimate,
    clustered_standard_error,
    mean,
    mean_pooled,
    mean_share,
    n_needed,
    proportion_from_counts,
    share_at_zero,
    share_clustered,
    share_pooled,
    sum_clusters,
)

_DECIDED: tuple[Verdict, ...] = ("win", "tie", "loss")


def group_by_comparison(pairs: Sequence[PairJudgement]) -> dict[Comparison, list[PairJudgement]]:
    """Group judgements by who is compared with whom, in the order of the files."""
    groups: dict[Comparison, list[PairJudgement]] = {}
    for pair in pairs:
        groups.setdefault(Comparison.of(pair), []).append(pair)
    return groups


def against(pairs: Sequence[PairJudgement], reference: str) -> list[PairJudgement]:
    """Return the judgements that `reference` is part of, swapped so that it is b."""
    return [pair if pair.b == reference else pair.swapped for pair in pairs if reference in (pair.a, pair.b)]


def comparison_names(comparisons: Sequence[Comparison]) -> dict[Comparison, str]:
    """Give every comparison a name: of part, systems and judge only what differs between the comparisons."""
    parts = [[c.part, c.a, c.b, c.judge] for c in comparisons]
    several_parts, several_a, several_b, several_judges = (len({part[i] for part in parts}) > 1 for i in range(4))
    if several_b or not (several_parts or several_a or several_judges):
        several_a = True

    def name(c: Comparison) -> str:
        systems = (c.a, *(("vs", c.b) if several_b else ())) if several_a else ()
        words = (c.part if several_parts else "", *systems, by_judge(c.judge) if several_judges else "")
        return " ".join(filter(None, words))

    return dict(zip(comparisons, unique_names(map(name, comparisons)), strict=True))


def summarize_pairs(pairs: Sequence[PairJudgement], rule: Rule = "net") -> dict[str, Any]:
    """Return the numbers of one comparison: rates such as `win_rate` in per cent, all other shares from 0 to 1.

    win_rate is 100 · mean(win 1, tie ½, loss 0) over items with a verdict, and its standard error is
    100 · sd(ddof 1) / √n. Where several items are turns of one question, both are computed from whole questions (see
    `_win_share`). `discrete_win_rate` counts wins and ties alone, where the judge's preferences lie in between.
    """
    count = Counter(pair.verdict(rule) for pair in pairs)
    values = [pair.value(rule) for pair in pairs]
    n = sum(count[verdict] for verdict in _DECIDED)
    questions = [pair.question or pair.item for pair in pairs]
    rate = _scaled(_win_share(values, questions))
    error = standard_error(values, questions)
    summary: dict[str, Any] = {
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
        summary["n_needed"] = n_needed(rate.value - 50, sd).n
    return summary | _order_effects(pairs) | _lengths(pairs, values)


def _win_share(values: Sequence[float | None], questions: Sequence[str]) -> Estimate:
    """Return the mean of values in [0, 1] with Wilson's interval of the effective n, over questions.

    `values` and `questions` have one entry per item; None is missing.
    """
    if len(set(questions)) == len(questions):
        return mean_share(values)
    return share_clustered(values, questions)


def mean_of(values: Sequence[float | None], questions: Sequence[str], scale: Bounds = UNBOUNDED) -> Estimate:
    """Return the mean of scores with its interval over items, or over questions where one has several items.

    `values` and `questions` have one entry per item; None is missing. The interval ends at the ends of the `scale`.
    """
    if len(set(questions)) == len(questions):
        return mean(values, bounds=scale)
    sums, counts, n_missing = sum_clusters(values, questions)
    return replace(mean_pooled(sums, counts, bounds=scale), n=int(counts.sum()), n_missing=n_missing)


def standard_error(values: Sequence[float | None], questions: Sequence[str]) -> float | None:
    """Return sd(ddof 1) / √n, or the cluster-robust standard error (CR1) where one question has several items."""
    if len(set(questions)) < len(questions):
        return clustered_standard_error(values, questions)
    known = [value for value in values if value is not None]
    return stdev(known) / len(known) ** 0.5 if len(known) > 1 else None


def _scaled(estimate: Estimate, factor: float = 100) -> Estimate:
    """Return an estimate in another unit, by default in per cent."""
    times: Callable[[float | None], float | None] = lambda x: None if x is None else factor * x  # noqa: E731
    return replace(
        estimate,
        value=times(estimate.value),
        low=times(estimate.low),
        high=times(estimate.high),
        standard_error=times(estimate.standard_error),
    )


def _order_effects(pairs: Sequence[PairJudgement]) -> dict[str, Any]:
    """Return what both orders say about the judge: how often it contradicts itself and prefers a position.

    flip_rate: items on which the judge prefers one answer in one order and the other answer in the other order.
    changed_rate: items with another verdict in the other order, ties included. Both leave out items that were judged
    once, since their answers are equal. first_position_rate: of all replies that prefer an answer, those that prefer
    the one shown first; its interval is over items.
    """
    signs = [[order.sign for order in pair.orders] for pair in pairs if len(pair.orders) == 2]
    if not signs:
        reason = "there is one order, which can't show whether the judge contradicts itself"
        return dict.fromkeys(("flip_rate", "changed_rate", "first_position_rate")) | {"orders_reason": reason}
    complete = [both for both in signs if None not in both]
    missing = len(signs) - len(complete)
    flips = sum(first * second < 0 for first, second in complete if first and second)
    changed = sum(first != second for first, second in complete)
    preferences = [[order.prefers_first for order in pair.orders] for pair in pairs]
    counts = [sum(x is not None for x in row) for row in preferences]
    first = share_pooled([sum(x or 0 for x in row) for row in preferences], counts)
    return {
        "flip_rate": proportion_from_counts(flips, len(complete), missing).as_json(),
        "changed_rate": proportion_from_counts(changed, len(complete), missing).as_json(),
        "first_position_rate": first.as_json() | {"replies": sum(counts)},
    }


def _lengths(pairs: Sequence[PairJudgement], values: Sequence[float | None]) -> dict[str, Any]:
    """Return the lengths of answers in characters, and the win rate that length doesn't explain.

    `longer_wins` is the share of decided items that the longer answer won. Its n_missing counts items without a
    verdict or without lengths; ties and answers of equal length count nowhere. `not_longer` and
    `not_shorter` are the shares of items in which a's answer isn't longer, or shorter, than b's. Where one of them is
    small, the length-controlled rate is an extrapolation.
    """
    both_lengths = [pair.lengths for pair in pairs if pair.lengths is not None]
    if not both_lengths:
        names = ("avg_length", "avg_length_reference", "win_rate_length_controlled")
        return dict.fromkeys(names) | {"lengths_reason": "the files don't have the answers"}
    gaps = [None if pair.lengths is None else pair.lengths[0] - pair.lengths[1] for pair in pairs]
    fit = share_at_zero(values, gaps)
    controlled = _scaled(fit.at_zero)
    decided = [
        (pair.lengths if value > 0.5 else pair.lengths[::-1])
        for pair, value in zip(pairs, values, strict=True)
        if pair.lengths is not None and value is not None and value != 0.5
    ]
    uneven = [(winner, loser) for winner, loser in decided if winner != loser]
    used = [gap for gap, value in zip(gaps, values, strict=True) if gap is not None and value is not None]
    return {
        "avg_length": sum(a for a, _ in both_lengths) / len(both_lengths),
        "avg_length_reference": sum(b for _, b in both_lengths) / len(both_lengths),
        "win_rate_length_controlled": controlled.as_json()
        | {"standard_error": controlled.standard_error, "slope": fit.slope, "scale": fit.scale},
        "not_longer": sum(gap <= 0 for gap in used) / len(used) if used else None,
        "not_shorter": sum(gap >= 0 for gap in used) / len(used) if used else None,
        "longer_wins": proportion_from_counts(
            sum(winner > loser for winner, loser in uneven), len(uneven), len(pairs) - len(used)
        ).as_json(),
        "length_of_winners": sum(w for w, _ in decided) / len(decided) if decided else None,
        "length_of_losers": sum(loser for _, loser in decided) / len(decided) if decided else None,
    }


def pairs_by_tag(pairs: Sequence[PairJudgement], rule: Rule = "net") -> dict[str, Any]:
    """Return wins, ties, losses and the win rate per tag, the most frequent tag first."""
    by_tag: dict[str, list[PairJudgement]] = {}
    for pair in pairs:
        for tag in pair.tags:
            by_tag.setdefault(tag, []).append(pair)
    ordered = sorted(by_tag.items(), key=lambda item: -len(item[1]))
    return {tag: _summarize_tag(members, rule) for tag, members in ordered}


def _summarize_tag(pairs: Sequence[PairJudgement], rule: Rule) -> dict[str, Any]:
    count = Counter(pair.verdict(rule) for pair in pairs)
    questions = [pair.question or pair.item for pair in pairs]
    rate = _scaled(_win_share([pair.value(rule) for pair in pairs], questions))
    return {"wins": count["win"], "ties": count["tie"], "losses": count["loss"], "win_rate": rate.as_json()}


def reread_pairs(
    pairs: Sequence[PairJudgement], parse: Callable[[str, Side], Presentation]
) -> tuple[list[PairJudgement], Rereading]:
    """Read every reply again; return the judgements as we read them, and how that compares with the stored ones."""
    rereading = Rereading()
    reread = []
    for pair in pairs:
        orders = []
        for number, order in enumerate(pair.orders, 1):
            if order.text is None or order.first is None or order.status == "missing":
                orders.append(order)
                continue
            ours = parse(order.text, order.first)
            stored_verdict, our_verdict = _verdict_of(order), _verdict_of(ours)
            kind = _agreement(order, ours)
            record = {"item": pair.item, "order": number, "kind": kind, "stored": stored_verdict, "read": our_verdict}
            rereading.add(kind, record | {"text": order.text, "place": pair.place})
            orders.append(ours)
        reread.append(replace(pair, orders=tuple(orders)))
    return reread, rereading


def _verdict_of(order: Presentation) -> Any:
    """Return the scores, else the preference, as JSON; None without a verdict."""
    if order.status != "ok":
        return None
    return list(order.scores) if order.scores is not None else order.preference


def _agreement(stored: Presentation, read: Presentation) -> RereadingKind:
    if stored.status != "ok":
        return "neither" if read.status != "ok" else "only_read"
    if read.status != "ok":
        return "only_stored"
    same = stored.scores == read.scores if stored.scores and read.scores else stored.preference == read.preference
    return "same" if same else "differs"


def pair_rows(pairs: Sequence[PairJudgement], names: Mapping[Comparison, str], rule: Rule) -> Iterator[dict[str, Any]]:
    """Yield the rows of the table `items`."""
    for pair in pairs:
        first, second = [*pair.orders, None][:2]
        length, length_reference = pair.lengths or (None, None)
        yield PairRow(
            comparison=names[Comparison.of(pair)],
            item=pair.item,
            question=pair.question or pair.item,
            system=pair.a,
            reference=pair.b,
            judge=pair.judge or None,
            part=pair.part or None,
            verdict=pair.verdict(rule),
            value=pair.value(rule),
            **_presentation_columns(1, first),
            **_presentation_columns(2, second),
            length=length,
            length_reference=length_reference,
            tags=pair.tags,
            place=pair.place,
        ).as_json()


def _presentation_columns(number: int, order: Presentation | None) -> dict[str, Any]:
    a, b = order.scores if order is not None and order.scores is not None else (None, None)
    return {
        f"status_{number}": None if order is None else order.status,
        f"preference_{number}": None if order is None else order.preference,
        f"system_score_{number}": a,
        f"reference_score_{number}": b,
    }
