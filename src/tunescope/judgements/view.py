"""What runs of a judge say: sentences, and tables laid out as in the papers."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunescope.judgements.rereading import Rereading
from tunescope.judgements.scores import ASPECTS, TASKS
from tunescope.judgements.summary import Summary
from tunescope.views import Cell, Table, View, counted, interval, percent, percent_interval, show

_SHOWN_TAGS = 12
_EXTRAPOLATED = 0.2
"""Share of items in which an answer isn't the longer one, or isn't the shorter one, below which length control is an
extrapolation."""
_WIN_RATES_NOTE = (
    "The first columns are those of Table 1 in the Reflection-Tuning paper. Win rate: 100 · mean(win 1, draw ½, loss "
    "0) over items with a verdict. Standard error: 100 · sd / √n. Interval: Wilson's, over items. Lengths are mean "
    "characters."
)
_ORDERS_NOTE = (
    "Flips: the judge prefers one answer in one order and the other answer in the other order. Changes: the verdict "
    "differs between the orders, ties included. Prefers the first: of the replies that prefer an answer, those for the "
    "answer shown first. A judge without position bias has 50 %."
)
_LENGTHS_NOTE = (
    "At equal length: a logistic regression of the preference on tanh(difference of lengths / its sd), predicted at a "
    "difference of 0 (after Dubois et al. 2024, without their terms for each prompt). Longer wins: share of decided "
    "items that the longer answer won. Not longer, not shorter: share of items in which the model's answer isn't the "
    "longer one, or the shorter one. Where one is small, the win rate at equal length is an extrapolation."
)


def pairs_view(summary: Summary, about: Sequence[str], run: Path) -> View:
    """Show who wins and by how much, what is missing, and how the judge deals with positions and lengths.

    `about` are sentences about how the judgements were made or read.
    """
    groups = summary.groups
    if len(groups) == 1:
        sentences = [*_win_rate_sentences(next(iter(groups.values())))]
    else:
        total = sum(numbers["items"] for numbers in groups.values())
        sentences = [f"{counted(len(groups), 'comparison')} of {total:,} items in all."]
    sentences += [*about, *_rereading_sentences(summary.rereading)]
    tables = [_win_rates(groups)]
    if any(numbers["flip_rate"] for numbers in groups.values()):
        tables.append(_orders(groups))
    if any(numbers["win_rate_length_controlled"] for numbers in groups.values()):
        tables.append(_lengths(groups))
    if len(summary.tags) == 1:
        tables.append(_win_rates_by_tag(next(iter(summary.tags.values()))))
    elif summary.tags:
        tables.append(_tag_columns(summary.tags))
    return View(tuple(sentences), tuple(tables), (_leaderboard(run),))


def scores_view(summary: Summary, about: Sequence[str], run: Path, test_set: str) -> View:
    """Show the means per aspect, what is missing of each, and the means per kind of question.

    `about` are sentences about how the judgements were made or read; `test_set` is what the items are called.
    """
    groups, tags = summary.groups, summary.tags
    sentences = [_means_sentence(name, numbers) for name, numbers in groups.items()]
    sentences += [*about, *_rereading_sentences(summary.rereading)]
    tables = [_aspects(groups, test_set), _aspect_details(groups)]
    if summary.differences:
        tables.append(_differences(summary.differences, list(groups)[-1]))
    if any(task in of_group for of_group in tags.values() for task in TASKS):
        tables.append(_tasks(tags, groups, test_set))
    if len(tags) == 1:
        tables.append(_means_by_tag(next(iter(tags.values()))))
    return View(tuple(sentences), tuple(tables), (_leaderboard(run),))


def _leaderboard(run: Path) -> str:
    return shlex.join(["tunescope", "judge", "leaderboard", str(run)])


def _win_rate_sentences(numbers: Mapping[str, Any]) -> Iterator[str]:
    rate = numbers["win_rate"]
    if rate["mean"] is None:
        yield f"None of {counted(numbers['items'], 'item')} has a verdict: {_missing(numbers)}."
        return
    losses = f"{numbers['losses']:,} {'loss' if numbers['losses'] == 1 else 'losses'}"
    yield (
        f"{numbers['system']} against {numbers['reference']}: {counted(numbers['wins'], 'win')}, "
        f"{counted(numbers['ties'], 'tie')} and {losses} on {counted(numbers['n'], 'item')}. "
        f"Win rate {rate['mean']:.2f} %{_uncertainty(numbers['standard_error'], rate)}."
    )
    if numbers["n_missing"] or numbers["n_unparsed"]:
        yield f"Not counted: {_missing(numbers)}."
    if numbers.get("n_needed"):
        yield (
            f"The interval contains 50 %, so {counted(numbers['n'], 'item')} can't show which system is better. A "
            f"difference of this size needs about {numbers['n_needed']:,} items."
        )
    controlled = numbers["win_rate_length_controlled"]
    if controlled and controlled["mean"] is not None:
        yield _length_sentence(numbers, controlled)


def _uncertainty(error: float | None, estimate: Mapping[str, Any]) -> str:
    standard_error = "" if error is None else f", standard error {error:.2f}"
    if estimate["low"] is None:
        return f"{standard_error}, without an interval ({estimate['reason']})"
    return f"{standard_error}, 95 % interval {interval(estimate['low'], estimate['high'])}"


def _length_sentence(numbers: Mapping[str, Any], controlled: Mapping[str, Any]) -> str:
    uncertainty = _uncertainty(controlled["standard_error"], controlled)
    sentence = f"At equal length the win rate is {controlled['mean']:.2f} %{uncertainty}."
    for way in ("longer", "shorter"):
        if numbers[f"not_{way}"] < _EXTRAPOLATED:
            share = percent(1 - numbers[f"not_{way}"], 0)
            sentence += (
                f" This is an extrapolation: {numbers['system']}'s answer is the {way} one in {share} of the items."
            )
    return sentence


def _missing(numbers: Mapping[str, Any]) -> str:
    parts = [
        f"{counted(numbers[name], 'item')} {what}"
        for name, what in (("n_missing", "without a reply"), ("n_unparsed", "whose reply has no verdict"))
        if numbers[name]
    ]
    return ", ".join(parts) or "nothing is missing"


def _rereading_sentences(rereading: Rereading | None) -> Iterator[str]:
    if rereading is None or not rereading.kinds:
        return
    kinds, total = rereading.kinds, sum(rereading.kinds.values())
    replies = f"{total:,} {'reply' if total == 1 else 'replies'}"
    parts = [
        f"{kinds[kind]:,} {what}"
        for kind, what in (
            ("differs", "with another verdict than the stored one"),
            ("only_stored", "with a stored verdict that we don't find in the text"),
            ("only_read", "with a verdict in the text that isn't stored (--scores text counts it)"),
            ("neither", "without a verdict, in the text and stored"),
        )
        if kinds[kind]
    ]
    if not parts:
        yield f"We read {replies} again and found the stored verdict in every one."
        return
    listed = " rereadings.jsonl lists those that differ." if rereading.differences else ""
    yield f"We read {replies} again: {kinds['same']:,} with the stored verdict, {', '.join(parts)}.{listed}"


def _win_rates(groups: Mapping[str, Mapping[str, Any]]) -> Table:
    """Lay out win rates as in Table 1 of the Reflection-Tuning paper, with intervals and with what is missing."""
    absent = [key for key in ("n_missing", "n_unparsed") if any(numbers[key] for numbers in groups.values())]
    lines = tuple(
        (
            name,
            fixed(numbers["win_rate"]["mean"]),
            fixed(numbers["standard_error"]),
            numbers["wins"],
            numbers["ties"],
            None if numbers["avg_length"] is None else int(numbers["avg_length"]),
            numbers["losses"],
            interval(numbers["win_rate"]["low"], numbers["win_rate"]["high"]),
            numbers["n"],
            *(numbers[key] for key in absent),
        )
        for name, numbers in groups.items()
    )
    columns = ("model", "win rate", "standard error", "wins", "draws", "avg length", "losses", "95 % interval", "n")
    return Table("Win rates", (*columns, *(key.removeprefix("n_") for key in absent)), lines, _WIN_RATES_NOTE)


def fixed(value: float | None) -> float | None:
    """Round to two decimals, as the papers print win rates and scores."""
    return None if value is None else round(value, 2)


def _orders(groups: Mapping[str, Mapping[str, Any]]) -> Table:
    lines: list[tuple[Cell, ...]] = []
    for name, numbers in groups.items():
        if numbers["flip_rate"]:
            shares = [numbers[key] for key in ("flip_rate", "changed_rate", "first_position_rate")]
            cells = [c for share in shares for c in (percent(share["mean"], 1), _percent_interval(share))]
            lines.append((name, *cells, numbers["flip_rate"]["n"], numbers["first_position_rate"]["replies"]))
    columns = ("model", "flips", "95 %", "changes", "95 %", "prefers the first", "95 %", "n", "replies")
    return Table("Two orders", columns, tuple(lines), _ORDERS_NOTE)


def _percent_interval(share: Mapping[str, Any]) -> str:
    return percent_interval(share["low"], share["high"], 1)


def _lengths(groups: Mapping[str, Mapping[str, Any]]) -> Table:
    lines: list[tuple[Cell, ...]] = []
    for name, numbers in groups.items():
        controlled = numbers["win_rate_length_controlled"]
        if controlled is None:
            continue
        lines.append(
            (
                name,
                fixed(controlled["mean"]),
                fixed(controlled["standard_error"]),
                interval(controlled["low"], controlled["high"]),
                int(numbers["avg_length_reference"]),
                percent(numbers["longer_wins"]["mean"], 1),
                percent(numbers["not_longer"], 1),
                percent(numbers["not_shorter"], 1),
            )
        )
    columns = ("model", "at equal length", "standard error", "95 % interval", "reference's length")
    return Table("Lengths", (*columns, "longer wins", "not longer", "not shorter"), tuple(lines), _LENGTHS_NOTE)


def _tag_columns(tags: Mapping[str, Mapping[str, Any]]) -> Table:
    """Lay out the win rates of several models, a column per kind of question."""
    kinds = list(dict.fromkeys(tag for of_group in tags.values() for tag in of_group))
    shown = kinds[:_SHOWN_TAGS]
    win_rate: Callable[[Mapping[str, Any]], float | None] = lambda of_tag: fixed(of_tag["win_rate"]["mean"])  # noqa: E731
    lines = tuple(
        (name, *(win_rate(of_group[kind]) if kind in of_group else None for kind in shown))
        for name, of_group in tags.items()
    )
    note = f"The intervals are in the result (--json). {_omitted_tags(kinds)}".strip()
    return Table("Win rates by kind of question", ("model", *shown), lines, note)


def _omitted_tags(tags: Collection[str]) -> str:
    """Say how many kinds of question a table leaves out, if any."""
    if len(tags) <= _SHOWN_TAGS:
        return ""
    return f"These are the first {_SHOWN_TAGS} of {len(tags):,} kinds. The result (--json) has all."


def _win_rates_by_tag(tags: Mapping[str, Any]) -> Table:
    lines = tuple(
        (
            tag,
            fixed(numbers["win_rate"]["mean"]),
            interval(numbers["win_rate"]["low"], numbers["win_rate"]["high"]),
            numbers["wins"],
            numbers["ties"],
            numbers["losses"],
            numbers["win_rate"]["n"],
            numbers["win_rate"]["n_missing"],
        )
        for tag, numbers in list(tags.items())[:_SHOWN_TAGS]
    )
    columns = ("kind", "win rate", "95 % interval", "wins", "draws", "losses", "n", "missing")
    return Table("By kind of question", columns, lines, _omitted_tags(tags))


def _means_sentence(name: str, numbers: Mapping[str, Any]) -> str:
    aspects = numbers["aspects"]
    parts = [f"{aspect} {show(fixed(of_aspect['mean']))}" for aspect, of_aspect in aspects.items()]
    not_applicable = sum(of_aspect["n_not_applicable"] for of_aspect in aspects.values())
    sentence = f"{name}, {counted(numbers['items'], 'answer')}: {', '.join(parts)}."
    if not_applicable:
        verb = "is" if not_applicable == 1 else "are"
        sentence += f' {counted(not_applicable, "score")} {verb} "not applicable" and counted as missing.'
    if numbers["n_unparsed"]:
        replies = "reply has" if numbers["n_unparsed"] == 1 else "replies have"
        sentence += f" {numbers['n_unparsed']:,} {replies} no scores that can be read."
    return sentence


def _aspects(groups: Mapping[str, Mapping[str, Any]], test_set: str) -> Table:
    """Lay out means as in Tables 13 to 15 of the Limitations paper."""
    names = list(dict.fromkeys(aspect for numbers in groups.values() for aspect in numbers["aspects"]))
    lines = tuple(
        (
            name,
            None,
            f"{test_set} {numbers['items']:,}",
            *(fixed(numbers["aspects"].get(aspect, {}).get("mean")) for aspect in names),
        )
        for name, numbers in groups.items()
    )
    note = "Means over all answers with a score." + (
        " The columns are those of Tables 13 to 15 in the Limitations paper." if ASPECTS[0] in names else ""
    )
    return Table("Aspects", ("Models", "Train Set", "Test Set", *(n.capitalize() for n in names)), lines, note)


def _aspect_details(groups: Mapping[str, Mapping[str, Any]]) -> Table:
    aspects = [(name, *item) for name, numbers in groups.items() for item in numbers["aspects"].items()]
    absent = any(_n_absent(numbers) for *_, numbers in aspects)
    published = any("mean_as_published" in numbers for *_, numbers in aspects)
    lines = tuple(
        (
            name,
            aspect,
            fixed(numbers["mean"]),
            interval(numbers["low"], numbers["high"]),
            numbers["n"],
            numbers["n_not_applicable"],
            numbers["n_unparsed"],
            *((_n_absent(numbers),) if absent else ()),
            *((fixed(numbers.get("mean_as_published")),) if published else ()),
        )
        for name, aspect, numbers in aspects
    )
    columns = ["model", "aspect", "mean", "95 % interval", "n", "N/A", "unparsed"]
    columns += ["missing"] * absent + ["N/A as 5.0"] * published
    note = "Intervals are over answers, or over questions of several turns."
    if published:
        note += ' N/A as 5.0: the mean as just-eval\'s own script computes it, with 5.0 for every "N/A".'
    return Table("Aspects, with intervals", tuple(columns), lines, note)


def _n_absent(numbers: Mapping[str, Any]) -> int:
    """Return how many scores aren't there at all: no reply, or no score in this aspect."""
    return int(numbers["n_missing"] - numbers["n_not_applicable"] - numbers["n_unparsed"])


