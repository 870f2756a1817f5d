"""Our own `judgements.jsonl`: what `judge pairwise`, `winrate` and `aspects` keep of every judgement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunescope.errors import InputError, Problem
from tunescope.judgements.files import JUDGEMENTS, Document, DocumentRecord, Problems
from tunescope.judgements.formats import Format, ReadOptions
from tunescope.judgements.records import (
    CALL_FAILED,
    UNPARSED_REASONS,
    AspectScore,
    Judgements,
    PairJudgement,
    Presentation,
    ScoreJudgement,
    Side,
)
from tunescope.judgements.repeats import settle_pairs
from tunescope.locations import Location
from tunescope.rows.json_text import abbreviate, kind
from tunescope.stats import Estimate, proportion_from_counts
from tunescope.views import counted, percent, percent_interval

_SHAPE = '{"kind": "pair", "item", "system", "reference", "judge", "orders": […]} (or "kind": "grade" and "scores")'
_SIDES: Mapping[str, Side] = {"system": "a", "reference": "b"}


def judgements_of(records: Sequence[Mapping[str, Any]]) -> Judgements:
    """Return the judgements in the records of a judgements.jsonl that is being written."""
    lines = [DocumentRecord(Location(JUDGEMENTS, line), record) for line, record in enumerate(records, 1)]
    return _read([Document(JUDGEMENTS, lines)], ReadOptions())


def _detect(record: Mapping[str, Any]) -> bool:
    column = {"pair": "orders", "grade": "scores"}.get(str(record.get("kind")), "")
    return {"item", "system", "judge"} <= record.keys() and column in record


def _read(documents: Sequence[Document], options: ReadOptions) -> Judgements:
    """Read judgements of two answers, or of single ones; controls (an answer beside its own copy) are summed up apart.

    Raises:
        InputError: a faulty record, or both kinds in one call.
    """
    problems, pairs, scores, controls = Problems(), list[PairJudgement](), list[ScoreJudgement](), list[PairJudgement]()
    records = []
    for document in documents:
        for record in document.records:
            columns, place = record.value, str(record.location)
            try:
                if not _detect(columns):
                    raise ValueError(f"columns {', '.join(list(columns)[:12])}")
                if columns["kind"] == "grade":
                    scores.append(_score_judgement(columns, place))
                else:
                    (controls if columns.get("control") else pairs).append(_pair_judgement(columns, place))
            except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
                problems.add(record, f"no judgement ({error})", _SHAPE)
            else:
                _reject_mixed(record, documents[0].records[0], problems)
                records.append(columns)
    problems.raise_any()
    if not pairs and not scores:
        found = f"nothing but {counted(len(controls), 'control')}"
        raise InputError([Problem(documents[0].path, None, found, "judgements of two systems, or of one's answers")])
    extra = _extra_results(records, settle_pairs(controls, "first"))
    return Judgements(pairs, scores, tuple(_notes(extra)), extra)


def _reject_mixed(record: DocumentRecord, first: DocumentRecord, problems: Problems) -> None:
    if record.value["kind"] != first.value.get("kind"):
        found, expected = f"kind {abbreviate(record.value['kind'])}", f"{abbreviate(first.value.get('kind'))} as before"
        problems.add(record, found, expected)


def _pair_judgement(record: Mapping[str, Any], place: str) -> PairJudgement:
    orders = record["orders"]
    if not isinstance(orders, list) or len(orders) not in (1, 2):
        raise ValueError("orders that aren't one or two")
    presentations = tuple(map(_presentation, orders))
    if len(presentations) == 2 and {order.first for order in presentations} != {"a", "b"}:
        raise ValueError("two orders with the same answer first")
    lengths = record.get("lengths")
    return PairJudgement(
        _text(record, "item"),
        _text(record, "system"),
        _text(record, "reference"),
        _text(record, "judge"),
        presentations,
        None if lengths is None else (_length(lengths[0]), _length(lengths[1])),
        _tags(record),
        place=place,
    )


def _presentation(record: Mapping[str, Any]) -> Presentation:
    status, scores, first = record["status"], record.get("scores"), record.get("first")
    if status not in ("ok", "unparsed", "missing"):
        raise ValueError(f"status {abbreviate(status)}")
    _check_words(record)
    preference = _number(record, "preference", 0, 1)
    if (status == "ok") != (preference is not None):
        raise ValueError(f"status {status} with preference {abbreviate(preference)}")
    if scores is not None and not (isinstance(scores, list) and len(scores) == 2):
        raise ValueError(f"{kind(scores)} in scores")
    a, b = (_number({"scores": score}, "scores", 0, 100) for score in scores or (None, None))
    both = None if a is None or b is None else (a, b)
    return Presentation(None if first is None else _SIDES[first], preference, status, both)


def _score_judgement(record: Mapping[str, Any], place: str) -> ScoreJudgement:
    scores = {}
    for name, item in record["scores"].items():
        value, status = _number(item, "score", *(_scale(record) or (0, 100))), item["status"]
        if status not in ("ok", "not_applicable", "unparsed", "missing"):
            raise ValueError(f"{name}: status {abbreviate(status)}")
        if (status == "ok") != (value is not None):
            raise ValueError(f"{name}: status {abbreviate(status)} with score {abbreviate(value)}")
        scores[str(name)] = AspectScore(value, status)
    status = record["status"]
    has_scores = any(score.status in ("ok", "not_applicable") for score in scores.values())
    if status not in ("ok", "unparsed", "missing") or (status == "ok") != has_scores:
        raise ValueError(f"status {abbreviate(status)} with {len(scores)} aspects")
    _check_words(record)
    length = record.get("length")
    return ScoreJudgement(
        _text(record, "item"),
        _text(record, "system"),
        _text(record, "judge"),
        scores,
        status,
        None,
        None if length is None else _length(length),
        _tags(record),
        place,
        scale=_scale(record),
    )


def _scale(record: Mapping[str, Any]) -> tuple[float, float] | None:
    scale = record.get("scale")
    if scale is None:
        return None
    if not isinstance(scale, list) or len(scale) != 2:
        raise ValueError(f"{abbreviate(scale)} in scale")
    low, high = (_number({"scale": end}, "scale", 0, 100) for end in scale)
    if low is None or high is None or not low < high:
        raise ValueError(f"{abbreviate(scale)} in scale")
    return low, high


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


def _check_words(record: Mapping[str, Any]) -> None:
    if record.get("way") not in (None, "json", "tags"):
        raise ValueError(f"way {abbreviate(record['way'])}")
    if record.get("why") not in (None, "", CALL_FAILED, *UNPARSED_REASONS):
        raise ValueError(f"why {abbreviate(record['why'])}")


def _extra_results(records: Sequence[Mapping[str, Any]], controls: Sequence[PairJudgement]) -> dict[str, Any]:
    """Return the counts of replies, of equal and of empty answers, and how the judge does on controls."""
    replies = [reply for record in records for reply in _replies(record)]
    reasons = Counter(reply.get("why") or "ok" for reply in replies)
    extra: dict[str, Any] = {
        "replies": {name: reasons[name] for name in ("ok", *UNPARSED_REASONS, CALL_FAILED)},
        "asked_as": ", ".join(sorted({str(reply["way"]) for reply in replies if reply.get("way")})) or None,
        "identical": sum(bool(record.get("identical")) for record in records),
        "empty": sum(bool(record.get("empty")) for record in records),
    }
    return extra | ({"control": _control(controls)} if controls else {})


def _control(controls: Sequence[PairJudgement]) -> dict[str, Any]:
    """Return how often the judge prefers an answer to its own copy, and then the one shown first."""
    presentations = [pair.orders[0] for pair in controls]
    n = sum(order.sign is not None for order in presentations)
    preferences = [order.prefers_first for order in presentations if order.sign]
    return {
        "items": len(controls),
        "differs": proportion_from_counts(len(preferences), n, len(controls) - n).as_json(),
        "first_position_rate": _share_of_first(preferences).as_json(),
    }


def _share_of_first(preferences: Sequence[bool | None]) -> Estimate:
    known = [first for first in preferences if first is not None]
    return proportion_from_counts(sum(known), len(known), len(preferences) - len(known))


def _replies(record: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return what a record keeps of each reply; two equal answers had none."""
    if record["kind"] == "grade":
        return (record,)
    return () if record.get("identical") else record["orders"]


