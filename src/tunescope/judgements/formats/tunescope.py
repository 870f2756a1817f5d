"""Our own `judgements.jsonl`: what `judge pairwise`, `winrate` and `aspects` keep of every judgement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunescope.errors import InputError, Problem
from tunescope.judgements.files import Document, Entry, Problems
from tunescope.judgements.records import FAILED, PLAIN, WHY, Grade, Judgements, Options, Order, Pair, Score, Side
from tunescope.rows.json_text import abbreviate, kind
from tunescope.stats import Estimate, proportion_from_counts
from tunescope.views import counted, interval, percent

NAME = "tunescope"
SHAPE = '{"kind": "pair", "item", "system", "reference", "judge", "orders": […]} (or "kind": "grade" and "scores")'
FORMULA = (
    "A reply without a verdict is unparsed, and one that never came is missing; neither counts as a draw or a score. "
    "Two answers that are equal are a tie without asking."
)
NO_TEXT = (
    "whether a reply of ours only repeats an answer can't be told without the answers; type the judge's own command "
    "again, which takes the replies from its journal"
)
"""Why replies aren't read again."""
SIDES: Mapping[str, Side] = {"system": "a", "reference": "b"}


def detect(record: Mapping[str, Any]) -> bool:
    """Tell by the columns."""
    known = {"item", "system", "judge"} <= record.keys()
    return known and {"pair": "orders", "grade": "scores"}.get(str(record.get("kind")), "") in record


def read(documents: Sequence[Document], options: Options = PLAIN) -> Judgements:
    """Read judgements of two answers, or of single ones; those of an answer and its own copy are summed up apart.

    Raises:
        InputError: a record that is none of these, or both kinds in one call.
    """
    problems, pairs, grades, controls = Problems(), list[Pair](), list[Grade](), list[Pair]()
    records, seen = [], dict[tuple[str, ...], str]()
    for document in documents:
        for entry in document.entries:
            try:
                if not detect(entry.value):
                    raise ValueError(f"columns {', '.join(list(entry.value)[:12])}")
                if entry.value["kind"] == "grade":
                    grades.append(_grade(entry.value, document.place(entry)))
                else:
                    (controls if entry.value.get("control") else pairs).append(
                        _pair(entry.value, document.place(entry))
                    )
            except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
                problems.add(document, entry, f"no judgement ({error})", SHAPE)
            else:
                _refuse_mixed(document, entry, documents[0].entries[0], problems)
                names = ("item", "system", "reference", "judge", "control")
                who = tuple(str(entry.value.get(name)) for name in names)
                before = seen.setdefault(who, document.place(entry))
                if before != document.place(entry):
                    problems.add(document, entry, f"item {who[0]} again (first {before})", "one judgement each")
                records.append(entry.value)
    problems.refuse()
    if not pairs and not grades:
        found = f"nothing but {counted(len(controls), 'control')}"
        raise InputError([Problem(documents[0].path, None, found, "judgements of two systems, or of one's answers")])
    more = _more(records, controls)
    return Judgements(pairs, grades, tuple(_notes(more)), more)


def _refuse_mixed(document: Document, entry: Entry, first: Entry, problems: Problems) -> None:
    if entry.value["kind"] != first.value.get("kind"):
        problems.add(
            document,
            entry,
            f"kind {abbreviate(entry.value['kind'])}",
            f"{abbreviate(first.value.get('kind'))} as before",
        )


def _pair(record: Mapping[str, Any], place: str) -> Pair:
    orders = record["orders"]
    if not isinstance(orders, list) or len(orders) not in (1, 2):
        raise ValueError("orders that aren't one or two")
    found = tuple(map(_order, orders))
    if len(found) == 2 and {order.first for order in found} != {"a", "b"}:
        raise ValueError("two orders with the same answer first")
    lengths = record.get("lengths")
    return Pair(
        _text(record, "item"),
        _text(record, "system"),
        _text(record, "reference"),
        _text(record, "judge"),
        found,
        None if lengths is None else (_length(lengths[0]), _length(lengths[1])),
        _tags(record),
        place=place,
    )


def _order(record: Mapping[str, Any]) -> Order:
    status, scores, first = record["status"], record.get("scores"), record.get("first")
    if status not in ("ok", "unparsed", "missing"):
        raise ValueError(f"status {abbreviate(status)}")
    _why(record)
    preference = _number(record, "preference", 0, 1)
    if (status == "ok") != (preference is not None):
        raise ValueError(f"status {status} with preference {abbreviate(preference)}")
    if scores is not None and not (isinstance(scores, list) and len(scores) == 2):
        raise ValueError(f"{kind(scores)} in scores")
    a, b = (_number({"scores": score}, "scores", 0, 100) for score in scores or (None, None))
    both = None if a is None or b is None else (a, b)
    return Order(None if first is None else SIDES[first], preference, status, both)


