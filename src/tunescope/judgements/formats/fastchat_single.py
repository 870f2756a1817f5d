"""FastChat's single judgements (`gpt-4_single.jsonl`): a score of 1 to 10 for each answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunescope.judgements.files import Document, Problems
from tunescope.judgements.formats import Format, ReadOptions
from tunescope.judgements.formats._fastchat import NO_REPLY, TurnId, identify, judge_of
from tunescope.judgements.parsing import aspect_score, rating
from tunescope.judgements.records import AspectScore, Judgements, ScoreJudgement, Status

_TOP = 10
_ASPECT = "score"


def _detect(record: Mapping[str, Any]) -> bool:
    return {"question_id", "model", "judgment", "score"} <= record.keys()


def _read(documents: Sequence[Document], options: ReadOptions) -> Judgements:
    """Read single judgements, of any number of models.

    Raises:
        InputError: a faulty id or model.
    """
    problems, judgements = Problems(), []
    for document in documents:
        for record in document.records:
            turn = identify(record, ("model",), problems)
            if turn is None:
                continue
            judgements.append(_judgement(turn, record.value, str(record.location)))
    problems.raise_any()
    return Judgements(scores=judgements)


def _judgement(turn: TurnId, columns: Mapping[str, Any], place: str) -> ScoreJudgement:
    text = columns.get("judgment")
    score = AspectScore(None, "missing") if text == NO_REPLY else aspect_score(columns.get("score"), 1, _TOP)
    return ScoreJudgement(
        turn.item,
        columns["model"],
        judge_of(columns),
        {_ASPECT: score},
        _status(score),
        text if isinstance(text, str) else None,
        tags=turn.tags,
        place=place,
        question=turn.question,
        scale=(1, _TOP),
    )


def _status(score: AspectScore) -> Status:
    if score.status == "ok":
        return "ok"
    return "missing" if score.status == "missing" else "unparsed"


def _parse(text: str) -> dict[str, AspectScore] | None:
    """Read a judgement: the rating [[N]]."""
    value = rating(text)
    return None if value is None else {_ASPECT: AspectScore(value, "ok")}


FORMAT = Format(
    name="fastchat_single",
    shape='{"question_id", "model", "judge", "judgment", "score", "turn"}',
    formula="One score of 1 to 10 per answer. -1 stands for a score that couldn't be read, which is unparsed, or "
    "missing where the judge's server returned nothing. Neither is counted. The two turns of a question are two items. "
    "Intervals draw questions.",
    detect=_detect,
    read=_read,
    parse_scores=_parse,
)