def _notes(extra: Mapping[str, Any]) -> Iterator[str]:
    """Say what the extra results hold."""
    replies = extra["replies"]
    without_verdict = [
        f"{replies[name]:,} {name.replace('_', ' ')} ({meaning})"
        for name, meaning in UNPARSED_REASONS.items()
        if replies[name]
    ]
    if without_verdict:
        total = sum(replies.values()) - replies[CALL_FAILED]
        listed = ", ".join(without_verdict)
        yield f"Replies without a verdict, of {total:,} {'reply' if total == 1 else 'replies'}: {listed}."
    if replies[CALL_FAILED]:
        yield f"{counted(replies[CALL_FAILED], 'call')} failed. judgements.jsonl has the reason of each."
    if extra["asked_as"] not in (None, "json", "tags"):
        yield "The judge was asked for JSON in some calls and for text in others, which are different prompts."
    if extra["identical"]:
        yield f"{counted(extra['identical'], 'item')} with equal answers: a tie each, without asking the judge."
    if extra["empty"]:
        yield f"{counted(extra['empty'], 'item')} with an empty answer, judged like any other."
    control = extra.get("control")
    if control is not None:
        yield _control_sentence(control["differs"], control["first_position_rate"])


def _control_sentence(differs: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    missing = f" {counted(differs['n_missing'], 'control')} had no verdict." if differs["n_missing"] else ""
    if differs["mean"] is None:
        return f"Control: the judge gave no verdict on any answer shown next to a copy of itself.{missing}"
    sentence = (
        f"Control: the judge saw {counted(differs['n'], 'answer')}{', each' if differs['n'] > 1 else ''} next to a "
        f"copy of itself, and preferred one of the two in {percent(differs['mean'], 1)} {_percent_interval(differs)} "
        "of these cases"
    )
    if first["mean"] is not None:
        preferred = f"{percent(first['mean'], 1)} {_percent_interval(first)}"
        sentence += f". {preferred} of these preferences went to the first position"
    return f"{sentence}.{missing}"


def _percent_interval(share: Mapping[str, Any]) -> str:
    return percent_interval(share["low"], share["high"], 1)


FORMAT = Format(
    name="tunescope",
    shape=_SHAPE,
    formula="A reply without a verdict is unparsed. A reply that never came is missing. Neither counts as a tie or a "
    "score. Two equal answers are a tie without asking the judge.",
    detect=_detect,
    read=_read,
    no_rereading="can't be read again: without the answers, nothing tells a verdict from one that the reply quotes. "
    "Type the judge's own command again, which takes the replies from its journal",
)
