"""What this room's runs say: sentences, and tables laid out as the papers' own."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from tunescope.judgements.scores import ASPECTS, TASKS
from tunescope.runs import RunFolder
from tunescope.views import Cell, Table, View, counted, interval, percent, show

SHOWN_TAGS = 12
FAR = 0.2
"""Share of items in which an answer isn't the longer one, below which length control extrapolates."""


def pairs_view(
    result: Mapping[str, Any],
    found: Mapping[str, Mapping[str, Any]],
    tagged: Mapping[str, Mapping[str, Any]],
    said: Sequence[str],
    counts: Mapping[str, int],
    folder: RunFolder,
) -> View:
    """Say who wins, by how much, what is missing, and what the judge does with places and lengths."""
    sentences: list[str] = []
    if len(found) == 1:
        sentences += _verdict(next(iter(found.values())))
    else:
        total = sum(record["items"] for record in found.values())
        sentences.append(f"{counted(len(found), 'comparison')} of {total:,} items in all.")
    sentences += said
    if counts:
        sentences.append(_rereading(counts))
    tables = [_win_rates(found)]
    if any(record["flip_rate"] for record in found.values()):
        tables.append(_orders(found))
    if any(record["win_rate_length_controlled"] for record in found.values()):
        tables.append(_lengths(found))
    if len(tagged) == 1:
        tables.append(_pair_tags(next(iter(tagged.values()))))
    elif tagged:
        tables.append(_tag_columns(tagged, lambda record: record["win_rate"]["mean"], "Win rates by kind of question"))
    next_steps = (shlex.join(["tunescope", "judge", "leaderboard", str(folder.path)]),)
    return View(tuple(sentences), tuple(tables), next_steps)


def _verdict(record: Mapping[str, Any]) -> Iterator[str]:
    rate = record["win_rate"]
    if rate["mean"] is None:
        yield f"No item of {record['items']:,} has a verdict: {_missing(record)}."
        return
    error = record["standard_error"]
    yield (
        f"{record['system']} against {record['reference']}: {counted(record['wins'], 'win')}, "
        f"{counted(record['ties'], 'tie')}, {record['losses']:,} "
        f"{'loss' if record['losses'] == 1 else 'losses'} of {counted(record['n'], 'item')}; win rate "
        f"{rate['mean']:.2f} %"
        + (f", standard error {error:.2f}" if error is not None else "")
        + f", 95 % interval {interval(rate['low'], rate['high'])}."
    )
    if record["n_missing"] or record["n_unparsed"]:
        yield f"Not counted: {_missing(record)}."
    if record.get("n_needed"):
        yield (
            f"No difference that {record['n']:,} items could show: the interval holds 50 %. About "
            f"{record['n_needed']:,} would show the difference seen."
        )
    controlled = record["win_rate_length_controlled"]
    if controlled and controlled["mean"] is not None:
        far = record["not_longer"]
        known = (
            f", standard error {controlled['standard_error']:.2f}, 95 % interval "
            f"{interval(controlled['low'], controlled['high'])}."
            if controlled["low"] is not None
            else f", without an interval ({controlled['reason']})."
        )
        yield (
            f"At equal length: {controlled['mean']:.2f} %{known}"
            + (
                f" That is an extrapolation: in {percent(1 - far, 0)} of the items {record['system']}'s answer is the "
                "longer one."
                if far < FAR
                else ""
            )
        )


def _missing(record: Mapping[str, Any]) -> str:
    parts = [
        f"{counted(record[name], 'item')} {what}"
        for name, what in (("n_missing", "without a reply"), ("n_unparsed", "whose reply has no verdict"))
        if record[name]
    ]
    return ", ".join(parts) or "nothing is missing"