def _differences(differences: Mapping[str, Mapping[str, Any]], against: str) -> Table:
    lines = tuple(
        (
            name,
            aspect,
            fixed(numbers["mean"]),
            interval(numbers["low"], numbers["high"]),
            numbers["p"],
            numbers["n"],
            numbers["n_missing"],
        )
        for name, aspects in differences.items()
        for aspect, numbers in aspects.items()
    )
    columns = ("model", "aspect", "difference", "95 % interval", "p", "n", "missing")
    note = (
        "Differences on the items that both systems have. Turns of one question count as one item. p: sign-flip test."
    )
    return Table(f"Minus {against}", columns, lines, note)


def _tasks(tags: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Mapping[str, Any]], test_set: str) -> Table:
    """Lay out means over all aspects as in Tables 16 and 17 of the Limitations paper."""
    lines = tuple(
        (
            name,
            None,
            f"{test_set} {groups[name]['items']:,}",
            *(fixed(of_group[task]["mean"]) if task in of_group else None for task in TASKS),
        )
        for name, of_group in tags.items()
    )
    columns = ("Models", "Train Set", "Test Set", *(task.title() for task in TASKS))
    note = "Means over all aspects. The columns are those of Tables 16 and 17 in the Limitations paper."
    return Table("Tasks", columns, lines, note)


def _means_by_tag(tags: Mapping[str, Any]) -> Table:
    lines = tuple(
        (tag, fixed(numbers["mean"]), interval(numbers["low"], numbers["high"]), numbers["n"], numbers["n_missing"])
        for tag, numbers in list(tags.items())[:_SHOWN_TAGS]
    )
    columns = ("kind", "mean of all aspects", "95 % interval", "n", "missing")
    return Table("By kind of question", columns, lines, _omitted_tags(tags))