def _grade(record: Mapping[str, Any], place: str) -> Grade:
    scores = {}
    for name, item in record["scores"].items():
        value, status = _number(item, "score", 0, 100), item["status"]
        if status not in ("ok", "not_applicable", "unparsed", "missing"):
            raise ValueError(f"{name}: status {abbreviate(status)}")
        if (status == "ok") != (value is not None):
            raise ValueError(f"{name}: status {abbreviate(status)} with score {abbreviate(value)}")
        scores[str(name)] = Score(value, status)
    status = record["status"]
    known = any(score.status in ("ok", "not_applicable") for score in scores.values())
    if status not in ("ok", "unparsed", "missing") or (status == "ok") != known:
        raise ValueError(f"status {abbreviate(status)} with {len(scores)} aspects")
    _why(record)
    length = record.get("length")
    return Grade(
        _text(record, "item"),
        _text(record, "system"),
        _text(record, "judge"),
        scores,
        status,
        None,
        None if length is None else _length(length),
        _tags(record),
        place,
    )


def _text(record: Mapping[str, Any], name: str) -> str:
    if not isinstance(record[name], str):
        raise ValueError(f"{kind(record[name])} in {name}")
    return str(record[name])


def _number(record: Mapping[str, Any], name: str, low: float, high: float) -> float | None:
    value = record.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"{abbreviate(value)} in {name}")
    return float(value)


def _length(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**40:
        raise ValueError(f"{abbreviate(value)} as a length")
    return value


def _tags(record: Mapping[str, Any]) -> tuple[str, ...]:
    tags = record.get("tags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError(f"{abbreviate(tags)} in tags")
    return tuple(tags)


def _why(record: Mapping[str, Any]) -> None:
    if record.get("way") not in (None, "json", "tags"):
        raise ValueError(f"way {abbreviate(record['way'])}")
    if record.get("why") not in (None, "", FAILED, *WHY):
        raise ValueError(f"why {abbreviate(record['why'])}")


def _more(records: Sequence[Mapping[str, Any]], controls: Sequence[Pair]) -> dict[str, Any]:
    """Return what the numbers of items don't say: replies by what came of them, answers that are equal or empty."""
    replies = [reply for record in records for reply in _replies(record)]
    why = Counter(reply.get("why") or "ok" for reply in replies)
    found: dict[str, Any] = {
        "replies": {name: why[name] for name in ("ok", *WHY, FAILED)},
        "asked_as": ", ".join(sorted({str(reply["way"]) for reply in replies if reply.get("way")})) or None,
        "identical": sum(bool(record.get("identical")) for record in records),
        "empty": sum(bool(record.get("empty")) for record in records),
    }
    if not controls:
        return found
    judged = [pair.orders[0] for pair in controls]
    known = sum(order.sign is not None for order in judged)
    placed = [order.prefers_first for order in judged if order.sign]
    missing = len(judged) - known
    return found | {
        "control": {
            "items": len(judged),
            "differs": proportion_from_counts(len(placed), known, missing).as_json(),
            "first_position_rate": _first(placed).as_json(),
        }
    }


def _first(placed: Sequence[bool | None]) -> Estimate:
    known = [first for first in placed if first is not None]
    return proportion_from_counts(sum(known), len(known), len(placed) - len(known))


def _replies(record: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    if record["kind"] == "grade":
        return (record,)
    return () if record.get("identical") else record["orders"]


def _notes(more: Mapping[str, Any]) -> Iterator[str]:
    lost = [
        f"{more['replies'][name]:,} {name.replace('_', ' ')} ({what})"
        for name, what in WHY.items()
        if more["replies"][name]
    ]
    if lost:
        total = sum(more["replies"].values()) - more["replies"][FAILED]
        yield f"Of {_replied(total)}, without a verdict: {', '.join(lost)}."
    if more["replies"][FAILED]:
        yield f"{counted(more['replies'][FAILED], 'call')} failed; judgements.jsonl has the reason of each."
    if more["asked_as"] not in (None, "json", "tags"):
        yield "Replies were asked for in two ways (JSON and text), which are different prompts."
    if more["identical"]:
        yield f"{counted(more['identical'], 'item')} with equal answers: a tie each, nobody was asked."
    if more["empty"]:
        yield f"{counted(more['empty'], 'item')} with an empty answer, judged like any other."
    control = more.get("control")
    if control is not None:
        yield _of_control(control["differs"], control["first_position_rate"])


def _of_control(differs: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    missing = f"; {differs['n_missing']:,} without a verdict" if differs["n_missing"] else ""
    if differs["mean"] is None:
        return f"Control: no verdict on any answer shown beside a copy of itself{missing}."
    told = f"Control: of {counted(differs['n'], 'answer')} shown beside a copy of itself, "
    told += f"{percent(differs['mean'], 1)} {_shares(differs)} were not judged equal to it"
    if first["mean"] is not None:
        told += f"; {percent(first['mean'], 1)} of these in favour of the first place {_shares(first)}"
    return f"{told}{missing}."


def _replied(count: int) -> str:
    return f"{count:,} {'reply' if count == 1 else 'replies'}"


def _shares(share: Mapping[str, Any]) -> str:
    low, high = share["low"], share["high"]
    return interval(None if low is None else 100 * low, None if high is None else 100 * high, 1)