def _rereading(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    parts = [
        f"{counts[kind]:,} {what}"
        for kind, what in (
            ("differs", "read otherwise than stored"),
            ("only_stored", "stored with scores that we don't find in the text"),
            ("only_read", "stored without scores that the text has (--scores text takes them)"),
            ("neither", "without scores in text and file"),
        )
        if counts.get(kind)
    ]
    if not parts:
        return f"Our reading of the {total:,} {'reply' if total == 1 else 'replies'} is the stored one in all."
    listed = "; they are in rereadings.jsonl" if sum(counts.values()) - counts["same"] - counts["neither"] else ""
    return f"Of {total:,} replies {counts['same']:,} are read as stored, {', '.join(parts)}{listed}."


def _win_rates(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """Lay out win rates as Table 1 of paper 3, with intervals and, where there is any, what is missing."""
    absent = [key for key in ("n_missing", "n_unparsed") if any(record[key] for record in found.values())]
    lines = tuple(
        (
            name,
            _fixed(record["win_rate"]["mean"]),
            _fixed(record["standard_error"]),
            record["wins"],
            record["ties"],
            None if record["avg_length"] is None else int(record["avg_length"]),
            record["losses"],
            interval(record["win_rate"]["low"], record["win_rate"]["high"]),
            record["n"],
            *(record[key] for key in absent),
        )
        for name, record in found.items()
    )
    columns = ("model", "win rate", "standard error", "wins", "draws", "avg length", "losses", "95 % interval", "n")
    note = (
        "The first columns as in Table 1 of paper 3. Win rate: 100 · mean(win 1, draw ½, loss 0) over items with a "
        "verdict; standard error: 100 · sd / √n; interval: percentile bootstrap over items. Lengths are mean "
        "characters."
    )
    return Table("Win rates", (*columns, *(key.removeprefix("n_") for key in absent)), lines, note)


def _fixed(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _orders(found: Mapping[str, Mapping[str, Any]]) -> Table:
    lines: list[tuple[Cell, ...]] = []
    for name, record in found.items():
        if record["flip_rate"]:
            flips, changed, first = (record[key] for key in ("flip_rate", "changed_rate", "first_position_rate"))
            cells = [c for share in (flips, changed, first) for c in (percent(share["mean"], 1), _percents(share))]
            lines.append((name, *cells, flips["n"], first["replies"]))
    columns = ("model", "flips", "95 %", "changes", "95 %", "prefers the first", "95 %", "n", "replies")
    note = (
        "flips: items of which the judge prefers one answer in one order and the other in the other order. changes: "
        "items with another verdict in the other order, ties included. prefers the first: of the replies that prefer "
        "an answer, those for the one shown first (50 % without a leaning)."
    )
    return Table("Two orders", columns, tuple(lines), note)


def _percents(share: Mapping[str, Any]) -> str:
    low, high = share["low"], share["high"]
    return interval(None if low is None else 100 * low, None if high is None else 100 * high, 1)


def _lengths(found: Mapping[str, Mapping[str, Any]]) -> Table:
    lines: list[tuple[Cell, ...]] = []
    for name, record in found.items():
        controlled = record["win_rate_length_controlled"]
        if controlled is None:
            continue
        lines.append(
            (
                name,
                _fixed(controlled["mean"]),
                _fixed(controlled["standard_error"]),
                interval(controlled["low"], controlled["high"]),
                int(record["avg_length_reference"]),
                percent(record["longer_wins"]["mean"], 1),
                None if record["not_longer"] is None else percent(record["not_longer"], 1),
            )
        )
    columns = ("model", "at equal length", "standard error", "95 % interval", "reference's length")
    note = (
        "at equal length: a logistic regression of the preference on tanh(difference of lengths / its sd), predicted "
        "at a difference of 0 (after Dubois et al. 2024, without their terms for each prompt); standard error and "
        "interval from a bootstrap that fits anew in each draw. longer wins: of decided items. not longer: items in "
        "which the model's answer isn't the longer one; where they are few, the number at equal length is an "
        "extrapolation."
    )
    return Table("Lengths", (*columns, "longer wins", "not longer"), tuple(lines), note)


def _tag_columns(tagged: Mapping[str, Mapping[str, Any]], of: Callable[[Any], float | None], title: str) -> Table:
    """Set several models side by side, a column per kind of question."""
    every = list(dict.fromkeys(tag for tags in tagged.values() for tag in tags))
    kinds = every[:SHOWN_TAGS]
    lines = tuple(
        (name, *(_fixed(of(tags[kind])) if kind in tags else None for kind in kinds)) for name, tags in tagged.items()
    )
    note = f"The intervals are in the result (--json). {_of_all(every)}".strip()
    return Table(title, ("model", *kinds), lines, note)


def _of_all(tags: Collection[str]) -> str:
    """Say how many kinds of question a table leaves out, if any."""
    if len(tags) <= SHOWN_TAGS:
        return ""
    return f"The first {SHOWN_TAGS} of {len(tags):,} kinds; the result (--json) has all."


def _pair_tags(tags: Mapping[str, Any]) -> Table:
    lines = tuple(
        (
            tag,
            _fixed(record["win_rate"]["mean"]),
            interval(record["win_rate"]["low"], record["win_rate"]["high"]),
            record["wins"],
            record["ties"],
            record["losses"],
            record["win_rate"]["n"],
            record["win_rate"]["n_missing"],
        )
        for tag, record in list(tags.items())[:SHOWN_TAGS]
    )
    columns = ("kind", "win rate", "95 % interval", "wins", "draws", "losses", "n", "missing")
    return Table("By kind of question", columns, lines, _of_all(tags))


def grades_view(
    result: Mapping[str, Any],
    found: Mapping[str, Mapping[str, Any]],
    tagged: Mapping[str, Mapping[str, Any]],
    said: Sequence[str],
    counts: Mapping[str, int],
    folder: RunFolder,
) -> View:
    """Say the means per aspect, what is missing of each, and the means per kind of question."""
    sentences = [_graded(name, record) for name, record in found.items()]
    sentences += said
    if counts:
        sentences.append(_rereading(counts))
    test_set = result.get("test_set", result["format"])
    tables = [_aspects(found, test_set), _aspect_details(found)]
    if result.get("differences"):
        tables.append(_differences(result["differences"], result["against"]))
    if tagged:
        if any(task in tags for tags in tagged.values() for task in TASKS):
            tables.append(_tasks(tagged, found, test_set))
        if len(tagged) == 1:
            tables.append(_grade_tags(next(iter(tagged.values()))))
    return View(tuple(sentences), tuple(tables), (shlex.join(["tunescope", "judge", "leaderboard", str(folder.path)]),))


def _graded(name: str, record: Mapping[str, Any]) -> str:
    parts = [f"{aspect} {show(_fixed(numbers['mean']))}" for aspect, numbers in record["aspects"].items()]
    applied = sum(numbers["n_not_applicable"] for numbers in record["aspects"].values())
    told = f"{name}, {counted(record['items'], 'answer')}: {', '.join(parts)}."
    if applied:
        told += f' {counted(applied, "score")} "not applicable", which {"is" if applied == 1 else "are"} missing.'
    if record["n_unparsed"]:
        told += f" {record['n_unparsed']:,} without scores that can be read."
    return told


def _aspects(found: Mapping[str, Mapping[str, Any]], test_set: str) -> Table:
    """Lay out means as Tables 13 to 15 of paper 2."""
    names = list(dict.fromkeys(aspect for record in found.values() for aspect in record["aspects"]))
    lines = tuple(
        (
            name,
            None,
            f"{test_set} {record['items']:,}",
            *(_fixed(record["aspects"].get(aspect, {}).get("mean")) for aspect in names),
        )
        for name, record in found.items()
    )
    note = (
        "As Tables 13 to 15 of paper 2: means over all answers; what is missing counts nowhere."
        if ASPECTS[0] in names
        else ""
    )
    return Table("Aspects", ("Models", "Train Set", "Test Set", *(n.capitalize() for n in names)), lines, note)


def _aspect_details(found: Mapping[str, Mapping[str, Any]]) -> Table:
    absent = any(_absent(a) for record in found.values() for a in record["aspects"].values())
    published = any("mean_as_published" in a for record in found.values() for a in record["aspects"].values())
    lines = tuple(
        (
            name,
            aspect,
            _fixed(numbers["mean"]),
            interval(numbers["low"], numbers["high"]),
            numbers["n"],
            numbers["n_not_applicable"],
            numbers["n_unparsed"],
            *((_absent(numbers),) if absent else ()),
            *((_fixed(numbers.get("mean_as_published")),) if published else ()),
        )
        for name, record in found.items()
        for aspect, numbers in record["aspects"].items()
    )
    columns = (
        "model",
        "aspect",
        "mean",
        "95 % interval",
        "n",
        "N/A",
        "unparsed",
        *(("missing",) if absent else ()),
        *(("N/A as 5.0",) if published else ()),
    )
    note = "Intervals: percentile bootstrap over answers."
    if published:
        note += " N/A as 5.0: what just-eval's own script makes of it."
    return Table("Aspects, with intervals", columns, lines, note)


def _absent(numbers: Mapping[str, Any]) -> int:
    """Return how many scores aren't there at all: no reply, or none on this aspect."""
    return int(numbers["n_missing"] - numbers["n_not_applicable"] - numbers["n_unparsed"])


def _differences(differences: Mapping[str, Mapping[str, Any]], against: str) -> Table:
    lines = tuple(
        (
            name,
            aspect,
            _fixed(numbers["mean"]),
            interval(numbers["low"], numbers["high"]),
            numbers["p"],
            numbers["n"],
            numbers["n_missing"],
        )
        for name, aspects in differences.items()
        for aspect, numbers in aspects.items()
    )
    columns = ("model", "aspect", "difference", "95 % interval", "p", "n", "missing")
    note = "Item by item (turns of a question are one), on those of both; percentile-bootstrap interval, sign-flip p."
    return Table(f"Minus {against}", columns, lines, note)


def _tasks(tagged: Mapping[str, Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]], test_set: str) -> Table:
    """Lay out means over all aspects as Tables 16 and 17 of paper 2."""
    lines = tuple(
        (
            name,
            None,
            f"{test_set} {found[name]['items']:,}",
            *(_fixed(tags[task]["mean"]) if task in tags else None for task in TASKS),
        )
        for name, tags in tagged.items()
    )
    columns = ("Models", "Train Set", "Test Set", *(task.title() for task in TASKS))
    return Table(
        "Tasks", columns, lines, "As Tables 16 and 17 of paper 2: means over all aspects, by kind of question."
    )


def _grade_tags(tags: Mapping[str, Any]) -> Table:
    lines = tuple(
        (tag, _fixed(record["mean"]), interval(record["low"], record["high"]), record["n"], record["n_missing"])
        for tag, record in list(tags.items())[:SHOWN_TAGS]
    )
    columns = ("kind", "mean of all aspects", "95 % interval", "n", "missing")
    return Table("By kind of question", columns, lines, _of_all(tags))
