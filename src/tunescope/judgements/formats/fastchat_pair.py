"""FastChat's pair judgements (`gpt-4_pair.jsonl`): who won each of the two orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunescope.judgements.files import Document, Entry, Problems
from tunescope.judgements.formats._fastchat import NO_REPLY, identify, judge_of
from tunescope.judgements.parsing import letter, two_scores
from tunescope.judgements.records import PLAIN, Judgements, Options, Order, Pair, Side

NAME = "fastchat_pair"
SHAPE = '{"question_id", "model_1", "model_2", "g1_winner", "g2_winner", "judge", "turn"}'
FORMULA = (
    'Each order has a winner or a tie; "error" is unparsed and counts nowhere. FastChat itself calls everything a tie '
    "where the orders disagree (--rule agree). The two turns of a question are two items; intervals draw questions."
)
CLOSE = 0.1
"""FastChat's prompts with two ratings: closer than this is a tie."""


def detect(record: Mapping[str, Any]) -> bool:
    """Tell by the columns."""
    return {"question_id", "model_1", "model_2"} <= record.keys() and ("g1_winner" in record or "winner" in record)


def read(documents: Sequence[Document], options: Options = PLAIN) -> Judgements:
    """Read pair judgements: a is model_1; the same two models the other way round are turned to how they came first.

    Raises:
        InputError: an id, a model or a judge that is none, or a match that is there twice.
    """
    problems, pairs = Problems(), []
    seen: dict[tuple[str, str, str, str], str] = {}
    ways: dict[frozenset[str], str] = {}  # who is a, of each two models
    for document in documents:
        for entry in document.entries:
            pair = _read(document, entry, problems)
            if pair is None:
                continue
            if ways.setdefault(frozenset((pair.a, pair.b)), pair.a) != pair.a:
                pair = pair.turned
            key = (pair.item, pair.a, pair.b, pair.judge)
            before = seen.setdefault(key, pair.place)
            if before != pair.place:
                found = f"{pair.a} against {pair.b} on {pair.item} again (first {before})"
                problems.add(document, entry, found, "one match each")
            pairs.append(pair)
    problems.refuse()
    return Judgements(pairs=pairs)


def _read(document: Document, entry: Entry, problems: Problems) -> Pair | None:
    known = identify(document, entry, ("model_1", "model_2"), problems)
    if known is None:
        return None
    record = entry.value
    if "g1_winner" not in record:
        orders: tuple[Order, ...] = (_order(None, record.get("winner"), None),)
    else:
        orders = (
            _order("a", record.get("g1_winner"), record.get("g1_judgment")),
            _order("b", record.get("g2_winner"), record.get("g2_judgment")),
        )
    item, question, tags = known
    return Pair(
        item,
        record["model_1"],
        record["model_2"],
        judge_of(record),
        orders,
        tags=tags,
        place=document.place(entry),
        question=question,
    )


def _order(first: Side | None, winner: Any, text: Any) -> Order:
    kept = text if isinstance(text, str) else None
    if winner is None or kept == NO_REPLY:
        return Order(first, None, "missing", None, kept)
    preference = {"model_1": 1.0, "model_2": 0.0, "tie": 0.5}.get(winner) if isinstance(winner, str) else None
    return Order(first, preference, "unparsed" if preference is None else "ok", None, kept)


def parse(text: str, first: Side) -> Order:
    """Read a judgement: the verdict [[A]], [[B]] or [[C]], or two ratings [[a, b]]."""
    found = letter(text)
    preference = {"A": 1.0, "B": 0.0, "C": 0.5}.get(found) if found else None
    if preference is None and (scores := two_scores(text)) is not None:
        preference = 0.5 if abs(scores[0] - scores[1]) <= CLOSE else float(scores[0] > scores[1])
    if preference is None:
        return Order(first, None, "unparsed", None, text)
    return Order(first, 1 - preference if first == "b" else preference, "ok", None, text)
