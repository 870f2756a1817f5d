"""FastChat's pair judgements (`gpt-4_pair.jsonl`): the winner of each of the two orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunescope.judgements.files import Document, DocumentRecord, Problems
from tunescope.judgements.formats import Format, ReadOptions
from tunescope.judgements.formats._fastchat import NO_REPLY, identify, judge_of
from tunescope.judgements.parsing import letter, two_scores
from tunescope.judgements.records import Judgements, PairJudgement, Presentation, Side

_TIE_DISTANCE = 0.1
"""FastChat's prompts with two ratings: ratings this close are a tie."""


def _detect(record: Mapping[str, Any]) -> bool:
    return {"question_id", "model_1", "model_2"} <= record.keys() and ("g1_winner" in record or "winner" in record)


def _read(documents: Sequence[Document], options: ReadOptions) -> Judgements:
    """Read pair judgements: a is model_1; a record with the same two models exchanged is swapped back.

    Raises:
        InputError: a faulty id, model or judge.
    """
    problems, pairs = Problems(), []
    a_of_models: dict[frozenset[str], str] = {}
    for document in documents:
        for record in document.records:
            pair = _read_pair(record, problems)
            if pair is None:
                continue
            if a_of_models.setdefault(frozenset((pair.a, pair.b)), pair.a) != pair.a:
                pair = pair.swapped
            pairs.append(pair)
    problems.raise_any()
    return Judgements(pairs=pairs)


def _read_pair(record: DocumentRecord, problems: Problems) -> PairJudgement | None:
    turn = identify(record, ("model_1", "model_2"), problems)
    if turn is None:
        return None
    columns = record.value
    if "g1_winner" not in columns:
        orders: tuple[Presentation, ...] = (_presentation(None, columns.get("winner"), None),)
    else:
        orders = (
            _presentation("a", columns.get("g1_winner"), columns.get("g1_judgment")),
            _presentation("b", columns.get("g2_winner"), columns.get("g2_judgment")),
        )
    return PairJudgement(
        turn.item,
        columns["model_1"],
        columns["model_2"],
        judge_of(columns),
        orders,
        tags=turn.tags,
        place=str(record.location),
        question=turn.question,
    )


def _presentation(first: Side | None, winner: Any, text: Any) -> Presentation:
    reply = text if isinstance(text, str) else None
    if winner is None or reply == NO_REPLY:
        return Presentation(first, None, "missing", None, reply)
    preference = {"model_1": 1.0, "model_2": 0.0, "tie": 0.5}.get(winner) if isinstance(winner, str) else None
    return Presentation(first, preference, "unparsed" if preference is None else "ok", None, reply)


def _parse(text: str, first: Side) -> Presentation:
    """Read a judgement: the verdict [[A]], [[B]] or [[C]], or two ratings [[a, b]]."""
    verdict = letter(text)
    preference = {"A": 1.0, "B": 0.0, "C": 0.5}.get(verdict) if verdict else None
    if preference is None and (scores := two_scores(text)) is not None:
        preference = 0.5 if abs(scores[0] - scores[1]) <= _TIE_DISTANCE else float(scores[0] > scores[1])
    if preference is None:
        return Presentation(first, None, "unparsed", None, text)
    return Presentation(first, 1 - preference if first == "b" else preference, "ok", None, text)


FORMAT = Format(
    name="fastchat_pair",
    shape='{"question_id", "model_1", "model_2", "g1_winner", "g2_winner", "judge", "turn"}',
    formula='Each order has a winner or a tie. "error" is unparsed and isn\'t counted. FastChat itself counts a tie '
    "wherever the orders disagree (--rule agree). The two turns of a question are two items. Intervals draw questions.",
    detect=_detect,
    read=_read,
    parse_pair=_parse,
)
